/**
 * Whose data is it? An address that was ours may be another group's tomorrow: a machine is given back, its address is given
 * to somebody else, and there stands a replica again, of another master. Promoted, it would hand one group's data to the
 * clients of another; sent SLAVEOF, it would lose its own. What tells them apart is not the address:
 *
 *     has a history of our master (replid, replid2)                    ours, whomever it follows at the moment
 *     follows our master                                               ours, though it has nothing yet
 *     follows another one, and reaches it, with another history        foreign
 *     the same, but its master is away: has this run id been ours?     ours, or foreign
 *
 * A process that says it is a master, with a history that nobody knows, may be our old master come back without its data.
 * It is never promoted either; the repair of such ones is Sentinel's own, in reports.ts.
 */
import type { Council } from './council.js'
import { currentPlace, type MasterWatch, promotedOf, type ReplicaWatch, type ServerWatch } from './watched.js'

/** A master has a new history with each life and each promotion; older ones than these nobody has any more. */
const HISTORIES_MAX = 16

/** After an INFO was taken: what it says of histories. */
export function noteLineage(council: Council, server: ServerWatch): void {
  if (server.role === 'master' && (server.kind === 'master' || promotedOf(server.master) === server)) {
    const master = server.kind === 'master' ? server : server.master
    remember(master, server.replid2)
    remember(master, server.replid)
  }
  if (server.kind === 'slave' && belongs(council, server)) server.oursAs = server.runId
}

function remember({ histories }: MasterWatch, replid: string | undefined): void {
  if (replid === undefined) return
  // The latest is last.
  histories.delete(replid)
  histories.add(replid)
  const [oldest] = histories
  if (histories.size > HISTORIES_MAX && oldest !== undefined) histories.delete(oldest)
}

/** Another group's, as far as can be told. Who has not been heard of yet is not. */
export function isForeign(council: Council, replica: ReplicaWatch): boolean {
  const { master, replid, runId } = replica
  if (replid === undefined || belongs(council, replica)) return false
  if (replica.role === 'slave' && replica.linkUp) return true
  // Of a master that we never heard of we know no history.
  return master.histories.size > 0 && (runId === undefined || replica.oursAs !== runId)
}

function belongs(council: Council, replica: ReplicaWatch): boolean {
  return hasHistoryOf(replica, replica.master) || followsMaster(council, replica)
}

function hasHistoryOf({ replid, replid2 }: ReplicaWatch, { histories }: MasterWatch): boolean {
  return (replid !== undefined && histories.has(replid)) || (replid2 !== undefined && histories.has(replid2))
}

function followsMaster(council: Council, { role, master, masterHost, masterPort }: ReplicaWatch): boolean {
  if (role !== 'slave' || masterHost === undefined) return false
  const places = [master.place, currentPlace(master)]
  return places.some(place => place.port === masterPort && council.isHost(place, masterHost))
}
