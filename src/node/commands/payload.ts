/**
 * DUMP and RESTORE: values that leave and enter the data set in the format of snapshots, which the engine does not know;
 * MIGRATE, which sends them on; and MEMORY USAGE, which measures by it.
 */
import type { Bytes } from '../../base/units.js'
import type { Caller } from '../../engine/host.js'
import { isString, type Value } from '../../engine/value.js'
import { dump, restore } from '../../persistence/dump.js'
import type { Encoder } from '../../resp/encoder.js'
import type { NodeCommands } from '../dispatch.js'
import type { MigrateRequest } from '../migrate.js'
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

  /** MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH password | AUTH2 user password] [KEYS key …]. */
  migrate(session, args, reply, server) {
    const request = readMigrate(args)
    if (typeof request === 'string') return reply.error(request)
    if (!session.mayBlock) return reply.error('ERR MIGRATE is not possible inside MULTI')
    server.migration.begin(session, request)
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

/** What is asked for, or the error. */
function readMigrate(args: readonly Bytes[]): MigrateRequest | string {
  const [, host, portText, key, dbText, timeoutText] = args as readonly [Bytes, Bytes, Bytes, Bytes, Bytes, Bytes]
  let copy = false
  let replace = false
  let auth: readonly Bytes[] = []
  let keys: readonly Bytes[] = [key]
  for (let at = 6; at < args.length; at++) {
    const word = lower(args[at])
    const left = args.length - 1 - at
    if (word === 'copy') copy = true
    else if (word === 'replace') replace = true
    else if (word === 'auth' && left >= 1) auth = [args[++at] as Bytes]
    else if (word === 'auth2' && left >= 2) auth = [args[++at] as Bytes, args[++at] as Bytes]
    else if (word === 'keys') {
      if (key !== '') {
        return 'ERR When using MIGRATE KEYS option, the key argument must be set to the empty string'
      }
      keys = args.slice(at + 1)
      break
    } else return SYNTAX_ERROR
  }
  const timeoutMs = readInteger(timeoutText)
  const db = readInteger(dbText)
  const port = readInteger(portText)
  if (timeoutMs === undefined || db === undefined || port === undefined) return NOT_AN_INTEGER
  return { to: { host, port }, keys, db, timeoutMs: timeoutMs <= 0 ? 1000 : timeoutMs, copy, replace, auth }
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
    if (db.delete(key)) {
      effects.propagate(caller.db, ['DEL', key])
      effects.wrote(1)
    }
    effects.changed(caller.db, key)
    return reply.ok()
  }
  db.load(key, restored.value, expireAt)
  server.engine.noteArrival(db.table, db.table.slotOf(key), now, idleSeconds, frequency)
  effects.changed(caller.db, key)
  effects.notify('g', 'restore', caller.db, key)
  effects.ready(caller.db, key)
  effects.propagate(caller.db, withAbsoluteTtl(args, expireAt, absolute))
  effects.wrote(1)
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
