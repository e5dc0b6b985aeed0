/**
 * The reads of a group: which replica answers, after a moment of waiting for one or at once, or the master.
 *
 *     dispatch ──▶ replica                 fresh enough, least to do
 *         ├──────▶ waiting ──▶ replica     a few milliseconds, when one is about to be fresh enough
 *         ├──────▶ index ───▶ replica       level strong: one that has applied what the master has now
 *         ├──────▶ master
 *         └──────▶ -NOREPLICA               none qualifies in time, and the master is spared by policy
 */
import type { Offset } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import type { Call } from '../routing/calls.js'
import {
  type Choice,
  chooseRead,
  hasApplied,
  isNear,
  type ReadBecause,
  type ReadRules,
  refusable,
} from '../routing/choose.js'
import { NO_REPLICA } from '../routing/errors.js'
import type { GuardRails } from '../routing/guard-rails.js'
import { IN_FLIGHT } from '../routing/marks.js'
import type { Asker } from './asker.js'
import type { Group } from './group.js'
import type { Instance } from './instance.js'
import type { KeySlots } from './key-slots.js'
import { ReadIndex } from './read-index.js'
import { keepBytes, type Request, reread } from './request.js'
import { Scans } from './scans.js'
import type { Standing } from './standing.js'
import type { UpstreamTools } from './upstream.js'
import type { Verifier } from './verifier.js'
import { Waiting } from './waiting.js'

/** What would be done with a read. */
export interface ReadPlan {
  /** undefined: the master. */
  readonly to: string | undefined
  readonly because: ReadBecause
  readonly need: Offset
}

export class Reads {
  readonly #waiting: Waiting
  readonly #index: ReadIndex
  readonly #scans = new Scans()
  readonly #choice: Choice<Instance> = { to: undefined, because: 'no-replica' }

