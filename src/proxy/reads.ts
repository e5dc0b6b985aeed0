/**
 * The reads of a group: which replica answers, after a moment of waiting for one or at once, or the master.
 *
 *     dispatch ──▶ replica                 fresh enough, least to do
 *         ├──────▶ waiting ──▶ replica     a few milliseconds, when one is about to be fresh enough
 *         └──────▶ master
 */
import type { Decoder } from '../resp/decoder.js'
import type { Call } from '../routing/calls.js'
import { type Choice, chooseRead } from '../routing/choose.js'
import type { Asker } from './asker.js'
import type { Group } from './group.js'
import type { Instance } from './instance.js'
import type { KeySlots } from './key-slots.js'
import { keepBytes, type Request, reread } from './request.js'
import type { UpstreamTools } from './upstream.js'
import { Waiting } from './waiting.js'

export class Reads {
  readonly #waiting: Waiting
  readonly #choice: Choice<Instance> = { to: undefined, because: 'no-replica' }

  constructor(
    private readonly group: Group,
    private readonly keys: KeySlots,
    private readonly tools: UpstreamTools,
    private readonly reader: Decoder,
  ) {
    this.#waiting = new Waiting(group.clock, () => {
      tools.time.update()
      this.retry()
    })
  }

  dispatch(session: Asker, request: Request, call: Call, decoder: Decoder): void {
    const choice = this.#choice
    if (!call.portable) {
      choice.because = 'node-local'
      choice.to = undefined
    } else {
      const count = this.keys.find(call, decoder)
      const need = Math.max(this.keys.need(count), session.floor)
      chooseRead(choice, this.group.replicas, need, session.rules, session.lastReplica)
      if (choice.because === 'replica-about-to-qualify') return this.#wait(session, request, decoder, count)
      if (choice.to !== undefined && this.#toReplica(session, request, call, decoder, choice.to, count)) return
    }
    this.#toMaster(session, request, call, decoder)
  }

  #toMaster(session: Asker, request: Request, call: Call, decoder: Decoder): void {
    const { because } = this.#choice
    this.group.counters.route(because)
    session.lastBecause = because
    this.group.toMaster(session, request, call, decoder)
  }

  #toReplica(
    session: Asker,
    request: Request,
    call: Call,
    decoder: Decoder,
    replica: Instance,
    count: number,
  ): boolean {
    const { time } = this.tools
    const lane = replica.lane(session.resp, time.now)
    if (lane === undefined) {
      this.#choice.because = 'no-replica'
      return false
    }
    const { because } = this.#choice
    const { counters } = this.group
    counters.route(because)
    counters.command(call, 'replica')
    if (replica.lagMs !== undefined) counters.staleness.observe(replica.lagMs / 1000)
    session.lastBecause = because
    session.lastTo = replica.id
    session.lastReplica = replica
    session.replicaReads++
    session.readFilter |= this.keys.filter(count)
    request.toReplica = true
    request.sentAt = time.now
    replica.pending++
    lane.select(session.db)
    lane.send(request, decoder.buffer, decoder.start, decoder.end)
    return true
  }

  // ── Waiting for freshness ─────────────────────────────────────────────────────────────────────────────────────────

  #wait(session: Asker, request: Request, decoder: Decoder, count: number): void {
    this.group.counters.route('replica-about-to-qualify')
    keepBytes(request, decoder, this.tools.blocks)
    // It counts as a read at a replica from now on: no write of this session may overtake it.
    session.replicaReads++
    session.readFilter |= this.keys.filter(count)
    request.toReplica = true
    request.state = 'kept'
    request.waitsUntil = this.tools.time.now + session.rules.waitMs
    this.#waiting.add(request)
  }

  /** Freshness has changed, or time is up for some. */
  retry(): void {
    this.#waiting.retry(request => this.#settle(request))
  }

  #settle(request: Request): boolean {
    const session = request.session as Asker
    const call = request.call as Call
    if (session.closed) {
      this.tools.requests.give(request)
      return true
    }
    const decoder = reread(this.reader, request)
    const count = this.keys.find(call, decoder)
    const need = Math.max(this.keys.need(count), session.floor)
    chooseRead(this.#choice, this.group.replicas, need, session.rules, session.lastReplica)
    const about = this.#choice.because === 'replica-about-to-qualify'
    if (about && this.tools.time.now < request.waitsUntil) return false
    request.toReplica = false
    session.replicaReads--
    const { to } = this.#choice
    if (to !== undefined && this.#toReplica(session, request, call, decoder, to, count)) return true
    if (about) this.#choice.because = 'waited-in-vain'
    this.#toMaster(session, request, call, decoder)
    return true
  }

  close(): void {
    this.#waiting.close()
  }
}
