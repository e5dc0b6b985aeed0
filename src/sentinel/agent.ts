/**
 * The acting half of the control plane. It decides nothing: the machines in topology/ say what to do next, and every
 * reply, failure and tick goes back to them.
 *
 *     diagnosis 'master-down' ──▶ FailoverRun ───▶ REPLICAOF NO ONE ──reply──▶ declareMaster ──▶ view
 *     admin: switchover       ──▶ SwitchoverRun ─▶ hold, pause, demote, promote, publish, release
 *     an old master came back ──▶ planRepairs ───▶ REPLICAOF the master of the view
 *
 * One operation at a time; a second one is refused.
 */
import { formatAddress, parseAddress } from '../base/address.js'
import type { EventFields, EventSink } from '../base/bus.js'
import { type Clock, every } from '../base/clock.js'
import type { Millis } from '../base/units.js'
import type { MetricStore } from '../metrics/store.js'
import type { Credentials } from '../net/client.js'
import type { Dial } from '../observer/line.js'
import type { Observer } from '../observer/observer.js'
import { type CandidateRules, refuse, type Selection, selectCandidate } from '../topology/candidate.js'
import type { Diagnosis } from '../topology/diagnose.js'
import type { InstanceFacts } from '../topology/facts.js'
import { type FailoverOptions, failoverDefaults } from '../topology/failover.js'
import { declaredMaster, healthOf, isUp } from '../topology/group.js'
import {
  type AntiFlap,
  type AntiFlapOptions,
  antiFlapDefaults,
  calm,
  heldBackMs,
  type Refusal,
  type RefusalReason,
  recordFailover,
  type SwitchKind,
  type SwitchReport,
} from '../topology/operation.js'
import { callRoll, emptyRoll, honours, noPromises, type Promises, type Roll, unreadOf } from '../topology/promises.js'
import { kinOf, planRepairs, type Repair } from '../topology/repair.js'
import { siblingsOf } from '../topology/siblings.js'
import { type SwitchoverOptions, switchoverDefaults } from '../topology/switchover.js'
import { FailoverRun } from './failover-run.js'
import type { WriteGate } from './gate.js'
import { Hands } from './hands.js'
import { explain, Orders } from './orders.js'
import { countSwitch, type Outcome, SwitchRecord, seedSwitchMetrics } from './record.js'
import { SwitchoverRun } from './switchover-run.js'
import type { Witness } from './witness.js'

export type { WriteGate } from './gate.js'

export interface AgentOptions {
  /** Whether it acts by itself: failovers and repairs. Planned switches work either way. */
  readonly failover: boolean
  readonly credentials?: Credentials
  readonly switchover?: Partial<SwitchoverOptions>
  readonly failoverSteps?: Partial<FailoverOptions>
  readonly antiFlap?: Partial<AntiFlapOptions>
  /** A planned switch refuses a candidate further behind than this. */
  readonly lagBytesMax?: number
  /**
   * Every instance an operator named is a node of this group, and may be demoted although it has an unknown history.
   * Otherwise only those that were seen on the group's history before.
   */
  readonly demoteRestartedSeeds?: boolean
  /** Sentinels watch this group as well: nothing is done by itself while they do. */
  readonly othersDecide?: () => boolean
  /** Ask instances to remember their new role in their configuration file. */
  readonly rewriteConfig?: boolean
  /** Runs before an old master is demoted: what it alone has is rescued here. A failure postpones the demotion. */
  readonly beforeDemote?: (id: string) => Promise<void>
  /** What writes were acknowledged on: nobody is promoted who may break it, unless an operator wants it so. */
  readonly promises?: () => Promises
  /** Has read what the master sent, and feeds those who missed it. */
  readonly witness?: Witness | undefined
  readonly dial?: Dial
}

export interface SwitchoverRequest {
  /** `host:port`; the best candidate when undefined. */
  readonly to?: string | undefined
  readonly dryRun?: boolean | undefined
  /** How long the candidate may take to come close. How long writes may wait then is configured. */
  readonly timeoutMs?: Millis | undefined
}

export interface FailoverRequest {
  readonly to?: string | undefined
  /** A healthy master is replaced without its help; what it has not sent is lost. */
  readonly acceptDataLoss?: boolean | undefined
}

