/**
 * What supervisor and workers say over the control socket, by kind. Bodies are plain data.
 *
 *     worker ── hello ──▶ supervisor            who I am; again after every reconnect
 *     worker ◀─ configure, view, (hold) ──      what to serve; a new supervisor says the same to a worker it adopts
 *     worker ── ready ──▶                       clients are being accepted
 *     worker ◀─ view, freshness, beat           as they change; beat when nothing else was said
 *     worker ◀─ hold, release, metrics, reload, drain   questions
 *     worker ◀─ inspect                         questions of operators (inspect.ts)
 *     worker ◀─ pause, unpause ──▶ supervisor   CLIENT PAUSE: of the worker that was asked, for all others
 *     worker ── sample, suspect, event ──▶      evidence from the data path
 *     worker ── pace ──▶                        how often it wants to be told what is fresh; again after every reconnect
 */
import type { EventFields, EventLevel } from '../../base/bus.js'
import type { Millis } from '../../base/units.js'
import type { FreshnessSample, FreshnessUpdate } from '../../topology/view.js'
import type { WorkerOptions } from '../options.js'
import type { ListenerOptions } from '../worker.js'

export interface Hello {
  readonly index: number
  readonly pid: number
  /** Whether it accepts clients already: then it was running before this supervisor came. */
  readonly serving: boolean
}

/** What `configure` says. */
export interface WorkerSetup {
  readonly group: string
  readonly options: WorkerOptions
  /** In the order in which their sockets are handed over. */
  readonly listeners: readonly ListenerSetup[]
}

/** Its name is its label in metrics: the address. */
export type ListenerSetup = ListenerOptions

/** What `freshness` says. */
export interface FreshnessNotice {
  readonly update: FreshnessUpdate
  /** When it was sent, by the clock that all processes of the machine share. */
  readonly sentAt: Millis
}

/** A clock that processes of one machine can compare: what waits in a socket grows old meanwhile. */
export function machineNow(): Millis {
  return Number(process.hrtime.bigint()) / 1e6
}

export interface SampleNotice {
  readonly group: string
  readonly sample: FreshnessSample
}

export interface SuspectNotice {
  readonly id: string
  readonly evidence: 'reset' | 'refused' | 'not-master'
}

export interface EventNotice {
  readonly level: EventLevel
  readonly name: string
  readonly fields: EventFields
}

/** How often a supervisor says something even when there is nothing to say: workers export the age of its last word. */
export const BEAT_MS = 200

/** How long a worker waits before it tries the control socket again. */
export const RECONNECT_MS = 100

/** The environment of a worker: where its supervisor listens, and which worker it is. */
export const CONTROL_ENV = 'LAGRANGE_CONTROL_SOCKET'
export const INDEX_ENV = 'LAGRANGE_WORKER_INDEX'
