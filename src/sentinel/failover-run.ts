/**
 * Drives one failover: the machine says what to do, this does it and reports back.
 */
import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import { unreachable } from '../base/invariant.js'
import type { Millis } from '../base/units.js'
import type { Observer } from '../observer/observer.js'
import { type Selection, selectCandidate, worthWaitingFor } from '../topology/candidate.js'
import {
  beginFailover,
  type Failover,
  type FailoverEffect,
  type FailoverEvent,
  type FailoverOptions,
  type FailoverPlan,
  isOver,
  stepFailover,
} from '../topology/failover.js'
import { healthOf } from '../topology/group.js'
import type { Promotion } from '../topology/operation.js'
import { honours, type Promises, type Roll, unreadOf } from '../topology/promises.js'
import { siblingsOf } from '../topology/siblings.js'
import { feed, hungryOf } from './feed.js'
import { explain, type Orders } from './orders.js'
import type { Outcome, SwitchRecord } from './record.js'
import { replayFromWitness } from './replay.js'
import type { Witness } from './witness.js'

/** While it waits for a replica that is late. */
const AGAIN_MS: Millis = 20

export interface FailoverRunOptions {
  readonly steps: FailoverOptions
  readonly promises: Promises
  /** As it was when the master was last seen. */
  readonly roll: Roll
  readonly witness: Witness | undefined
}

