/**
 * INFO: sections of `field:value` lines, named and spelled as Redis 7.0 does, since monitoring tools and sentinels parse
 * them. What a process without fork and without jemalloc cannot know is 0.
 */
import os from 'node:os'
import { builtinTable } from '../command/table.js'
import { roleWord } from '../replication/link.js'
import type { NodeServer } from './server.js'

type Line = string
type Section = (server: NodeServer) => Line[]

const sections: Readonly<Record<string, Section>> = {
  server: serverSection,
  clients: clientsSection,
  memory: memorySection,
  persistence: persistenceSection,
  stats: statsSection,
  replication: replicationSection,
  cpu: cpuSection,
  modules: () => [],
  commandstats: commandStatsSection,
  errorstats: errorStatsSection,
  latencystats: latencyStatsSection,
  cluster: () => ['cluster_enabled:0'],
  keyspace: keyspaceSection,
}

const byDefault = Object.keys(sections).filter(name => name !== 'commandstats' && name !== 'latencystats')

/** `wanted` in lower case; none for the default ones. */
export function renderInfo(server: NodeServer, wanted: readonly string[]): string {
  const names = new Set<string>()
  for (const word of wanted.length === 0 ? ['default'] : wanted) {
    if (word === 'default') for (const name of byDefault) names.add(name)
    else if (word === 'all' || word === 'everything') for (const name of Object.keys(sections)) names.add(name)
    else names.add(word)
  }
  const parts: string[] = []
  for (const [name, section] of Object.entries(sections)) {
    if (!names.has(name)) continue
    const title = titles[name] ?? name.charAt(0).toUpperCase() + name.slice(1)
    parts.push([`# ${title}`, ...section(server), ''].join('\r\n'))
  }
  return parts.join('\r\n')
}

const titles: Readonly<Record<string, string>> = { cpu: 'CPU' }

function serverSection(server: NodeServer): Line[] {
  const uptime = Math.floor((server.clock.now() - server.startedAt) / 1000)
  return [
    `redis_version:${server.version}`,
    'redis_git_sha1:00000000',
    'redis_git_dirty:0',
    'redis_build_id:0',
    `redis_mode:${server.mode?.name ?? 'standalone'}`,
    `os:${os.type()} ${os.release()} ${os.machine()}`,
    'arch_bits:64',
    'monotonic_clock:POSIX clock_gettime',
    'multiplexing_api:libuv',
    'atomicvar_api:none',
    'gcc_version:0.0.0',
    `process_id:${process.pid}`,
    'process_supervised:no',
    `run_id:${server.runId}`,
    `tcp_port:${server.port}`,
    `server_time_usec:${Math.floor(server.clock.wall() * 1000)}`,
    `uptime_in_seconds:${uptime}`,
    `uptime_in_days:${Math.floor(uptime / 86400)}`,
    `hz:${server.config.number('hz')}`,
    `configured_hz:${server.config.number('hz')}`,
    `lru_clock:${Math.floor(server.clock.wall() / 1000) & 0xffffff}`,
    `executable:${process.argv[1] ?? ''}`,
    `config_file:${server.configFile ?? ''}`,
    'io_threads_active:0',
    `lagrange_version:${server.lagrangeVersion}`,
    ...(server.shutdownUntil === undefined
      ? []
      : [`shutdown_in_milliseconds:${Math.max(0, Math.round(server.shutdownUntil - server.clock.now()))}`]),
  ]
}

function latencyStatsSection(server: NodeServer): Line[] {
  const percents = server.config
    .text('latency-tracking-info-percentiles')
    .split(' ')
    .filter(word => word !== '')
  return builtinTable.specs.flatMap(spec => {
    const histogram = server.latency.histogramOf(spec)
    if (histogram === undefined || percents.length === 0) return []
    const figures = percents.map(percent => `p${percent}=${histogram.percentile(Number(percent)).toFixed(3)}`)
    return [`latency_percentiles_usec_${spec.name}:${figures.join(',')}`]
  })
}

function clientsSection(server: NodeServer): Line[] {
  let biggestInput = 0
  let biggestOutput = 0
  for (const session of server.clients) {
    biggestInput = Math.max(biggestInput, session.decoder.pending)
    biggestOutput = Math.max(biggestOutput, session.peer.queuedBytes)
  }
  return [
    `connected_clients:${server.clients.size - server.replicaSessions.size}`,
    'cluster_connections:0',
    `maxclients:${server.config.number('maxclients')}`,
    `client_recent_max_input_buffer:${biggestInput}`,
    `client_recent_max_output_buffer:${biggestOutput}`,
    `blocked_clients:${server.blockedClients}`,
    `tracking_clients:${server.tracking.counts.clients}`,
    `clients_in_timeout_table:${server.waiting.count}`,
  ]
}

