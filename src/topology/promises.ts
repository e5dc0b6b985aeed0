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
 * has got a history that we cannot place (it follows a master that came back where we cannot reach it) may have all that it
 * had: it stays on the roll, and is as good as dead.
 */
import type { Millis, Offset } from '../base/units.js'
import { deathOf } from './detector.js'
import type { InstanceFacts } from './facts.js'
import { declaredMaster, type Group } from './group.js'
import { kinship } from './lineage.js'

export interface Promises {
  /** The fewest replicas that any write waits for; undefined: none waits for replicas. */
  readonly replicas: number | undefined
  /** Some wait for the witness. */
  readonly witness: boolean
}

export const noPromises: Promises = { replicas: undefined, witness: false }

/** Who belonged to the master, since it was declared. */
export interface Roll {
  readonly masterEpoch: number
  readonly kin: ReadonlySet<string>
  /** The dead and the strangers among them. */
  readonly absent: ReadonlyMap<string, Absence>
}

export interface Absence {
  readonly since: Millis
  /** Where the master's stream was, at some time after; undefined until it was seen. */
  readonly offset: Offset | undefined
}

export const emptyRoll: Roll = { masterEpoch: 0, kin: new Set(), absent: new Map() }

/** To be called now and then while the master lives. Silence is no absence: who is silent to us may confirm to others. */
export function callRoll(roll: Roll, group: Group): Roll {
  const master = declaredMaster(group)
  const { masterEpoch } = group
  const before = roll.masterEpoch === masterEpoch ? roll : emptyRoll
  const absent = new Map<string, Absence>()
  const replicas = replicasOf(group, before)
  for (const replica of replicas) {
    const { id, roleSince } = replica
    const deadSince = deathOf(replica.liveness)
    if (deadSince === undefined && !isStranger(replica, group)) continue
    const since = deadSince ?? Math.max(roleSince, replica.master?.since ?? 0)
    const seenLater = master?.role === 'master' && master.offsetAt > since ? master.offset : undefined
    const known = before.absent.get(id)
    absent.set(id, { since, offset: (known?.since === since ? known.offset : undefined) ?? seenLater })
  }
  return { masterEpoch, kin: new Set(replicas.map(({ id }) => id)), absent }
}

/** Who may have confirmed writes that the candidate lacks, and cannot be asked. */
export function unreadOf(group: Group, candidate: InstanceFacts, roll: Roll, since: Millis): readonly string[] {
  const has = sharedOffset(candidate, group)
  return replicasOf(group, roll)
    .filter(replica => {
      if (replica.id === candidate.id) return false
      // One that has come back as something else is read when it has said what it is now.
      const isRead = replica.infoAt !== undefined && replica.infoAt >= Math.max(since, replica.roleSince)
      const { offset, since: goneAt = 0 } = roll.absent.get(replica.id) ?? {}
      const isGone = offset !== undefined && offset <= has
      // A silent one may have come back to the master since it was seen with another history.
      if (isStranger(replica, group)) return !(isGone && (isRead || deathOf(replica.liveness) !== undefined))
      // One that came back since the roll was called may have followed, and confirmed.
      const isStillGone = isGone && (replica.liveness.heardAt ?? 0) <= goneAt
      return !isStillGone && (!isRead || sharedOffset(replica, group) > has)
    })
    .map(({ id }) => id)
}

/** R + W > N. */
export function honours({ replicas }: Promises, unread: readonly string[]): boolean {
  return replicas === undefined || unread.length < replicas
}

/** Everybody who may have been one of those W: kin of the group, now or since the master was declared, the old one excepted. */
function replicasOf(group: Group, roll: Roll): readonly InstanceFacts[] {
  const { lineage } = group
  if (lineage === undefined) return []
  const known = roll.masterEpoch === group.masterEpoch ? roll.kin : emptyRoll.kin
  return group.instances.filter(instance => {
    if (instance.id === group.declared) return false
    const kin = kinship(instance, lineage, group.past)
    return known.has(instance.id) || (kin !== 'foreign' && kin !== 'unsynced')
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
