/**
 * The directives of redis.conf: every name of Redis 7.0, its older spelling, what it may hold, what it is by default, and
 * whether it may change while the node runs. CONFIG GET, SET and REWRITE, the file and the command line read this table.
 *
 * `applies: false` marks what has no meaning for us (threads, forks, cluster mode, Redis' own allocator): it is accepted and
 * kept, so that a real redis.conf works, and warned about once when it is set to something else than its default.
 */

export type DirectiveType =
  | { readonly kind: 'bool' }
  | { readonly kind: 'int'; readonly min: number; readonly max: number }
  | { readonly kind: 'octal'; readonly min: number; readonly max: number }
  /** Bytes with units; with `percent`, also `N%`, kept as a negative number. */
  | { readonly kind: 'memory'; readonly min: number; readonly max: number; readonly percent?: true }
  | { readonly kind: 'text' }
  /** A file name without a path. */
  | { readonly kind: 'filename'; readonly mayBeEmpty: boolean }
  | { readonly kind: 'one-of'; readonly values: readonly string[] }
  | { readonly kind: 'some-of'; readonly values: readonly string[] }
  /** Several words with rules of their own, see values.ts. */
  | { readonly kind: 'save' | 'output-limits' | 'events' | 'bind' | 'replicaof' | 'dir' | 'oom-values' | 'percentiles' }

export interface Directive {
  readonly name: string
  readonly alias?: string
  readonly type: DirectiveType
  readonly default: string
  /** May be set by CONFIG SET; true unless stated. */
  readonly mutable?: false
  readonly applies?: false
  /** Found by its exact name only, never by a pattern. */
  readonly hidden?: true
  /** CONFIG SET needs `enable-protected-configs`. */
  readonly protected?: true
  /** A secret: never shown in the slow log or to MONITOR. */
  readonly sensitive?: true
  /** Refused while a data set is being loaded. */
  readonly notWhileLoading?: true
  readonly doc: string
}

const INT_MAX = 2147483647
const UINT_MAX = 4294967295
const LONG_MAX = Number('9223372036854775807')

const bool = { kind: 'bool' } as const
const text = { kind: 'text' } as const
const int = (min: number, max = INT_MAX) => ({ kind: 'int', min, max }) as const
const memory = (min: number, max = LONG_MAX) => ({ kind: 'memory', min, max }) as const
const oneOf = (...values: string[]) => ({ kind: 'one-of', values }) as const
const someOf = (...values: string[]) => ({ kind: 'some-of', values }) as const

const on = 'yes'
const off = 'no'
const fixed = { mutable: false } as const
const noMeaning = { applies: false } as const

/** Most rows are name, type, default and a line of documentation; the rest are marks. */
function row<Name extends string>(
  name: Name,
  type: DirectiveType,
  initial: string,
  doc: string,
  marks: Partial<Omit<Directive, 'name' | 'type' | 'default' | 'doc'>> = {},
): Directive & { readonly name: Name } {
  return { name, type, default: initial, doc, ...marks }
}

const protectedAction = oneOf('no', 'yes', 'local')
const shutdownFlags = someOf('default', 'save', 'nosave', 'now', 'force')

