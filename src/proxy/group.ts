/**
 * A replicating group as the data plane sees it: it sends each command where routing says, and keeps those that cannot be
 * sent yet.
 *
 *     dispatch ──read──▶ reads ──▶ replica, or master          reads.ts
 *         ├──────────▶ master
 *         └──────────▶ kept ──▶ master                         none is writable, or writes are held for a switch
 *                        └────▶ -MASTERDOWN                    after the hold's time
 *
 * Rules of failure. Bytes that were not handed to a socket are sent elsewhere. A write that was handed over and not
 * answered is never sent again: its client gets -UNKNOWNRESULT. A read is sent once more. An error that means "not
 * executed" is not shown: the command is kept and sent again.
 */

import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import { every } from '../base/clock.js'
import type { Fifo } from '../base/fifo.js'
import type { Bytes, Millis, Offset } from '../base/units.js'
import { Decoder } from '../resp/decoder.js'
import { requestLimits } from '../resp/protocol.js'
import type { Call, CallTable } from '../routing/calls.js'
import type { ReadRules } from '../routing/choose.js'
import { errorCode, meaningOf, UNKNOWN_RESULT } from '../routing/errors.js'
import { GuardRails } from '../routing/guard-rails.js'
import { type Flight, Marks } from '../routing/marks.js'
import type { ControlPlane, HoldReport, HoldRequest, ReleaseReport } from '../topology/planes.js'
import type { FreshnessUpdate, GroupView, Lineage } from '../topology/view.js'
import { type Asker, isFollowed, noLongerAtMaster, noteAnswered } from './asker.js'
import { Confirming } from './confirming.js'
import type { GroupCounters } from './counters.js'
import { Gate } from './gate.js'
import { Head } from './head.js'
import { Hedger } from './hedger.js'
import { Instance } from './instance.js'
import { Kept } from './kept.js'
import { KeySlots } from './key-slots.js'
import { type Lender, Lending } from './lending.js'
import type { WorkerOptions } from './options.js'
import { type ReadPlan, Reads } from './reads.js'
import { keepBytes, type Recipient, type Request, reread } from './request.js'
import { Retired } from './retired.js'
import type { ScannedAt } from './scans.js'
import { Scripts } from './scripts.js'
import { Silent } from './silent.js'
import { followTrail, type Standing, type Trail } from './standing.js'
import { StreamMarks } from './stream-marks.js'
import {
  type Introduction,
  Upstream,
  type UpstreamOptions,
  type UpstreamOwner,
  type UpstreamTools,
} from './upstream.js'
import { Urgency } from './urgency.js'
import { Verifier } from './verifier.js'
import { Watch } from './watch.js'

/** How often the group looks at what does not announce itself: expired holds, silent replicas, a lost master. */
const TICK_MS = 20
/** So many connections are lent for no better reason than a busy script. */
const ASIDE_MAX = 64
/** How often an instance that should be the master and says it is not is asked again. */
const ASK_AGAIN_MS = 40

export class Group implements UpstreamOwner, Lender {
  readonly marks: Marks
  readonly #keys: KeySlots
  /** Where the current history stood when its master was met: whatever is left of older ones is covered by it. */
  anchor: Offset = 0
  readonly scripts = new Scripts()
  /** The process that has made what cursors there are. */
  scannedAt: ScannedAt = { process: '', since: undefined }
  readonly name: string
  view: GroupView
  /** The history of the master, as it told us itself; undefined until the first one has been met. */
  replid: string | undefined
  /** The same with what it inherited, by its own word. */
  lineage: Lineage | undefined
  readonly #tellsLost: boolean
  #master: Instance | undefined
  #replicas: Instance[] = []
  readonly #instances = new Map<string, Instance>()
  readonly #kept: Kept
  readonly #reads: Reads
  readonly #stream: StreamMarks | undefined
  readonly #retired = new Retired()
  readonly #silent = new Silent()
  readonly confirming: Confirming
  readonly #watch: Watch
  readonly #hedger: Hedger | undefined
  /** Connections that sessions have for themselves. */
  readonly lent: Lending
  readonly #gate: Gate
  /** Commands on the master that may change data and are not answered, those that wait for data excepted. */
  #inFlight = 0
  /** Flights whose connection died before their sample. */
  readonly #orphans: Flight[] = []
  #askedAt: Millis = 0
  /** Whose master has told its history. */
  #metEpoch = -1
  readonly #head: Head
  readonly urgency: Urgency
  #past: { readonly replid: string | undefined; readonly head: Offset } = { replid: undefined, head: -1 }
  #drainDue = false
  /** Reads requests that are sent again from the bytes that were kept. */
  readonly #reader = new Decoder({ ...requestLimits, count: 2 ** 31 })
  readonly #stopTicking: () => void

