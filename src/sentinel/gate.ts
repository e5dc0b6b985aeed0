/**
 * The one thing that the agent asks of the data plane.
 */
import type { HoldReport, HoldRequest, ReleaseReport } from '../topology/planes.js'

/** Holds and releases the writes of a group in all workers at once. */
export interface WriteGate {
  hold(request: HoldRequest): Promise<HoldReport>
  release(group: string): Promise<ReleaseReport>
}
