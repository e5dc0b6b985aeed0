/**
 * What a sentinel watches: masters, their replicas, and the other sentinels that watch the same masters.
 *
 *     MasterWatch ──replicas──▶ ReplicaWatch (named by its address)
 *         └───────peers──────▶ PeerWatch    (named by its id; its link is shared by all masters it watches with us)
 *
 * These are records that grow old, not values: they are changed in place, by the functions of this folder only, and
 * every change that others must see comes out as an effect. The words are those of SENTINEL MASTERS.
 */
import type { Millis, Offset } from '../../base/units.js'
import type { Timing } from './timing.js'

/** Where something listens: the name it was given, and the address behind it (empty while that is not known). */
export interface Place {
  readonly host: string
  readonly ip: string
  readonly port: number
}

/** What is known of the connections to one process. Connecting counts as connected until it failed. */
export interface LinkFacts {
  /** How many watched things share it. */
  owners: number
  commandsSince: Millis | undefined
  messagesSince: Millis | undefined
  /** Both connections stand that it needs. */
  whole: boolean
  /** Commands without an answer. */
  pending: number
  triedAt: Millis
  heardMessageAt: Millis
  /** Since when a PING waits for a good answer; undefined when none does. */
  pingWaitsSince: Millis | undefined
  pingedAt: Millis
  /** The last answer that means "alive": PONG, LOADING, MASTERDOWN. */
  goodAt: Millis
  /** The last answer of any kind. */
  answeredAt: Millis
  /** Connections refused by the machine's kernel since the last good answer, and when the first was. */
  refusals: number
  refusedAt: Millis
}

export type Role = 'master' | 'slave'

interface WatchedFields {
  readonly name: string
  place: Place
  runId: string | undefined
  link: LinkFacts
  downAfterMs: Millis
  sdown: boolean
  sdownAt: Millis
  publishedAt: Millis
}

/** Masters and replicas. */
interface ServerFields extends WatchedFields {
  /** The last INFO, for SENTINEL INFO-CACHE. */
  info: string | undefined
  infoAt: Millis
  infoAskedAt: Millis
  role: Role
  roleAt: Millis
  offset: Offset
  replid: string | undefined
  replid2: string | undefined
  scriptKillSent: boolean
}

export interface ReplicaWatch extends ServerFields {
  readonly kind: 'slave'
  readonly master: MasterWatch
  priority: number
  announced: boolean
  masterHost: string | undefined
  masterPort: number
  /** The run id under which it was seen to be our master's: see lineage.ts. */
  oursAs: string | undefined
  /** When it last began to follow somebody else. */
  masterChangedAt: Millis
  linkUp: boolean
  linkDownMs: Millis
  reconf: 'none' | 'sent' | 'inprog' | 'done'
  reconfSentAt: Millis
}

export interface PeerWatch extends WatchedFields {
  readonly kind: 'sentinel'
  readonly master: MasterWatch
  helloAt: Millis
  /** What it last said about our common master. */
  saysDown: boolean
  saidAt: Millis
  askedAt: Millis
  /** One of ours: it goes by evidence and is as fast as we are. True until it is known not to be. */
  seesEvidence: boolean
  vote: string | undefined
  voteEpoch: number
}

/**
 * A failover, as its leader goes through it:
 *
 *     none ─▶ wait_start ─elected─▶ select_slave ─▶ send_slaveof_noone ─▶ wait_promotion ─▶ reconf_slaves ─▶ update_config
 *       ▲         │ not elected          │ nobody fit        │ timeout             │ timeout                       │
 *       └─────────┴──────────────────────┴───────────────────┴─────────────────────┘        +switch-master ─▶ none ─┘
 *
 * From reconf_slaves on there is no way back: the promoted replica is the master, and everybody is told so.
 */
export type FailoverState =
  | { readonly state: 'none' }
  | {
      readonly state: 'wait_start' | 'select_slave'
      readonly epoch: number
      readonly forced: boolean
      readonly at: Millis
    }
  | {
      readonly state: 'send_slaveof_noone' | 'wait_promotion' | 'reconf_slaves' | 'update_config'
      readonly epoch: number
      readonly forced: boolean
      readonly at: Millis
      readonly promoted: ReplicaWatch
      readonly writers: Writers
    }

