/**
 * Sorted sets: members and scores. Ranges, set operations and waiting have files of their own.
 */
import type { Bytes } from '../../base/units.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { atLeastOneArg, countArg, doubleArg, isWord, randomCountArg } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import { refuse, SYNTAX } from '../refusal.js'
import { SortedSetValue } from '../types/sorted-set.js'
import { pickDistinct } from './random-pick.js'

export type Extreme = 'min' | 'max'

export const sortedSetCommands: Readonly<Record<string, Handler>> = {
  zadd(call, args, reply) {
    zadd(call, args[1] as Bytes, readZaddOptions(args), args, reply)
  },

  zincrby(call, args, reply) {
    zadd(call, args[1] as Bytes, increment, args, reply)
  },

  zrem(call, args, reply) {
    const key = args[1] as Bytes
    const zset = call.writeSortedSet(key)
    let removed = 0
    if (zset !== undefined) for (let at = 2; at < args.length; at++) if (zset.delete(args[at] as Bytes)) removed++
    if (zset !== undefined && removed > 0) {
      call.modified(key, 'z', 'zrem', removed)
      if (zset.size === 0) call.removeEmpty(key)
    }
    reply.integer(removed)
  },

  zcard: (call, args, reply) => reply.integer(call.readSortedSet(args[1] as Bytes)?.size ?? 0),

  zscore(call, args, reply) {
    replyScore(call.readSortedSet(args[1] as Bytes)?.score(args[2] as Bytes), reply)
  },

  zmscore(call, args, reply) {
    const zset = call.readSortedSet(args[1] as Bytes)
    reply.array(args.length - 2)
    for (let at = 2; at < args.length; at++) replyScore(zset?.score(args[at] as Bytes), reply)
  },

  zrank(call, args, reply) {
    const rank = call.readSortedSet(args[1] as Bytes)?.rank(args[2] as Bytes)
    if (rank === undefined) reply.null()
    else reply.integer(rank)
  },

  zrevrank(call, args, reply) {
    const zset = call.readSortedSet(args[1] as Bytes)
    const rank = zset?.rank(args[2] as Bytes)
    if (zset === undefined || rank === undefined) reply.null()
    else reply.integer(zset.size - 1 - rank)
  },

  zpopmin: (call, args, reply) => pop(call, args, 'min', reply),
  zpopmax: (call, args, reply) => pop(call, args, 'max', reply),

  zmpop(call, args, reply) {
    if (!popFromFirst(call, readMultiPop(args, 1), reply)) reply.nullArray()
  },

  zrandmember(call, args, reply) {
    const key = args[1] as Bytes
    if (args.length === 2) {
      const zset = call.readSortedSet(key)
      if (zset === undefined) reply.null()
      else reply.bulk(zset.random(() => call.random())[0])
      return
    }
    const withScores = args.length > 3
    const count = randomCountArg(args[2], 1)
    if (args.length > 4 || (withScores && !isWord(args[3], 'WITHSCORES'))) throw SYNTAX
    if (withScores) randomCountArg(args[2], 2)
    replyRandom(call, call.readSortedSet(key), count, withScores, reply)
  },
}

interface ZaddOptions {
  readonly nx: boolean
  readonly xx: boolean
  readonly gt: boolean
  readonly lt: boolean
  readonly ch: boolean
  readonly incr: boolean
  /** Where scores and members begin. */
  readonly pairsAt: number
}

/** No option at all, as most often. */
const plain: ZaddOptions = { nx: false, xx: false, gt: false, lt: false, ch: false, incr: false, pairsAt: 2 }
const increment: ZaddOptions = { ...plain, incr: true }

function readZaddOptions(args: readonly Bytes[]): ZaddOptions {
  // A digit, a sign or a point begins no option.
  if (args.length % 2 === 0 && (args[2] as Bytes).charCodeAt(0) <= 0x39) return plain
  const found = { ...plain }
  for (; found.pairsAt < args.length; found.pairsAt++) {
    const word = args[found.pairsAt]
    if (isWord(word, 'NX')) found.nx = true
    else if (isWord(word, 'XX')) found.xx = true
    else if (isWord(word, 'GT')) found.gt = true
    else if (isWord(word, 'LT')) found.lt = true
    else if (isWord(word, 'CH')) found.ch = true
    else if (isWord(word, 'INCR')) found.incr = true
    else break
  }
  const rest = args.length - found.pairsAt
  if (rest === 0 || rest % 2 !== 0) throw SYNTAX
  const { nx, xx, gt, lt, incr } = found
  if (nx && xx) refuse('ERR XX and NX options at the same time are not compatible')
  if ((gt && (nx || lt)) || (lt && nx)) refuse('ERR GT, LT, and/or NX options at the same time are not compatible')
  if (incr && rest > 2) refuse('ERR INCR option supports a single increment-element pair')
  return found
}

function zadd(call: Call, key: Bytes, options: ZaddOptions, args: readonly Bytes[], reply: ReplyWriter): void {
  const scores: number[] = []
  for (let at = options.pairsAt; at < args.length; at += 2) scores.push(doubleArg(args[at]))
  let zset = call.writeSortedSet(key)
  if (zset === undefined) {
    if (options.xx) return options.incr ? reply.null() : reply.integer(0)
    zset = call.add(key, new SortedSetValue())
  }
  let added = 0
  let updated = 0
  let result: number | undefined
  for (let pair = 0; pair < scores.length; pair++) {
    const member = args[options.pairsAt + pair * 2 + 1] as Bytes
    const before = zset.score(member)
    result = newScore(before, scores[pair] as number, options)
    if (result === undefined || result === before) continue
    zset.set(member, result, call.settings)
    if (before === undefined) added++
    else updated++
  }
  const changes = added + updated
  if (changes > 0) call.modified(key, 'z', options.incr ? 'zincr' : 'zadd', changes)
  if (options.incr) replyScore(result, reply)
  else reply.integer(options.ch ? changes : added)
}

