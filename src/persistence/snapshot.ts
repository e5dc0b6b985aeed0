/**
 * A point-in-time snapshot without fork.
 *
 * `Snapshot.begin` cuts: from then on the tables give new keys slots behind the end of the walk, so the walker never
 * meets them. It goes through the slots in order, a slice at a time, while commands change the data behind and before it.
 * Right before a key changes that it has not passed, `beforeChange` writes that key as it was, and the walk skips it later.
 *
 *     slots   0 ──────── walked ────────▶ at ········ ahead ········ end │ keys born after the cut
 *                                               ▲ changed: written early, marked
 *
 * A flushed or swapped database leaves its table behind, and the walk goes on in it. A big value is written in steps; what
 * has to be written early meanwhile waits beside it until it is finished, and who changes the big value itself
 * finishes it first.
 *
 * Bounds: a slice writes about as many bytes as its budget. What is written early waits in memory until the
 * driver takes it; a driver whose reader is slow therefore stops calling `slice`, and then at most the part of the data set
 * that changes before the walk reaches it is held. Marks cost one bit per slot of a table that is changed.
 */

import { invariant } from '../base/invariant.js'
import type { Bytes, Offset, UnixMillis } from '../base/units.js'
import type { Database } from '../engine/database.js'
import type { HashTable } from '../engine/hash-table.js'
import type { EngineSettings } from '../engine/settings.js'
import type { Value } from '../engine/value.js'
import { RdbOutput } from './rdb/output.js'
import { isBig, type Steps } from './rdb/value-writer.js'
import { formOf, type SnapshotForm } from './snapshot-form.js'

/** What the snapshot says about the replication stream at its cut. */
export interface SnapshotReplication {
  readonly replid: string
  readonly offset: Offset
  /** The database that the stream has selected at the cut. */
  readonly streamDb: number
}

export interface SnapshotOptions {
  /** The Redis version we claim to be. */
  readonly redisVersion: string
  readonly now: UnixMillis
  readonly usedMemory: number
  readonly replication: SnapshotReplication | undefined
  /** It is the base of an AOF. */
  readonly isAofBase: boolean
  /** Libraries of functions, as their code. */
  readonly functions: readonly Bytes[]
  /** What goes into it; replicas may ask for less than everything. */
  readonly filter: 'everything' | 'functions' | 'nothing'
  /** `rdbcompression`, `rdbchecksum`. */
  readonly compression: boolean
  readonly checksum: boolean
  /** An RDB unless stated, or the commands that make the same data: the base of an AOF may be either. */
  readonly form?: 'rdb' | 'commands'
  /** `aof-timestamp-enabled`: commands begin by saying when they were written. */
  readonly timestamp?: boolean
}

/** What a slot costs that turns out to be free, in bytes of the budget. */
const FREE_SLOT_BYTES = 4
/** What an entry costs beyond its bytes. */
const ENTRY_BYTES = 64

/** Of a slice, between two looks at the time. */
const STEPS_PER_LOOK = 32
const never = (): boolean => false

export class Snapshot {
  readonly #out: RdbOutput
  /** Entries written early while a big value is under way. */
  readonly #early: RdbOutput
  readonly #walks: Walk[]
  readonly #databases: readonly Database[]
  readonly #form: SnapshotForm
  /** The database that a reader of the bytes so far has selected. */
  #selected = -1
  #walkIndex = 0
  #big: BigEntry | undefined
  #done = false
  #keys = 0

  /** Cuts now: what is in `databases` at this moment will be in the snapshot. */
  static begin(databases: readonly Database[], settings: EngineSettings, options: SnapshotOptions): Snapshot {
    return new Snapshot(databases, settings, options)
  }

  private constructor(databases: readonly Database[], settings: EngineSettings, options: SnapshotOptions) {
    this.#databases = databases
    this.#form = formOf(settings, options)
    this.#out = new RdbOutput(options.compression)
    this.#early = new RdbOutput(options.compression)
    const cut = options.filter === 'everything' ? databases.filter(({ size }) => size > 0) : []
    this.#walks = cut.map(database => new Walk(database))
    this.#form.header(this.#out)
  }

  /** Everything is written, the checksum included; what is left is to take it. */
  get done(): boolean {
    return this.#done
  }

  /** Keys written so far. */
  get keys(): number {
    return this.#keys
  }

  /** Bytes that wait to be taken. */
  get pendingBytes(): number {
    return this.#out.pending + this.#early.pending
  }

  /** Bytes of the snapshot so far: its length once it is done and taken. */
  get totalBytes(): number {
    return this.#out.total
  }

  /** The bytes written since the last call. They stay as they are until they are recycled. */
  take(): Buffer {
    return this.#out.take()
  }

  /** The driver has passed on what `take` gave it. Optional: it spares the garbage collector a block of external memory. */
  recycle(bytes: Buffer): void {
    this.#out.recycle(bytes)
  }

