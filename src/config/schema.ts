/**
 * Every option of `lagrange proxy` and `lagrange up`: meaning, default, environment variable, flag.
 *
 *     YAML file  <  environment  <  flags
 *
 * config/proxy.yaml and the reference are generated from these rows; `UPDATE=1 npm test` rewrites the file.
 */
import { formatAddress, parseAddress } from '../base/address.js'
import type { Millis } from '../base/units.js'
import { type AccessConfig, accessOptions, checkAccess } from './access-options.js'
import { type ConsistencyLevel, consistencyLevels, type ListenerConfig, type UpstreamConfig } from './formats.js'
import type { ConfigSchema, OptionTree } from './option.js'
import { checkTopology, type TopologyConfig, topologyOptions } from './topology-options.js'

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** Whose users clients log in as. */
const userSources = ['proxy', 'instances'] as const

/** Which replication streams are listened to. */
export const tapsModes = ['off', 'replicas', 'all'] as const
export type TapsMode = (typeof tapsModes)[number]

export interface ConsistencyConfig {
  readonly level: ConsistencyLevel
  readonly waitMs: Millis
  readonly noReplica: 'master' | 'error'
  readonly boundMs: Millis
  readonly taps: TapsMode
  readonly sessionBy: 'connection' | 'client-name' | 'user'
  readonly lostWrites: 'tell' | 'close' | 'ignore'
  readonly minServing: number
  readonly masterSharePercent: number
  readonly verifyEvery: number
  /** Who must have any write before it is acknowledged; 0: nobody but the master. */
  readonly acks: number | 'witness'
  readonly acksTimeoutMs: Millis
  readonly acksOtherwise: 'refuse' | 'degrade'
  readonly hedgePercent: number
  readonly hedgeAfterMs: Millis
  readonly ejectOutliers: boolean
}

/** What `proxy` and `up` have in common. */
export interface SharedConfig {
  readonly group: string
  readonly clientAuth: {
    readonly password: string
    readonly passwordFile: string
    readonly users: 'proxy' | 'instances'
  }
  readonly workers: number | 'auto'
  readonly hold: { readonly timeoutMs: Millis; readonly bytes: number }
  readonly witness: { readonly bytes: number }
  readonly consistency: ConsistencyConfig
  readonly detection: { readonly downAfterMs: Millis; readonly pingPeriodMs: Millis }
  readonly insight: { readonly slowMs: Millis; readonly slowEntries: number; readonly sampleEvery: number }
  readonly dataDir: string
  readonly log: { readonly level: LogLevel; readonly format: 'auto' | 'json' | 'pretty' }
}

export interface ProxyConfig extends SharedConfig, AccessConfig, TopologyConfig {
  readonly listeners: readonly ListenerConfig[]
  readonly upstreams: readonly UpstreamConfig[]
  readonly upstreamAuth: { readonly user: string; readonly password: string; readonly passwordFile: string }
  readonly zone: string
  readonly failover: boolean
  readonly admin: AdminConfig
}

export interface AdminConfig {
  /** `host:port` or `off`. */
  readonly listen: string
  readonly token: string
  readonly tokenFile: string
  readonly tokens: string
  readonly tokensFile: string
  readonly auditFile: string
  readonly allowedHosts: readonly string[]
}

export interface UpConfig extends SharedConfig {
  readonly port: number
  readonly nodePort: number
  readonly replicas: number
  readonly adminPort: number
}

const group = {
  doc: 'The name of the group: the label on metrics, and what Sentinel calls the master name.',
  default: 'main',
  format: 'name',
  allowed: 'a name of 1 to 64 letters, digits, dots, dashes and underscores',
  env: 'LAGRANGE_GROUP',
  flag: 'group',
  placeholder: 'name',
  reload: 'restart',
} as const

