/**
 * Asking the server about itself: INFO, CONFIG, SLOWLOG, MONITOR and what else has no better place.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { Bytes } from '../../base/units.js'
import { findCommand } from '../../command/table.js'
import type { Encoder } from '../../resp/encoder.js'
import { ConfigRefusal } from '../config/config.js'
import { rewriteConfig } from '../config/rewrite.js'
import type { NodeCommands, NodeHandler } from '../dispatch.js'
import { renderInfo } from '../info.js'
import type { NodeServer } from '../server.js'
import { bulkArray, lower, readInteger, replyHelp, SYNTAX_ERROR } from './words.js'

export const serverCommands: NodeCommands = {
  info(_session, args, reply, server) {
    reply.verbatim('txt', renderInfo(server, args.slice(1).map(lower)))
  },

  time(_session, _args, reply, server) {
    const now = server.clock.wall()
    reply.array(2)
    reply.bulk(String(Math.floor(now / 1000)))
    // The wall clock has milliseconds; a monotonic fraction makes two calls differ.
    reply.bulk(String(Math.floor((now % 1000) * 1000 + (performance.now() % 1) * 1000)))
  },

  monitor(session, _args, reply, server) {
    if (!session.mayBlock) return reply.error("ERR MONITOR isn't allowed for DENY BLOCKING client")
    session.monitoring = true
    server.monitors.add(session)
    session.refresh()
    server.recalm()
    reply.ok()
  },

  lolwut(_session, _args, reply, server) {
    reply.verbatim('txt', `Five points where forces balance: . . . . .\nRedis ver. ${server.version}\n`)
  },

  // ── CONFIG
  'config|get'(_session, args, reply, server) {
    const pairs = server.config.get(args.slice(2))
    reply.map(pairs.length)
    for (const [name, value] of pairs) {
      reply.bulk(name)
      reply.bulk(value)
    }
  },
  'config|set'(session, args, reply, server) {
    if (args.length % 2 !== 0) return reply.error(SYNTAX_ERROR)
    const pairs: [string, string][] = []
    for (let at = 2; at < args.length; at += 2) pairs.push([args[at] as Bytes, args[at + 1] as Bytes])
    try {
      const loading = server.loads.dataHidden || server.loads.arriving === 'aside'
      server.config.set(pairs, { loading, mayChangeProtected: server.mayChangeProtected(session) })
    } catch (error) {
      if (!(error instanceof ConfigRefusal)) throw error
      return reply.error(error.message)
    }
    reply.ok()
  },
  'config|rewrite'(_session, _args, reply, server) {
    if (server.configFile === undefined) return reply.error('ERR The server is running without a config file')
    try {
      rewriteFile(server, server.configFile)
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code ?? String(error)
      server.log.warning(`CONFIG REWRITE failed: ${reason}`)
      return reply.error(`ERR Rewriting config file: ${reason}`)
    }
    server.log.notice('CONFIG REWRITE executed with success.')
    reply.ok()
  },
  'config|resetstat'(_session, _args, reply, server) {
    server.stats.reset()
    server.latency.resetHistograms()
    server.memory.resetStats()
    Object.assign(server.engine.stats, { hits: 0, misses: 0, expired: 0, evicted: 0, lazyfreed: 0 })
    reply.ok()
  },

  // ── SLOWLOG
  'slowlog|get'(_session, args, reply, server) {
    const count = args[2] === undefined ? 10 : readInteger(args[2])
    if (count === undefined || count < -1) return reply.error('ERR count should be greater than or equal to -1')
    const entries = server.slowlog.newest(count)
    reply.array(entries.length)
    for (const entry of entries) {
      reply.array(6)
      reply.integer(entry.id)
      reply.integer(entry.unixSeconds)
      reply.integer(entry.micros)
      bulkArray(reply, entry.args)
      reply.bulk(entry.address)
      reply.bulk(entry.name)
    }
  },
  'slowlog|len'(_session, _args, reply, server) {
    reply.integer(server.slowlog.length)
  },
  'slowlog|reset'(_session, _args, reply, server) {
    server.slowlog.clear()
    reply.ok()
  },

  // ── MODULE
  'module|list'(_session, _args, reply) {
    reply.array(0)
  },
  'module|load'(_session, _args, reply) {
    reply.error('ERR Error loading the extension. Please check the server logs.')
  },
  'module|unload'(_session, _args, reply) {
    reply.error('ERR Error unloading module: no such module with that name')
  },

  // ── What only a cluster has
  ...Object.fromEntries(subcommandsOf('cluster').map(name => [name, withoutCluster])),
  readonly: withoutCluster,
  readwrite: withoutCluster,
  asking: withoutCluster,

  // ── Scripts: none can run, so none is running
  'script|kill'(_session, _args, reply) {
    reply.error('NOTBUSY No scripts in execution right now.')
  },
  'script|exists'(_session, args, reply) {
    reply.array(args.length - 2)
    for (let at = 2; at < args.length; at++) reply.integer(0)
  },
  'script|flush'(_session, _args, reply) {
    reply.ok()
  },

  ...helps('object', 'config', 'slowlog', 'latency', 'module'),
}

function withoutCluster(_session: unknown, _args: readonly Bytes[], reply: Encoder): void {
  reply.error('ERR This instance has cluster support disabled')
}

function subcommandsOf(container: string): string[] {
  return [...(findCommand(container)?.subcommands?.values() ?? [])].map(spec => spec.name)
}

function helps(...containers: string[]): NodeCommands {
  const commands: Record<string, NodeHandler> = {}
  for (const container of containers) {
    commands[`${container}|help`] = (_session, _args, reply) => {
      const spec = findCommand(container)
      if (spec !== undefined) replyHelp(spec, reply)
    }
  }
  return commands
}

/** Written beside it and put in its place: the file is never half of one and half of the other. */
function rewriteFile(server: NodeServer, file: string): void {
  const temp = `${file}.${process.pid}.tmp`
  writeFileSync(temp, rewriteConfig(readFileSync(file, 'latin1'), server.config, server.acl.configLines()), 'latin1')
  renameSync(temp, file)
}
