/**
 * A hash: fields and their values. While they are few and short all of them are one packed text.
 */
import type { Bytes } from '../../base/units.js'
import type { EngineSettings } from '../settings.js'
import { Members } from './members.js'
import {
  findPair,
  hasRoom,
  ITEM_MAX,
  isItemAt,
  itemAt,
  nextItem,
  nextPair,
  pairAt,
  unpackItems,
  withItems,
} from './packed.js'
import { COLLECTION, textBytes } from './weight.js'

/** Beyond this many fields looking along a text is slower than a table. */
const PACKED_FIELDS = 128

export class HashValue {
  readonly type = 'hash'
  /** What Redis would call the way it is stored. */
  encoding: 'listpack' | 'hashtable' = 'listpack'
  #pairs: Bytes = ''
  #count = 0
  /** Once there was too much for one text. It never goes back: growth and shrinking would take turns. */
  #table: Members<Bytes> | undefined

  get size(): number {
    return this.#table === undefined ? this.#count : this.#table.size
  }

  get weight(): number {
    return COLLECTION + (this.#table === undefined ? textBytes(this.#pairs) : this.#table.weight)
  }

  get(field: Bytes): Bytes | undefined {
    if (this.#table !== undefined) return this.#table.get(field)
    const at = findPair(this.#pairs, field)
    return at < 0 ? undefined : itemAt(this.#pairs, nextItem(this.#pairs, at))
  }

  /** Answers true when the field is new. */
  set(field: Bytes, value: Bytes, settings: EngineSettings): boolean {
    const added = this.#table === undefined ? this.#setPacked(field, value) : this.#table.set(field, value)
    if (this.encoding === 'listpack' && outgrows(this.size, field, value, settings)) this.encoding = 'hashtable'
    return added
  }

  delete(field: Bytes): boolean {
    if (this.#table !== undefined) return this.#table.delete(field)
    const at = findPair(this.#pairs, field)
    if (at < 0) return false
    this.#pairs = withItems(this.#pairs, at, nextPair(this.#pairs, at))
    this.#count--
    return true
  }

  forEach(visit: (field: Bytes, value: Bytes) => void): void {
    if (this.#table !== undefined) return this.#table.forEach(visit)
    const pairs = this.#pairs
    for (let at = 0; at < pairs.length; at = nextPair(pairs, at))
      visit(itemAt(pairs, at), itemAt(pairs, nextItem(pairs, at)))
  }

  /** The fields; entries may be changed meanwhile only by deleting the one just given. */
  *names(): Generator<Bytes> {
    if (this.#table !== undefined) return yield* this.#table.names()
    const pairs = this.#pairs
    for (let at = 0; at < pairs.length; at = nextPair(pairs, at)) yield itemAt(pairs, at)
  }

  /** Any field with its value, each as likely as the others. There must be one. */
  random(random: () => number): [Bytes, Bytes] {
    if (this.#table !== undefined) return this.#table.random(random)
    const at = pairAt(this.#pairs, Math.floor(random() * this.#count))
    return [itemAt(this.#pairs, at), itemAt(this.#pairs, nextItem(this.#pairs, at))]
  }

  /** Visits some entries and answers the next cursor. Few entries are visited all at once. */
  scan(cursor: number, visit: (field: Bytes, value: Bytes) => void): number {
    if (this.#table !== undefined) return this.#table.scan(cursor, visit)
    this.forEach(visit)
    return 0
  }

  copy(): HashValue {
    const twin = new HashValue()
    twin.encoding = this.encoding
    twin.#pairs = this.#pairs
    twin.#count = this.#count
    if (this.#table !== undefined) twin.#table = copyOf(this.#table)
    return twin
  }

  #setPacked(field: Bytes, value: Bytes): boolean {
    const pairs = this.#pairs
    const at = findPair(pairs, field)
    const longest = Math.max(field.length, value.length)
    if (
      longest > ITEM_MAX ||
      !hasRoom(pairs, 2, field.length + value.length) ||
      (at < 0 && this.#count >= PACKED_FIELDS)
    )
      return this.#becomeTable().set(field, value)
    if (at >= 0) {
      const old = nextItem(pairs, at)
      if (isItemAt(pairs, old, value)) return false
      this.#pairs = withItems(pairs, old, nextItem(pairs, old), value)
      return false
    }
    this.#pairs = withItems(pairs, pairs.length, pairs.length, field, value)
    this.#count++
    return true
  }

  #becomeTable(): Members<Bytes> {
    const table = new Members(textBytes)
    const items = unpackItems(this.#pairs, 0)
    for (let at = 0; at < items.length; at += 2) table.set(items[at] as Bytes, items[at + 1] as Bytes)
    this.#table = table
    this.#pairs = ''
    return table
  }
}

function copyOf(table: Members<Bytes>): Members<Bytes> {
  const twin = new Members(textBytes)
  table.forEach((field, value) => twin.set(field, value))
  return twin
}

function outgrows(size: number, field: Bytes, value: Bytes, settings: EngineSettings): boolean {
  const longest = settings.hashMaxListpackValue
  return size > settings.hashMaxListpackEntries || field.length > longest || value.length > longest
}