/** undefined: the options say to leave the member alone. */
function newScore(before: number | undefined, score: number, options: ZaddOptions): number | undefined {
  if (before === undefined) return options.xx ? undefined : score
  if (options.nx) return undefined
  const after = options.incr ? before + score : score
  if (Number.isNaN(after)) refuse('ERR resulting score is not a number (NaN)')
  if ((options.gt && after <= before) || (options.lt && after >= before)) return undefined
  return after
}

function replyScore(score: number | undefined, reply: ReplyWriter): void {
  if (score === undefined) reply.null()
  else reply.double(score)
}

// ── Taking from an end ──────────────────────────────────────────────────────────────────────────────────────────────

function pop(call: Call, args: readonly Bytes[], from: Extreme, reply: ReplyWriter): void {
  if (args.length > 3) throw SYNTAX
  const key = args[1] as Bytes
  const count = args.length === 3 ? countArg(args[2]) : undefined
  const zset = call.writeSortedSet(key)
  if (zset === undefined || count === 0) return reply.array(0)
  const taken = take(call, key, zset, count ?? 1, from)
  const pairs = reply.resp === 3 && count !== undefined
  reply.array(pairs ? taken.length : taken.length * 2)
  for (const [member, score] of taken) {
    if (pairs) reply.array(2)
    reply.bulk(member)
    reply.double(score)
  }
}

/** Removes and answers up to `count` members from one end. */
export function take(
  call: Call,
  key: Bytes,
  zset: SortedSetValue,
  count: number,
  from: Extreme,
): readonly (readonly [Bytes, number])[] {
  const taken: [Bytes, number][] = []
  zset.forRange(0, Math.min(count, zset.size), from === 'max', (member, score) => taken.push([member, score]))
  for (const [member] of taken) zset.delete(member)
  call.modified(key, 'z', from === 'min' ? 'zpopmin' : 'zpopmax', taken.length)
  if (zset.size === 0) call.removeEmpty(key)
  return taken
}

export interface MultiPop {
  readonly keys: readonly Bytes[]
  readonly from: Extreme
  readonly count: number
}

/** `numkeys key … MIN|MAX [COUNT n]` from `args[at]` on. */
export function readMultiPop(args: readonly Bytes[], at: number): MultiPop {
  const keyCount = atLeastOneArg(args[at], 'numkeys')
  const whereAt = at + keyCount + 1
  if (whereAt >= args.length) throw SYNTAX
  const from = isWord(args[whereAt], 'MIN') ? 'min' : isWord(args[whereAt], 'MAX') ? 'max' : undefined
  if (from === undefined) throw SYNTAX
  let count: number | undefined
  for (let option = whereAt + 1; option < args.length; option += 2) {
    if (count !== undefined || !isWord(args[option], 'COUNT') || option + 1 >= args.length) throw SYNTAX
    count = atLeastOneArg(args[option + 1], 'count')
  }
  return { keys: args.slice(at + 1, whereAt), from, count: count ?? 1 }
}

/** Pops from the first sorted set that is there; false, and no reply, when all are missing. */
export function popFromFirst(call: Call, { keys, from, count }: MultiPop, reply: ReplyWriter): boolean {
  for (const key of keys) {
    const zset = call.writeSortedSet(key)
    if (zset === undefined) continue
    const taken = take(call, key, zset, count, from)
    call.propagateAs(from === 'min' ? 'ZPOPMIN' : 'ZPOPMAX', key, String(taken.length))
    reply.array(2)
    reply.bulk(key)
    reply.array(taken.length)
    for (const [member, score] of taken) {
      reply.array(2)
      reply.bulk(member)
      reply.double(score)
    }
    return true
  }
  return false
}

function replyRandom(
  call: Call,
  zset: SortedSetValue | undefined,
  count: number,
  withScores: boolean,
  reply: ReplyWriter,
): void {
  const random = () => call.random()
  const picks: (readonly [Bytes, number])[] = []
  if (zset !== undefined && count < 0) {
    // As many as the client likes, from the smallest set: none of them is kept here.
    beginMembers(-count, withScores, reply)
    for (let left = -count; left > 0 && !reply.full; left--) replyMember(...zset.random(random), withScores, reply)
    return
  }
  if (zset !== undefined && count > 0) pickDistinct(zset, count, random, (member, score) => picks.push([member, score]))
  replyMembers(picks, withScores, reply)
}

/** Members, or members with scores: in pairs for RESP3, in a flat row for RESP2. */
export function replyMembers(
  members: readonly (readonly [Bytes, number])[],
  withScores: boolean,
  reply: ReplyWriter,
): void {
  beginMembers(members.length, withScores, reply)
  for (const [member, score] of members) replyMember(member, score, withScores, reply)
}

function beginMembers(count: number, withScores: boolean, reply: ReplyWriter): void {
  reply.array(withScores && reply.resp === 2 ? count * 2 : count)
}

function replyMember(member: Bytes, score: number, withScores: boolean, reply: ReplyWriter): void {
  if (withScores && reply.resp === 3) reply.array(2)
  reply.bulk(member)
  if (withScores) reply.double(score)
}
