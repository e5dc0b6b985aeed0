/**
 * What planned switches and failovers have in common: why they are refused, and what they report.
 */
import type { Millis, Offset, UnixMillis } from '../base/units.js'
import type { CandidateRefusal, Outranked, Selection } from './candidate.js'
import type { Diagnosis, DiagnosisName } from './diagnose.js'
import type { Lineage } from './view.js'

export type RefusalReason =
  | CandidateRefusal
  | 'in-progress' // another switch is running
  | 'no-candidate'
  | 'no-master' // a planned switch needs one to switch from
  | 'master-unhealthy' // a planned switch needs its help: use failover
  | 'master-healthy' // a failover would lose writes: use a switchover, or accept the loss
  | 'stalled' // we were away ourselves a moment ago and do not trust what we see
  | 'stopped'
  | 'sentinel-chooses' // sentinels carry the switch out, and choose the replica

/** Nothing was changed. */
export interface Refusal {
  readonly refused: RefusalReason
  readonly detail: string
}

export type SwitchKind = 'switchover' | 'failover'

/** `aborted`: nothing was promoted and the old master, if it lives, goes on. `failed`: the outcome needs a look. */
export type SwitchResult = 'ok' | 'dry-run' | 'rolled-back' | 'aborted' | 'failed'

export interface SwitchStep {
  readonly name: string
  /** Since the switch began. */
  readonly atMs: Millis
  readonly durationMs: Millis
}

export interface SwitchReport {
  readonly kind: SwitchKind
  readonly group: string
  readonly result: SwitchResult
  /** Why it did not succeed; undefined when it did. */
  readonly reason: string | undefined
  /** What made it start: `operator`, or the diagnosis. */
  readonly cause: 'operator' | DiagnosisName
  readonly from: string | undefined
  readonly to: string | undefined
  readonly masterEpoch: number
  readonly startedAt: UnixMillis
  readonly durationMs: Millis
  /** How long clients' writes waited: held ones in a planned switch, from the first sign to the new view in a failover. */
  readonly stallMs: Millis
  readonly heldCommands: number
  /** The last byte of the old master, as far as anybody could ask it. */
  readonly finalOffset: Offset | undefined
  /** The first byte the new history does not share with the old. */
  readonly promotedOffset: Offset | undefined
  /** The name of the history that the new master began. */
  readonly replid: string | undefined
  /** How far the candidate was behind when it was chosen. */
  readonly lagBytes: number | undefined
  /** How much of the old master's stream only the witness had, and gave it; undefined when none was needed. */
  readonly witnessBytes: number | undefined
  /** Writes that it was given by a client instead; undefined when it needed none. */
  readonly replayedWrites: number | undefined
  /** Who could not be asked and may have confirmed writes that the new master lacks: an operator forced it. */
  readonly unread: readonly string[] | undefined
  /** Resyncs the new master served because of the switch; undefined when it could not be asked. */
  readonly fullResyncs: number | undefined
  readonly partialResyncs: number | undefined
  readonly steps: readonly SwitchStep[]
  /** Of a dry run: what it is founded on. */
  readonly forecast?: Forecast | undefined
}

export interface Forecast {
  readonly because: Selection['because']
  readonly passedOver: readonly { readonly id: string; readonly reason: CandidateRefusal | Outranked }[]
  readonly lagMs: Millis | undefined
  /** What the last planned switch took; undefined before the first. */
  readonly expectedStallMs: Millis | undefined
  /** No write waits longer: a switch that needs more is rolled back. */
  readonly stallMaxMs: Millis
}

/** What a promoted instance says about itself. */
export interface Promotion {
  readonly lineage: Lineage
  readonly runId: string | undefined
  readonly offset: Offset
}

// ── Anti-flapping ───────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Silence is weak evidence, so a second silence-based failover has to wait: at first `windowMs`, then twice as long with
 * each that follows on its heels. A dead process is never held back.
 */
export interface AntiFlap {
  readonly lastAt: Millis | undefined
  readonly windowMs: Millis
}

export interface AntiFlapOptions {
  readonly windowMs: Millis
  readonly windowMsMax: Millis
}

export const antiFlapDefaults: AntiFlapOptions = { windowMs: 60_000, windowMsMax: 3_600_000 }

export function calm(options: AntiFlapOptions): AntiFlap {
  return { lastAt: undefined, windowMs: options.windowMs }
}

/** For how long a failover on this evidence has to wait; 0 when it may begin. */
export function heldBackMs(antiFlap: AntiFlap, evidence: Diagnosis['evidence'], now: Millis): Millis {
  if (evidence !== 'silence' || antiFlap.lastAt === undefined) return 0
  return Math.max(0, antiFlap.lastAt + antiFlap.windowMs - now)
}

export function recordFailover(
  antiFlap: AntiFlap,
  evidence: Diagnosis['evidence'],
  options: AntiFlapOptions,
  now: Millis,
): AntiFlap {
  if (evidence !== 'silence') return antiFlap
  const onItsHeels = antiFlap.lastAt !== undefined && now - antiFlap.lastAt < 2 * antiFlap.windowMs
  const windowMs = onItsHeels ? Math.min(antiFlap.windowMs * 2, options.windowMsMax) : options.windowMs
  return { lastAt: now, windowMs }
}
