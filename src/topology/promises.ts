/**
 * What was promised to writes that waited to be confirmed, and who may be promoted without breaking it.
 *
 * Of N replicas, W have each such write. Who has been read and has no more than the candidate cannot have one that the
 * candidate lacks; so when fewer than W could not be read, one of those who have the write was: R + W > N.
 *
 *     acks: 1 of 3    candidate read, one more read, one silent      1 < 1 is false: the silent one may be the only one
 *     acks: 2 of 3    the same                                       1 < 2: one of the two others has it as well
 *
 * Whoever died is no danger once the master's stream that the candidate has is longer than it was when that happened. One that
 * died and came back with a history that we cannot place (it followed a master that we could not reach) is as good as dead.
 */
import type { Millis, Offset } from '../base/units.js'
import type { InstanceFacts } from './facts.js'
import { declaredMaster, type Group, healthOf, type JudgeOptions } from './group.js'
import { kinship } from './lineage.js'

export interface Promises {
  /** The fewest replicas that any write waits for; undefined: none waits for replicas. */
  readonly replicas: number | undefined
  /** Some wait for the witness. */
  readonly witness: boolean
}

export const noPromises: Promises = { replicas: undefined, witness: false }

/** Replicas that are dead, or came back as strangers: where the master's stream was, at some time after; undefined until it was seen. */
export type Absent = ReadonlyMap<string, Offset | undefined>

/** To be asked now and then while the master lives. Silence is no death: who is silent to us may confirm to others. */
export function noteAbsent(absent: Absent, group: Group, options: JudgeOptions, now: Millis): Absent {
  const master = declaredMaster(group)
  const next = new Map<string, Offset | undefined>()
  for (const replica of replicasOf(group, absent)) {
    const { id, roleSince } = replica
    const health = healthOf({ liveness: replica.liveness } as InstanceFacts, options, now)
    const isDead = health.health === 'down' && health.because === 'dead'
    if (!isDead && !isStranger(replica, group)) continue
    const since = isDead ? health.since : roleSince
    const seenLater = master?.role === 'master' && master.offsetAt > since ? master.offset : undefined
    next.set(id, absent.get(id) ?? seenLater)
  }
  return next
}

/** Who may have confirmed writes that the candidate lacks, and cannot be asked. */
export function unreadOf(group: Group, candidate: InstanceFacts, absent: Absent, since: Millis): readonly string[] {
  const has = sharedOffset(candidate, group)
  return replicasOf(group, absent)
    .filter(replica => {
      if (replica.id === candidate.id) return false
      const gone = absent.get(replica.id)
      if (gone !== undefined && gone <= has) return false
      if (isStranger(replica, group)) return true
      // One that has come back as something else is read when it has said what it is now.
      const isRead = replica.infoAt !== undefined && replica.infoAt >= Math.max(since, replica.roleSince)
      return !isRead || sharedOffset(replica, group) > has
    })
    .map(({ id }) => id)
}

/** R + W > N. */
export function honours({ replicas }: Promises, unread: readonly string[]): boolean {
  return replicas === undefined || unread.length < replicas
}

/** Everybody who may have been one of those W: kin of the group, now or before they died, the old master excepted. */
function replicasOf(group: Group, absent: Absent): readonly InstanceFacts[] {
  const { lineage } = group
  if (lineage === undefined) return []
  return group.instances.filter(instance => {
    if (instance.id === group.declared) return false
    const kin = kinship(instance, lineage, group.past)
    return kin === 'foreign' ? absent.has(instance.id) : kin !== 'unsynced'
  })
}

/** Its data are of a history that we know nothing of. */
function isStranger(instance: InstanceFacts, { lineage, past }: Group): boolean {
  return lineage !== undefined && kinship(instance, lineage, past) === 'foreign'
}

/** How much of the group's history it has; for one whose own cannot be compared any more, all of it, to be safe. */
function sharedOffset(instance: InstanceFacts, { lineage, past }: Group): Offset {
  if (lineage === undefined) return instance.offset ?? -1
  const fork = lineage.secondOffset - 1
  switch (kinship(instance, lineage, past)) {
    case 'same':
    case 'ancestor':
      return instance.offset ?? -1
    case 'diverged':
      return fork
    // It left that history when it was promoted, or came back as a master.
    case 'descendant':
      return instance.secondOffset - 1
    case 'past':
      if (instance.replid2 === lineage.replid2) return Math.min(fork, instance.secondOffset - 1)
      return Number.POSITIVE_INFINITY
    default:
      return -1
  }
}
