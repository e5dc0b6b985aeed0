/**
 * Where a snapshot's bytes arrive, in chunks of any size.
 *
 * Reading is by units: whoever reads a unit that has not arrived whole gets the exception MORE, goes back to the unit's
 * beginning and tries again after the next chunk. A unit that says how long it is (a string) is not tried again before that
 * many bytes are there, so that a long one is not looked at once per chunk. Nothing is allocated by a declared length: the
 * buffer grows by what arrives.
 */
import { readLatin1 } from '../../base/latin1.js'
import type { Bytes } from '../../base/units.js'
import { CorruptError } from '../encoding/corrupt.js'
import { Crc64 } from '../encoding/crc64.js'
import { decompress, decompressText } from '../encoding/lzf.js'

/** The unit is not complete. No error: nothing is wrong with what has arrived. */
export const MORE = Symbol('more')

/** No string is longer than this (Redis' `proto-max-bulk-len` at its default); a length beyond it is a mistake. */
export const STRING_BYTES_MAX = 512 * 1024 * 1024
/** The highest element count we believe: each element takes a byte at least. */
const LENGTH_MAX = Number.MAX_SAFE_INTEGER
const EMPTY = Buffer.alloc(0)

export class RdbInput {
  /** Of the bytes up to #summed. */
  readonly crc = new Crc64()
  #buffer: Buffer = EMPTY
  #owned = false
  #at = 0
  #end = 0
  /** Bytes of the file before #buffer[0]. */
  #base = 0
  /** Where the unit began. */
  #unit = 0
  /** What of the buffer the checksum has seen. */
  #summed = 0
  /** No use trying before the buffer reaches here. */
  #needed = 0

  /** Where the next byte lies in the file. */
  get offset(): number {
    return this.#base + this.#at
  }

  get pending(): number {
    return this.#end - this.#at
  }

  /** False while the unit is known to be incomplete. */
  get ready(): boolean {
    return this.#end >= this.#needed
  }

