/**
 * What a change of a directive does: where each of them is watched.
 */
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { EngineSettings } from '../engine/settings.js'
import type { DirectiveName } from './config/directives.js'
import { tlsDirectives } from './doors.js'
import type { NodeServer } from './server.js'

type SettingOf<Type> = {
  [Name in keyof EngineSettings]: EngineSettings[Name] extends Type ? Name : never
}[keyof EngineSettings]

const numbers: readonly (readonly [DirectiveName, SettingOf<number>])[] = [
  ['hash-max-listpack-entries', 'hashMaxListpackEntries'],
  ['hash-max-listpack-value', 'hashMaxListpackValue'],
  ['set-max-intset-entries', 'setMaxIntsetEntries'],
  ['zset-max-listpack-entries', 'zsetMaxListpackEntries'],
  ['zset-max-listpack-value', 'zsetMaxListpackValue'],
  ['list-max-listpack-size', 'listMaxListpackSize'],
  ['stream-node-max-bytes', 'streamNodeMaxBytes'],
  ['stream-node-max-entries', 'streamNodeMaxEntries'],
  ['hll-sparse-max-bytes', 'hllSparseMaxBytes'],
  ['proto-max-bulk-len', 'protoMaxBulkLen'],
  ['lfu-log-factor', 'lfuLogFactor'],
  ['lfu-decay-time', 'lfuDecayTime'],
]

const flags: readonly (readonly [DirectiveName, SettingOf<boolean>])[] = [
  ['lazyfree-lazy-eviction', 'lazyfreeLazyEviction'],
  ['lazyfree-lazy-expire', 'lazyfreeLazyExpire'],
  ['lazyfree-lazy-server-del', 'lazyfreeLazyServerDel'],
  ['lazyfree-lazy-user-del', 'lazyfreeLazyUserDel'],
  ['lazyfree-lazy-user-flush', 'lazyfreeLazyUserFlush'],
]

const replicationOptions: readonly DirectiveName[] = [
  'repl-timeout',
  'repl-ping-replica-period',
  'repl-diskless-sync',
  'repl-diskless-sync-delay',
  'repl-diskless-sync-max-replicas',
  'repl-backlog-ttl',
  'min-replicas-max-lag',
  'save',
]

export function applySettings(server: NodeServer): void {
  const { config, engine } = server
  const watch = (name: DirectiveName, apply: () => void): void =>
    config.watch(name, () => {
      apply()
      return undefined
    })

  for (const [name, setting] of numbers) {
    watch(name, () => {
      engine.settings[setting] = config.number(name)
    })
  }
  for (const [name, setting] of flags) {
    watch(name, () => {
      engine.settings[setting] = config.flag(name)
    })
  }
  const memoryChanged = () => {
    const policy = config.text('maxmemory-policy')
    engine.settings.lfu = policy.endsWith('lfu')
    // The stamps are notes about one key: a value under several keys could not have them.
    engine.settings.sharesIntegers = config.number('maxmemory') === 0 || !/l[rf]u$/.test(policy)
    server.memory.limitChanged()
  }
  for (const name of ['maxmemory', 'maxmemory-policy', 'replica-ignore-maxmemory'] as const) watch(name, memoryChanged)
  for (const name of replicationOptions) {
    watch(name, () => {
      server.repl.replicas.options = server.repl.readOptions()
    })
  }
  watch('client-output-buffer-limit', () => {
    server.clients.setLimits(config.text('client-output-buffer-limit'))
    server.repl.replicas.options = server.repl.readOptions()
  })
  watch('repl-backlog-size', () => server.repl.log.resize(config.number('repl-backlog-size')))
  for (const name of ['min-replicas-to-write', 'stop-writes-on-bgsave-error', 'save'] as const) {
    watch(name, () => server.recalm())
  }
  watch('notify-keyspace-events', () => server.effects.setEvents(config.text('notify-keyspace-events')))
  watch('slowlog-log-slower-than', () => {
    const micros = config.number('slowlog-log-slower-than')
    server.slowMicros = micros < 0 ? Number.POSITIVE_INFINITY : micros
  })
  watch('latency-monitor-threshold', () => {
    const millis = config.number('latency-monitor-threshold')
    server.latency.threshold = millis === 0 ? Number.POSITIVE_INFINITY : millis
  })
  watch('latency-tracking', () => {
    server.latency.tracking = config.flag('latency-tracking')
  })
  for (const name of ['maxmemory-clients', 'maxmemory'] as const) {
    watch(name, () => server.clients.memory.setLimit(config.number('maxmemory-clients'), config.number('maxmemory')))
  }
  watch('tracking-table-max-keys', () => server.tracking.setMaxKeys(config.number('tracking-table-max-keys')))
  watch('slowlog-max-len', () => server.slowlog.trim(config.number('slowlog-max-len')))
  watch('loglevel', () => server.setLogLevel(config.text('loglevel')))
  // Who is connected stays what it is.
  watch('requirepass', () => server.acl.setDefaultPassword(config.text('requirepass')))
  watch('proto-max-bulk-len', () => {
    engine.settings.protoMaxBulkLen = config.number('proto-max-bulk-len')
    for (const session of server.clients) session.limitsChanged()
  })
  for (const name of ['port', 'tls-port'] as const) config.watch(name, () => server.doors.move(name))
  config.watch('bind', () => server.doors.rebind())
  for (const name of ['oom-score-adj', 'oom-score-adj-values'] as const)
    config.watch(name, () => server.oomScore.apply())
  let metricsStarted = false
  // What cannot be had at run time is refused rather than accepted without effect.
  config.watch('metrics-port', () => {
    if (metricsStarted) return 'it can only be set at start'
    metricsStarted = true
    return undefined
  })
  let started = false
  config.watch('appendonly', value => {
    if (!started) {
      started = true
      return undefined
    }
    if (value === true) return server.aof.enable()
    server.aof.disable()
    return undefined
  })
  watch('aof-disable-auto-gc', () => server.aof.folder.forgetHistory())

  // Nothing is read before the node starts, when all of them are known.
  for (const name of tlsDirectives) config.watch(name, () => (server.doors.opened ? server.doors.reload() : undefined))
  config.watch('dir', value => {
    if (value === '') return 'No such file or directory'
    const path = resolve(server.cwd, String(value))
    try {
      if (!statSync(path).isDirectory()) return 'Not a directory'
    } catch {
      return 'No such file or directory'
    }
    config.put('dir', path)
    return undefined
  })
}
