/**
 * A reply too large to wait for, passed on as it comes. It is the next one its client waits for, and comes on a connection
 * that others use as well: so a client that reads slowly has the instance wait, but not for long while others do.
 *
 *     instance ──part──▶ out ──4 MiB wait──▶ source.pause() ──most is taken──▶ source.resume()
 *                                                 └──others wait, and it takes nothing──▶ the client is closed, the rest dropped
 */
import type { Millis } from '../base/units.js'
import type { Request } from './request.js'
import type { Session } from './session.js'

/** Where it comes from. */
export interface StreamSource {
  pause(): void
  resume(): void
  /** How many others wait behind it. */
  readonly pending: number
}

/** Where it goes. Parts are valid during the call. */
export interface StreamSink {
  part(buffer: Buffer, start: number, end: number): void
  end(): void
  /** The rest of it will not come. */
  broken(): void
}

/** So much may wait for the client; a reply of ordinary size never has the instance wait. */
const HIGH_BYTES = 4 * 1024 * 1024
const LOW_BYTES = 1024 * 1024
const LOOK_MS: Millis = 20
/** So long may a client keep others from being answered: one that takes nothing, and one that takes too little. */
const DEAF_MS: Millis = 200
const SLOW_MS: Millis = 1000

export class ReplyStream implements StreamSink {
  #paused = false
  #bytes = 0
  #stopWatching: () => void = () => undefined
  /** How long others have been waiting, in all, and since it took something last. */
  #slowMs: Millis = 0
  #deafMs: Millis = 0
  /** Messages that came meanwhile: they must not stand within the reply. */
  readonly #held: Buffer[] = []
  #heldBytes = 0

  constructor(
    private readonly session: Session,
    private readonly request: Request,
    private readonly source: StreamSource,
  ) {}

  part(buffer: Buffer, start: number, end: number): void {
    const { session } = this
    this.#bytes += end - start
    if (session.closed) return
    const { peer } = session
    peer.out.raw(buffer, start, end)
    peer.flush()
    if (this.#paused || session.closed || peer.queuedBytes <= HIGH_BYTES) return
    this.#paused = true
    this.#deafMs = 0
    this.source.pause()
    this.#watch(peer.queuedBytes)
  }

  end(): void {
    this.#stopWatching()
    this.session.hub.tools.insight.large(this.request, this.#bytes)
    for (const bytes of this.#held) this.session.peer.out.raw(bytes)
    this.session.streamed(this.request)
  }

  /** A message for the client, which it gets behind the reply. */
  hold(buffer: Buffer, start: number, end: number): void {
    const { peer, hub } = this.session
    this.#held.push(Buffer.from(buffer.subarray(start, end)))
    this.#heldBytes += end - start
    if (this.#heldBytes > hub.options.pushQueuedBytes) peer.destroy('output-limit')
  }

  broken(): void {
    this.#stopWatching()
    // It cannot be told: it is in the middle of a reply.
    this.session.peer.destroy('upstream-lost')
    this.session.streamed(this.request)
  }

  /** The client has taken everything, or is gone: the rest of the reply is passed on, or dropped. */
  goOn(): void {
    this.#stopWatching()
    if (!this.#paused) return
    this.#paused = false
    this.source.resume()
  }

  #watch(before: number): void {
    this.#stopWatching = this.session.hub.clock.after(LOOK_MS, () => {
      if (!this.#paused) return
      const { peer } = this.session
      const { queuedBytes } = peer
      if (queuedBytes < LOW_BYTES) return this.goOn()
      if (this.source.pending > 0) {
        this.#slowMs += LOOK_MS
        this.#deafMs = queuedBytes < before ? 0 : this.#deafMs + LOOK_MS
        if (this.#deafMs >= DEAF_MS || this.#slowMs >= SLOW_MS) return peer.destroy('output-limit')
      }
      this.#watch(queuedBytes)
    })
  }
}
