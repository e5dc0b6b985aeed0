/**
 * What an INFO reply changes: facts first, always; then, unless we are in tilt, what follows from them.
 *
 * Two repairs live here, with Sentinel's own patience, because a newer configuration may be on its way to us: a replica
 * that says it is master is made a replica again, one that follows somebody else is brought back.
 */
import { formatAddress } from '../../base/address.js'
import type { Millis } from '../../base/units.js'
import { type InfoReply, parseInfo } from '../facts.js'
import type { Council } from './council.js'
import { noDownFor } from './down.js'
import { isForeign, noteLineage } from './lineage.js'
import { promotionSeen } from './promotion.js'
import { addReplica, findReplica } from './roster.js'
import { type MasterWatch, promotedOf, type ReplicaWatch, type Role, type ServerWatch } from './watched.js'

export function takeInfo(council: Council, server: ServerWatch, text: string, now: Millis): void {
  const info = parseInfo(text)
  if (info === undefined) return council.ignore('malformed')
  server.info = text
  server.infoAt = now
  noteRun(council, server, info, now)
  server.replid = info.replid
  server.replid2 = info.replid2
  server.offset = info.offset ?? server.offset
  if (server.kind === 'master') meetReplicas(council, server, info, now)
  else noteReplica(server, info, text, now)
  noteRole(council, server, info.role === 'replica' ? 'slave' : 'master', now)
  noteLineage(council, server)
  if (council.tiltSince === undefined && server.kind === 'slave') concludeReplica(council, server, now)
}

// ── Facts ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function noteRun(council: Council, server: ServerWatch, { runId }: InfoReply, now: Millis): void {
  if (runId === undefined || runId === server.runId) return
  if (server.runId !== undefined) {
    council.event('notice', '+reboot', server)
    if (server.kind === 'master' && server.rebootDownAfterMs > 0) server.rebootSeenAt = now
  }
  server.runId = runId
}

function meetReplicas(council: Council, master: MasterWatch, info: InfoReply, now: Millis): void {
  for (const { address } of info.replicas) {
    if (findReplica(council, master, address.host, address.port) !== undefined) continue
    const replica = addReplica(council, master, address.host, address.port, now)
    if (typeof replica === 'string') {
      if (replica === 'unresolved') council.ignore('unresolved-name')
      continue
    }
    council.event('notice', '+slave', replica)
    council.saveSoon()
  }
}

function noteReplica(replica: ReplicaWatch, info: InfoReply, text: string, now: Millis): void {
  replica.linkDownMs = Number(/^master_link_down_since_seconds:(\d+)/m.exec(text)?.[1] ?? 0) * 1000
  const { master } = info
  if (master === undefined) return
  const { host, port } = master.address
  if (host.toLowerCase() !== replica.masterHost?.toLowerCase() || port !== replica.masterPort) {
    replica.masterChangedAt = now
  }
  replica.masterHost = host
  replica.masterPort = port
  replica.linkUp = master.up
  replica.priority = info.priority
  replica.announced = info.announced
}

function noteRole(council: Council, server: ServerWatch, role: Role, now: Millis): void {
  if (role === server.role) return
  server.role = role
  server.roleAt = now
  if (role === 'slave' && server.kind === 'slave') server.masterChangedAt = now
  const name = role === server.kind ? '+role-change' : '-role-change'
  council.event('verbose', name, server, `new reported role is ${role}`)
}

// ── Conclusions ─────────────────────────────────────────────────────────────────────────────────────────────────────

function concludeReplica(council: Council, replica: ReplicaWatch, now: Millis): void {
  if (replica.role === 'master') {
    if (!promotionSeen(council, replica, now)) demoteStray(council, replica, now)
    return
  }
  if (!isFollowing(council, replica, replica.master.place)) bringBack(council, replica, now)
  watchReconf(council, replica)
}

function demoteStray(council: Council, replica: ReplicaWatch, now: Millis): void {
  const { master } = replica
  const patienceMs = 4 * council.timing['publish-period']
  if (promotedOf(master) === replica || !looksSane(council, master, now)) return
  if (!noDownFor(replica, patienceMs, now) || now - replica.roleAt <= patienceMs) return
  if (!replica.link.whole) return
  council.emit({ do: 'slaveof', to: replica, place: master.place })
  council.event('notice', '+convert-to-slave', replica)
}

function bringBack(council: Council, replica: ReplicaWatch, now: Millis): void {
  const { master } = replica
  const patienceMs = master.failoverTimeoutMs
  if (!looksSane(council, master, now) || !replica.link.whole) return
  if (!noDownFor(replica, patienceMs, now) || now - replica.masterChangedAt <= patienceMs) return
  // Somebody else's replica at an address that was ours once: its data is not ours to throw away.
  if (isForeign(council, replica)) return council.ignore('foreign-replica')
  council.emit({ do: 'slaveof', to: replica, place: master.place })
  council.event('notice', '+fix-slave-config', replica)
}

/** A master that is one, is up, and was heard of lately: others may be pointed at it. */
function looksSane(council: Council, master: MasterWatch, now: Millis): boolean {
  const fresh = now - master.infoAt < 2 * council.timing['info-period']
  return master.role === 'master' && !master.sdown && !master.odown && fresh
}

function isFollowing(council: Council, replica: ReplicaWatch, place: MasterWatch['place']): boolean {
  const { masterHost, masterPort } = replica
  return masterHost !== undefined && masterPort === place.port && council.isHost(place, masterHost)
}

/** sent ─▶ inprog (it names the new master) ─▶ done (its link is up). */
function watchReconf(council: Council, replica: ReplicaWatch): void {
  const promoted = promotedOf(replica.master)
  if (promoted === undefined) return
  if (replica.reconf === 'sent' && isFollowing(council, replica, promoted.place)) {
    replica.reconf = 'inprog'
    council.event('notice', '+slave-reconf-inprog', replica)
  }
  if (replica.reconf === 'inprog' && replica.linkUp) {
    replica.reconf = 'done'
    council.event('notice', '+slave-reconf-done', replica)
  }
}

/** For logs: where a replica says its master is. */
export function masterNamedBy(replica: ReplicaWatch): string {
  return replica.masterHost === undefined ? '?' : formatAddress({ host: replica.masterHost, port: replica.masterPort })
}
