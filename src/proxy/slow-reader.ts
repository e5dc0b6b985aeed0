/**
 * A client that does not take its replies, and the connections that they come on.
 *
 *     reply ──▶ out ──more than may wait──▶ its connection is set aside ──all is taken──▶ read on
 *                                                └──others wait on it for too long──▶ the client is closed, the rest dropped
 *
 * A shared connection that is set aside is not read, and nobody comes to it any more: there is another one for them, and
 * reads that stand behind are asked again there. So others do not wait. Only writes do that stand behind already, as they
 * are never sent twice: for DEAF_MS behind a client that takes nothing, for SLOW_MS behind one that takes too little.
 */
import type { Millis } from '../base/units.js'
import type { Peer } from '../net/peer.js'
import type { Recipient } from './request.js'

/** A connection that replies come on. */
export interface ReplySource {
  /** It is not read, for the sake of `taker`; false: too many are set aside already. */
  setAside(taker: Recipient): boolean
  /** It is read on; once everything that was asked there is answered, it closes. */
  resume(): void
  /** Others than `taker` wait for what was asked there. */
  isWaitedFor(taker: Recipient): boolean
}

export interface SlowClient extends Recipient {
  readonly peer: Peer
  readonly hub: { readonly clock: { now(): Millis; after(delay: Millis, task: () => void): () => void } }
}

const LOOK_MS: Millis = 20
/** What one look counts for at most: when this process was not running, the client could not take anything. */
const LOOK_MS_MAX: Millis = 100
const DEAF_MS: Millis = 200
const SLOW_MS: Millis = 1000

export class SlowReader {
  #sources: ReplySource[] = []
  #stopWatching: () => void = () => undefined
  /** How long others have been waiting, in all, and since it took something last. */
  #slowMs: Millis = 0
  #deafMs: Millis = 0

  constructor(private readonly client: SlowClient) {}

  /** More has come from there than the client takes. */
  add(source: ReplySource): void {
    if (this.#sources.includes(source)) return
    if (!source.setAside(this.client)) return this.client.peer.destroy('output-limit')
    this.#sources.push(source)
    if (this.#sources.length > 1) return
    this.#deafMs = 0
    this.#watch()
  }

  /** It has taken everything, or is gone: what comes is passed on, or dropped. */
  goOn(): void {
    if (this.#sources.length === 0) return
    this.#stopWatching()
    if (!this.#isWaitedFor()) this.#slowMs = 0
    for (const source of this.#sources.splice(0)) source.resume()
  }

  #watch(): void {
    const { clock } = this.client.hub
    const [from, before] = [clock.now(), this.client.peer.queuedBytes]
    this.#stopWatching = clock.after(LOOK_MS, () => {
      this.#look(Math.min(clock.now() - from, LOOK_MS_MAX), before)
    })
  }

  #look(passedMs: Millis, before: number): void {
    const { peer } = this.client
    if (this.#isWaitedFor()) {
      this.#slowMs += passedMs
      this.#deafMs = peer.queuedBytes < before ? 0 : this.#deafMs + passedMs
      if (this.#deafMs >= DEAF_MS || this.#slowMs >= SLOW_MS) return peer.destroy('output-limit')
    }
    this.#watch()
  }

  #isWaitedFor(): boolean {
    for (const source of this.#sources) if (source.isWaitedFor(this.client)) return true
    return false
  }
}