export const directives = [
  // ── Network and process
  row(
    'bind',
    { kind: 'bind' },
    '* -::*',
    'Addresses to listen on; `-` in front of one means: not an error when it is missing.',
  ),
  row('port', int(0, 65535), '6379', 'TCP port; 0 listens on none.'),
  row('unixsocket', text, '', 'Path of a unix socket to listen on as well.', fixed),
  row('unixsocketperm', { kind: 'octal', min: 0, max: 0o777 }, '0', 'Permissions of the unix socket.', fixed),
  row('tcp-backlog', int(0), '511', 'Connections that wait to be accepted.', { ...fixed, ...noMeaning }),
  row('tcp-keepalive', int(0), '300', 'Seconds of silence after which a client is probed; 0 never.'),
  row('timeout', int(0), '0', 'Seconds after which an idle client is closed; 0 never.'),
  row('maxclients', int(1, UINT_MAX), '10000', 'Client connections accepted at once.'),
  row('protected-mode', bool, on, 'Without a password and without bind, only clients of this machine are served.'),
  row('bind-source-addr', text, '', 'Address of this machine from which the master is called; empty for any.'),
  row('socket-mark-id', int(0, UINT_MAX), '0', 'SO_MARK of listening sockets.', { ...fixed, ...noMeaning }),
  row('daemonize', bool, off, 'Run in the background.', { ...fixed, ...noMeaning }),
  row('pidfile', text, '', 'File that holds the process id.', fixed),
  row('supervised', oneOf('upstart', 'systemd', 'auto', 'no'), off, 'Signal a service manager.', {
    ...fixed,
    ...noMeaning,
  }),
  row('databases', int(1), '16', 'Number of databases.', fixed),
  row('hz', int(0), '10', 'How often per second background tasks run.'),
  row('dynamic-hz', bool, on, 'More background runs with more clients.', noMeaning),
  row('io-threads', int(1, 128), '1', 'Threads for reading and writing.', { ...fixed, ...noMeaning }),
  row('io-threads-do-reads', bool, off, 'Read in threads as well.', { ...fixed, ...noMeaning }),
  row('always-show-logo', bool, off, 'Print the logo.', { ...fixed, ...noMeaning }),
  row('set-proc-title', bool, on, 'Set the title of the process.', { ...fixed, ...noMeaning }),
  row('proc-title-template', text, '{title} {listen-addr} {server-mode}', 'Template of the process title.', noMeaning),
  row('disable-thp', bool, on, 'Disable transparent huge pages.', { ...fixed, ...noMeaning }),
  row('oom-score-adj', oneOf('no', 'yes', 'relative', 'absolute'), off, 'Adjust the score of the kernel’s OOM killer.'),
  row(
    'oom-score-adj-values',
    { kind: 'oom-values' },
    '0 200 800',
    'Scores for master, replica and child; we have no child.',
  ),
  row('server_cpulist', text, '', 'CPUs of the server.', { ...fixed, ...noMeaning }),
  row('bio_cpulist', text, '', 'CPUs of background threads.', { ...fixed, ...noMeaning }),
  row('aof_rewrite_cpulist', text, '', 'CPUs of the AOF rewrite.', { ...fixed, ...noMeaning }),
  row('bgsave_cpulist', text, '', 'CPUs of BGSAVE.', { ...fixed, ...noMeaning }),
  row('crash-log-enabled', bool, on, 'Print a report when crashing.', noMeaning),
  row('crash-memcheck-enabled', bool, on, 'Check memory when crashing.', noMeaning),
  row('use-exit-on-panic', bool, off, 'Exit instead of abort on a panic.', { hidden: true, ...noMeaning }),
  row('watchdog-period', int(0), '0', 'Software watchdog.', { hidden: true, ...noMeaning }),
  row('ignore-warnings', text, '', 'Start-up warnings to leave out.', noMeaning),
  row('shutdown-timeout', int(0), '10', 'Seconds that SHUTDOWN and SIGTERM wait for lagging replicas.'),
  row('shutdown-on-sigint', shutdownFlags, 'default', 'What SIGINT does.'),
  row('shutdown-on-sigterm', shutdownFlags, 'default', 'What SIGTERM does.'),

  // ── Log
  row('loglevel', oneOf('debug', 'verbose', 'notice', 'warning'), 'notice', 'Least important level that is logged.'),
  row('logfile', text, '', 'File to log to; empty is standard output.', fixed),
  row('syslog-enabled', bool, off, 'Log to syslog.', { ...fixed, ...noMeaning }),
  row('syslog-ident', text, 'redis', 'Identity for syslog.', { ...fixed, ...noMeaning }),
  row(
    'syslog-facility',
    oneOf('user', 'local0', 'local1', 'local2', 'local3', 'local4', 'local5', 'local6', 'local7'),
    'local0',
    'Facility for syslog.',
    { ...fixed, ...noMeaning },
  ),

  // ── Access
  row('requirepass', text, '', 'Password of the default user.', { sensitive: true }),
  row('aclfile', text, '', 'File of users.', fixed),
  row('acllog-max-len', int(0, LONG_MAX), '128', 'Entries of ACL LOG.'),
  row('acl-pubsub-default', oneOf('allchannels', 'resetchannels'), 'resetchannels', 'Channels of a new user.'),
  row('enable-protected-configs', protectedAction, off, 'Whether CONFIG SET may change dir and dbfilename.', fixed),
  row('enable-debug-command', protectedAction, off, 'Whether DEBUG may be used.', fixed),
  row('enable-module-command', protectedAction, off, 'Whether MODULE may be used.', { ...fixed, ...noMeaning }),

  // ── Clients
  row(
    'client-output-buffer-limit',
    { kind: 'output-limits' },
    'normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60',
    'Per class: bytes waiting at which a client is closed at once, and bytes and seconds at which it is closed after a while.',
  ),
  row('client-query-buffer-limit', memory(1024 * 1024), '1073741824', 'Bytes of an unfinished request.'),
  row('proto-max-bulk-len', memory(1024 * 1024), '536870912', 'Bytes of one argument.'),
  row(
    'maxmemory-clients',
    { kind: 'memory', min: -100, max: LONG_MAX, percent: true },
    '0',
    'Memory of all clients together, in bytes or percents of maxmemory; beyond it the largest are closed. 0: no limit.',
  ),
  row('tracking-table-max-keys', int(0, LONG_MAX), '1000000', 'Keys remembered for client-side caching.'),

  // ── Replication
  row('replicaof', { kind: 'replicaof' }, '', 'Host and port of the master to replicate from.', {
    alias: 'slaveof',
    ...fixed,
  }),
  row('masterauth', text, '', 'Password for the master.', { sensitive: true }),
  row('masteruser', text, '', 'User for the master.', { sensitive: true }),
  row('replica-serve-stale-data', bool, on, 'Whether a replica without its master answers.', {
    alias: 'slave-serve-stale-data',
  }),
  row('replica-read-only', bool, on, 'Whether a replica refuses writes.', { alias: 'slave-read-only' }),
  row('replica-ignore-maxmemory', bool, on, 'A replica leaves eviction to its master.', {
    alias: 'slave-ignore-maxmemory',
  }),
  row('replica-lazy-flush', bool, off, 'Drop the old data in the background on a full resync.', {
    alias: 'slave-lazy-flush',
  }),
  row('replica-priority', int(0), '100', 'Preference of sentinels; lower first, 0 never.', { alias: 'slave-priority' }),
  row('replica-announced', bool, on, 'Whether sentinels list this replica.'),
  row('replica-announce-ip', text, '', 'Address told to the master instead of our own.', {
    alias: 'slave-announce-ip',
  }),
  row('replica-announce-port', int(0, 65535), '0', 'Port told to the master instead of our own.', {
    alias: 'slave-announce-port',
  }),
  row('replica-ignore-disk-write-errors', bool, off, 'Whether a replica that cannot write its disk goes on.'),
  row('repl-diskless-sync', bool, on, 'Send snapshots from memory to replicas that can read them so.'),
  row('repl-diskless-sync-delay', int(0), '5', 'Seconds to wait for more replicas before a diskless snapshot.'),
  row('repl-diskless-sync-max-replicas', int(0), '0', 'Start at once when so many replicas wait; 0 waits the delay.'),
  row(
    'repl-diskless-load',
    oneOf('disabled', 'on-empty-db', 'swapdb'),
    'disabled',
    'Load a snapshot from the socket.',
    { notWhileLoading: true },
  ),
  row('repl-disable-tcp-nodelay', bool, off, 'Fewer, later packets to replicas.', noMeaning),
  row('repl-ping-replica-period', int(1), '10', 'Seconds between the PINGs that a master writes to its replicas.', {
    alias: 'repl-ping-slave-period',
  }),
  row('repl-timeout', int(1), '60', 'Seconds of silence after which a replication link is given up.'),
  row('repl-backlog-size', memory(1), '1048576', 'Bytes of the stream kept for partial resyncs.'),
  row(
    'repl-backlog-ttl',
    int(0, LONG_MAX),
    '3600',
    'Seconds after the last replica left at which the backlog is freed; 0 never.',
  ),
  row('min-replicas-to-write', int(0), '0', 'Refuse writes with fewer good replicas.', {
    alias: 'min-slaves-to-write',
  }),
  row('min-replicas-max-lag', int(0), '10', 'Seconds since its last acknowledgement up to which a replica is good.', {
    alias: 'min-slaves-max-lag',
  }),
  row(
    'propagation-error-behavior',
    oneOf('ignore', 'panic', 'panic-on-replicas'),
    'ignore',
    'What an error in the replication stream does.',
  ),
  row(
    'refuse-empty-master',
    bool,
    off,
    'Ours: a replica that has data refuses the snapshot of a master that came back without any.',
  ),
  row(
    'start-fenced',
    bool,
    off,
    'Ours: one that starts as a master refuses writes until REPLICAOF says what it shall be.',
  ),
  row('rdb-del-sync-files', bool, off, 'Delete the snapshot files of full resyncs.'),

  // ── Persistence
  row('save', { kind: 'save' }, '3600 1 300 100 60 10000', 'Save points: seconds and changes.'),
  row('dir', { kind: 'dir' }, '.', 'Folder of the data files.', { protected: true, notWhileLoading: true }),
  row('dbfilename', { kind: 'filename', mayBeEmpty: true }, 'dump.rdb', 'Name of the snapshot file.', {
    protected: true,
  }),
  row('rdbcompression', bool, on, 'Compress strings in snapshots.'),
  row('rdbchecksum', bool, on, 'Checksum at the end of snapshots.', fixed),
  row('rdb-save-incremental-fsync', bool, on, 'Sync the snapshot file while it is written.', noMeaning),
  row('rdb-key-save-delay', int(-INT_MAX - 1), '0', 'Microseconds of delay per key, for tests.', { hidden: true }),
  row('key-load-delay', int(-INT_MAX - 1), '0', 'Microseconds of delay per key, for tests.', { hidden: true }),
  row('loading-process-events-interval-bytes', int(1024), '2097152', 'Bytes loaded between two looks at the clients.', {
    hidden: true,
  }),
  row('sanitize-dump-payload', oneOf('no', 'yes', 'clients'), off, 'Deep checks of loaded payloads.', noMeaning),
  row('stop-writes-on-bgsave-error', bool, on, 'Refuse writes while snapshots fail.'),
  row('appendonly', bool, off, 'Keep an append-only file: what was acknowledged is on the disk (see appendfsync).', {
    notWhileLoading: true,
  }),
  row(
    'aof-checksum',
    bool,
    off,
    'Ours: checksums in the AOF and its manifest (comments to redis-server), so that flipped bits are refused; some 2 ns per byte.',
  ),
  row(
    'aof-adopt-rdb',
    bool,
    off,
    'Ours: with appendonly yes and no AOF yet, begin with the snapshot file rather than empty, as Redis would.',
  ),
  row('appendfilename', { kind: 'filename', mayBeEmpty: false }, 'appendonly.aof', 'Base name of the AOF.', fixed),
  row('appenddirname', { kind: 'filename', mayBeEmpty: false }, 'appendonlydir', 'Folder of the AOF.', fixed),
  row('appendfsync', oneOf('everysec', 'always', 'no'), 'everysec', 'When the AOF is synced to disk.'),
  row('no-appendfsync-on-rewrite', bool, off, 'No sync while a rewrite runs.'),
  row('auto-aof-rewrite-percentage', int(0), '100', 'Growth at which the AOF is rewritten.'),
  row('auto-aof-rewrite-min-size', memory(0), '67108864', 'Least size at which the AOF is rewritten.'),
  row('aof-load-truncated', bool, on, 'Load an AOF whose end is missing.'),
  row('aof-use-rdb-preamble', bool, on, 'The base of the AOF is an RDB.'),
  row('aof-timestamp-enabled', bool, off, 'Timestamps in the AOF.'),
  row('aof-rewrite-incremental-fsync', bool, on, 'Sync while rewriting.', noMeaning),
  row('aof-disable-auto-gc', bool, off, 'Keep old AOF files.'),

  // ── Data
  row('maxmemory', memory(0, Number.MAX_VALUE), '0', 'Memory limit of the data; 0 none.'),
  row(
    'maxmemory-policy',
    oneOf(
      'volatile-lru',
      'volatile-lfu',
      'volatile-random',
      'volatile-ttl',
      'allkeys-lru',
      'allkeys-lfu',
      'allkeys-random',
      'noeviction',
    ),
    'noeviction',
    'Which keys go when the limit is reached.',
  ),
  row('maxmemory-samples', int(1), '5', 'Keys looked at per eviction.'),
  row('maxmemory-eviction-tenacity', int(0, 100), '10', 'How hard eviction works.'),
  row('lfu-log-factor', int(0), '10', 'How slowly the frequency counter grows.'),
  row('lfu-decay-time', int(0), '1', 'Minutes after which the frequency counter shrinks.'),
  row('active-expire-effort', int(1, 10), '1', 'How hard expired keys are looked for.'),
  row('lazyfree-lazy-eviction', bool, off, 'Evict with UNLINK.'),
  row('lazyfree-lazy-expire', bool, off, 'Expire with UNLINK.'),
  row('lazyfree-lazy-server-del', bool, off, 'Overwrite with UNLINK.'),
  row('lazyfree-lazy-user-del', bool, off, 'DEL is UNLINK.'),
  row('lazyfree-lazy-user-flush', bool, off, 'FLUSHALL is asynchronous.'),
  row('hash-max-listpack-entries', int(0, LONG_MAX), '512', 'Fields up to which a hash is packed.', {
    alias: 'hash-max-ziplist-entries',
  }),
  row('hash-max-listpack-value', memory(0), '64', 'Bytes of a value up to which a hash is packed.', {
    alias: 'hash-max-ziplist-value',
  }),
  row('list-max-listpack-size', int(-INT_MAX - 1), '-2', 'Size of the nodes of a list.', {
    alias: 'list-max-ziplist-size',
  }),
  row('list-compress-depth', int(0), '0', 'Nodes at the ends of a list that are not compressed.', noMeaning),
  row('set-max-intset-entries', int(0, LONG_MAX), '512', 'Members up to which a set of integers is packed.'),
  row('zset-max-listpack-entries', int(0, LONG_MAX), '128', 'Members up to which a sorted set is packed.', {
    alias: 'zset-max-ziplist-entries',
  }),
  row('zset-max-listpack-value', memory(0), '64', 'Bytes of a member up to which a sorted set is packed.', {
    alias: 'zset-max-ziplist-value',
  }),
  row('hll-sparse-max-bytes', memory(0), '3000', 'Size of a sparse HyperLogLog.'),
  row('stream-node-max-bytes', memory(0), '4096', 'Bytes of a node of a stream.'),
  row('stream-node-max-entries', int(0, LONG_MAX), '100', 'Entries of a node of a stream.'),
  row('notify-keyspace-events', { kind: 'events' }, '', 'Classes of keyspace notifications.'),
  row('busy-reply-threshold', int(0, LONG_MAX), '5000', 'Milliseconds after which a script is called busy.', {
    alias: 'lua-time-limit',
  }),
  row('activerehashing', bool, on, 'Rehash in the background.', noMeaning),
  row('jemalloc-bg-thread', bool, on, 'Background thread of the allocator.', noMeaning),
  row('activedefrag', bool, off, 'Active defragmentation.', noMeaning),
  row('active-defrag-ignore-bytes', memory(1), '104857600', 'Active defragmentation.', noMeaning),
  row('active-defrag-threshold-lower', int(0, 1000), '10', 'Active defragmentation.', noMeaning),
  row('active-defrag-threshold-upper', int(0, 1000), '100', 'Active defragmentation.', noMeaning),
  row('active-defrag-cycle-min', int(1, 99), '1', 'Active defragmentation.', noMeaning),
  row('active-defrag-cycle-max', int(1, 99), '25', 'Active defragmentation.', noMeaning),
  row('active-defrag-max-scan-fields', int(1, LONG_MAX), '1000', 'Active defragmentation.', noMeaning),

  // ── Observation
  row(
    'slowlog-log-slower-than',
    int(-1, LONG_MAX),
    '10000',
    'Microseconds from which a command is slow; -1 logs none.',
  ),
  row('slowlog-max-len', int(0, LONG_MAX), '128', 'Entries of the slow log.'),
  row('latency-monitor-threshold', int(0, LONG_MAX), '0', 'Milliseconds from which an event is remembered; 0 none.'),
  row('latency-tracking', bool, on, 'Distribution of latencies per command.'),
  row('latency-tracking-info-percentiles', { kind: 'percentiles' }, '50 99 99.9', 'Percentiles in INFO latencystats.'),
  row('metrics-port', int(0, 65535), '0', 'Port of the Prometheus metrics of this node; 0 none.', {
    hidden: true,
  }),

  // ── TLS
  row('tls-port', int(0, 65535), '0', 'TLS port; 0 listens on none.'),
  row('tls-replication', bool, off, 'Whether the link to our master is a TLS connection.'),
  row('tls-cluster', bool, off, 'Cluster bus over TLS.', noMeaning),
  row('tls-auth-clients', oneOf('no', 'yes', 'optional'), on, 'Whether clients must, or may, show a certificate.'),
  row('tls-prefer-server-ciphers', bool, off, 'Our order of ciphers.'),
  row('tls-session-caching', bool, on, 'Session cache.', noMeaning),
  row('tls-session-cache-size', int(0), '20480', 'Session cache.', noMeaning),
  row('tls-session-cache-timeout', int(0), '300', 'Session cache.', noMeaning),
  row('tls-cert-file', text, '', 'Certificate; set again to the same name, it is read again.'),
  row('tls-key-file', text, '', 'Its key.'),
  row('tls-key-file-pass', text, '', 'Password of the key.', { sensitive: true }),
  row('tls-client-cert-file', text, '', 'Certificate of the link to a master; empty is that of clients.'),
  row('tls-client-key-file', text, '', 'Key of that certificate.'),
  row('tls-client-key-file-pass', text, '', 'Password of that key.', { sensitive: true }),
  row('tls-dh-params-file', text, '', 'Diffie-Hellman parameters.'),
  row('tls-ca-cert-file', text, '', 'Authorities that clients and masters are checked against.'),
  row('tls-ca-cert-dir', text, '', 'Folder of authorities.'),
  row('tls-protocols', text, '', 'Protocol versions, such as TLSv1.2 TLSv1.3, which is what empty means.'),
  row('tls-ciphers', text, '', 'Ciphers up to TLS 1.2.'),
  row('tls-ciphersuites', text, '', 'Ciphers of TLS 1.3.'),

  // ── Cluster mode, which a node does not have
  row('cluster-enabled', bool, off, 'Cluster mode.', { ...fixed, ...noMeaning }),
  row('cluster-config-file', text, 'nodes.conf', 'Cluster mode.', { ...fixed, ...noMeaning }),
  row('cluster-port', int(0, 65535), '0', 'Cluster mode.', { ...fixed, ...noMeaning }),
  row('cluster-node-timeout', int(0, LONG_MAX), '15000', 'Cluster mode.', noMeaning),
  row('cluster-announce-ip', text, '', 'Cluster mode.', noMeaning),
  row('cluster-announce-hostname', text, '', 'Cluster mode.', noMeaning),
  row('cluster-announce-port', int(0, 65535), '0', 'Cluster mode.', noMeaning),
  row('cluster-announce-bus-port', int(0, 65535), '0', 'Cluster mode.', noMeaning),
  row('cluster-announce-tls-port', int(0, 65535), '0', 'Cluster mode.', noMeaning),
  row('cluster-require-full-coverage', bool, on, 'Cluster mode.', noMeaning),
  row('cluster-replica-no-failover', bool, off, 'Cluster mode.', { alias: 'cluster-slave-no-failover', ...noMeaning }),
  row('cluster-replica-validity-factor', int(0), '10', 'Cluster mode.', {
    alias: 'cluster-slave-validity-factor',
    ...noMeaning,
  }),
  row('cluster-migration-barrier', int(0), '1', 'Cluster mode.', noMeaning),
  row('cluster-allow-reads-when-down', bool, off, 'Cluster mode.', noMeaning),
  row('cluster-allow-pubsubshard-when-down', bool, on, 'Cluster mode.', noMeaning),
  row('cluster-allow-replica-migration', bool, on, 'Cluster mode.', noMeaning),
  row('cluster-link-sendbuf-limit', memory(0, Number.MAX_VALUE), '0', 'Cluster mode.', noMeaning),
  row('cluster-preferred-endpoint-type', oneOf('ip', 'hostname', 'unknown-endpoint'), 'ip', 'Cluster mode.', noMeaning),
] as const satisfies readonly Directive[]

export type DirectiveName = (typeof directives)[number]['name']

const byName = new Map<string, Directive>()
for (const directive of directives as readonly Directive[]) {
  byName.set(directive.name, directive)
  if (directive.alias !== undefined) byName.set(directive.alias, directive)
}

/** By its name or its older spelling, in any case. */
export function findDirective(name: string): Directive | undefined {
  return byName.get(name.toLowerCase())
}

/** Every name CONFIG GET knows, older spellings included, with its directive. */
export function directiveNames(): IterableIterator<[string, Directive]> {
  return byName.entries()
}
