/**
 * Keys as such, whatever their values are.
 */
import type { Bytes } from '../../base/units.js'
import { matchesGlob } from '../../command/glob.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { int32Arg, isWord } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import type { Database } from '../database.js'
import { parseInt64 } from '../numbers.js'
import { NO_SUCH_KEY, Refusal, refuse, SYNTAX } from '../refusal.js'
import { copyOf, encodingOf, typeOf } from '../value.js'

const DB_OUT_OF_RANGE = new Refusal('ERR DB index is out of range')
const SAME_OBJECT = new Refusal('ERR source and destination objects are the same')
/** RANDOMKEY on a node that may not delete expired keys gives up looking for a live one after this many. */
const RANDOM_KEY_TRIES = 100

export const keyCommands: Readonly<Record<string, Handler>> = {
  del: (call, args, reply) => del(call, args, call.settings.lazyfreeLazyUserDel, reply),
  unlink: (call, args, reply) => del(call, args, true, reply),

  exists(call, args, reply) {
    let found = 0
    for (let at = 1; at < args.length; at++) if (call.find(args[at] as Bytes) >= 0) found++
    reply.integer(found)
  },

  touch(call, args, reply) {
    let found = 0
    for (let at = 1; at < args.length; at++) if (call.read(args[at] as Bytes) !== undefined) found++
    reply.integer(found)
  },

  type(call, args, reply) {
    const value = call.peek(args[1] as Bytes)
    reply.simple(value === undefined ? 'none' : typeOf(value))
  },

  keys(call, args, reply) {
    const pattern = args[1] as Bytes
    const found: Bytes[] = []
    call.db.table.forEach((key, _value, slot) => {
      if (!matchesGlob(pattern, key)) return
      const at = call.db.table.expireAt(slot)
      if (at === 0 || call.now <= at) found.push(key)
    })
    reply.array(found.length)
    for (const key of found) reply.bulk(key)
  },

  dbsize: (call, _args, reply) => reply.integer(call.db.size),

  randomkey(call, _args, reply) {
    const { table } = call.db
    for (let tries = 0; table.size > 0; tries++) {
      const slot = table.randomSlot(() => call.random())
      const key = table.keyAt(slot) as Bytes
      if (tries === RANDOM_KEY_TRIES || call.find(key) >= 0) return reply.bulk(key)
    }
    reply.null()
  },

  rename(call, args, reply) {
    rename(call, args[1] as Bytes, args[2] as Bytes)
    reply.ok()
  },

  renamenx(call, args, reply) {
    const [, from, to] = args as [Bytes, Bytes, Bytes]
    if (call.find(from) < 0) throw NO_SUCH_KEY
    if (from === to || call.find(to) >= 0) return reply.integer(0)
    rename(call, from, to)
    reply.integer(1)
  },

  move(call, args, reply) {
    const key = args[1] as Bytes
    const target = databaseArg(call, args[2])
    if (target === call.db) throw SAME_OBJECT
    const value = call.write(key)
    if (value === undefined) return reply.integer(0)
    const source = call.db
    const expireAt = call.expireAt(key)
    call.db = target
    if (call.find(key) >= 0) {
      call.db = source
      return reply.integer(0)
    }
    call.add(key, value)
    if (expireAt !== 0) call.setExpireAt(key, expireAt)
    call.host.changed(target.index, key)
    call.db = source
    call.remove(key)
    call.modified(key, 'g', 'move_from')
    call.host.notify('g', 'move_to', target.index, key)
    reply.integer(1)
  },

  copy(call, args, reply) {
    const [, from, to] = args as [Bytes, Bytes, Bytes]
    let target = call.db
    let replace = false
    for (let at = 3; at < args.length; at++) {
      if (isWord(args[at], 'REPLACE')) replace = true
      else if (isWord(args[at], 'DB') && at + 1 < args.length) target = databaseArg(call, args[++at])
      else throw SYNTAX
    }
    if (target === call.db && from === to) throw SAME_OBJECT
    const value = call.read(from)
    if (value === undefined) return reply.integer(0)
    const source = call.db
    const expireAt = call.expireAt(from)
    call.db = target
    const free = replace || call.find(to) < 0
    if (free) {
      call.put(to, copyOf(value, call.settings))
      if (expireAt !== 0) call.setExpireAt(to, expireAt)
      call.modified(to, 'g', 'copy_to')
    }
    call.db = source
    reply.integer(free ? 1 : 0)
  },

  flushdb(call, args, reply) {
    flush(call, args, call.db.index)
    reply.ok()
  },

  flushall(call, args, reply) {
    flush(call, args, undefined)
    reply.ok()
  },

  swapdb(call, args, reply) {
    const firstIndex = swapArg(args[1], 'first')
    const secondIndex = swapArg(args[2], 'second')
    const first = databaseAt(call, firstIndex)
    const second = databaseAt(call, secondIndex)
    const { table } = first
    first.table = second.table
    second.table = table
    call.host.replaced(first.index, table)
    call.host.replaced(second.index, first.table)
    call.host.ready(first.index, undefined)
    call.host.ready(second.index, undefined)
    call.dirty++
    reply.ok()
  },

  'object|encoding': (call, args, reply) =>
    replyAbout(call, args, reply, slot => reply.bulk(encodingOf(call.db.table.valueAt(slot)))),

  'object|refcount': (call, args, reply) =>
    replyAbout(call, args, reply, slot => {
      const value = call.db.table.valueAt(slot)
      // The small integers that Redis shares between all keys have no count.
      const shared = call.settings.sharesIntegers && typeof value === 'string' && /^(0|[1-9]\d{0,3})$/.test(value)
      reply.integer(shared ? 2147483647 : 1)
    }),

  'object|idletime': (call, args, reply) =>
    replyAbout(call, args, reply, slot => {
      if (call.settings.lfu)
        return reply.error(`ERR An LFU maxmemory policy is selected, idle time not tracked. ${SWITCH}`)
      reply.integer(call.engine.idleSeconds(call.db.table, slot, call.now))
    }),

  'object|freq': (call, args, reply) =>
    replyAbout(call, args, reply, slot => {
      if (!call.settings.lfu)
        return reply.error(`ERR An LFU maxmemory policy is not selected, access frequency not tracked. ${SWITCH}`)
      reply.integer(call.engine.frequency(call.db.table, slot, call.now))
    }),
}

