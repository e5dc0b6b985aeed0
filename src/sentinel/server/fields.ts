/**
 * What SENTINEL MASTERS, REPLICAS and SENTINELS say of each thing that is watched: names and values in Redis' order, all
 * values as text. Times are ages in whole milliseconds.
 */
import type { Millis } from '../../base/units.js'
import type { Council } from '../../topology/quorum/council.js'
import {
  failing,
  flagsOf,
  type MasterWatch,
  type PeerWatch,
  type ReplicaWatch,
  type Watched,
} from '../../topology/quorum/watched.js'

export type Field = readonly [name: string, value: string | number]

export function fieldsOf(council: Council, watched: Watched, now: Millis): readonly Field[] {
  const { link } = watched
  const fields: Field[] = [
    ['name', watched.name],
    ['ip', council.shown(watched.place)],
    ['port', watched.place.port],
    ['runid', watched.runId ?? ''],
    ['flags', flagsOf(watched).join(',')],
    ['link-pending-commands', link.pending],
    ['link-refcount', link.owners],
  ]
  if (watched.kind === 'master' && failing(watched)) fields.push(['failover-state', watched.failover.state])
  fields.push(
    ['last-ping-sent', link.pingWaitsSince === undefined ? 0 : age(link.pingWaitsSince, now)],
    ['last-ok-ping-reply', age(link.goodAt, now)],
    ['last-ping-reply', age(link.answeredAt, now)],
  )
  if (watched.sdown) fields.push(['s-down-time', age(watched.sdownAt, now)])
  if (watched.kind === 'master' && watched.odown) fields.push(['o-down-time', age(watched.odownAt, now)])
  fields.push(['down-after-milliseconds', watched.downAfterMs])
  if (watched.kind !== 'sentinel') {
    fields.push(
      ['info-refresh', age(watched.infoAt, now)],
      ['role-reported', watched.role],
      ['role-reported-time', age(watched.roleAt, now)],
    )
  }
  return [...fields, ...ownFields(watched, now)]
}

function ownFields(watched: Watched, now: Millis): readonly Field[] {
  switch (watched.kind) {
    case 'master':
      return masterFields(watched)
    case 'slave':
      return replicaFields(watched)
    case 'sentinel':
      return peerFields(watched, now)
  }
}

function masterFields(master: MasterWatch): readonly Field[] {
  const fields: Field[] = [
    ['config-epoch', master.configEpoch],
    ['num-slaves', master.replicas.size],
    ['num-other-sentinels', master.peers.size],
    ['quorum', master.quorum],
    ['failover-timeout', master.failoverTimeoutMs],
    ['parallel-syncs', master.parallelSyncs],
  ]
  if (master.notificationScript !== undefined) fields.push(['notification-script', master.notificationScript])
  if (master.reconfigScript !== undefined) fields.push(['client-reconfig-script', master.reconfigScript])
  return fields
}

function replicaFields(replica: ReplicaWatch): readonly Field[] {
  return [
    ['master-link-down-time', replica.linkDownMs],
    ['master-link-status', replica.linkUp ? 'ok' : 'err'],
    ['master-host', replica.masterHost ?? '?'],
    ['master-port', replica.masterPort],
    ['slave-priority', replica.priority],
    ['slave-repl-offset', replica.offset],
    ['replica-announced', replica.announced ? 1 : 0],
  ]
}

function peerFields(peer: PeerWatch, now: Millis): readonly Field[] {
  return [
    ['last-hello-message', age(peer.helloAt, now)],
    ['voted-leader', peer.vote ?? '?'],
    ['voted-leader-epoch', peer.voteEpoch],
  ]
}

/** 0 for what never was. */
function age(at: Millis, now: Millis): number {
  return Number.isFinite(at) ? Math.max(0, Math.floor(now - at)) : 0
}
