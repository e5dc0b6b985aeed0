/**
 * The data set, and the one door to it.
 *
 *     node ── execute(spec, args, caller, reply, now) ──▶ handler ──▶ values
 *       ▲                                                    │
 *       └──── EngineHost: propagate changed ready notify ◀───┘
 *
 * The engine owns every command that reads or writes data. Sessions, transactions, replication, and all that needs a
 * socket or a clock are the node's. The node has checked arity and permission before it calls `execute`.
 */
import type { Bytes, UnixMillis } from '../base/units.js'
import type { CommandSpec } from '../command/table.js'
import { builtinTable } from '../command/table.js'
import type { ReplyWriter } from '../resp/reply.js'
import { Call, type Handler } from './call.js'
import { handlers } from './commands/index.js'
import { Database } from './database.js'
import { type EvictionPolicy, findVictim } from './eviction.js'
import type { HashTable } from './hash-table.js'
import type { Blocked, Caller, EngineHost } from './host.js'
import { Refusal } from './refusal.js'
import { defaultSettings, type EngineSettings } from './settings.js'
import { seedMembers } from './types/members.js'
import { StreamValue } from './types/stream.js'
import { freeingEffort, type Value } from './value.js'

export interface EngineOptions {
  readonly databases?: number
  /** Chance, [0, 1). */
  readonly random: () => number
  /** Handlers of other rooms, by full command name: DUMP and RESTORE need the snapshot format, EVAL a language. */
  readonly handlers?: Readonly<Record<string, Handler>>
}

export interface EngineStats {
  hits: number
  misses: number
  expired: number
  evicted: number
  /** Values and keys given up lazily: what Redis would have handed to its background thread. */
  lazyfreed: number
}

export class Engine {
  /** When the data came from a snapshot: of its keys nothing else is noted. */
  dataSince: UnixMillis = 0
  readonly databases: Database[]
  readonly settings: EngineSettings = defaultSettings()
  readonly stats: EngineStats = { hits: 0, misses: 0, expired: 0, evicted: 0, lazyfreed: 0 }
  readonly random: () => number
  /** A replica leaves expired keys in place until its master deletes them; clients do not see them meanwhile. */
  isReplica = false
  /** Of a writable replica: keys that its own clients gave an expiry, which no master will delete. */
  readonly #ownVolatile = new Map<Database, Set<Bytes>>()
  /** The same for a master during CLIENT PAUSE: nothing may change. */
  expiryPaused = false
  /** By id of the spec; undefined: the command is the node's. */
  readonly #handlers: readonly (Handler | undefined)[]
  #idleCall: Call | undefined
  #expireDb = 0
  #expireSlot = 0

  constructor(
    readonly host: EngineHost,
    options: EngineOptions,
  ) {
    this.random = options.random
    seedMembers(this.random() * 2 ** 32)
    this.databases = Array.from(
      { length: options.databases ?? 16 },
      (_, index) => new Database(index, (this.random() * 2 ** 32) | 0),
    )
    const added = new Map(Object.entries(options.handlers ?? {}))
    this.#handlers = builtinTable.specs.map(spec => added.get(spec.name) ?? handlers.get(spec.name))
  }

  /** True when `execute` serves this command. */
  handles(spec: CommandSpec): boolean {
    return this.#handlers[spec.id] !== undefined
  }

  database(index: number): Database {
    return this.databases[index] as Database
  }

  /**
   * Runs one command whose arity has been checked. Writes exactly one reply, or none when the command has to wait; then
   * what it waits for is answered.
   */
  execute(
    spec: CommandSpec,
    args: readonly Bytes[],
    caller: Caller,
    reply: ReplyWriter,
    now: UnixMillis,
  ): Blocked | undefined {
    const call = this.#begin(spec, caller.db, caller, now)
    const handler = this.#handlers[spec.id] as Handler
    let blocked: Blocked | undefined
    try {
      blocked = handler(call, args, reply) ?? undefined
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      reply.error(error.text)
    }
    this.#finish(call, args)
    return blocked
  }

  /** Serves a command that waits, as a call of its own; see `Call.block`. */
  retry(
    spec: CommandSpec,
    db: number,
    caller: Caller,
    reply: ReplyWriter,
    now: UnixMillis,
    serve: (call: Call, reply: ReplyWriter) => boolean,
  ): boolean {
    const call = this.#begin(spec, db, caller, now)
    call.effects = []
    let served = true
    try {
      served = serve(call, reply)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      reply.error(error.text)
    }
    this.#finish(call, [])
    return served
  }

