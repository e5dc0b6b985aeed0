/**
 * What is written down while an operation runs: its steps with their times, who was chosen, how long writes waited. In
 * the end it becomes the report, and the metrics.
 */
import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import type { Millis, Offset, UnixMillis } from '../base/units.js'
import type { MetricStore } from '../metrics/store.js'
import type { Diagnosis } from '../topology/diagnose.js'
import type { Resyncs } from '../topology/facts.js'
import type { Promotion, SwitchKind, SwitchReport, SwitchResult, SwitchStep } from '../topology/operation.js'

/** How an operation ended. */
export interface Outcome {
  readonly result: SwitchResult
  readonly reason: string | undefined
  readonly finalOffset: Offset | undefined
  readonly promotion: Promotion | undefined
}

export class SwitchRecord {
  step = 'none'
  readonly startedAt: Millis
  to: string | undefined
  lagBytes: number | undefined
  heldCommands = 0
  /** Bytes that the candidate had from the witness alone. */
  witnessBytes: number | undefined
  /** Writes that it was given by a client, as it could not have those bytes. */
  replayedWrites: number | undefined
  /** Replicas that may have had promised writes which the new master lacks: an operator wanted no more waiting. */
  unread: readonly string[] | undefined
  /** Since when writes have been waiting. */
  heldAt: Millis | undefined
  stallMs: Millis = 0
  resyncsBefore: Resyncs | undefined
  readonly #startedWall: UnixMillis
  readonly #steps: SwitchStep[] = []
  #stepAt: Millis

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    readonly group: string,
    readonly kind: SwitchKind,
    readonly cause: SwitchReport['cause'],
    readonly evidence: Diagnosis['evidence'],
    readonly from: string | undefined,
  ) {
    this.startedAt = clock.now()
    this.#startedWall = clock.wall()
    this.#stepAt = this.startedAt
  }

  /** The one place where the transitions of a machine are seen. */
  transition(after: string): void {
    if (this.step === after) return
    const now = this.clock.now()
    if (this.step !== 'none') {
      const atMs = this.#stepAt - this.startedAt
      this.#steps.push({ name: this.step, atMs: round(atMs), durationMs: round(now - this.#stepAt) })
    }
    this.step = after
    this.#stepAt = now
    const name = `+${this.kind}-state-${after.replaceAll('_', '-')}`
    this.events.event('info', name, { group: this.group, node: this.to })
  }

  /** Steps of a switch that is only thought through. */
  plan(steps: readonly string[]): void {
    for (const name of steps) this.#steps.push({ name, atMs: 0, durationMs: 0 })
  }

  report(
    outcome: Outcome,
    masterEpoch: number,
    resyncs: { readonly full: number; readonly partial: number } | undefined,
  ): SwitchReport {
    return {
      kind: this.kind,
      group: this.group,
      result: outcome.result,
      reason: outcome.reason,
      cause: this.cause,
      from: this.from,
      to: this.to,
      masterEpoch,
      startedAt: this.#startedWall,
      durationMs: round(this.clock.now() - this.startedAt),
      stallMs: round(this.stallMs),
      heldCommands: this.heldCommands,
      finalOffset: outcome.finalOffset,
      promotedOffset: outcome.promotion?.lineage.secondOffset,
      replid: outcome.promotion?.lineage.replid,
      lagBytes: this.lagBytes,
      witnessBytes: this.witnessBytes,
      replayedWrites: this.replayedWrites,
      unread: this.unread,
      fullResyncs: resyncs?.full,
      partialResyncs: resyncs?.partial,
      steps: this.#steps,
    }
  }
}

/** All series exist before anything happened: a counter that is born with 1 misses its first step. */
export function seedSwitchMetrics(metrics: MetricStore, group: string): void {
  for (const cause of ['switchover', 'failover']) {
    for (const result of ['ok', 'aborted', 'failed']) {
      metrics.counter('lagrange_failovers_total', { group, cause, result })
    }
  }
  metrics.histogram('lagrange_failover_write_unavailability_seconds', { group })
  metrics.gauge('lagrange_failover_last_timestamp_seconds', { group })
  metrics.gauge('lagrange_writes_paused', { group })
}

export function countSwitch(metrics: MetricStore, report: SwitchReport, wall: UnixMillis): void {
  const { group, kind } = report
  const result = report.result === 'rolled-back' ? 'aborted' : report.result
  metrics.counter('lagrange_failovers_total', { group, cause: kind, result }).value++
  if (report.result !== 'ok') return
  metrics.histogram('lagrange_failover_write_unavailability_seconds', { group }).observe(report.stallMs / 1000)
  metrics.gauge('lagrange_failover_last_timestamp_seconds', { group }).value = wall / 1000
}

function round(ms: Millis): Millis {
  return Math.round(ms * 1000) / 1000
}
