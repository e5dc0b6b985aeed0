/**
 * DEBUG: for tests. Refused unless `enable-debug-command` says otherwise.
 */
import type { Bytes } from '../../base/units.js'
import { digestOf, digestOfKey } from '../../engine/digest.js'
import { encodingOf } from '../../engine/value.js'
import type { Encoder } from '../../resp/encoder.js'
import { SHRINK_IDLE_MS } from '../clients.js'
import type { NodeCommands } from '../dispatch.js'
import type { NodeServer } from '../server.js'
import type { Session } from '../session.js'
import { lower, NOT_AN_INTEGER, readInteger, SYNTAX_ERROR } from './words.js'

type DebugHandler = (session: Session, args: readonly Bytes[], reply: Encoder, server: NodeServer) => void

const subcommands: Readonly<Record<string, DebugHandler>> = {
  sleep(_session, args, reply) {
    const seconds = Number(args[2])
    if (args[2] === undefined || Number.isNaN(seconds)) return reply.error('ERR value is not a valid float')
    // Nobody is served meanwhile: that is what it is for.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.max(0, seconds * 1000))
    reply.ok()
  },

  digest(_session, _args, reply, server) {
    reply.simple(digestOf(server.engine.databases))
  },

  'digest-value'(session, args, reply, server) {
    const db = server.engine.database(session.db)
    reply.array(args.length - 2)
    for (const key of args.slice(2)) reply.simple(digestOfKey(db, key))
  },

  'set-active-expire'(_session, args, reply, server) {
    server.snapshots.expirySuspended = args[2] === '0'
    reply.ok()
  },

  object(session, args, reply, server) {
    const db = server.engine.database(session.db)
    const value = db.get(args[2] as Bytes)
    if (value === undefined) return reply.error('ERR no such key')
    reply.simple(
      `Value at:0x7f0000000000 refcount:1 encoding:${encodingOf(value)} serializedlength:0 lru:0 lru_seconds_idle:0`,
    )
  },

  populate(session, args, reply, server) {
    const count = readInteger(args[2])
    const size = args[4] === undefined ? undefined : readInteger(args[4])
    if (count === undefined || (args[4] !== undefined && size === undefined)) return reply.error(NOT_AN_INTEGER)
    const prefix = args[3] ?? 'key'
    const db = server.engine.database(session.db)
    for (let index = 0; index < count; index++) {
      const key = `${prefix}:${index}`
      if (db.expireAt(key) !== undefined) continue
      const value = `value:${index}`
      db.load(key, size === undefined ? value : value.slice(0, size).padEnd(size, '\0'))
    }
    server.effects.changed(db.index, undefined)
    reply.ok()
  },

  reload(_session, args, reply, server) {
    const words = new Set(args.slice(2).map(lower))
    const unknown = [...words].some(word => !['nosave', 'noflush', 'merge'].includes(word))
    if (unknown) return reply.error('ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.')
    const options = { save: !words.has('nosave'), flush: !words.has('noflush'), merge: words.has('merge') }
    const failure = server.loads.reload(options)
    if (failure === undefined) reply.ok()
    else reply.error(`ERR Error trying to load the RDB dump, check server logs: ${failure}`)
  },

  loadaof(_session, _args, reply, server) {
    const failure = server.loads.reloadAof()
    if (failure === undefined) reply.ok()
    else reply.error(`ERR Error trying to load the AOF files, check server logs: ${failure}`)
  },

  'aof-flush-sleep'(_session, args, reply, server) {
    const micros = readInteger(args[2])
    if (micros === undefined) return reply.error(NOT_AN_INTEGER)
    server.aof.flushSleepMicros = micros
    reply.ok()
  },

  'set-skip-checksum-validation'(_session, args, reply, server) {
    server.loads.verifyPayloads = args[2] !== '1'
    reply.ok()
  },

  'pause-cron'(_session, args, reply, server) {
    server.cronPaused = args[2] === '1'
    reply.ok()
  },

  log(_session, args, reply, server) {
    server.log.warning(`DEBUG LOG: ${args[2] ?? ''}`)
    reply.ok()
  },

  replicate(session, args, reply, server) {
    server.effects.message(session.db, args.slice(2))
    reply.ok()
  },

  protocol(_session, args, reply) {
    replyProtocol(lower(args[2]), reply)
  },

  'change-repl-id'(_session, _args, reply, server) {
    server.repl.log.history.renew(server.newReplid())
    reply.ok()
  },

  'set-disable-deny-scripts'(_session, args, reply, server) {
    server.scripting.allowEverything = args[2] === '1'
    reply.ok()
  },

  /** PEAK-RESET-TIME ms|never|reset, RESIZING 0|1: when idle clients give memory back. */
  replybuffer(_session, args, reply, server) {
    const { clients } = server
    const value = lower(args[3])
    if (lower(args[2]) === 'resizing') clients.shrinkIdleMs = value === '0' ? undefined : SHRINK_IDLE_MS
    else if (value === 'never') clients.shrinkIdleMs = undefined
    else clients.shrinkIdleMs = value === 'reset' ? SHRINK_IDLE_MS : (readInteger(args[3]) ?? SHRINK_IDLE_MS)
    reply.ok()
  },

  jmap: accept,
  'quicklist-packed-threshold': accept,
  'stringmatch-len': accept,
  'config-rewrite-force-all': accept,
  'dict-resizing': accept,

  help(_session, _args, reply) {
    const names = Object.keys(subcommands)
    reply.array(names.length + 1)
    reply.simple('DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:')
    for (const name of names) reply.simple(name.toUpperCase())
  },
}

function accept(_session: Session, _args: readonly Bytes[], reply: Encoder): void {
  reply.ok()
}

export const debugCommands: NodeCommands = {
  debug(session, args, reply, server) {
    const name = lower(args[1])
    const handler = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined
    if (handler === undefined) {
      return reply.error(`ERR unknown subcommand or wrong number of arguments for '${args[1]}'. Try DEBUG HELP.`)
    }
    handler(session, args, reply, server)
  },
}

/** One reply of each type. */
function replyProtocol(type: string, reply: Encoder): void {
  switch (type) {
    case 'string':
      return reply.bulk('Hello World')
    case 'integer':
      return reply.integer(12345)
    case 'double':
      return reply.double(3141 / 1000)
    case 'null':
      return reply.null()
    case 'array':
      reply.array(3)
      for (let index = 0; index < 3; index++) reply.integer(index)
      return
    case 'set':
      reply.set(3)
      for (let index = 0; index < 3; index++) reply.integer(index)
      return
    case 'map':
      reply.map(3)
      for (let index = 0; index < 3; index++) {
        reply.integer(index)
        reply.boolean(index === 1)
      }
      return
    case 'attrib':
      if (reply.resp === 3) reply.raw(Buffer.from('|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n'))
      return reply.bulk('Some real reply following the attribute')
    case 'push':
      reply.push(2)
      reply.bulk('server-cpu-usage')
      reply.integer(42)
      return reply.bulk('Some real reply following the push reply')
    case 'true':
      return reply.boolean(true)
    case 'false':
      return reply.boolean(false)
    case 'verbatim':
      return reply.verbatim('txt', 'This is a verbatim\nstring')
    case 'bignum':
      return reply.bignum(1234567999999999999999999999999999999n)
    default:
      return reply.error(SYNTAX_ERROR)
  }
}
