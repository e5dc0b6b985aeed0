/**
 * What to put right when no switch is running: an old master that came back, a replica that follows the wrong one.
 *
 * Repairs are stated as wishes; whoever acts on them paces them and may ask for a rescue of diverged writes first.
 * Instances with somebody else's data are never touched: an address may have been given to a stranger.
 */
import { formatAddress } from '../base/address.js'
import type { Millis } from '../base/units.js'
import type { InstanceFacts } from './facts.js'
import { declaredMaster, type Group, healthOf, instanceAt, isUp, type JudgeOptions, othersOf } from './group.js'
import { follows, kinship } from './lineage.js'

export interface Repair {
  readonly id: string
  readonly do: 'demote' | 'point'
  readonly because: 'returned-master' | 'empty-restart' | 'seed-restarted' | 'wrong-master'
}

export interface RepairOptions extends JudgeOptions {
  /** `host:port` where replicas were fed by our witness: nobody stays there. */
  readonly feeder?: string | undefined
  /** A replica on the wrong master is left alone this long: it may be on its way. */
  readonly graceMs: Millis
  /** Instances an operator named may be demoted although they have a history we do not know: all are nodes of this group. */
  readonly demoteRestartedSeeds: boolean
  /** Where that is not so: the ids of those that were seen on the group's history, and restarted with another. */
  readonly members?: ReadonlySet<string>
}

export function planRepairs(group: Group, options: RepairOptions, now: Millis): readonly Repair[] {
  const master = declaredMaster(group)
  if (master === undefined || group.disowned || master.role !== 'master') return []
  if (healthOf(master, options, now).health !== 'up') return []
  const repairs: Repair[] = []
  for (const instance of othersOf(group)) {
    if (!isUp(instance, options, now) || instance.loading || instance.denied || instance.infoAt === undefined) continue
    const repair =
      instance.role === 'master' ? demotion(instance, group, options) : redirection(instance, group, options, now)
    if (repair !== undefined) repairs.push(repair)
  }
  return repairs
}

function demotion(instance: InstanceFacts, group: Group, options: RepairOptions): Repair | undefined {
  // Its role is newer than its history: wait for the INFO that tells which one it is on.
  if (group.lineage === undefined || (instance.infoAt ?? 0) < instance.roleSince) return undefined
  const { id } = instance
  const kin = kinship(instance, group.lineage, group.past)
  if (kin !== 'foreign' && kin !== 'unsynced') return { id, do: 'demote', because: 'returned-master' }
  if (instance.keys === 0) return { id, do: 'demote', because: 'empty-restart' }
  return isOurs(instance, options) ? { id, do: 'demote', because: 'seed-restarted' } : undefined
}

/** A replica that follows our history is left where it is, whatever it calls its master. */
function redirection(instance: InstanceFacts, group: Group, options: RepairOptions, now: Millis): Repair | undefined {
  const { id, master } = instance
  if (instance.role === 'replica' && master !== undefined && formatAddress(master.address) === options.feeder) {
    return { id, do: 'point', because: 'wrong-master' }
  }
  if (instance.role !== 'replica' || master === undefined || follows(instance, group.lineage)) return undefined
  if (now - master.since < options.graceMs || now - instance.roleSince < options.graceMs) return undefined
  const at = instanceAt(group, master.address)
  // On its way to the right one, or to an address we cannot judge (a relay).
  if (at === undefined || at.id === group.declared) return undefined
  // The two are a group of their own, with data of their own.
  if (isStranger(at, group, options) && isStranger(instance, group, options)) return undefined
  // Chained behind a replica that is itself in order: that one's link is what needs time.
  if (!master.up && follows(at, group.lineage)) return undefined
  return { id: instance.id, do: 'point', because: 'wrong-master' }
}

/** It holds somebody else's data, and nothing allows us to take them from it. */
function isStranger(instance: InstanceFacts, group: Group, options: RepairOptions): boolean {
  if (group.lineage === undefined || instance.keys === 0) return false
  if (kinship(instance, group.lineage, group.past) !== 'foreign') return false
  return !isOurs(instance, options)
}

function isOurs({ id, seed }: InstanceFacts, options: RepairOptions): boolean {
  return seed && (options.demoteRestartedSeeds || options.members?.has(id) === true)
}

/** Who is on the group's history now. */
export function kinOf(group: Group): readonly string[] {
  const { lineage } = group
  if (lineage === undefined) return []
  const kin = othersOf(group).filter(instance => {
    const kind = kinship(instance, lineage, group.past)
    return kind !== 'foreign' && kind !== 'unsynced'
  })
  return [...kin.map(instance => instance.id), ...(group.declared === undefined ? [] : [group.declared])]
}
