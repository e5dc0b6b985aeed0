/**
 * The master's side of replication, acting: writes enter the stream, attached replicas are fed from the backlog, PSYNC is
 * answered. What to do is decided by `replication/`; here it is done.
 *
 * Once per turn, before clients are answered, every replica that is online gets what is new, as slices of the backlog's
 * blocks, without a copy. A replica that does not take its bytes holds its place in the backlog, and is read from there
 * when its socket drains; `client-output-buffer-limit replica` bounds that.
 */
import { randomBytes } from 'node:crypto'
import { unreachable } from '../base/invariant.js'
import type { Bytes, Millis, Offset } from '../base/units.js'
import { type Flushable, turn } from '../net/turn.js'
import { ReplicationLog } from '../replication/log.js'
import {
  admitSync,
  decidePsync,
  type FullResyncReason,
  NOT_THERE_YET,
  type PsyncDecision,
  type PsyncRequest,
  WaitingRoom,
} from '../replication/psync.js'
import {
  type DropReason,
  type ReplicaEffect,
  type ReplicaId,
  type ReplicaInfo,
  Replicas,
  type ReplicasOptions,
} from '../replication/replicas.js'
import { type PropagatedCommand, StreamEncoder } from '../replication/stream.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

/** What a session is once it has asked for the stream. */
export interface AttachedReplica {
  /** Gets, or will get, a snapshot. */
  readonly syncing: boolean
  readonly streaming: boolean
}

/** So many bytes are handed to a replica's socket before it has taken some. */
const WINDOW_BYTES = 1024 * 1024
const SLICE_BYTES = 256 * 1024
/** What a replica was in when its time was over. */
const phases: Readonly<Partial<Record<DropReason, string>>> = {
  timeout: 'streaming sync',
  'transfer-timeout': 'full sync',
}
const attached: AttachedReplica = { syncing: true, streaming: true }

export class ReplicaFeed implements Flushable {
  readonly early = true
  readonly log: ReplicationLog
  readonly replicas: Replicas
  readonly stream = new StreamEncoder()
  #flushDue = false
  readonly #waitingRoom = new WaitingRoom()

  constructor(private readonly server: NodeServer) {
    const { config, clock } = server
    this.log = new ReplicationLog(newReplid(), config.number('repl-backlog-size'))
    this.replicas = new Replicas(this.log, this.readOptions(), clock.now())
  }

  // ── The stream ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What one unit did. Writes to a writable replica stay where they are: the stream is its master's. */
  propagate(unit: readonly PropagatedCommand[]): void {
    if (unit.length === 0 || this.log.backlog === undefined || this.server.role === 'replica') return
    this.stream.write(unit)
    this.#commit()
  }

  /** Bytes of our own master, exactly as they came. */
  forward(bytes: Uint8Array): void {
    this.log.append(bytes)
    if (this.server.aof.recording) this.server.aof.offsetMoved()
    if (this.replicas.size > 0) this.#flushSoon()
  }

  ping(): void {
    if (this.log.backlog === undefined) return
    this.stream.ping()
    this.#commit()
  }

  /** Asks all replicas how far they are. */
  getack(): void {
    if (this.log.backlog === undefined) return
    this.stream.getack()
    this.#commit()
  }