  #begin(spec: CommandSpec, db: number, caller: Caller, now: UnixMillis): Call {
    const call = this.#idleCall
    if (call === undefined) return new Call(this, spec, this.database(db), caller, now)
    this.#idleCall = undefined
    call.spec = spec
    call.db = this.database(db)
    call.caller = caller
    call.now = now
    call.dirty = 0
    call.effects = undefined
    return call
  }

  #finish(call: Call, args: readonly Bytes[]): void {
    call.scales.settle()
    if (call.dirty > 0) {
      this.host.wrote(call.dirty)
      if (call.effects === undefined) this.host.propagate(call.db.index, args)
      else for (const effect of call.effects) this.host.propagate(call.db.index, effect)
    }
    this.#idleCall = call
  }

  /** Bytes of all keys and values. */
  get dataBytes(): number {
    let bytes = 0
    for (const db of this.databases) bytes += db.weight
    return bytes
  }

  // ── Expiry ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A look-up met a key whose time is over: a master removes it, everyone else leaves it to the master. */
  expireIfMaster(db: Database, key: Bytes): void {
    if (!this.isReplica && !this.expiryPaused) this.#expire(db, key)
  }

  /**
   * Removes expired keys, beginning where the last cycle stopped, until `budget` slots have been looked at or there is
   * nothing more to look at; answers how many were removed. Pages without any expiry cost one step.
   */
  expireCycle(now: UnixMillis, budget: number): number {
    if (this.expiryPaused) return 0
    if (this.isReplica) return this.#expireOwn(now, budget)
    let removed = 0
    for (let turns = 0; budget > 0 && turns <= this.databases.length; ) {
      const db = this.databases[this.#expireDb] as Database
      const { table } = db
      if (table.volatileSize === 0 || this.#expireSlot >= table.slotEnd) {
        this.#expireDb = (this.#expireDb + 1) % this.databases.length
        this.#expireSlot = 0
        turns++
        continue
      }
      const { dead, next } = table.expiredFrom(this.#expireSlot, now)
      for (const key of dead) this.#expire(db, key)
      removed += dead.length
      budget -= next - this.#expireSlot
      this.#expireSlot = next
    }
    return removed
  }

  /** A writable replica's client writes to a key whose time is over. */
  expireOnReplica(db: Database, key: Bytes): void {
    if (!this.expiryPaused) this.#expire(db, key)
  }

  noteOwnExpiry(db: Database, key: Bytes): void {
    const keys = this.#ownVolatile.get(db)
    if (keys === undefined) this.#ownVolatile.set(db, new Set([key]))
    else keys.add(key)
  }

  /** How many keys of its own a writable replica will have to expire. */
  get ownVolatileKeys(): number {
    let count = 0
    for (const keys of this.#ownVolatile.values()) count += keys.size
    return count
  }

  /** The role has changed, or all data were replaced: nothing is a writable replica's own any more. */
  forgetOwnExpiry(): void {
    this.#ownVolatile.clear()
  }

  #expireOwn(now: UnixMillis, budget: number): number {
    let removed = 0
    for (const [db, keys] of this.#ownVolatile) {
      let left = keys.size
      for (const key of keys) {
        if (left-- === 0) break
        if (budget-- <= 0) return removed
        const at = db.expireAt(key) ?? 0
        // Those that stay go to the end, so that all have their turn.
        keys.delete(key)
        if (at === 0) continue
        if (now <= at) keys.add(key)
        else {
          this.#expire(db, key)
          removed++
        }
      }
    }
    return removed
  }

  #expire(db: Database, key: Bytes): void {
    this.stats.expired++
    this.#removeByItself(db, key, this.settings.lazyfreeLazyExpire)
    this.host.notify('x', 'expired', db.index, key)
  }

  /** What nobody asked for: replicas and watchers hear of it as of a deletion. */
  #removeByItself(db: Database, key: Bytes, lazy: boolean): void {
    this.host.beforeChange(db.index, key)
    const value = db.get(key)
    if (value instanceof StreamValue) this.host.ready(db.index, key)
    db.table.delete(key)
    if (lazy && value !== undefined) this.noteLazyFree(value)
    this.host.propagate(db.index, [lazy ? 'UNLINK' : 'DEL', key])
    this.host.changed(db.index, key, true)
  }

  // ── Eviction ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Removes the key that the policy finds most dispensable among some drawn ones; undefined when there is none. */
  evict(policy: EvictionPolicy, samples: number, now: UnixMillis): Bytes | undefined {
    const victim = findVictim(this, policy, samples, now)
    if (victim === undefined) return undefined
    this.stats.evicted++
    this.#removeByItself(victim.db, victim.key, this.settings.lazyfreeLazyEviction)
    this.host.notify('e', 'evicted', victim.db.index, victim.key)
    return victim.key
  }

  /** Moves chains of growing tables on; for idle moments. Answers whether there is more to do. */
  rehash(chains: number): boolean {
    let more = false
    for (const { table } of this.databases) more = table.rehash(chains) || more
    return more
  }

  // ── Accesses ──────────────────────────────────────────────────────────────────────────────────────────────────────

  noteAccess(table: HashTable<Value>, slot: number, now: UnixMillis): void {
    if (this.settings.lfu) this.#countAccess(table, slot, now)
    else table.setStampAt(slot, now / 1000)
  }

  noteCreation(table: HashTable<Value>, slot: number, now: UnixMillis): void {
    if (this.settings.lfu) table.setStampAt(slot, ((minutesOf(now) << 8) | LFU_INITIAL) >>> 0)
    else table.setStampAt(slot, now / 1000)
  }

  /** A key that comes from elsewhere, with what was noted about it there; only what the policy in force looks at is kept. */
  noteArrival(table: HashTable<Value>, slot: number, now: UnixMillis, idleSeconds?: number, frequency?: number): void {
    this.noteCreation(table, slot, now)
    if (this.settings.lfu && frequency !== undefined) table.setStampAt(slot, ((minutesOf(now) << 8) | frequency) >>> 0)
    if (!this.settings.lfu && idleSeconds !== undefined)
      table.setStampAt(slot, Math.max(1, Math.floor(now / 1000) - idleSeconds))
  }

  /** Seconds since the last access. */
  idleSeconds(table: HashTable<Value>, slot: number, now: UnixMillis): number {
    const stamp = table.stampAt(slot) || this.dataSince / 1000
    return Math.max(0, Math.floor(now / 1000) - Math.floor(stamp))
  }

  /** The access counter, 0 … 255, after what time has taken from it. */
  frequency(table: HashTable<Value>, slot: number, now: UnixMillis): number {
    const stamp = table.stampAt(slot) || (minutesOf(this.dataSince) << 8) | LFU_INITIAL
    const elapsed = (minutesOf(now) - (stamp >>> 8)) & 0xffff
    const periods = this.settings.lfuDecayTime > 0 ? Math.floor(elapsed / this.settings.lfuDecayTime) : 0
    return Math.max(0, (stamp & 0xff) - periods)
  }

  /** Morris' counter: the more it has counted, the less likely it is to count the next one. */
  #countAccess(table: HashTable<Value>, slot: number, now: UnixMillis): void {
    let counter = this.frequency(table, slot, now)
    const likelihood = 1 / (Math.max(0, counter - LFU_INITIAL) * this.settings.lfuLogFactor + 1)
    if (counter < 255 && this.random() < likelihood) counter++
    table.setStampAt(slot, ((minutesOf(now) << 8) | counter) >>> 0)
  }

  // ── Whole databases ───────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Nobody holds this value any more, and nobody waits until it is gone: V8 finds big things piece by piece, whoever let go
   * of them, so giving up lazily and at once are the same to us. Counted is what Redis finds worth its background thread.
   */
  noteLazyFree(value: Value): void {
    if (typeof value !== 'string' && freeingEffort(value, this.settings) > LAZY_EFFORT) this.stats.lazyfreed++
  }

  /** Empties one database, or all of them, without propagating; answers how many keys there were. */
  flush(index?: number, lazy = false): number {
    let removed = 0
    for (const db of index === undefined ? this.databases : [this.database(index)]) {
      removed += db.size
      this.host.replaced(db.index, db.clear())
      this.host.ready(db.index, undefined)
    }
    if (lazy) this.stats.lazyfreed += removed
    return removed
  }
}

/** Elements up to which Redis frees a value at once. */
const LAZY_EFFORT = 64

/** Where a new key's access counter starts, so that it is not the first to be evicted. */
const LFU_INITIAL = 5

function minutesOf(now: UnixMillis): number {
  return Math.floor(now / 60_000) & 0xffff
}