const clientAuth = {
  password: {
    doc: 'The password clients must give, as requirepass of Redis; empty asks for none.',
    default: '',
    format: 'text',
    allowed: 'text',
    env: 'LAGRANGE_REQUIREPASS',
    reload: 'restart',
    sensitive: true,
  },
  passwordFile: {
    doc: 'A file that holds the password clients must give, readable by its owner only.',
    default: '',
    format: 'text',
    allowed: 'a path',
    env: 'LAGRANGE_REQUIREPASS_FILE',
    flag: 'requirepass-file',
    placeholder: 'path',
    reload: 'restart',
    fileFor: 'clientAuth.password',
  },
  users: {
    doc: 'Whose the users are that clients log in as. proxy: those of aclFile, or default with the password above. instances: those of the master (ACL LIST, for which the user of upstreamAuth needs the right): passwords and what a user may do are what it says, and the proxy keeps it, on connections that all share.',
    default: 'proxy',
    format: userSources,
    env: 'LAGRANGE_CLIENT_USERS',
    flag: 'client-users',
    placeholder: 'proxy|instances',
    reload: 'restart',
  },
} as const

const workers = {
  doc: 'How many worker processes forward traffic; auto is one per core. One serves most groups and keeps all marks of causality in one place; more raise throughput, and each holds its own connections to every instance.',
  default: 1,
  format: 'workers',
  allowed: 'a whole number from 1 to 64, or auto',
  env: 'LAGRANGE_WORKERS',
  flag: 'workers',
  placeholder: 'n|auto',
  reload: 'restart',
} as const

const hold = {
  timeoutMs: {
    doc: 'How long a command waits for a writable master before it is answered with -MASTERDOWN. Longer rides out slower failovers; clients should have a longer timeout than this.',
    default: 3000,
    format: 'millis',
    allowed: 'a whole number of milliseconds from 0 to 86400000',
    env: 'LAGRANGE_HOLD_TIMEOUT_MS',
    flag: 'hold-timeout-ms',
    placeholder: 'ms',
    reload: 'restart',
  },
  bytes: {
    doc: 'How many bytes of commands a worker holds at most while it waits; at the bound, further ones are refused at once.',
    default: 64 * 2 ** 20,
    format: 'size-in-bytes',
    allowed: 'a size such as 1048576, 64mb or 1gb',
    env: 'LAGRANGE_HOLD_BYTES',
    flag: 'hold-bytes',
    placeholder: 'size',
    reload: 'restart',
  },
} as const

const witness = {
  bytes: {
    doc: "How much of the master's replication stream the failover agent keeps, so that replicas which missed the end of it get it from there when the master dies; 0 keeps none, and what no replica has received is lost. It is one more reader of that stream for the master, and this much memory here. Not where min-replicas-to-write is set, as masters would count it.",
    default: 64 * 2 ** 20,
    format: 'size-in-bytes',
    allowed: 'a size such as 1048576, 64mb or 1gb',
    env: 'LAGRANGE_WITNESS_BYTES',
    flag: 'witness-bytes',
    placeholder: 'size',
    reload: 'restart',
  },
} as const

