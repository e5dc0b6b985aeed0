/**
 * One group as the control plane knows it: facts of its instances, and which of them it believes to be the master.
 */
import type { Address } from '../base/address.js'
import { formatAddress } from '../base/address.js'
import type { Millis } from '../base/units.js'
import { type Health, judge } from './detector.js'
import type { InstanceFacts } from './facts.js'
import { kinship } from './lineage.js'
import type { Lineage } from './view.js'

export interface Group {
  readonly name: string
  /** The id of the instance we believe in; undefined before the first. Stays while that instance is down. */
  readonly declared: string | undefined
  /** The run id it had when it was declared: another one is another process. */
  readonly declaredRunId: string | undefined
  /** Grows with every declaration. */
  readonly masterEpoch: number
  readonly lineage: Lineage | undefined
  readonly past: readonly string[]
  /** A failover has given the declared master up: it gets no traffic although nobody has replaced it yet. */
  readonly disowned: boolean
  readonly instances: readonly InstanceFacts[]
  /** Other addresses of instances we know, proven by their run id: address → id. */
  readonly aliases: ReadonlyMap<string, string>
}

export interface JudgeOptions {
  readonly downAfterMs: Millis
  /** How long one byte from the master speaks for it after we lost it. */
  readonly vetoMs: Millis
  /** A linked replica that is behind and has not moved for this long is stalled. */
  readonly stalledAfterMs: Millis
  /**
   * How long a link that stands speaks for a master that is dead to us, though nothing comes: longer than a living one is
   * silent to its replicas (`repl-ping-replica-period` is 10 s). Relays keep links open whose master is gone.
   */
  readonly linkedAfterDeathMs: Millis
}

export const judgeDefaults: JudgeOptions = {
  downAfterMs: 1000,
  vetoMs: 3000,
  stalledAfterMs: 5000,
  linkedAfterDeathMs: 11_000,
}

export function emptyGroup(name: string): Group {
  return {
    name,
    declared: undefined,
    declaredRunId: undefined,
    masterEpoch: 0,
    lineage: undefined,
    past: [],
    disowned: false,
    instances: [],
    aliases: new Map(),
  }
}

export function declaredMaster(group: Group): InstanceFacts | undefined {
  return group.instances.find(instance => instance.id === group.declared)
}

export function othersOf(group: Group): readonly InstanceFacts[] {
  return group.instances.filter(instance => instance.id !== group.declared)
}

/** Named by an operator, or found and heard: not a mere address that somebody mentioned. */
export function isMember(instance: InstanceFacts): boolean {
  return instance.seed || instance.role !== 'unknown'
}

export function healthOf(instance: InstanceFacts, options: JudgeOptions, now: Millis): Health {
  return judge(instance.liveness, options, now)
}

export function isUp(instance: InstanceFacts, options: JudgeOptions, now: Millis): boolean {
  const { health } = healthOf(instance, options, now)
  return health === 'up' || health === 'suspect'
}

/** The instance at an address as some instance names it; undefined for addresses we do not reach anybody at. */
export function instanceAt(group: Group, address: Address): InstanceFacts | undefined {
  const name = formatAddress(address)
  const id = group.aliases.get(name) ?? name
  const found = group.instances.find(instance => instance.id === id)
  // One of those we have only heard of may be another name of anybody.
  return found?.seed === false && found.infoAt === undefined && found.id !== group.declared ? undefined : found
}

/**
 * Replicas whose link says something about the declared master: those that point to it, or to an address we do not know
 * (a relay, perhaps) while on its history, or to somebody who is down as well. One that is itself under suspicion is
 * among them with its last word: it may still speak for the master.
 */
export function witnessesOf(group: Group, options: JudgeOptions, now: Millis): readonly InstanceFacts[] {
  return othersOf(group).filter(instance => {
    if (instance.role !== 'replica' || instance.master === undefined) return false
    if (!isUp(instance, options, now)) return false
    const at = instanceAt(group, instance.master.address)
    // The history a replica names may be a second old; where it points to is not.
    if (at?.id === group.declared) return true
    if (at !== undefined && isUp(at, options, now)) return false
    if (group.lineage === undefined) return true
    const kin = kinship(instance, group.lineage, group.past)
    return kin !== 'foreign' && kin !== 'unsynced'
  })
}
