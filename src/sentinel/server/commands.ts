/**
 * SENTINEL and its subcommands, as clients, operators and other sentinels call them, in Redis' words. What changes the
 * state is on the disk before it is answered; what could not be written is answered with an error and stays in force.
 */
import type { Bytes } from '../../base/units.js'
import { matchesGlob } from '../../command/glob.js'
import type { Encoder } from '../../resp/encoder.js'
import { hasControlCharacters, isMasterName, refusalText } from '../../topology/quorum/conf.js'
import { majorityOf } from '../../topology/quorum/down.js'
import { isSentinelId } from '../../topology/quorum/hello.js'
import { couldPromote } from '../../topology/quorum/promotion.js'
import { addMaster, disconnect, removeMaster, resetMaster } from '../../topology/quorum/roster.js'
import { isTimingName, type TimingName } from '../../topology/quorum/timing.js'
import { currentPlace, failing, type MasterWatch, type Watched } from '../../topology/quorum/watched.js'
import { fieldsOf } from './fields.js'
import { HELP } from './help.js'
import { setOptions } from './set-options.js'
import type { Watcher } from './watcher.js'

/** `args` begin with the command's own name. Who answers later returns a promise. */
export type SentinelHandler = (watcher: Watcher, args: readonly Bytes[], reply: Encoder) => void | Promise<void>

const NOT_AN_INTEGER = 'ERR value is not an integer or out of range'
const NO_SUCH_MASTER = 'ERR No such master with that name'
const NOT_SAVED = 'ERR Failed to save config file. Check server logs.'