  #commit(): void {
    this.log.append(this.stream.view())
    this.stream.reset()
    if (this.server.aof.recording) this.server.aof.offsetMoved()
    if (this.replicas.size > 0) this.#flushSoon()
  }

  #flushSoon(): void {
    if (this.#flushDue) return
    this.#flushDue = true
    turn.add(this)
  }

  flush(): void {
    this.#flushDue = false
    const now = this.server.clock.now()
    for (const replica of this.server.replicaSessions.values()) {
      this.pump(replica)
      this.perform(this.replicas.checkOutput(replica.id, replica.peer.queuedBytes, now))
    }
  }

  /** Hands a replica what is new, as far as its socket takes it. */
  pump(session: Session): void {
    const { peer } = session
    while (!peer.closed && peer.queuedBytes < WINDOW_BYTES) {
      const slices = this.replicas.read(session.id, SLICE_BYTES)
      if (slices.length === 0) return
      for (const slice of slices) {
        this.server.stats.replicationOutputBytes += slice.length
        peer.writeThrough(slice)
      }
    }
  }

  // ── Requests of replicas ──────────────────────────────────────────────────────────────────────────────────────────

  replconf(session: Session, args: readonly Bytes[]): void {
    const { answer, effects } = this.replicas.replconf(session.id, args, this.server.clock.now())
    if (answer.kind === 'ok') session.out.ok()
    else if (answer.kind === 'error') session.out.error(answer.error)
    else if (answer.kind === 'ack') this.server.acknowledged()
    this.perform(effects)
  }

  /** `request` undefined: SYNC, from a replica that knows no offsets. */
  psync(session: Session, request: { replid: string; offset: Offset; failover: boolean } | undefined): void {
    const { server } = this
    const now = server.clock.now()
    if (this.replicas.has(session.id)) return
    const profile = this.replicas.profileOf(session.id)
    // Answers to what was sent with it (REPLCONF) are on their way; what the socket does not take is pending.
    session.peer.flush()
    const admission = admitSync(
      request ?? 'sync',
      { role: server.syncRole(), failingOver: server.failover.inProgress, replid: this.log.history.replid },
      {
        hasPendingOutput: session.peer.queuedBytes > 0,
        wantsFilteredSnapshot: profile.filter !== 'everything',
        understandsEof: profile.understandsEof,
      },
    )
    if (admission.kind === 'refuse') return session.out.error(admission.error)
    if (admission.kind === 'promote-then-admit') {
      server.log.warning('Asked by our master to take over from it')
      server.promote()
    }
    server.log.notice(`Replica ${this.nameOf(session)} asks for synchronization`)
    const decision =
      request === undefined
        ? ({ kind: 'fullresync', reason: 'old-protocol' } as const)
        : decidePsync(request, this.log.history, this.log.backlog)
    if (request !== undefined && this.#waits(request, decision, now)) {
      server.log.notice(`Replica ${this.nameOf(session)} is ahead of us and has to wait until we have what it has`)
      return session.out.error(NOT_THERE_YET)
    }
    this.#becomeReplica(session)
    if (decision.kind === 'continue') {
      server.stats.syncPartialOk++
      server.log.notice(
        `Replica ${this.nameOf(session)} continues at offset ${decision.from}: ${this.log.history.nextOffset - decision.from} bytes from the backlog`,
      )
      return this.perform(this.replicas.attachPartial(session.id, decision.from, now))
    }
    this.#fullResync(session, decision.reason)
  }

  #waits(request: PsyncRequest, decision: PsyncDecision, now: Millis): boolean {
    return this.#waitingRoom.mustWait(request, decision, this.server.syncRole(), this.log.backlog, now)
  }

  #fullResync(session: Session, reason: FullResyncReason): void {
    const { server } = this
    server.stats.syncFull++
    if (reason !== 'requested' && reason !== 'old-protocol') {
      server.stats.syncPartialErr++
      server.log.notice(`Replica ${this.nameOf(session)} cannot continue: ${reason}`)
    }
    this.openBacklog()
    server.log.notice(`Replica ${this.nameOf(session)} gets a full copy: ${reason}`)
    const busy = { busy: server.snapshots.busy }
    this.perform(this.replicas.attachFull(session.id, reason, busy, server.clock.now()))
  }

  /** From here on every write is kept: somebody follows. */
  openBacklog(): void {
    if (this.log.backlog !== undefined) return
    this.log.open(newReplid())
    this.stream.forgetDb()
    this.server.effects.refresh()
    this.server.log.notice(`Keeping a backlog from now on, under history ${this.log.history.replid}`)
  }

  /** The database that the stream has selected by now. */
  get streamDb(): number {
    const { follower } = this.server
    return follower === undefined ? (this.stream.selectedDb ?? 0) : follower.db
  }

  get replid2(): string {
    return this.log.history.replid2 ?? '0'.repeat(40)
  }

  #becomeReplica(session: Session): void {
    session.replica = attached
    session.refresh()
    this.server.replicaSessions.set(session.id, session)
    this.server.clients.limitOutput(session)
  }

  /**
   * A replica has asked something that is answered. What it gets is the stream, and it would take the answer for data: the
   * answer, from `before` on, is taken back, and the replica has to begin anew.
   */
  misused(session: Session, args: readonly Bytes[], before: number): void {
    const { server } = this
    const name = server.dispatcher.resolve(args)?.name ?? '<unknown>'
    const answer = session.out.view().toString('latin1', before)
    session.out.truncate(before)
    if (answer.startsWith('-')) {
      const error = answer.slice(0, answer.indexOf('\r'))
      server.log.warning(
        `== CRITICAL == This master is sending an error to its replica: '${error}' after processing the command '${name}'`,
      )
    }
    const client = server.clients.describe(session)
    server.log.warning(`Replica generated a reply to command '${name}', disconnecting it: ${client}`)
    session.peer.destroy('reply-to-replica')
  }

  gone(session: Session): void {
    if (session.replica !== undefined) {
      this.server.log.warning(`Replica ${this.nameOf(session)} is gone`)
    }
    this.server.replicaSessions.delete(session.id)
    this.perform(this.replicas.detach(session.id, this.server.clock.now()))
  }

  /** What replicas had sent by `heardUntil` has been read. */
  tick(heardUntil: Millis): void {
    const { server } = this
    const now = server.clock.now()
    const role = server.role
    const pinging = server.pause.mode === undefined
    this.perform(this.replicas.tick({ role, pinging, busy: server.snapshots.busy, heardUntil }, now))
    for (const session of [...server.replicaSessions.values()]) {
      this.perform(this.replicas.checkOutput(session.id, session.peer.queuedBytes, now))
    }
  }

  // ── Effects ───────────────────────────────────────────────────────────────────────────────────────────────────────

  perform(effects: readonly ReplicaEffect[]): void {
    for (const effect of effects) this.#perform(effect)
  }

  #perform(effect: ReplicaEffect): void {
    const { server } = this
    const timedOut = effect.do === 'drop' ? phases[effect.reason] : undefined
    const session = 'replica' in effect ? server.replicaSessions.get(effect.replica) : undefined
    switch (effect.do) {
      case 'reply':
        session?.out.raw(Buffer.from(`${effect.line}\r\n`, 'latin1'))
        session?.peer.flushSoon()
        return
      case 'begin-snapshot':
        return server.snapshots.beginForReplicas(effect.target, effect.filter)
      case 'send-file':
        if (session !== undefined) server.snapshots.sendFile(session)
        return
      case 'stream':
        if (session === undefined) return
        server.log.notice(`Replica ${this.nameOf(session)} gets the stream`)
        server.recalm()
        return this.#flushSoon()
      case 'say-alive':
        session?.out.raw(Buffer.from('\n'))
        session?.peer.flushSoon()
        return
      case 'end':
        return session?.close()
      case 'drop':
        if (session === undefined) return
        server.log.warning(
          timedOut !== undefined
            ? `Disconnecting timedout replica (${timedOut}): ${this.nameOf(session)}`
            : `Disconnecting replica ${this.nameOf(session)}: ${effect.reason}`,
        )
        if (effect.reason === 'snapshot-failed') return session.close()
        return session.peer.destroy(effect.reason)
      case 'ping':
        return this.ping()
      case 'release-backlog':
        server.log.notice('No replica for repl-backlog-ttl: the backlog is given up')
        this.log.close(newReplid())
        server.effects.refresh()
        return
      case 'abandon-snapshot':
        return server.snapshots.abandon()
      default:
        unreachable(effect)
    }
  }

  list(): ReplicaInfo[] {
    return this.replicas.list(this.server.clock.now())
  }

  /** Everybody must ask again: our history is another. */
  dropAll(): void {
    this.perform(this.replicas.dropAll('history-changed'))
  }

  nameOf(session: Session): string {
    const { listeningPort, ipAddress } = this.replicas.profileOf(session.id)
    const host = ipAddress ?? session.peer.remoteHost.replace(/^::ffff:/, '')
    return listeningPort > 0 ? `${host}:${listeningPort}` : session.address
  }

  sessionOf(id: ReplicaId): Session | undefined {
    return this.server.replicaSessions.get(id)
  }

  readOptions(): ReplicasOptions {
    const { config, clients } = this.server
    const { hardBytes, softBytes, softSeconds } = clients.limits.replica
    return {
      timeoutMs: config.number('repl-timeout') * 1000,
      pingPeriodMs: config.number('repl-ping-replica-period') * 1000,
      diskless: config.flag('repl-diskless-sync'),
      disklessDelayMs: config.number('repl-diskless-sync-delay') * 1000,
      disklessReplicasMax: config.number('repl-diskless-sync-max-replicas'),
      backlogTtlMs: config.number('repl-backlog-ttl') * 1000,
      goodLagMsMax: config.number('min-replicas-max-lag') * 1000,
      outputHardBytes: hardBytes,
      outputSoftBytes: softBytes,
      outputSoftMs: softSeconds * 1000,
      keepsFiles: config.text('save') !== '',
    }
  }
}

export function newReplid(): string {
  return randomBytes(20).toString('hex')
}
