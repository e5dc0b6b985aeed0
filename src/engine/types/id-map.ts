/**
 * Stream ids and an ordered map by them.
 *
 * An id is two unsigned 64-bit numbers. We keep it as Redis' snapshots do: 16 bytes, big-endian, so that comparing two
 * texts compares two ids.
 */
import type { Bytes } from '../../base/units.js'

/** 16 bytes: milliseconds, sequence. */
export type StreamId = Bytes

export const MIN_ID: StreamId = '\0'.repeat(16)
export const MAX_ID: StreamId = '\xff'.repeat(16)

export function makeId(ms: bigint, seq: bigint): StreamId {
  return bytesOf(ms) + bytesOf(seq)
}

export function idMs(id: StreamId): bigint {
  return numberAt(id, 0)
}

export function idSeq(id: StreamId): bigint {
  return numberAt(id, 8)
}

/** `ms-seq`, as clients see it. */
export function idText(id: StreamId): string {
  return `${decimalAt(id, 0)}-${decimalAt(id, 8)}`
}

/** The next id, undefined behind the last. */
export function idAfter(id: StreamId): StreamId | undefined {
  if (id === MAX_ID) return undefined
  const seq = idSeq(id)
  return seq === 0xffffffffffffffffn ? makeId(idMs(id) + 1n, 0n) : makeId(idMs(id), seq + 1n)
}

/** The id before, undefined in front of the first. */
export function idBefore(id: StreamId): StreamId | undefined {
  if (id === MIN_ID) return undefined
  const seq = idSeq(id)
  return seq === 0n ? makeId(idMs(id) - 1n, 0xffffffffffffffffn) : makeId(idMs(id), seq - 1n)
}

function bytesOf(value: bigint): string {
  const high = Number(value >> 32n)
  const low = Number(value & 0xffffffffn)
  return String.fromCharCode(
    (high >>> 24) & 0xff,
    (high >>> 16) & 0xff,
    (high >>> 8) & 0xff,
    high & 0xff,
    (low >>> 24) & 0xff,
    (low >>> 16) & 0xff,
    (low >>> 8) & 0xff,
    low & 0xff,
  )
}

function wordAt(id: StreamId, at: number): number {
  return (
    id.charCodeAt(at) * 0x1000000 +
    ((id.charCodeAt(at + 1) << 16) | (id.charCodeAt(at + 2) << 8) | id.charCodeAt(at + 3))
  )
}

function numberAt(id: StreamId, at: number): bigint {
  return (BigInt(wordAt(id, at)) << 32n) | BigInt(wordAt(id, at + 4))
}

function decimalAt(id: StreamId, at: number): string {
  const high = wordAt(id, at)
  return high < 0x200000 ? String(high * 0x100000000 + wordAt(id, at + 4)) : String(numberAt(id, at))
}

const CHUNK = 128

interface Chunk<V> {
  ids: StreamId[]
  values: V[]
}

/** Values by id, in order; adding at the end and taking from the front are cheap. */
export class IdMap<V> {
  size = 0
  readonly #chunks: Chunk<V>[] = []

  get(id: StreamId): V | undefined {
    const chunk = this.#chunks[this.#chunkOf(id)]
    if (chunk === undefined) return undefined
    const at = placeOf(chunk.ids, id)
    return chunk.ids[at] === id ? chunk.values[at] : undefined
  }

  has(id: StreamId): boolean {
    const chunk = this.#chunks[this.#chunkOf(id)]
    return chunk !== undefined && chunk.ids[placeOf(chunk.ids, id)] === id
  }

  set(id: StreamId, value: V): void {
    const index = this.#chunkOf(id)
    const chunk = this.#chunks[index]
    if (chunk === undefined) {
      this.#chunks.push({ ids: [id], values: [value] })
      this.size++
      return
    }
    const at = placeOf(chunk.ids, id)
    if (chunk.ids[at] === id) {
      chunk.values[at] = value
      return
    }
    this.size++
    if (at === chunk.ids.length && at >= CHUNK && index === this.#chunks.length - 1) {
      this.#chunks.push({ ids: [id], values: [value] })
      return
    }
    chunk.ids.splice(at, 0, id)
    chunk.values.splice(at, 0, value)
    if (chunk.ids.length > CHUNK * 2)
      this.#chunks.splice(index + 1, 0, { ids: chunk.ids.splice(CHUNK), values: chunk.values.splice(CHUNK) })
  }

  delete(id: StreamId): boolean {
    return this.take(id) !== undefined
  }

  /** Removes a value and answers it. */
  take(id: StreamId): V | undefined {
    const index = this.#chunkOf(id)
    const chunk = this.#chunks[index]
    if (chunk === undefined) return undefined
    const at = placeOf(chunk.ids, id)
    if (chunk.ids[at] !== id) return undefined
    chunk.ids.splice(at, 1)
    const [value] = chunk.values.splice(at, 1)
    if (chunk.ids.length === 0) this.#chunks.splice(index, 1)
    this.size--
    return value
  }

  get firstId(): StreamId | undefined {
    return this.#chunks[0]?.ids[0]
  }

  get lastId(): StreamId | undefined {
    const last = this.#chunks[this.#chunks.length - 1]
    return last?.ids[last.ids.length - 1]
  }

  /** Entries from `from` up to `to`, both included; ends when `visit` answers false. Nothing may be changed meanwhile. */
  forRange(from: StreamId, to: StreamId, visit: (id: StreamId, value: V) => boolean | void): void {
    for (let index = this.#chunkOf(from); index < this.#chunks.length; index++) {
      const { ids, values } = this.#chunks[index] as Chunk<V>
      for (let at = placeOf(ids, from); at < ids.length; at++) {
        const id = ids[at] as StreamId
        if (id > to || visit(id, values[at] as V) === false) return
      }
    }
  }

  /** The same from `to` down to `from`. */
  forRangeBackwards(from: StreamId, to: StreamId, visit: (id: StreamId, value: V) => boolean | void): void {
    for (let index = Math.min(this.#chunkOf(to), this.#chunks.length - 1); index >= 0; index--) {
      const { ids, values } = this.#chunks[index] as Chunk<V>
      let at = placeOf(ids, to)
      if (ids[at] !== to) at--
      for (; at >= 0; at--) {
        const id = ids[at] as StreamId
        if (id < from || visit(id, values[at] as V) === false) return
      }
    }
  }

  forEach(visit: (id: StreamId, value: V) => boolean | void): void {
    this.forRange(MIN_ID, MAX_ID, visit)
  }

  /** The chunk an id belongs into: the last that does not begin behind it. */
  #chunkOf(id: StreamId): number {
    let low = 0
    let high = this.#chunks.length - 1
    if (high > 0 && ((this.#chunks[high] as Chunk<V>).ids[0] as StreamId) <= id) return high
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (((this.#chunks[middle] as Chunk<V>).ids[0] as StreamId) <= id) low = middle
      else high = middle - 1
    }
    return low
  }
}

function placeOf(ids: readonly StreamId[], id: StreamId): number {
  let low = 0
  let high = ids.length
  if (high > 0 && (ids[high - 1] as StreamId) < id) return high
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((ids[middle] as StreamId) < id) low = middle + 1
    else high = middle
  }
  return low
}
