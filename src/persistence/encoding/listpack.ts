/**
 * Listpacks: how small collections and streams are packed.
 *
 *     total bytes u32 │ count u16 │ entry … entry │ 0xff
 *     entry           encoding and data │ the length of both, written so that it can be read backwards
 *
 * Nothing in a listpack is believed: every length is checked against the bytes that are there.
 */
import { readLatin1, writeLatin1 } from '../../base/latin1.js'
import type { Bytes } from '../../base/units.js'
import { CorruptError } from './corrupt.js'
import { integerOf, type Packed, readInt64 } from './integer.js'

const HEADER_BYTES = 6
const END = 0xff
/** More entries than the count field can say. */
const COUNT_UNKNOWN = 0xffff

/** All entries, in order. */
export function readListpack(bytes: Buffer): Packed[] {
  if (bytes.length < HEADER_BYTES + 1) throw bad('shorter than its header')
  if (bytes.readUInt32LE(0) !== bytes.length) throw bad(`says ${bytes.readUInt32LE(0)} bytes and has ${bytes.length}`)
  const end = bytes.length - 1
  if (bytes[end] !== END) throw bad('has no end')
  const entries: Packed[] = []
  let at = HEADER_BYTES
  while (at < end) at = readEntry(bytes, at, end, entries)
  const count = bytes.readUInt16LE(4)
  if (count !== COUNT_UNKNOWN && count !== entries.length) throw bad(`says ${count} entries and has ${entries.length}`)
  return entries
}

/** Pushes the entry at `at` and answers where the next one begins. */
function readEntry(bytes: Buffer, at: number, end: number, entries: Packed[]): number {
  const first = bytes[at] as number
  if (first < 0x80) {
    entries.push(first)
    return afterBacklen(bytes, at, 1, end)
  }
  if (first < 0xc0) return readText(bytes, at, 1, first & 0x3f, end, entries)
  if (first < 0xe0) {
    need(at, 2, end)
    const value = ((first & 0x1f) << 8) | (bytes[at + 1] as number)
    entries.push(value >= 4096 ? value - 8192 : value)
    return afterBacklen(bytes, at, 2, end)
  }
  if (first < 0xf0) {
    need(at, 2, end)
    return readText(bytes, at, 2, ((first & 0x0f) << 8) | (bytes[at + 1] as number), end, entries)
  }
  if (first === 0xf0) {
    need(at, 5, end)
    return readText(bytes, at, 5, bytes.readUInt32LE(at + 1), end, entries)
  }
  return readInteger(bytes, at, first, end, entries)
}

function readText(bytes: Buffer, at: number, header: number, length: number, end: number, entries: Packed[]): number {
  need(at, header + length, end)
  entries.push(readLatin1(bytes, at + header, at + header + length))
  return afterBacklen(bytes, at, header + length, end)
}

function readInteger(bytes: Buffer, at: number, encoding: number, end: number, entries: Packed[]): number {
  const size = encoding === 0xf1 ? 2 : encoding === 0xf2 ? 3 : encoding === 0xf3 ? 4 : encoding === 0xf4 ? 8 : 0
  if (size === 0) throw bad(`unknown encoding ${encoding}`)
  need(at, 1 + size, end)
  entries.push(size === 8 ? readInt64(bytes, at + 1) : bytes.readIntLE(at + 1, size))
  return afterBacklen(bytes, at, 1 + size, end)
}

function need(at: number, count: number, end: number): void {
  if (at + count > end) throw bad('an entry leaves its bounds')
}

/** Checks the length that stands behind the entry. */
function afterBacklen(bytes: Buffer, at: number, length: number, end: number): number {
  const size = backlenBytes(length)
  const after = at + length + size
  if (after > end) throw bad('an entry leaves its bounds')
  let rest = length
  for (let index = after - 1; index >= at + length; index--) {
    const more = index > at + length ? 0x80 : 0
    if (bytes[index] !== ((rest & 0x7f) | more)) throw bad('an entry disagrees about its length')
    rest = Math.floor(rest / 128)
  }
  return after
}

