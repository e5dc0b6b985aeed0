/**
 * Clients that wait for something to arrive at a key (BLPOP and its kin), in the order they came.
 *
 * The engine says `ready` for a key while it executes; when the command (or transaction) is over, `serve` gives what
 * arrived to those who wait, oldest first, until there is nothing left. Serving one may make other keys ready (BLMOVE).
 */
import type { Bytes, UnixMillis } from '../base/units.js'
import type { CommandSpec } from '../command/table.js'
import type { Blocked } from '../engine/host.js'
import type { NodeServer } from './server.js'
import type { QueuedCommand, Session } from './session.js'

export class WaitingClients {
  /** Per database, per key: the sessions in the order they came. */
  readonly #byKey = new Map<number, Map<Bytes, Set<Session>>>()
  readonly #sessions = new Set<Session>()
  #ready: { readonly db: number; readonly key: Bytes }[] = []

  constructor(private readonly server: NodeServer) {}

  get count(): number {
    return this.#sessions.size
  }

  get anyReady(): boolean {
    return this.#ready.length > 0
  }

  park(session: Session, blocked: Blocked, command: QueuedCommand): void {
    const { clock } = this.server
    session.parked = { on: 'keys', blocked, command, since: clock.now() }
    this.#sessions.add(session)
    for (const key of blocked.keys) this.#waitersOf(blocked.db, key).add(session)
    if (blocked.deadline === undefined) return
    session.cancelTimeout = clock.after(Math.max(1, blocked.deadline - clock.wall()), () => this.timeOut(session))
  }

  /** The engine: something arrived at a key. */
  ready(db: number, key: Bytes): void {
    if (this.#byKey.get(db)?.has(key) === true) this.#ready.push({ db, key })
  }

  /** SWAPDB and a new data set: every key somebody waits for, of one database or all, may have something now. */
  allReady(only?: number): void {
    for (const [db, keys] of this.#byKey)
      if (only === undefined || only === db) for (const key of keys.keys()) this.#ready.push({ db, key })
  }

  serve(now: UnixMillis): void {
    while (this.#ready.length > 0) {
      const batch = this.#ready
      this.#ready = []
      for (const { db, key } of batch) {
        for (const session of [...(this.#byKey.get(db)?.get(key) ?? [])]) this.#serveOne(session, now)
      }
    }
  }

  timeOut(session: Session): void {
    this.#answer(session, blocked => blocked.timedOut(session.out))
    this.server.dispatcher.settle()
  }

  /** Ends the waiting with an error: CLIENT UNBLOCK … ERROR, or a change of role. */
  fail(session: Session, error: Bytes): void {
    const before = session.out.length
    this.#answer(session, (_blocked, { id }) => {
      session.out.error(error)
      const { failed } = this.server.stats
      failed[id] = (failed[id] as number) + 1
      this.server.dispatcher.countFailure(session, before)
    })
  }

  /** The role has changed: what they waited for may come elsewhere, so they are closed as well. */
  dismissAll(error: Bytes): void {
    for (const session of [...this.#sessions]) {
      this.fail(session, error)
      session.close()
    }
  }

  /** Without an answer: the connection is gone. */
  forget(session: Session): void {
    if (session.parked?.on !== 'keys') return
    this.#sessions.delete(session)
    const { db, keys } = session.parked.blocked
    for (const key of keys) {
      const waiters = this.#byKey.get(db)?.get(key)
      waiters?.delete(session)
      if (waiters?.size === 0) this.#byKey.get(db)?.delete(key)
    }
  }

  #serveOne(session: Session, now: UnixMillis): void {
    if (session.parked?.on !== 'keys') return
    const { blocked, command, since } = session.parked
    const { clock, dispatcher, tracking } = this.server
    const before = session.out.length
    // What it changes by being served it hears after the reply.
    const outer = tracking.enter(session)
    const served = blocked.retry(session.out, now)
    tracking.leave(outer)
    if (!served) return
    dispatcher.countBlocked(session, command, clock.now() - since, before)
    // Each client's effects are a unit of their own in the stream.
    dispatcher.endUnit(session)
    this.#release(session)
  }

  #answer(session: Session, write: (blocked: Blocked, spec: CommandSpec) => void): void {
    if (session.parked?.on !== 'keys') return
    write(session.parked.blocked, session.parked.command.spec)
    this.#release(session)
  }

  #release(session: Session): void {
    this.forget(session)
    session.unpark()
    session.peer.flushSoon()
  }

  #waitersOf(db: number, key: Bytes): Set<Session> {
    let keys = this.#byKey.get(db)
    if (keys === undefined) this.#byKey.set(db, (keys = new Map()))
    let waiters = keys.get(key)
    if (waiters === undefined) keys.set(key, (waiters = new Set()))
    return waiters
  }
}