export class FailoverRun {
  #machine: Failover
  readonly #steps: FailoverOptions
  #settle: (outcome: Outcome) => void = () => undefined

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    private readonly observer: Observer,
    private readonly orders: Orders,
    readonly record: SwitchRecord,
    private readonly plan: FailoverPlan,
    private readonly options: FailoverRunOptions,
    /** What an operator wants: only this candidate, or to go on whatever becomes of the master. */
    private readonly wish: { readonly to?: string | undefined; readonly acceptDataLoss?: boolean | undefined },
  ) {
    this.#steps = options.steps
    this.#machine = beginFailover(plan, this.#steps, clock.now()).failover
  }

  run(): Promise<Outcome> {
    return new Promise(settle => {
      this.#settle = settle
      const { failover, effects } = beginFailover(this.plan, this.#steps, this.clock.now())
      this.#machine = failover
      this.record.transition(failover.state.step)
      for (const effect of effects) this.#perform(effect)
    })
  }

  tick(): void {
    if (this.wish.acceptDataLoss !== true && this.#isMasterBack()) this.handle({ type: 'master-back' })
    this.handle({ type: 'tick' })
  }

  /** Every reply, failure and tick ends up here. */
  handle(event: FailoverEvent): void {
    if (isOver(this.#machine)) return
    const { failover, effects } = stepFailover(this.#machine, event, this.#steps, this.clock.now())
    this.#machine = failover
    this.record.transition(failover.state.step)
    for (const effect of effects) this.#perform(effect)
    if (isOver(failover)) this.#settle(outcomeOf(failover))
  }

  #perform(effect: FailoverEffect): void {
    const { orders, observer, record } = this
    switch (effect.do) {
      case 'elect':
        // Alone; votes of other agents come in here.
        this.#soon({ type: 'elected' })
        return
      case 'disown':
        observer.disown(true)
        return
      case 'own':
        observer.disown(false)
        return
      case 'ask': {
        const answered = (): void => this.handle({ type: 'answered', id: effect.id })
        orders.ask(effect.id, this.#steps.askTimeoutMs).then(answered, answered)
        return
      }
      case 'select':
        this.#select(effect.since)
        return
      case 'feed':
        this.#feed(effect.ids, effect.timeoutMs)
        return
      case 'promote':
        this.options.witness?.dismiss()
        orders.promote(effect.id).then(
          promotion => this.handle({ type: 'promoted', id: effect.id, promotion }),
          error => this.handle({ type: 'promote-failed', id: effect.id, ...explain(error) }),
        )
        return
      case 'replay':
        return void this.#replay(effect.id, effect.promotion, effect.timeoutMs)
      case 'publish':
        observer.declareMaster(effect.id, effect.epoch, record.kind)
        record.stallMs = this.clock.now() - (record.heldAt ?? record.startedAt)
        return
      case 'point': {
        const pointed = (): void => this.handle({ type: 'pointed', id: effect.id })
        orders.point(effect.id, effect.to).then(pointed, pointed)
        return
      }
      default:
        unreachable(effect)
    }
  }

  #select(since: Millis): void {
    const { observer } = this
    // It was given up while a late replica was waited for.
    if (this.#machine.state.step !== 'select_slave') return
    // The replicas have just been asked; what they said may have acquitted the master.
    if (this.#isAcquitted()) {
      this.#soon({ type: 'abort', reason: `evidence-gone: ${observer.diagnosis.name}` })
      return
    }
    const now = this.clock.now()
    const rules = { planned: false, lagBytesMax: Number.POSITIVE_INFINITY, since, to: this.wish.to }
    const selection = selectCandidate(observer.group, rules, observer.judgeOptions, now)
    const late = worthWaitingFor(selection, observer.group).filter(id => !this.#isDead(id))
    const missing = this.#missing(selection, since)
    if (late.length + missing.length > 0 && now < since + this.#steps.askTimeoutMs + this.#steps.patienceMs) {
      observer.insist([...late, ...missing])
      this.clock.after(AGAIN_MS, () => this.#select(since))
      return
    }
    if (missing.length > 0) {
      if (this.wish.acceptDataLoss !== true) {
        return this.#soon({ type: 'abort', reason: `promised-writes: ${missing.join(' ')} may have more` })
      }
      this.record.unread = missing
      const fields = { group: observer.name, node: selection.candidate, unread: missing.join(' ') }
      this.events.event('error', '+failover-lossy', fields)
    }
    this.#soon(this.#selected(selection, now))
  }

  /** Who may have confirmed writes that this candidate lacks; nobody when enough of them were read. */
  #missing({ candidate }: Selection, since: Millis): readonly string[] {
    const { group } = this.observer
    const chosen = candidate === undefined ? undefined : this.observer.instance(candidate)
    if (chosen === undefined) return []
    const { promises, roll, witness } = this.options
    const unread = unreadOf(group, chosen, roll, since)
    if (!honours(promises, unread)) return unread
    // What only the witness has is fed to the candidate; one that was started after them has not read them.
    const isWitnessed = witness?.testimony !== undefined && witness.testimony.replid === chosen.replid
    return promises.witness && !isWitnessed && unread.length > 0 ? unread : []
  }

  #selected({ candidate, because, refused }: Selection, now: Millis): FailoverEvent {
    const { observer, record, plan } = this
    const why = refused.map(({ id, reason }) => `${id}:${reason}`).join(' ')
    this.events.event('info', '+selected-slave', { group: observer.name, node: candidate, because, refused: why })
    record.to = candidate
    if (candidate === undefined) return { type: 'selected', candidate, siblings: [] }
    record.resyncsBefore = observer.instance(candidate)?.resyncs
    const siblings = siblingsOf(observer.group, candidate, plan.from, observer.judgeOptions, now)
    const hungry =
      this.options.witness === undefined
        ? []
        : hungryOf(this.options.witness.testimony, observer, [candidate, ...siblings])
    return { type: 'selected', candidate, siblings, hungry }
  }

  #feed(ids: readonly string[], timeoutMs: Millis): void {
    const { record } = this
    const { witness } = this.options
    if (witness === undefined) return this.#soon({ type: 'fed' })
    void feed(this.clock, this.observer, this.orders, witness, ids, timeoutMs).then(fed => {
      record.witnessBytes = fed.bytes
      this.events.event(fed.hungry.length === 0 ? 'info' : 'error', '+witness-fed', {
        group: this.observer.name,
        nodes: ids.join(' '),
        hungry: fed.hungry.join(' '),
        bytes: fed.bytes,
        durationMs: Math.round(fed.durationMs),
      })
      this.handle({ type: 'fed', hungry: fed.hungry })
    })
  }

  /** What the witness has beyond the promotion, as a client's writes. */
  async #replay(id: string, { lineage }: Promotion, timeoutMs: Millis): Promise<void> {
    const { orders, record, events } = this
    const outcome = await replayFromWitness(this.clock, orders, this.options.witness, id, lineage, timeoutMs)
    record.replayedWrites = outcome.applied
    this.options.witness?.countReplayed(outcome.applied)
    const isWhole = outcome.because === undefined
    events.event(isWhole ? 'warn' : 'error', '+witness-replayed', {
      group: this.observer.name,
      node: id,
      writes: outcome.applied,
      failed: outcome.failed,
      because: outcome.because,
    })
    this.handle({ type: 'replayed', whole: isWhole })
  }

  /** After the effects of this step have been performed. */
  #soon(event: FailoverEvent): void {
    void Promise.resolve().then(() => this.handle(event))
  }

  /** One that is silent may only be out of our reach, and its data are as many as they were. */
  #isDead(id: string): boolean {
    const instance = this.observer.instance(id)
    if (instance === undefined) return true
    const health = healthOf(instance, this.observer.judgeOptions, this.clock.now())
    return health.health === 'down' && health.because === 'dead'
  }

  /** The evidence that made us begin is gone. An operator needs none, only the absence of the contrary. */
  #isAcquitted(): boolean {
    const { name, evidence } = this.observer.diagnosis
    if (this.record.cause !== 'operator') return evidence === undefined
    return this.wish.acceptDataLoss !== true && name === 'master-unreachable-replicas-linked'
  }

  #isMasterBack(): boolean {
    const { diagnosis, judgeOptions } = this.observer
    const master = this.plan.from === undefined ? undefined : this.observer.instance(this.plan.from)
    if (master?.role !== 'master' || diagnosis.evidence !== undefined) return false
    return healthOf(master, judgeOptions, this.clock.now()).health !== 'down'
  }
}

function outcomeOf(failover: Failover): Outcome {
  const { state, promotion } = failover
  if (state.step === 'aborted' || state.step === 'failed') {
    return { result: state.step, reason: state.reason, finalOffset: undefined, promotion }
  }
  return { result: 'ok', reason: undefined, finalOffset: undefined, promotion }
}
