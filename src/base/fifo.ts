/**
 * A queue that neither shifts nor allocates per item: a circular array that doubles when it is full.
 */
export class Fifo<T> {
  #items: (T | undefined)[]
  #mask: number
  #head = 0
  #length = 0

  /** `capacity` is rounded up to a power of two. */
  constructor(capacity = 16) {
    let size = 4
    while (size < capacity) size *= 2
    this.#items = new Array<T | undefined>(size).fill(undefined)
    this.#mask = size - 1
  }

  get length(): number {
    return this.#length
  }

  push(item: T): void {
    if (this.#length === this.#items.length) this.#grow()
    this.#items[(this.#head + this.#length) & this.#mask] = item
    this.#length++
  }

  /** Puts an item before all others: for work that is handed back. */
  unshift(item: T): void {
    if (this.#length === this.#items.length) this.#grow()
    this.#head = (this.#head - 1) & this.#mask
    this.#items[this.#head] = item
    this.#length++
  }

  peek(): T | undefined {
    return this.#items[this.#head]
  }

  /** The item `index` places behind the first. */
  at(index: number): T | undefined {
    return index < this.#length ? this.#items[(this.#head + index) & this.#mask] : undefined
  }

  last(): T | undefined {
    return this.#length === 0 ? undefined : this.#items[(this.#head + this.#length - 1) & this.#mask]
  }

  /** Puts `to` in the place of `from`; false: it is not here. */
  replace(from: T, to: T): boolean {
    for (let index = 0; index < this.#length; index++) {
      const at = (this.#head + index) & this.#mask
      if (this.#items[at] !== from) continue
      this.#items[at] = to
      return true
    }
    return false
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head] = undefined
    this.#head = (this.#head + 1) & this.#mask
    this.#length--
    return item
  }

  clear(): void {
    this.#items.fill(undefined)
    this.#head = 0
    this.#length = 0
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let index = 0; index < this.#length; index++) yield this.#items[(this.#head + index) & this.#mask] as T
  }

  #grow(): void {
    const size = this.#items.length
    const items = new Array<T | undefined>(size * 2).fill(undefined)
    for (let index = 0; index < this.#length; index++) items[index] = this.#items[(this.#head + index) & this.#mask]
    this.#items = items
    this.#mask = size * 2 - 1
    this.#head = 0
  }
}
