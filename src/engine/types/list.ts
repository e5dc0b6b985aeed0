/**
 * A list: a row of chunks, so that both ends are cheap, memory has no slack, and an index is found by skipping chunks.
 *
 *     chunk   'packed text'    a character with the number of items, then the items, see packed.ts
 *             [item, item, …]  an open one: at the ends of a long list, where items come and go, and for long items
 *
 * A push writes a packed chunk anew, which is why those at the ends are kept short.
 */
import type { Bytes } from '../../base/units.js'
import { ITEM_MAX, isItemAt, itemAt, nextItem, owned, packItems, unpackItems, withCountedItems } from './packed.js'
import { COLLECTION, POINTER, textBytes } from './weight.js'

const CHUNK_ITEMS = 128
/** What a packed item weighs beside its characters: its length, its share of the chunk and of the open ones. */
const PACKED_ITEM = 4
/** A packed chunk takes no more items at its end from here on. */
const PUSH_MAX = 1024
/** In a list of so many chunks those at the ends are open. */
const LONG = 16

type Chunk = Bytes | Bytes[]

export class ListValue {
  readonly type = 'list'
  readonly encoding = 'quicklist'
  length = 0
  #weight = COLLECTION
  /** None of them is empty. */
  readonly #chunks: Chunk[] = []

  get weight(): number {
    return this.#weight
  }

