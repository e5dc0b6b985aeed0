/**
 * The acting half of the control plane. It decides nothing: the machines in topology/ say what to do next, and every
 * reply, failure and tick goes back to them. This file is where their effects become commands, and where their
 * transitions are logged, counted and published.
 *
 *     diagnosis 'master-down' ──▶ beginFailover ──effects──▶ REPLICAOF NO ONE ──reply──▶ declareMaster ──▶ view
 *     admin: switchover       ──▶ beginSwitchover ─effects─▶ hold, pause, demote, promote, publish, release
 *     an old master came back ──▶ planRepairs ────────────▶ REPLICAOF the master of the view
 *
 * One operation at a time; a second one is refused.
 */
import { formatAddress, parseAddress } from '../base/address.js'
import type { EventFields, EventSink } from '../base/bus.js'
import { type Clock, every } from '../base/clock.js'
import { InvariantError, unreachable } from '../base/invariant.js'
import type { Millis } from '../base/units.js'
import type { MetricStore } from '../metrics/store.js'
import { ConnectionError, type Credentials } from '../net/client.js'
import type { Dial } from '../observer/line.js'
import type { Observer } from '../observer/observer.js'
import { infoOf } from '../observer/probe.js'
import type { Frame } from '../resp/protocol.js'
import { type CandidateRules, refuse, selectCandidate } from '../topology/candidate.js'
import type { Diagnosis } from '../topology/diagnose.js'
import type { InfoReply, InstanceFacts, Resyncs } from '../topology/facts.js'
import {
  beginFailover,
  type Failover,
  type FailoverEffect,
  type FailoverEvent,
  type FailoverOptions,
  failoverDefaults,
  isOver,
  stepFailover,
} from '../topology/failover.js'
import { declaredMaster, healthOf, instanceAt, isUp } from '../topology/group.js'
import { lineageOf } from '../topology/lineage.js'
import {
  type AntiFlap,
  type AntiFlapOptions,
  antiFlapDefaults,
  calm,
  heldBackMs,
  type Promotion,
  type Refusal,
  type RefusalReason,
  recordFailover,
  type SwitchKind,
  type SwitchReport,
  type SwitchResult,
  type SwitchStep,
} from '../topology/operation.js'
import type { HoldReport, HoldRequest, ReleaseReport } from '../topology/planes.js'
import { planRepairs, type Repair } from '../topology/repair.js'
import {
  beginSwitchover,
  type Order,
  type SwitchEffect,
  type SwitchEvent,
  type Switchover,
  type SwitchoverOptions,
  stepSwitchover,
  switchoverDefaults,
} from '../topology/switchover.js'
import { Hands } from './hands.js'

/** Holds and releases the writes of a group in all workers at once. */
export interface WriteGate {
  hold(request: HoldRequest): Promise<HoldReport>
  release(group: string): Promise<ReleaseReport>
}

export interface AgentOptions {
  /** Whether it acts by itself: failovers and repairs. Planned switches work either way. */
  readonly failover: boolean
  readonly credentials?: Credentials
  readonly switchover?: Partial<SwitchoverOptions>
  readonly failoverSteps?: Partial<FailoverOptions>
  readonly antiFlap?: Partial<AntiFlapOptions>
  /** A planned switch refuses a candidate further behind than this. */
  readonly lagBytesMax?: number
  /** An instance an operator named may be demoted although it restarted with an unknown history. */
  readonly demoteRestartedSeeds?: boolean
  /** Ask instances to remember their new role in their configuration file. */
  readonly rewriteConfig?: boolean
  /** Runs before an old master is demoted: what it alone has is rescued here. A failure postpones the demotion. */
  readonly beforeDemote?: (id: string) => Promise<void>
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
  readonly running: { readonly kind: SwitchKind; readonly step: string; readonly sinceMs: Millis } | undefined
  readonly lastSwitch: SwitchReport | undefined
  /** A silence-based failover has to wait this long; 0 when it need not. */
  readonly heldBackMs: Millis
}

