/**
 * Reads that are asked twice: one that a replica has kept for longer than nearly all others is asked of another replica that
 * may answer it as well, and the first answer counts (routing/hedging.ts says when, and how many).
 *
 *     session ──GET──▶ A ······ late ·························▶ its answer is dropped, when the other one was faster
 *                └──── the same ──▶ B ──answer──▶ session
 *
 * Only where it removes no order: the read must be the only one of its session that is in flight, and those that come
 * behind it of the same keys wait, as they do behind reads that were spread. The other replica must have applied what the
 * keys ask for now. Nothing of this is on the path of a command: connections are looked at by a timer.
 */
import { type Clock, every } from '../base/clock.js'
import type { Millis } from '../base/units.js'
import { type HedgeOptions, Hedging } from '../routing/hedging.js'
import type { Asker } from './asker.js'
import type { GroupCounters } from './counters.js'
import type { Instance } from './instance.js'
import type { Request } from './request.js'
import { Upstream, type UpstreamTools } from './upstream.js'

/** What is needed of the group. */
export interface Hedged {
  readonly replicas: readonly Instance[]
  readonly counters: GroupCounters
  /** Another replica that may answer the read as well as the one that was asked. */
  secondFor(request: Request, asked: Instance): Instance | undefined
  /** The read is answered by another replica than the one that it was sent to. */
  answeredBy(request: Request, second: Instance): void
}

const LOOK_MS: Millis = 2
const MEASURE_MS: Millis = 50
/** So many requests of one connection are looked at. */
const LOOK_AT_MAX = 16
const DASH = 0x2d

export class Hedger {
  readonly #hedging: Hedging
  readonly #stop: () => void
  #measuredAt: Millis = Number.NEGATIVE_INFINITY

  constructor(
    private readonly group: Hedged,
    clock: Clock,
    private readonly tools: UpstreamTools,
    options: HedgeOptions,
  ) {
    this.#hedging = new Hedging(options)
    this.#stop = every(clock, LOOK_MS, () => this.#look())
  }

  close(): void {
    this.#stop()
  }

  #look(): void {
    const { replicas, counters } = this.group
    const now = this.tools.time.update()
    if (now - this.#measuredAt >= MEASURE_MS) {
      this.#measuredAt = now
      this.#hedging.measure(counters.measureReplicas(), now)
    }
    const sentBefore = now - this.#hedging.afterMs
    for (const replica of replicas) {
      for (const resp of [2, 3] as const) {
        const lane = replica.existingLane(resp)
        if (lane !== undefined) this.#lookAt(lane, replica, sentBefore)
      }
    }
  }

  /** Its oldest requests come first. */
  #lookAt(lane: Upstream, replica: Instance, sentBefore: Millis): void {
    for (let index = 0; index < LOOK_AT_MAX; index++) {
      const request = lane.pendingAt(index)
      if (request === undefined || request.sentAt > sentBefore) return
      if (!mayBeHedged(request)) continue
      const second = this.group.secondFor(request, replica)
      const session = request.session as Asker
      const other = second?.lane(session.resp, this.tools.time.now)
      if (second === undefined || !other?.readable) continue
      if (!this.#hedging.spend()) return
      this.#hedge(request, lane, replica, second, other)
    }
  }

  #hedge(request: Request, lane: Upstream, asked: Instance, second: Instance, other: Upstream): void {
    const { requests, time } = this.tools
    const session = request.session as Asker
    // Known by this until it is answered or sent again: requests are used for others afterwards.
    const ticket = {}
    request.hedge = ticket
    session.spread = true
    const bytes = Buffer.from(request.bytes)
    const { call } = request
    const twin = requests.ghost(
      decoder => {
        second.end(call)
        const { buffer, start, end } = decoder
        const won = request.hedge === ticket && buffer[start] !== DASH && session.kept === 0 && !session.closed
        if (!won || !lane.disown(request, this.#ghostOf(request, asked))) return this.#count('late')
        request.hedge = undefined
        this.#count('won')
        this.group.answeredBy(request, second)
        session.deliver(request, buffer, start, end)
      },
      () => second.end(call),
    )
    twin.sentAt = time.now
    second.begin(call)
    other.select(request.db)
    other.send(twin, bytes, 0, bytes.length)
    this.#count('asked')
  }

  /** Stands in the queue in its place, for the answer that nobody waits for any more. */
  #ghostOf(request: Request, asked: Instance): Request {
    const ghost = this.tools.requests.ghost(
      () => asked.answered(ghost, this.tools.time.now),
      () => asked.end(ghost.call),
    )
    ghost.call = request.call
    ghost.sentAt = request.sentAt
    ghost.state = 'sent'
    // The bytes may still be on their way to the kernel; the request keeps a copy.
    const { block, start, end } = request
    request.block = this.tools.blocks.single(request.bytes, 0, end - start)
    request.start = 0
    request.end = end - start
    ghost.block = block
    ghost.start = start
    ghost.end = end
    return ghost
  }

  #count(result: 'asked' | 'won' | 'late'): void {
    this.group.counters.hedged(result)
  }
}

function mayBeHedged(request: Request): boolean {
  if (request.kind !== 'client' || !request.toReplica || request.hedge !== undefined || request.effect !== 'none')
    return false
  const session = request.session as Asker
  const isAlone = session.replicaReads === 1 && session.masterReads === 0 && session.kept === 0
  return isAlone && !session.closed && session.rules.level !== 'session' && Upstream.handedOver(request)
}
