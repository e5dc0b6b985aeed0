/**
 * Hello: how sentinels find each other and how a new configuration spreads, eight words on a channel of every master and
 * replica, and straight to every sentinel.
 *
 *     ip,port,id,epoch,master,master ip,master port,configuration epoch
 *
 * The larger configuration epoch wins, whoever says it: one failover, one epoch, one master. What cannot be true is
 * counted and not believed: a configuration newer than its own sender's epoch was never voted for.
 */
import type { Millis } from '../../base/units.js'
import type { Council } from './council.js'
import { addPeer, disconnect, removePeer, switchMaster, twins } from './roster.js'
import { currentPlace, type MasterWatch, type PeerWatch, samePlace } from './watched.js'

export const HELLO_CHANNEL = '__sentinel__:hello'

export interface Hello {
  readonly host: string
  readonly port: number
  readonly id: string
  readonly epoch: number
  readonly master: string
  readonly masterHost: string
  readonly masterPort: number
  readonly configEpoch: number
}

export function formatHello(council: Council, master: MasterWatch, own: { host: string; port: number }): string {
  const place = currentPlace(master)
  return [
    own.host,
    own.port,
    council.myid,
    council.epoch,
    master.name,
    council.shown(place),
    place.port,
    master.configEpoch,
  ].join(',')
}

/** undefined when it is none. */
export function parseHello(text: string): Hello | undefined {
  const words = text.split(',')
  if (words.length !== 8 || words.some(word => !/^[!-~]+$/.test(word))) return undefined
  const [host, port, id, epoch, master, masterHost, masterPort, configEpoch] = words as [
    ...[string, string, string, string],
    ...[string, string, string, string],
  ]
  const hello = {
    host,
    port: Number(port),
    id,
    epoch: readEpoch(epoch),
    master,
    masterHost,
    masterPort: Number(masterPort),
    configEpoch: readEpoch(configEpoch),
  }
  const sane = isPort(hello.port) && isPort(hello.masterPort) && /^[0-9a-f]{40}$/i.test(id)
  return sane ? hello : undefined
}

/** There is one election in a second at most: whoever names a later epoch than this has not counted. */
const EPOCH_MAX = 2 ** 52

/** A whole number, small enough that those which follow it are exact as well; NaN for everything else. */
export function readEpoch(text: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  return value <= EPOCH_MAX ? value : Number.NaN
}

/** A word of few characters, as ids are: it will stand in files, logs and messages. */
export function isSentinelId(text: string): boolean {
  return /^[\w-]{1,64}$/.test(text)
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port > 0 && port <= 65535
}

export function takeHello(council: Council, text: string, now: Millis): void {
  const hello = parseHello(text)
  if (hello === undefined) return council.ignore('malformed')
  if (hello.id === council.myid) return
  const master = council.masters.get(hello.master)
  if (master === undefined) return council.ignore('unknown-master')
  // Comparisons with NaN are false: what is no epoch is refused here as well.
  if (!(hello.configEpoch <= hello.epoch)) return council.ignore('impossible-epoch')

  const peer = greet(council, master, hello, now)
  if (hello.epoch > council.epoch) {
    council.epoch = hello.epoch
    council.saveSoon()
    council.say('warning', '+new-epoch', master, String(council.epoch))
  }
  if (peer === undefined) return
  peer.helloAt = now
  if (hello.configEpoch > master.configEpoch) obey(council, master, peer, hello, now)
}

/** Finds or adds the sender. */
function greet(council: Council, master: MasterWatch, hello: Hello, now: Millis): PeerWatch | undefined {
  const place = council.place(hello.host, hello.port)
  if (place === undefined) {
    council.ignore('unresolved-name')
    return undefined
  }
  const known = master.peers.get(hello.id)
  if (known !== undefined && samePlace(known.place, place)) return known
  if (known !== undefined) {
    const detail = `ip ${hello.host} port ${hello.port} for ${hello.id}`
    council.event('notice', '+sentinel-address-switch', master, detail)
    removePeer(council, known)
  } else {
    const impostor = [...master.peers.values()].find(other => samePlace(other.place, place))
    if (impostor !== undefined) {
      // Two ids at one address: the older one was another life of the same sentinel.
      council.event('notice', '+sentinel-invalid-addr', impostor)
      for (const twin of twins(council, impostor.name)) removePeer(council, twin)
    }
  }
  const peer = addPeer(council, master, hello, now)
  if (typeof peer === 'string') return undefined
  if (known === undefined) council.event('notice', '+sentinel', peer)
  else moveTwins(council, peer)
  council.saveSoon()
  return peer
}

function moveTwins(council: Council, peer: PeerWatch): void {
  const others = twins(council, peer.name).filter(twin => twin !== peer)
  disconnect(council, peer)
  for (const twin of others) twin.place = peer.place
  if (others.length > 0) {
    council.event('notice', '+sentinel-address-update', peer, `${others.length} additional matching instances`)
  }
}

/** Somebody was elected and has promoted: what it says is so. */
function obey(council: Council, master: MasterWatch, peer: PeerWatch, hello: Hello, now: Millis): void {
  const place = council.place(hello.masterHost, hello.masterPort)
  // Not taken over half: the next hello finds the name resolved.
  if (place === undefined) return council.ignore('unresolved-name')
  master.configEpoch = hello.configEpoch
  council.saveSoon()
  if (samePlace(master.place, place)) return
  const from = master.place
  council.event('warning', '+config-update-from', peer)
  announceSwitch(council, master, from, place)
  switchMaster(council, master, place, now)
  runReconfigScript(council, master, 'observer', from, place)
}

export function announceSwitch(
  council: Council,
  master: MasterWatch,
  from: MasterWatch['place'],
  to: MasterWatch['place'],
): void {
  const text = `${master.name} ${council.shown(from)} ${from.port} ${council.shown(to)} ${to.port}`
  council.say('warning', '+switch-master', master, text)
}

export function runReconfigScript(
  council: Council,
  master: MasterWatch,
  role: 'leader' | 'observer',
  from: MasterWatch['place'],
  to: MasterWatch['place'],
): void {
  if (master.reconfigScript === undefined) return
  const addresses = [council.shown(from), String(from.port), council.shown(to), String(to.port)]
  council.emit({ do: 'run-script', path: master.reconfigScript, args: [master.name, role, 'start', ...addresses] })
}
