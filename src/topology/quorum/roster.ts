/**
 * Who is watched: adding, forgetting, and what a change of master does to the others.
 */
import type { Millis } from '../../base/units.js'
import type { Council } from './council.js'
import {
  forgetMaster,
  type MasterWatch,
  newMaster,
  newPeer,
  newReplica,
  type PeerWatch,
  type Place,
  type ReplicaWatch,
  samePlace,
  type Watched,
} from './watched.js'

export type RosterRefusal = 'duplicate' | 'unresolved' | 'port'

export function addMaster(
  council: Council,
  wish: { readonly name: string; readonly host: string; readonly port: number; readonly quorum: number },
  now: Millis,
): MasterWatch | RosterRefusal {
  const place = placeOf(council, wish.host, wish.port)
  if (typeof place === 'string') return place
  if (council.masters.has(wish.name)) return 'duplicate'
  const master = newMaster(wish.name, place, wish.quorum, council.timing, now)
  council.masters.set(wish.name, master)
  return master
}

export function removeMaster(council: Council, master: MasterWatch): void {
  council.masters.delete(master.name)
  for (const watched of [master, ...master.replicas.values(), ...master.peers.values()]) release(council, watched)
}

export function addReplica(
  council: Council,
  master: MasterWatch,
  host: string,
  port: number,
  now: Millis,
): ReplicaWatch | RosterRefusal {
  const place = placeOf(council, host, port)
  if (typeof place === 'string') return place
  const name = council.shownPair(place)
  if (master.replicas.has(name)) return 'duplicate'
  const replica = newReplica(name, place, master, now)
  master.replicas.set(name, replica)
  return replica
}

/** By address, whichever way it was told. */
export function findReplica(
  council: Council,
  master: MasterWatch,
  host: string,
  port: number,
): ReplicaWatch | undefined {
  const place = council.place(host, port)
  if (place === undefined) return undefined
  const named = master.replicas.get(council.shownPair(place))
  return named ?? [...master.replicas.values()].find(replica => samePlace(replica.place, place))
}

export function addPeer(
  council: Council,
  master: MasterWatch,
  wish: { readonly id: string; readonly host: string; readonly port: number },
  now: Millis,
): PeerWatch | RosterRefusal {
  const place = placeOf(council, wish.host, wish.port)
  if (typeof place === 'string') return place
  if (master.peers.has(wish.id)) return 'duplicate'
  const peer = newPeer(wish.id, place, master, now)
  // One process, one link, however many masters it watches with us.
  const known = twins(council, wish.id)[0]
  if (known !== undefined) {
    peer.link = known.link
    peer.link.owners++
    peer.seesEvidence = known.seesEvidence
  }
  master.peers.set(wish.id, peer)
  return peer
}

export function removePeer(council: Council, peer: PeerWatch): void {
  peer.master.peers.delete(peer.name)
  release(council, peer)
}

/** The same sentinel as it is known for all masters. */
export function twins(council: Council, id: string): PeerWatch[] {
  return [...council.masters.values()].flatMap(master => {
    const peer = master.peers.get(id)
    return peer === undefined ? [] : [peer]
  })
}

/** SENTINEL RESET, and the beginning of a switch: everything learnt is forgotten, a failover too. */
export function resetMaster(council: Council, master: MasterWatch, now: Millis, keepPeers: boolean): void {
  for (const replica of master.replicas.values()) release(council, replica)
  master.replicas.clear()
  if (!keepPeers) {
    for (const peer of master.peers.values()) release(council, peer)
    master.peers.clear()
    master.histories.clear()
  }
  disconnect(council, master)
  forgetMaster(master, now)
}

/** The master is another one now; the old one is among its replicas, where it will be met when it comes back. */
export function switchMaster(council: Council, master: MasterWatch, to: Place, now: Millis): void {
  const others = [...master.replicas.values()].map(replica => replica.place).filter(place => !samePlace(place, to))
  if (!samePlace(master.place, to)) others.push(master.place)
  resetMaster(council, master, now, true)
  // What the others said was about the old one.
  for (const peer of master.peers.values()) peer.saysDown = false
  master.place = to
  master.sdownAt = master.odownAt = Number.NEGATIVE_INFINITY
  for (const { host, port } of others) {
    const replica = addReplica(council, master, host, port, now)
    if (typeof replica !== 'string') council.event('notice', '+slave', replica)
  }
  council.saveSoon()
}

/** Closes what stands; it will be opened again. */
export function disconnect(council: Council, { link }: Watched): void {
  if (link.commandsSince !== undefined) council.emit({ do: 'close', link, line: 'commands' })
  if (link.messagesSince !== undefined) council.emit({ do: 'close', link, line: 'messages' })
  link.commandsSince = link.messagesSince = undefined
  link.pending = 0
  link.whole = false
}

function release(council: Council, watched: Watched): void {
  watched.link.owners--
  if (watched.link.owners === 0) disconnect(council, watched)
}

function placeOf(council: Council, host: string, port: number): Place | RosterRefusal {
  if (!Number.isInteger(port) || port < 0 || port > 65535) return 'port'
  return council.place(host, port, true) ?? 'unresolved'
}