/** What is known while an operation runs and belongs in its report. */
interface Running {
  readonly kind: SwitchKind
  readonly cause: SwitchReport['cause']
  readonly evidence: Diagnosis['evidence']
  readonly from: string | undefined
  readonly startedAt: Millis
  readonly startedWall: number
  readonly steps: SwitchStep[]
  step: string
  stepAt: Millis
  to: string | undefined
  epoch: number
  lagBytes: number | undefined
  heldCommands: number
  stallMs: Millis
  heldAt: Millis | undefined
  released: boolean
  resyncsBefore: Resyncs | undefined
  readonly settle: (report: SwitchReport) => void
  /** Takes the events of the machine that runs. */
  readonly tick: () => void
}

const TICK_MS: Millis = 20
const REPAIR_EVERY_MS: Millis = 1000
const REPAIR_GRACE_MS: Millis = 1000
const ORDER_TIMEOUT_MS: Millis = 1000
const RETRY_MS_MIN: Millis = 100
const RETRY_MS_MAX: Millis = 5000
/** Asking a candidate that is catching up again and again: not faster than this. */
const ASK_GAP_MS: Millis = 0.5

export class Agent {
  readonly #hands: Hands
  readonly #switchoverOptions: SwitchoverOptions
  readonly #failoverOptions: FailoverOptions
  readonly #antiFlapOptions: AntiFlapOptions
  readonly #cancel: (() => void)[] = []
  readonly #repairedAt = new Map<string, Millis>()
  #antiFlap: AntiFlap
  #running: Running | undefined
  #last: SwitchReport | undefined
  #epoch = 0
  #retryAt: Millis = Number.NEGATIVE_INFINITY
  #failures = 0
  #heldBack = false
  #stopped = false

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    private readonly metrics: MetricStore,
    private readonly observer: Observer,
    private readonly gate: WriteGate,
    private readonly options: AgentOptions,
  ) {
    this.#hands = new Hands({ ...options.credentials, connectTimeoutMs: ORDER_TIMEOUT_MS }, options.dial)
    this.#switchoverOptions = { ...switchoverDefaults, ...options.switchover }
    this.#failoverOptions = { ...failoverDefaults, ...options.failoverSteps }
    this.#antiFlapOptions = { ...antiFlapDefaults, ...options.antiFlap }
    this.#antiFlap = calm(this.#antiFlapOptions)
    this.#seedMetrics()
  }

  start(): void {
    this.observer.setActing(this.options.failover)
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

  status(): AgentStatus {
    const now = this.clock.now()
    const running = this.#running
    return {
      failover: this.options.failover,
      running: running && { kind: running.kind, step: running.step, sinceMs: now - running.startedAt },
      lastSwitch: this.#last,
      heldBackMs: heldBackMs(this.#antiFlap, 'silence', now),
    }
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
    if (request.dryRun === true) return this.#dryRun(from, to)
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
      return { refused: 'in-progress', detail: `a ${running.kind} is running, at ${running.step}` }
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
    return { planned: true, lagBytesMax: this.options.lagBytesMax ?? 16 * 1024 * 1024, to }
  }

  /** What would happen. Nothing is sent to anybody. */
  #dryRun(from: InstanceFacts, to: InstanceFacts): SwitchReport {
    const running = this.#newRunning(
      'switchover',
      'operator',
      undefined,
      from.id,
      () => undefined,
      () => undefined,
    )
    running.to = to.id
    running.lagBytes = this.observer.lagOf(to)?.bytes
    const next = [
      'approach',
      'hold',
      'pause',
      'catch_up',
      'demote',
      'final_offset',
      'send_slaveof_noone',
      'reconf_slaves',
    ]
    for (const name of next) running.steps.push({ name, atMs: 0, durationMs: 0 })
    return this.#report(running, 'dry-run', undefined, undefined, undefined, undefined)
  }

  async #runSwitchover(from: InstanceFacts, to: InstanceFacts, request: SwitchoverRequest): Promise<SwitchReport> {
    const { approachTimeoutMs, ...others } = this.#switchoverOptions
    const options = { ...others, approachTimeoutMs: request.timeoutMs ?? approachTimeoutMs }
    const { group } = this.observer
    const siblings = this.#siblings(to.id, from.id)
    const epoch = this.#nextEpoch()
    // A rollback is a promotion, too, and takes the epoch after.
    this.#epoch = epoch + 1

    return new Promise(settle => {
      let machine: Switchover
      const handle = (event: SwitchEvent): void => {
        const before = machine.state.step
        if (before === 'done') return
        const step = stepSwitchover(machine, event, options, this.clock.now())
        machine = step.switchover
        this.#transition(running, before, machine.state.step)
        for (const effect of step.effects) this.#performSwitch(running, effect, handle)
        const { state } = machine
        if (state.step === 'done') void this.#finishSwitchover(running, machine, state.result, state.reason)
      }
      const tick = (): void => {
        handle({ type: 'tick' })
        const { state } = machine
        if (state.step === 'approach') handle(this.#distance(to.id))
        if (state.step === 'reconf_slaves') {
          for (const id of state.waiting) if (this.#isLinked(id)) handle({ type: 'linked', id })
        }
        if (state.step !== 'rollback' && this.#isDead(to.id)) {
          handle({ type: 'abort', reason: 'the candidate died' })
        } else if (!machine.demoted && this.#isDead(from.id)) {
          handle({ type: 'abort', reason: 'the old master died' })
        }
      }
      const running = this.#newRunning('switchover', 'operator', undefined, from.id, settle, tick)
      running.to = to.id
      running.epoch = epoch
      running.lagBytes = this.observer.lagOf(to)?.bytes
      running.resyncsBefore = to.resyncs
      this.#begin(running)
      const begun = beginSwitchover({ from: from.id, to: to.id, siblings, epoch }, options, this.clock.now())
      machine = begun.switchover
      this.#transition(running, 'none', machine.state.step)
      this.events.event('info', '+switchover', { group: group.name, from: from.id, to: to.id, epoch })
      for (const effect of begun.effects) this.#performSwitch(running, effect, handle)
    })
  }

  #performSwitch(running: Running, effect: SwitchEffect, handle: (event: SwitchEvent) => void): void {
    const fail = (order: Order) => (error: unknown) => {
      const { certain, reason } = explain(error)
      handle({ type: 'failed', order, certain, reason })
    }
    switch (effect.do) {
      case 'measure':
        this.#ask(effect.id).then(info => {
          handle({ type: 'measured', offset: info.offset })
          if (running.to !== undefined) handle(this.#distance(running.to))
        }, fail('measure'))
        return
      case 'hold':
        this.#hold(running, effect.timeoutMs).then(({ drained }) => handle({ type: 'held', drained }), fail('hold'))
        return
      case 'release':
        void this.#release(running)
        return
      case 'pause':
        this.#pause(effect.id, effect.timeoutMs).then(
          info => handle({ type: 'paused', offset: info.offset }),
          fail('pause'),
        )
        return
      case 'unpause':
        this.#run(effect.id, [['CLIENT', 'UNPAUSE']]).catch(() => undefined)
        return
      case 'demote':
        this.#replicaOf(effect.id, effect.to).then(
          info => handle({ type: 'demoted', offset: info.offset }),
          fail('demote'),
        )
        return
      case 'ask':
        this.#askAgain(effect.id, effect.again).then(
          info => handle({ type: 'answered', role: info.role, offset: info.offset }),
          fail('ask'),
        )
        return
      case 'promote':
        this.#promote(effect.id).then(promotion => handle({ type: 'promoted', promotion }), fail('promote'))
        return
      case 'restore':
        this.#promote(effect.id).then(promotion => handle({ type: 'restored', promotion }), fail('restore'))
        return
      case 'point':
        this.#point(effect.id, effect.to).catch(() => undefined)
        return
      case 'publish':
        running.epoch = effect.epoch
        this.observer.declareMaster(effect.id, effect.epoch, running.kind)
        return
      case 'disown':
        this.observer.disown(true)
        return
      default:
        unreachable(effect)
    }
  }

  async #finishSwitchover(
    running: Running,
    machine: Switchover,
    result: 'ok' | 'rolled-back' | 'failed',
    reason: string | undefined,
  ): Promise<void> {
    await this.#finish(running, result, reason, machine.finalOffset, machine.promotion)
  }

  // ── A failover ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** By order of an operator: needs no evidence and is not held back. */
  async failover(wish: FailoverRequest = {}): Promise<SwitchReport | Refusal> {
    const request = { ...wish, to: this.#nameOf(wish.to) }
    const refusal = this.#refuseFailover(request)
    if (refusal !== undefined) return this.#refused('failover', refusal)
    return this.#runFailover('operator', undefined, request.to)
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
    const rules = { planned: false, lagBytesMax: Number.POSITIVE_INFINITY, to: request.to }
    const selection = selectCandidate(group, rules, judgeOptions, now)
    if (selection.candidate !== undefined) return undefined
    const [first] = selection.refused
    const why = selection.refused.map(({ id, reason }) => `${id}: ${reason}`).join(', ')
    const reason: RefusalReason = request.to !== undefined && first !== undefined ? first.reason : 'no-candidate'
    return { refused: reason, detail: why === '' ? 'there is no replica' : why }
  }

  #runFailover(
    cause: SwitchReport['cause'],
    diagnosis: Diagnosis | undefined,
    to: string | undefined,
  ): Promise<SwitchReport> {
    const { group, judgeOptions } = this.observer
    const now = this.clock.now()
    const master = declaredMaster(group)
    const isReplica = (instance: InstanceFacts): boolean =>
      instance.role === 'replica' && healthOf(instance, judgeOptions, now).health !== 'down'
    const replicas = group.instances.filter(isReplica).map(instance => instance.id)
    const epoch = this.#nextEpoch()

    return new Promise(settle => {
      let machine: Failover
      const handle = (event: FailoverEvent): void => {
        if (isOver(machine)) return
        const before = machine.state.step
        const step = stepFailover(machine, event, this.#failoverOptions, this.clock.now())
        machine = step.failover
        this.#transition(running, before, machine.state.step)
        for (const effect of step.effects) this.#performFailover(running, effect, to, handle)
        if (isOver(machine)) void this.#finishFailover(running, machine)
      }
      const tick = (): void => {
        if (cause !== 'operator' && this.#isMasterBack(master?.id)) handle({ type: 'master-back' })
        handle({ type: 'tick' })
      }
      const running = this.#newRunning('failover', cause, diagnosis?.evidence, master?.id, settle, tick)
      running.epoch = epoch
      // Writes have been waiting since the first sign, not since we were sure.
      running.heldAt = diagnosis?.since ?? now
      this.#begin(running)
      const begun = beginFailover({ from: master?.id, replicas, epoch }, this.#failoverOptions, now)
      machine = begun.failover
      this.#transition(running, 'none', machine.state.step)
      this.events.event('warn', '+try-failover', { group: group.name, from: master?.id, cause, epoch })
      for (const effect of begun.effects) this.#performFailover(running, effect, to, handle)
    })
  }

  #performFailover(
    running: Running,
    effect: FailoverEffect,
    to: string | undefined,
    handle: (event: FailoverEvent) => void,
  ): void {
    const { name } = this.observer
    switch (effect.do) {
      case 'elect':
        // Alone; votes of other agents come in here.
        void Promise.resolve().then(() => handle({ type: 'elected' }))
        return
      case 'disown':
        this.observer.disown(true)
        return
      case 'own':
        this.observer.disown(false)
        return
      case 'ask': {
        const answered = (): void => handle({ type: 'answered', id: effect.id })
        this.#ask(effect.id, this.#failoverOptions.askTimeoutMs).then(answered, answered)
        return
      }
      case 'select': {
        // The replicas have just been asked; what they said may have acquitted the master.
        if (running.cause !== 'operator' && this.observer.diagnosis.evidence === undefined) {
          void Promise.resolve().then(() =>
            handle({ type: 'abort', reason: `evidence-gone: ${this.observer.diagnosis.name}` }),
          )
          return
        }
        const rules = { planned: false, lagBytesMax: Number.POSITIVE_INFINITY, since: effect.since, to }
        const { candidate, because, refused } = selectCandidate(
          this.observer.group,
          rules,
          this.observer.judgeOptions,
          this.clock.now(),
        )
        running.to = candidate
        running.resyncsBefore = candidate === undefined ? undefined : this.observer.instance(candidate)?.resyncs
        const why = refused.map(({ id, reason }) => `${id}:${reason}`).join(' ')
        this.events.event('info', '+selected-slave', { group: name, node: candidate, because, refused: why })
        const siblings = candidate === undefined ? [] : this.#siblings(candidate, running.from)
        void Promise.resolve().then(() => handle({ type: 'selected', candidate, siblings }))
        return
      }
      case 'promote':
        this.#promote(effect.id).then(
          promotion => handle({ type: 'promoted', id: effect.id, promotion }),
          error => handle({ type: 'promote-failed', id: effect.id, ...explain(error) }),
        )
        return
      case 'publish':
        this.observer.declareMaster(effect.id, effect.epoch, running.kind)
        running.stallMs = this.clock.now() - (running.heldAt ?? running.startedAt)
        running.released = true
        return
      case 'point': {
        const pointed = (): void => handle({ type: 'pointed', id: effect.id })
        this.#point(effect.id, effect.to).then(pointed, pointed)
        return
      }
      default:
        unreachable(effect)
    }
  }

  async #finishFailover(running: Running, machine: Failover): Promise<void> {
    const { state, promotion } = machine
    const failed = state.step === 'aborted' || state.step === 'failed' ? state : undefined
    const result = failed === undefined ? 'ok' : failed.step
    if (result === 'ok') {
      const now = this.clock.now()
      this.#antiFlap = recordFailover(this.#antiFlap, running.evidence, this.#antiFlapOptions, now)
      this.#failures = 0
    } else {
      const delay = Math.min(RETRY_MS_MIN * 2 ** this.#failures++, RETRY_MS_MAX)
      this.#retryAt = this.clock.now() + delay
      const name = failed?.reason === 'no-candidate' ? '-failover-abort-no-good-slave' : `-failover-${result}`
      this.events.event('error', name, { group: this.observer.name, reason: failed?.reason })
    }
    await this.#finish(running, result, failed?.reason, undefined, promotion)
  }

  // ── Beginning and ending ──────────────────────────────────────────────────────────────────────────────────────────

  #newRunning(
    kind: SwitchKind,
    cause: Running['cause'],
    evidence: Running['evidence'],
    from: string | undefined,
    settle: Running['settle'],
    tick: () => void,
  ): Running {
    const now = this.clock.now()
    return {
      kind,
      cause,
      evidence,
      from,
      startedAt: now,
      startedWall: this.clock.wall(),
      steps: [],
      step: 'none',
      stepAt: now,
      to: undefined,
      epoch: this.observer.group.masterEpoch,
      lagBytes: undefined,
      heldCommands: 0,
      stallMs: 0,
      heldAt: undefined,
      released: false,
      resyncsBefore: undefined,
      settle,
      tick,
    }
  }

  #begin(running: Running): void {
    this.#running = running
    this.observer.setFrozen(true)
  }

  /** The one place where a machine's transitions are seen. */
  #transition(running: Running, before: string, after: string): void {
    if (before === after) return
    const now = this.clock.now()
    if (before !== 'none') {
      const atMs = running.stepAt - running.startedAt
      running.steps.push({ name: before, atMs: round(atMs), durationMs: round(now - running.stepAt) })
    }
    running.step = after
    running.stepAt = now
    const state = after.replaceAll('_', '-')
    this.events.event('info', `+${running.kind}-state-${state}`, { group: this.observer.name, node: running.to })
  }

  async #finish(
    running: Running,
    result: SwitchResult,
    reason: string | undefined,
    finalOffset: number | undefined,
    promotion: Promotion | undefined,
  ): Promise<void> {
    const resyncs = result === 'ok' ? await this.#resyncsSince(running) : undefined
    // Held writes are let go in any case; the gate knows whether there are any.
    if (running.kind === 'switchover' && !running.released) await this.#release(running)
    this.observer.setFrozen(false)
    this.#running = undefined
    const report = this.#report(running, result, reason, finalOffset, promotion, resyncs)
    this.#last = report
    this.#count(report)
    const { kind, from, to, masterEpoch, durationMs, stallMs } = report
    const fields = { group: report.group, from, to, epoch: masterEpoch, result, reason, durationMs, stallMs }
    this.events.event(result === 'ok' ? 'info' : 'error', `+${kind}-end`, fields)
    if (result === 'ok' && this.options.rewriteConfig !== false) this.#rewriteConfigs()
    running.settle(report)
    this.#consider()
  }

  #report(
    running: Running,
    result: SwitchResult,
    reason: string | undefined,
    finalOffset: number | undefined,
    promotion: Promotion | undefined,
    resyncs: { readonly full: number; readonly partial: number } | undefined,
  ): SwitchReport {
    return {
      kind: running.kind,
      group: this.observer.name,
      result,
      reason,
      cause: running.cause,
      from: running.from,
      to: running.to,
      masterEpoch: this.observer.group.masterEpoch,
      startedAt: running.startedWall,
      durationMs: round(this.clock.now() - running.startedAt),
      stallMs: round(running.stallMs),
      heldCommands: running.heldCommands,
      finalOffset,
      promotedOffset: promotion?.lineage.secondOffset,
      lagBytes: running.lagBytes,
      fullResyncs: resyncs?.full,
      partialResyncs: resyncs?.partial,
      steps: running.steps,
    }
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

  /** Who has to be told of a new master: not those behind a relay that leads to the old one, if that lives on as a replica. */
  #siblings(to: string, from: string | undefined): readonly string[] {
    const { group, judgeOptions } = this.observer
    const now = this.clock.now()
    const old = from === undefined ? undefined : this.observer.instance(from)
    const oldLives = old !== undefined && isUp(old, judgeOptions, now)
    return group.instances
      .filter(instance => {
        if (instance.id === to || instance.role !== 'replica' || instance.master === undefined) return false
        if (!isUp(instance, judgeOptions, now)) return false
        const at = instanceAt(group, instance.master.address)
        if (at === undefined) return !oldLives
        // Chained behind another replica: that one will follow, and it with it.
        return at.id === from || at.role !== 'replica' || !isUp(at, judgeOptions, now)
      })
      .map(instance => instance.id)
  }

  // ── Orders ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #hold(running: Running, timeoutMs: Millis): Promise<HoldReport> {
    running.heldAt = this.clock.now()
    this.metrics.gauge('lagrange_writes_paused', { group: this.observer.name }).value = 1
    return this.gate.hold({ group: this.observer.name, timeoutMs })
  }

  async #release(running: Running): Promise<void> {
    if (running.released) return
    running.released = true
    this.metrics.gauge('lagrange_writes_paused', { group: this.observer.name }).value = 0
    const heldMs = this.clock.now() - (running.heldAt ?? this.clock.now())
    running.stallMs = heldMs
    try {
      const { heldCommands, stallMs } = await this.gate.release(this.observer.name)
      running.heldCommands = heldCommands
      running.stallMs = stallMs
    } catch (error) {
      // The hold ends by itself after its time-out.
      const { reason } = explain(error)
      this.events.event('error', '-release-failed', { group: this.observer.name, reason })
    }
  }

  /** CLIENT PAUSE for writers that bypass us. A server that cannot pause is switched without. */
  async #pause(id: string, timeoutMs: Millis): Promise<InfoReply> {
    const pause = ['CLIENT', 'PAUSE', String(Math.ceil(timeoutMs)), 'WRITE']
    const [paused, info] = await this.#run(id, [pause, ['INFO', 'replication']])
    if (paused?.type === 'error') this.events.event('warn', '-pause-refused', { node: id, reason: paused.value })
    return this.#learn(id, info)
  }

  async #ask(id: string, timeoutMs: Millis = ORDER_TIMEOUT_MS): Promise<InfoReply> {
    const [info] = await this.#run(id, [['INFO', 'replication']], timeoutMs)
    return this.#learn(id, info)
  }

  async #askAgain(id: string, again: boolean): Promise<InfoReply> {
    if (again) await new Promise<void>(resume => this.clock.after(ASK_GAP_MS, resume))
    return this.#ask(id)
  }

  /** Its own words after the order are the confirmation; nobody waits for the next probe. */
  async #promote(id: string): Promise<Promotion> {
    const [ok, reply] = await this.#run(id, [
      ['REPLICAOF', 'NO', 'ONE'],
      ['INFO', 'replication'],
    ])
    if (ok?.type === 'error') throw new RefusedOrder(ok.value)
    const info = this.#learn(id, reply)
    const lineage = lineageOf({ ...info, replid2: info.replid2, secondOffset: info.secondOffset })
    if (info.role !== 'master' || lineage === undefined) throw new ConnectionError('not-confirmed')
    this.events.event('info', '+promoted-slave', { group: this.observer.name, node: id, replid: lineage.replid })
    return { lineage, runId: this.observer.instance(id)?.runId, offset: info.offset ?? 0 }
  }

  async #point(id: string, to: string): Promise<void> {
    this.events.event('info', '+slave-reconf-sent', { group: this.observer.name, node: id, master: to })
    await this.#replicaOf(id, to)
  }

  async #replicaOf(id: string, to: string): Promise<InfoReply> {
    const address = this.observer.instance(to)?.address
    if (address === undefined) throw new RefusedOrder(`${to} is unknown`)
    const [ok, info] = await this.#run(id, [
      ['REPLICAOF', address.host, String(address.port)],
      ['INFO', 'replication'],
    ])
    if (ok?.type === 'error') throw new RefusedOrder(ok.value)
    return this.#learn(id, info)
  }

  #run(
    id: string,
    commands: readonly (readonly string[])[],
    timeoutMs: Millis = ORDER_TIMEOUT_MS,
  ): Promise<readonly Frame[]> {
    const address = this.observer.instance(id)?.address
    if (address === undefined) return Promise.reject(new RefusedOrder(`${id} is unknown`))
    return this.#hands.run(address, commands, timeoutMs)
  }

  /** A reply to us is an observation like any other. */
  #learn(id: string, frame: Frame | undefined): InfoReply {
    const info = frame && infoOf(frame)
    if (info === undefined) throw new ConnectionError('no-info')
    this.observer.observe(id, { type: 'info', info })
    return info
  }

  async #resyncsSince(running: Running): Promise<{ full: number; partial: number } | undefined> {
    const { to, resyncsBefore } = running
    if (to === undefined || resyncsBefore === undefined) return undefined
    try {
      const [reply] = await this.#run(to, [['INFO']])
      const after = this.#learn(to, reply).resyncs
      return after && { full: after.full - resyncsBefore.full, partial: after.partial - resyncsBefore.partial }
    } catch {
      return undefined
    }
  }

  /** As Sentinel does: who is started again shall be what it is now. Without a configuration file it answers an error. */
  #rewriteConfigs(): void {
    const now = this.clock.now()
    for (const instance of this.observer.facts) {
      if (isUp(instance, this.observer.judgeOptions, now)) {
        this.#run(instance.id, [['CONFIG', 'REWRITE']]).catch(() => undefined)
      }
    }
  }

  // ── By itself ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    if (this.#running !== undefined) this.#running.tick()
    else this.#consider()
    const now = this.clock.now()
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
    if (!this.options.failover || this.observer.tilted) return
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
    void this.#runFailover(diagnosis.name, diagnosis, undefined)
    return true
  }

  #considerRepairs(): void {
    const now = this.clock.now()
    const repairs = planRepairs(
      this.observer.group,
      {
        ...this.observer.judgeOptions,
        graceMs: REPAIR_GRACE_MS,
        demoteRestartedSeeds: this.options.demoteRestartedSeeds ?? true,
      },
      now,
    )
    for (const repair of repairs) {
      const last = this.#repairedAt.get(repair.id)
      if (last !== undefined && now - last < REPAIR_EVERY_MS) continue
      this.#repairedAt.set(repair.id, now)
      void this.#repair(repair)
    }
  }

  async #repair(repair: Repair): Promise<void> {
    const { id } = repair
    const master = this.observer.group.declared
    if (master === undefined) return
    try {
      if (repair.do === 'demote') await this.options.beforeDemote?.(id)
      // While we waited a switch may have begun, and it may be the one that is to be promoted.
      if (this.#running !== undefined || this.observer.group.declared !== master) return
      const name = repair.do === 'demote' ? '+convert-to-slave' : '+fix-slave-config'
      this.events.event('warn', name, { group: this.observer.name, node: id, master, because: repair.because })
      await this.#replicaOf(id, master)
    } catch (error) {
      const { reason } = explain(error)
      this.events.event('error', '-repair-failed', { group: this.observer.name, node: id, reason })
    }
  }

  #isLinked(id: string): boolean {
    const { group } = this.observer
    const instance = this.observer.instance(id)
    return instance?.master?.up === true && instance.role === 'replica' && instance.replid === group.lineage?.replid
  }

  #distance(id: string): SwitchEvent {
    const instance = this.observer.instance(id)
    const lag = instance && this.observer.lagOf(instance)
    return { type: 'distance', lagMs: lag?.ms, applied: instance?.offset }
  }

  #isDead(id: string): boolean {
    const instance = this.observer.instance(id)
    return instance === undefined || healthOf(instance, this.observer.judgeOptions, this.clock.now()).health === 'down'
  }

  #isMasterBack(id: string | undefined): boolean {
    const { diagnosis } = this.observer
    const master = id === undefined ? undefined : this.observer.instance(id)
    return master?.role === 'master' && diagnosis.evidence === undefined && !this.#isDead(master.id)
  }

  // ── Counting ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #seedMetrics(): void {
    const group = this.observer.name
    for (const cause of ['switchover', 'failover']) {
      for (const result of ['ok', 'aborted', 'failed']) {
        this.metrics.counter('lagrange_failovers_total', { group, cause, result })
      }
    }
    this.metrics.histogram('lagrange_failover_write_unavailability_seconds', { group })
    this.metrics.gauge('lagrange_failover_last_timestamp_seconds', { group })
    this.metrics.gauge('lagrange_writes_paused', { group })
  }

  #count(report: SwitchReport): void {
    const { group, kind } = report
    const result = report.result === 'rolled-back' ? 'aborted' : report.result
    this.metrics.counter('lagrange_failovers_total', { group, cause: kind, result }).value++
    if (report.result !== 'ok') return
    this.metrics.histogram('lagrange_failover_write_unavailability_seconds', { group }).observe(report.stallMs / 1000)
    this.metrics.gauge('lagrange_failover_last_timestamp_seconds', { group }).value = this.clock.wall() / 1000
  }
}

/** The instance answered with an error: what was ordered did not happen. */
class RefusedOrder extends Error {
  override readonly name = 'RefusedOrder'
}

function explain(error: unknown): { readonly certain: boolean; readonly reason: string } {
  if (error instanceof RefusedOrder) return { certain: true, reason: error.message }
  if (error instanceof ConnectionError) return { certain: false, reason: error.reason }
  if (error instanceof InvariantError || !(error instanceof Error)) throw error
  return { certain: false, reason: error.message }
}

function round(ms: Millis): Millis {
  return Math.round(ms * 1000) / 1000
}
