/**
 * What the two planes say to each other besides the TopologyView. The control plane lives in the supervisor, the data
 * plane in the workers; between them is the control socket, so everything here is plain data and answers come later.
 */

import type { EventFields, EventLevel } from '../base/bus.js'
import type { Millis } from '../base/units.js'
import type { MetricSnapshot } from '../metrics/store.js'
import type { Pace } from './pace.js'
import type { PauseRequest } from './pauses.js'
import type { FreshnessSample, FreshnessUpdate, TopologyView } from './view.js'

/** Stop sending writes of a group to its master, and say when nothing is in flight there any more. */
export interface HoldRequest {
  readonly group: string
  /** The hold ends by itself after this time: nobody is stuck because a supervisor died. */
  readonly timeoutMs: Millis
}

export interface HoldReport {
  /** Whether everything that had been sent to the master was answered; false when that took longer than the hold. */
  readonly drained: boolean
  readonly inFlight: number
}

export interface ReleaseReport {
  readonly heldCommands: number
  /** The longest time a command waited: the stall that clients saw. */
  readonly stallMs: Millis
}

/** What the control plane asks of one worker; a supervisor asks all of them at once. */
export interface DataPlane {
  setView(view: TopologyView): void
  setFreshness(update: FreshnessUpdate): void
  hold(request: HoldRequest): Promise<HoldReport>
  /** Writes that were held go to the master of the current view. */
  release(group: string): Promise<ReleaseReport>
  metrics(): Promise<MetricSnapshot>
  /** CLIENT PAUSE, asked of another worker; true when everything that had been sent to the master is answered. */
  keepPause(request: PauseRequest): Promise<boolean>
  endPause(): void
}

/** What a worker tells the control plane, unasked. */
export interface ControlPlane {
  /** An offset that the worker's own sampling found on the master. At most one per turn. */
  sample(group: string, sample: FreshnessSample): void
  /**
   * Evidence from the data path: a connection to the instance died (`reset`), could not be opened (`refused`), or the
   * instance answered as another role than the view says (`not-master`). The observer looks at once.
   */
  suspect(instanceId: string, evidence: 'reset' | 'refused' | 'not-master'): void
  event(level: EventLevel, name: string, fields: EventFields): void
  /** How often it wants to be told what is fresh, when that changes; quick before it has said so. */
  readonly pace?: (pace: Pace) => void
  /** A client has asked for a pause: the other workers keep it, too. True when all of them do, and have nothing in flight. */
  pause?(request: PauseRequest): Promise<boolean>
  unpause?(): void
}
