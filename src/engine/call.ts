/**
 * One execution of one command: what a handler sees of the world.
 *
 * A handler reads its arguments, asks for keys through `read…` or `write…`, changes values, says `modified` for each key
 * it changed, and replies. When it is done, a call that modified something is propagated: as it is, or as the handler
 * said with `propagateAs`.
 *
 * Expired keys are settled here, at the look-up: a master removes them and propagates that, a replica only does not see
 * them, and what comes from our own master sees everything as it lies.
 */
import type { Bytes, UnixMillis } from '../base/units.js'
import type { CommandSpec } from '../command/table.js'
import type { ReplyWriter } from '../resp/reply.js'
import type { Database } from './database.js'
import type { Engine } from './engine.js'
import type { Blocked, Caller, EngineHost, NotifyClass } from './host.js'
import { Scales } from './memory.js'
import { WRONG_TYPE } from './refusal.js'
import type { EngineSettings } from './settings.js'
import { HashValue } from './types/hash.js'
import { ListValue } from './types/list.js'
import { SetValue } from './types/set.js'
import { SortedSetValue } from './types/sorted-set.js'
import { StreamValue } from './types/stream.js'
import { type Collection, isString, type StringValue, type Value } from './value.js'

/** Answers the reply through the writer; what is returned counts only when the command has to wait. */
export type Handler = (call: Call, args: readonly Bytes[], reply: ReplyWriter) => Blocked | void

export class Call {
  /** How many changes were made, as save points count them; a call without any is not propagated. */
  dirty = 0
  /** undefined: the call itself. */
  effects: (readonly Bytes[])[] | undefined
  readonly host: EngineHost
  readonly settings: EngineSettings
  /** What is changed in its place is weighed again at the end. */
  readonly scales = new Scales()

  constructor(
    readonly engine: Engine,
    public spec: CommandSpec,
    public db: Database,
    public caller: Caller,
    public now: UnixMillis,
  ) {
    this.host = engine.host
    this.settings = engine.settings
  }

  // ── Looking up ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The slot of a key that is there and not expired, or -1. */
  find(key: Bytes): number {
    const { table } = this.db
    const slot = table.slotOf(key)
    if (slot < 0) return -1
    const at = table.expireAt(slot)
    if (at === 0 || this.now <= at || this.caller.origin === 'master') return slot
    // A client's write on a replica: it is a writable one, and what is about to be written must find the place free.
    if (this.engine.isReplica && this.spec.access === 'write') this.engine.expireOnReplica(this.db, key)
    else this.engine.expireIfMaster(this.db, key)
    return -1
  }

  /** The value, without counting as an access. */
  peek(key: Bytes): Value | undefined {
    const slot = this.find(key)
    return slot < 0 ? undefined : this.db.table.valueAt(slot)
  }

  read(key: Bytes): Value | undefined {
    const slot = this.find(key)
    const { engine, db } = this
    if (slot < 0) {
      engine.stats.misses++
      return undefined
    }
    engine.stats.hits++
    engine.noteAccess(db.table, slot, this.now)
    return db.table.valueAt(slot)
  }

  /** For a value that is about to change, be replaced or removed. */
  write(key: Bytes): Value | undefined {
    const slot = this.find(key)
    if (slot < 0) return undefined
    this.host.beforeChange(this.db.index, key)
    this.engine.noteAccess(this.db.table, slot, this.now)
    return this.db.table.valueAt(slot)
  }