  /** `chunk` may be memory that is reused: call `release` before that. */
  feed(chunk: Buffer): void {
    if (this.#at === this.#end) {
      this.#sum()
      this.#base += this.#at
      this.#needed = Math.max(0, this.#needed - this.#at)
      this.#buffer = chunk
      this.#owned = false
      this.#at = this.#unit = this.#summed = 0
      this.#end = chunk.length
      return
    }
    this.#own(chunk.length)
    chunk.copy(this.#buffer, this.#end)
    this.#end += chunk.length
  }

  /** Keeps what is unread in memory of our own. */
  release(): void {
    if (this.#at === this.#end) {
      this.#sum()
      this.#base += this.#at
      this.#needed = Math.max(0, this.#needed - this.#at)
      this.#buffer = EMPTY
      this.#owned = false
      this.#at = this.#end = this.#unit = this.#summed = 0
    } else if (!this.#owned) this.#own(0)
  }

  /** What was read until here is settled. */
  commit(): void {
    this.#unit = this.#at
    this.#needed = 0
  }

  /** Goes back to the beginning of the unit. */
  rewind(): void {
    this.#at = this.#unit
  }

  byte(): number {
    if (this.#at >= this.#end) throw this.#more(1)
    return this.#buffer[this.#at++] as number
  }

  /** A view that is valid until the next `feed` or `release`. */
  bytes(count: number): Buffer {
    const from = this.#skip(count)
    return this.#buffer.subarray(from, this.#at)
  }

  latin1(count: number): Bytes {
    const from = this.#skip(count)
    return readLatin1(this.#buffer, from, this.#at)
  }

  /** A count or length; a string's special encodings are no length. */
  length(): number {
    const length = this.#lengthOrEncoding()
    if (length < 0) throw new CorruptError('bad-length', 'an encoding where a length belongs', this.offset)
    return length
  }

  /** A length of 64 bits whose value matters as such: an id. */
  uint64(): bigint {
    const first = this.byte()
    if (first === 0x81) return this.bytes(8).readBigUInt64BE(0)
    this.#at--
    return BigInt(this.length())
  }

  string(): Bytes {
    const length = this.#lengthOrEncoding()
    if (length < 0) return this.#special(length)
    this.#checkString(length)
    return this.latin1(length)
  }

  /** The same for packed data: a view that is valid until the next string. */
  blob(): Buffer {
    const length = this.#lengthOrEncoding()
    if (length === LZF) return this.#lzf()
    if (length < 0) return Buffer.from(this.#special(length), 'latin1')
    this.#checkString(length)
    return this.bytes(length)
  }

  doubleLE(): number {
    return this.#buffer.readDoubleLE(this.#skip(8))
  }

  /** A time in 8 bytes, least significant first. */
  millis(): number {
    const from = this.#skip(8)
    return this.#buffer.readInt32LE(from + 4) * 2 ** 32 + this.#buffer.readUInt32LE(from)
  }

  /** The checksum of everything before the last `count` bytes, which are the sum itself. */
  checksumBefore(count: number): Crc64 {
    this.crc.update(this.#buffer, this.#summed, this.#at - count)
    this.#summed = this.#at - count
    return this.crc
  }

  /** Negative: an encoding of strings, as LZF or INT8 … INT32 below. */
  #lengthOrEncoding(): number {
    const first = this.byte()
    switch (first >> 6) {
      case 0:
        return first & 0x3f
      case 1:
        return ((first & 0x3f) << 8) | this.byte()
      case 3:
        if (first > 0xc3) throw new CorruptError('bad-string', `unknown encoding ${first & 0x3f}`, this.offset - 1)
        return -1 - (first & 0x3f)
      default:
        if (first === 0x80) return this.#buffer.readUInt32BE(this.#skip(4))
        if (first === 0x81) return this.#length64()
        throw new CorruptError('bad-length', `unknown form ${first}`, this.offset - 1)
    }
  }

  #length64(): number {
    const value = this.bytes(8).readBigUInt64BE(0)
    if (value > BigInt(LENGTH_MAX)) throw new CorruptError('bad-length', `${value} is too large`, this.offset - 8)
    return Number(value)
  }

  #special(encoding: number): Bytes {
    switch (encoding) {
      case INT8:
        return String(this.#buffer.readInt8(this.#skip(1)))
      case INT16:
        return String(this.#buffer.readInt16LE(this.#skip(2)))
      case INT32:
        return String(this.#buffer.readInt32LE(this.#skip(4)))
      default: {
        const { length, from } = this.#compressed()
        return decompressText(this.#buffer, length, from, this.#at)
      }
    }
  }

  #lzf(): Buffer {
    const { length, from } = this.#compressed()
    return decompress(this.#buffer, length, from, this.#at)
  }

  /** Where the compressed bytes begin, and how many they become. */
  #compressed(): { readonly length: number; readonly from: number } {
    const compressed = this.length()
    const length = this.length()
    this.#checkString(compressed)
    this.#checkString(length)
    return { length, from: this.#skip(compressed) }
  }

  #checkString(length: number): void {
    if (length > STRING_BYTES_MAX) throw new CorruptError('bad-length', `a string of ${length} bytes`, this.offset)
  }

  /** Goes over `count` bytes; answers where they begin in #buffer. */
  #skip(count: number): number {
    const from = this.#at
    if (count > this.#end - from) throw this.#more(count)
    this.#at = from + count
    return from
  }

  #more(count: number): typeof MORE {
    this.#needed = this.#at + count
    return MORE
  }

  #sum(): void {
    this.crc.update(this.#buffer, this.#summed, this.#at)
    this.#summed = this.#at
  }

  /** Moves what is unread to memory of our own with room for `more` bytes. */
  #own(more: number): void {
    if (this.#owned && this.#end + more <= this.#buffer.length) return
    const from = this.#unit
    this.#at = Math.min(this.#at, this.#unit)
    this.#sum()
    const rest = this.#end - from
    const fits = this.#owned && rest + more <= this.#buffer.length && rest * 2 <= this.#buffer.length
    const target = fits ? this.#buffer : Buffer.allocUnsafeSlow(Math.max(1024, (rest + more) * 2))
    this.#buffer.copy(target, 0, from, this.#end)
    this.#buffer = target
    this.#owned = true
    this.#base += from
    this.#at -= from
    this.#end = rest
    this.#needed = Math.max(0, this.#needed - from)
    this.#unit = this.#summed = 0
  }
}

const INT8 = -1
const INT16 = -2
const INT32 = -3
const LZF = -4
