/**
 * A switch ordered through the admin API where sentinels decide: they are asked to do it, nothing is done behind their
 * backs. What they would lose, we keep: writes are held first, and the order is given when the replicas have everything.
 *
 *     hold ─▶ catch_up (every linked replica has the last byte) ─▶ SENTINEL FAILOVER ─▶ their new master is ours ─▶ release
 *
 * The replica is theirs to choose. If nothing comes of it, writes go on to the old master.
 */
import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import type { Millis } from '../base/units.js'
import type { MetricStore } from '../metrics/store.js'
import type { Observer } from '../observer/observer.js'
import { declaredMaster } from '../topology/group.js'
import type { Refusal, SwitchKind, SwitchReport, SwitchResult } from '../topology/operation.js'
import type { FailoverRequest, SwitchoverRequest } from './agent.js'
import type { SentinelFollower } from './follow.js'
import type { WriteGate } from './gate.js'
import { countSwitch, SwitchRecord, seedSwitchMetrics } from './record.js'

/** For replicas to have all of it, once nobody writes. */
const CATCH_UP_MS: Millis = 1000
/** From the order to the new master: sentinels of Redis look at the promoted replica once a second. */
const SWITCH_MS: Millis = 15_000
const LOOK_MS: Millis = 10

export class QuorumSwitch {
  #running: SwitchRecord | undefined

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    private readonly metrics: MetricStore,
    private readonly observer: Observer,
    private readonly gate: WriteGate,
    private readonly follower: SentinelFollower,
    private readonly options: { readonly masterName: string; readonly holdTimeoutMs: Millis },
  ) {
    seedSwitchMetrics(metrics, observer.name)
  }

  switchover(request: SwitchoverRequest = {}): Promise<SwitchReport | Refusal> {
    return this.#order('switchover', request.to, request.dryRun === true, true)
  }

  /** A dead master has nothing to wait for. */
  failover(request: FailoverRequest = {}): Promise<SwitchReport | Refusal> {
    return this.#order('failover', request.to, false, false)
  }

  async #order(
    kind: SwitchKind,
    to: string | undefined,
    dryRun: boolean,
    planned: boolean,
  ): Promise<SwitchReport | Refusal> {
    const { observer } = this
    const refusal = this.#refuse(kind, to, planned)
    if (refusal !== undefined) {
      this.events.event('warn', `-${kind}-refused`, { group: observer.name, ...refusal })
      return refusal
    }
    const from = observer.group.declared
    const record = new SwitchRecord(this.clock, this.events, observer.name, kind, 'operator', undefined, from)
    if (dryRun) {
      record.plan(['hold', 'catch_up', 'sentinel_failover', 'reconf_slaves'])
      return this.#report(record, 'dry-run', undefined)
    }
    this.#running = record
    this.events.event('info', `+${kind}`, { group: observer.name, from, by: 'sentinel' })
    try {
      const reason = await this.#run(record, planned)
      return this.#end(record, reason)
    } finally {
      this.#running = undefined
    }
  }

  #refuse(kind: SwitchKind, to: string | undefined, planned: boolean): Refusal | undefined {
    if (this.#running !== undefined) {
      return { refused: 'in-progress', detail: `a ${this.#running.kind} is running, at ${this.#running.step}` }
    }
    if (to !== undefined) {
      return { refused: 'sentinel-chooses', detail: `sentinels choose the replica: order the ${kind} without a name` }
    }
    const master = declaredMaster(this.observer.group)
    if (master === undefined) return { refused: 'no-master', detail: 'no instance of the group is known to be master' }
    if (planned && this.observer.diagnosis.evidence !== undefined) {
      return { refused: 'master-unhealthy', detail: `${master.id}: ${this.observer.diagnosis.name}` }
    }
    return undefined
  }

  /** Answers why nothing came of it. */
  async #run(record: SwitchRecord, planned: boolean): Promise<string | undefined> {
    const { observer } = this
    try {
      if (planned) {
        record.transition('hold')
        record.heldAt = this.clock.now()
        // How long one command waits is configured; the hold as such lasts as long as the sentinels may take.
        const timeoutMs = Math.max(this.options.holdTimeoutMs, SWITCH_MS)
        const { drained } = await this.gate.hold({ group: observer.name, timeoutMs })
        if (!drained) return 'not-drained'
        record.transition('catch_up')
        if (!(await this.#until(() => this.#caughtUp(), CATCH_UP_MS))) return 'replicas-behind'
      }
      record.transition('sentinel_failover')
      await this.follower.order('SENTINEL', 'FAILOVER', this.options.masterName)
      const switched = await this.#until(() => observer.group.declared !== record.from, SWITCH_MS)
      record.to = observer.group.declared
      return switched ? undefined : 'no-new-master'
    } catch (error) {
      return (error as Error).message
    } finally {
      await this.#release(record)
    }
  }

  #caughtUp(): boolean {
    const { observer } = this
    const replicas = observer.facts.filter(({ role, master }) => role === 'replica' && master?.up === true)
    observer.look()
    return replicas.length > 0 && replicas.every(replica => observer.lagOf(replica)?.bytes === 0)
  }

  async #until(condition: () => boolean, withinMs: Millis): Promise<boolean> {
    const deadline = this.clock.now() + withinMs
    while (!condition()) {
      if (this.clock.now() > deadline) return false
      await new Promise<void>(resume => this.clock.after(LOOK_MS, resume))
    }
    return true
  }

  async #release(record: SwitchRecord): Promise<void> {
    if (record.heldAt === undefined) return
    const { heldCommands, stallMs } = await this.gate.release(this.observer.name)
    record.heldCommands = heldCommands
    record.stallMs = stallMs
  }

  #end(record: SwitchRecord, reason: string | undefined): SwitchReport {
    const report = this.#report(record, reason === undefined ? 'ok' : 'aborted', reason)
    countSwitch(this.metrics, report, this.clock.wall())
    const { kind, result, from, to, durationMs, stallMs } = report
    const fields = { group: report.group, from, to, result, reason, durationMs, stallMs }
    this.events.event(result === 'ok' ? 'info' : 'error', `+${kind}-end`, fields)
    return report
  }

  #report(record: SwitchRecord, result: SwitchResult, reason: string | undefined): SwitchReport {
    record.transition('done')
    const outcome = { result, reason, finalOffset: undefined, promotion: undefined }
    return record.report(outcome, this.observer.group.masterEpoch, undefined)
  }
}
