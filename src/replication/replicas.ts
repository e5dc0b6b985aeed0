/**
 * The replicas that follow us: what each of them gets next, and how far each of them is.
 *
 *              ┌── partial resync ─────────────────────────────────────────────────┐
 *     attach ──┤                                                                   ▼
 *              └─▶ wait_bgsave ──cut──▶ wait_bgsave ─┬─ file ready ─▶ send_bulk ─▶ online
 *                  (queued)             (snapshot)   └─ socket: whole ── first ACK ─▶ online
 *
 * Replicas that wait for a snapshot share one. From the cut on each holds a pin in the backlog, so that the stream since
 * the cut is there when its snapshot is loaded, whatever the size of the backlog; the output limit bounds that.
 *
 * Nothing here touches a socket: the driver performs the effects, asks `read` for the bytes of the stream, and reports
 * what happened.
 */
import { invariant } from '../base/invariant.js'
import type { Bytes, Millis, Offset } from '../base/units.js'
import type { Pin } from './backlog.js'
import type { ReplicationLog } from './log.js'
import type { FullResyncReason } from './psync.js'
import {
  type ReplconfAnswer,
  type ReplicaProfile,
  readReplconf,
  type SnapshotFilter,
  unknownReplica,
} from './replconf.js'

/** The driver's name for a connection. */
export type ReplicaId = number

/** Where the snapshot goes: a file that is sent with its length, or the sockets directly, ended by a mark. */
export type SnapshotTarget = 'disk' | 'socket'

export type DropReason =
  | 'timeout' // nothing acknowledged for repl-timeout
  | 'transfer-timeout' // took no byte of its snapshot for repl-timeout
  | 'output-limit'
  | 'snapshot-failed'
  | 'history-changed' // our replid is another now: it must ask again

export type ReplicaEffect =
  | { readonly do: 'reply'; readonly replica: ReplicaId; readonly line: string }
  /** Cut now, then call `cut` or `cutFailed`. */
  | { readonly do: 'begin-snapshot'; readonly target: SnapshotTarget; readonly filter: SnapshotFilter }
  /** The snapshot file, from its preamble to its end; then call `bulkSent`. */
  | { readonly do: 'send-file'; readonly replica: ReplicaId }
  /** The replica may have the stream from now on: `read` says what. */
  | { readonly do: 'stream'; readonly replica: ReplicaId }
  | { readonly do: 'say-alive'; readonly replica: ReplicaId }
  /** Let what is queued leave, then close. */
  | { readonly do: 'end'; readonly replica: ReplicaId; readonly reason: 'snapshot-only' }
  | { readonly do: 'drop'; readonly replica: ReplicaId; readonly reason: DropReason }
  /** A PING into the stream. */
  | { readonly do: 'ping' }
  | { readonly do: 'release-backlog' }
  /** Nobody needs the snapshot under way any more. */
  | { readonly do: 'abandon-snapshot' }

export interface ReplicasOptions {
  /** `repl-timeout`. */
  readonly timeoutMs: Millis
  /** `repl-ping-replica-period`. */
  readonly pingPeriodMs: Millis
  /** `repl-diskless-sync`, `-delay`, `-max-replicas` (0: no such limit). */
  readonly diskless: boolean
  readonly disklessDelayMs: Millis
  readonly disklessReplicasMax: number
  /** `repl-backlog-ttl`; 0: never. */
  readonly backlogTtlMs: Millis
  /** `min-replicas-max-lag`. */
  readonly goodLagMsMax: Millis
  /** `client-output-buffer-limit replica`; 0: none. */
  readonly outputHardBytes: number
  readonly outputSoftBytes: number
  readonly outputSoftMs: Millis
  /** A snapshot in a file is the node's own save as well: it is finished though nobody waits for it any more. */
  readonly keepsFiles: boolean
}

export const defaultReplicasOptions: ReplicasOptions = {
  timeoutMs: 60_000,
  pingPeriodMs: 10_000,
  diskless: true,
  disklessDelayMs: 5000,
  disklessReplicasMax: 0,
  backlogTtlMs: 3_600_000,
  goodLagMsMax: 10_000,
  outputHardBytes: 256 * 1024 * 1024,
  outputSoftBytes: 64 * 1024 * 1024,
  outputSoftMs: 60_000,
  keepsFiles: false,
}