const consistency = {
  level: {
    doc: 'What a read promises unless its listener or connection says otherwise. strong: as if all went to the master. causal: sees every write to its keys acknowledged through this proxy, on whichever connection. session: the same for its own connection only. bounded: nothing older than boundMs. eventual: any healthy replica.',
    default: 'causal',
    format: consistencyLevels,
    env: 'LAGRANGE_CONSISTENCY',
    flag: 'consistency',
    placeholder: 'level',
    reload: 'restart',
  },
  waitMs: {
    doc: 'How long a read waits for a replica that is about to be fresh enough before it goes to the master. 0 never waits; a few milliseconds spare the master under load.',
    default: 2,
    format: 'millis',
    allowed: 'a whole number of milliseconds from 0 to 86400000',
    env: 'LAGRANGE_CONSISTENCY_WAIT_MS',
    flag: 'consistency-wait-ms',
    placeholder: 'ms',
    reload: 'restart',
  },
  noReplica: {
    doc: 'Who answers a read when no replica is fresh enough for its level and none becomes so within waitMs. master: the master. error: nobody, it gets -NOREPLICA, so that the master is spared; what belongs to the master anyway (writes, transactions, scripts, SCAN) still goes there.',
    default: 'master',
    format: ['master', 'error'],
    env: 'LAGRANGE_WITHOUT_REPLICA',
    flag: 'without-replica',
    placeholder: 'who',
    reload: 'restart',
  },
  boundMs: {
    doc: 'How old the data of a read of level bounded may be.',
    default: 1000,
    format: 'positive-millis',
    allowed: 'a whole number of milliseconds from 1 to 86400000',
    env: 'LAGRANGE_CONSISTENCY_BOUND_MS',
    flag: 'consistency-bound-ms',
    placeholder: 'ms',
    reload: 'restart',
  },
  sessionBy: {
    doc: 'What one session is at level session. connection: each by itself. client-name: all connections that said the same name (CLIENT SETNAME, HELLO SETNAME), so that a pool reads its own writes whichever of its connections it takes; those without a name stay by themselves. user: all of one user. Connections that share a session read from one replica and leave it together. With several workers, their reads ask the master for its offset first, as at level strong.',
    default: 'connection',
    format: ['connection', 'client-name', 'user'],
    env: 'LAGRANGE_SESSION_BY',
    flag: 'session-by',
    placeholder: 'what',
    reload: 'restart',
  },
  lostWrites: {
    doc: 'What a connection hears when a failover may have lost what it was acknowledged, or at level session was shown. tell: its next command is answered with -LOSTWRITE, once, and not executed. close: the same, and the connection is closed. ignore: nothing; such connections are not counted either.',
    default: 'tell',
    format: ['tell', 'close', 'ignore'],
    env: 'LAGRANGE_LOST_WRITES',
    flag: 'lost-writes',
    placeholder: 'how',
    reload: 'restart',
  },
  minServing: {
    doc: 'How many replicas serve reads of level bounded at least, the freshest, even beyond the bound; 0 keeps the bound and asks the master. For groups whose master could not bear all reads when lag rises everywhere.',
    default: 0,
    format: 'replicas',
    allowed: 'a whole number from 0 to 16',
    env: 'LAGRANGE_MIN_SERVING',
    flag: 'min-serving',
    placeholder: 'n',
    reload: 'restart',
  },
  masterSharePercent: {
    doc: 'What part of the reads of level bounded the master may answer for want of a replica within the bound; beyond it the freshest replica answers. 100 keeps the bound.',
    default: 100,
    format: 'percent',
    allowed: 'a whole number from 0 to 100',
    env: 'LAGRANGE_MASTER_SHARE_PERCENT',
    flag: 'master-share-percent',
    placeholder: 'percent',
    reload: 'restart',
  },
  hedgePercent: {
    doc: 'At most so many of a hundred reads at replicas are asked of a second replica as well, when the first one takes longer than 95 of 100 did lately; the first answer counts. Only reads that are alone in flight on their connection, and only where a second replica is fresh enough. 0 asks nobody twice.',
    default: 0,
    format: 'percent',
    allowed: 'a whole number from 0 to 100',
    env: 'LAGRANGE_HEDGE_PERCENT',
    flag: 'hedge-percent',
    placeholder: 'percent',
    reload: 'restart',
  },
  hedgeAfterMs: {
    doc: 'With hedgePercent: no read is asked a second time sooner than this.',
    default: 1,
    format: 'millis',
    allowed: 'a whole number of milliseconds from 0 to 86400000',
    env: 'LAGRANGE_HEDGE_AFTER_MS',
    flag: 'hedge-after-ms',
    placeholder: 'ms',
    reload: 'restart',
  },
  ejectOutliers: {
    doc: 'Whether a replica that takes more than five times as long to answer as the best one (and 5 ms more) is left alone for a second, longer each time, at most 30 s. Never the last one that serves.',
    default: true,
    format: 'switch',
    allowed: 'on or off',
    env: 'LAGRANGE_EJECT_OUTLIERS',
    flag: 'eject-outliers',
    placeholder: 'on|off',
    reload: 'restart',
  },
  verifyEvery: {
    doc: 'One of so many reads at replicas is asked again of the master and of the replica, and the answers are compared when both are at the same offset: a replica that has diverged is reported (+diverged). 0 compares none.',
    default: 10_000,
    format: 'sample-every',
    allowed: 'a whole number from 0 to 1000000',
    env: 'LAGRANGE_VERIFY_EVERY',
    flag: 'verify-every',
    placeholder: 'n',
    reload: 'restart',
  },
  acks: {
    doc: 'How many replicas (or: the witness) must have a write before it is acknowledged, so that it outlives the master; 0 waits for nobody. Costs each write the way to a replica and back, and leaves pipelines and order as they are. After a crash nobody is promoted who may lack a write that was confirmed, until enough replicas can be asked or an operator accepts the loss. Rules can ask for it by user, client, command or key instead.',
    default: 0,
    format: 'acks',
    allowed: 'a number of replicas from 0 to 63, or witness',
    env: 'LAGRANGE_ACKS',
    flag: 'acks',
    placeholder: 'n|witness',
    reload: 'restart',
  },
  acksTimeoutMs: {
    doc: 'How long a write waits to be confirmed. When there has been nobody to confirm it for so long, it is refused with NOREPLICAS and not executed.',
    default: 1000,
    format: 'positive-millis',
    allowed: 'a whole number of milliseconds from 1 to 86400000',
    env: 'LAGRANGE_ACKS_TIMEOUT_MS',
    flag: 'acks-timeout-ms',
    placeholder: 'ms',
    reload: 'restart',
  },
  acksOtherwise: {
    doc: 'What a write gets that is not confirmed in time. refuse: UNKNOWNRESULT, as it was applied and may be lost. degrade: its reply, as if nothing had been asked for; lagrange_acks_total counts it.',
    default: 'refuse',
    format: ['refuse', 'degrade'],
    env: 'LAGRANGE_ACKS_OTHERWISE',
    flag: 'acks-otherwise',
    placeholder: 'refuse|degrade',
    reload: 'restart',
  },
  taps: {
    doc: 'How we learn what replicas have applied. replicas: by a tap on the replication stream of each, which tells it within a fraction of a millisecond and costs each replica a copy of its stream; where a tap is refused, ROLE is asked as with off. all: every worker taps the master as well, so that causal sees writers that bypass this proxy, or come by another one, but for that fraction; not where min-replicas-to-write is set. off: ROLE is asked again and again while there is lag.',
    default: 'replicas',
    format: tapsModes,
    env: 'LAGRANGE_TAPS',
    flag: 'taps',
    placeholder: 'mode',
    reload: 'restart',
  },
} as const