  constructor(
    private readonly group: Group,
    private readonly keys: KeySlots,
    private readonly tools: UpstreamTools,
    private readonly reader: Decoder,
    private readonly rails: GuardRails<Instance> | undefined,
    private readonly verifier: Verifier | undefined,
  ) {
    this.#index = new ReadIndex(group, tools, request => this.#indexed(request))
    this.#waiting = new Waiting(group.clock, () => {
      tools.time.update()
      this.retry()
    })
  }

  dispatch(session: Asker, request: Request, call: Call, decoder: Decoder): void {
    const choice = this.#choice
    choice.to = undefined
    if (!call.portable) {
      choice.because = 'node-local'
      if (this.#isBehindReads(session, request, call, decoder)) return session.stall(request, decoder)
      return this.#toMaster(session, request, call, call.scans ? this.#bind(session, call, decoder) : decoder, 0)
    }
    const count = this.keys.find(call, decoder)
    const { level } = session.rules
    const others = session.replicaReads + session.masterReads
    if (level === 'causal' && others > 0 && this.#followOthers(session, request, call, decoder, count)) return
    if (level === 'strong') return this.#askIndex(session, request, call, decoder, count)
    if (level === 'session' && session.standing.wide) return this.#askForOthers(session, request, call, decoder, count)
    if (level === 'session' && !this.#chooseForSession(session) && !session.isFirst(request)) {
      return session.stall(request, decoder)
    }
    if (level !== 'session') this.#choose(session, this.#need(session, count), call)
    choice.because = this.#unlessCalm(choice.because)
    if (choice.because === 'replica-about-to-qualify') return this.#wait(session, request, decoder, count)
    if (choice.to !== undefined && this.#toReplica(session, request, call, decoder, choice.to, count)) return
    this.#withoutReplica(session, request, call, decoder, count)
  }

  /** While calm nobody would tell in time that a replica qualifies. */
  #unlessCalm(because: ReadBecause): ReadBecause {
    const waits = because === 'replica-about-to-qualify'
    return waits && this.group.urgency.pace === 'calm' ? 'no-fresh-replica' : because
  }

  /** What an earlier read, which is still to be answered by a replica, may be shown must not be newer than what this one is. */
  #isBehindReads(session: Asker, request: Request, call: Call, decoder: Decoder): boolean {
    if (session.rules.level !== 'causal' || session.replicaReads === 0 || session.isFirst(request)) return false
    return call.marking !== 'none' && (session.readFilter & this.keys.filter(this.keys.find(call, decoder))) !== 0
  }

  /** No replica qualifies now: the master answers, or, where it is spared, one that qualifies in time, or nobody. */
  #withoutReplica(session: Asker, request: Request, call: Call, decoder: Decoder, count: number): void {
    if (!this.#isSpared(session)) return this.#toMaster(session, request, call, decoder, count)
    if (session.rules.waitMs > 0) {
      this.group.urgency.hurry()
      return this.#wait(session, request, decoder, count)
    }
    this.#refuse(session, request)
  }

  /** What a connection has seen at the master without being followed only the master can show again: that once it is asked. */
  #isSpared({ rules, ahead }: Asker): boolean {
    return rules.noReplica === 'error' && refusable.has(this.#choice.because) && !(rules.level === 'session' && ahead)
  }

  #refuse(session: Asker, request: Request): void {
    this.group.counters.refuse(this.#choice.because)
    session.lastBecause = this.#choice.because
    session.lastTo = 'proxy'
    session.fail(request, NO_REPLICA)
  }

  #bind(session: Asker, call: Call, decoder: Decoder): Decoder {
    return this.#scans.bind(session, call, decoder, this.group.scannedAt, this.tools.time.now)
  }

  /** As `dispatch` decides for a connection that has seen nothing yet; nothing is sent, counted or kept. */
  plan(call: Call, decoder: Decoder, rules: ReadRules): ReadPlan {
    if (!call.portable) return { to: undefined, because: 'node-local', need: 0 }
    const { replicas } = this.group
    const marked = rules.level === 'causal' || rules.level === 'strong'
    const need = marked ? this.keys.need(this.keys.find(call, decoder)) : 0
    // What a strong read needs is known only when the master has been asked.
    if (rules.level === 'strong') {
      return { to: undefined, because: isNear(replicas, rules.waitMs) ? 'read-index' : 'strong', need }
    }
    const choice: Choice<Instance> = { to: undefined, because: 'no-replica' }
    chooseRead(choice, replicas, need, rules, undefined, this.tools.time.now, call.fast)
    return { to: choice.to?.id, because: this.#unlessCalm(choice.because), need }
  }

  #choose(session: Asker, need: Offset, call: Call): void {
    const { rules, lastReplica } = session
    const { now } = this.tools.time
    chooseRead(this.#choice, this.group.replicas, need, rules, lastReplica, now, call.fast)
    // A floor was asked for; rails know only of bounds.
    if (rules.level === 'bounded' && need === 0)
      this.rails?.apply(this.#choice, this.group.replicas, rules.boundMs, now)
  }

  /** What the marks of the keys ask for, at the level that looks at them, and no less than the session's floor. */
  #need(session: Asker, count: number): Offset {
    const { standing, rules } = session
    const marks = rules.level === 'causal' ? this.keys.need(count) : 0
    if (standing.floor === 0) return marks
    this.#translateFloor(standing)
    return Math.max(marks, standing.floor)
  }

  /** An offset of another history says nothing about replicas of this one. */
  #translateFloor(standing: Standing): void {
    const { replid, anchor } = this.group
    if (replid !== undefined && standing.floorOf !== replid) standing.move(replid, anchor)
  }

  /**
   * Reads that its session sent before are not answered. One that may be shown the same keys must not be shown an older
   * state of them, so it goes where they went, or waits for them. True: it is on its way, or waits; false: it has
   * nothing to do with them. Of several that lost their connection the first may wait for a replica, and all behind it
   * wait for it. The first of all waits for nobody: what is in flight then stands behind it.
   */
  #followOthers(session: Asker, request: Request, call: Call, decoder: Decoder, count: number): boolean {
    const filter = this.keys.filter(count)
    const atMaster = session.masterReads > 0 && (session.masterFilter & filter) !== 0
    const atReplica = session.replicaReads > 0 && (session.readFilter & filter) !== 0
    const { lastReplica } = session
    if (!atMaster && session.replicaReads > 0 && !session.spread && lastReplica !== undefined) {
      this.#choice.because = 'fresh-replica'
      const isFresh = hasApplied(lastReplica, this.#need(session, count))
      if (isFresh && this.#toReplica(session, request, call, decoder, lastReplica, count)) return true
    }
    if (!atMaster && !atReplica) return false
    if (atReplica && !session.isFirst(request)) {
      session.stall(request, decoder)
      return true
    }
    this.#choice.because = 'in-order'
    this.#choice.to = undefined
    this.#toMaster(session, request, call, decoder, count)
    return true
  }

  // ── Level session ─────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * A session stays on the replica that it read from, which only goes forward. It leaves for the master, where the sample
   * behind its read raises the floor; and comes back to a replica that has applied the floor. So it never goes back,
   * whoever wrote. False: it must not change its place before what it has asked there is answered.
   */
  #chooseForSession(session: Asker): boolean {
    const choice = this.#choice
    const { standing } = session
    const last = standing.replica
    this.#translateFloor(standing)
    const mayStay = standing.unsettled === 0 && !session.ahead && this.group.replid !== undefined
    if (mayStay && last?.usable && last.applied >= standing.floor) {
      choice.to = last
      choice.because = 'fresh-replica'
      return true
    }
    choice.because = 'write-in-flight'
    if (session.replicaReads > 0) return false
    // Others who stand here may still be shown something new by the replica that is left: not before they have been.
    if (mayStay && (last !== undefined || standing.reading === 0)) this.#chooseAgainForSession(session)
    return true
  }

  #chooseAgainForSession(session: Asker): void {
    const { floor, replica } = session.standing
    const candidates = replica === undefined || session.standing.wide ? this.group.replicas : [replica]
    chooseRead(this.#choice, candidates, floor, session.rules, replica, this.tools.time.now)
  }

  /**
   * Others of the session may be at other workers, where what they were shown is not known here: the master is asked how
   * far it is, as at level strong. One read after the other, so that two replicas cannot show them in the other order.
   */
  #askForOthers(session: Asker, request: Request, call: Call, decoder: Decoder, count: number): void {
    if (session.replicaReads > 0 && !session.isFirst(request)) return session.stall(request, decoder)
    if (session.standing.unsettled === 0) return this.#askIndex(session, request, call, decoder, count)
    this.#choice.because = 'write-in-flight'
    this.#withoutReplica(session, request, call, decoder, count)
  }

  // ── Level strong ──────────────────────────────────────────────────────────────────────────────────────────────────

  #askIndex(session: Asker, request: Request, call: Call, decoder: Decoder, count: number): void {
    if (session.rules.noReplica === 'master' && !isNear(this.group.replicas, session.rules.waitMs)) {
      this.#choice.because = 'strong'
      return this.#toMaster(session, request, call, decoder, count)
    }
    this.#keep(session, request, decoder, count)
    this.group.urgency.hurry()
    this.#index.add(request)
  }

  /** Its index is known: it goes to a replica that has it, or waits for one. */
  #indexed(request: Request): void {
    const { time } = this.tools
    request.waitsUntil = time.now + (request.session as Asker).rules.waitMs
    if (!this.#settle(request)) this.#waiting.add(request)
  }

  #toMaster(session: Asker, request: Request, call: Call, decoder: Decoder, count: number): void {
    const { because } = this.#choice
    if (session.rules.level === 'causal' && refusable.has(because)) this.#noteCollision(count)
    if (session.rules.level === 'session' && session.replicaReads > 0 && !session.isFirst(request)) {
      return session.stall(request, decoder)
    }
    this.group.counters.route(because)
    session.lastBecause = because
    session.lastReplica = undefined
    if (session.rules.level === 'session') session.standing.replica = undefined
    this.group.toMaster(session, request, call, decoder)
  }

  /** The table of marks is smaller than the set of keys: how often that costs a read its replica is measured. */
  #noteCollision(count: number): void {
    let freshest = -1
    for (const { usable, applied } of this.group.replicas) if (usable && applied > freshest) freshest = applied
    if (freshest >= 0 && this.keys.isCollision(count, freshest)) this.group.counters.collisions.value++
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
    if (lane === undefined || !lane.readable) {
      this.#choice.because = 'no-replica'
      return false
    }
    const { because } = this.#choice
    const { counters } = this.group
    counters.route(because)
    counters.command(call, 'replica')
    if (replica.lagMs !== undefined) counters.staleness.observe((replica.lagMs + time.now - replica.lagAt) / 1000)
    if (replica.applied >= 0) counters.stalenessBytes.observe(Math.max(0, this.group.head - replica.applied))
    this.verifier?.pass(call, decoder, request.db, replica)
    session.lastBecause = because
    session.lastTo = replica.id
    session.spread = session.replicaReads > 0 && (session.spread || session.lastReplica !== replica)
    session.lastReplica = replica
    session.replicaReads++
    session.readFilter |= this.keys.filter(count)
    request.toReplica = true
    if (session.rules.level === 'session') this.#stand(session.standing, request, replica)
    request.sentAt = time.now
    replica.begin(call)
    lane.select(request.db)
    lane.send(request, decoder.buffer, decoder.start, decoder.end)
    return true
  }

  #stand(standing: Standing, request: Request, replica: Instance): void {
    standing.replica = replica
    standing.reading++
    request.standing = standing
  }

  // ── Waiting for freshness ─────────────────────────────────────────────────────────────────────────────────────────

  #wait(session: Asker, request: Request, decoder: Decoder, count: number): void {
    this.group.counters.route('replica-about-to-qualify')
    this.#keep(session, request, decoder, count)
    request.waitsUntil = this.tools.time.now + session.rules.waitMs
    this.#waiting.add(request)
  }

  /** It counts as a read at a replica from now on: no write of this session may overtake it. */
  #keep(session: Asker, request: Request, decoder: Decoder, count: number): void {
    keepBytes(request, decoder, this.tools.blocks)
    session.replicaReads++
    session.readFilter |= this.keys.filter(count)
    session.spread = true
    request.toReplica = true
    request.state = 'kept'
  }

  /** Freshness has changed, or time is up for some. */
  retry(): void {
    this.#waiting.retry(request => this.#settle(request))
  }

  #settle(request: Request): boolean {
    const session = request.session as Asker
    const call = request.call as Call
    if (request.rules !== undefined) session.rules = request.rules
    if (session.closed) {
      this.tools.requests.give(request)
      return true
    }
    if (session.lost) {
      request.toReplica = false
      session.replicaReads--
      session.tellLost(request)
      return true
    }
    const decoder = reread(this.reader, request)
    const count = this.keys.find(call, decoder)
    switch (session.rules.level) {
      case 'strong':
        this.#choose(session, request.index, call)
        break
      case 'session':
        this.#chooseOnceMore(session, request)
        break
      default:
        this.#choose(session, this.#need(session, count), call)
    }
    const about = this.#choice.because === 'replica-about-to-qualify'
    const waits = about || (this.#choice.to === undefined && this.#isSpared(session))
    if (waits && this.tools.time.now < request.waitsUntil) return false
    request.toReplica = false
    session.replicaReads--
    const { to } = this.#choice
    if (to !== undefined && this.#toReplica(session, request, call, decoder, to, count)) return true
    if (about) this.#choice.because = 'waited-in-vain'
    if (this.#isSpared(session)) this.#refuse(session, request)
    else this.#toMaster(session, request, call, decoder, count)
    return true
  }

  /** Another replica that may answer a read in flight: with what its keys ask for by now. */
  second(request: Request, asked: Instance): Instance | undefined {
    const session = request.session as Asker
    const others = this.group.replicas.filter(replica => replica !== asked)
    const decoder = reread(this.reader, request)
    const count = this.keys.find(request.call as Call, decoder)
    const need = session.rules.level === 'strong' ? request.index : this.#need(session, count)
    chooseRead(this.#choice, others, need, session.rules, undefined, this.tools.time.now)
    return this.#choice.to
  }

  #chooseOnceMore(session: Asker, request: Request): void {
    const { standing } = session
    this.#translateFloor(standing)
    if (standing.wide && request.index !== IN_FLIGHT) standing.raise(this.group.replid, request.index)
    if (standing.unsettled === 0 && (!standing.wide || request.index !== IN_FLIGHT)) {
      return this.#chooseAgainForSession(session)
    }
    // Others of the session have asked the master meanwhile, and may have been shown something newer.
    this.#choice.to = undefined
    this.#choice.because = 'write-in-flight'
  }

  close(): void {
    this.#waiting.close()
  }
}
