/**
 * WAIT: clients that wait until enough replicas have acknowledged their last write.
 */
import type { Bytes, Millis } from '../base/units.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

export class WaitingAcks {
  readonly #sessions = new Set<Session>()
  #asked = false

  constructor(private readonly server: NodeServer) {}

  get count(): number {
    return this.#sessions.size
  }

  /** `timeoutMs` 0: for ever. */
  park(session: Session, replicas: number, timeoutMs: Millis): void {
    session.parked = { on: 'acks', offset: session.writeOffset, replicas }
    this.#sessions.add(session)
    if (timeoutMs > 0) {
      session.cancelTimeout = this.server.clock.after(timeoutMs, () => {
        this.unblock(session, undefined)
        this.server.dispatcher.settle()
      })
    }
    this.#ask()
  }

  /** One question to the replicas for all who begin to wait in this turn. */
  #ask(): void {
    if (this.#asked) return
    this.#asked = true
    queueMicrotask(() => {
      this.#asked = false
      this.server.repl.getack()
    })
  }

  serve(): void {
    for (const session of [...this.#sessions]) {
      if (session.parked?.on !== 'acks') continue
      const acked = this.server.repl.replicas.countAcked(session.parked.offset)
      if (acked >= session.parked.replicas) this.#answer(session, acked)
    }
  }

  /** The time is over, or CLIENT UNBLOCK: the count as it is, or an error. */
  unblock(session: Session, error: Bytes | undefined): void {
    if (session.parked?.on !== 'acks') return
    if (error === undefined) this.#answer(session, this.server.repl.replicas.countAcked(session.parked.offset))
    else this.#fail(session, error)
  }

  /** The role has changed. */
  dismissAll(error: Bytes): void {
    for (const session of [...this.#sessions]) {
      this.#fail(session, error)
      session.close()
    }
  }

  forget(session: Session): void {
    this.#sessions.delete(session)
  }

  #answer(session: Session, acked: number): void {
    session.out.integer(acked)
    this.#release(session)
  }

  #fail(session: Session, error: Bytes): void {
    session.out.error(error)
    this.#release(session)
  }

  #release(session: Session): void {
    this.forget(session)
    session.unpark()
    session.peer.flushSoon()
  }
}
