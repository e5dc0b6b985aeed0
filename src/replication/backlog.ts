/**
 * The newest bytes of our replication stream, shared by everybody who reads it.
 *
 * A list of blocks that are filled once and never overwritten, so what `read` answers stays valid for as long as somebody
 * holds it, and replicas, the partial resync and the snapshot's "stream since the cut" all share the same memory.
 *
 *     ┌────────┬────────┬────────┬──────┐
 *     │ block  │ block  │ block  │ bl…  │
 *     └────────┴────────┴────────┴──────┘
 *        ▲ firstOffset               ▲ nextOffset        offsets count bytes from 1, as Redis' do
 *     ▲ pinned by a slow replica
 *
 * Bound: `capacity` bytes (and up to one block more), plus what readers have pinned, which may be asked for as well. A pin is held by an attached replica
 * only, and replicas are dropped at `client-output-buffer-limit replica`: that bounds the rest.
 */
import { invariant } from '../base/invariant.js'
import type { Offset } from '../base/units.js'

/** What a decision needs to know of a backlog. */
export interface BacklogRange {
  /** The oldest byte that may be asked for. */
  readonly firstOffset: Offset
  /** The byte that will be appended next. */
  readonly nextOffset: Offset
}

/** Keeps everything from `offset` on in memory until it is released. Its holder moves it forward as it reads. */
export interface Pin {
  offset: Offset
}

interface Block {
  readonly bytes: Buffer
  /** Offset of the first byte of the block. */
  readonly from: Offset
  used: number
}

const BLOCK_BYTES_MAX = 1024 * 1024
const BLOCK_BYTES_MIN = 16 * 1024

export class Backlog implements BacklogRange {
  #capacity: number
  #blocks: Block[] = []
  #nextOffset: Offset
  /** The first byte this backlog was ever given, or may promise. */
  #beginning: Offset
  readonly #pins = new Set<Pin>()

  /** Empty; the first byte appended will be `nextOffset`. */
  constructor(capacity: number, nextOffset: Offset) {
    invariant(capacity > 0, `a backlog needs room: ${capacity}`)
    invariant(nextOffset >= 1, `offsets count from 1: ${nextOffset}`)
    this.#capacity = capacity
    this.#nextOffset = this.#beginning = nextOffset
  }

  get capacity(): number {
    return this.#capacity
  }

  /** What a reader that is behind has pinned may be asked for by everybody. */
  get firstOffset(): Offset {
    let first = this.#windowFrom
    for (const pin of this.#pins) first = Math.min(first, pin.offset)
    return Math.max(this.#beginning, first)
  }

  /** Where the capacity ends. */
  get #windowFrom(): Offset {
    return Math.max(this.#beginning, this.#nextOffset - this.#capacity)
  }

  get nextOffset(): Offset {
    return this.#nextOffset
  }

  /** Bytes that may be asked for: Redis' `repl_backlog_histlen`. */
  get length(): number {
    return this.#nextOffset - this.firstOffset
  }

  /** Bytes of memory in use, pinned ones included. */
  get heldBytes(): number {
    let held = 0
    for (const block of this.#blocks) held += block.bytes.length
    return held
  }

  /** Of these, bytes beyond the capacity: readers that are behind have pinned them. */
  get pinnedBytes(): number {
    const from = this.#windowFrom
    let pinned = 0
    for (const block of this.#blocks) if (block.from + block.used <= from) pinned += block.bytes.length
    return pinned
  }

  /** Copies `bytes`: the caller may reuse them. */
  append(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length) {
      const block = this.#openBlock()
      const count = Math.min(bytes.length - at, block.bytes.length - block.used)
      block.bytes.set(at === 0 && count === bytes.length ? bytes : bytes.subarray(at, at + count), block.used)
      block.used += count
      at += count
      this.#nextOffset += count
    }
    this.#trim()
  }

  /** The bytes from `from` on, at most `limit`, in order and without copying. Empty when `from` is the next byte. */
  read(from: Offset, limit: number = Number.POSITIVE_INFINITY): Buffer[] {
    invariant(from >= this.#heldFrom() && from <= this.#nextOffset, `offset ${from} is not held`)
    const slices: Buffer[] = []
    let left = Math.min(limit, this.#nextOffset - from)
    let offset = from
    for (let index = this.#indexOf(from); left > 0; index++) {
      const block = this.#blocks[index] as Block
      const start = offset - block.from
      const count = Math.min(left, block.used - start)
      if (count === 0) continue
      slices.push(block.bytes.subarray(start, start + count))
      offset += count
      left -= count
    }
    return slices
  }

  /** Room for more or fewer bytes; the newest are kept. What was dropped before does not come back. */
  resize(capacity: number): void {
    invariant(capacity > 0, `a backlog needs room: ${capacity}`)
    this.#beginning = this.firstOffset
    this.#capacity = capacity
    this.#beginning = this.firstOffset
    this.#trim()
  }

  pin(offset: Offset): Pin {
    invariant(offset >= this.#heldFrom() && offset <= this.#nextOffset, `offset ${offset} cannot be pinned`)
    const pin = { offset }
    this.#pins.add(pin)
    return pin
  }

  release(pin: Pin): void {
    this.#pins.delete(pin)
    this.#trim()
  }

  #openBlock(): Block {
    const last = this.#blocks.at(-1)
    if (last !== undefined && last.used < last.bytes.length) return last
    const size = Math.min(BLOCK_BYTES_MAX, Math.max(BLOCK_BYTES_MIN, this.#capacity >> 4))
    const block = { bytes: Buffer.allocUnsafeSlow(size), from: this.#nextOffset, used: 0 }
    this.#blocks.push(block)
    return block
  }

  #heldFrom(): Offset {
    return this.#blocks[0]?.from ?? this.#nextOffset
  }

  /** The block that holds `offset`: the last one that does not begin after it. */
  #indexOf(offset: Offset): number {
    let low = 0
    let high = this.#blocks.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#blocks[middle] as Block).from <= offset) low = middle
      else high = middle - 1
    }
    return low
  }

  #trim(): void {
    const oldest = this.#blocks[0]
    // Looked at only when a whole block has left the window: once per block, not per append.
    if (oldest === undefined || oldest.from + oldest.used > this.#windowFrom) return
    const needed = this.firstOffset
    let gone = 0
    while (gone < this.#blocks.length - 1) {
      const block = this.#blocks[gone] as Block
      if (block.from + block.used > needed) break
      gone++
    }
    if (gone > 0) this.#blocks.splice(0, gone)
  }
}
