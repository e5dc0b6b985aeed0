/**
 * One numbered database: keys, values, expiries. It knows when a key is over, not what follows from that.
 *
 * Entries live in the table's slots; see hash-table.ts for what that gives to walkers. FLUSHDB and SWAPDB put another
 * table in place, so whoever holds the old one may go on reading it.
 */
import type { Bytes, UnixMillis } from '../base/units.js'
import { HashTable } from './hash-table.js'
import { valueBytes } from './memory.js'
import type { Value } from './value.js'

/** A moment of the wall clock. */
const EXPIRY = 8

export class Database {
  table: HashTable<Value>

  constructor(
    readonly index: number,
    readonly seed: number,
  ) {
    this.table = new HashTable(seed, valueBytes)
  }

  get size(): number {
    return this.table.size
  }

  /** Keys with an expiry. */
  get volatileSize(): number {
    return this.table.volatileSize
  }

  /** Bytes of all keys and values. */
  get weight(): number {
    return this.table.weight + this.table.volatileSize * EXPIRY
  }

  /** The value as it is, expired or not. */
  get(key: Bytes): Value | undefined {
    return this.table.get(key)
  }

  /** When the key expires, 0 for never; undefined when there is no such key. */
  expireAt(key: Bytes): UnixMillis | undefined {
    const slot = this.table.slotOf(key)
    return slot < 0 ? undefined : this.table.expireAt(slot)
  }

  /** Puts a key in place without telling anybody: for loading. */
  load(key: Bytes, value: Value, expireAt: UnixMillis = 0): void {
    const slot = this.table.set(key, value)
    this.table.setExpireAt(slot, expireAt)
  }

  delete(key: Bytes): boolean {
    return this.table.delete(key)
  }

  /** Empties the database at once; the answered table is nobody's any more. */
  clear(): HashTable<Value> {
    const old = this.table
    this.table = new HashTable(this.seed, valueBytes)
    return old
  }
}
