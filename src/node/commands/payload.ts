/**
 * DUMP and RESTORE: values that leave and enter the data set in the format of snapshots, which the engine does not know;
 * and MEMORY USAGE, which measures by it.
 */
import type { Bytes } from '../../base/units.js'
import type { Caller } from '../../engine/host.js'
import { isString, type Value } from '../../engine/value.js'
import { dump, restore } from '../../persistence/dump.js'
import type { Encoder } from '../../resp/encoder.js'
import type { NodeCommands } from '../dispatch.js'
import type { NodeServer } from '../server.js'
import { lower, NOT_AN_INTEGER, readInteger, SYNTAX_ERROR } from './words.js'

/** What an entry costs beyond its bytes: its slot, its text, its place in the page. */
const ENTRY_OVERHEAD_BYTES = 48

export const payloadCommands: NodeCommands = {
  dump(session, args, reply, server) {
    const value = visible(server, session.db, args[1] as Bytes)
    if (value === undefined) reply.null()
    else reply.bulk(dump(value, server.engine.settings))
  },

  restore(session, args, reply, server) {
    restoreKey(server, session, args, reply)
  },
  'restore-asking'(session, args, reply, server) {
    restoreKey(server, session, args, reply)
  },

  'memory|usage'(session, args, reply, server) {
    if (args.length > 3 && (args.length !== 5 || lower(args[3]) !== 'samples')) return reply.error(SYNTAX_ERROR)
    if (args.length === 5 && readInteger(args[4]) === undefined) return reply.error(NOT_AN_INTEGER)
    const key = args[2] as Bytes
    const value = visible(server, session.db, key)
    if (value === undefined) return reply.null()
    const bytes = isString(value) ? value.length : dump(value, server.engine.settings).length
    reply.integer(ENTRY_OVERHEAD_BYTES + key.length + bytes)
  },
}

/** RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME s] [FREQ n]; also when it comes from our master. */
export function restoreKey(server: NodeServer, caller: Caller, args: readonly Bytes[], reply: Encoder): void {
  const [, key, ttlText, payload] = args as readonly [Bytes, Bytes, Bytes, Bytes]
  let replace = false
  let absolute = false
  let idleSeconds: number | undefined
  let frequency: number | undefined
  for (let at = 4; at < args.length; at++) {
    const word = lower(args[at])
    if (word === 'replace') replace = true
    else if (word === 'absttl') absolute = true
    else if ((word === 'idletime' || word === 'freq') && at + 1 < args.length) {
      const value = readInteger(args[++at])
      if (value === undefined) return reply.error(NOT_AN_INTEGER)
      if (word === 'idletime' && value < 0) return reply.error('ERR Invalid IDLETIME value, must be >= 0')
      if (word === 'freq' && (value < 0 || value > 255)) {
        return reply.error('ERR Invalid FREQ value, must be >= 0 and <= 255')
      }
      if (word === 'idletime') idleSeconds = value
      else frequency = value
    } else return reply.error(SYNTAX_ERROR)
  }
  const db = server.engine.database(caller.db)
  if (!replace && visible(server, caller.db, key) !== undefined) {
    return reply.error('BUSYKEY Target key name already exists.')
  }
  const ttl = readInteger(ttlText)
  if (ttl === undefined) return reply.error(NOT_AN_INTEGER)
  if (ttl < 0) return reply.error('ERR Invalid TTL value, must be >= 0')
  const restored = restore(payload, server.engine.settings, server.loads.verifyPayloads)
  if ('refused' in restored) {
    if (restored.refused === 'bad-format') server.log.verbose(`RESTORE of a payload refused: ${restored.detail}`)
    const why = restored.refused === 'bad-footer' ? 'DUMP payload version or checksum are wrong' : 'Bad data format'
    return reply.error(`ERR ${why}`)
  }
  const now = server.clock.wall()
  const expireAt = ttl === 0 ? 0 : absolute ? ttl : now + ttl
  const { effects } = server
  effects.beforeChange(caller.db, key)
  if (expireAt !== 0 && expireAt < now && caller.origin !== 'master') {
    // It is over already: what was there goes, and nothing comes.
    if (db.delete(key)) effects.propagate(caller.db, ['DEL', key])
    effects.changed(caller.db, key)
    return reply.ok()
  }
  db.load(key, restored.value, expireAt)
  server.engine.noteArrival(db.table, db.table.slotOf(key), now, idleSeconds, frequency)
  effects.changed(caller.db, key)
  effects.notify('g', 'restore', caller.db, key)
  effects.ready(caller.db, key)
  effects.propagate(caller.db, withAbsoluteTtl(args, expireAt, absolute))
  reply.ok()
}

/** The same call, with a time to live that means the same whenever a replica hears of it. */
function withAbsoluteTtl(args: readonly Bytes[], expireAt: number, absolute: boolean): readonly Bytes[] {
  return expireAt === 0 || absolute ? args : [...args.with(2, String(expireAt)), 'ABSTTL']
}

/** The value, unless its time is over. */
function visible(server: NodeServer, index: number, key: Bytes): Value | undefined {
  const db = server.engine.database(index)
  const at = db.expireAt(key)
  return at === undefined || (at !== 0 && server.clock.wall() > at) ? undefined : db.get(key)
}