/** What INFO, ROLE and the metrics show. */
export interface ReplicaInfo {
  readonly id: ReplicaId
  readonly profile: ReplicaProfile
  readonly state: 'wait_bgsave' | 'send_bulk' | 'online'
  readonly ackOffset: Offset
  readonly ackAgeMs: Millis
  /** Bytes of the stream that have not been handed to its connection. */
  readonly queuedBytes: number
}

type Stage =
  | { readonly state: 'queued'; readonly since: Millis }
  | { readonly state: 'snapshot'; readonly pin: Pin; lastIoAt: Millis }
  | { readonly state: 'send_bulk'; readonly pin: Pin }
  /** Has its snapshot whole; the stream waits until its first acknowledgement says that it is loaded. */
  | { readonly state: 'loading'; readonly pin: Pin }
  | { readonly state: 'online'; readonly pin: Pin }

interface Replica {
  readonly id: ReplicaId
  readonly protocol: 'psync' | 'sync'
  stage: Stage
  ackOffset: Offset
  ackAt: Millis
  overSoftSince: Millis | undefined
}

/** One snapshot under way for replicas. */
interface Run {
  readonly target: SnapshotTarget
  readonly filter: SnapshotFilter
  readonly replid: string
  readonly offset: Offset
}

export class Replicas {
  options: ReplicasOptions
  /** Connections that have said something about themselves, attached or not. */
  readonly #profiles = new Map<ReplicaId, ReplicaProfile>()
  readonly #replicas = new Map<ReplicaId, Replica>()
  #run: Run | undefined
  /** What `begin-snapshot` asked for and the driver has not answered. */
  #asked: { readonly target: SnapshotTarget; readonly filter: SnapshotFilter } | undefined
  #pingedAt: Millis
  #emptySince: Millis
  #saidAliveAt: Millis
  readonly resyncs = { full: 0, partial: 0, partialRefused: 0 }

  constructor(
    private readonly log: ReplicationLog,
    options: ReplicasOptions,
    now: Millis,
  ) {
    this.options = options
    this.#pingedAt = this.#emptySince = this.#saidAliveAt = now
  }

  get size(): number {
    return this.#replicas.size
  }

  has(id: ReplicaId): boolean {
    return this.#replicas.has(id)
  }

  profileOf(id: ReplicaId): ReplicaProfile {
    return this.#profiles.get(id) ?? unknownReplica
  }

