/**
 * Drives one planned switch: the machine says what to do, this does it and reports back.
 */
import type { Clock } from '../base/clock.js'
import { unreachable } from '../base/invariant.js'
import type { Millis } from '../base/units.js'
import type { MetricStore } from '../metrics/store.js'
import type { Observer } from '../observer/observer.js'
import { healthOf } from '../topology/group.js'
import type { HoldReport } from '../topology/planes.js'
import {
  beginSwitchover,
  type Order,
  type SwitchEffect,
  type SwitchEvent,
  type Switchover,
  type SwitchoverOptions,
  type SwitchPlan,
  stepSwitchover,
} from '../topology/switchover.js'
import type { WriteGate } from './gate.js'
import { explain, type Orders } from './orders.js'
import type { Outcome, SwitchRecord } from './record.js'

export class SwitchoverRun {
  #machine: Switchover
  #released = false
  #settle: (outcome: Outcome) => void = () => undefined

  constructor(
    private readonly clock: Clock,
    private readonly metrics: MetricStore,
    private readonly observer: Observer,
    private readonly orders: Orders,
    private readonly gate: WriteGate,
    readonly record: SwitchRecord,
    private readonly plan: SwitchPlan,
    private readonly options: SwitchoverOptions,
  ) {
    this.#machine = beginSwitchover(plan, options, clock.now()).switchover
  }

  run(): Promise<Outcome> {
    return new Promise(settle => {
      this.#settle = settle
      const { switchover, effects } = beginSwitchover(this.plan, this.options, this.clock.now())
      this.#machine = switchover
      this.record.transition(switchover.state.step)
      for (const effect of effects) this.#perform(effect)
    })
  }

  tick(): void {
    this.handle({ type: 'tick' })
    const { state, demoted } = this.#machine
    if (state.step === 'approach') this.handle(this.#distance())
    if (state.step === 'reconf_slaves') {
      for (const id of state.waiting) {
        if (this.#isLinked(id)) this.handle({ type: 'linked', id })
        else if (this.#isGone(id)) this.handle({ type: 'gone', id })
      }
    }
    if (state.step !== 'rollback' && this.#isDead(this.plan.to)) {
      this.handle({ type: 'abort', reason: 'the candidate died' })
    } else if (!demoted && this.#isDead(this.plan.from)) {
      this.handle({ type: 'abort', reason: 'the old master died' })
    }
  }

  /** Every reply, failure and tick ends up here. */
  handle(event: SwitchEvent): void {
    if (this.#machine.state.step === 'done') return
    const { switchover, effects } = stepSwitchover(this.#machine, event, this.options, this.clock.now())
    this.#machine = switchover
    const { state } = switchover
    this.record.transition(state.step)
    for (const effect of effects) this.#perform(effect)
    if (state.step !== 'done') return
    const { finalOffset, promotion } = switchover
    // Held writes are let go in any case, whatever the machine forgot.
    void this.#release().then(() =>
      this.#settle({ result: state.result, reason: state.reason, finalOffset, promotion }),
    )
  }

  #perform(effect: SwitchEffect): void {
    const { orders } = this
    const fail = (order: Order) => (error: unknown) => this.handle({ type: 'failed', order, ...explain(error) })
    switch (effect.do) {
      case 'measure':
        orders.ask(effect.id).then(info => {
          this.handle({ type: 'measured', offset: info.offset })
          this.handle(this.#distance())
        }, fail('measure'))
        return
      case 'hold':
        this.#hold(effect.timeoutMs).then(({ drained }) => this.handle({ type: 'held', drained }), fail('hold'))
        return
      case 'release':
        void this.#release()
        return
      case 'pause':
        orders
          .pause(effect.id, effect.timeoutMs)
          .then(info => this.handle({ type: 'paused', offset: info.offset }), fail('pause'))
        return
      case 'unpause':
        orders.unpause(effect.id)
        return
      case 'demote':
        orders
          .replicaOf(effect.id, effect.to)
          .then(info => this.handle({ type: 'demoted', offset: info.offset }), fail('demote'))
        return
      case 'ask': {
        const answer = effect.again ? orders.askAgain(effect.id) : orders.ask(effect.id)
        answer.then(info => this.handle({ type: 'answered', role: info.role, offset: info.offset }), fail('ask'))
        return
      }
      case 'promote':
        orders.promote(effect.id).then(promotion => this.handle({ type: 'promoted', promotion }), fail('promote'))
        return
      case 'restore':
        orders.promote(effect.id).then(promotion => this.handle({ type: 'restored', promotion }), fail('restore'))
        return
      case 'point':
        orders.point(effect.id, effect.to).catch(error => explain(error))
        return
      case 'publish':
        this.observer.declareMaster(effect.id, effect.epoch, this.record.kind)
        return
      case 'disown':
        this.observer.disown(true)
        return
      default:
        unreachable(effect)
    }
  }

  async #hold(timeoutMs: Millis): Promise<HoldReport> {
    this.record.heldAt = this.clock.now()
    this.metrics.gauge('lagrange_writes_paused', { group: this.observer.name }).value = 1
    return this.gate.hold({ group: this.observer.name, timeoutMs })
  }

  async #release(): Promise<void> {
    const { record } = this
    if (this.#released || record.heldAt === undefined) return
    this.#released = true
    this.metrics.gauge('lagrange_writes_paused', { group: this.observer.name }).value = 0
    record.stallMs = this.clock.now() - record.heldAt
    try {
      const { heldCommands, stallMs } = await this.gate.release(this.observer.name)
      record.heldCommands = heldCommands
      record.stallMs = stallMs
    } catch (error) {
      // The hold ends by itself after its time-out; the stall is what we know of it.
      explain(error)
    }
  }

  #distance(): SwitchEvent {
    const candidate = this.observer.instance(this.plan.to)
    const lag = candidate && this.observer.lagOf(candidate)
    return { type: 'distance', lagMs: lag?.ms, applied: candidate?.offset }
  }

  #isLinked(id: string): boolean {
    const instance = this.observer.instance(id)
    const { lineage } = this.observer.group
    return instance?.role === 'replica' && instance.master?.up === true && instance.replid === lineage?.replid
  }

  #isGone(id: string): boolean {
    return this.#isDead(id) || this.observer.instance(id)?.role === 'master'
  }

  #isDead(id: string): boolean {
    const instance = this.observer.instance(id)
    return instance === undefined || healthOf(instance, this.observer.judgeOptions, this.clock.now()).health === 'down'
  }
}
