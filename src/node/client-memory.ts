/**
 * What clients hold of our memory, and `maxmemory-clients`: when all of them together hold more, the largest are closed
 * until they do not, before the next request is executed or at the end of the turn.
 *
 *     total = a share for the connection + unread input + replies that wait + MULTI's queue + names it is listed under
 *
 * Names are channels, patterns, watched keys and prefixes; each costs its length and a share for the lists it is in. While
 * there is no limit nothing is counted: CLIENT LIST and INFO then ask each client anew.
 */
import type { Bytes } from '../base/units.js'
import { type Flushable, turn } from '../net/turn.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

/** A session, its peer, decoder and socket. */
const SESSION_BYTES = 4096
/** What a name costs besides its bytes: an entry in the session's list and one in the server's. */
const LISTED_BYTES = 128
/** An argument that waits in MULTI. */
const ARGUMENT_BYTES = 32

export class ClientMemory implements Flushable {
  readonly early = true
  /** There is a limit: whoever changes what a client holds says so. */
  limited = false
  evicted = 0
  #limit = 0
  #total = 0
  readonly #held = new Map<Session, number>()
  #due = false

  constructor(private readonly server: NodeServer) {}

  /** `maxmemory-clients`: bytes, or below zero percents of `maxmemory`; 0: no limit. */
  setLimit(value: number, maxmemory: number): void {
    this.#limit = value < 0 ? Math.floor((maxmemory * -value) / 100) : value
    this.limited = this.#limit > 0
    this.#held.clear()
    this.#total = 0
    if (this.limited) for (const session of this.server.clients) this.account(session)
  }

  /** Between two requests: too much, and the largest go at once. Answers whether this client is still there. */
  admits(session: Session): boolean {
    this.account(session)
    if (this.#total > this.#limit && !this.server.scripting.running) this.flush()
    return !session.peer.closed
  }

  /** What this client holds may have changed. To be called only while `limited`. */
  account(session: Session): void {
    if (session.type === 'replica' || session.peer.closed) return
    const held = memoryOf(session).total
    this.#total += held - (this.#held.get(session) ?? 0)
    this.#held.set(session, held)
    if (this.#total <= this.#limit || this.#due) return
    this.#due = true
    turn.add(this)
  }

  /** The connection is gone, or a replica's now. */
  forget(session: Session): void {
    this.#total -= this.#held.get(session) ?? 0
    this.#held.delete(session)
  }

  /** The end of the turn. */
  flush(): void {
    this.#due = false
    if (!this.limited || this.#total <= this.#limit) return
    const victims = [...this.#held].filter(([session]) => !session.noEvict).sort(([, more], [, less]) => less - more)
    for (const [session] of victims) {
      if (this.#total <= this.#limit) return
      this.evicted++
      this.server.log.notice(`Evicting client: ${this.server.clients.describe(session)}`)
      session.peer.destroy('memory-limit')
    }
  }
}

export interface HeldMemory {
  /** Requests that are not executed yet, and the room that is kept for more. */
  readonly query: number
  readonly queryFree: number
  /** Arguments that are complete, of a request that is not, or that is being executed. */
  readonly args: number
  readonly multi: number
  readonly replyBlock: number
  /** Replies that wait for the client. */
  readonly output: number
  readonly total: number
}

export function memoryOf(session: Session): HeldMemory {
  const { decoder, out, peer } = session
  const output = peer.closed ? 0 : peer.queuedBytes
  const multi = session.transaction?.bytes ?? 0
  const unsent = Math.max(0, output - out.length)
  return {
    query: decoder.unparsed + session.executingBytes,
    queryFree: Math.max(0, decoder.heldBytes - decoder.pending),
    args: decoder.pending - decoder.unparsed + session.executingBytes,
    multi,
    replyBlock: out.capacity,
    output,
    total: SESSION_BYTES + decoder.heldBytes + out.capacity + unsent + multi + session.listedBytes,
  }
}

export function listedBytes(name: Bytes): number {
  return LISTED_BYTES + name.length
}

export function queuedBytes(args: readonly Bytes[]): number {
  let bytes = 0
  for (const arg of args) bytes += ARGUMENT_BYTES + arg.length
  return bytes
}