function memorySection(server: NodeServer): Line[] {
  const memory = process.memoryUsage()
  const account = server.memory
  const { usedBytes: used, peakBytes: peak, clients, backlogBytes: backlog, replicaBytes } = account
  const overhead = account.overheadBytes
  const dataset = used - overhead
  const maxmemory = server.config.number('maxmemory')
  return [
    `used_memory:${used}`,
    `used_memory_human:${human(used)}`,
    `used_memory_rss:${memory.rss}`,
    `used_memory_rss_human:${human(memory.rss)}`,
    `used_memory_peak:${peak}`,
    `used_memory_peak_human:${human(peak)}`,
    `used_memory_peak_perc:${((used / peak) * 100).toFixed(2)}%`,
    `used_memory_overhead:${overhead}`,
    `used_memory_startup:${account.startupBytes}`,
    `used_memory_dataset:${dataset}`,
    `used_memory_dataset_perc:${((dataset / (used - account.startupBytes)) * 100).toFixed(2)}%`,
    // Ours: what V8 holds, garbage and code included.
    `used_memory_heap:${memory.heapUsed + memory.external}`,
    `used_memory_heap_limit:${account.heapLimit}`,
    `total_system_memory:${os.totalmem()}`,
    `total_system_memory_human:${human(os.totalmem())}`,
    `used_memory_lua:${server.scripting.scripts.usedBytes}`,
    `used_memory_vm_eval:${server.scripting.scripts.usedBytes}`,
    `used_memory_lua_human:${human(server.scripting.scripts.usedBytes)}`,
    `used_memory_scripts_eval:${server.scripting.scripts.bytes}`,
    `number_of_cached_scripts:${server.scripting.scripts.count}`,
    `number_of_functions:${server.scripting.libraries.functionCount}`,
    `number_of_libraries:${server.scripting.libraries.count}`,
    `used_memory_vm_functions:${server.scripting.libraries.usedBytes}`,
    'used_memory_vm_total:0',
    'used_memory_functions:0',
    'used_memory_scripts:0',
    `maxmemory:${maxmemory}`,
    `maxmemory_human:${human(maxmemory)}`,
    `maxmemory_policy:${server.config.text('maxmemory-policy')}`,
    `mem_fragmentation_ratio:${(memory.rss / Math.max(1, used)).toFixed(2)}`,
    `mem_fragmentation_bytes:${Math.max(0, memory.rss - used)}`,
    `mem_not_counted_for_evict:${replicaBytes}`,
    `mem_replication_backlog:${backlog - replicaBytes}`,
    `mem_total_replication_buffers:${backlog}`,
    `mem_clients_slaves:${replicaBytes + clients.replicas}`,
    `mem_clients_normal:${clients.normal}`,
    'mem_cluster_links:0',
    `mem_aof_buffer:${server.aof.writer?.bufferedBytes ?? 0}`,
    'mem_allocator:v8',
    'active_defrag_running:0',
    'lazyfree_pending_objects:0',
    `lazyfreed_objects:${server.engine.stats.lazyfreed}`,
  ]
}

function persistenceSection(server: NodeServer): Line[] {
  const { snapshots, loads, aof } = server
  return [
    `loading:${loads.dataHidden ? 1 : 0}`,
    `async_loading:${loads.arriving === 'aside' ? 1 : 0}`,
    'current_cow_peak:0',
    'current_cow_size:0',
    'current_cow_size_age:0',
    'current_fork_perc:0.00',
    'current_save_keys_processed:0',
    'current_save_keys_total:0',
    `rdb_changes_since_last_save:${server.effects.dirty}`,
    `rdb_bgsave_in_progress:${snapshots.saving ? 1 : 0}`,
    `rdb_last_save_time:${Math.floor(snapshots.lastSaveAt / 1000)}`,
    `rdb_last_bgsave_status:${snapshots.lastSaveFailed ? 'err' : 'ok'}`,
    `rdb_last_bgsave_time_sec:${snapshots.lastSaveSeconds}`,
    `rdb_current_bgsave_time_sec:${snapshots.currentSaveSeconds}`,
    `rdb_saves:${snapshots.saves}`,
    'rdb_last_cow_size:0',
    `rdb_last_load_keys_expired:${loads.lastLoad.expired}`,
    `rdb_last_load_keys_loaded:${loads.lastLoad.keys}`,
    `aof_enabled:${aof.enabled ? 1 : 0}`,
    `aof_rewrite_in_progress:${snapshots.rewriting ? 1 : 0}`,
    `aof_rewrite_scheduled:${aof.scheduled ? 1 : 0}`,
    `aof_last_rewrite_time_sec:${aof.lastRewriteSeconds}`,
    `aof_current_rewrite_time_sec:${snapshots.currentRewriteSeconds}`,
    `aof_last_bgrewrite_status:${aof.lastRewriteFailed ? 'err' : 'ok'}`,
    `aof_rewrites:${aof.rewrites}`,
    `aof_rewrites_consecutive_failures:${aof.failures}`,
    `aof_last_write_status:${aof.error === undefined ? 'ok' : 'err'}`,
    'aof_last_cow_size:0',
    'module_fork_in_progress:0',
    'module_fork_last_cow_size:0',
    ...(aof.enabled ? appendOnlyLines(server) : []),
  ]
}

