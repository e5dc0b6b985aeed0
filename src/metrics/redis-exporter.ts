/**
 * INFO as redis_exporter names it, so that dashboards and alerts that were made for Redis work on our nodes and sentinels
 * without a process beside each of them.
 *
 *     master_repl_offset:1042                            redis_master_repl_offset 1042
 *     slave0:ip=10.0.0.2,port=6379,state=online,offset=… redis_connected_slave_offset_bytes{slave_ip="10.0.0.2",…} …
 */

/** Fields whose values are numbers, and what they are called there; `c` marks counters. */
const fields: Readonly<Record<string, readonly [name: string, type?: 'c']>> = {
  uptime_in_seconds: ['uptime_in_seconds'],
  process_id: ['process_id'],
  connected_clients: ['connected_clients'],
  blocked_clients: ['blocked_clients'],
  tracking_clients: ['tracking_clients'],
  clients_in_timeout_table: ['clients_in_timeout_table'],
  used_memory: ['memory_used_bytes'],
  used_memory_rss: ['memory_used_rss_bytes'],
  used_memory_peak: ['memory_used_peak_bytes'],
  used_memory_lua: ['memory_used_lua_bytes'],
  used_memory_overhead: ['memory_used_overhead_bytes'],
  used_memory_startup: ['memory_used_startup_bytes'],
  used_memory_dataset: ['memory_used_dataset_bytes'],
  used_memory_scripts: ['memory_used_scripts_bytes'],
  maxmemory: ['memory_max_bytes'],
  mem_fragmentation_ratio: ['mem_fragmentation_ratio'],
  lazyfree_pending_objects: ['lazyfree_pending_objects'],
  loading: ['loading_dump_file'],
  rdb_changes_since_last_save: ['rdb_changes_since_last_save'],
  rdb_bgsave_in_progress: ['rdb_bgsave_in_progress'],
  rdb_last_save_time: ['rdb_last_save_timestamp_seconds'],
  rdb_last_bgsave_time_sec: ['rdb_last_bgsave_duration_sec'],
  rdb_current_bgsave_time_sec: ['rdb_current_bgsave_duration_sec'],
  aof_enabled: ['aof_enabled'],
  aof_rewrite_in_progress: ['aof_rewrite_in_progress'],
  aof_rewrite_scheduled: ['aof_rewrite_scheduled'],
  aof_last_rewrite_time_sec: ['aof_last_rewrite_duration_sec'],
  aof_current_rewrite_time_sec: ['aof_current_rewrite_duration_sec'],
  aof_current_size: ['aof_current_size_bytes'],
  aof_base_size: ['aof_base_size_bytes'],
  total_connections_received: ['connections_received_total', 'c'],
  total_commands_processed: ['commands_processed_total', 'c'],
  total_net_input_bytes: ['net_input_bytes_total', 'c'],
  total_net_output_bytes: ['net_output_bytes_total', 'c'],
  rejected_connections: ['rejected_connections_total', 'c'],
  expired_keys: ['expired_keys_total', 'c'],
  evicted_keys: ['evicted_keys_total', 'c'],
  keyspace_hits: ['keyspace_hits_total', 'c'],
  keyspace_misses: ['keyspace_misses_total', 'c'],
  pubsub_channels: ['pubsub_channels'],
  pubsub_patterns: ['pubsub_patterns'],
  sync_full: ['replica_resyncs_full'],
  sync_partial_ok: ['replica_partial_resync_accepted'],
  sync_partial_err: ['replica_partial_resync_denied'],
  tracking_total_keys: ['tracking_total_keys'],
  tracking_total_items: ['tracking_total_items'],
  tracking_total_prefixes: ['tracking_total_prefixes'],
  total_error_replies: ['total_error_replies', 'c'],
  connected_slaves: ['connected_slaves'],
  master_repl_offset: ['master_repl_offset'],
  second_repl_offset: ['second_repl_offset'],
  repl_backlog_active: ['repl_backlog_is_active'],
  repl_backlog_size: ['replication_backlog_bytes'],
  repl_backlog_first_byte_offset: ['repl_backlog_first_byte_offset'],
  repl_backlog_histlen: ['repl_backlog_history_bytes'],
  used_cpu_sys: ['cpu_sys_seconds_total', 'c'],
  used_cpu_user: ['cpu_user_seconds_total', 'c'],
  cluster_enabled: ['cluster_enabled'],
  sentinel_masters: ['sentinel_masters'],
  sentinel_tilt: ['sentinel_tilt'],
  sentinel_running_scripts: ['sentinel_running_scripts'],
  sentinel_scripts_queue_length: ['sentinel_scripts_queue_length'],
  sentinel_simulate_failure_flags: ['sentinel_simulate_failure_flags'],
}

/** Fields of a replica about its master, which redis_exporter labels with that master. */
const linkFields: Readonly<Record<string, string>> = {
  master_last_io_seconds_ago: 'master_last_io_seconds_ago',
  master_sync_in_progress: 'master_sync_in_progress',
  slave_repl_offset: 'slave_repl_offset',
}