const detection = {
  downAfterMs: {
    doc: 'How long an instance may be silent before it counts as down. A process that died is noticed at once, by its closed sockets; this is for machines and networks that vanish. Shorter fails over sooner, and mistakes a pause for a death sooner.',
    default: 1000,
    format: 'positive-millis',
    allowed: 'a whole number of milliseconds from 1 to 86400000',
    env: 'LAGRANGE_DOWN_AFTER_MS',
    flag: 'down-after-ms',
    placeholder: 'ms',
    reload: 'restart',
  },
  pingPeriodMs: {
    doc: 'How often every instance is asked how it is. Must be shorter than downAfterMs.',
    default: 100,
    format: 'positive-millis',
    allowed: 'a whole number of milliseconds from 1 to 86400000',
    env: 'LAGRANGE_PING_PERIOD_MS',
    flag: 'ping-period-ms',
    placeholder: 'ms',
    reload: 'restart',
  },
} as const

const insight = {
  slowMs: {
    doc: 'A command that an instance needs at least so long for is kept in the slow log of the proxy, the way to the instance included; 0 keeps none. Commands that wait by their nature (BLPOP) do not count.',
    default: 10,
    format: 'millis',
    allowed: 'a whole number of milliseconds from 0 to 86400000',
    env: 'LAGRANGE_SLOW_MS',
    flag: 'slow-ms',
    placeholder: 'ms',
    reload: 'restart',
  },
  slowEntries: {
    doc: 'How many slow commands each worker remembers; the oldest are forgotten first.',
    default: 128,
    format: 'slow-entries',
    allowed: 'a whole number from 1 to 10000',
    env: 'LAGRANGE_SLOW_ENTRIES',
    flag: 'slow-entries',
    placeholder: 'n',
    reload: 'restart',
  },
  sampleEvery: {
    doc: 'One in so many commands is looked at to find hot keys, on average; 0 looks at none. Smaller finds them sooner and costs more: at 256, some ten nanoseconds per command.',
    default: 256,
    format: 'sample-every',
    allowed: 'a whole number from 0 to 1000000',
    env: 'LAGRANGE_SAMPLE_EVERY',
    flag: 'sample-every',
    placeholder: 'n',
    reload: 'restart',
  },
} as const

