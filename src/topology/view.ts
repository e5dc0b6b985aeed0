/**
 * Where the planes meet. The control plane replaces a TopologyView whole; the data plane reads it and never changes it.
 * What moves a thousand times a second, offsets, travels beside it as FreshnessUpdates.
 *
 * Everything here is plain data: it crosses the control socket as JSON.
 */
import type { Millis, Offset } from '../base/units.js'

/** `unknown` until the first ROLE answer. */
export type Role = 'master' | 'replica' | 'unknown'

/** Why an instance serves no reads at all, whatever their level; undefined when it does. */
export const exclusions = [
  'down', // no valid answer to our probes
  'link-down', // a replica that is not connected to its master: it would answer with old data
  'loading',
  'foreign-history', // its replid does not belong to this group's lineage
  'unknown-role',
  'denied', // it refuses our credentials
  'drain', // an operator asked for it
] as const

export type Exclusion = (typeof exclusions)[number]

export interface InstanceView {
  /** `host:port` as we reach it; its name in logs, labels and the admin API. */
  readonly id: string
  readonly host: string
  readonly port: number
  readonly runId: string | undefined
  readonly role: Role
  /** The zone an operator gave it, for locality; undefined without zones. */
  readonly zone: string | undefined
  readonly excluded: Exclusion | undefined
}

/** Histories this group has lived through: offsets below `until` of `parent` are also offsets of `replid`. */
export interface Lineage {
  readonly replid: string
  /** The history inherited at the last promotion, shared up to (not including) `secondOffset`. */
  readonly replid2: string | undefined
  readonly secondOffset: Offset
}

export interface GroupView {
  readonly name: string
  /** Grows with every change of master of this group. Data-plane connections of another epoch's master are closed. */
  readonly masterEpoch: number
  /** undefined while there is none that we believe in: writes are held, then refused. */
  readonly master: InstanceView | undefined
  readonly replicas: readonly InstanceView[]
  readonly lineage: Lineage | undefined
}

/** What the control plane publishes and the data plane reads: never mutated, only replaced. */
export interface TopologyView {
  /** Grows with every change of any kind. */
  readonly epoch: number
  /** One today; shards later. */
  readonly groups: readonly GroupView[]
}

/** One applied or head offset, seen at `at` on the clock of the process that sends it. */
export interface FreshnessSample {
  readonly id: string
  readonly replid: string
  /** What the instance has applied (a replica) or produced (the master). */
  readonly offset: Offset
  /** The process that was asked: what one has applied says nothing about the next one at its address. */
  readonly runId?: string | undefined
}

/** At most one per worker and millisecond. `lagMs` is per replica: an upper bound known now, or undefined when unknown. */
export interface FreshnessUpdate {
  readonly samples: readonly FreshnessSample[]
  readonly lagMs: readonly (readonly [id: string, lagMs: Millis])[]
  /** How long ago this was true, when it was on its way for a while: bounds grow by it. */
  readonly ageMs?: Millis
  /** What the witness has of which history, and whether it reads on. Only where writes wait for it. */
  readonly witness?: { readonly replid: string; readonly offset: Offset; readonly reading: boolean }
}

export const emptyView: TopologyView = { epoch: 0, groups: [] }
