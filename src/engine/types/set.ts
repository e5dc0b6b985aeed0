/**
 * A set. While all members are integers and not too many it is kept in their order, as Redis' intset is.
 */
import type { Bytes } from '../../base/units.js'
import { weightless } from '../hash-table.js'
import { isInt64Text } from '../numbers.js'
import type { EngineSettings } from '../settings.js'
import { Members } from './members.js'
import { COLLECTION } from './weight.js'

/** An integer of an intset: a short text, the pointer to it, and what an array has to spare. */
const INTEGER = 40

export class SetValue {
  readonly type = 'set'
  /** In numeric order; undefined once it is no intset any more. */
  #integers: Bytes[] | undefined = []
  #members: Members<undefined> | undefined

  get encoding(): 'intset' | 'hashtable' {
    return this.#integers === undefined ? 'hashtable' : 'intset'
  }

  get size(): number {
    return this.#integers === undefined ? this.#table.size : this.#integers.length
  }

  get weight(): number {
    return COLLECTION + (this.#integers === undefined ? this.#table.weight : this.#integers.length * INTEGER)
  }

  has(member: Bytes): boolean {
    if (this.#integers === undefined) return this.#table.has(member)
    return isInt64Text(member) && this.#integers[placeOf(this.#integers, member)] === member
  }

  /** Answers true when the member is new. */
  add(member: Bytes, settings: EngineSettings): boolean {
    const integers = this.#integers
    if (integers === undefined) return this.#table.set(member, undefined)
    if (!isInt64Text(member)) {
      this.#becomeTable()
      return this.#table.set(member, undefined)
    }
    const at = placeOf(integers, member)
    if (integers[at] === member) return false
    if (at === integers.length) integers.push(member)
    else integers.splice(at, 0, member)
    if (integers.length > settings.setMaxIntsetEntries) this.#becomeTable()
    return true
  }

  delete(member: Bytes): boolean {
    const integers = this.#integers
    if (integers === undefined) return this.#table.delete(member)
    if (!isInt64Text(member)) return false
    const at = placeOf(integers, member)
    if (integers[at] !== member) return false
    integers.splice(at, 1)
    return true
  }

  forEach(visit: (member: Bytes) => void): void {
    if (this.#integers !== undefined) for (const member of this.#integers) visit(member)
    else this.#table.forEach(visit)
  }

  /** The members one by one; nothing may be changed meanwhile. */
  *names(): Generator<Bytes> {
    yield* this.#integers ?? this.#table.names()
  }

  /** The members, as a list of its own. */
  toArray(): Bytes[] {
    const all: Bytes[] = []
    this.forEach(member => all.push(member))
    return all
  }

  /** Any member, each as likely as the others. There must be one. */
  random(random: () => number): Bytes {
    const integers = this.#integers
    return integers === undefined
      ? this.#table.random(random)[0]
      : (integers[Math.floor(random() * integers.length)] as Bytes)
  }

  scan(cursor: number, visit: (member: Bytes) => void): number {
    if (this.#integers === undefined) return this.#table.scan(cursor, visit)
    this.forEach(visit)
    return 0
  }

  copy(settings: EngineSettings): SetValue {
    const twin = new SetValue()
    if (this.#integers === undefined) twin.#becomeTable()
    this.forEach(member => twin.add(member, settings))
    return twin
  }

  get #table(): Members<undefined> {
    return this.#members as Members<undefined>
  }

  #becomeTable(): void {
    const members = new Members<undefined>(weightless)
    for (const member of this.#integers ?? []) members.set(member, undefined)
    this.#members = members
    this.#integers = undefined
  }
}

/** Where `member` is or would be inserted. */
function placeOf(integers: readonly Bytes[], member: Bytes): number {
  let low = 0
  let high = integers.length
  if (high > 0 && compareIntegers(integers[high - 1] as Bytes, member) < 0) return high
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareIntegers(integers[middle] as Bytes, member) < 0) low = middle + 1
    else high = middle
  }
  return low
}

/** Compares canonical decimal texts by sign, length and digits: exact for all 64 bits. */
function compareIntegers(a: Bytes, b: Bytes): number {
  const aNegative = a.charCodeAt(0) === 45
  if (aNegative !== (b.charCodeAt(0) === 45)) return aNegative ? -1 : 1
  const byValue = a.length !== b.length ? a.length - b.length : a < b ? -1 : a > b ? 1 : 0
  return aNegative ? -byValue : byValue
}
