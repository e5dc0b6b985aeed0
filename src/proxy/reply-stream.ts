/**
 * A reply too large to wait for, passed on as it comes. It is the next one its client waits for, and comes on a connection
 * that others use as well, until the client does not take it as fast as it comes (see slow-reader.ts).
 */

import type { Request } from './request.js'
import type { Session } from './session.js'
import type { ReplySource } from './slow-reader.js'

/** Where it goes. Parts are valid during the call. */
export interface StreamSink {
  part(buffer: Buffer, start: number, end: number): void
  end(): void
  /** The rest of it will not come. */
  broken(): void
}

export class ReplyStream implements StreamSink {
  #bytes = 0
  /** Messages that came meanwhile: they must not stand within the reply. */
  readonly #held: Buffer[] = []
  #heldBytes = 0

  constructor(
    private readonly session: Session,
    private readonly request: Request,
    private readonly source: ReplySource,
  ) {}

  part(buffer: Buffer, start: number, end: number): void {
    const { session } = this
    this.#bytes += end - start
    if (session.closed) return
    const { peer } = session
    peer.out.raw(buffer, start, end)
    peer.flush()
    if (!session.closed && peer.queuedBytes > session.hub.options.softQueuedBytes) session.slow.add(this.source)
  }

  end(): void {
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
    // It cannot be told: it is in the middle of a reply.
    this.session.peer.destroy('upstream-lost')
    this.session.streamed(this.request)
  }
}
