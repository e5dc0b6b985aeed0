/**
 * Commands that cannot be sent now: there is no master that may have them, or writes are held for a switch.
 *
 * They are sent in the order of their arrival as soon as they may be, and fail when the hold's time is over. A session of
 * which something is kept dispatches nothing further, so what is here is bounded by the commands in flight when a master
 * was lost plus one per session; and by bytes: what does not fit is refused at once.
 */
import type { Clock } from '../base/clock.js'
import { Fifo } from '../base/fifo.js'
import type { Millis } from '../base/units.js'
import { HOLD_EXPIRED, HOLD_FULL } from '../routing/errors.js'
import type { Asker } from './asker.js'
import type { Gate } from './gate.js'
import type { Request, RequestPool } from './request.js'

export class Kept {
  readonly #queue = new Fifo<Request>(64)
  #bytes = 0

  constructor(
    private readonly clock: Clock,
    private readonly gate: Gate,
    private readonly requests: RequestPool,
    private readonly bounds: { readonly holdTimeoutMs: Millis; readonly holdBytes: number },
    /** Sends a request where it belongs now; it may come back by `add`. */
    private readonly dispatch: (session: Asker, request: Request) => void,
  ) {}

  get length(): number {
    return this.#queue.length
  }

  /** The request has its bytes with it, and is in no connection's queue. */
  add(session: Asker, request: Request): void {
    request.state = 'kept'
    if (request.keptAt === 0) {
      if (this.#bytes + sizeOf(request) > this.bounds.holdBytes) return session.turnAway(request, HOLD_FULL)
      request.keptAt = this.clock.now()
      this.gate.noteKept()
    }
    session.kept++
    session.lastBecause = 'held'
    this.#push(request)
  }

  /** Sends what is here, as far as it may be sent. */
  drain(): void {
    for (let left = this.#queue.length; left > 0; left--) {
      const request = this.#shift()
      const session = request.session as Asker
      session.kept--
      if (session.closed) this.requests.give(request)
      else if (session.kept < 0) session.kept = 0
      else this.#redispatch(session, request)
    }
    if (this.#queue.length === 0) this.gate.noteEmpty()
  }

  #redispatch(session: Asker, request: Request): void {
    const waited = this.clock.now() - request.keptAt
    // Others of this session stand behind it: only those of them that are kept again hold it back.
    const behind = session.kept
    session.kept = 0
    this.dispatch(session, request)
    const keptAgain = session.kept > 0
    session.kept += behind
    if (keptAgain) return
    this.gate.noteSent(waited)
    if (session.kept === 0) session.proceed()
  }

  /** Refuses those that have waited for too long. */
  expire(now: Millis): void {
    for (let left = this.#queue.length; left > 0; left--) {
      const request = this.#shift()
      const session = request.session as Asker
      if (session.closed) {
        session.kept--
        this.requests.give(request)
      } else if (now - request.keptAt > this.bounds.holdTimeoutMs) {
        session.kept--
        session.turnAway(request, HOLD_EXPIRED)
        if (session.kept === 0) session.proceed()
      } else this.#push(request)
    }
  }

  #push(request: Request): void {
    this.#bytes += sizeOf(request)
    this.#queue.push(request)
  }

  #shift(): Request {
    const request = this.#queue.shift() as Request
    this.#bytes -= sizeOf(request)
    return request
  }
}

function sizeOf(request: Request): number {
  return request.end - request.start
}