const dataDir = {
  doc: 'Where state is kept: the last known master, the lock against a second process, the folders of nodes started by up.',
  default: './data',
  format: 'text',
  allowed: 'a path',
  env: 'LAGRANGE_DATA_DIR',
  flag: 'data-dir',
  placeholder: 'path',
  reload: 'restart',
} as const

const log = {
  level: {
    doc: 'The least important events that are logged.',
    default: 'info',
    format: logLevels,
    env: 'LAGRANGE_LOG_LEVEL',
    flag: 'log-level',
    placeholder: 'level',
    reload: 'live',
  },
  format: {
    doc: 'How events are logged. json: one JSON object per line. pretty: a line for people. auto: pretty on a terminal, json elsewhere.',
    default: 'auto',
    format: ['auto', 'json', 'pretty'],
    env: 'LAGRANGE_LOG_FORMAT',
    flag: 'log-format',
    placeholder: 'format',
    reload: 'restart',
  },
} as const

const proxyOptions: OptionTree = {
  listeners: {
    doc: 'Where clients connect: a list of addresses, each host:port or unix:/path, or with settings of its own: {address: host:port, consistency: level, access: all|read-only|master-only, tls: on, proxyProtocol: on}. So one port may promise more than another, serve reads only, or speak TLS.',
    default: [{ host: '127.0.0.1', port: 6400 }],
    format: 'listeners',
    allowed: 'a list of host:port, with ports from 1 to 65535, or unix:/path',
    env: 'LAGRANGE_LISTEN',
    flag: 'listen',
    placeholder: 'host:port,…',
    reload: 'restart',
  },
  upstreams: {
    doc: 'Instances of the group, as seeds: any members will do, the others are discovered from them. Each is host:port or unix:/path, or has a zone ({address: host:port, zone: name}).',
    default: [{ host: '127.0.0.1', port: 6379 }],
    format: 'upstreams',
    allowed: 'a list of host:port, with ports from 1 to 65535, or unix:/path',
    env: 'LAGRANGE_UPSTREAM',
    flag: 'upstream',
    placeholder: 'host:port,…',
    reload: 'restart',
  },
  upstreamAuth: {
    user: {
      doc: 'The ACL user we log in with at the instances; empty is the default user.',
      default: '',
      format: 'text',
      allowed: 'text',
      env: 'LAGRANGE_UPSTREAM_USER',
      flag: 'upstream-user',
      placeholder: 'name',
      reload: 'restart',
    },
    password: {
      doc: 'The password we log in with at the instances; empty logs in nowhere.',
      default: '',
      format: 'text',
      allowed: 'text',
      env: 'LAGRANGE_UPSTREAM_PASSWORD',
      reload: 'restart',
      sensitive: true,
    },
    passwordFile: {
      doc: 'A file that holds the password for the instances, readable by its owner only.',
      default: '',
      format: 'text',
      allowed: 'a path',
      env: 'LAGRANGE_UPSTREAM_PASSWORD_FILE',
      flag: 'upstream-password-file',
      placeholder: 'path',
      reload: 'restart',
      fileFor: 'upstreamAuth.password',
    },
  },
  clientAuth,
  group,
  zone: {
    doc: 'The zone this proxy runs in. Among replicas that are fresh enough, those of the same zone are preferred; empty prefers none.',
    default: '',
    format: 'text',
    allowed: 'text',
    env: 'LAGRANGE_ZONE',
    flag: 'zone',
    placeholder: 'name',
    reload: 'restart',
  },
  workers,
  failover: {
    doc: 'Whether this proxy promotes a replica when the master is down. Only one agent of a group may do so; off where sentinels run, and never done while other sentinels are heard.',
    default: false,
    format: 'switch',
    allowed: 'on or off',
    env: 'LAGRANGE_FAILOVER',
    flag: 'failover',
    placeholder: 'on|off',
    reload: 'restart',
  },
  consistency,
  hold,
  witness,
  detection,
  insight,
  admin: {
    listen: {
      doc: 'Where the admin API, the console and /metrics are served, or off. An address that other machines can reach needs a token.',
      default: '127.0.0.1:8400',
      format: 'address-or-off',
      allowed: 'host:port with a port from 1 to 65535, or off',
      env: 'LAGRANGE_ADMIN',
      flag: 'admin',
      placeholder: 'host:port',
      reload: 'restart',
    },
    token: {
      doc: 'The bearer token that /api/v1 asks for, at least 22 characters; empty asks for none.',
      default: '',
      format: 'text',
      allowed: 'text',
      env: 'LAGRANGE_TOKEN',
      reload: 'restart',
      sensitive: true,
    },
    tokenFile: {
      doc: 'A file that holds the bearer token, readable by its owner only.',
      default: '',
      format: 'text',
      allowed: 'a path',
      env: 'LAGRANGE_TOKEN_FILE',
      flag: 'admin-token-file',
      placeholder: 'path',
      reload: 'restart',
      fileFor: 'admin.token',
    },
    tokens: {
      doc: 'More tokens, a line each: a name, which the audit log shows, a role (read, operate or admin) and the token.',
      default: '',
      format: 'text',
      allowed: 'lines of a name, a role and a token',
      env: 'LAGRANGE_TOKENS',
      reload: 'restart',
      sensitive: true,
    },
    tokensFile: {
      doc: 'A file that holds these lines, readable by its owner only. read may look, operate may change masters and drain instances and see keys, admin may accept the loss of data, reload the configuration and read the audit log.',
      default: '',
      format: 'text',
      allowed: 'a path',
      env: 'LAGRANGE_TOKENS_FILE',
      flag: 'admin-tokens-file',
      placeholder: 'path',
      reload: 'restart',
      fileFor: 'admin.tokens',
    },
    auditFile: {
      doc: 'A file that every change over the admin API is written to, and every try, a line of JSON each; at 16 MiB it is renamed to the same name with .1. Empty: such lines are in the log only.',
      default: '',
      format: 'text',
      allowed: 'a path',
      env: 'LAGRANGE_AUDIT_FILE',
      flag: 'audit-file',
      placeholder: 'path',
      reload: 'restart',
    },
    allowedHosts: {
      doc: 'Names by which browsers may reach the admin API, besides localhost, IP addresses and the name it listens on; a request for another name is refused, so that no web site can reach it by pointing its own name here.',
      default: [],
      format: 'texts',
      allowed: 'a list of host names',
      env: 'LAGRANGE_ADMIN_ALLOWED_HOSTS',
      flag: 'admin-allowed-hosts',
      placeholder: 'name,…',
      reload: 'restart',
    },
  },
  ...topologyOptions,
  ...accessOptions,
  dataDir,
  log,
}

