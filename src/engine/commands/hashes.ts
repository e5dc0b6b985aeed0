/**
 * Hashes.
 */
import type { Bytes } from '../../base/units.js'
import { arityError } from '../../command/table.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { int64Arg, isWord, randomCountArg } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import { addInt64, parseInt64 } from '../numbers.js'
import { OVERFLOW, refuse, SYNTAX } from '../refusal.js'
import { HashValue } from '../types/hash.js'
import { pickDistinct } from './random-pick.js'
import { addDecimals } from './strings.js'

export const hashCommands: Readonly<Record<string, Handler>> = {
  hset(call, args, reply) {
    const added = setFields(call, args)
    if (added !== undefined) reply.integer(added)
    else reply.error(arityError(call.spec))
  },

  hmset(call, args, reply) {
    if (setFields(call, args) !== undefined) reply.ok()
    else reply.error(arityError(call.spec))
  },

  hsetnx(call, args, reply) {
    const [, key, field, value] = args as [Bytes, Bytes, Bytes, Bytes]
    const hash = call.writeHash(key)
    if (hash?.get(field) !== undefined) return reply.integer(0)
    ;(hash ?? call.add(key, new HashValue())).set(field, value, call.settings)
    call.modified(key, 'h', 'hset')
    reply.integer(1)
  },

  hget(call, args, reply) {
    replyField(call.readHash(args[1] as Bytes)?.get(args[2] as Bytes), reply)
  },

  hmget(call, args, reply) {
    const hash = call.readHash(args[1] as Bytes)
    reply.array(args.length - 2)
    for (let at = 2; at < args.length; at++) replyField(hash?.get(args[at] as Bytes), reply)
  },

  hdel(call, args, reply) {
    const key = args[1] as Bytes
    const hash = call.writeHash(key)
    let removed = 0
    if (hash !== undefined) for (let at = 2; at < args.length; at++) if (hash.delete(args[at] as Bytes)) removed++
    if (hash !== undefined && removed > 0) {
      call.modified(key, 'h', 'hdel', removed)
      if (hash.size === 0) call.removeEmpty(key)
    }
    reply.integer(removed)
  },

  hexists(call, args, reply) {
    reply.integer(call.readHash(args[1] as Bytes)?.get(args[2] as Bytes) === undefined ? 0 : 1)
  },

  hlen: (call, args, reply) => reply.integer(call.readHash(args[1] as Bytes)?.size ?? 0),
  hstrlen: (call, args, reply) => reply.integer(call.readHash(args[1] as Bytes)?.get(args[2] as Bytes)?.length ?? 0),

  hgetall(call, args, reply) {
    const hash = call.readHash(args[1] as Bytes)
    reply.map(hash?.size ?? 0)
    hash?.forEach((field, value) => {
      reply.bulk(field)
      reply.bulk(value)
    })
  },

  hkeys(call, args, reply) {
    const hash = call.readHash(args[1] as Bytes)
    reply.array(hash?.size ?? 0)
    hash?.forEach(field => reply.bulk(field))
  },

  hvals(call, args, reply) {
    const hash = call.readHash(args[1] as Bytes)
    reply.array(hash?.size ?? 0)
    hash?.forEach((_field, value) => reply.bulk(value))
  },

  hincrby(call, args, reply) {
    const [, key, field] = args as [Bytes, Bytes, Bytes]
    const by = int64Arg(args[3])
    const hash = call.writeHash(key)
    const before = parseInt64(hash?.get(field) ?? '0')
    if (before === undefined) refuse('ERR hash value is not an integer')
    const sum = addInt64(before, by)
    if (sum === undefined) throw OVERFLOW
    ;(hash ?? call.add(key, new HashValue())).set(field, String(sum), call.settings)
    call.modified(key, 'h', 'hincrby')
    reply.integer(sum)
  },

  hincrbyfloat(call, args, reply) {
    const [, key, field, by] = args as [Bytes, Bytes, Bytes, Bytes]
    if (/^[+-]?inf(inity)?$/i.test(by)) refuse('ERR value is NaN or Infinity')
    addDecimals('0', by, '')
    const hash = call.writeHash(key)
    const sum = addDecimals(hash?.get(field) ?? '0', by, 'ERR hash value is not a float')
    ;(hash ?? call.add(key, new HashValue())).set(field, sum, call.settings)
    call.modified(key, 'h', 'hincrbyfloat')
    call.propagateAs('HSET', key, field, sum)
    reply.bulk(sum)
  },

  hrandfield(call, args, reply) {
    const key = args[1] as Bytes
    if (args.length === 2) {
      const hash = call.readHash(key)
      if (hash === undefined) reply.null()
      else reply.bulk(hash.random(() => call.random())[0])
      return
    }
    const withValues = args.length > 3
    const count = randomCountArg(args[2], 1)
    if (args.length > 4 || (withValues && !isWord(args[3], 'WITHVALUES'))) throw SYNTAX
    if (withValues) randomCountArg(args[2], 2)
    replyRandom(call, call.readHash(key), count, withValues, reply)
  },
}

/** undefined: a field without a value. */
function setFields(call: Call, args: readonly Bytes[]): number | undefined {
  if (args.length % 2 !== 0) return undefined
  const key = args[1] as Bytes
  const hash = call.writeHash(key) ?? call.add(key, new HashValue())
  let added = 0
  for (let at = 2; at < args.length; at += 2)
    if (hash.set(args[at] as Bytes, args[at + 1] as Bytes, call.settings)) added++
  call.modified(key, 'h', 'hset', (args.length - 2) / 2)
  return added
}

function replyField(value: Bytes | undefined, reply: ReplyWriter): void {
  if (value === undefined) reply.null()
  else reply.bulk(value)
}

/** RESP3 has a pair per entry, RESP2 a flat row. A negative count may give the same field twice. */
function replyRandom(
  call: Call,
  hash: HashValue | undefined,
  count: number,
  withValues: boolean,
  reply: ReplyWriter,
): void {
  const random = () => call.random()
  const pairs = withValues && reply.resp === 3
  const begin = (entries: number): void => reply.array(withValues && !pairs ? entries * 2 : entries)
  const replyEntry = (field: Bytes, value: Bytes): void => {
    if (pairs) reply.array(2)
    reply.bulk(field)
    if (withValues) reply.bulk(value)
  }
  if (hash === undefined || count === 0) return begin(0)
  if (count < 0) {
    // As many as the client likes, from the smallest hash: none of them is kept here.
    begin(-count)
    for (let left = -count; left > 0 && !reply.full; left--) replyEntry(...hash.random(random))
    return
  }
  const picks: [Bytes, Bytes][] = []
  pickDistinct(hash, count, random, (field, value) => picks.push([field, value]))
  begin(picks.length)
  for (const [field, value] of picks) replyEntry(field, value)
}