interface Sample {
  readonly name: string
  readonly counter: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** The exposition of everything that an answer to `INFO everything` says, in the text format. */
export function redisExporterText(info: string): string {
  const known = new Map(
    info.split('\r\n').flatMap(line => {
      const colon = line.indexOf(':')
      return colon < 1 || line.startsWith('#') ? [] : [[line.slice(0, colon), line.slice(colon + 1)] as const]
    }),
  )
  return expose([
    sample('up', 1),
    instanceInfo(known),
    ...[...known].flatMap(([field, value]) => read(field, value, known)),
  ])
}

function read(field: string, value: string, known: ReadonlyMap<string, string>): readonly Sample[] {
  const plain = fields[field]
  if (plain !== undefined) return number(value, parsed => sample(plain[0], parsed, {}, plain[1] === 'c'))
  const labels = { master_host: known.get('master_host') ?? '', master_port: known.get('master_port') ?? '' }
  if (field === 'master_link_status') return [sample('master_link_up', value === 'up' ? 1 : 0, labels)]
  const ofLink = linkFields[field]
  if (ofLink !== undefined) return number(value, parsed => sample(ofLink, parsed, labels))
  if (field.startsWith('cmdstat_')) return command(field.slice('cmdstat_'.length), pairs(value))
  if (field.startsWith('errorstat_')) {
    const err = field.slice('errorstat_'.length)
    return number(pairs(value).count, count => sample('errors_total', count, { err }, true))
  }
  if (/^db\d+$/.test(field)) return database(field, pairs(value))
  if (/^slave\d+$/.test(field)) return replica(pairs(value))
  if (/^master\d+$/.test(field)) return watched(pairs(value))
  return []
}

function instanceInfo(known: ReadonlyMap<string, string>): Sample {
  const names = [
    'role',
    'redis_version',
    'redis_build_id',
    'redis_mode',
    'os',
    'run_id',
    'tcp_port',
    'process_id',
    'maxmemory_policy',
  ]
  return sample('instance_info', 1, Object.fromEntries(names.map(name => [name, known.get(name) ?? ''])))
}

function command(cmd: string, values: Pairs): readonly Sample[] {
  const counter = (name: string, text: string | undefined, factor = 1): readonly Sample[] =>
    number(text, value => sample(name, value * factor, { cmd }, true))
  return [
    ...counter('commands_total', values.calls),
    ...counter('commands_duration_seconds_total', values.usec, 1e-6),
    ...counter('commands_rejected_calls_total', values.rejected_calls),
    ...counter('commands_failed_calls_total', values.failed_calls),
  ]
}

function database(db: string, values: Pairs): readonly Sample[] {
  return [
    ...number(values.keys, value => sample('db_keys', value, { db })),
    ...number(values.expires, value => sample('db_keys_expiring', value, { db })),
    ...number(values.avg_ttl, value => sample('db_avg_ttl_seconds', value / 1000, { db })),
  ]
}

function replica(values: Pairs): readonly Sample[] {
  const labels = { slave_ip: values.ip ?? '', slave_port: values.port ?? '', slave_state: values.state ?? '' }
  return [
    ...number(values.offset, value => sample('connected_slave_offset_bytes', value, labels)),
    ...number(values.lag, value => sample('connected_slave_lag_seconds', value, labels)),
  ]
}

/** A master that a sentinel watches. */
function watched(values: Pairs): readonly Sample[] {
  const labels = { master_name: values.name ?? '', master_address: values.address ?? '' }
  return [
    sample('sentinel_master_status', 1, { ...labels, master_status: values.status ?? '' }),
    ...number(values.slaves, value => sample('sentinel_master_slaves', value, labels)),
    ...number(values.sentinels, value => sample('sentinel_master_sentinels', value, labels)),
  ]
}

type Pairs = Readonly<Record<string, string | undefined>>

/** `calls=1,usec=7` */
function pairs(text: string): Pairs {
  return Object.fromEntries(text.split(',').map(pair => pair.split(/=(.*)/s).slice(0, 2)))
}

/** What is no number is left out rather than said as 0. */
function number(text: string | undefined, make: (value: number) => Sample): readonly Sample[] {
  const value = text === undefined || text === '' ? Number.NaN : Number(text)
  return Number.isFinite(value) ? [make(value)] : []
}

function sample(name: string, value: number, labels: Sample['labels'] = {}, counter = false): Sample {
  return { name: `redis_${name}`, counter, labels, value }
}

/** Samples of one name stand together, under one TYPE line. */
function expose(samples: readonly Sample[]): string {
  const families = new Map<string, Sample[]>()
  for (const one of samples) {
    const family = families.get(one.name)
    if (family === undefined) families.set(one.name, [one])
    else family.push(one)
  }
  const lines = [...families].flatMap(([name, family]) => [
    `# HELP ${name} As redis_exporter says it.`,
    `# TYPE ${name} ${family[0]?.counter ? 'counter' : 'gauge'}`,
    ...family.map(one => `${name}${labelText(one.labels)} ${one.value}`),
  ])
  return `${lines.join('\n')}\n`
}

function labelText(labels: Sample['labels']): string {
  const all = Object.entries(labels).map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, escapeCharacter)}"`)
  return all.length === 0 ? '' : `{${all.join(',')}}`
}

function escapeCharacter(character: string): string {
  return character === '\n' ? '\\n' : `\\${character}`
}
