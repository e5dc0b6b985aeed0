/**
 * The state of one sentinel, and what its deciding functions share: the clockless middle of this folder.
 *
 *     replies, hellos, requests, ticks ──▶ quorum.ts ──▶ down · election · promotion · hello · reports ──▶ effects
 *
 * Two things come from outside as functions: chance, and `durable`, which writes the present state to stable storage
 * and answers whether that worked. A vote that is not on the disk is not given: see election.ts. Everything else that a
 * sentinel remembers it was told by others or has told them, so that news of a failover need not wait for a disk.
 */
import { formatAddress } from '../../base/address.js'
import type { Millis } from '../../base/units.js'
import type { EventLevel, Ignored, QuorumEffect } from './effects.js'
import { type Timing, timingDefaults } from './timing.js'
import { isIpAddress, type MasterWatch, masterOf, type Place, type Watched } from './watched.js'

export interface CouncilPorts {
  /** From 0 to below 1. */
  readonly chance: () => number
  /** The state is on the disk now, or is not. */
  readonly durable: () => boolean
  /** The address behind a name, if it is known at this moment. */
  readonly lookup: (name: string) => string | undefined
}

/** Settings of the sentinel itself, as SENTINEL CONFIG and the file have them. */
export interface Settings {
  announceIp: string
  announcePort: number
  sentinelUser: string
  sentinelPass: string
  resolveHostnames: boolean
  announceHostnames: boolean
  denyScriptsReconfig: boolean
}

export class Council {
  /** 40 hexadecimal digits, kept for life: who changes it is counted as one more voter by all others. */
  myid = ''
  /** Grows only. Of all masters together. */
  epoch = 0
  readonly masters = new Map<string, MasterWatch>()
  readonly timing: Timing = { ...timingDefaults }
  readonly settings: Settings = {
    announceIp: '',
    announcePort: 0,
    sentinelUser: '',
    sentinelPass: '',
    resolveHostnames: false,
    announceHostnames: false,
    denyScriptsReconfig: true,
  }
  /** Since when we watch and do not act: the process stood still, so nothing we believe can be trusted. */
  tiltSince: Millis | undefined
  readonly simulate = { crashAfterElection: false, crashAfterPromotion: false }
  readonly ignored = new Map<Ignored, number>()
  #effects: QuorumEffect[] = []

  constructor(readonly ports: CouncilPorts) {}

  emit(effect: QuorumEffect): void {
    this.#effects.push(effect)
  }

  /** What was decided since the last call, in the order in which it must be done. */
  drain(): readonly QuorumEffect[] {
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  /** `<type> <name> <ip> <port>`, with `@ <master>` for what is none, then `detail`. */
  event(level: EventLevel, name: string, about: Watched, detail = ''): void {
    this.say(level, name, about, detail === '' ? this.describe(about) : `${this.describe(about)} ${detail}`)
  }

  /** An event whose text is all its own. `about` says whose notification script hears of it. */
  say(level: EventLevel, name: string, about: Watched | undefined, text: string): void {
    const master = about && masterOf(about)
    const script = level === 'warning' ? master?.notificationScript : undefined
    this.emit({ do: 'event', level, name, text, master: master?.name, script })
  }

  describe(about: Watched): string {
    const own = `${about.kind} ${about.name} ${this.shown(about.place)} ${about.place.port}`
    if (about.kind === 'master') return own
    const { name, place } = about.master
    return `${own} @ ${name} ${this.shown(place)} ${place.port}`
  }

  /** Now, before anything else: what was promised to somebody. */
  save(): boolean {
    return this.ports.durable()
  }

  /** Soon: what others know as well and will tell us again, should we crash before it is written. */
  saveSoon(): void {
    if (!this.#effects.some(effect => effect.do === 'save')) this.emit({ do: 'save' })
  }

  ignore(reason: Ignored): void {
    this.ignored.set(reason, (this.ignored.get(reason) ?? 0) + 1)
  }

  // ── Addresses ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** undefined: not an address, and names are not allowed or (unless `unresolved`) cannot be resolved now. */
  place(host: string, port: number, unresolved = false): Place | undefined {
    if (!Number.isInteger(port) || port < 0 || port > 65535) return undefined
    if (isIpAddress(host)) return { host, ip: host, port }
    if (!this.settings.resolveHostnames) return undefined
    const ip = this.ports.lookup(host)
    return ip === undefined && !unresolved ? undefined : { host, ip: ip ?? '', port }
  }

  /** How others are told an address. */
  shown(place: Place): string {
    return this.settings.announceHostnames || place.ip === '' ? place.host : place.ip
  }

  shownPair(place: Place): string {
    return formatAddress({ host: this.shown(place), port: place.port })
  }

  /** Whether `host` means the machine of `place`. */
  isHost(place: Place, host: string): boolean {
    const ip = isIpAddress(host) ? host : this.settings.resolveHostnames ? this.ports.lookup(host) : undefined
    if (ip !== undefined) return place.ip.toLowerCase() === ip.toLowerCase()
    return (this.settings.resolveHostnames ? place.host : place.ip).toLowerCase() === host.toLowerCase()
  }

  masterAt(host: string, port: number): MasterWatch | undefined {
    for (const master of this.masters.values()) {
      if (master.place.port !== port) continue
      if (master.place.host.toLowerCase() === host.toLowerCase() || this.isHost(master.place, host)) return master
    }
    return undefined
  }
}
