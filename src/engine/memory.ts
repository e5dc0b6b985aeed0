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
  return ENTRY + textBytes(key) + valueBytes(value)
}

export function valueBytes(value: Value): number {
  if (typeof value === 'string') return textBytes(value)
  return Buffer.isBuffer(value) ? BUFFER_HEAD + roomOf(value) : value.weight
}

/** A small Buffer may be a part of a block that others share; a grown one has room behind it. */
function roomOf(value: Buffer): number {
  const { byteLength } = value.buffer
  return byteLength === Buffer.poolSize ? value.length : byteLength
}

/** Collections that a call may change in their place, and what they weighed before. One, nearly always. */
export class Scales {
  #table: HashTable<Value> | undefined
  #value: Collection | undefined
  #before = 0
  /** From the second on. */
  readonly #others: { readonly table: HashTable<Value>; readonly value: Collection; readonly before: number }[] = []

  put(table: HashTable<Value>, value: Collection): void {
    if (value === this.#value) return
    if (this.#value !== undefined) return this.#putBeside(table, value)
    this.#table = table
    this.#value = value
    this.#before = value.weight
  }

  #putBeside(table: HashTable<Value>, value: Collection): void {
    if (!this.#others.some(other => other.value === value)) this.#others.push({ table, value, before: value.weight })
  }

  /**
   * Adds what has changed. That is right for values that left their table meanwhile as well: they took with them what they
   * weighed then, which is what they weigh now.
   */
  settle(): void {
    if (this.#value === undefined) return
    ;(this.#table as HashTable<Value>).weight += this.#value.weight - this.#before
    this.#table = this.#value = undefined
    for (const { table, value, before } of this.#others) table.weight += value.weight - before
    this.#others.length = 0
  }
}