export const sentinelHandlers: Readonly<Record<string, SentinelHandler>> = {
  'sentinel|help'(_watcher, _args, reply) {
    reply.array(HELP.length)
    for (const line of HELP) reply.simple(line)
  },
  'sentinel|myid'({ council }, _args, reply) {
    reply.bulk(council.myid)
  },

  // ── Asking
  'sentinel|masters'(watcher, _args, reply) {
    replyAll(watcher, [...watcher.council.masters.values()], reply)
  },
  'sentinel|master': ofMaster((watcher, master, _args, reply) => replyWatched(watcher, master, reply)),
  'sentinel|replicas': ofMaster(replyReplicas),
  'sentinel|slaves': ofMaster(replyReplicas),
  'sentinel|sentinels': ofMaster((watcher, master, _args, reply) => {
    replyAll(watcher, [...master.peers.values()], reply)
  }),
  'sentinel|get-master-addr-by-name'({ council }, args, reply) {
    const master = council.masters.get(args[2] as Bytes)
    if (master === undefined) return reply.nullArray()
    const place = currentPlace(master)
    reply.array(2)
    reply.bulk(council.shown(place))
    reply.bulk(String(place.port))
  },
  'sentinel|is-master-down-by-addr'({ quorum, clock }, args, reply) {
    const [port, epoch] = [readWhole(args[3]), readWhole(args[4])]
    if (port === undefined || epoch === undefined) return reply.error(NOT_AN_INTEGER)
    const candidate = args[5] as Bytes
    if (candidate !== '*' && !isSentinelId(candidate)) return reply.error('ERR Invalid runid')
    const place = { host: args[2] as Bytes, port }
    const answer = quorum.asked(place, epoch, candidate === '*' ? undefined : candidate, clock.now())
    reply.array(3)
    reply.integer(answer.down ? 1 : 0)
    reply.bulk(answer.leader ?? '*')
    reply.integer(answer.epoch)
  },
  'sentinel|ckquorum': ofMaster((_watcher, master, _args, reply) => replyQuorum(master, reply)),
  'sentinel|info-cache'({ council, clock }, args, reply) {
    const now = clock.now()
    const masters = args.slice(2).flatMap(name => council.masters.get(name) ?? [])
    reply.array(masters.length * 2)
    for (const master of masters) {
      reply.bulk(master.name)
      reply.array(master.replicas.size + 1)
      for (const server of [master, ...master.replicas.values()]) {
        reply.array(2)
        reply.integer(server.info === undefined ? 0 : Math.floor(now - server.infoAt))
        if (server.info === undefined) reply.null()
        else reply.bulk(server.info)
      }
    }
  },
  'sentinel|pending-scripts'({ scripts, clock }, _args, reply) {
    const now = clock.now()
    reply.array(scripts.jobs.length)
    for (const { argv, child, startedAt, notBefore, tries } of scripts.jobs) {
      const since = child === undefined ? Math.max(0, notBefore - now) : now - startedAt
      reply.map(5)
      reply.bulk('argv')
      reply.array(argv.length)
      for (const arg of argv) reply.bulk(arg)
      const fields = [
        ['flags', child === undefined ? 'scheduled' : 'running'],
        ['pid', String(child?.pid ?? 0)],
        [child === undefined ? 'run-delay' : 'run-time', String(Math.floor(since))],
        ['retry-num', String(tries)],
      ] as const
      replyPairs(fields, reply)
    }
  },

  // ── Changing
  async 'sentinel|monitor'(watcher, args, reply) {
    const [name, host, portText, quorumText] = args.slice(2) as [Bytes, Bytes, Bytes, Bytes]
    const quorum = readWhole(quorumText)
    if (quorum === undefined) return reply.error('ERR Invalid quorum')
    const port = readWhole(portText)
    if (port === undefined) return reply.error('ERR Invalid port')
    if (quorum <= 0) return reply.error('ERR Quorum must be 1 or greater.')
    if (!isMasterName(name)) return reply.error('ERR Names of masters have letters, digits and . - _ only.')
    const { council } = watcher
    if (council.settings.resolveHostnames) await watcher.names.find(host)
    if (council.place(host, 0) === undefined) return reply.error('ERR Invalid IP address or hostname specified')
    const master = addMaster(council, { name, host, port, quorum }, watcher.clock.now())
    if (typeof master === 'string') return reply.error(`ERR ${refusalText(master, 'Duplicate master name.')}`)
    replySaved(watcher, reply)
    council.event('warning', '+monitor', master, `quorum ${quorum}`)
  },
  'sentinel|remove': ofMaster((watcher, master, _args, reply) => {
    watcher.council.event('warning', '-monitor', master)
    removeMaster(watcher.council, master)
    replySaved(watcher, reply)
  }),
  'sentinel|reset'({ council, clock }, args, reply) {
    const masters = [...council.masters.values()].filter(master => matchesGlob(args[2] as Bytes, master.name))
    for (const master of masters) {
      resetMaster(council, master, clock.now(), false)
      council.event('warning', '+reset-master', master)
    }
    reply.integer(masters.length)
  },
  'sentinel|failover': ofMaster((watcher, master, _args, reply) => {
    const { council, quorum, clock } = watcher
    if (failing(master)) return reply.error('INPROG Failover already in progress')
    if (!couldPromote(council, master, clock.now())) {
      return reply.error('NOGOODSLAVE No suitable replica to promote')
    }
    council.emit({ do: 'log', level: 'warning', text: `Executing user requested FAILOVER of '${master.name}'` })
    quorum.orderFailover(master, clock.now())
    reply.ok()
  }),
  'sentinel|flushconfig'(watcher, _args, reply) {
    replySaved(watcher, reply)
  },
  'sentinel|set': ofMaster((watcher, master, args, reply) => {
    const { council } = watcher
    const result = setOptions(watcher, master, args.slice(3))
    // What came before the mistake stays set, as ever.
    const saved = result.changes === 0 || council.save()
    if (result.dropConnections) for (const server of [master, ...master.replicas.values()]) disconnect(council, server)
    if (result.error !== undefined) reply.error(result.error)
    else if (saved) reply.ok()
    else reply.error(NOT_SAVED)
  }),
  'sentinel|config'(watcher, args, reply) {
    const verb = (args[2] as Bytes).toLowerCase()
    if (verb === 'get' && args.length === 4) return configGet(watcher, args[3] as Bytes, reply)
    if (verb === 'set' && args.length === 5) return configSet(watcher, args[3] as Bytes, args[4] as Bytes, reply)
    reply.error('ERR Only SENTINEL CONFIG GET <option> / SET <option> <value> are supported.')
  },

  // ── For tests of others
  'sentinel|simulate-failure'({ council }, args, reply) {
    const { simulate } = council
    simulate.crashAfterElection = simulate.crashAfterPromotion = false
    for (const word of args.slice(2).map(arg => arg.toLowerCase())) {
      if (word === 'crash-after-election') simulate.crashAfterElection = true
      else if (word === 'crash-after-promotion') simulate.crashAfterPromotion = true
      else if (word === 'help') {
        reply.array(2)
        reply.bulk('crash-after-election')
        return reply.bulk('crash-after-promotion')
      } else return reply.error('ERR Unknown failure simulation specified')
    }
    reply.ok()
  },
  'sentinel|debug'({ council }, args, reply) {
    const { timing } = council
    if (args.length === 2) {
      const names = Object.keys(timing) as TimingName[]
      reply.map(names.length)
      return replyPairs(
        names.map(name => [name.toUpperCase(), String(timing[name])] as const),
        reply,
      )
    }
    for (let at = 2; at < args.length; at += 2) {
      const option = args[at] as Bytes
      const name = option.toLowerCase()
      const value = args[at + 1]
      if (!isTimingName(name) || value === undefined) {
        return reply.error(`ERR Unknown option or number of arguments for SENTINEL DEBUG '${option}'`)
      }
      const milliseconds = readWhole(value)
      if (milliseconds === undefined || milliseconds <= 0) {
        return reply.error(`ERR Invalid argument '${value}' for SENTINEL DEBUG '${option}'`)
      }
      timing[name] = milliseconds
    }
    reply.ok()
  },
}

// ── Answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

type MasterHandler = (watcher: Watcher, master: MasterWatch, args: readonly Bytes[], reply: Encoder) => void

function ofMaster(handler: MasterHandler): SentinelHandler {
  return (watcher, args, reply) => {
    const master = watcher.council.masters.get(args[2] as Bytes)
    if (master === undefined) reply.error(NO_SUCH_MASTER)
    else handler(watcher, master, args, reply)
  }
}

function replyReplicas(watcher: Watcher, master: MasterWatch, _args: readonly Bytes[], reply: Encoder): void {
  const announced = [...master.replicas.values()].filter(replica => replica.announced)
  replyAll(watcher, announced, reply)
}

function replyAll(watcher: Watcher, all: readonly Watched[], reply: Encoder): void {
  reply.array(all.length)
  for (const watched of all) replyWatched(watcher, watched, reply)
}

function replyWatched({ council, clock }: Watcher, watched: Watched, reply: Encoder): void {
  const fields = fieldsOf(council, watched, clock.now())
  reply.map(fields.length)
  replyPairs(
    fields.map(([name, value]) => [name, String(value)] as const),
    reply,
  )
}

function replyPairs(pairs: readonly (readonly [string, string])[], reply: Encoder): void {
  for (const [name, value] of pairs) {
    reply.bulk(name)
    reply.bulk(value)
  }
}

function replySaved({ council }: Watcher, reply: Encoder): void {
  if (council.save()) reply.ok()
  else reply.error(NOT_SAVED)
}

function replyQuorum(master: MasterWatch, reply: Encoder): void {
  const usable = 1 + [...master.peers.values()].filter(peer => !peer.sdown).length
  const missing: string[] = []
  if (usable < master.quorum) {
    missing.push('Not enough available Sentinels to reach the specified quorum for this master')
  }
  if (usable < majorityOf(master)) {
    missing.push('Not enough available Sentinels to reach the majority and authorize a failover')
  }
  if (missing.length > 0) return reply.error(`NOQUORUM ${usable} usable Sentinels. ${missing.join('. ')}`)
  reply.simple(`OK ${usable} usable Sentinels. Quorum and failover authorization can be reached`)
}

// ── SENTINEL CONFIG ─────────────────────────────────────────────────────────────────────────────────────────────────

function configGet({ council }: Watcher, pattern: Bytes, reply: Encoder): void {
  const { settings } = council
  const all = [
    ['resolve-hostnames', settings.resolveHostnames ? 'yes' : 'no'],
    ['announce-hostnames', settings.announceHostnames ? 'yes' : 'no'],
    ['announce-ip', settings.announceIp],
    ['announce-port', String(settings.announcePort)],
    ['sentinel-user', settings.sentinelUser],
    ['sentinel-pass', settings.sentinelPass],
  ] as const
  const found = all.filter(([name]) => matchesGlob(pattern, name, true))
  reply.map(found.length)
  replyPairs(found, reply)
}

function configSet(watcher: Watcher, option: Bytes, value: Bytes, reply: Encoder): void {
  const { council } = watcher
  const { settings } = council
  const flag = /^(yes|no)$/i.test(value) ? value.toLowerCase() === 'yes' : undefined
  const port = readWhole(value)
  let bad = hasControlCharacters(value)
  const name = option.toLowerCase()
  if (name === 'resolve-hostnames' && flag !== undefined) settings.resolveHostnames = flag
  else if (name === 'announce-hostnames' && flag !== undefined) settings.announceHostnames = flag
  else if (name === 'announce-port' && port !== undefined && port >= 0 && port <= 65535) settings.announcePort = port
  else if (name === 'announce-ip' && !bad) settings.announceIp = value
  else if (name === 'sentinel-user' && !bad) settings.sentinelUser = value
  else if (name === 'sentinel-pass' && !bad) settings.sentinelPass = value
  else if (
    /^(resolve-hostnames|announce-hostnames|announce-port|announce-ip|sentinel-user|sentinel-pass)$/.test(name)
  ) {
    bad = true
  } else return reply.error(`ERR Invalid argument '${option}' to SENTINEL CONFIG SET`)
  if (bad) return reply.error(`ERR Invalid value '${value}' to SENTINEL CONFIG SET '${option}'`)
  replySaved(watcher, reply)
  if (!name.startsWith('sentinel-')) return
  // The others are met again with the new credentials.
  for (const master of council.masters.values()) for (const peer of master.peers.values()) disconnect(council, peer)
}

function readWhole(text: Bytes | undefined): number | undefined {
  const value = text !== undefined && /^(0|-?[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(value) ? value : undefined
}