  /** Writes on until about `budgetBytes` are written, or time `isOver`; answers whether that was the end. */
  slice(budgetBytes: number, isOver: () => boolean = never): boolean {
    let budget = budgetBytes
    for (let steps = 1; budget > 0 && !this.#done; steps++) {
      if (steps % STEPS_PER_LOOK === 0 && isOver()) break
      const before = this.#out.pending
      const spent = this.#big === undefined ? this.#advance() : this.#continueBig(this.#big)
      budget -= spent + this.#out.pending - before
    }
    return this.#done
  }

  /** A key is about to change, with its old state still in place. To be called for every change until `done`. */
  beforeChange(db: number, key: Bytes): void {
    if (this.#done) return
    const table = this.#databases[db]?.table
    for (let index = this.#walkIndex; index < this.#walks.length; index++) {
      const walk = this.#walks[index] as Walk
      if (walk.table === table) return this.#writeEarly(walk, key)
    }
  }

  /** Nobody wants the snapshot any more; without effect when it is done. */
  abandon(): void {
    for (; this.#walkIndex < this.#walks.length; this.#walkIndex++) (this.#walks[this.#walkIndex] as Walk).finish()
    this.#big = undefined
    this.#done = true
  }

  /** One step of the walk; answers what it costs beyond the bytes written. */
  #advance(): number {
    const walk = this.#walks[this.#walkIndex]
    if (walk === undefined) return this.#end()
    if (walk.at >= walk.end) {
      walk.finish()
      this.#walkIndex++
      return ENTRY_BYTES
    }
    const slot = walk.at++
    const key = walk.table.keyAt(slot)
    if (key === undefined || walk.isMarked(slot)) return FREE_SLOT_BYTES
    this.#select(this.#out, walk)
    const value = walk.table.valueAt(slot)
    if (isBig(value)) this.#beginBig(walk, slot, key, value)
    else this.#write(this.#out, walk, slot, key, value)
    return ENTRY_BYTES
  }

  #end(): number {
    this.#form.end(this.#out)
    this.#done = true
    return 0
  }

  #writeEarly(walk: Walk, key: Bytes): void {
    const slot = walk.table.slotOf(key)
    // Born after the cut, passed, or written early already.
    if (slot < 0 || slot >= walk.end || walk.isMarked(slot)) return
    if (slot < walk.at) return this.#finishIfBig(walk, slot)
    walk.mark(slot)
    const out = this.#big === undefined ? this.#out : this.#early
    this.#select(out, walk)
    this.#write(out, walk, slot, key, walk.table.valueAt(slot))
  }

  #finishIfBig(walk: Walk, slot: number): void {
    const big = this.#big
    if (big === undefined || big.walk !== walk || big.slot !== slot) return
    for (const _ of big.steps);
    this.#endBig()
  }

  #write(out: RdbOutput, walk: Walk, slot: number, key: Bytes, value: Value): void {
    this.#form.entry(out, key, value, walk.table.expireAt(slot))
    this.#keys++
  }

  #beginBig(walk: Walk, slot: number, key: Bytes, value: Value): void {
    this.#keys++
    const steps = this.#form.bigEntry(this.#out, key, value, walk.table.expireAt(slot))
    if (steps !== undefined) this.#big = { walk, slot, steps }
  }

  #continueBig(big: BigEntry): number {
    if (big.steps.next().done === true) this.#endBig()
    return ENTRY_BYTES
  }

  /** What was written early meanwhile can follow now. */
  #endBig(): void {
    this.#big = undefined
    if (this.#early.pending > 0) this.#out.raw(this.#early.take())
  }

  #select(out: RdbOutput, walk: Walk): void {
    if (this.#selected === walk.db) return
    this.#selected = walk.db
    this.#form.select(out, walk.db, walk.announced ? undefined : walk)
    walk.announced = true
  }
}

interface BigEntry {
  readonly walk: Walk
  readonly slot: number
  readonly steps: Steps
}

/** The way through the table that one database had at the cut. */
class Walk {
  readonly db: number
  readonly table: HashTable<Value>
  readonly keys: number
  readonly volatileKeys: number
  readonly end: number
  at = 0
  /** Its sizes are in the snapshot. */
  announced = false
  /** One bit per slot: written early. */
  #marks: Uint8Array | undefined

  constructor(database: Database) {
    this.db = database.index
    this.table = database.table
    this.keys = database.size
    this.volatileKeys = database.volatileSize
    this.end = this.table.freeze()
  }

  mark(slot: number): void {
    this.#marks ??= new Uint8Array((this.end + 7) >> 3)
    this.#marks[slot >> 3] = (this.#marks[slot >> 3] as number) | (1 << (slot & 7))
  }

  isMarked(slot: number): boolean {
    return this.#marks !== undefined && ((this.#marks[slot >> 3] as number) & (1 << (slot & 7))) !== 0
  }

  finish(): void {
    invariant(this.at <= this.end, 'the walk has left its table')
    this.table.thaw()
  }
}
