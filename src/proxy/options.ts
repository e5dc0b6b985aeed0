/**
 * What can be set about a worker. Defaults are for a proxy on the same network as its instances.
 */
import type { Millis } from '../base/units.js'
import type { TlsClientOptions } from '../net/tls.js'
import type { Acks } from '../routing/acks.js'
import type { Level, NoReplica } from '../routing/choose.js'
import type { LostWrites } from '../routing/floors.js'
import type { RailOptions } from '../routing/guard-rails.js'
import type { HedgeOptions } from '../routing/hedging.js'
import type { Rule } from '../routing/rules.js'
import type { InsightOptions } from './insight.js'

/** What makes several connections one session, besides being one. */
export type SessionBy = 'connection' | 'client-name' | 'user'

/** Who may come in, and for how long. Counts are those of one worker. */
export interface AdmissionOptions {
  readonly maxClients: number
  /** Connections from one address; 0: as many as there are. */
  readonly maxPerAddress: number
  /** Without a password, only this machine is served. */
  readonly protectedMode: boolean
  /** A client that has asked nothing and waits for nothing for so long is closed; 0: never. */
  readonly idleTimeoutMs: Millis
  /** Who has not said by then who he is, where that is asked, is closed; 0: never. */
  readonly authTimeoutMs: Millis
}

/** What clients may do in a second; 0: as much as they like. Who is faster is not read for a while. */
export interface Rates {
  readonly commandsPerSecond: number
  readonly bytesPerSecond: number
  /** All connections of a user (to one worker) together. */
  readonly userCommandsPerSecond: number
  readonly userBytesPerSecond: number
}

export interface WorkerOptions extends AdmissionOptions {
  /** The label of its listener in metrics. */
  readonly listener: string
  /** What clients must AUTH with; undefined: nothing. */
  readonly password: string | undefined
  /** How the proxy logs in to instances. */
  readonly upstreamUsername: string | undefined
  readonly upstreamPassword: string | undefined
  /** How connections to instances are secured; undefined: not at all. */
  readonly upstreamTls: TlsClientOptions | undefined
  /** The proxy's own users; undefined: there is only `default`. */
  readonly aclFile: string | undefined
  /** Or those of the instances. */
  readonly foreignUsers: boolean
  readonly rules: readonly Rule[]
  readonly rates: Rates
  /** A silent client is probed after so long; 0: never. */
  readonly keepAliveMs: Millis

  /** The level of new connections; LAGRANGE CONSISTENCY changes that of one. */
  readonly level: Level
  /** Which connections stand together at level `session`. */
  readonly sessionBy: SessionBy
  /** How many workers there are: sessions of several connections may have some at others. */
  readonly workers: number
  /** What a connection hears whose acknowledged writes a new master may not have. */
  readonly lostWrites: LostWrites
  /** For level `bounded`. */
  readonly boundMs: Millis
  /** How long a read may wait for a replica that is about to be fresh enough; 0 sends it to the master at once. */
  readonly waitMs: Millis
  /** Who answers a read that no replica qualifies for: the master, or nobody. */
  readonly noReplica: NoReplica
  /** Slots of the table of marks, 16 bytes each: more slots, fewer reads sent to the master for a collision. */
  readonly slots: number
  /** Whether the stream of the master is read, for writes that do not come through this worker. */
  readonly tapMaster: boolean
  /** Who must have any write before it is acknowledged; undefined: nobody but the master. */
  readonly acks: Acks | undefined
  /** For `bounded`: what keeps reads at replicas when lag rises everywhere. */
  readonly rails: RailOptions
  /** One of so many reads at replicas is asked of the master as well, and compared; 0: none. */
  readonly verifyEvery: number

  /** Reads asked of a second replica, when the first one is late. */
  readonly hedge: HedgeOptions
  /** Whether a replica that answers much later than the others is left alone for a while. */
  readonly ejectOutliers: boolean

  /** How long a command waits for a writable master before it is refused with MASTERDOWN. */
  readonly holdTimeoutMs: Millis
  /** Bytes of commands that wait for a writable master at most; further ones are refused with MASTERDOWN at once. */
  readonly holdBytes: number
  readonly connectTimeoutMs: Millis
  /** A replica that leaves a read unanswered for so long loses its connection, and the reads go elsewhere. */
  readonly readTimeoutMs: Millis
  /** What was in flight on a master that is none any more may still be answered for so long. */
  readonly settleMs: Millis

  /** Connections lent to sessions (transactions, blocking commands, subscriptions), per instance. */
  readonly maxPinned: number
  /** Replies waiting for one client beyond this: none of its commands is read until it has taken them. */
  readonly softQueuedBytes: number
  /** Beyond this it is closed. Only what was in flight when it stopped reading can bring it here. */
  readonly hardQueuedBytes: number
  /** Messages waiting for one subscriber (or MONITOR) beyond this: it is closed, as there is no way to slow them down. */
  readonly pushQueuedBytes: number
  /** Commands of one client that may be in flight at once; fewer when its replies are large. */
  readonly maxInFlight: number
  /** Bytes a client may have sent ahead of the command that its session waits for. */
  readonly maxAheadBytes: number
  /** Bytes of an open MULTI that are kept to replay it after a switch; a larger one is refused by EXEC then. */
  readonly maxReplayBytes: number

  /** Slow commands, hot and big keys: what is remembered of the traffic. */
  readonly insight: InsightOptions
}

export const defaultWorkerOptions: WorkerOptions = {
  listener: 'main',
  password: undefined,
  upstreamUsername: undefined,
  upstreamPassword: undefined,
  upstreamTls: undefined,
  aclFile: undefined,
  foreignUsers: false,
  rules: [],
  rates: { commandsPerSecond: 0, bytesPerSecond: 0, userCommandsPerSecond: 0, userBytesPerSecond: 0 },
  keepAliveMs: 300_000,
  level: 'causal',
  sessionBy: 'connection',
  workers: 1,
  lostWrites: 'tell',
  boundMs: 1000,
  waitMs: 2,
  noReplica: 'master',
  slots: 2 ** 18,
  tapMaster: false,
  rails: { minServing: 0, masterShareMax: 1 },
  verifyEvery: 10_000,
  acks: undefined,
  hedge: { percent: 0, afterMs: 1 },
  ejectOutliers: true,
  holdTimeoutMs: 3000,
  holdBytes: 64 * 1024 * 1024,
  connectTimeoutMs: 1000,
  readTimeoutMs: 250,
  settleMs: 100,
  maxClients: 10_000,
  maxPerAddress: 0,
  protectedMode: true,
  idleTimeoutMs: 0,
  authTimeoutMs: 10_000,
  maxPinned: 4096,
  softQueuedBytes: 1024 * 1024,
  hardQueuedBytes: 64 * 1024 * 1024,
  pushQueuedBytes: 32 * 1024 * 1024,
  maxInFlight: 1024,
  maxAheadBytes: 256 * 1024,
  maxReplayBytes: 1024 * 1024,
  insight: { slowMs: 10, slowEntries: 128, sampleEvery: 256 },
}