const SWITCH =
  'Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.'

function del(call: Call, args: readonly Bytes[], lazy: boolean, reply: ReplyWriter): void {
  let removed = 0
  for (let at = 1; at < args.length; at++) {
    const key = args[at] as Bytes
    if (!call.remove(key, lazy)) continue
    call.modified(key, 'g', 'del')
    removed++
  }
  reply.integer(removed)
}

function rename(call: Call, from: Bytes, to: Bytes): void {
  const value = call.write(from)
  if (value === undefined) throw NO_SUCH_KEY
  if (from === to) return
  const expireAt = call.expireAt(from)
  call.remove(from)
  call.remove(to, call.settings.lazyfreeLazyServerDel)
  call.add(to, value)
  if (expireAt !== 0) call.setExpireAt(to, expireAt)
  // With the other one it is one change.
  call.modified(from, 'g', 'rename_from', 0)
  call.modified(to, 'g', 'rename_to')
}

function databaseArg(call: Call, text: Bytes | undefined): Database {
  return databaseAt(call, int32Arg(text))
}

function databaseAt(call: Call, index: number): Database {
  const db = call.engine.databases[index]
  if (db === undefined) throw DB_OUT_OF_RANGE
  return db
}

function swapArg(text: Bytes | undefined, which: 'first' | 'second'): number {
  const index = parseInt64(text ?? '')
  if (index === undefined || index > 2147483647 || index < -2147483648) refuse(`ERR invalid ${which} DB index`)
  return Number(index)
}

function flush(call: Call, args: readonly Bytes[], index: number | undefined): void {
  call.dirty = call.engine.flush(index, isLazyFlush(call, args))
  // A replica is told though nothing was there: it may have what we do not.
  if (call.dirty === 0) call.host.propagate(call.db.index, args)
}

function isLazyFlush(call: Call, args: readonly Bytes[]): boolean {
  if (args.length === 1) return call.settings.lazyfreeLazyUserFlush
  if (args.length > 2 || (!isWord(args[1], 'ASYNC') && !isWord(args[1], 'SYNC'))) throw SYNTAX
  return isWord(args[1], 'ASYNC')
}

function replyAbout(call: Call, args: readonly Bytes[], reply: ReplyWriter, answer: (slot: number) => void): void {
  const slot = call.find(args[2] as Bytes)
  if (slot < 0) reply.null()
  else answer(slot)
}
