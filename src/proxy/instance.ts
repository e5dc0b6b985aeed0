/**
 * One instance as the data plane knows it: its connections, how fresh it is, how busy.
 *
 * There is one shared connection per protocol version, which all sessions that speak it use, and a stock of connections
 * that are lent to one session at a time. A lane that broke is opened again when somebody needs it, after a pause that
 * grows from 20 ms to a second while it cannot be opened.
 */
import { Ewma } from '../base/ewma.js'
import type { Millis, Offset } from '../base/units.js'
import type { Histogram } from '../metrics/store.js'
import type { Call } from '../routing/calls.js'
import type { Candidate } from '../routing/choose.js'
import type { InstanceView } from '../topology/view.js'
import type { Request } from './request.js'
import {
  type CloseReason,
  type Resp,
  Upstream,
  type UpstreamOptions,
  type UpstreamOwner,
  type UpstreamTools,
} from './upstream.js'

const RETRY_MIN_MS = 20
const RETRY_MAX_MS = 1000
/** An instance that answered LOADING or MASTERDOWN, or nothing at all, is left alone for so long. */
const REST_MS = 100
/** A latency nobody has measured yet: new replicas are tried. */
const LATENCY_UNKNOWN_MS = 0.05
/** Idle connections kept per protocol version. */
const IDLE_MAX = 64
/** Connections that are not read for the sake of slow clients. */
const ASIDE_MAX = 64

export class Instance implements Candidate {
  readonly id: string
  view: InstanceView
  /** Offsets it reported, and of which history. */
  replid: string | undefined
  /** The process that reported them; undefined: nobody has said. */
  #runId: string | undefined
  offset: Offset = -1
  applied: Offset = -1
  lagMs: Millis | undefined
  lagAt: Millis = 0
  pending = 0
  slow = 0
  workingSince: Millis = 0
  latencyMs: Millis = LATENCY_UNKNOWN_MS
  usable = false
  /** Connections that are lent. */
  lent = 0
  measurements = 0
  readonly #latency = new Ewma(1000)
  readonly #lanes: [Upstream | undefined, Upstream | undefined] = [undefined, undefined]
  readonly #idle: [Upstream[], Upstream[]] = [[], []]
  /** A shared connection in reserve. */
  readonly #parked: [Upstream | undefined, Upstream | undefined] = [undefined, undefined]
  readonly #all = new Set<Upstream>()
  #sampledAt: Millis = 0
  #retryAt: Millis = 0
  #retryMs: Millis = RETRY_MIN_MS
  #restUntil: Millis = 0
  #ejectedUntil: Millis = 0

  constructor(
    view: InstanceView,
    private readonly owner: UpstreamOwner,
    private readonly tools: UpstreamTools,
    private readonly options: UpstreamOptions,
    private readonly roundTrip: Histogram,
  ) {
    this.id = view.id
    this.view = view
  }

  get connections(): ReadonlySet<Upstream> {
    return this.#all
  }