export const proxySchema: ConfigSchema<ProxyConfig> = {
  name: 'proxy',
  options: proxyOptions,
  check(config) {
    const admin = parseAddress(config.admin.listen)
    const listeners = config.listeners.map(formatAddress)
    return [
      ...checkShared(config),
      ...checkAccess(config),
      ...checkTopology(config),
      ...duplicates(listeners).map(address => `listeners: ${address} is there twice`),
      ...duplicates(config.upstreams.map(formatAddress)).map(address => `upstreams: ${address} is there twice`),
      ...listeners
        .filter(address => address === config.admin.listen)
        .map(a => `admin.listen: ${a} is a listener already`),
      ...(config.admin.token === '' || config.admin.token.length >= 22
        ? []
        : ['admin.token: must have at least 22 characters (128 bits), or be empty']),
      ...checkTokens(config.admin.tokens),
      ...(admin !== undefined && !isLoopback(admin.host) && config.admin.token === '' && config.admin.tokens === ''
        ? [`admin.listen: ${config.admin.listen} can be reached by other machines, so admin.tokenFile must be set`]
        : []),
    ]
  },
}

const upOptions: OptionTree = {
  port: {
    doc: 'The endpoint clients connect to, on 127.0.0.1.',
    default: 6400,
    format: 'tcp-port',
    allowed: 'a port from 1 to 65535',
    env: 'LAGRANGE_PORT',
    flag: 'port',
    placeholder: 'port',
    reload: 'restart',
  },
  nodePort: {
    doc: 'The port of the first node; the others follow it.',
    default: 6401,
    format: 'tcp-port',
    allowed: 'a port from 1 to 65535',
    env: 'LAGRANGE_NODE_PORT',
    flag: 'node-port',
    placeholder: 'port',
    reload: 'restart',
  },
  replicas: {
    doc: 'How many replicas are started beside the master.',
    default: 2,
    format: 'replicas',
    allowed: 'a whole number from 0 to 16',
    env: 'LAGRANGE_REPLICAS',
    flag: 'replicas',
    placeholder: 'n',
    reload: 'restart',
  },
  adminPort: {
    doc: 'The port of the admin API, the console and /metrics, on 127.0.0.1.',
    default: 8400,
    format: 'tcp-port',
    allowed: 'a port from 1 to 65535',
    env: 'LAGRANGE_ADMIN_PORT',
    flag: 'admin-port',
    placeholder: 'port',
    reload: 'restart',
  },
  dataDir,
  workers,
  group,
  clientAuth,
  consistency,
  hold,
  witness,
  detection,
  insight,
  log,
}

