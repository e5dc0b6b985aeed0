/**
 * Strings: SET and its family, counters, ranges.
 */

import { writeLatin1 } from '../../base/latin1.js'
import type { Bytes } from '../../base/units.js'
import { arityError } from '../../command/table.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { int64Arg, intArg } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import { expiryInstant, instantText, readExpiryOptions } from '../expire-argument.js'
import { addLongDouble, formatLongDouble, parseLongDouble } from '../long-double.js'
import { addInt64, INT64_MIN } from '../numbers.js'
import { NOT_A_FLOAT, OVERFLOW, refuse } from '../refusal.js'
import { checkStringLength, clampRange, growString, sliceOfString, textOfString } from '../string-bytes.js'
import type { StringValue } from '../value.js'
import { isString } from '../value.js'

export const stringCommands: Readonly<Record<string, Handler>> = {
  get(call, args, reply) {
    const value = call.readString(args[1] as Bytes)
    if (value === undefined) reply.null()
    else reply.bulk(value)
  },

  set(call, args, reply) {
    if (args.length === 3) {
      call.put(args[1] as Bytes, args[2] as Bytes)
      call.modified(args[1] as Bytes, '$', 'set')
      reply.ok()
    } else setWithOptions(call, args, reply)
  },

  setnx(call, args, reply) {
    const [, key, value] = args as [Bytes, Bytes, Bytes]
    const absent = call.find(key) < 0
    if (absent) {
      call.add(key, value)
      call.modified(key, '$', 'set')
    }
    reply.integer(absent ? 1 : 0)
  },

  setex: (call, args, reply) => setWithExpiry(call, args, 'EX', reply),
  psetex: (call, args, reply) => setWithExpiry(call, args, 'PX', reply),

  getset(call, args, reply) {
    const [, key, value] = args as [Bytes, Bytes, Bytes]
    replyString(call.readString(key), reply)
    call.put(key, value)
    call.modified(key, '$', 'set')
    call.propagateAs('SET', key, value)
  },

  getdel(call, args, reply) {
    const key = args[1] as Bytes
    const value = call.writeString(key)
    replyString(value, reply)
    if (value === undefined) return
    call.remove(key)
    call.modified(key, 'g', 'del')
    call.propagateAs('DEL', key)
  },

  getex(call, args, reply) {
    const key = args[1] as Bytes
    const options = readExpiryOptions(args, 2, 'getex')
    const value = call.readString(key)
    if (value === undefined) return reply.null()
    const at = options.unit === undefined ? 0 : expiryInstant(call, options.amount, options.unit)
    reply.bulk(value)
    if (options.unit?.endsWith('AT') && at <= call.now && !call.engine.isReplica) {
      call.remove(key)
      call.modified(key, 'g', 'del')
      call.propagateAs(call.settings.lazyfreeLazyExpire ? 'UNLINK' : 'DEL', key)
    } else if (options.unit !== undefined) {
      call.setExpireAt(key, at)
      call.modified(key, 'g', 'expire')
      call.propagateAs('PEXPIREAT', key, instantText(at))
    } else if (options.persist && call.expireAt(key) !== 0) {
      call.setExpireAt(key, 0)
      call.modified(key, 'g', 'persist')
      call.propagateAs('PERSIST', key)
    }
  },

  mget(call, args, reply) {
    reply.array(args.length - 1)
    for (let at = 1; at < args.length; at++) {
      const value = call.read(args[at] as Bytes)
      if (value === undefined || !isString(value)) reply.null()
      else reply.bulk(value)
    }
  },

  mset(call, args, reply) {
    if (args.length % 2 === 0) return reply.error(arityError(call.spec))
    setPairs(call, args)
    reply.ok()
  },

  msetnx(call, args, reply) {
    if (args.length % 2 === 0) return reply.error(arityError(call.spec))
    for (let at = 1; at < args.length; at += 2) if (call.find(args[at] as Bytes) >= 0) return reply.integer(0)
    setPairs(call, args)
    reply.integer(1)
  },

  incr: (call, args, reply) => increment(call, args[1] as Bytes, 1, reply),
  decr: (call, args, reply) => increment(call, args[1] as Bytes, -1, reply),
  incrby: (call, args, reply) => increment(call, args[1] as Bytes, int64Arg(args[2]), reply),

  decrby(call, args, reply) {
    const by = int64Arg(args[2])
    if (by === INT64_MIN) return reply.error('ERR decrement would overflow')
    increment(call, args[1] as Bytes, -by, reply)
  },

  incrbyfloat(call, args, reply) {
    const [, key, by] = args as [Bytes, Bytes, Bytes]
    const value = call.writeString(key)
    const sum = addDecimals(value === undefined ? '0' : textOfString(value), by, NOT_A_FLOAT.text)
    call.put(key, sum, true)
    call.modified(key, '$', 'incrbyfloat')
    call.propagateAs('SET', key, sum, 'KEEPTTL')
    reply.bulk(sum)
  },

  append(call, args, reply) {
    const [, key, tail] = args as [Bytes, Bytes, Bytes]
    const value = call.writeString(key)
    if (value === undefined) call.add(key, tail)
    else {
      checkStringLength(value.length + tail.length, call.settings)
      const bytes = growString(value, value.length + tail.length)
      writeLatin1(bytes, tail, value.length)
      call.replace(key, bytes)
    }
    call.modified(key, '$', 'append')
    reply.integer((value?.length ?? 0) + tail.length)
  },

  strlen(call, args, reply) {
    reply.integer(call.readString(args[1] as Bytes)?.length ?? 0)
  },

  setrange(call, args, reply) {
    const [, key, , patch] = args as [Bytes, Bytes, Bytes, Bytes]
    const offset = intArg(args[2])
    if (offset < 0) return reply.error('ERR offset is out of range')
    const value = call.writeString(key)
    if (patch.length === 0) return reply.integer(value?.length ?? 0)
    checkStringLength(offset + patch.length, call.settings)
    const bytes = growString(value, offset + patch.length)
    writeLatin1(bytes, patch, offset)
    if (value === undefined) call.add(key, bytes)
    else call.replace(key, bytes)
    call.modified(key, '$', 'setrange')
    reply.integer(bytes.length)
  },

  getrange,
  substr: getrange,
}

