/**
 * A list: a row of chunks, so that both ends are cheap, memory has no slack, and an index is found by skipping chunks.
 */
import type { Bytes } from '../../base/units.js'

const CHUNK_ITEMS = 128

export class ListValue {
  readonly type = 'list'
  readonly encoding = 'quicklist'
  length = 0
  /** None of them is empty. */
  readonly #chunks: Bytes[][] = []

  pushTail(item: Bytes): void {
    const last = this.#chunks[this.#chunks.length - 1]
    if (last === undefined || last.length >= CHUNK_ITEMS) this.#chunks.push([item])
    else last.push(item)
    this.length++
  }

  pushHead(item: Bytes): void {
    const first = this.#chunks[0]
    if (first === undefined || first.length >= CHUNK_ITEMS) this.#chunks.unshift([item])
    else first.unshift(item)
    this.length++
  }

  popHead(): Bytes | undefined {
    const first = this.#chunks[0]
    if (first === undefined) return undefined
    this.length--
    if (first.length > 1) return first.shift()
    this.#chunks.shift()
    return first[0]
  }

  popTail(): Bytes | undefined {
    const last = this.#chunks[this.#chunks.length - 1]
    if (last === undefined) return undefined
    this.length--
    if (last.length > 1) return last.pop()
    this.#chunks.pop()
    return last[0]
  }

  push(item: Bytes, end: 'head' | 'tail'): void {
    if (end === 'head') this.pushHead(item)
    else this.pushTail(item)
  }

  pop(end: 'head' | 'tail'): Bytes | undefined {
    return end === 'head' ? this.popHead() : this.popTail()
  }

  /** The item at `index`, 0 … length - 1. */
  at(index: number): Bytes | undefined {
    if (index < 0 || index >= this.length) return undefined
    const [chunk, offset] = this.#locate(index)
    return this.#chunks[chunk]?.[offset]
  }

  /** Replaces the item at an index that exists. */
  set(index: number, item: Bytes): void {
    const [chunk, offset] = this.#locate(index)
    ;(this.#chunks[chunk] as Bytes[])[offset] = item
  }

  /** Inserts before `index`; `length` appends. */
  insert(index: number, item: Bytes): void {
    if (index >= this.length) return this.pushTail(item)
    if (index <= 0) return this.pushHead(item)
    const [at, offset] = this.#locate(index)
    const chunk = this.#chunks[at] as Bytes[]
    chunk.splice(offset, 0, item)
    this.length++
    if (chunk.length > CHUNK_ITEMS) this.#chunks.splice(at + 1, 0, chunk.splice(CHUNK_ITEMS / 2))
  }

  /** Visits `count` items from `index` on, in order. */
  forRange(index: number, count: number, visit: (item: Bytes) => void): void {
    if (count <= 0) return
    let [at, offset] = this.#locate(index)
    for (; count > 0 && at < this.#chunks.length; at++, offset = 0) {
      const chunk = this.#chunks[at] as Bytes[]
      const end = Math.min(chunk.length, offset + count)
      for (let place = offset; place < end; place++) visit(chunk[place] as Bytes)
      count -= end - offset
    }
  }

  *[Symbol.iterator](): Generator<Bytes> {
    for (const chunk of this.#chunks) yield* chunk
  }

  /** The items from the tail to the head. */
  *backwards(): Generator<Bytes> {
    for (let at = this.#chunks.length - 1; at >= 0; at--) {
      const chunk = this.#chunks[at] as Bytes[]
      for (let place = chunk.length - 1; place >= 0; place--) yield chunk[place] as Bytes
    }
  }

  /** Keeps `count` items from `index` on. */
  trim(index: number, count: number): void {
    const kept: Bytes[] = []
    if (count * 2 < this.length) {
      this.forRange(index, count, item => kept.push(item))
      this.#refill(kept)
      return
    }
    for (let dropped = this.length - index - count; dropped > 0; dropped--) this.popTail()
    for (let dropped = index; dropped > 0; dropped--) this.popHead()
  }

  /** Removes up to `limit` items equal to `item`, seen from `end`; answers how many. */
  remove(item: Bytes, limit: number, end: 'head' | 'tail'): number {
    let removed = 0
    const step = end === 'head' ? 1 : -1
    for (let at = end === 'head' ? 0 : this.#chunks.length - 1; removed < limit && this.#chunks[at] !== undefined; ) {
      const chunk = this.#chunks[at] as Bytes[]
      removed += removeFrom(chunk, item, limit - removed, step)
      if (chunk.length === 0) this.#chunks.splice(at, 1)
      if (chunk.length !== 0 || step < 0) at += step
    }
    this.length -= removed
    return removed
  }

  copy(): ListValue {
    const twin = new ListValue()
    for (const chunk of this.#chunks) twin.#chunks.push(chunk.slice())
    twin.length = this.length
    return twin
  }

  #refill(items: readonly Bytes[]): void {
    this.#chunks.length = 0
    for (let at = 0; at < items.length; at += CHUNK_ITEMS) this.#chunks.push(items.slice(at, at + CHUNK_ITEMS))
    this.length = items.length
  }

  /** Chunk and place of an index, sought from the nearer end. */
  #locate(index: number): [number, number] {
    if (index < this.length / 2) {
      let at = 0
      while (at < this.#chunks.length && index >= (this.#chunks[at] as Bytes[]).length)
        index -= (this.#chunks[at++] as Bytes[]).length
      return [at, index]
    }
    let start = this.length
    for (let at = this.#chunks.length - 1; at >= 0; at--) {
      start -= (this.#chunks[at] as Bytes[]).length
      if (index >= start) return [at, index - start]
    }
    return [0, 0]
  }
}

function removeFrom(chunk: Bytes[], item: Bytes, limit: number, step: number): number {
  let removed = 0
  for (let at = step > 0 ? 0 : chunk.length - 1; removed < limit && at >= 0 && at < chunk.length; ) {
    if (chunk[at] !== item) at += step
    else {
      chunk.splice(at, 1)
      removed++
      if (step < 0) at--
    }
  }
  return removed
}