  constructor(
    view: GroupView,
    readonly clock: Clock,
    private readonly events: EventSink,
    private readonly control: ControlPlane,
    private readonly tools: UpstreamTools,
    private readonly options: WorkerOptions,
    readonly counters: GroupCounters,
    private readonly onMasterMet: (upstream: Upstream, introduction: Introduction) => void,
    private readonly onLineage: (lineage: Lineage, anchor: Offset) => void,
    readonly onLost: (who: Standing | Trail) => void,
    calls: () => CallTable,
  ) {
    this.#tellsLost = options.lostWrites !== 'ignore'
    this.name = view.name
    this.view = { ...view, masterEpoch: -1, master: undefined, replicas: [] }
    this.marks = new Marks(options.slots)
    this.#watch = new Watch(view.name, events, counters, options)
    this.#keys = new KeySlots(this.marks)
    this.#gate = new Gate(
      clock,
      events,
      () => this.#inFlight,
      () => this.#kept.drain(),
    )
    this.urgency = new Urgency(tools.time, control.pace)
    this.#head = new Head(clock, tools.time, this.urgency, () => this.#tellHead())
    this.#kept = new Kept(clock, this.#gate, tools.requests, options, (session, request) =>
      this.#dispatchAgain(session, request),
    )
    const { rails, verifyEvery } = options
    const isRailed = rails.minServing > 0 || rails.masterShareMax < 1
    const later = (delay: Millis, task: () => void): void => void clock.after(delay, task)
    this.#reads = new Reads(
      this,
      this.#keys,
      tools,
      this.#reader,
      isRailed ? new GuardRails<Instance>(rails) : undefined,
      verifyEvery > 0 ? new Verifier(this, tools, events, later, verifyEvery) : undefined,
    )
    if (options.tapMaster) {
      const { marks } = this
      this.#stream = new StreamMarks(this, clock, events, marks, this.#keys, calls, this.#login, counters.stream())
    }
    this.confirming = new Confirming(this, tools.requests, counters.acks(), tools.time)
    if (options.hedge.percent > 0) this.#hedger = new Hedger(this, clock, tools, options.hedge)
    this.lent = new Lending(this, tools, options.maxPinned)
    this.#stopTicking = every(clock, TICK_MS, () => this.#tick())
    this.setView(view)
  }

  get master(): Instance | undefined {
    return this.#master
  }

  get replicas(): readonly Instance[] {
    return this.#replicas
  }

  get keptCommands(): number {
    return this.#kept.length
  }

  get inFlight(): number {
    return this.#inFlight
  }

  instanceOf(upstream: Upstream): Instance | undefined {
    return this.#instances.get(upstream.instanceId)
  }

  get metMaster(): boolean {
    return this.#master !== undefined && this.#metEpoch === this.view.masterEpoch
  }

  get holding(): boolean {
    return this.#gate.held
  }

  /** The master's newest offset that this worker has seen; -1 before. */
  get head(): Offset {
    return this.#head.offset
  }

  // ── The view ──────────────────────────────────────────────────────────────────────────────────────────────────────

  setView(view: GroupView): void {
    const before = this.view
    this.view = view
    const members = view.master === undefined ? view.replicas : [view.master, ...view.replicas]
    const ids = new Set(members.map(member => member.id))
    const master = view.master
    const changed =
      before.masterEpoch !== view.masterEpoch ||
      before.master?.id !== master?.id ||
      (before.master?.runId !== undefined && master?.runId !== undefined && before.master.runId !== master.runId)
    const old = this.#master
    for (const [id, instance] of this.#instances) {
      if (ids.has(id)) continue
      this.#instances.delete(id)
      instance.usable = false
      this.counters.forgetNode(id)
      if (instance !== old) instance.closeAll('removed')
    }
    for (const member of members) {
      const instance = this.#instanceFor(member)
      instance.view = member
      instance.learnRun(member.runId)
    }
    this.#master = master === undefined ? undefined : this.#instances.get(master.id)
    this.#replicas = view.replicas.map(replica => this.#instances.get(replica.id) as Instance)
    this.#refresh()
    this.#stream?.follow()
    // Only now, as whoever loses a connection by this looks for another one at once.
    if (changed) this.#succeed(old, before.masterEpoch !== view.masterEpoch)
    if (changed) {
      const process = `${view.masterEpoch} ${master?.id} ${master?.runId}`
      this.scannedAt = { process, since: this.replid === undefined ? undefined : this.tools.time.now }
      this.#meetMaster()
    }
    this.#keepInTouch(this.tools.time.now)
    this.#reads.retry()
    this.#kept.drain()
  }

  setFreshness(update: FreshnessUpdate): void {
    const at = this.tools.time.update() - (update.ageMs ?? 0)
    for (const { id, replid, offset, runId } of update.samples) {
      if (id === this.#master?.id) {
        if (replid === this.replid) this.#head.raise(offset)
        continue
      }
      const instance = this.#instances.get(id)
      instance?.learnRun(runId)
      instance?.setApplied(replid, offset, this.replid)
    }
    for (const [id, lagMs] of update.lagMs) {
      const instance = this.#instances.get(id)
      if (instance === undefined) continue
      instance.lagMs = lagMs
      instance.lagAt = at
    }
    this.#reads.retry()
    this.confirming.freshened(update.witness)
  }

  #instanceFor(member: { readonly id: string } & GroupView['replicas'][number]): Instance {
    let instance = this.#instances.get(member.id)
    if (instance === undefined) {
      instance = new Instance(member, this, this.tools, this.#login, this.counters.roundTrip(member.id))
      this.#instances.set(member.id, instance)
    }
    return instance
  }

  get #login(): UpstreamOptions {
    const { upstreamUsername: username, upstreamPassword: password, connectTimeoutMs } = this.options
    return { username, password, connectTimeoutMs, tls: this.tools.tls }
  }

  #refresh(): void {
    const { now } = this.tools.time
    for (const instance of this.#instances.values()) instance.refresh(this.replid, now)
  }

  #succeed(old: Instance | undefined, isSucceeded: boolean): void {
    const master = this.#master
    const left = master === undefined ? undefined : (old ?? this.#silent.ends(master, isSucceeded))
    if (left !== undefined) this.#retire(left)
    else if (old !== undefined) this.#silent.begins(old, this.clock.now())
  }

  /** Nothing new goes to this master; what is in flight may still be answered for a moment. */
  #retire(master: Instance): void {
    this.#retired.add(master.abandon(), this.clock.now() + this.options.settleMs)
  }

  #meetMaster(): void {
    const master = this.#master
    if (master === undefined) return
    master.forgive()
    this.#askedAt = this.clock.now()
    const lane = master.lane(2, this.#askedAt)
    for (const upstream of [lane, master.existingLane(3)]) if (upstream?.open) this.#identify(upstream)
  }

  #identify(upstream: Upstream): void {
    upstream.identify(introduction => this.#judge(upstream, introduction))
  }

  /** Is this the master that the view means? Then it may have what was kept for it. */
  #judge(upstream: Upstream, introduction: Introduction): void {
    const master = this.#master
    if (master === undefined || upstream.instanceId !== master.id || upstream.closed) return
    if (this.#retired.has(upstream)) return
    const { role, runId, replid, offset, busy } = introduction
    if (busy && master.sharedIsConfirmed) {
      // The process is the one that has told us who it is; the client shall hear that it is busy.
      upstream.confirmed = true
      return this.#kept.drain()
    }
    const expected = master.view.runId
    const isIt = role === 'master' && (expected === undefined || runId === undefined || runId === expected)
    if (!isIt || replid === undefined || offset === undefined) {
      this.control.suspect(master.id, 'not-master')
      return
    }
    if (replid !== this.replid) {
      this.anchor = offset
      this.#beginLineage({ replid, replid2: introduction.replid2, secondOffset: introduction.secondOffset })
    }
    this.#metEpoch = this.view.masterEpoch
    this.marks.anchor(offset)
    if (!this.#stream?.inStep) this.#stream?.begun()
    for (const flight of this.#orphans.splice(0)) this.marks.resolve(flight, offset, this.#past)
    upstream.confirmed = true
    this.#head.note(offset)
    this.onMasterMet(upstream, introduction)
    this.#kept.drain()
  }

  #beginLineage(lineage: Lineage): void {
    const { replid } = lineage
    this.events.event('info', '+lineage', { group: this.name, replid, previous: this.replid })
    // Those who saw more of the old one than the new one has are told; at the first there is nothing they could have seen.
    if (this.replid !== undefined && this.#tellsLost) this.onLineage(lineage, this.anchor)
    this.#past = { replid: this.replid, head: this.head }
    this.replid = replid
    this.lineage = lineage
    this.confirming.lineageBegins(lineage)
    this.#head.forget()
    this.marks.restart(replid)
    this.#stream?.begun()
    this.#refresh()
  }

  // ── Dispatching ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Sends a command where it belongs, or keeps it. `decoder` stands on its bytes. */
  dispatch(session: Asker, request: Request, call: Call, decoder: Decoder): void {
    if (session.lost) return session.tellLost(request)
    if (session.kept > 0) return this.keep(session, request, decoder)
    if (session.stalled > 0 && !session.isFirst(request)) return session.stall(request, decoder)
    // What belongs to a transaction stays on its connection, whatever it is.
    if (request.effect !== 'none' && request.effect !== 'info') return session.dispatchPinned(request, decoder)
    switch (call.handling) {
      case 'read':
        return this.#reads.dispatch(session, request, call, decoder)
      case 'master':
        return this.toMaster(session, request, call, decoder)
      default:
        return session.dispatchPinned(request, decoder)
    }
  }

  /** Where a read of a connection that has seen nothing would go now, and what a replica must have applied. */
  planRead(call: Call, decoder: Decoder, rules: ReadRules): ReadPlan {
    return this.#reads.plan(call, decoder, rules)
  }

  /** To the master on the shared connection, as soon as there is one that may have it. */
  toMaster(session: Asker, request: Request, call: Call, decoder: Decoder): void {
    const master = this.#master
    const lane = master?.lane(session.resp, this.tools.time.now)
    if (master === undefined || lane === undefined || !lane.confirmed || (call.writes && this.#gate.held)) {
      return this.keep(session, request, decoder)
    }
    const refusal = this.confirming.refusalOf(session, call)
    if (refusal !== undefined) return session.fail(request, refusal)
    if (call.writes && this.#overtakes(session, request, call, decoder)) return session.stall(request, decoder)
    if (lane.pending > 0 && this.isStuck(lane)) return session.sendAlone(request, call, decoder)
    this.sendToMaster(lane, session, request, call, decoder)
  }

  /**
   * A script keeps the connection: behind it a command would wait in silence, where the instance would answer BUSY. A few
   * may ask on connections of their own.
   */
  isStuck(lane: Upstream): boolean {
    return lane.isStuck(this.tools.time.now) && (this.#master?.lent ?? 0) < ASIDE_MAX
  }

  /** On any connection to the master that may have it now: raises its marks and counts it. */
  sendToMaster(upstream: Upstream, session: Asker, request: Request, call: Call, decoder: Decoder): void {
    this.#noteSent(upstream, session, request, call, decoder)
    if (!upstream.inMulti) upstream.select(request.db)
    upstream.send(request, decoder.buffer, decoder.start, decoder.end)
  }

  /** The same for a request of which only the beginning is there, on a connection of its own. The sample comes behind its end. */
  beginUpload(upstream: Upstream, session: Asker, request: Request, call: Call, decoder: Decoder): void {
    upstream.select(request.db)
    upstream.flush()
    this.#noteSent(upstream, session, request, call, decoder)
    upstream.beginUpload(request, Buffer.from(decoder.buffer.subarray(decoder.start, decoder.end)))
  }

  #noteSent(upstream: Upstream, session: Asker, request: Request, call: Call, decoder: Decoder): void {
    if (call.writes) {
      if (call.marking !== 'none') {
        const flight = upstream.flight(this.marks)
        this.#keys.raise(flight, this.#keys.find(call, decoder))
        if (session.rules.acks !== undefined) this.confirming.expect(flight, request, session.rules.acks)
      }
      if (call.handling !== 'blocking') {
        request.counted = true
        this.#inFlight++
      }
      session.lastBecause = call.marking === 'none' ? 'master-only' : 'write'
    } else if (session.rules.level === 'causal' && call.marking !== 'none') {
      request.readsMaster = true
      session.masterReads++
      session.masterFilter |= this.#keys.filter(this.#keys.find(call, decoder))
    }
    if (session.rules.level === 'session') this.#follow(upstream, session)
    else if (this.#tellsLost && isFollowed(session, call)) followTrail(session, this, upstream.flight(this.marks))
    session.lastTo = upstream.instanceId
    this.counters.command(call, 'master')
    request.sentAt = this.tools.time.now
    upstream.instance.begin(call)
  }

  /** What the session learns by what is sent now shall be covered by the sample behind it. */
  #follow(upstream: Upstream, session: Asker): void {
    const { followers } = upstream.flight(this.marks)
    const { standing } = session
    session.ahead = false
    if (followers[followers.length - 1] === standing) return
    followers.push(standing)
    standing.unsettled++
  }

  /** A write to be confirmed counts until its sample is there: so a switch costs no write its confirmation. */
  settled(request: Request): void {
    if (!request.counted) return
    request.counted = false
    this.#inFlight--
    if (this.#inFlight === 0) this.#gate.noteDrained()
  }

  /** A command that is not executed now, or that changes nothing: no marks, not counted. */
  sendAside(upstream: Upstream, session: Asker, request: Request, call: Call, decoder: Decoder): void {
    session.lastTo = upstream.instanceId
    session.lastBecause = 'transaction'
    if (session.rules.level === 'session') this.#follow(upstream, session)
    else if (request.effect === 'watched' && this.#tellsLost) followTrail(session, this, upstream.flight(this.marks))
    this.counters.command(call, 'master')
    request.sentAt = this.tools.time.now
    upstream.instance.begin(call)
    if (!upstream.inMulti) upstream.select(request.db)
    upstream.send(request, decoder.buffer, decoder.start, decoder.end)
  }

  /** Raises marks for what EXEC is about to do on `upstream`. */
  raiseSlots(upstream: Upstream, slots: readonly number[] | undefined): void {
    const flight = upstream.flight(this.marks)
    if (slots === undefined) this.marks.raiseAll(flight)
    else for (const slot of slots) this.marks.raise(flight, slot)
  }

  /** The slots a call writes; undefined when that is not known. */
  writtenSlots(call: Call, decoder: Decoder): readonly number[] | undefined {
    if (call.marking === 'none') return []
    return this.#keys.list(this.#keys.find(call, decoder))
  }

  /** True when the command might reach the master before an earlier read of the same keys reached its replica. */
  #overtakes(session: Asker, request: Request, call: Call, decoder: Decoder): boolean {
    if (session.replicaReads === 0 || call.marking === 'none' || session.isFirst(request)) return false
    return (session.readFilter & this.#keys.filter(this.#keys.find(call, decoder))) !== 0
  }

  // ── Keeping ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Not now: the request waits for a master that may have it. */
  keep(session: Asker, request: Request, decoder: Decoder): void {
    keepBytes(request, decoder, this.tools.blocks)
    this.#kept.add(session, request)
  }

  /** The same for a request whose bytes are kept already. */
  keepAgain(session: Asker, request: Request): void {
    this.#kept.add(session, request)
  }

  // ── Hold and release ──────────────────────────────────────────────────────────────────────────────────────────────

  hold(request: HoldRequest): Promise<HoldReport> {
    return this.#gate.hold(request)
  }

  release(): Promise<ReleaseReport> {
    return this.#gate.release()
  }

  // ── What connections tell ─────────────────────────────────────────────────────────────────────────────────────────

  onOpen(upstream: Upstream): void {
    this.counters.connect(upstream.instanceId, 'ok')
    const instance = this.#instances.get(upstream.instanceId)
    if (instance === undefined) return
    if (instance === this.#master) this.#identify(upstream)
    else if (instance.isLane(upstream)) this.#introduce(instance, upstream)
  }

  /** Which process it is decides whether what is known of the replica holds for it. */
  #introduce(instance: Instance, upstream: Upstream): void {
    upstream.identify(({ runId, busy }) => {
      // Busy with a script: it is asked again.
      if (busy && runId === undefined) return
      upstream.runId = runId
      upstream.introduced = true
      instance.judgeLane(upstream)
      instance.refresh(this.replid, this.tools.time.now)
      this.#reads.retry()
    })
  }

  /** Replicas are connected to before they are needed, as their first answer is who they are. */
  #keepInTouch(now: Millis): void {
    for (const replica of this.#replicas) {
      if (replica.view.excluded !== undefined) continue
      const lane = replica.lane(2, now)
      if (lane?.open && !lane.introduced && lane.pending === 0) this.#introduce(replica, lane)
    }
  }

  onAnswered(upstream: Upstream, request: Request): void {
    const { now } = this.tools.time
    const tookMs = now - request.sentAt
    const seconds = tookMs / 1000
    upstream.instance.answered(request, now)
    const isSlow = this.tools.insight.answered(request, tookMs, upstream.instanceId)
    const target = request.toReplica ? 'replica' : 'master'
    const call = request.call as Call
    this.counters.duration(call, target).observe(seconds)
    if (isSlow) this.counters.nameSlow(call, target, seconds, upstream.instanceId, this.clock.wall())
    if (request.confirmation === undefined || (request.session as Asker).closed) this.settled(request)
    if (request.toReplica) {
      const session = request.session as Asker
      if (--session.replicaReads === 0) session.readFilter = 0
      if (request.standing !== undefined) request.standing.reading--
      return
    }
    noteAnswered(request.session as Asker)
    if (request.readsMaster) noLongerAtMaster(request)
  }

  // ── Reads that are asked twice ────────────────────────────────────────────────────────────────────────────────────

  secondFor(request: Request, asked: Instance): Instance | undefined {
    return this.#reads.second(request, asked)
  }

  answeredBy(request: Request, second: Instance): void {
    const session = request.session as Asker
    const tookMs = this.tools.time.now - request.sentAt
    this.tools.insight.answered(request, tookMs, second.id)
    this.counters.duration(request.call as Call, 'replica').observe(tookMs / 1000)
    if (--session.replicaReads === 0) session.readFilter = 0
    request.toReplica = false
    session.lastReplica = second
    session.lastTo = second.id
  }

  /**
   * True when an answer must not be shown: the session has a command back that was not executed, and this read, sent
   * after it, would miss what it writes.
   */
  onReply(upstream: Upstream, request: Request): boolean {
    const session = request.session as Asker
    if (session.kept === 0 || session.closed || request.call?.handling !== 'read' || upstream.lentTo !== undefined)
      return false
    this.#takeBack(upstream, request)
    this.#kept.add(session, request)
    return true
  }

  onSetAside(upstream: Upstream, taker: Recipient): boolean {
    const instance = this.#instances.get(upstream.instanceId)
    if (instance?.setAside(upstream, this.replid, this.tools.time.now) === false) return false
    for (const request of upstream.takeOutReads(taker)) {
      this.#takeBack(upstream, request)
      this.#resend(request.session as Asker, request)
    }
    return true
  }

  onSample(upstream: Upstream, flight: Flight, offset: Offset): void {
    this.marks.settle(flight, offset)
    if (!upstream.confirmed) return
    this.#head.note(offset)
    this.#stream?.sampled(offset)
  }

  onNoSample(flight: Flight): void {
    this.#orphans.push(flight)
  }

  onDemoted(upstream: Upstream, flight: Flight): void {
    this.#orphans.push(flight)
    this.#doubt(upstream)
  }

  /** True: the command was not executed, and is kept or sent elsewhere. */
  onError(upstream: Upstream, request: Request, text: Bytes): boolean {
    const target = request.toReplica ? 'replica' : 'master'
    const session = request.session as Asker
    const poisoned = request.effect === 'exec' && session.poisoned
    const meaning = poisoned ? 'not-master' : meaningOf(text)
    this.counters.error(text, target)
    if (meaning === 'answer' || session.closed || request.attempts > 100) return false
    if (meaning === 'no-script') return this.#healScript(upstream, request)
    if (meaning === 'unblocked' && request.call?.handling !== 'blocking') return false

    request.attempts++
    this.counters.healed(errorCode(text))
    const instance = this.#instances.get(upstream.instanceId)
    const wasReplica = request.toReplica
    if (wasReplica) instance?.rest(this.tools.time.now)
    else if (meaning !== 'unblocked') this.#doubt(upstream)
    this.#takeBack(upstream, request)
    if (upstream.lentTo !== undefined) return session.onPinnedRefused(upstream, request, meaning)
    if (wasReplica) this.#resend(session, request)
    else this.#kept.add(session, request)
    return true
  }

  onClose(upstream: Upstream, reason: string, pending: Fifo<Request>): void {
    const { now } = this.tools.time
    const instance = this.#instances.get(upstream.instanceId)
    // To be refused at the door is no better than to find it closed: the next attempt waits.
    const failed = upstream.heardAt === 0 || reason === 'auth-failed'
    const ours =
      reason === 'master-changed' || reason === 'removed' || reason === 'client-gone' || reason === 'shutdown'
    instance?.closed(upstream, failed && !ours, now)
    instance?.refresh(this.replid, now)
    if (!ours) this.#watch.closed(upstream, reason, failed, this.control)
    const session = upstream.lentTo as Asker | undefined
    const requests: Request[] = []
    for (let request = pending.shift(); request !== undefined; request = pending.shift()) {
      if (request.kind === 'client') {
        this.#takeBack(upstream, request)
        requests.push(request)
        continue
      }
      if (request.flight !== undefined) this.#orphans.push(request.flight)
      request.lost?.()
      this.tools.requests.give(request)
    }
    if (session !== undefined) {
      if (instance !== undefined) instance.lent--
      upstream.lentTo = undefined
      session.onPinnedClosed(upstream, reason, requests)
      // What it kept waited for this very connection.
      if (session.kept > 0) this.#drainDue = true
    } else for (const request of requests) this.lost(request)
    // The master's shared connection is what everybody waits for.
    if (instance !== undefined && instance === this.#master && !ours) instance.lane(upstream.resp, now)
  }

  /** A request of a connection that died. */
  lost(request: Request): void {
    const session = request.session as Asker
    if (session.closed) return this.tools.requests.give(request)
    const handed = Upstream.handedOver(request)
    const call = request.call as Call
    if (handed) request.losses++
    if (!handed) this.#resend(session, request)
    else if (!call.writes && request.losses <= 1) this.#resend(session, request)
    else session.fail(request, UNKNOWN_RESULT)
  }

  /** Sends it again, behind what its session has kept already. */
  #resend(session: Asker, request: Request): void {
    if (session.kept > 0) this.#kept.add(session, request)
    else this.#dispatchAgain(session, request)
  }

  #dispatchAgain(session: Asker, request: Request): void {
    if (request.rules !== undefined) session.rules = request.rules
    this.dispatch(session, request, request.call as Call, reread(this.#reader, request))
  }

  /** It is in no connection's queue any more, and not answered. */
  #takeBack(upstream: Upstream, request: Request): void {
    upstream.instance.end(request.call)
    if (request.toReplica) (request.session as Asker).replicaReads--
    if (request.standing !== undefined) request.standing.reading--
    request.standing = undefined
    if (request.readsMaster) noLongerAtMaster(request)
    request.toReplica = false
    request.hedge = undefined
    request.state = 'kept'
    request.confirmation?.abandon()
    this.settled(request)
  }

  /** Its instance says that it is no master, or does not serve. */
  #doubt(upstream: Upstream): void {
    const instance = this.#instances.get(upstream.instanceId)
    if (instance === undefined || instance !== this.#master || !upstream.confirmed) return
    for (const connection of instance.connections) connection.confirmed = false
    this.#askedAt = this.clock.now()
    this.control.suspect(upstream.instanceId, 'not-master')
    this.events.event('warn', '+master-doubted', { group: this.name, node: upstream.instanceId })
  }

  /** EVALSHA of a script that the new master does not have and we remember: load it, and send the call again. */
  #healScript(upstream: Upstream, request: Request): boolean {
    if (request.healed || upstream.inMulti || request.call?.handling !== 'master') return false
    const decoder = reread(this.#reader, request)
    const load = this.scripts.loadFor(decoder)
    if (load === undefined) return false
    request.healed = true
    const session = request.session as Asker
    const call = request.call
    this.#takeBack(upstream, request)
    this.counters.healed('NOSCRIPT')
    upstream.tell(load)
    this.sendToMaster(upstream, session, request, call, decoder)
    return true
  }

  #tellHead(): void {
    if (this.#master === undefined || this.replid === undefined) return
    this.control.sample(this.name, { id: this.#master.id, replid: this.replid, offset: this.head })
  }

  // ── Housekeeping ──────────────────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    const now = this.tools.time.update()
    this.#refresh()
    if (this.#kept.length > 0) this.#kept.expire(now)
    this.confirming.tick()
    this.urgency.tick(this.counters.routed)
    if (this.#drainDue) {
      this.#drainDue = false
      this.#kept.drain()
    }
    this.#keepInTouch(now)
    this.#silent.expire(now, instance => this.#retire(instance))
    this.#retired.closeDone(now)
    this.#watch.look(this.#replicas, replica => this.#silent.is(replica), now)
    this.#askMasterAgain(now)
  }

  #askMasterAgain(now: Millis): void {
    const master = this.#master
    if (master === undefined || now - this.#askedAt < ASK_AGAIN_MS) return
    const lane = master.lane(2, now)
    if (lane === undefined) return
    let asked = false
    if (lane.confirmed && this.#orphans.length > 0) {
      this.#identify(lane)
      asked = true
    }
    for (const upstream of master.connections) {
      // Those lent out are asked when they are needed again, by whoever needs them; here all that stand.
      if (!upstream.open || upstream.confirmed || (upstream.pending > 0 && upstream.piped)) continue
      this.#identify(upstream)
      asked = true
    }
    if (asked) this.#askedAt = now
  }

  close(): void {
    this.#stopTicking()
    this.#head.close()
    this.#reads.close()
    this.#hedger?.close()
    this.#stream?.close()
    this.#gate.expire()
    for (const instance of this.#instances.values()) instance.closeAll('shutdown')
    this.#retired.closeAll()
  }
}
