/**
 * Lists, without those commands that wait for one.
 */
import type { Bytes } from '../../base/units.js'
import { arityError } from '../../command/table.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { atLeastOneArg, countArg, intArg, isWord } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import { INDEX_OUT_OF_RANGE, NO_SUCH_KEY, Refusal, refuse, SYNTAX } from '../refusal.js'
import { ListValue } from '../types/list.js'

export type End = 'head' | 'tail'

export const listCommands: Readonly<Record<string, Handler>> = {
  lpush: (call, args, reply) => push(call, args, 'head', false, reply),
  rpush: (call, args, reply) => push(call, args, 'tail', false, reply),
  lpushx: (call, args, reply) => push(call, args, 'head', true, reply),
  rpushx: (call, args, reply) => push(call, args, 'tail', true, reply),
  lpop: (call, args, reply) => pop(call, args, 'head', reply),
  rpop: (call, args, reply) => pop(call, args, 'tail', reply),

  llen: (call, args, reply) => reply.integer(call.readList(args[1] as Bytes)?.length ?? 0),

  lindex(call, args, reply) {
    const list = call.readList(args[1] as Bytes)
    const item = list?.at(fromEnd(intArg(args[2]), list.length))
    if (item === undefined) reply.null()
    else reply.bulk(item)
  },

  lset(call, args, reply) {
    const [, key, , item] = args as [Bytes, Bytes, Bytes, Bytes]
    const list = call.writeList(key)
    if (list === undefined) throw NO_SUCH_KEY
    const index = fromEnd(intArg(args[2]), list.length)
    if (index < 0 || index >= list.length) throw INDEX_OUT_OF_RANGE
    list.set(index, item)
    call.modified(key, 'l', 'lset')
    reply.ok()
  },

  linsert(call, args, reply) {
    const [, key, where, pivot, item] = args as [Bytes, Bytes, Bytes, Bytes, Bytes]
    const after = isWord(where, 'AFTER')
    if (!after && !isWord(where, 'BEFORE')) throw SYNTAX
    const list = call.writeList(key)
    if (list === undefined) return reply.integer(0)
    const at = indexOf(list, pivot)
    if (at < 0) return reply.integer(-1)
    list.insert(after ? at + 1 : at, item)
    call.modified(key, 'l', 'linsert')
    reply.integer(list.length)
  },

  lrange(call, args, reply) {
    const start = intArg(args[2])
    const end = intArg(args[3])
    const list = call.readList(args[1] as Bytes)
    const [first, count] = rangeOf(start, end, list?.length ?? 0)
    reply.array(count)
    list?.forRange(first, count, item => reply.bulk(item))
  },

  ltrim(call, args, reply) {
    const key = args[1] as Bytes
    const start = intArg(args[2])
    const end = intArg(args[3])
    const list = call.writeList(key)
    if (list === undefined) return reply.ok()
    const [first, count] = rangeOf(start, end, list.length)
    const removed = list.length - count
    list.trim(first, count)
    call.modified(key, 'l', 'ltrim', removed)
    if (count === 0) call.removeEmpty(key)
    reply.ok()
  },

  lrem(call, args, reply) {
    const [, key, , item] = args as [Bytes, Bytes, Bytes, Bytes]
    const count = intArg(args[2])
    const list = call.writeList(key)
    const limit = count === 0 ? Number.POSITIVE_INFINITY : Math.abs(count)
    const removed = list?.remove(item, limit, count < 0 ? 'tail' : 'head') ?? 0
    if (list !== undefined && removed > 0) {
      call.modified(key, 'l', 'lrem', removed)
      if (list.length === 0) call.removeEmpty(key)
    }
    reply.integer(removed)
  },

  lpos(call, args, reply) {
    const options = readPosOptions(args)
    const list = call.readList(args[1] as Bytes)
    const found = list === undefined ? [] : positions(list, args[2] as Bytes, options)
    if (options.count === undefined) {
      if (found[0] === undefined) reply.null()
      else reply.integer(found[0])
      return
    }
    reply.array(found.length)
    for (const at of found) reply.integer(at)
  },

  rpoplpush(call, args, reply) {
    const [, from, to] = args as [Bytes, Bytes, Bytes]
    moveOrNull(call, { from, to, take: 'tail', put: 'head' }, reply)
  },

  lmove(call, args, reply) {
    moveOrNull(call, readMove(args), reply)
  },

  lmpop(call, args, reply) {
    const request = readMultiPop(args, 1)
    if (!popFromFirst(call, request, reply)) reply.nullArray()
  },
}

/** First index and count of what LRANGE and LTRIM mean. */
export function rangeOf(start: number, end: number, length: number): readonly [number, number] {
  const first = Math.max(0, fromEnd(start, length))
  const last = Math.min(length - 1, fromEnd(end, length))
  return first > last ? [0, 0] : [first, last - first + 1]
}

function fromEnd(index: number, length: number): number {
  return index < 0 ? index + length : index
}

function push(call: Call, args: readonly Bytes[], end: End, mustExist: boolean, reply: ReplyWriter): void {
  const key = args[1] as Bytes
  let list = call.writeList(key)
  if (list === undefined) {
    if (mustExist) return reply.integer(0)
    list = call.add(key, new ListValue())
  }
  for (let at = 2; at < args.length; at++) list.push(args[at] as Bytes, end)
  call.modified(key, 'l', end === 'head' ? 'lpush' : 'rpush', args.length - 2)
  reply.integer(list.length)
}

