/**
 * A request with a value too large to wait for: passed on to the master as it comes, on a connection of its own.
 *
 *     opening ──confirmed──▶ sending ──its end──▶ over, answered like any other
 *        └──none to be had──▶ given up            └──connection lost──▶ dropping (what still comes of it) ──▶ over
 *
 * Its keys are known before its value, so its marks are raised before anything is sent. It is never sent again: its bytes
 * are gone. What is kept of it is only what people are shown.
 */
import type { Millis } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import type { Call } from '../routing/calls.js'
import type { Request } from './request.js'
import type { Session } from './session.js'
import type { Upstream } from './upstream.js'

/** A connection that is not confirmed by then will not be soon. */
const OPENING_MS: Millis = 1000
const RETRY_MS: Millis = 2
/** So much may wait for the instance; then the client is not read. */
const AHEAD_BYTES = 1024 * 1024
/** More attempts than a request is ever given: errors that mean "not executed" are shown. */
const NEVER_AGAIN = 1000

export class Upload {
  #state: 'opening' | 'sending' | 'dropping' = 'opening'
  #upstream: Upstream | undefined
  #request: Request | undefined

  constructor(
    private readonly session: Session,
    private readonly decoder: Decoder,
    private readonly call: Call,
    /** Calls back when it is over; `done`: its request has been read to the end. */
    private readonly onOver: (done: boolean) => void,
  ) {}

  /** The client is not read until there is a connection. */
  begin(): void {
    this.session.peer.pause()
    this.#try(this.session.hub.clock.now() + OPENING_MS)
  }

  #try(until: Millis): void {
    const { session } = this
    const { group, hub } = session
    if (session.closed) return
    this.#upstream ??= group.lent.borrow(session)
    const upstream = this.#upstream
    session.alone.upstream = upstream
    if (upstream?.confirmed && !group.holding) return this.#start(upstream)
    if (upstream === undefined || upstream.closed || hub.clock.now() > until) return this.#giveUp()
    hub.clock.after(RETRY_MS, () => this.#try(until))
  }

  #giveUp(): void {
    this.session.alone.abandon()
    this.session.peer.resume()
    this.onOver(false)
  }

  #start(upstream: Upstream): void {
    const { session, decoder, call } = this
    this.#state = 'sending'
    const shown = encodeCommand([...this.decoder.openArguments(), '(passed on as it came)'])
    decoder.startParts()
    decoder.nextPart()
    const request = session.beginUpload(call)
    request.attempts = NEVER_AGAIN
    request.effect = 'pinned'
    request.block = session.hub.tools.blocks.single(shown, 0, shown.length)
    request.block.handed = shown.length
    request.end = shown.length
    this.#request = request
    session.group.beginUpload(upstream, session, request, call, decoder)
    upstream.onDrained = () => {
      if (!session.closed) session.peer.resume()
    }
    decoder.release()
    session.peer.resume()
  }

  /** More of it has come. */
  more(): void {
    const { decoder } = this
    if (this.#state === 'opening') return
    for (let part = decoder.nextPart(); part !== undefined; part = decoder.nextPart()) {
      if (this.#state === 'sending') this.#send(decoder)
      if (part === 'whole') return this.#end()
    }
  }

  #send({ buffer, start, end }: Decoder): void {
    const upstream = this.#upstream as Upstream
    upstream.append(buffer, start, end)
    if (upstream.queuedBytes > AHEAD_BYTES) this.session.peer.pause()
  }

  #end(): void {
    if (this.#state === 'sending') this.#upstream?.endUpload()
    if (!this.session.closed) this.session.peer.resume()
    this.onOver(true)
  }

  /** Its connection is gone, or has answered before it was asked: what still comes of it is read over. */
  drop(): void {
    if (this.#state !== 'sending') return
    this.#state = 'dropping'
    if (!this.session.closed) this.session.peer.resume()
  }

  owns(request: Request): boolean {
    return this.#request === request
  }
}