export interface AgentStatus {
  readonly failover: boolean
  /** An operator wants nothing done by itself. */
  readonly paused: boolean
  readonly running: { readonly kind: SwitchKind; readonly step: string; readonly sinceMs: Millis } | undefined
  readonly lastSwitch: SwitchReport | undefined
  /** A silence-based failover has to wait this long; 0 when it need not. */
  readonly heldBackMs: Millis
}

/** An operation that runs: one of the two drivers. */
interface Run {
  readonly record: SwitchRecord
  run(): Promise<Outcome>
  tick(): void
}

/** An order whose answer got lost may be executed so much later, and what was heard meanwhile be from before. */
const UNCERTAIN_MS: Millis = 1000

const TICK_MS: Millis = 20
const REPAIR_EVERY_MS: Millis = 1000
const REPAIR_GRACE_MS: Millis = 1000
const CONNECT_TIMEOUT_MS: Millis = 1000
const RETRY_MS_MIN: Millis = 100
const RETRY_MS_MAX: Millis = 5000
const LAG_BYTES_MAX = 16 * 1024 * 1024

export class Agent {
  readonly #hands: Hands
  readonly #orders: Orders
  readonly #switchoverOptions: SwitchoverOptions
  readonly #failoverOptions: FailoverOptions
  readonly #antiFlapOptions: AntiFlapOptions
  readonly #cancel: (() => void)[] = []
  readonly #repairedAt = new Map<string, Millis>()
  /** A rescue may take longer than the pause between repairs. */
  readonly #repairing = new Set<string>()
  /** Ordered to follow another one, and did not say that it does: when the order was given up. */
  readonly #uncertainSince = new Map<string, Millis>()
  readonly #members = new Set<string>()
  #antiFlap: AntiFlap
  #running: Run | undefined
  #last: SwitchReport | undefined
  #epoch = 0
  #retryAt: Millis = Number.NEGATIVE_INFINITY
  #failures = 0
  #heldBack = false
  #stopped = false
  #paused = false
  #roll: Roll = emptyRoll

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    private readonly metrics: MetricStore,
    private readonly observer: Observer,
    private readonly gate: WriteGate,
    private readonly options: AgentOptions,
  ) {
    this.#hands = new Hands({ ...options.credentials, connectTimeoutMs: CONNECT_TIMEOUT_MS }, options.dial)
    this.#orders = new Orders(clock, events, observer, this.#hands)
    this.#switchoverOptions = { ...switchoverDefaults, ...options.switchover }
    this.#failoverOptions = { ...failoverDefaults, ...options.failoverSteps }
    this.#antiFlapOptions = { ...antiFlapDefaults, ...options.antiFlap }
    this.#antiFlap = calm(this.#antiFlapOptions)
    seedSwitchMetrics(metrics, observer.name)
  }

  start(): void {
    this.observer.setActing(this.options.failover, this.#mayAdopt)
    this.#cancel.push(
      this.observer.onChange(() => this.#consider()),
      every(this.clock, TICK_MS, () => this.#tick()),
    )
  }

  stop(): void {
    this.#stopped = true
    for (const cancel of this.#cancel) cancel()
    this.#hands.close()
  }

  /** A switch is under way. */
  get acting(): boolean {
    return this.#running !== undefined
  }

  status(): AgentStatus {
    const now = this.clock.now()
    const record = this.#running?.record
    return {
      failover: this.options.failover,
      paused: this.#paused,
      running: record && { kind: record.kind, step: record.step, sinceMs: now - record.startedAt },
      lastSwitch: this.#last,
      heldBackMs: heldBackMs(this.#antiFlap, 'silence', now),
    }
  }

  /** While paused nothing is done by itself: no failover, no repair. Planned switches work. False: it was so already. */
  pause(paused: boolean): boolean {
    if (this.#paused === paused) return false
    this.#paused = paused
    this.observer.setActing(this.options.failover && !paused, this.#mayAdopt)
    this.events.event('warn', paused ? '+paused' : '-paused', { group: this.observer.name })
    if (!paused) this.#consider()
    return true
  }

  /** An operator has looked: the next silence-based failover need not wait. */
  acknowledge(): void {
    this.#antiFlap = calm(this.#antiFlapOptions)
    this.#heldBack = false
    this.events.event('info', '+failover-acknowledged', { group: this.observer.name })
  }

  // ── A planned switch ──────────────────────────────────────────────────────────────────────────────────────────────

  async switchover(wish: SwitchoverRequest = {}): Promise<SwitchReport | Refusal> {
    const request = { ...wish, to: this.#nameOf(wish.to) }
    const refusal = this.#refuseSwitchover(request)
    if (refusal !== undefined) return this.#refused('switchover', refusal)
    const { group, judgeOptions } = this.observer
    const now = this.clock.now()
    const selection = selectCandidate(group, this.#rules(request.to), judgeOptions, now)
    const from = declaredMaster(group)
    const to = selection.candidate === undefined ? undefined : this.observer.instance(selection.candidate)
    if (from === undefined || to === undefined) {
      const why = selection.refused.map(({ id, reason }) => `${id}: ${reason}`).join(', ')
      return this.#refused('switchover', { refused: 'no-candidate', detail: why === '' ? 'there is no replica' : why })
    }
    if (request.dryRun === true) return this.#dryRun(from, to, selection)
    return this.#runSwitchover(from, to, request)
  }

  #refuseSwitchover(request: SwitchoverRequest): Refusal | undefined {
    const { group, judgeOptions } = this.observer
    const common = this.#refuseAny(request.to)
    if (common !== undefined) return common
    const master = declaredMaster(group)
    if (master === undefined) return { refused: 'no-master', detail: 'no instance of the group is known to be master' }
    const now = this.clock.now()
    if (request.to !== undefined) {
      const instance = this.observer.instance(request.to)
      const reason = instance && refuse(instance, group, this.#rules(request.to), judgeOptions, now)
      if (reason !== undefined) return { refused: reason, detail: `${request.to}: ${reason}` }
    }
    if (master.role !== 'master' || healthOf(master, judgeOptions, now).health !== 'up' || group.disowned) {
      return { refused: 'master-unhealthy', detail: `${master.id}: ${this.observer.diagnosis.name}` }
    }
    return undefined
  }

  #refuseAny(to: string | undefined): Refusal | undefined {
    if (this.#stopped) return { refused: 'stopped', detail: 'the agent has been stopped' }
    const running = this.#running
    if (running !== undefined) {
      return { refused: 'in-progress', detail: `a ${running.record.kind} is running, at ${running.record.step}` }
    }
    if (to !== undefined && this.observer.instance(to) === undefined) {
      return { refused: 'unknown-node', detail: `${to} is not an instance of ${this.observer.name}` }
    }
    if (this.observer.tilted) return { refused: 'stalled', detail: 'this process was stalled a moment ago' }
    return undefined
  }

  /** An instance may be called by any address that leads to it. */
  #nameOf(to: string | undefined): string | undefined {
    const address = to === undefined ? undefined : parseAddress(to)
    if (address === undefined) return to
    return this.observer.find(address)?.id ?? formatAddress(address)
  }

  #rules(to: string | undefined): CandidateRules {
    return { planned: true, lagBytesMax: this.options.lagBytesMax ?? LAG_BYTES_MAX, to }
  }

  /** What would happen. Nothing is sent to anybody. */
  #dryRun(from: InstanceFacts, to: InstanceFacts, selection: Selection): SwitchReport {
    const record = this.#newRecord('switchover', 'operator', undefined, from.id)
    record.to = to.id
    record.lagBytes = this.observer.lagOf(to)?.bytes
    record.plan([
      'approach',
      'hold',
      'pause',
      'catch_up',
      'demote',
      'final_offset',
      'send_slaveof_noone',
      'reconf_slaves',
    ])
    const outcome = { result: 'dry-run', reason: undefined, finalOffset: undefined, promotion: undefined } as const
    const report = record.report(outcome, this.observer.group.masterEpoch, undefined)
    const last = this.#last
    const forecast = {
      because: selection.because,
      passedOver: [...selection.outranked, ...selection.refused.filter(({ id }) => id !== from.id)],
      lagMs: this.observer.lagOf(to)?.ms,
      expectedStallMs: last?.kind === 'switchover' && last.result === 'ok' ? last.stallMs : undefined,
      stallMaxMs: this.#switchoverOptions.stallMaxMs,
    }
    return { ...report, forecast }
  }

  #runSwitchover(from: InstanceFacts, to: InstanceFacts, request: SwitchoverRequest): Promise<SwitchReport> {
    const { clock, observer } = this
    const { approachTimeoutMs, ...others } = this.#switchoverOptions
    const options = { ...others, approachTimeoutMs: request.timeoutMs ?? approachTimeoutMs }
    const siblings = siblingsOf(observer.group, to.id, from.id, observer.judgeOptions, clock.now())
    const epoch = this.#nextEpoch()
    // A rollback is a promotion, too, and takes the epoch after.
    this.#epoch = epoch + 1
    const record = this.#newRecord('switchover', 'operator', undefined, from.id)
    record.to = to.id
    record.lagBytes = observer.lagOf(to)?.bytes
    record.resyncsBefore = to.resyncs
    this.events.event('info', '+switchover', { group: observer.name, from: from.id, to: to.id, epoch })
    const plan = { from: from.id, to: to.id, siblings, epoch }
    return this.#operate(
      new SwitchoverRun(clock, this.metrics, observer, this.#orders, this.gate, record, plan, options),
    )
  }

  // ── A failover ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** By order of an operator: needs no evidence and is not held back. */
  async failover(wish: FailoverRequest = {}): Promise<SwitchReport | Refusal> {
    const request = { ...wish, to: this.#nameOf(wish.to) }
    const refusal = this.#refuseFailover(request)
    if (refusal !== undefined) return this.#refused('failover', refusal)
    return this.#runFailover('operator', undefined, request)
  }

  #refuseFailover(request: FailoverRequest): Refusal | undefined {
    const common = this.#refuseAny(request.to)
    if (common !== undefined) return common
    const { group, judgeOptions } = this.observer
    const now = this.clock.now()
    const master = declaredMaster(group)
    if (request.to !== undefined && request.to === master?.id && master.role === 'master') {
      return { refused: 'already-master', detail: `${request.to} is the master` }
    }
    // A suspect is no proof: what it has not sent would be lost.
    const alive = master?.role === 'master' && isUp(master, judgeOptions, now) && !group.disowned
    if (alive && request.acceptDataLoss !== true) {
      return { refused: 'master-healthy', detail: 'the master answers: use a switchover, or accept the loss of data' }
    }
    const isVouchedFor = this.observer.diagnosis.name === 'master-unreachable-replicas-linked'
    if (isVouchedFor && request.acceptDataLoss !== true) {
      const detail = 'we cannot reach the master, but its replicas can: wait, or accept the loss of data'
      return { refused: 'master-healthy', detail }
    }
    const rules = { planned: false, lagBytesMax: Number.POSITIVE_INFINITY, to: request.to }
    const selection = selectCandidate(group, rules, judgeOptions, now)
    if (selection.candidate !== undefined) return undefined
    const [first] = selection.refused
    const why = selection.refused.map(({ id, reason }) => `${id}: ${reason}`).join(', ')
    const reason: RefusalReason = request.to !== undefined && first !== undefined ? first.reason : 'no-candidate'
    return { refused: reason, detail: why === '' ? 'there is no replica' : why }
  }

  async #runFailover(
    cause: SwitchReport['cause'],
    diagnosis: Diagnosis | undefined,
    request: FailoverRequest,
  ): Promise<SwitchReport> {
    const { clock, observer } = this
    const { group, judgeOptions } = observer
    const now = clock.now()
    const from = declaredMaster(group)?.id
    const replicas = group.instances.filter(
      instance => instance.role === 'replica' && healthOf(instance, judgeOptions, now).health !== 'down',
    )
    const epoch = this.#nextEpoch()
    const record = this.#newRecord('failover', cause, diagnosis?.evidence, from)
    // Writes have been waiting since the first sign, not since we were sure.
    record.heldAt = diagnosis?.since ?? now
    this.events.event('warn', '+try-failover', { group: group.name, from, cause, epoch })
    const { witness } = this.options
    const promises = this.options.promises?.() ?? noPromises
    const mustFeed = promises.witness && request.acceptDataLoss !== true
    const plan = {
      from,
      replicas: replicas.map(replica => replica.id),
      epoch,
      mustFeed,
      mayReplay: witness !== undefined,
    }
    const options = { steps: this.#failoverOptions, promises, roll: this.#roll, witness }
    const run = new FailoverRun(clock, this.events, observer, this.#orders, record, plan, options, request)
    return this.#operate(run)
  }

  /** A failed attempt is repeated, later and later; a silence-based success makes the next one wait. */
  #learnFrom(report: SwitchReport, evidence: Diagnosis['evidence']): void {
    if (report.kind !== 'failover') return
    const now = this.clock.now()
    if (report.result === 'ok') {
      this.#failures = 0
      this.#antiFlap = recordFailover(this.#antiFlap, evidence, this.#antiFlapOptions, now)
      return
    }
    this.#retryAt = now + Math.min(RETRY_MS_MIN * 2 ** this.#failures++, RETRY_MS_MAX)
    const name = report.reason === 'no-candidate' ? '-failover-abort-no-good-slave' : `-failover-${report.result}`
    this.events.event('error', name, { group: report.group, reason: report.reason })
  }

  /** Somebody is master that we did not promote: what was promised to writes holds for him as well. */
  readonly #mayAdopt = (instance: InstanceFacts): boolean => {
    // An order of ours to follow another one is on its way to it, or may still be executed.
    const orderedAt = this.#uncertainSince.get(instance.id)
    if (this.#repairing.has(instance.id)) return false
    if (orderedAt !== undefined && (instance.infoAt ?? 0) <= orderedAt + UNCERTAIN_MS) return false
    const { group } = this.observer
    const promises = this.options.promises?.() ?? noPromises
    const since = declaredMaster(group)?.liveness.silentSince ?? this.clock.now()
    return honours(promises, unreadOf(group, instance, this.#roll, since))
  }

  // ── Beginning and ending ──────────────────────────────────────────────────────────────────────────────────────────

  async #operate(run: Run): Promise<SwitchReport> {
    const { observer } = this
    const { record } = run
    this.#running = run
    observer.setFrozen(true)
    const outcome = await run.run()

    const { to, resyncsBefore } = record
    const countable = outcome.result === 'ok' && to !== undefined && resyncsBefore !== undefined
    const resyncs = countable ? await this.#orders.resyncsSince(to, resyncsBefore) : undefined
    const report = record.report(outcome, observer.group.masterEpoch, resyncs)
    this.#last = report
    this.#learnFrom(report, record.evidence)
    countSwitch(this.metrics, report, this.clock.wall())
    const { kind, result, reason, from, masterEpoch: epoch, durationMs, stallMs } = report
    const fields = { group: report.group, from, to, epoch, result, reason, durationMs, stallMs }
    this.events.event(result === 'ok' ? 'info' : 'error', `+${kind}-end`, fields)
    if (result === 'ok' && this.options.rewriteConfig !== false) this.#orders.rewriteConfigs()

    this.#running = undefined
    observer.setFrozen(false)
    this.#consider()
    return report
  }

  #newRecord(
    kind: SwitchKind,
    cause: SwitchReport['cause'],
    evidence: Diagnosis['evidence'],
    from: string | undefined,
  ): SwitchRecord {
    return new SwitchRecord(this.clock, this.events, this.observer.name, kind, cause, evidence, from)
  }

  #refused(kind: SwitchKind, refusal: Refusal): Refusal {
    this.events.event('warn', `-${kind}-refused`, { group: this.observer.name, ...refusal })
    return refusal
  }

  #nextEpoch(): number {
    this.#epoch = Math.max(this.#epoch, this.observer.group.masterEpoch) + 1
    this.events.event('info', '+new-epoch', { group: this.observer.name, epoch: this.#epoch })
    return this.#epoch
  }

  // ── By itself ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    if (this.#running !== undefined) this.#running.tick()
    else this.#consider()
    const now = this.clock.now()
    if (this.#running === undefined) {
      this.#roll = callRoll(this.#roll, this.observer.group)
    }
    const up = this.observer.facts.filter(
      instance => healthOf(instance, this.observer.judgeOptions, now).health === 'up',
    )
    for (const instance of up) this.#hands.prepare(instance.address)
    this.#hands.keep(new Set(this.observer.facts.map(instance => instance.id)))
  }

  /** Facts changed: is there something to do? */
  #consider(): void {
    if (this.#stopped) return
    if (this.#running !== undefined) return
    this.#ownAgain()
    if (!this.options.failover || this.#paused || this.observer.tilted) return
    if (this.options.othersDecide?.() === true) return
    if (this.#considerFailover()) return
    this.#considerRepairs()
  }

  /** After a failed switch nobody was believed in; the declared master is again, when nothing speaks against it. */
  #ownAgain(): void {
    const { group, diagnosis } = this.observer
    const master = declaredMaster(group)
    if (group.disowned && master?.role === 'master' && diagnosis.evidence === undefined) {
      const now = this.clock.now()
      if (healthOf(master, this.observer.judgeOptions, now).health === 'up') this.observer.disown(false)
    }
  }

  #considerFailover(): boolean {
    const { diagnosis, judgeOptions } = this.observer
    const now = this.clock.now()
    const { evidence, since } = diagnosis
    if (diagnosis.name === 'ok') {
      // What made earlier attempts fail is over.
      this.#failures = 0
      this.#retryAt = Number.NEGATIVE_INFINITY
    }
    if (evidence === undefined || now < this.#retryAt) return false
    // A master that was demoted by somebody may be in the middle of that somebody's switch.
    if (evidence === 'no-master' && since !== undefined && now - since < judgeOptions.downAfterMs) return false
    const waitMs = heldBackMs(this.#antiFlap, evidence, now)
    if (waitMs > 0) {
      if (!this.#heldBack) {
        const fields: EventFields = { group: this.observer.name, diagnosis: diagnosis.name, waitMs: Math.round(waitMs) }
        this.events.event('error', '-failover-held-back', fields)
      }
      this.#heldBack = true
      return false
    }
    this.#heldBack = false
    void this.#runFailover(diagnosis.name, diagnosis, {})
    return true
  }

  #considerRepairs(): void {
    const now = this.clock.now()
    for (const id of kinOf(this.observer.group)) this.#members.add(id)
    const repairs = planRepairs(
      this.observer.group,
      {
        ...this.observer.judgeOptions,
        graceMs: REPAIR_GRACE_MS,
        demoteRestartedSeeds: this.options.demoteRestartedSeeds ?? true,
        members: this.#members,
        feeder: this.options.witness?.feeder,
      },
      now,
    )
    for (const repair of repairs) {
      const last = this.#repairedAt.get(repair.id)
      if (this.#repairing.has(repair.id) || (last !== undefined && now - last < REPAIR_EVERY_MS)) continue
      this.#repairedAt.set(repair.id, now)
      void this.#repair(repair)
    }
  }

  async #repair(repair: Repair): Promise<void> {
    const { id } = repair
    const master = this.observer.group.declared
    if (master === undefined) return
    this.#repairing.add(id)
    try {
      if (repair.do === 'demote') await this.options.beforeDemote?.(id)
      // While we waited a switch may have begun, and it may be the one that is to be promoted.
      if (this.#running !== undefined || this.observer.group.declared !== master) return
      const name = repair.do === 'demote' ? '+convert-to-slave' : '+fix-slave-config'
      this.events.event('warn', name, { group: this.observer.name, node: id, master, because: repair.because })
      await this.#orders.replicaOf(id, master)
      this.#uncertainSince.delete(id)
      // The rescue has paused its writers, so that nothing came after it. They are refused now.
      if (this.options.beforeDemote !== undefined) this.#orders.unpause(id)
    } catch (error) {
      const { reason } = explain(error)
      this.#uncertainSince.set(id, this.clock.now())
      this.events.event('error', '-repair-failed', { group: this.observer.name, node: id, reason })
    } finally {
      this.#repairing.delete(id)
    }
  }
}