function appendOnlyLines({ aof }: NodeServer): Line[] {
  return [
    `aof_current_size:${aof.bytes}`,
    `aof_base_size:${aof.bytesAtRewrite}`,
    'aof_pending_rewrite:0',
    `aof_buffer_length:${aof.writer?.bufferedBytes ?? 0}`,
    `aof_pending_bio_fsync:${aof.writer?.fsyncPending === true ? 1 : 0}`,
    `aof_delayed_fsync:${aof.writer?.delayedFsyncs ?? 0}`,
  ]
}

function statsSection(server: NodeServer): Line[] {
  const { stats, engine } = server
  const exceeded = server.memory.exceeded(server.clock.now())
  return [
    `total_connections_received:${stats.connectionsReceived}`,
    `total_commands_processed:${stats.totalCommands}`,
    `instantaneous_ops_per_sec:${stats.opsPerSec.perSecond}`,
    `total_net_input_bytes:${stats.inputBytes + stats.replicationInputBytes}`,
    `total_net_output_bytes:${server.sentBytes()}`,
    `total_net_repl_input_bytes:${stats.replicationInputBytes}`,
    `total_net_repl_output_bytes:${stats.replicationOutputBytes}`,
    `instantaneous_input_kbps:${(stats.inputPerSec.perSecond / 1024).toFixed(2)}`,
    `instantaneous_output_kbps:${(stats.outputPerSec.perSecond / 1024).toFixed(2)}`,
    'instantaneous_input_repl_kbps:0.00',
    'instantaneous_output_repl_kbps:0.00',
    `rejected_connections:${stats.connectionsRejected}`,
    `sync_full:${stats.syncFull}`,
    `sync_partial_ok:${stats.syncPartialOk}`,
    `sync_partial_err:${stats.syncPartialErr}`,
    `expired_keys:${engine.stats.expired}`,
    'expired_stale_perc:0.00',
    'expired_time_cap_reached_count:0',
    'expire_cycle_cpu_milliseconds:0',
    `evicted_keys:${engine.stats.evicted}`,
    `evicted_clients:${server.clients.memory.evicted}`,
    `total_eviction_exceeded_time:${exceeded.total}`,
    `current_eviction_exceeded_time:${exceeded.current}`,
    `keyspace_hits:${engine.stats.hits}`,
    `keyspace_misses:${engine.stats.misses}`,
    `pubsub_channels:${server.pubsub.count('channel')}`,
    `pubsub_patterns:${server.pubsub.count('pattern')}`,
    `pubsubshard_channels:${server.pubsub.count('shard')}`,
    'latest_fork_usec:0',
    `total_forks:${stats.forks}`,
    `migrate_cached_sockets:${server.migration.cachedConnections}`,
    `slave_expires_tracked_keys:${engine.ownVolatileKeys}`,
    'active_defrag_hits:0',
    'active_defrag_misses:0',
    'active_defrag_key_hits:0',
    'active_defrag_key_misses:0',
    'total_active_defrag_time:0',
    'current_active_defrag_time:0',
    `tracking_total_keys:${server.tracking.counts.keys}`,
    `tracking_total_items:${server.tracking.counts.items}`,
    `tracking_total_prefixes:${server.tracking.counts.prefixes}`,
    `unexpected_error_replies:${stats.unexpectedErrorReplies}`,
    `total_error_replies:${stats.totalErrors}`,
    'dump_payload_sanitizations:0',
    `total_reads_processed:${stats.totalCommands}`,
    `total_writes_processed:${stats.totalCommands}`,
    'io_threaded_reads_processed:0',
    'io_threaded_writes_processed:0',
    'reply_buffer_shrinks:0',
    'reply_buffer_expands:0',
  ]
}