/** Redis' bounds, which skip the highest value of each size. */
function backlenBytes(length: number): number {
  if (length <= 127) return 1
  if (length < 16383) return 2
  if (length < 2097151) return 3
  return length < 268435455 ? 4 : 5
}

function bad(detail: string): CorruptError {
  return new CorruptError('bad-listpack', detail)
}

/** Packs entries one after another. */
export class ListpackWriter {
  #bytes: Buffer
  #length = HEADER_BYTES
  #count = 0

  constructor(initialBytes = 256) {
    this.#bytes = Buffer.allocUnsafe(Math.max(16, initialBytes))
  }

  get count(): number {
    return this.#count
  }

  /** Bytes so far, the end not included. */
  get length(): number {
    return this.#length
  }

  /** Text that spells an integer is packed as one. */
  text(value: Bytes): void {
    const integer = integerOf(value)
    if (integer !== undefined) return this.integer(integer)
    const { length } = value
    this.#reserve(length + 10)
    const at = this.#length
    const bytes = this.#bytes
    let header = 1
    if (length < 64) bytes[at] = 0x80 | length
    else if (length < 4096) {
      bytes[at] = 0xe0 | (length >> 8)
      bytes[at + 1] = length & 0xff
      header = 2
    } else {
      bytes[at] = 0xf0
      bytes.writeUInt32LE(length, at + 1)
      header = 5
    }
    writeLatin1(bytes, value, at + header)
    this.#close(header + length)
  }

  /** A safe integer. */
  integer(value: number): void {
    this.#reserve(16)
    const at = this.#length
    const bytes = this.#bytes
    if (value >= 0 && value <= 127) {
      bytes[at] = value
      return this.#close(1)
    }
    if (value >= -4096 && value <= 4095) {
      const unsigned = value < 0 ? value + 8192 : value
      bytes[at] = 0xc0 | (unsigned >> 8)
      bytes[at + 1] = unsigned & 0xff
      return this.#close(2)
    }
    const size =
      value >= -32768 && value <= 32767 ? 2 : value >= -8388608 && value <= 8388607 ? 3 : fits32(value) ? 4 : 8
    bytes[at] = size === 8 ? 0xf4 : 0xef + size
    if (size === 8) bytes.writeBigInt64LE(BigInt(value), at + 1)
    else bytes.writeIntLE(value, at + 1, size)
    this.#close(1 + size)
  }

  /** 64 bits that a double may not count. */
  bigint(value: bigint): void {
    const number = Number(value)
    if (Number.isSafeInteger(number)) return this.integer(number)
    this.#reserve(16)
    this.#bytes[this.#length] = 0xf4
    this.#bytes.writeBigInt64LE(value, this.#length + 1)
    this.#close(9)
  }

  /** The listpack; the writer is of no further use. */
  finish(): Buffer {
    this.#reserve(1)
    this.#bytes[this.#length++] = END
    this.#bytes.writeUInt32LE(this.#length, 0)
    this.#bytes.writeUInt16LE(Math.min(this.#count, COUNT_UNKNOWN), 4)
    return this.#bytes.subarray(0, this.#length)
  }

  #close(length: number): void {
    const size = backlenBytes(length)
    let at = this.#length + length + size
    this.#length = at
    let rest = length
    for (let index = size; index > 0; index--) {
      this.#bytes[--at] = (rest & 0x7f) | (index > 1 ? 0x80 : 0)
      rest = Math.floor(rest / 128)
    }
    this.#count++
  }

  #reserve(count: number): void {
    const needed = this.#length + count
    if (needed <= this.#bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2))
    this.#bytes.copy(grown, 0, 0, this.#length)
    this.#bytes = grown
  }
}

function fits32(value: number): boolean {
  return value >= -2147483648 && value <= 2147483647
}
