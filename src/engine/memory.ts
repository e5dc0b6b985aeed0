/**
 * What a key weighs with all that belongs to it, and what several of them weigh together.
 *
 * Redis knows what its allocator gave out. V8's heap says nothing of use: it holds what the collector has not yet found,
 * so a limit held against it would evict keys because of garbage, and again and again, as evicting frees nothing at once.
 * So `maxmemory` is held against an account of our own:
 *
 *     table.weight      the sum of `entryBytes` over a database, changed with every entry that comes, goes or is replaced
 *     value.weight      what a collection weighs, known at any time; see types/weight.ts
 *     Scales            what a command did to collections in their place, added to the table when it is done
 *
 * That is exact with respect to itself: the same data weighs the same, whatever happened before, and what is deleted is
 * free at once. It costs SET two additions, and GET nothing.
 */
import type { Bytes } from '../base/units.js'
import type { HashTable } from './hash-table.js'
import { ENTRY, textBytes } from './types/weight.js'
import type { Collection, Value } from './value.js'

const BUFFER_HEAD = 96

/** Bytes of a key and its value: what MEMORY USAGE answers. */
export function entryBytes(key: Bytes, value: Value): number {
  const own = ENTRY + textBytes(key)
  if (typeof value === 'string') return own + textBytes(value)
  return own + (Buffer.isBuffer(value) ? BUFFER_HEAD + roomOf(value) : value.weight)
}

/** A small Buffer may be a part of a block that others share; a grown one has room behind it. */
function roomOf(value: Buffer): number {
  const { byteLength } = value.buffer
  return byteLength === Buffer.poolSize ? value.length : byteLength
}

/** Collections that a call may change in their place, and what they weighed before. */
export class Scales {
  #count = 0
  readonly #tables: (HashTable<Value> | undefined)[] = []
  readonly #values: (Collection | undefined)[] = []
  readonly #before: number[] = []

  put(table: HashTable<Value>, value: Collection): void {
    for (let at = 0; at < this.#count; at++) if (this.#values[at] === value) return
    const at = this.#count++
    this.#tables[at] = table
    this.#values[at] = value
    this.#before[at] = value.weight
  }

  /**
   * Adds what has changed. That is right for values that left their table meanwhile as well: they took with them what they
   * weighed then, which is what they weigh now.
   */
  settle(): void {
    for (let at = 0; at < this.#count; at++) {
      const table = this.#tables[at] as HashTable<Value>
      table.weight += (this.#values[at] as Collection).weight - (this.#before[at] as number)
      this.#tables[at] = this.#values[at] = undefined
    }
    this.#count = 0
  }
}