export const upSchema: ConfigSchema<UpConfig> = {
  name: 'up',
  options: upOptions,
  check(config) {
    const last = config.nodePort + config.replicas
    const isNode = (port: number) => port >= config.nodePort && port <= last
    const nodes = `the nodes have ${config.nodePort} to ${last}`
    return [
      ...checkShared(config),
      ...(last > 65_535 ? [`nodePort: ${nodes}, and the last port is 65535`] : []),
      ...(isNode(config.port) ? [`port: ${config.port} is taken, ${nodes}`] : []),
      ...(isNode(config.adminPort) ? [`adminPort: ${config.adminPort} is taken, ${nodes}`] : []),
      ...(config.port === config.adminPort ? [`adminPort: ${config.adminPort} is the endpoint's port already`] : []),
    ]
  },
}

/** Only this machine can connect to it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

function checkShared(config: SharedConfig): readonly string[] {
  const { downAfterMs, pingPeriodMs } = config.detection
  if (config.consistency.acks === 'witness' && config.witness.bytes === 0) {
    return ['consistency.acks: witness needs witness.bytes']
  }
  if (config.clientAuth.users === 'instances' && config.clientAuth.password !== '') {
    return ['clientAuth.users: with the users of the instances, clientAuth.password says nothing']
  }
  if (pingPeriodMs < downAfterMs) return []
  return [`detection.pingPeriodMs: ${pingPeriodMs} must be less than downAfterMs, which is ${downAfterMs}`]
}

function duplicates(items: readonly string[]): readonly string[] {
  return [...new Set(items.filter((item, index) => items.indexOf(item) !== index))]
}

/** A mistake in a line of tokens is told without showing the line. */
function checkTokens(text: string): readonly string[] {
  return text.split('\n').flatMap((line, index) => {
    const words = line.trim().split(/\s+/)
    const [name = '', role = '', token = ''] = words
    if (name === '' || name.startsWith('#')) return []
    const where = `admin.tokens: line ${index + 1}`
    if (words.length !== 3) return [`${where}: must be a name, a role and a token`]
    if (!['read', 'operate', 'admin'].includes(role)) return [`${where}: the role must be read, operate or admin`]
    return token.length >= 22 ? [] : [`${where}: the token must have at least 22 characters (128 bits)`]
  })
}
