/**
 * From facts to the view that the data plane reads. A view is replaced only when something in it changed, and then its
 * epoch grows; so "same object" means "nothing to do" for everybody behind it.
 */
import type { Millis } from '../base/units.js'
import type { InstanceFacts } from './facts.js'
import { declaredMaster, type Group, isMember, isUp, type JudgeOptions, othersOf } from './group.js'
import { kinship, sameLineage } from './lineage.js'
import type { Exclusion, GroupView, InstanceView, TopologyView } from './view.js'

export function makeView(
  previous: TopologyView,
  groups: readonly Group[],
  options: JudgeOptions,
  now: Millis,
): TopologyView {
  const next = groups.map(group => viewGroup(group, options, now))
  const same = next.length === previous.groups.length && next.every((group, i) => sameGroup(group, previous.groups[i]))
  return same ? previous : { epoch: previous.epoch + 1, groups: next }
}

function viewGroup(group: Group, options: JudgeOptions, now: Millis): GroupView {
  const master = declaredMaster(group)
  const believed = master !== undefined && isServingMaster(master, group, options, now)
  const others = othersOf(group).filter(isMember)
  // A declared master that is down, given up or demoted is shown among the others: it exists, but gets nothing.
  const shown = master === undefined || believed ? others : [master, ...others]
  return {
    name: group.name,
    masterEpoch: group.masterEpoch,
    master: believed ? viewInstance(master, undefined) : undefined,
    replicas: shown.map(instance => viewInstance(instance, excludedBecause(instance, group, options, now))),
    lineage: group.lineage,
  }
}

/** Suspicion alone does not take it away: writes go on until there is evidence. */
function isServingMaster(master: InstanceFacts, group: Group, options: JudgeOptions, now: Millis): boolean {
  return (
    !group.disowned && master.role === 'master' && master.runId === group.declaredRunId && isUp(master, options, now)
  )
}

export function excludedBecause(
  instance: InstanceFacts,
  group: Group,
  options: JudgeOptions,
  now: Millis,
): Exclusion | undefined {
  if (!isUp(instance, options, now)) return 'down'
  if (instance.drained) return 'drain'
  if (instance.denied) return 'denied'
  if (instance.loading) return 'loading'
  if (instance.role === 'unknown' || instance.infoAt === undefined) return 'unknown-role'
  if (group.lineage !== undefined) {
    const kin = kinship(instance, group.lineage, group.past)
    if (instance.master?.up === true && kin !== 'same' && kin !== 'ancestor') return 'foreign-history'
    if (instance.role === 'master') return 'foreign-history'
  }
  if (instance.role === 'master') return 'unknown-role'
  return instance.master?.up === true && !instance.master.syncing ? undefined : 'link-down'
}

function viewInstance(instance: InstanceFacts, excluded: Exclusion | undefined): InstanceView {
  const { id, address, runId, role, zone } = instance
  return { id, host: address.host, port: address.port, runId, role, zone, excluded }
}

function sameGroup(a: GroupView, b: GroupView | undefined): boolean {
  return (
    b !== undefined &&
    a.name === b.name &&
    a.masterEpoch === b.masterEpoch &&
    sameInstance(a.master, b.master) &&
    a.replicas.length === b.replicas.length &&
    a.replicas.every((replica, index) => sameInstance(replica, b.replicas[index])) &&
    sameLineage(a.lineage, b.lineage)
  )
}

function sameInstance(a: InstanceView | undefined, b: InstanceView | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.id === b.id && a.runId === b.runId && a.role === b.role && a.zone === b.zone && a.excluded === b.excluded
}
