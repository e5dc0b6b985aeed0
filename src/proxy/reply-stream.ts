/**
 * A reply too large to wait for, passed on as it comes. It is the next one its client waits for, and comes on a connection
 * that others use as well: so a client that reads slowly has the instance wait, but not for long while others do.
 *
 *     instance ──part──▶ out ──too much waits──▶ source.pause() ──drained──▶ source.resume()
 *                                                     └──a second, and others wait──▶ the client is closed, the rest dropped
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

/** So long may a client that does not read keep others from being answered. */
const PATIENCE_MS: Millis = 1000

export class ReplyStream implements StreamSink {
  #paused = false
  #bytes = 0
  #stopWatching: () => void = () => undefined

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
    if (this.#paused || session.closed || peer.queuedBytes <= session.hub.options.softQueuedBytes) return
    this.#paused = true
    this.source.pause()
    this.#watch()
  }

  end(): void {
    this.#stopWatching()
    this.session.hub.tools.insight.large(this.request, this.#bytes)
    this.session.streamed(this.request)
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

  #watch(): void {
    this.#stopWatching = this.session.hub.clock.after(PATIENCE_MS, () => {
      if (!this.#paused) return
      if (this.source.pending > 0) this.session.peer.destroy('output-limit')
      else this.#watch()
    })
  }
}