/**
 * The writers of a master that is alive while it is replaced: it was asked to pause them; it has, and what it had then is
 * all that there will be; or they are free, because nobody is there to pause, or it would not.
 */
export type Writers =
  | { readonly are: 'free' }
  | { readonly are: 'asked' }
  | { readonly are: 'paused'; readonly offset: Offset }

export interface MasterWatch extends ServerFields {
  readonly kind: 'master'
  readonly replicas: Map<string, ReplicaWatch>
  /** The replication histories that it and its predecessors had, the latest last: whose data is ours. */
  readonly histories: Set<string>
  readonly peers: Map<string, PeerWatch>
  quorum: number
  parallelSyncs: number
  failoverTimeoutMs: Millis
  rebootDownAfterMs: Millis
  rebootSeenAt: Millis | undefined
  authPass: string | undefined
  authUser: string | undefined
  notificationScript: string | undefined
  reconfigScript: string | undefined
  /** In lower case: what its commands are called there. */
  readonly renames: Map<string, string>
  odown: boolean
  odownAt: Millis
  /** Why it is odown: enough sentinels said so, or its death is proven. */
  odownBy: 'quorum' | 'evidence'
  configEpoch: number
  /** Our vote: one per epoch, never taken back. */
  leader: string | undefined
  leaderEpoch: number
  failover: FailoverState
  /** When the last failover was begun or voted for; the next one waits. */
  attemptAt: Millis
  delayToldFor: Millis
  /** Not before: chosen by chance when odown begins. */
  standAt: Millis
}

export type ServerWatch = MasterWatch | ReplicaWatch
export type Watched = MasterWatch | ReplicaWatch | PeerWatch

const NEVER: Millis = Number.NEGATIVE_INFINITY

export function newLink(now: Millis): LinkFacts {
  return {
    owners: 1,
    commandsSince: undefined,
    messagesSince: undefined,
    whole: false,
    pending: 0,
    triedAt: NEVER,
    heardMessageAt: NEVER,
    // As if asked now: who cannot be reached at all is down after down-after as well.
    pingWaitsSince: now,
    pingedAt: NEVER,
    goodAt: now,
    answeredAt: now,
    refusals: 0,
    refusedAt: NEVER,
  }
}

function serverFields(name: string, place: Place, role: Role, downAfterMs: Millis, now: Millis): ServerFields {
  return {
    name,
    place,
    runId: undefined,
    link: newLink(now),
    downAfterMs,
    sdown: false,
    sdownAt: NEVER,
    publishedAt: now,
    info: undefined,
    infoAt: NEVER,
    infoAskedAt: NEVER,
    role,
    roleAt: now,
    offset: 0,
    replid: undefined,
    replid2: undefined,
    scriptKillSent: false,
  }
}

export function newMaster(name: string, place: Place, quorum: number, timing: Timing, now: Millis): MasterWatch {
  return {
    ...serverFields(name, place, 'master', timing['default-down-after'], now),
    kind: 'master',
    replicas: new Map(),
    histories: new Set(),
    peers: new Map(),
    quorum,
    parallelSyncs: 1,
    failoverTimeoutMs: timing['default-failover-timeout'],
    rebootDownAfterMs: 0,
    rebootSeenAt: undefined,
    authPass: undefined,
    authUser: undefined,
    notificationScript: undefined,
    reconfigScript: undefined,
    renames: new Map(),
    odown: false,
    odownAt: NEVER,
    odownBy: 'quorum',
    configEpoch: 0,
    leader: undefined,
    leaderEpoch: 0,
    failover: { state: 'none' },
    attemptAt: NEVER,
    delayToldFor: NEVER,
    standAt: NEVER,
  }
}

export function newReplica(name: string, place: Place, master: MasterWatch, now: Millis): ReplicaWatch {
  return {
    ...serverFields(name, place, 'slave', master.downAfterMs, now),
    kind: 'slave',
    master,
    priority: 100,
    announced: true,
    masterHost: undefined,
    masterPort: 0,
    oursAs: undefined,
    masterChangedAt: now,
    linkUp: false,
    linkDownMs: 0,
    reconf: 'none',
    reconfSentAt: NEVER,
  }
}