function getrange(call: Call, args: readonly Bytes[], reply: ReplyWriter): void {
  const start = intArg(args[2])
  const end = intArg(args[3])
  const value = call.readString(args[1] as Bytes) ?? ''
  const range = clampRange(start, end, value.length)
  reply.bulk(range === undefined ? '' : sliceOfString(value, range[0], range[1] + 1))
}

function setWithOptions(call: Call, args: readonly Bytes[], reply: ReplyWriter): void {
  const [, key, value] = args as [Bytes, Bytes, Bytes]
  const options = readExpiryOptions(args, 3, 'set')
  const at = options.unit === undefined ? 0 : expiryInstant(call, options.amount, options.unit)
  const before = options.get ? call.readString(key) : undefined
  const found = call.find(key) >= 0
  if (options.nx ? found : options.xx && !found) {
    if (options.get) replyString(before, reply)
    else reply.null()
    return
  }
  if (options.get) replyString(before, reply)
  else reply.ok()
  call.put(key, value, options.keepTtl)
  call.modified(key, '$', 'set')
  if (options.unit !== undefined) {
    call.setExpireAt(key, at)
    call.notify('g', 'expire', key)
    call.propagateAs('SET', key, value, 'PXAT', instantText(at))
  } else if (options.get) call.propagateAs(...args.filter((arg, index) => index < 3 || arg.toUpperCase() !== 'GET'))
}

function setWithExpiry(call: Call, args: readonly Bytes[], unit: 'EX' | 'PX', reply: ReplyWriter): void {
  const [, key, amount, value] = args as [Bytes, Bytes, Bytes, Bytes]
  const at = expiryInstant(call, amount, unit)
  call.put(key, value)
  call.setExpireAt(key, at)
  call.modified(key, '$', 'set')
  call.notify('g', 'expire', key)
  call.propagateAs('SET', key, value, 'PXAT', instantText(at))
  reply.ok()
}

function setPairs(call: Call, args: readonly Bytes[]): void {
  for (let at = 1; at < args.length; at += 2) {
    call.put(args[at] as Bytes, args[at + 1] as Bytes)
    call.modified(args[at] as Bytes, '$', 'set')
  }
}

function increment(call: Call, key: Bytes, by: number | bigint, reply: ReplyWriter): void {
  const value = call.writeString(key)
  const sum = addInt64(value === undefined ? 0 : int64Arg(textOfString(value)), by)
  if (sum === undefined) throw OVERFLOW
  if (value === undefined) call.add(key, String(sum))
  else call.replace(key, String(sum))
  call.modified(key, '$', 'incrby')
  reply.integer(sum)
}

/** The sum of two decimal texts as INCRBYFLOAT and HINCRBYFLOAT answer it. */
export function addDecimals(value: Bytes, by: Bytes, notAFloat: Bytes): Bytes {
  const base = parseLongDouble(value)
  if (base === undefined) refuse(notAFloat)
  const step = parseLongDouble(by)
  if (step === undefined) throw NOT_A_FLOAT
  const sum = base === 'infinite' || step === 'infinite' ? undefined : addLongDouble(base, step)
  if (sum === undefined) refuse('ERR increment would produce NaN or Infinity')
  return formatLongDouble(sum)
}

function replyString(value: StringValue | undefined, reply: ReplyWriter): void {
  if (value === undefined) reply.null()
  else reply.bulk(value)
}
