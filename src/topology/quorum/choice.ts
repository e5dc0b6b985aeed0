/**
 * Which replica is promoted. Sentinel puts priority before data; we put data first, and let priority break ties:
 * acknowledged writes are worth more than a preference. Priority 0 still means never, and so does another group's data.
 */
import type { Millis } from '../../base/units.js'
import type { Council } from './council.js'
import { isForeign } from './lineage.js'
import type { MasterWatch, ReplicaWatch } from './watched.js'

export function chooseReplica(council: Council, master: MasterWatch, now: Millis): ReplicaWatch | undefined {
  const fit = [...master.replicas.values()].filter(
    replica => isFit(council, replica, now) && !isForeign(council, replica),
  )
  return ofOneLineage(fit, master).sort(compare)[0]
}

function isFit({ timing }: Council, replica: ReplicaWatch, now: Millis): boolean {
  const { master, link } = replica
  const freshMs = master.sdown ? 5 * timing['ping-period'] : 3 * timing['info-period']
  // Since the master was last heard of: in tilt its silence goes on for long before it is called down.
  const silentSince = Math.min(master.sdownAt, master.link.goodAt)
  const linkDownMsMax = (master.sdown ? now - silentSince : 0) + 10 * master.downAfterMs
  return (
    !replica.sdown &&
    link.whole &&
    now - link.goodAt <= 5 * timing['ping-period'] &&
    replica.priority !== 0 &&
    now - replica.infoAt <= freshMs &&
    replica.linkDownMs <= linkDownMsMax
  )
}

/** Offsets of different histories cannot be compared. The master's own, if anybody has it; or that of the most. */
function ofOneLineage(replicas: readonly ReplicaWatch[], master: MasterWatch): ReplicaWatch[] {
  const shared = replicas.filter(({ replid, replid2 }) => {
    return master.replid !== undefined && (replid === master.replid || replid2 === master.replid)
  })
  if (shared.length > 0) return shared
  const counts = new Map<string | undefined, number>()
  for (const { replid } of replicas) counts.set(replid, (counts.get(replid) ?? 0) + 1)
  const most = Math.max(0, ...counts.values())
  return replicas.filter(({ replid }) => counts.get(replid) === most)
}

/** Best first: more data, then the lower priority, then the smaller run id; one without a run id is last. */
function compare(one: ReplicaWatch, other: ReplicaWatch): number {
  if (one.offset !== other.offset) return other.offset - one.offset
  if (one.priority !== other.priority) return one.priority - other.priority
  if (one.runId === other.runId) return 0
  if (one.runId === undefined) return 1
  if (other.runId === undefined) return -1
  return one.runId < other.runId ? -1 : 1
}