  list(now: Millis): ReplicaInfo[] {
    return [...this.#replicas.values()].map(replica => ({
      id: replica.id,
      profile: this.profileOf(replica.id),
      state: wordOf(replica.stage),
      ackOffset: replica.ackOffset,
      ackAgeMs: now - replica.ackAt,
      queuedBytes: this.#queuedBytes(replica),
    }))
  }

  /** Replicas that have the data up to `offset`, by their own word: what WAIT counts. */
  countAcked(offset: Offset): number {
    let count = 0
    for (const replica of this.#replicas.values()) {
      if (isOnline(replica) && replica.ackOffset >= offset) count++
    }
    return count
  }

  /** Replicas that are close enough for `min-replicas-to-write`. */
  countGood(now: Millis): number {
    let count = 0
    for (const replica of this.#replicas.values()) {
      if (isOnline(replica) && now - replica.ackAt <= this.options.goodLagMsMax) count++
    }
    return count
  }

  // ── Coming and going ──────────────────────────────────────────────────────────────────────────────────────────────

  /** REPLCONF on any connection. The driver answers; `effects` follow from an acknowledgement. */
  replconf(id: ReplicaId, args: readonly Bytes[], now: Millis): { answer: ReplconfAnswer; effects: ReplicaEffect[] } {
    const { profile, answer } = readReplconf(args, this.profileOf(id))
    this.#profiles.set(id, profile)
    const effects = answer.kind === 'ack' ? this.#acked(id, answer.offset, now) : []
    return { answer, effects }
  }

  /** A partial resync was granted: the reply line, then the stream from `from`. */
  attachPartial(id: ReplicaId, from: Offset, now: Millis): ReplicaEffect[] {
    const { backlog, history } = this.log
    invariant(backlog !== undefined, 'a partial resync without a backlog')
    this.resyncs.partial++
    const replica = this.#attach(id, 'psync', { state: 'online', pin: backlog.pin(from) }, now)
    // What it asks from is what it has: a replica that is up to date counts for WAIT before its first acknowledgement.
    replica.ackOffset = from - 1
    const line = this.profileOf(id).understandsPsync2 ? `+CONTINUE ${history.replid}` : '+CONTINUE'
    return [
      { do: 'reply', replica: id, line },
      { do: 'stream', replica: id },
    ]
  }

  /** A full resync: the replica waits for a cut, alone or with others. The log has been opened. */
  attachFull(id: ReplicaId, reason: FullResyncReason, facts: { readonly busy: boolean }, now: Millis): ReplicaEffect[] {
    invariant(this.log.backlog !== undefined, 'the stream since the cut needs a backlog')
    this.resyncs.full++
    if (reason !== 'requested' && reason !== 'old-protocol') this.resyncs.partialRefused++
    const protocol = reason === 'old-protocol' ? 'sync' : 'psync'
    const replica = this.#attach(id, protocol, { state: 'queued', since: now }, now)
    if (this.#mayJoin(replica)) return this.#join(replica, this.#run as Run, now)
    return this.#beginIfDue(facts.busy, now)
  }

  /** The connection is gone. */
  detach(id: ReplicaId, now: Millis): ReplicaEffect[] {
    this.#profiles.delete(id)
    const replica = this.#replicas.get(id)
    if (replica === undefined) return []
    this.#replicas.delete(id)
    if ('pin' in replica.stage) this.log.backlog?.release(replica.stage.pin)
    if (this.#replicas.size === 0) this.#emptySince = now
    const run = this.#run
    const keeps = run?.target === 'disk' && run.filter === 'everything' && this.options.keepsFiles
    if (run !== undefined && !keeps && !this.#someone('snapshot')) {
      this.#run = undefined
      return [{ do: 'abandon-snapshot' }]
    }
    return []
  }

  /** We were promoted: the time that a backlog may stay unused begins. */
  becameMaster(now: Millis): void {
    this.#emptySince = this.#pingedAt = now
  }

  /** Our history is another now and what they have read is of the old one: everybody must ask again. Before the log changes. */
  dropAll(reason: DropReason): ReplicaEffect[] {
    return [...this.#replicas.keys()].map(replica => ({ do: 'drop', replica, reason }))
  }

  // ── Snapshots ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The data was cut, at the log's present offset. */
  cut(now: Millis): ReplicaEffect[] {
    const asked = this.#asked
    invariant(asked !== undefined, 'a cut that nobody asked for')
    this.#asked = undefined
    const { replid, offset } = this.log.history
    const run = { ...asked, replid, offset }
    this.#run = run
    const effects: ReplicaEffect[] = []
    for (const replica of this.#replicas.values()) {
      if (replica.stage.state !== 'queued' || this.profileOf(replica.id).filter !== run.filter) continue
      effects.push(...this.#join(replica, run, now))
    }
    return effects
  }

  cutFailed(): ReplicaEffect[] {
    this.#asked = undefined
    const failed: ReplicaEffect[] = []
    for (const replica of this.#replicas.values()) {
      if (replica.stage.state !== 'queued') continue
      failed.push({ do: 'reply', replica: replica.id, line: "-ERR BGSAVE failed, replication can't continue" })
      failed.push({ do: 'drop', replica: replica.id, reason: 'snapshot-failed' })
    }
    return failed
  }

  /** The snapshot is whole: in its file, or written to all sockets with its mark. */
  snapshotDone(facts: { readonly busy: boolean }, now: Millis): ReplicaEffect[] {
    const run = this.#run
    if (run === undefined) return []
    this.#run = undefined
    const effects: ReplicaEffect[] = []
    for (const replica of this.#replicas.values()) {
      if (replica.stage.state !== 'snapshot') continue
      const { pin } = replica.stage
      if (run.target === 'disk') {
        replica.stage = { state: 'send_bulk', pin }
        effects.push({ do: 'send-file', replica: replica.id })
      } else effects.push(...this.#transferred(replica, pin, 'socket', now))
    }
    return [...effects, ...this.#beginIfDue(facts.busy, now)]
  }

  snapshotFailed(facts: { readonly busy: boolean }, now: Millis): ReplicaEffect[] {
    this.#run = undefined
    const dropped: ReplicaEffect[] = []
    for (const replica of this.#replicas.values()) {
      if (replica.stage.state !== 'snapshot') continue
      dropped.push({ do: 'drop', replica: replica.id, reason: 'snapshot-failed' })
    }
    return [...dropped, ...this.#beginIfDue(facts.busy, now)]
  }

  /** The whole file has been handed to the replica's connection. */
  bulkSent(id: ReplicaId, now: Millis): ReplicaEffect[] {
    const replica = this.#replicas.get(id)
    if (replica?.stage.state !== 'send_bulk') return []
    return this.#transferred(replica, replica.stage.pin, 'disk', now)
  }

  /** The replica's connection took bytes of its snapshot. */
  progressed(id: ReplicaId, now: Millis): void {
    const stage = this.#replicas.get(id)?.stage
    if (stage?.state === 'snapshot') stage.lastIoAt = now
  }

  /** Those that get the bytes of the snapshot under way. */
  snapshotReaders(): ReplicaId[] {
    return [...this.#replicas.values()].filter(one => one.stage.state === 'snapshot').map(one => one.id)
  }

  // ── The stream ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The next bytes of the stream for this replica, at most about `limit`; they count as sent. Empty while it must wait. */
  read(id: ReplicaId, limit: number): Buffer[] {
    const replica = this.#replicas.get(id)
    if (replica?.stage.state !== 'online' || this.log.backlog === undefined) return []
    const { pin } = replica.stage
    const slices = this.log.backlog.read(pin.offset, limit)
    for (const slice of slices) pin.offset += slice.length
    return slices
  }

  /**
   * Whether a replica holds up too much. `unsentBytes` is what its connection has not taken; what it holds of the backlog
   * is added. A limit below the backlog's size would drop replicas that the backlog could have served: it is raised.
   */
  checkOutput(id: ReplicaId, unsentBytes: number, now: Millis): ReplicaEffect[] {
    const replica = this.#replicas.get(id)
    if (replica === undefined) return []
    const { outputHardBytes, outputSoftBytes, outputSoftMs } = this.options
    const held = unsentBytes + this.#queuedBytes(replica)
    const floor = this.log.backlog?.capacity ?? 0
    if (outputHardBytes > 0 && held > Math.max(outputHardBytes, floor)) return [drop(id, 'output-limit')]

    if (outputSoftBytes === 0 || held <= Math.max(outputSoftBytes, floor)) {
      replica.overSoftSince = undefined
      return []
    }
    replica.overSoftSince ??= now
    return now - replica.overSoftSince > outputSoftMs ? [drop(id, 'output-limit')] : []
  }

  // ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Several times a second. `pinging`: we are a master, and nothing forbids the offset to move. What replicas had sent by
   * `heardUntil` has been read: their silence is judged as of then; undefined: now.
   */
  tick(
    facts: {
      readonly role: 'master' | 'replica'
      readonly pinging: boolean
      readonly busy: boolean
      readonly heardUntil?: Millis
    },
    now: Millis,
  ): ReplicaEffect[] {
    const effects: ReplicaEffect[] = []
    if (facts.role === 'master' && facts.pinging && this.#replicas.size > 0) effects.push(...this.#ping(now))
    effects.push(...this.#sayAlive(now))
    for (const replica of this.#replicas.values()) effects.push(...this.#judge(replica, facts.heardUntil ?? now))
    effects.push(...this.#beginIfDue(facts.busy, now))
    const { backlogTtlMs } = this.options
    const unused = facts.role === 'master' && this.#replicas.size === 0 && this.log.backlog !== undefined
    if (unused && backlogTtlMs > 0 && now - this.#emptySince > backlogTtlMs) {
      effects.push({ do: 'release-backlog' })
    }
    return effects
  }

  #ping(now: Millis): ReplicaEffect[] {
    if (now - this.#pingedAt < this.options.pingPeriodMs) return []
    this.#pingedAt = now
    return [{ do: 'ping' }]
  }

  /** Once a second to those that wait for a snapshot: they count the seconds of silence. */
  #sayAlive(now: Millis): ReplicaEffect[] {
    if (now - this.#saidAliveAt < 1000) return []
    this.#saidAliveAt = now
    const effects: ReplicaEffect[] = []
    for (const { id, stage } of this.#replicas.values()) {
      const waits = stage.state === 'queued' || (stage.state === 'snapshot' && this.#run?.target === 'disk')
      if (waits) effects.push({ do: 'say-alive', replica: id })
    }
    return effects
  }

  #judge(replica: Replica, heardUntil: Millis): ReplicaEffect[] {
    const { stage } = replica
    const { timeoutMs } = this.options
    if (isOnline(replica)) {
      // Replicas that came with SYNC never acknowledge.
      if (replica.protocol === 'sync' || heardUntil - replica.ackAt <= timeoutMs) return []
      return [drop(replica.id, 'timeout')]
    }
    const stuck =
      stage.state === 'snapshot' && this.#run?.target === 'socket' && heardUntil - stage.lastIoAt > timeoutMs
    return stuck ? [drop(replica.id, 'transfer-timeout')] : []
  }

  // ── Helpers ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #attach(id: ReplicaId, protocol: 'psync' | 'sync', stage: Stage, now: Millis): Replica {
    invariant(!this.#replicas.has(id), `replica ${id} is attached already`)
    const replica: Replica = { id, protocol, stage, ackOffset: 0, ackAt: now, overSoftSince: undefined }
    this.#replicas.set(id, replica)
    return replica
  }

  #acked(id: ReplicaId, offset: Offset | undefined, now: Millis): ReplicaEffect[] {
    const replica = this.#replicas.get(id)
    if (replica === undefined || offset === undefined) return []
    replica.ackOffset = Math.max(replica.ackOffset, offset)
    replica.ackAt = now
    if (replica.stage.state !== 'loading') return []
    replica.stage = { state: 'online', pin: replica.stage.pin }
    return [{ do: 'stream', replica: id }]
  }

  /** A file that is being written serves whoever comes meanwhile, if somebody still holds the stream since its cut. */
  #mayJoin(replica: Replica): boolean {
    const run = this.#run
    if (run === undefined || run.target !== 'disk' || run.filter !== this.profileOf(replica.id).filter) return false
    return this.#someone('snapshot')
  }

  #join(replica: Replica, run: Run, now: Millis): ReplicaEffect[] {
    invariant(this.log.backlog !== undefined, 'a snapshot for replicas without a backlog')
    replica.stage = { state: 'snapshot', pin: this.log.backlog.pin(run.offset + 1), lastIoAt: now }
    if (replica.protocol === 'sync') return []
    return [{ do: 'reply', replica: replica.id, line: `+FULLRESYNC ${run.replid} ${run.offset}` }]
  }

  /** Its snapshot has been handed over whole. */
  #transferred(replica: Replica, pin: Pin, target: SnapshotTarget, now: Millis): ReplicaEffect[] {
    if (this.profileOf(replica.id).snapshotOnly) return [{ do: 'end', replica: replica.id, reason: 'snapshot-only' }]
    replica.ackAt = now
    // A receiver looks for the mark at the end of what it has read, so nothing may follow until it has found it.
    if (target === 'socket' && replica.protocol === 'psync') {
      replica.stage = { state: 'loading', pin }
      return []
    }
    replica.stage = { state: 'online', pin }
    return [{ do: 'stream', replica: replica.id }]
  }

  /** Asks for a cut when somebody waits, nobody else is being served, and the time to wait for others is over. */
  #beginIfDue(busy: boolean, now: Millis): ReplicaEffect[] {
    if (busy || this.#run !== undefined || this.#asked !== undefined) return []
    const waiting = [...this.#replicas.values()].filter(replica => replica.stage.state === 'queued')
    const [first] = waiting
    if (first === undefined) return []
    const { filter } = this.profileOf(first.id)
    const group = waiting.filter(replica => this.profileOf(replica.id).filter === filter)
    const allEof = group.every(replica => this.profileOf(replica.id).understandsEof)
    const target = (this.options.diskless || filter !== 'everything') && allEof ? 'socket' : 'disk'
    if (target === 'socket' && this.options.diskless && !this.#waitedEnough(group, now)) return []
    this.#asked = { target, filter }
    return [{ do: 'begin-snapshot', target, filter }]
  }

  #waitedEnough(group: readonly Replica[], now: Millis): boolean {
    const { disklessDelayMs, disklessReplicasMax } = this.options
    if (disklessReplicasMax > 0 && group.length >= disklessReplicasMax) return true
    return group.some(({ stage }) => stage.state === 'queued' && now - stage.since >= disklessDelayMs)
  }

  #someone(state: Stage['state']): boolean {
    for (const replica of this.#replicas.values()) if (replica.stage.state === state) return true
    return false
  }

  #queuedBytes(replica: Replica): number {
    const { stage } = replica
    return 'pin' in stage && this.log.backlog !== undefined ? this.log.backlog.nextOffset - stage.pin.offset : 0
  }
}

function isOnline(replica: Replica): boolean {
  return replica.stage.state === 'online' || replica.stage.state === 'loading'
}

function wordOf(stage: Stage): ReplicaInfo['state'] {
  switch (stage.state) {
    case 'queued':
    case 'snapshot':
      return 'wait_bgsave'
    case 'send_bulk':
      return 'send_bulk'
    default:
      return 'online'
  }
}

function drop(replica: ReplicaId, reason: DropReason): ReplicaEffect {
  return { do: 'drop', replica, reason }
}
