/**
 * Who is down: for us (sdown), and for enough of us (odown).
 *
 * Sentinel's way is silence: no good answer for down-after, then the opinions of the others, asked once a second. We know
 * more. A process that is dead has its connections closed and new ones refused by the kernel of its machine, and its
 * replicas see their links break at the same moment. That is no opinion but evidence, and it is there within milliseconds:
 *
 *     refused twice  ∧  a replica that we can ask says its link is down  ∧  none says it is up   ⇒  the master is dead
 *
 * Evidence makes a master sdown at once. It makes it odown without waiting for the slower ones only where an election can be
 * won: a majority, and the quorum, must be reachable, and their votes are needed all the same.
 */
import type { Millis } from '../../base/units.js'
import type { Council } from './council.js'
import { isForeign } from './lineage.js'
import { RANK_MS, URGENT_MS } from './timing.js'
import { failing, isSettled, type MasterWatch, promotedOf, type ReplicaWatch, type Watched } from './watched.js'

/** A replica that can be asked but does not answer must not protect a dead master for longer than this. */
const WITNESS_WAIT_MS: Millis = 4 * URGENT_MS
const REFUSALS = 2

export function checkSubjective(council: Council, watched: Watched, now: Millis): void {
  const down = isSilent(watched, now) || (watched.kind === 'master' && isUnfit(council, watched, now))
  if (down === watched.sdown) return
  watched.sdown = down
  if (down) watched.sdownAt = now
  else if (watched.kind !== 'sentinel') watched.scriptKillSent = false
  council.event('warning', down ? '+sdown' : '-sdown', watched)
}

function isSilent({ link, downAfterMs }: Watched, now: Millis): boolean {
  if (link.pingWaitsSince !== undefined) return now - link.pingWaitsSince > downAfterMs
  return !link.whole && now - link.goodAt > downAfterMs
}

/**
 * What we tell other sentinels. Evidence they have themselves if they can use it, and redis-sentinel remembers what we said
 * for seconds: it would hold the death of the old master against a new one that was promoted meanwhile.
 */
export function isDownForOthers(council: Council, master: MasterWatch, now: Millis): boolean {
  // Once its successor is promoted, the master that we stand for is not down.
  if (!master.sdown || isSettled(master)) return false
  return isSilent(master, now) || isDisguised(council, master, now)
}

/** It answers, or answered a moment ago, and is not to be relied on. */
function isUnfit(council: Council, master: MasterWatch, now: Millis): boolean {
  return isDisguised(council, master, now) || isProvenDead(council, master, now)
}

/** A master that says it is a replica, or that was started again and does not get ready. */
function isDisguised(council: Council, master: MasterWatch, now: Millis): boolean {
  const disguisedMs = master.downAfterMs + 2 * council.timing['info-period']
  if (master.role === 'slave' && now - master.roleAt > disguisedMs) return true
  return master.rebootSeenAt !== undefined && now - master.rebootSeenAt > master.rebootDownAfterMs
}

export function isProvenDead(council: Council, master: MasterWatch, now: Millis): boolean {
  const { refusals, refusedAt } = master.link
  if (refusals < REFUSALS) return false
  // Its replicas follow another one by now, and witness nothing any more; it is as dead as before.
  if (promotedOf(master) !== undefined) return true
  const askable = [...master.replicas.values()].filter(replica => {
    return replica.link.whole && !replica.sdown && !isForeign(council, replica)
  })
  const witnesses = askable.filter(replica => replica.infoAt > refusedAt && follows(replica, master))
  if (witnesses.length === 0 || witnesses.some(replica => replica.linkUp)) return false
  return witnesses.length === askable.length || now - refusedAt > WITNESS_WAIT_MS
}

function follows(replica: ReplicaWatch, master: MasterWatch): boolean {
  return replica.role === 'slave' && replica.masterPort === master.place.port
}

export function checkObjective(council: Council, master: MasterWatch, now: Millis): void {
  const agreeing = master.sdown ? 1 + [...master.peers.values()].filter(peer => peer.saysDown).length : 0
  const byQuorum = master.sdown && agreeing >= master.quorum
  const odown = byQuorum || (master.sdown && isProvenDead(council, master, now) && canBeElected(master, now))
  if (odown === master.odown) return
  master.odown = odown
  if (!odown) return council.event('warning', '-odown', master)
  master.odownAt = now
  master.odownBy = byQuorum ? 'quorum' : 'evidence'
  master.standAt = now + rankOf(council, master, now) * RANK_MS
  council.event('warning', '+odown', master, `#quorum ${agreeing}/${master.quorum}`)
}

/** How many of those who could lead as fast as we can come before us. */
function rankOf({ myid }: Council, master: MasterWatch, now: Millis): number {
  return [...master.peers.values()].filter(peer => peer.seesEvidence && peer.name < myid && answers(peer, now)).length
}

/** Connected, and not waited for: a PING under way is none that goes unanswered. */
function answers({ link, sdown }: Watched, now: Millis): boolean {
  return link.whole && !sdown && (link.pingWaitsSince === undefined || now - link.pingWaitsSince < 2 * URGENT_MS)
}

/** Half of all sentinels ever seen, and one more. */
export function majorityOf(master: MasterWatch): number {
  return Math.floor((master.peers.size + 1) / 2) + 1
}

/** Whether enough sentinels can be asked, ourselves included. */
function canBeElected(master: MasterWatch, now: Millis): boolean {
  const usable = 1 + [...master.peers.values()].filter(peer => answers(peer, now)).length
  return usable >= majorityOf(master) && usable >= master.quorum
}

/** Something may be happening: facts must be fresh, and nobody waits for periods. */
export function isUrgent(master: MasterWatch): boolean {
  return master.odown || failing(master) || master.link.refusals > 0
}

/** Nothing was wrong with it in the last so many milliseconds. */
export function noDownFor(watched: Watched, durationMs: Millis, now: Millis): boolean {
  const lately = watched.kind === 'master' ? Math.max(watched.sdownAt, watched.odownAt) : watched.sdownAt
  return now - lately > durationMs
}
