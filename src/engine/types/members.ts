/**
 * The entries of a hash or a set: two plain arrays while they are few, a hash table from then on.
 *
 * Up to some dozens a search along an array is as fast as hashing, and an empty table alone would weigh more than the
 * entries of a typical small hash.
 */
import type { Bytes } from '../../base/units.js'
import { HashTable } from '../hash-table.js'
import { POINTER, textBytes } from './weight.js'

/** Beyond this many entries the arrays become a table. It never goes back: growth and shrinking would take turns. */
export const FLAT_ENTRIES = 64

export class Members<V> {
  #names: Bytes[] = []
  #values: V[] = []
  /** Of what is in the arrays. */
  #weight = 0
  readonly #weigh: (value: V) => number
  #table: HashTable<V> | undefined

  /** `weigh` says what a value weighs beside the pointer to it. */
  constructor(weigh: (value: V) => number) {
    this.#weigh = weigh
  }

  get size(): number {
    return this.#table === undefined ? this.#names.length : this.#table.size
  }

  get weight(): number {
    return this.#table === undefined ? this.#weight : this.#table.weight
  }

  has(name: Bytes): boolean {
    return this.#table === undefined ? this.#names.includes(name) : this.#table.has(name)
  }

  get(name: Bytes): V | undefined {
    if (this.#table !== undefined) return this.#table.get(name)
    const at = this.#names.indexOf(name)
    return at < 0 ? undefined : this.#values[at]
  }

  /** Answers true when the name is new. */
  set(name: Bytes, value: V): boolean {
    const table = this.#table
    if (table === undefined) {
      const at = this.#names.indexOf(name)
      if (at >= 0) {
        this.#weight += this.#weigh(value) - this.#weigh(this.#values[at] as V)
        this.#values[at] = value
        return false
      }
      if (this.#names.length < FLAT_ENTRIES) {
        this.#names.push(name)
        this.#values.push(value)
        this.#weight += 2 * POINTER + textBytes(name) + this.#weigh(value)
        return true
      }
      this.#becomeTable().add(name, value)
      return true
    }
    const before = table.size
    table.set(name, value)
    return table.size > before
  }

  delete(name: Bytes): boolean {
    if (this.#table !== undefined) return this.#table.delete(name)
    const at = this.#names.indexOf(name)
    if (at < 0) return false
    this.#weight -= 2 * POINTER + textBytes(name) + this.#weigh(this.#values[at] as V)
    this.#names.splice(at, 1)
    this.#values.splice(at, 1)
    return true
  }

  forEach(visit: (name: Bytes, value: V) => void): void {
    if (this.#table !== undefined) this.#table.forEach(visit)
    else for (let at = 0; at < this.#names.length; at++) visit(this.#names[at] as Bytes, this.#values[at] as V)
  }

  /** The names; entries may be changed meanwhile only by deleting the one just given. */
  *names(): Generator<Bytes> {
    if (this.#table !== undefined) yield* this.#table.keys()
    else for (let at = this.#names.length - 1; at >= 0; at--) yield this.#names[at] as Bytes
  }

  /** Any entry, each as likely as the others. There must be one. */
  random(random: () => number): [Bytes, V] {
    if (this.#table === undefined) {
      const at = Math.floor(random() * this.#names.length)
      return [this.#names[at] as Bytes, this.#values[at] as V]
    }
    const slot = this.#table.randomSlot(random)
    return [this.#table.keyAt(slot) as Bytes, this.#table.valueAt(slot)]
  }

  /** Visits some entries and answers the next cursor. Few entries are visited all at once. */
  scan(cursor: number, visit: (name: Bytes, value: V) => void): number {
    if (this.#table !== undefined) return this.#table.scan(cursor, visit)
    this.forEach(visit)
    return 0
  }

  #becomeTable(): HashTable<V> {
    // The seed guards the keyspace against made-up collisions; members get one that differs from table to table.
    const table = new HashTable<V>(nextSeed(), this.#weigh)
    for (let at = 0; at < this.#names.length; at++) table.add(this.#names[at] as Bytes, this.#values[at] as V)
    this.#table = table
    this.#names = []
    this.#values = []
    return table
  }
}

let seed = 0x9e3779b9

/** Sets the start of the seeds, from outside and by chance: once, when an engine is made. */
export function seedMembers(start: number): void {
  seed = start | 0
}

function nextSeed(): number {
  seed = (Math.imul(seed, 0x5bd1e995) + 0x6d2b79f5) | 0
  return seed
}
