/**
 * Replies that wait until the write is where a rule wants it.
 *
 *     sent ──sample──▶ covered ──reply──▶ waiting ──k replicas (the witness) have as much──▶ passed on
 *       └───reply──▶ … in either order      └──────────────── not in time ──▶ UNKNOWNRESULT, or passed on
 *
 * The reply keeps its place in its session's queue: those behind it leave after it. So what waits is bounded by what a
 * session may have in flight. Writes of one rule wait in the order of their samples: nobody looks at those behind the
 * first that has to wait.
 */
import { Fifo } from '../base/fifo.js'
import type { Bytes, Millis, Offset } from '../base/units.js'
import { type AckResult, type Acks, confirmedUpTo, refusal, unconfirmed } from '../routing/acks.js'
import type { Call } from '../routing/calls.js'
import { fateOf } from '../routing/floors.js'
import type { Flight, Follower } from '../routing/marks.js'
import type { FreshnessUpdate, Lineage } from '../topology/view.js'
import type { Asker } from './asker.js'
import type { AckCounters } from './counters.js'
import type { Instance } from './instance.js'
import type { Request, RequestPool } from './request.js'

const DASH = 0x2d

/** What it needs of the group. */
export interface Confirmers {
  readonly replid: string | undefined
  readonly replicas: readonly Pick<Instance, 'applied' | 'view'>[]
  /** The master of the view has said itself that it is, and what its history is. */
  readonly metMaster: boolean
  /** Who is confirmed by replicas waits for freshness. */
  readonly urgency: { hurry(): void }
  /** The sample that covers the request is there: it is in flight no more. */
  settled(request: Request): void
}

/** One write that must be confirmed. */
export class Confirmation implements Follower {
  /** Covers the write, in the history `of`; undefined until the sample is there. */
  offset: Offset | undefined
  of: string | undefined
  /** Its history ended before anybody could say what covers it, or without it. */
  lost = false
  /** Until when it may wait; the reply is there. */
  until: Millis | undefined

  constructor(
    private readonly owner: Confirming,
    /** undefined: answered, or given up. */
    public request: Request | undefined,
    readonly acks: Acks,
    readonly since: Millis,
  ) {}

  covered(offset: Offset | undefined, of: string | undefined): void {
    this.owner.covered(this, offset, of)
  }

  /** The request is answered without it, or sent again. */
  abandon(): void {
    if (this.request !== undefined) this.request.confirmation = undefined
    this.request = undefined
  }
}

export class Confirming {
  /** Those that wait, by rule: first in, first confirmed. */
  readonly #waiting = new Map<Acks, Fifo<Confirmation>>()
  /** Answered, and no sample yet: it is on its way behind the reply. */
  readonly #unsampled = new Set<Confirmation>()
  #witness: FreshnessUpdate['witness']
  /** When there were so many replicas last (by their number), and the witness. */
  readonly #enoughAt: Millis[] = []
  #witnessAt: Millis
  readonly #begunAt: Millis

  constructor(
    private readonly group: Confirmers,
    private readonly requests: RequestPool,
    private readonly counters: AckCounters,
    private readonly time: { readonly now: Millis },
  ) {
    this.#begunAt = this.#witnessAt = time.now
  }

