/**
 * Writes that wait to be confirmed, in virtual time: the proxy's own Confirming, told by the real observer how far replicas
 * are, between sessions and a master that are played here.
 */
import type { Millis, Offset } from '../../src/base/units.js'
import { MetricStore } from '../../src/metrics/store.js'
import type { Observer } from '../../src/observer/observer.js'
import type { Asker } from '../../src/proxy/asker.js'
import { Confirming } from '../../src/proxy/confirming.js'
import { GroupCounters } from '../../src/proxy/counters.js'
import { Request, RequestPool } from '../../src/proxy/request.js'
import type { Acks } from '../../src/routing/acks.js'
import { Flight } from '../../src/routing/marks.js'
import type { GroupView } from '../../src/topology/view.js'
import type { VirtualClock } from './sim-group.js'

const OK = Buffer.from('+OK\r\n')
const TICK_MS: Millis = 20

/** A write on its way. */
export interface Write {
  readonly request: Request
  readonly flight: Flight
  readonly replid: string | undefined
}

export class SimConfirming {
  /** What its client was told is safe. */
  readonly confirmed: number[] = []
  unconfirmed = 0
  /** Of the group, for Confirming. */
  replid: string | undefined
  view: GroupView | undefined
  readonly urgency: { hurry(): void }
  readonly #applied = new Map<string, { replid: string; offset: Offset; runId: string | undefined }>()
  readonly #confirming: Confirming
  readonly #ids = new Map<Request, number>()

  constructor(
    clock: VirtualClock,
    observer: Observer,
    readonly acks: Acks,
  ) {
    const counters = new GroupCounters(new MetricStore(), 'main').acks()
    const time = {
      get now() {
        return clock.now()
      },
    }
    this.urgency = { hurry: () => observer.pace('quick') }
    this.#confirming = new Confirming(this, new RequestPool(), counters, time)
    observer.onView(({ groups: [group] }) => this.#setView(group))
    observer.onFreshness(({ samples }) => {
      for (const { id, replid, offset, runId } of samples) this.#applied.set(id, { replid, offset, runId })
      this.#confirming.freshened()
    })
    const tick = (): void => {
      this.#confirming.tick()
      clock.quietly(TICK_MS, tick)
    }
    tick()
  }

  get metMaster(): boolean {
    return this.view?.master !== undefined
  }

  get replicas() {
    return (this.view?.replicas ?? []).map(view => {
      const known = this.#applied.get(view.id)
      const isCurrent = known?.replid === this.replid && known?.runId === view.runId
      return { view, applied: isCurrent ? (known?.offset ?? -1) : -1 }
    })
  }

  settled(): void {}

  #setView(group: GroupView | undefined): void {
    this.view = group
    const { lineage } = group ?? {}
    if (lineage === undefined || lineage.replid === this.replid) return
    this.replid = lineage.replid
    this.#confirming.lineageBegins(lineage)
  }

  /** A client's write is sent to the master. */
  send(): Write {
    const request = new Request()
    const flight = new Flight()
    request.session = {
      closed: false,
      confirmed: (one: Request) => this.#confirm(one),
      fail: () => void this.unconfirmed++,
    } as unknown as Asker
    this.#confirming.expect(flight, request, this.acks)
    return { request, flight, replid: this.replid }
  }

  /** The master has answered, and its ROLE says `offset`. */
  answer({ request, flight, replid }: Write, id: number, offset: Offset): void {
    this.#ids.set(request, id)
    if (!this.#confirming.keepsBack(request, OK, 0, OK.length)) this.#confirm(request)
    for (const follower of flight.followers) follower.covered(offset, replid)
  }

  /** Its connection is gone. */
  lose({ request }: Write): void {
    request.confirmation?.abandon()
  }

  #confirm(request: Request): void {
    this.confirmed.push(this.#ids.get(request) as number)
    this.#ids.delete(request)
  }
}
