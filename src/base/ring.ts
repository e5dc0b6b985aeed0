/**
 * The last `capacity` items, oldest first. Adding to a full ring drops the oldest: that is its bound.
 */
export class Ring<T> {
  readonly #items: T[] = []
  #head = 0

  constructor(readonly capacity: number) {}

  get length(): number {
    return this.#items.length
  }

  push(item: T): void {
    if (this.#items.length < this.capacity) this.#items.push(item)
    else {
      this.#items[this.#head] = item
      this.#head = (this.#head + 1) % this.capacity
    }
  }

  at(index: number): T | undefined {
    return index < 0 || index >= this.#items.length ? undefined : this.#items[(this.#head + index) % this.#items.length]
  }

  last(): T | undefined {
    return this.at(this.#items.length - 1)
  }

  clear(): void {
    this.#items.length = 0
    this.#head = 0
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let index = 0; index < this.#items.length; index++) yield this.at(index) as T
  }
}
