/**
 * WATCH: which sessions want to know whether a key changed before their EXEC.
 *
 * A key that expires between the two has changed, though nobody touched it; one that was expired already when it was
 * watched, and is removed only now, has not.
 */
import type { Bytes, UnixMillis } from '../base/units.js'
import type { Engine } from '../engine/engine.js'
import type { HashTable } from '../engine/hash-table.js'
import type { Value } from '../engine/value.js'
import { listedBytes } from './client-memory.js'
import type { Session } from './session.js'

export class Watches {
  /** Per database, per key. */
  readonly #sessions = new Map<number, Map<Bytes, Set<Session>>>()
  #count = 0

  constructor(private readonly engine: Engine) {}

  /** Nobody watches anything: the engine's reports need not be looked at. */
  get none(): boolean {
    return this.#count === 0
  }

  add(session: Session, db: number, key: Bytes, now: UnixMillis): void {
    let keys = this.#sessions.get(db)
    if (keys === undefined) this.#sessions.set(db, (keys = new Map()))
    let sessions = keys.get(key)
    if (sessions === undefined) keys.set(key, (sessions = new Set()))
    if (sessions.has(session)) return
    sessions.add(session)
    session.watched.push({ db, key, expired: this.#isExpired(db, key, now) })
    session.listedBytes += listedBytes(key)
    this.#count++
  }

  /** A watched key's time ran out since it was watched. */
  anyExpired(session: Session, now: UnixMillis): boolean {
    return session.watched.some(({ db, key, expired }) => !expired && this.#isExpired(db, key, now))
  }

  /** What was over when it was watched was merely removed; what happens to the key from now on counts. */
  #onlyExpired(session: Session, db: number, key: Bytes): boolean {
    const watched = session.watched.find(one => one.expired && one.db === db && one.key === key)
    if (watched === undefined || this.engine.database(db).expireAt(key) !== undefined) return false
    watched.expired = false
    return true
  }

  #isExpired(db: number, key: Bytes, now: UnixMillis): boolean {
    const at = this.engine.database(db).expireAt(key)
    return at !== undefined && at !== 0 && now > at
  }

  forget(session: Session): void {
    for (const { db, key } of session.watched) {
      const keys = this.#sessions.get(db)
      const sessions = keys?.get(key)
      if (sessions?.delete(session) !== true) continue
      session.listedBytes -= listedBytes(key)
      this.#count--
      if (sessions.size === 0) keys?.delete(key)
    }
    session.watched.length = 0
    session.watchBroken = false
  }

  /** `key` undefined: every key of the database. */
  touch(db: number, key: Bytes | undefined): void {
    const keys = this.#sessions.get(db)
    if (keys === undefined) return
    if (key !== undefined) {
      for (const session of keys.get(key) ?? []) if (!this.#onlyExpired(session, db, key)) session.watchBroken = true
      return
    }
    for (const sessions of keys.values()) for (const session of sessions) session.watchBroken = true
  }

  /**
   * Another table is in place of `before`: keys that were in neither have not changed. Expired ones count as missing, unless
   * they were alive when they were watched.
   */
  replaced(db: number, before: HashTable<Value>, now: UnixMillis): void {
    const { table } = this.engine.database(db)
    for (const [key, sessions] of this.#sessions.get(db) ?? []) {
      const existed = before.has(key)
      if (!existed && !table.has(key)) continue
      const alive = table.has(key) && !this.#isExpired(db, key, now)
      for (const session of sessions) {
        const watched = session.watched.find(one => one.db === db && one.key === key)
        if (watched === undefined) continue
        if (!alive && (watched.expired || !existed)) watched.expired = table.has(key)
        else session.watchBroken = true
      }
    }
  }
}