  /** A script keeps it on some connection: it may refuse whatever else it is asked. */
  isBusy(now: Millis): boolean {
    for (const upstream of this.#all) if (upstream.isStuck(now)) return true
    return false
  }

  get idleCount(): number {
    return this.#idle[0].length + this.#idle[1].length
  }

  get sharedCount(): number {
    return (this.#lanes[0] === undefined ? 0 : 1) + (this.#lanes[1] === undefined ? 0 : 1)
  }

  get sharedIsConfirmed(): boolean {
    return this.#lanes.some(lane => lane?.confirmed)
  }

  /** When a broken lane may be opened again. */
  get retryAt(): Millis {
    return this.#retryAt
  }

  /** Judges again whether it may serve reads. */
  refresh(replid: string | undefined, now: Millis): void {
    this.applied = this.replid === replid && replid !== undefined ? this.offset : -1
    const { excluded, role } = this.view
    this.usable =
      excluded === undefined &&
      role === 'replica' &&
      now >= this.#restUntil &&
      now >= this.#ejectedUntil &&
      now >= this.#retryAt &&
      this.#lanes[0]?.readable === true
  }

  /**
   * It is this process now. What was known of the one before is forgotten: a replica that was started again may be empty,
   * and is reached at the old address before anybody has said so.
   */
  learnRun(runId: string | undefined): void {
    if (runId === undefined || runId === this.#runId) return
    if (this.#runId !== undefined) {
      this.offset = this.applied = -1
      this.lagMs = undefined
    }
    this.#runId = runId
    for (const lane of this.#lanes) if (lane !== undefined) this.judgeLane(lane)
  }

  /** Whether what we know is about the process that the connection leads to. */
  judgeLane(lane: Upstream): void {
    lane.readable = lane.introduced && (this.#runId === undefined || lane.runId === this.#runId)
    if (!lane.readable && this.#lanes[0] === lane) this.usable = false
  }

  setApplied(replid: string, offset: Offset, current: string | undefined): void {
    this.replid = replid
    this.offset = offset
    this.applied = replid === current ? offset : -1
  }

  /** The shared connection, opened if need be; undefined while it must not be tried. */
  lane(resp: Resp, now: Millis): Upstream | undefined {
    const existing = this.#lanes[resp - 2]
    if (existing !== undefined) return existing
    if (now < this.#retryAt) return undefined
    const lane = this.#open(resp)
    this.#lanes[resp - 2] = lane
    return lane
  }

  existingLane(resp: Resp): Upstream | undefined {
    return this.#lanes[resp - 2]
  }

  isLane(upstream: Upstream): boolean {
    return this.#lanes[upstream.resp - 2] === upstream
  }

  /** A shared connection is not read for a while: others have another one. False: too many stand aside already. */
  setAside(upstream: Upstream, replid: string | undefined, now: Millis): boolean {
    if (upstream.aside !== undefined) return true
    let count = 0
    for (const one of this.#all) if (one.aside !== undefined) count++
    if (count >= ASIDE_MAX) return false
    upstream.aside = () => this.#park(upstream)
    if (!this.isLane(upstream)) return true
    const parked = this.#parked[upstream.resp - 2]
    this.#parked[upstream.resp - 2] = undefined
    this.#lanes[upstream.resp - 2] = parked
    if (parked === undefined) this.lane(upstream.resp, now)
    else this.judgeLane(parked)
    this.refresh(replid, now)
    return true
  }

  /** It stood aside and is free again: the next one that has to stand aside is replaced without a moment's delay. */
  #park(upstream: Upstream): void {
    const place = upstream.resp - 2
    const isFit = upstream.confirmed || upstream.readable
    if (!isFit || this.#parked[place] !== undefined) return upstream.close('removed')
    upstream.aside = undefined
    this.#parked[place] = upstream
  }

  /**
   * A connection for one session; it comes back by `giveBack` or is closed. One whose last command was in `db` is ready
   * at once, another has to be asked to SELECT it first.
   */
  borrow(resp: Resp, db: number, now: Millis): Upstream | undefined {
    const all = this.#idle[resp - 2] as Upstream[]
    const at = all.findLastIndex(upstream => upstream.db === db)
    const [idle] = at >= 0 ? all.splice(at, 1) : [all.pop()]
    if (idle === undefined && now < this.#retryAt) return undefined
    this.lent++
    if (idle !== undefined) return idle
    const upstream = this.#open(resp)
    upstream.learnClientId()
    return upstream
  }

  /** Only connections in a clean state come back: nothing watched, queued, subscribed or in flight. */
  giveBack(upstream: Upstream): void {
    this.lent--
    upstream.lentTo = undefined
    upstream.piped = false
    const idle = this.#idle[upstream.resp - 2] as Upstream[]
    if (upstream.closed) return
    if (idle.length < IDLE_MAX && upstream.confirmed) idle.push(upstream)
    else upstream.close('removed')
  }

  #open(resp: Resp): Upstream {
    const { host, port } = this.view
    const upstream = new Upstream({ host, port }, resp, this, this.owner, this.tools, this.options)
    this.#all.add(upstream)
    return upstream
  }

  /** A command is on its way to it, until it is `answered`, or comes to nothing. */
  begin(call: Call | undefined): void {
    if (this.pending === 0) this.workingSince = this.tools.time.now
    this.pending++
    if (call?.fast !== true) this.slow++
  }

  end(call: Call | undefined): void {
    this.pending--
    if (call?.fast !== true) this.slow--
  }

  /** A reply came; one sample per chunk is enough to know how long they take. */
  answered(request: Request, now: Millis): void {
    this.end(request.call)
    this.workingSince = now
    this.#retryMs = RETRY_MIN_MS
    if (now === this.#sampledAt) return
    this.#sampledAt = now
    this.measurements++
    const tookMs = now - request.sentAt
    this.#latency.add(tookMs, now)
    this.roundTrip.observe(tookMs / 1000)
    this.latencyMs = Math.max(0.01, this.#latency.value ?? LATENCY_UNKNOWN_MS)
  }

  /** A connection is gone; `failed` when it never stood. */
  closed(upstream: Upstream, failed: boolean, now: Millis): void {
    this.#all.delete(upstream)
    if (this.isLane(upstream)) this.#lanes[upstream.resp - 2] = undefined
    if (this.#parked[upstream.resp - 2] === upstream) this.#parked[upstream.resp - 2] = undefined
    for (const idle of this.#idle) {
      const at = idle.indexOf(upstream)
      if (at >= 0) idle.splice(at, 1)
    }
    if (failed) {
      this.#retryAt = now + this.#retryMs
      this.#retryMs = Math.min(RETRY_MAX_MS, this.#retryMs * 2)
    }
  }

  /** It said that it does not serve: others are asked for a while. */
  rest(now: Millis): void {
    this.#restUntil = now + REST_MS
    this.usable = false
  }

  /** It answers much later than others: nothing is sent to it for a while, and then it is measured anew. */
  eject(forMs: Millis, now: Millis): void {
    this.#ejectedUntil = now + forMs
    this.#latency.reset()
    this.latencyMs = LATENCY_UNKNOWN_MS
    this.usable = false
  }

  /** Nothing keeps it from being tried at once: the view says that it is there. */
  forgive(): void {
    this.#retryAt = 0
    this.#restUntil = 0
    this.#retryMs = RETRY_MIN_MS
  }

  closeAll(reason: CloseReason): void {
    for (const upstream of [...this.#all]) upstream.close(reason)
  }

  /** Lanes and idle connections are not used any more; what is in flight on them may still be answered. */
  abandon(): Upstream[] {
    const left = [...this.#all]
    this.#lanes[0] = this.#lanes[1] = this.#parked[0] = this.#parked[1] = undefined
    this.#idle[0].length = this.#idle[1].length = 0
    for (const upstream of left) upstream.confirmed = false
    return left
  }
}
