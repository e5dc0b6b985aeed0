/**
 * Histories, and who shares them.
 *
 * A history is named by a replid. At a promotion the new master starts a new one and remembers the old as replid2,
 * shared up to (not including) `secondOffset`:
 *
 *     A ────────────────┬─ 500 ──────▶ B            master now: replid B, replid2 A, secondOffset 500
 *                       └─ 500 ─ 520  (old master)  still A, at 520: 20 bytes that B never had
 *
 * Offsets are comparable only within one line. Membership goes by these names and by run ids, never by comparing
 * addresses: a replica may know its master by another address (NAT, containers, a relay).
 */
import type { Offset } from '../base/units.js'
import type { InstanceFacts } from './facts.js'
import type { Lineage } from './view.js'

export type Kinship =
  | 'same' // follows the group's history
  | 'ancestor' // still on the history before the last promotion, and not past the fork: it can continue
  | 'diverged' // on the history before, past the fork: it has bytes that the group does not have
  | 'descendant' // it was promoted from the group's history by somebody else
  | 'past' // a history the group lived through long ago
  | 'unsynced' // has no history to speak of: it never finished a sync, or is empty
  | 'foreign' // somebody else's data

export interface History {
  readonly replid: string | undefined
  readonly replid2: string | undefined
  readonly secondOffset: Offset
  readonly offset: Offset | undefined
}

/** `past`: replids the group had before `lineage.replid2`, newest first. */
export function kinship(history: History, lineage: Lineage, past: readonly string[] = []): Kinship {
  const { replid, replid2, offset } = history
  if (replid === undefined || offset === undefined) return 'unsynced'
  if (replid === lineage.replid) return 'same'
  if (replid2 === lineage.replid) return 'descendant'
  if (replid === lineage.replid2) return offset < lineage.secondOffset ? 'ancestor' : 'diverged'
  if (past.includes(replid) || (replid2 !== undefined && (replid2 === lineage.replid2 || past.includes(replid2)))) {
    return 'past'
  }
  return offset === 0 ? 'unsynced' : 'foreign'
}

/** The lineage a master stands for; undefined before its first INFO. */
export function lineageOf(master: Pick<InstanceFacts, 'replid' | 'replid2' | 'secondOffset'>): Lineage | undefined {
  const { replid, replid2, secondOffset } = master
  return replid === undefined ? undefined : { replid, replid2, secondOffset }
}

export function sameLineage(a: Lineage | undefined, b: Lineage | undefined): boolean {
  return a?.replid === b?.replid && a?.replid2 === b?.replid2 && a?.secondOffset === b?.secondOffset
}

/** Enough for a group that fails over daily for two weeks; older histories count as foreign. */
const PAST_LIMIT = 16

/** The names that `before` had and `after` does not name any more, in front of those that were past already. */
export function addToPast(past: readonly string[], before: Lineage | undefined, after: Lineage): readonly string[] {
  const names = [before?.replid, before?.replid2, ...past]
  const kept = names.filter(
    (name): name is string => name !== undefined && name !== after.replid && name !== after.replid2,
  )
  return [...new Set(kept)].slice(0, PAST_LIMIT)
}

/** A linked replica of this history follows the master, by whatever address and through whatever relay. */
export function follows(instance: InstanceFacts, lineage: Lineage | undefined): boolean {
  return (
    lineage !== undefined &&
    instance.role === 'replica' &&
    instance.master?.up === true &&
    (instance.replid === lineage.replid || instance.replid === lineage.replid2)
  )
}