  pushTail(item: Bytes): void {
    const last = this.#end('tail')
    const at = this.#chunks.length - 1
    this.length++
    this.#weight += itemBytes(item)
    if (last === undefined || !hasRoomFor(last, item)) {
      if (last !== undefined && this.#chunks.length > 1) this.#chunks[at] = closed(last)
      this.#chunks.push(this.#newChunk(item))
    } else if (typeof last === 'string') {
      this.#chunks[at] = withItem(last, last.length, item)
    } else last.push(item)
  }

  pushHead(item: Bytes): void {
    const first = this.#end('head')
    this.length++
    this.#weight += itemBytes(item)
    if (first === undefined || !hasRoomFor(first, item)) {
      if (first !== undefined && this.#chunks.length > 1) this.#chunks[0] = closed(first)
      this.#chunks.unshift(this.#newChunk(item))
    } else if (typeof first === 'string') {
      this.#chunks[0] = withItem(first, 1, item)
    } else first.unshift(item)
  }

  popHead(): Bytes | undefined {
    const first = this.#end('head')
    if (first === undefined) return undefined
    this.length--
    const item = typeof first === 'string' ? owned(itemAt(first, 1)) : (first[0] as Bytes)
    this.#weight -= itemBytes(item)
    if (countOf(first) === 1) this.#chunks.shift()
    else if (typeof first === 'string') this.#chunks[0] = withoutItem(first, 1)
    else first.shift()
    return item
  }

  popTail(): Bytes | undefined {
    const last = this.#end('tail')
    if (last === undefined) return undefined
    this.length--
    const at = this.#chunks.length - 1
    if (typeof last !== 'string') {
      if (last.length === 1) this.#chunks.pop()
      const item = last.pop() as Bytes
      this.#weight -= itemBytes(item)
      return item
    }
    const count = countOf(last)
    const place = placeOf(last, count - 1)
    if (count === 1) this.#chunks.pop()
    else this.#chunks[at] = withoutItem(last, place)
    const item = owned(itemAt(last, place))
    this.#weight -= itemBytes(item)
    return item
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
    const [at, offset] = this.#locate(index)
    const chunk = this.#chunks[at] as Chunk
    return typeof chunk === 'string' ? itemAt(chunk, placeOf(chunk, offset)) : chunk[offset]
  }

  /** Replaces the item at an index that exists. */
  set(index: number, item: Bytes): void {
    const [at, offset] = this.#locate(index)
    const items = itemsOf(this.#chunks[at] as Chunk)
    this.#weight += itemBytes(item) - itemBytes(items[offset] as Bytes)
    items[offset] = item
    this.#chunks[at] = closed(items)
  }

  /** Inserts before `index`; `length` appends. */
  insert(index: number, item: Bytes): void {
    if (index >= this.length) return this.pushTail(item)
    if (index <= 0) return this.pushHead(item)
    const [at, offset] = this.#locate(index)
    const items = itemsOf(this.#chunks[at] as Chunk)
    items.splice(offset, 0, item)
    this.length++
    this.#weight += itemBytes(item)
    if (items.length > CHUNK_ITEMS) this.#chunks.splice(at + 1, 0, closed(items.splice(CHUNK_ITEMS / 2)))
    this.#chunks[at] = closed(items)
  }

  /** Visits `count` items from `index` on, in order. */
  forRange(index: number, count: number, visit: (item: Bytes) => void): void {
    if (count <= 0) return
    let [at, offset] = this.#locate(index)
    for (; count > 0 && at < this.#chunks.length; at++, offset = 0) {
      const chunk = this.#chunks[at] as Chunk
      const end = Math.min(countOf(chunk), offset + count)
      visitChunk(chunk, offset, end, visit)
      count -= end - offset
    }
  }

  *[Symbol.iterator](): Generator<Bytes> {
    for (const chunk of this.#chunks) yield* viewsOf(chunk)
  }

  /** The items from the tail to the head. */
  *backwards(): Generator<Bytes> {
    for (let at = this.#chunks.length - 1; at >= 0; at--) {
      const items = viewsOf(this.#chunks[at] as Chunk)
      for (let place = items.length - 1; place >= 0; place--) yield items[place] as Bytes
    }
  }

  /** Keeps `count` items from `index` on. */
  trim(index: number, count: number): void {
    if (count * 2 < this.length) {
      const kept: Bytes[] = []
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
      const chunk = this.#chunks[at] as Chunk
      if (!contains(chunk, item)) {
        at += step
        continue
      }
      const items = itemsOf(chunk)
      removed += removeFrom(items, item, limit - removed, step)
      if (items.length === 0) this.#chunks.splice(at, 1)
      else this.#chunks[at] = closed(items)
      if (items.length !== 0 || step < 0) at += step
    }
    this.length -= removed
    this.#weight -= removed * itemBytes(item)
    return removed
  }

  copy(): ListValue {
    const twin = new ListValue()
    for (const chunk of this.#chunks) twin.#chunks.push(typeof chunk === 'string' ? chunk : chunk.slice())
    twin.length = this.length
    twin.#weight = this.#weight
    return twin
  }

  /** The chunk at an end, open when the list is long. */
  #end(end: 'head' | 'tail'): Chunk | undefined {
    const at = end === 'head' ? 0 : this.#chunks.length - 1
    const chunk = this.#chunks[at]
    if (typeof chunk !== 'string' || this.#chunks.length < LONG) return chunk
    const open = itemsOf(chunk)
    this.#chunks[at] = open
    return open
  }

  #newChunk(item: Bytes): Chunk {
    return this.#chunks.length >= LONG ? [item] : closed([item])
  }

  #refill(items: readonly Bytes[]): void {
    this.#chunks.length = 0
    this.length = 0
    this.#weight = COLLECTION
    for (const item of items) this.pushTail(item)
  }

  /** Chunk and place of an index, sought from the nearer end. */
  #locate(index: number): [number, number] {
    if (index < this.length / 2) {
      let at = 0
      while (at < this.#chunks.length && index >= countOf(this.#chunks[at] as Chunk))
        index -= countOf(this.#chunks[at++] as Chunk)
      return [at, index]
    }
    let start = this.length
    for (let at = this.#chunks.length - 1; at >= 0; at--) {
      start -= countOf(this.#chunks[at] as Chunk)
      if (index >= start) return [at, index - start]
    }
    return [0, 0]
  }
}

/** A short item is packed sooner or later, a long one stays a text of its own. */
function itemBytes(item: Bytes): number {
  return item.length <= ITEM_MAX ? item.length + PACKED_ITEM : POINTER + textBytes(item)
}

function countOf(chunk: Chunk): number {
  return typeof chunk === 'string' ? chunk.charCodeAt(0) : chunk.length
}

function hasRoomFor(chunk: Chunk, item: Bytes): boolean {
  if (countOf(chunk) >= CHUNK_ITEMS) return false
  return typeof chunk !== 'string' || (item.length <= ITEM_MAX && chunk.length + item.length < PUSH_MAX)
}

/** Where the item number `offset` of a packed chunk begins. */
function placeOf(chunk: Bytes, offset: number): number {
  let at = 1
  for (let left = offset; left > 0; left--) at = nextItem(chunk, at)
  return at
}

function withItem(chunk: Bytes, at: number, item: Bytes): Bytes {
  return withCountedItems(chunk, countOf(chunk) + 1, at, at, item)
}

function withoutItem(chunk: Bytes, at: number): Bytes {
  return withCountedItems(chunk, countOf(chunk) - 1, at, nextItem(chunk, at))
}

/** Packed, when nothing is too long for that. */
function closed(chunk: Chunk): Chunk {
  return typeof chunk === 'string' ? chunk : (packItems(chunk) ?? chunk)
}

/** To be changed: each item is a text of its own. */
function itemsOf(chunk: Chunk): Bytes[] {
  return typeof chunk === 'string' ? unpackItems(chunk, 1) : chunk
}

/** To be looked at. */
function viewsOf(chunk: Chunk): readonly Bytes[] {
  if (typeof chunk !== 'string') return chunk
  const views: Bytes[] = []
  visitChunk(chunk, 0, countOf(chunk), item => views.push(item))
  return views
}

function visitChunk(chunk: Chunk, from: number, end: number, visit: (item: Bytes) => void): void {
  if (typeof chunk === 'string') {
    let at = placeOf(chunk, from)
    for (let place = from; place < end; place++, at = nextItem(chunk, at)) visit(itemAt(chunk, at))
  } else for (let place = from; place < end; place++) visit(chunk[place] as Bytes)
}

function contains(chunk: Chunk, item: Bytes): boolean {
  if (typeof chunk !== 'string') return chunk.includes(item)
  for (let at = 1; at < chunk.length; at = nextItem(chunk, at)) if (isItemAt(chunk, at, item)) return true
  return false
}

function removeFrom(items: Bytes[], item: Bytes, limit: number, step: number): number {
  let removed = 0
  for (let at = step > 0 ? 0 : items.length - 1; removed < limit && at >= 0 && at < items.length; ) {
    if (items[at] !== item) at += step
    else {
      items.splice(at, 1)
      removed++
      if (step < 0) at--
    }
  }
  return removed
}