  get length(): number {
    let length = 0
    for (const queue of this.#waiting.values()) length += queue.length
    return length
  }

  /** The request is about to be sent, and the sample behind the flight will cover it. */
  expect(flight: Flight, request: Request, acks: Acks): void {
    request.confirmation?.abandon()
    if (acks.otherwise === 'degrade' && this.#isShort(acks)) {
      this.counters.results.degraded.value++
      return
    }
    request.confirmation = new Confirmation(this, request, acks, this.time.now)
    flight.followers.push(request.confirmation)
    if (acks.of !== 'witness') this.group.urgency.hurry()
  }

  /** The error for a write that must not be executed: there has been nobody to confirm it for as long as it might wait. */
  refusalOf({ rules: { acks } }: Asker, call: Call): Bytes | undefined {
    if (acks?.otherwise !== 'refuse' || !call.writes || call.marking === 'none' || !this.#isShort(acks))
      return undefined
    this.counters.results.refused.value++
    return refusal(acks)
  }

  /** Whether the reply has to wait. What was refused, or has nowhere to go, has not. */
  keepsBack(request: Request, buffer: Buffer, start: number, end: number): boolean {
    const confirmation = request.confirmation as Confirmation
    if (buffer[start] === DASH || request.muted) {
      this.#settle(confirmation)
      confirmation.abandon()
      return false
    }
    if (this.#isConfirmed(confirmation)) {
      this.#count(confirmation, 'confirmed')
      confirmation.abandon()
      return false
    }
    request.reply = Buffer.from(buffer.subarray(start, end))
    request.state = 'confirming'
    confirmation.until = this.time.now + confirmation.acks.timeoutMs
    if (confirmation.lost) this.#giveUp(confirmation)
    else if (confirmation.offset !== undefined) this.#wait(confirmation)
    else this.#unsampled.add(confirmation)
    return true
  }

  /** A sample of a history that is over says nothing of what replicas of this one have. */
  covered(confirmation: Confirmation, offset: Offset | undefined, of: string | undefined): void {
    this.#settle(confirmation)
    if (confirmation.request === undefined) return
    confirmation.offset = of === this.group.replid ? offset : undefined
    confirmation.of = this.group.replid
    confirmation.lost = confirmation.offset === undefined
    if (!this.#unsampled.delete(confirmation)) return
    if (confirmation.lost) this.#giveUp(confirmation)
    else this.#wait(confirmation)
  }

  /** What replicas or the witness have may have changed. */
  freshened(witness?: FreshnessUpdate['witness']): void {
    if (witness !== undefined) this.#witness = witness
    // While a master is being replaced its replicas may still get what it accepts, after they were asked what they have.
    if (!this.group.metMaster) return
    for (const [acks, queue] of this.#waiting) {
      const upTo = this.#confirmedUpTo(acks)
      for (let first = queue.peek(); first !== undefined; first = queue.peek()) {
        if (first.request !== undefined && (first.offset as Offset) > upTo) break
        queue.shift()
        if (first.request === undefined) continue
        this.#count(first, 'confirmed')
        this.#pass(first)
      }
    }
  }

  /** Offsets of the old history mean the same in the new one up to the fork; what is beyond it is lost. */
  lineageBegins(lineage: Lineage): void {
    for (const queue of this.#waiting.values()) {
      for (let left = queue.length; left > 0; left--) {
        const one = queue.shift() as Confirmation
        if (one.request === undefined) continue
        if (fateOf(one.offset as Offset, one.of, lineage) === 'kept') {
          one.of = lineage.replid
          queue.push(one)
        } else this.#giveUp(one)
      }
    }
  }

  tick(): void {
    const { now } = this.time
    this.#noteEnough(now)
    for (const queue of this.#waiting.values()) {
      for (let first = queue.peek(); first !== undefined; first = queue.peek()) {
        if (first.request !== undefined && now < (first.until as Millis)) break
        queue.shift()
        if (first.request !== undefined) this.#giveUp(first)
      }
    }
    for (const one of this.#unsampled) {
      if (one.request !== undefined && now < (one.until as Millis)) continue
      this.#unsampled.delete(one)
      if (one.request !== undefined) this.#giveUp(one)
    }
    this.counters.waiting.value = this.length + this.#unsampled.size
  }

  #wait(confirmation: Confirmation): void {
    const { acks } = confirmation
    let queue = this.#waiting.get(acks)
    if (queue === undefined) {
      queue = new Fifo<Confirmation>(64)
      this.#waiting.set(acks, queue)
    }
    queue.push(confirmation)
    if (this.#isConfirmed(confirmation)) this.freshened()
  }

  #isConfirmed({ offset, of, acks }: Confirmation): boolean {
    return (
      offset !== undefined && this.group.metMaster && of === this.group.replid && offset <= this.#confirmedUpTo(acks)
    )
  }

  #confirmedUpTo({ of }: Acks): Offset {
    if (of !== 'witness')
      return confirmedUpTo(
        this.group.replicas.map(replica => replica.applied),
        of,
      )
    return this.#witness?.replid === this.group.replid ? (this.#witness?.offset ?? -1) : -1
  }

  #giveUp(confirmation: Confirmation): void {
    const { acks } = confirmation
    const request = confirmation.request as Request
    this.#settle(confirmation)
    // What is lost is not confirmed, whatever the rule says about those who are late.
    if (acks.otherwise === 'degrade' && !confirmation.lost) {
      this.#count(confirmation, 'degraded')
      return this.#pass(confirmation)
    }
    this.#count(confirmation, 'unconfirmed')
    confirmation.abandon()
    const session = request.session as Asker
    request.reply = undefined
    if (session.closed) this.requests.give(request)
    else session.fail(request, unconfirmed(acks))
  }

  #pass(confirmation: Confirmation): void {
    const request = confirmation.request as Request
    confirmation.abandon()
    const session = request.session as Asker
    if (session.closed) this.requests.give(request)
    else session.confirmed(request)
  }

  #settle({ request }: Confirmation): void {
    if (request !== undefined) this.group.settled(request)
  }

  #count({ since }: Confirmation, result: AckResult): void {
    this.counters.results[result].value++
    if (result === 'confirmed') this.counters.wait.observe((this.time.now - since) / 1000)
  }

  // ── Whether there is anybody ──────────────────────────────────────────────────────────────────────────────────────

  #noteEnough(now: Millis): void {
    let linked = 0
    for (const { view } of this.group.replicas) {
      // One that serves no reads because an operator wants it so has the data like any other.
      if (view.role === 'replica' && (view.excluded === undefined || view.excluded === 'drain')) linked++
    }
    for (let count = 1; count <= linked; count++) this.#enoughAt[count] = now
    if (this.#witness?.reading && this.#witness.replid === this.group.replid) this.#witnessAt = now
  }

  /** Just after a switch replicas are being linked again: only a lack that lasts is one. */
  #isShort({ of, timeoutMs }: Acks): boolean {
    const enoughAt = of === 'witness' ? this.#witnessAt : (this.#enoughAt[of] ?? this.#begunAt)
    return this.time.now - enoughAt > timeoutMs
  }
}