function replicationSection(server: NodeServer): Line[] {
  const { repl, follower } = server
  const { history, backlog } = repl.log
  const lines: Line[] = [`role:${server.role === 'master' ? 'master' : 'slave'}`]
  if (server.fenced) lines.push('fenced:1')
  if (follower !== undefined) {
    const now = server.clock.now()
    const connected = follower.connected
    lines.push(
      `master_host:${follower.master.host}`,
      `master_port:${follower.master.port}`,
      `master_link_status:${connected ? 'up' : 'down'}`,
      `master_last_io_seconds_ago:${connected ? Math.floor((now - follower.lastIoAt) / 1000) : -1}`,
      `master_sync_in_progress:${roleWord(follower.link) === 'sync' ? 1 : 0}`,
      `slave_read_repl_offset:${follower.readOffset}`,
      `slave_repl_offset:${history.offset}`,
    )
    if (roleWord(follower.link) === 'sync') {
      const { total, read } = follower.transferred
      lines.push(
        `master_sync_total_bytes:${total}`,
        `master_sync_read_bytes:${read}`,
        `master_sync_left_bytes:${total - read}`,
        `master_sync_perc:${total === 0 ? '0.00' : ((read / total) * 100).toFixed(2)}`,
        `master_sync_last_io_seconds_ago:${Math.floor((now - follower.lastIoAt) / 1000)}`,
      )
    }
    if (!connected) {
      const { downSince } = follower
      lines.push(
        `master_link_down_since_seconds:${downSince === undefined ? -1 : Math.floor((now - downSince) / 1000)}`,
      )
    }
    lines.push(
      `slave_priority:${server.config.number('replica-priority')}`,
      `slave_read_only:${server.config.flag('replica-read-only') ? 1 : 0}`,
      `replica_announced:${server.config.flag('replica-announced') ? 1 : 0}`,
    )
  }
  const replicas = repl.list()
  lines.push(`connected_slaves:${replicas.length}`)
  if (server.config.number('min-replicas-to-write') > 0 && server.config.number('min-replicas-max-lag') > 0) {
    lines.push(`min_slaves_good_slaves:${repl.replicas.countGood(server.clock.now())}`)
  }
  for (const [index, replica] of replicas.entries()) {
    const session = repl.sessionOf(replica.id)
    const ip = replica.profile.ipAddress ?? session?.peer.remoteHost.replace(/^::ffff:/, '') ?? ''
    const lag = replica.state === 'online' ? Math.floor(replica.ackAgeMs / 1000) : 0
    lines.push(
      `slave${index}:ip=${ip},port=${replica.profile.listeningPort},state=${replica.state},offset=${replica.ackOffset},lag=${lag}`,
    )
  }
  lines.push(
    `master_failover_state:${server.failover.state}`,
    `master_replid:${history.replid}`,
    `master_replid2:${repl.replid2}`,
    `master_repl_offset:${history.offset}`,
    `second_repl_offset:${history.secondOffset}`,
    `repl_backlog_active:${backlog === undefined ? 0 : 1}`,
    `repl_backlog_size:${repl.log.capacity}`,
    `repl_backlog_first_byte_offset:${backlog?.firstOffset ?? 0}`,
    `repl_backlog_histlen:${backlog?.length ?? 0}`,
  )
  return lines
}

function cpuSection(): Line[] {
  const { user, system } = process.cpuUsage()
  const seconds = (micros: number): string => (micros / 1e6).toFixed(6)
  return [
    `used_cpu_sys:${seconds(system)}`,
    `used_cpu_user:${seconds(user)}`,
    'used_cpu_sys_children:0.000000',
    'used_cpu_user_children:0.000000',
    `used_cpu_sys_main_thread:${seconds(system)}`,
    `used_cpu_user_main_thread:${seconds(user)}`,
  ]
}

function commandStatsSection({ stats }: NodeServer): Line[] {
  const lines: Line[] = []
  for (const { id, name } of builtinTable.specs) {
    const calls = stats.calls[id] as number
    const rejected = stats.rejected[id] as number
    if (calls === 0 && rejected === 0) continue
    const micros = Math.floor(stats.micros[id] as number)
    const mean = calls === 0 ? 0 : (stats.micros[id] as number) / calls
    lines.push(
      `cmdstat_${name}:calls=${calls},usec=${micros},usec_per_call=${mean.toFixed(2)},rejected_calls=${rejected},failed_calls=${stats.failed[id]}`,
    )
  }
  return lines
}

function errorStatsSection({ stats }: NodeServer): Line[] {
  return [...stats.errors].sort().map(([code, count]) => `errorstat_${code}:count=${count}`)
}

function keyspaceSection({ engine }: NodeServer): Line[] {
  return engine.databases
    .filter(db => db.size > 0)
    .map(db => `db${db.index}:keys=${db.size},expires=${db.volatileSize},avg_ttl=0`)
}

function human(bytes: number): string {
  if (bytes < 1024) return `${bytes}B`
  const units = ['K', 'M', 'G', 'T', 'P'] as const
  let value = bytes / 1024
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${value.toFixed(2)}${units[unit]}`
}
