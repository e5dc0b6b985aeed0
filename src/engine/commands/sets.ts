/**
 * Sets.
 */
import type { Bytes } from '../../base/units.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { atLeastOneArg, countArg, isWord, randomCountArg } from '../arguments.js'
import { asSet, type Call, type Handler } from '../call.js'
import { Refusal, refuse, SYNTAX } from '../refusal.js'
import { SetValue } from '../types/set.js'
import { pickDistinct } from './random-pick.js'

export const setCommands: Readonly<Record<string, Handler>> = {
  sadd(call, args, reply) {
    const key = args[1] as Bytes
    const set = call.writeSet(key) ?? call.add(key, new SetValue())
    let added = 0
    for (let at = 2; at < args.length; at++) if (set.add(args[at] as Bytes, call.settings)) added++
    if (added > 0) call.modified(key, 's', 'sadd', added)
    reply.integer(added)
  },

  srem(call, args, reply) {
    const key = args[1] as Bytes
    const set = call.writeSet(key)
    let removed = 0
    if (set !== undefined) for (let at = 2; at < args.length; at++) if (set.delete(args[at] as Bytes)) removed++
    if (set !== undefined && removed > 0) {
      call.modified(key, 's', 'srem', removed)
      if (set.size === 0) call.removeEmpty(key)
    }
    reply.integer(removed)
  },

  smove(call, args, reply) {
    const [, from, to, member] = args as [Bytes, Bytes, Bytes, Bytes]
    const source = call.writeSet(from)
    if (source === undefined) return reply.integer(0)
    const target = call.writeSet(to)
    if (source === target) return reply.integer(source.has(member) ? 1 : 0)
    if (!source.delete(member)) return reply.integer(0)
    call.modified(from, 's', 'srem')
    if (source.size === 0) call.removeEmpty(from)
    if ((target ?? call.add(to, new SetValue())).add(member, call.settings)) call.modified(to, 's', 'sadd')
    reply.integer(1)
  },

  sismember(call, args, reply) {
    reply.integer(call.readSet(args[1] as Bytes)?.has(args[2] as Bytes) ? 1 : 0)
  },

  smismember(call, args, reply) {
    const set = call.readSet(args[1] as Bytes)
    reply.array(args.length - 2)
    for (let at = 2; at < args.length; at++) reply.integer(set?.has(args[at] as Bytes) ? 1 : 0)
  },

  scard: (call, args, reply) => reply.integer(call.readSet(args[1] as Bytes)?.size ?? 0),

  smembers(call, args, reply) {
    const set = call.readSet(args[1] as Bytes)
    reply.set(set?.size ?? 0)
    set?.forEach(member => reply.bulk(member))
  },

  spop(call, args, reply) {
    if (args.length > 3) throw SYNTAX
    if (args.length === 3) return popSome(call, args, reply)
    const key = args[1] as Bytes
    const set = call.writeSet(key)
    if (set === undefined) return reply.null()
    const member = set.random(() => call.random())
    set.delete(member)
    call.propagateAs('SREM', key, member)
    call.modified(key, 's', 'spop')
    if (set.size === 0) call.removeEmpty(key)
    reply.bulk(member)
  },

  srandmember(call, args, reply) {
    if (args.length > 3) throw SYNTAX
    const random = () => call.random()
    if (args.length === 2) {
      const set = call.readSet(args[1] as Bytes)
      if (set === undefined) reply.null()
      else reply.bulk(set.random(random))
      return
    }
    const count = randomCountArg(args[2], 1)
    const set = call.readSet(args[1] as Bytes)
    if (set === undefined || count === 0) return reply.array(0)
    if (count < 0) {
      reply.array(-count)
      for (let left = -count; left > 0 && !reply.full; left--) reply.bulk(set.random(random))
    } else replyAll(pickMembers(set, count, random), 'array', reply)
  },

  sinter: (call, args, reply) => replyAll(intersect(readSets(call, args, 1)), 'set', reply),
  sunion: (call, args, reply) => replyAll(unite(readSets(call, args, 1)), 'set', reply),
  sdiff: (call, args, reply) => replyAll(subtract(readSets(call, args, 1)), 'set', reply),

  sinterstore: (call, args, reply) => store(call, args, intersect(readSets(call, args, 2)), reply),
  sunionstore: (call, args, reply) => store(call, args, unite(readSets(call, args, 2)), reply),
  sdiffstore: (call, args, reply) => store(call, args, subtract(readSets(call, args, 2)), reply),

  sintercard(call, args, reply) {
    const keyCount = atLeastOneArg(args[1], 'numkeys')
    if (keyCount > args.length - 2) refuse("ERR Number of keys can't be greater than number of args")
    let limit = 0
    for (let at = 2 + keyCount; at < args.length; at += 2) {
      if (!isWord(args[at], 'LIMIT') || at + 1 >= args.length) throw SYNTAX
      limit = limitArg(args[at + 1] as Bytes)
    }
    reply.integer(intersect(readSets(call, args.slice(0, 2 + keyCount), 2), limit).length)
  },
}