function pop(call: Call, args: readonly Bytes[], end: End, reply: ReplyWriter): void {
  if (args.length > 3) return reply.error(arityError(call.spec))
  const key = args[1] as Bytes
  const count = args.length === 3 ? countArg(args[2]) : undefined
  const list = call.writeList(key)
  if (count === undefined) {
    if (list === undefined) reply.null()
    else reply.bulk(popOne(call, key, list, end))
  } else if (list === undefined) reply.nullArray()
  else popSome(call, key, list, end, count, reply)
}

export function popOne(call: Call, key: Bytes, list: ListValue, end: End): Bytes {
  const item = list.pop(end) as Bytes
  popped(call, key, list, end, 1)
  return item
}

function popSome(call: Call, key: Bytes, list: ListValue, end: End, count: number, reply: ReplyWriter): number {
  const taken = Math.min(count, list.length)
  reply.array(taken)
  for (let left = taken; left > 0; left--) reply.bulk(list.pop(end) as Bytes)
  if (taken > 0) popped(call, key, list, end, taken)
  return taken
}

function popped(call: Call, key: Bytes, list: ListValue, end: End, count: number): void {
  call.modified(key, 'l', end === 'head' ? 'lpop' : 'rpop', count)
  if (list.length === 0) call.removeEmpty(key)
}

// ── LPOS ────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface PosOptions {
  readonly rank: number
  readonly count: number | undefined
  readonly maxLength: number
}

function readPosOptions(args: readonly Bytes[]): PosOptions {
  let rank = 1
  let count: number | undefined
  let maxLength = 0
  for (let at = 3; at < args.length; at += 2) {
    const value = args[at + 1]
    if (value === undefined) throw SYNTAX
    if (isWord(args[at], 'RANK')) {
      rank = intArg(value)
      if (rank === 0) refuse(RANK_ZERO)
    } else if (isWord(args[at], 'COUNT')) count = notNegative(value, 'COUNT')
    else if (isWord(args[at], 'MAXLEN')) maxLength = notNegative(value, 'MAXLEN')
    else throw SYNTAX
  }
  return { rank, count, maxLength }
}

const RANK_ZERO =
  "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list"

function notNegative(text: Bytes, name: string): number {
  return countArg(text, new Refusal(`ERR ${name} can't be negative`))
}

function positions(list: ListValue, item: Bytes, { rank, count, maxLength }: PosOptions): number[] {
  const found: number[] = []
  const wanted = count === undefined ? 1 : count === 0 ? Number.POSITIVE_INFINITY : count
  let skip = Math.abs(rank) - 1
  let looked = 0
  for (const other of rank > 0 ? list : list.backwards()) {
    if (maxLength !== 0 && looked === maxLength) break
    if (other === item && skip-- <= 0) {
      found.push(rank > 0 ? looked : list.length - 1 - looked)
      if (found.length >= wanted) break
    }
    looked++
  }
  return found
}

function indexOf(list: ListValue, item: Bytes): number {
  let at = 0
  for (const other of list) {
    if (other === item) return at
    at++
  }
  return -1
}

// ── Moves and pops of several keys, which the blocking commands share ──────────────────────────────────────────────

export interface Move {
  readonly from: Bytes
  readonly to: Bytes
  readonly take: End
  readonly put: End
}

export function readMove(args: readonly Bytes[]): Move {
  const [, from, to, take, put] = args as [Bytes, Bytes, Bytes, Bytes, Bytes]
  return { from, to, take: endArg(take), put: endArg(put) }
}

function endArg(text: Bytes | undefined): End {
  if (isWord(text, 'LEFT')) return 'head'
  if (isWord(text, 'RIGHT')) return 'tail'
  throw SYNTAX
}

function moveOrNull(call: Call, move: Move, reply: ReplyWriter): void {
  if (!moveItem(call, move, reply)) reply.null()
}

/** Moves one item and replies it; false, and no reply, when there is nothing to move. */
export function moveItem(call: Call, { from, to, take, put }: Move, reply: ReplyWriter): boolean {
  const source = call.writeList(from)
  if (source === undefined) return false
  const target = call.writeList(to)
  const item = source.pop(take) as Bytes
  const list = target ?? call.add(to, new ListValue())
  list.push(item, put)
  // A move is one change.
  call.modified(to, 'l', put === 'head' ? 'lpush' : 'rpush', 0)
  popped(call, from, source, take, 1)
  reply.bulk(item)
  return true
}

export interface MultiPop {
  readonly keys: readonly Bytes[]
  readonly end: End
  readonly count: number
}

/** `numkeys key … LEFT|RIGHT [COUNT n]` from `args[from]` on. */
export function readMultiPop(args: readonly Bytes[], from: number): MultiPop {
  const keyCount = atLeastOneArg(args[from], 'numkeys')
  const whereAt = from + keyCount + 1
  if (whereAt >= args.length) throw SYNTAX
  const end = endArg(args[whereAt])
  let count: number | undefined
  for (let at = whereAt + 1; at < args.length; at += 2) {
    if (count !== undefined || !isWord(args[at], 'COUNT') || at + 1 >= args.length) throw SYNTAX
    count = atLeastOneArg(args[at + 1], 'count')
  }
  return { keys: args.slice(from + 1, whereAt), end, count: count ?? 1 }
}

/** Pops from the first list that is there and replies key and items; false, and no reply, when all are missing. */
export function popFromFirst(call: Call, { keys, end, count }: MultiPop, reply: ReplyWriter): boolean {
  for (const key of keys) {
    const list = call.writeList(key)
    if (list === undefined) continue
    reply.array(2)
    reply.bulk(key)
    const taken = popSome(call, key, list, end, count, reply)
    call.propagateAs(end === 'head' ? 'LPOP' : 'RPOP', key, String(taken))
    return true
  }
  return false
}
