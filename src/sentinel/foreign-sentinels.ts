/**
 * Do others decide here already? Sentinels say hello on a channel of every instance they watch, every two seconds. As long
 * as we hear any of them speak of our group, our agent does nothing by itself: two that decide, and do not know each other,
 * promote two.
 *
 * All instances are listened to, not the master only: when it is dead, its sentinels speak on the replicas.
 */
import { formatAddress } from '../base/address.js'
import type { EventSink } from '../base/bus.js'
import { type Clock, every } from '../base/clock.js'
import type { Millis } from '../base/units.js'
import { Client, type Credentials } from '../net/client.js'
import type { Observer } from '../observer/observer.js'
import { itemsOf, textOf } from '../resp/protocol.js'
import { HELLO_CHANNEL, parseHello } from '../topology/quorum/hello.js'

/** Five hellos: who is silent for so long has gone. */
const FORGET_MS: Millis = 10_000
const CHECK_MS: Millis = 1000
const CONNECT_TIMEOUT_MS: Millis = 2000

export class ForeignSentinels {
  readonly #ears = new Map<string, Client>()
  #heardAt: Millis = Number.NEGATIVE_INFINITY
  #present = false
  #cancel: () => void = () => undefined

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    private readonly observer: Observer,
    private readonly credentials: Credentials,
  ) {}

  /** They speak of this group. */
  get present(): boolean {
    return this.#present
  }

  start(): void {
    this.#cancel = every(this.clock, CHECK_MS, () => this.#tick())
    this.#tick()
  }

  stop(): void {
    this.#cancel()
    for (const ear of this.#ears.values()) ear.close()
    this.#ears.clear()
  }

  #tick(): void {
    const known = new Set(this.observer.facts.filter(({ role }) => role !== 'unknown').map(({ id }) => id))
    for (const [id, ear] of this.#ears) {
      if (known.has(id) && !ear.closed) continue
      ear.close()
      this.#ears.delete(id)
    }
    for (const { id, address } of this.observer.facts) {
      if (!known.has(id) || this.#ears.has(id)) continue
      const ear = new Client(address, {
        ...this.credentials,
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        replyTimeoutMs: 0,
        name: 'lagrange-sentinels',
        onPush: frame => this.#hear(itemsOf(frame).map(item => textOf(item))),
      })
      ear.send(['SUBSCRIBE', HELLO_CHANNEL]).catch(() => undefined)
      this.#ears.set(id, ear)
    }
    if (this.#present && this.clock.now() - this.#heardAt > FORGET_MS) this.#set(false, undefined)
  }

  #hear([kind, , message = '']: readonly (string | undefined)[]): void {
    const hello = kind === 'message' ? parseHello(message) : undefined
    if (hello === undefined) return
    if (this.observer.find({ host: hello.masterHost, port: hello.masterPort }) === undefined) return
    this.#heardAt = this.clock.now()
    this.#set(true, formatAddress(hello))
  }

  #set(present: boolean, sentinel: string | undefined): void {
    if (this.#present === present) return
    this.#present = present
    const name = present ? '+foreign-sentinels' : '-foreign-sentinels'
    this.events.event('warn', name, { group: this.observer.name, sentinel })
  }
}
