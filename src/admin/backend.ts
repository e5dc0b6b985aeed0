/**
 * What the admin API asks of the rest: the composition root provides it. Refusals that are expected are values with a
 * reason; an exception is a fault of ours and becomes a 500.
 */
import type { MetricsFormat } from '../metrics/render.js'
import type { EventFeed } from './feed.js'
import type {
  Condition,
  ConfigDescription,
  ExplainRequest,
  Explanation,
  FailoverRequest,
  HistoryEntry,
  HotKeys,
  OptionList,
  ReloadReport,
  RuleList,
  SessionList,
  SlowLog,
  SwitchAnswer,
  SwitchoverRequest,
  TopologyDescription,
  Traffic,
} from './model.js'
import type { ApplyRefusal, ApplyReport, ApplyRequest, RescueDetail, RescueEntry } from './rescue-model.js'

export interface AdminBackend {
  /** Whether the control loop runs: when not, the process should be restarted. */
  health(): Condition
  /** Whether a master is writable (and, in `up`, every node linked). */
  ready(): Condition
  topology(): TopologyDescription
  /** The text of /metrics; in the OpenMetrics format with exemplars when asked for. */
  metrics(format: MetricsFormat): Promise<string>
  switchover(request: SwitchoverRequest): Promise<SwitchResult>
  failover(request: FailoverRequest): Promise<SwitchResult>
  /** No failover by itself, or again. False: it was so already. */
  pause(paused: boolean): boolean
  /** Somebody has looked at the last failover. */
  acknowledge(): void
  /** Writes that only an old master had, newest first. */
  rescues(): readonly RescueEntry[]
  rescue(id: string): RescueDetail | undefined
  applyRescue(id: string, request: ApplyRequest): Promise<ApplyReport | ApplyRefusal>
  /** Takes an instance out of reading, or back. False: there is no such instance. */
  drain(id: string, drained: boolean): boolean
  /** Changes of master, newest first. */
  history(): readonly HistoryEntry[]
  /** The effective configuration, secrets masked. */
  config(): ConfigDescription
  options(): OptionList
  rules(): RuleList
  /** As SIGHUP does. */
  reload(): ReloadReport | { readonly errors: readonly string[] }
  /** Replaces the workers; answers why it was not done, in one sentence. */
  restartWorkers(): Promise<string | undefined>
  readonly events: EventFeed

  // What the workers know. Those that do not answer in time are left out.
  sessions(limit: number): Promise<SessionList>
  /** False: there is no such session. */
  killSession(id: string): Promise<boolean>
  traffic(): Promise<Traffic>
  slowlog(limit: number): Promise<SlowLog>
  resetSlowlog(): Promise<void>
  keys(limit: number): Promise<HotKeys>
  /** undefined: no worker could be asked. */
  explain(request: ExplainRequest): Promise<Explanation | undefined>
}

export type SwitchResult = SwitchAnswer | Refused

export interface Refused {
  readonly kind: 'refused'
  readonly refusal: Refusal
  /** The literal of whoever decided: `lagging`, `link-down`, `promotion-timeout`. */
  readonly reason: string
  /** One sentence for a person. */
  readonly detail: string
  readonly passedOver?: readonly { readonly id: string; readonly reason: string }[]
}

/** The kinds of refusal, each with its own status. */
export type Refusal =
  | 'unknown-node' // there is no such instance
  | 'candidate-unfit' // there is, but it cannot become master as it is
  | 'no-candidate' // nobody can
  | 'in-progress' // another change of master runs
  | 'not-permitted' // not in this state or with this configuration
  | 'rolled-back' // tried, and everything is as it was
  | 'failed' // tried, and it is not known to be as it was

export const statusOfRefusal: Readonly<Record<Refusal, number>> = {
  'unknown-node': 404,
  'candidate-unfit': 422,
  'no-candidate': 422,
  'in-progress': 409,
  'not-permitted': 409,
  'rolled-back': 503,
  failed: 503,
}