export function newPeer(id: string, place: Place, master: MasterWatch, now: Millis): PeerWatch {
  return {
    kind: 'sentinel',
    name: id,
    place,
    runId: id,
    link: newLink(now),
    downAfterMs: master.downAfterMs,
    sdown: false,
    sdownAt: NEVER,
    publishedAt: now,
    master,
    helloAt: now,
    saysDown: false,
    saidAt: now,
    askedAt: NEVER,
    seesEvidence: true,
    vote: undefined,
    voteEpoch: 0,
  }
}

/** As after SENTINEL RESET or a switch: what was believed of the process at its address is forgotten. */
export function forgetMaster(master: MasterWatch, now: Millis): void {
  Object.assign(master, {
    ...serverFields(master.name, master.place, 'master', master.downAfterMs, now),
    link: master.link,
    sdownAt: master.sdownAt,
    odown: false,
    rebootSeenAt: undefined,
    leader: undefined,
    failover: { state: 'none' },
    attemptAt: NEVER,
    standAt: NEVER,
  })
  const { owners, commandsSince, messagesSince } = master.link
  Object.assign(master.link, newLink(now), { owners, commandsSince, messagesSince, pending: master.link.pending })
}

export function masterOf(watched: Watched): MasterWatch {
  return watched.kind === 'master' ? watched : watched.master
}

export function failing(master: MasterWatch): boolean {
  return master.failover.state !== 'none'
}

/** The replica that is being promoted, or has been and is not yet switched to. */
export function promotedOf(master: MasterWatch): ReplicaWatch | undefined {
  return 'promoted' in master.failover ? master.failover.promoted : undefined
}

/** Whoever publishes to it now waits with the writers: neither a hello nor anything behind it would arrive. */
export function arePaused({ failover }: MasterWatch): boolean {
  return 'writers' in failover && failover.writers.are !== 'free'
}

/** The new master is one already, and everybody may know. */
export function isSettled({ failover }: MasterWatch): boolean {
  return failover.state === 'reconf_slaves' || failover.state === 'update_config'
}

/** The address that clients are told: the promoted replica's, as soon as it is master. */
export function currentPlace(master: MasterWatch): Place {
  const promoted = promotedOf(master)
  return promoted !== undefined && isSettled(master) ? promoted.place : master.place
}

export function samePlace(one: Place, other: Place): boolean {
  if (one.port !== other.port) return false
  return (one.ip === other.ip && one.ip !== '') || one.host.toLowerCase() === other.host.toLowerCase()
}

/** IPv4 in four numbers, or something with colons. Names are looked up only if that is allowed. */
export function isIpAddress(text: string): boolean {
  const parts = text.split('.')
  if (parts.length === 4 && parts.every(part => /^\d{1,3}$/.test(part) && Number(part) <= 255)) return true
  return text.includes(':') && /^[0-9a-fA-F:.]+(%[\w.-]+)?$/.test(text)
}

/** In the order of SENTINEL MASTERS. */
export function flagsOf(watched: Watched): readonly string[] {
  const flags: string[] = []
  const flag = (set: boolean, word: string): void => {
    if (set) flags.push(word)
  }
  flag(watched.sdown, 's_down')
  flag(watched.kind === 'master' && watched.odown, 'o_down')
  flags.push(watched.kind)
  flag(!watched.link.whole, 'disconnected')
  if (watched.kind === 'sentinel') flag(watched.saysDown, 'master_down')
  if (watched.kind === 'master') flag(failing(watched), 'failover_in_progress')
  if (watched.kind === 'slave') {
    flag(promotedOf(watched.master) === watched, 'promoted')
    flag(watched.reconf !== 'none', `reconf_${watched.reconf}`)
  }
  if (watched.kind === 'master') flag('forced' in watched.failover && watched.failover.forced, 'force_failover')
  if (watched.kind !== 'sentinel') flag(watched.scriptKillSent, 'script_kill_sent')
  return flags
}