const NEGATIVE_LIMIT = new Refusal("ERR LIMIT can't be negative")

export function limitArg(text: Bytes): number {
  return countArg(text, NEGATIVE_LIMIT)
}

function popSome(call: Call, args: readonly Bytes[], reply: ReplyWriter): void {
  const key = args[1] as Bytes
  const count = countArg(args[2])
  const set = call.writeSet(key)
  if (set === undefined || count === 0) return reply.set(0)
  const members = count >= set.size ? set.toArray() : pickMembers(set, count, () => call.random())
  call.modified(key, 's', 'spop', members.length)
  if (members.length === set.size) {
    call.propagateAs('DEL', key)
    call.removeEmpty(key)
  } else
    for (const member of members) {
      set.delete(member)
      call.propagateAs('SREM', key, member)
    }
  replyAll(members, 'set', reply)
}

function pickMembers(set: SetValue, count: number, random: () => number): Bytes[] {
  const members: Bytes[] = []
  const from = {
    size: set.size,
    forEach: (visit: (name: Bytes, value: undefined) => void) => set.forEach(member => visit(member, undefined)),
    random: (): [Bytes, undefined] => [set.random(random), undefined],
  }
  pickDistinct(from, count, random, member => members.push(member))
  return members
}

/** The sets under the keys from `args[from]` on; all are looked at, so that a wrong type is always found. */
function readSets(call: Call, args: readonly Bytes[], from: number): (SetValue | undefined)[] {
  const sets: (SetValue | undefined)[] = []
  for (let at = from; at < args.length; at++) sets.push(asSet(call.read(args[at] as Bytes)))
  return sets
}

/** Stops at `limit` members when it is not 0. */
function intersect(sets: readonly (SetValue | undefined)[], limit = 0): Bytes[] {
  const found: Bytes[] = []
  if (sets.includes(undefined)) return found
  const [smallest, ...others] = (sets as SetValue[]).toSorted((a, b) => a.size - b.size)
  for (const member of smallest?.toArray() ?? []) {
    if (others.every(set => set.has(member))) found.push(member)
    if (limit !== 0 && found.length === limit) break
  }
  return found
}

function unite(sets: readonly (SetValue | undefined)[]): Bytes[] {
  const found = new Set<Bytes>()
  for (const set of sets) set?.forEach(member => found.add(member))
  return [...found]
}

function subtract([first, ...others]: readonly (SetValue | undefined)[]): Bytes[] {
  return first?.toArray().filter(member => !others.some(set => set?.has(member))) ?? []
}

function store(call: Call, args: readonly Bytes[], members: readonly Bytes[], reply: ReplyWriter): void {
  const key = args[1] as Bytes
  if (members.length === 0) {
    if (call.remove(key)) call.modified(key, 'g', 'del')
  } else {
    const set = new SetValue()
    for (const member of members) set.add(member, call.settings)
    call.put(key, set)
    call.modified(key, 's', call.spec.name)
  }
  reply.integer(members.length)
}

function replyAll(members: readonly Bytes[], as: 'set' | 'array', reply: ReplyWriter): void {
  if (as === 'set') reply.set(members.length)
  else reply.array(members.length)
  for (const member of members) reply.bulk(member)
}