  /** The same for a collection: it is weighed before and after. */
  #weighed<V extends Collection>(value: V | undefined): V | undefined {
    if (value !== undefined) this.scales.put(this.db.table, value)
    return value
  }

  readString(key: Bytes): StringValue | undefined {
    return asString(this.read(key))
  }

  readList(key: Bytes): ListValue | undefined {
    return asList(this.read(key))
  }

  readHash(key: Bytes): HashValue | undefined {
    return asHash(this.read(key))
  }

  readSet(key: Bytes): SetValue | undefined {
    return asSet(this.read(key))
  }

  readSortedSet(key: Bytes): SortedSetValue | undefined {
    return asSortedSet(this.read(key))
  }

  readStream(key: Bytes): StreamValue | undefined {
    return asStream(this.read(key))
  }

  writeString(key: Bytes): StringValue | undefined {
    return asString(this.write(key))
  }

  writeList(key: Bytes): ListValue | undefined {
    return this.#weighed(asList(this.write(key)))
  }

  writeHash(key: Bytes): HashValue | undefined {
    return this.#weighed(asHash(this.write(key)))
  }

  writeSet(key: Bytes): SetValue | undefined {
    return this.#weighed(asSet(this.write(key)))
  }

  writeSortedSet(key: Bytes): SortedSetValue | undefined {
    return this.#weighed(asSortedSet(this.write(key)))
  }

  writeStream(key: Bytes): StreamValue | undefined {
    return this.#weighed(asStream(this.write(key)))
  }

  // ── Changing ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Adds a key that is not there. */
  add<V extends Value>(key: Bytes, value: V): V {
    const slot = this.db.table.add(key, value)
    if (typeof value !== 'string' && !Buffer.isBuffer(value)) this.scales.put(this.db.table, value)
    this.engine.noteCreation(this.db.table, slot, this.now)
    this.host.notify('n', 'new', this.db.index, key)
    if (mayBeWaitedFor(value)) this.host.ready(this.db.index, key)
    return value
  }

  /** Adds or replaces; an expiry goes unless it is to be kept. */
  put(key: Bytes, value: Value, keepExpiry = false): void {
    const { table } = this.db
    const slot = this.find(key)
    if (slot < 0) {
      this.add(key, value)
      return
    }
    this.host.beforeChange(this.db.index, key)
    // Who waits for a group of it must hear that the stream is gone.
    if (table.valueAt(slot) instanceof StreamValue) this.host.ready(this.db.index, key)
    if (this.settings.lazyfreeLazyServerDel) this.engine.noteLazyFree(table.valueAt(slot))
    table.setValueAt(slot, value)
    if (typeof value !== 'string' && !Buffer.isBuffer(value)) this.scales.put(table, value)
    this.engine.noteAccess(table, slot, this.now)
    if (!keepExpiry) table.setExpireAt(slot, 0)
    if (mayBeWaitedFor(value)) this.host.ready(this.db.index, key)
  }

  /** Changes the value of a key that `write` has just found, and nothing else about it. */
  replace(key: Bytes, value: Value): void {
    const { table } = this.db
    table.setValueAt(table.slotOf(key), value)
  }

  /** Removes a key; answers whether it was there. */
  remove(key: Bytes, lazy = false): boolean {
    const slot = this.find(key)
    if (slot < 0) return false
    this.host.beforeChange(this.db.index, key)
    const value = this.db.table.valueAt(slot)
    // Who reads a stream with a group and waits must hear that it is gone.
    if (value instanceof StreamValue) this.host.ready(this.db.index, key)
    if (lazy) this.engine.noteLazyFree(value)
    return this.db.table.delete(key)
  }

  /** Removes a collection that has become empty. */
  removeEmpty(key: Bytes): void {
    this.db.table.delete(key)
    this.host.notify('g', 'del', this.db.index, key)
  }

  /** When a key that is there expires; 0 for never. */
  expireAt(key: Bytes): UnixMillis {
    return this.db.expireAt(key) ?? 0
  }

  setExpireAt(key: Bytes, at: UnixMillis): void {
    const { table } = this.db
    const slot = table.slotOf(key)
    this.host.beforeChange(this.db.index, key)
    table.setExpireAt(slot, at)
    if (at !== 0 && this.engine.isReplica && this.caller.origin !== 'master') this.engine.noteOwnExpiry(this.db, key)
  }

  // ── Telling ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A key was changed, in so many of its items: for WATCH, tracking, notifications and propagation. */
  modified(key: Bytes, type: NotifyClass, event: string, changes = 1): void {
    this.dirty += changes
    this.host.changed(this.db.index, key)
    this.host.notify(type, event, this.db.index, key)
  }

  /** The same for a change that has no event of its own. */
  changed(key: Bytes): void {
    this.dirty++
    this.host.changed(this.db.index, key)
  }

  notify(type: NotifyClass, event: string, key: Bytes): void {
    this.host.notify(type, event, this.db.index, key)
  }

  /** What enters the stream instead of the call; several times for several commands. */
  propagateAs(...args: readonly Bytes[]): void {
    if (this.effects === undefined) this.effects = [args]
    else this.effects.push(args)
  }

  /** Replicas do not need to hear of it. */
  propagateNothing(): void {
    this.effects ??= []
  }

  random(): number {
    return this.engine.random()
  }

  // ── Waiting ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The answer of a blocking command that found nothing. `serve` is called when a key is ready, as a new call, and answers
   * whether it replied.
   */
  block(
    keys: readonly Bytes[],
    deadline: UnixMillis | undefined,
    serve: (call: Call, reply: ReplyWriter) => boolean,
    timedOut: (reply: ReplyWriter) => void,
  ): Blocked | undefined {
    const { engine, spec, caller, db } = this
    return {
      db: db.index,
      keys,
      deadline,
      retry: (reply, now) => engine.retry(spec, db.index, caller, reply, now, serve),
      timedOut,
    }
  }
}

export function asString(value: Value | undefined): StringValue | undefined {
  if (value === undefined || isString(value)) return value
  throw WRONG_TYPE
}

export function asList(value: Value | undefined): ListValue | undefined {
  if (value === undefined || value instanceof ListValue) return value
  throw WRONG_TYPE
}

export function asHash(value: Value | undefined): HashValue | undefined {
  if (value === undefined || value instanceof HashValue) return value
  throw WRONG_TYPE
}

export function asSet(value: Value | undefined): SetValue | undefined {
  if (value === undefined || value instanceof SetValue) return value
  throw WRONG_TYPE
}

export function asSortedSet(value: Value | undefined): SortedSetValue | undefined {
  if (value === undefined || value instanceof SortedSetValue) return value
  throw WRONG_TYPE
}

export function asStream(value: Value | undefined): StreamValue | undefined {
  if (value === undefined || value instanceof StreamValue) return value
  throw WRONG_TYPE
}

function mayBeWaitedFor(value: Value): boolean {
  return value instanceof ListValue || value instanceof SortedSetValue || value instanceof StreamValue
}
