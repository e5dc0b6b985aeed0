/**
 * Where a snapshot's bytes gather until somebody takes them. The checksum follows along.
 */
import { writeLatin1 } from '../../base/latin1.js'
import type { Bytes } from '../../base/units.js'
import { Crc64 } from '../encoding/crc64.js'
import { integerOf } from '../encoding/integer.js'
import { compress } from '../encoding/lzf.js'

/** Twice what a driver usually takes at once, so that a slice seldom outgrows it. */
const BLOCK_BYTES = 128 * 1024
/** So few bytes are copied: giving their block away would cost more. */
const SMALL_TAKE_BYTES = 16 * 1024
/** Blocks kept for reuse: as many as may be on their way to a file or a socket. */
const SPARE_BLOCKS = 8
/** Shorter strings are not worth the attempt. */
const COMPRESS_MIN = 20
/** Longer ones would stop everything else for milliseconds. */
const COMPRESS_MAX = 256 * 1024
/** A text up to this length may be an integer of 32 bits. */
const INTEGER_TEXT_MAX = 11

/** Calling out of JavaScript costs as much as copying so many bytes within it. */
const SHORT_COPY = 64

/** Where compressed bytes are put: they are read before the next ones come. */
let scratch = Buffer.allocUnsafeSlow(64 * 1024)

export class RdbOutput {
  readonly crc = new Crc64()
  #block: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  #length = 0
  #taken = 0
  readonly #spare: Buffer[] = []

  constructor(readonly compression: boolean) {}

  /** Bytes that wait to be taken. */
  get pending(): number {
    return this.#length
  }

  /** Bytes written in all. */
  get total(): number {
    return this.#taken + this.#length
  }

  /** Gives the bytes away, as one buffer that is not changed before it is recycled. */
  take(): Buffer {
    const bytes = this.#block.subarray(0, this.#length)
    this.crc.update(bytes)
    this.#taken += bytes.length
    if (bytes.length < SMALL_TAKE_BYTES) {
      this.#length = 0
      return Buffer.from(bytes)
    }
    this.#block = this.#spare.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
    this.#length = 0
    return bytes
  }

  /** Nobody reads these bytes any more, which came from `take`: their memory is used again. */
  recycle(bytes: Buffer): void {
    if (bytes.buffer.byteLength !== BLOCK_BYTES || this.#spare.length >= SPARE_BLOCKS) return
    this.#spare.push(Buffer.from(bytes.buffer, 0, BLOCK_BYTES))
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#block[this.#length++] = value
  }

  raw(bytes: Buffer): void {
    this.#reserve(bytes.length)
    this.#block.set(bytes, this.#length)
    this.#length += bytes.length
  }

  latin1(text: Bytes): void {
    this.#reserve(text.length)
    this.#length += writeLatin1(this.#block, text, this.#length)
  }

  /** A count or a length, in as few bytes as it needs. */
  length(value: number): void {
    this.#reserve(9)
    const block = this.#block
    if (value < 64) block[this.#length++] = value
    else if (value < 16384) {
      block[this.#length++] = 0x40 | (value >> 8)
      block[this.#length++] = value & 0xff
    } else if (value <= 0xffffffff) {
      block[this.#length++] = 0x80
      this.#length = block.writeUInt32BE(value, this.#length)
    } else {
      block[this.#length++] = 0x81
      this.#length = block.writeBigUInt64BE(BigInt(value), this.#length)
    }
  }

  /** A count that may exceed what a double counts. */
  length64(value: bigint): void {
    if (value <= 0xffffffffn) return this.length(Number(value))
    this.#reserve(9)
    this.#block[this.#length++] = 0x81
    this.#length = this.#block.writeBigUInt64BE(value, this.#length)
  }

  /** A string: as an integer, compressed, or as it is, whatever is shortest. */
  string(value: Bytes | Buffer): void {
    if (typeof value !== 'string') return this.#bytes(value)
    if (value.length <= INTEGER_TEXT_MAX) {
      const integer = integerOf(value)
      if (integer !== undefined && this.#integer(integer)) return
    }
    const from = this.#length
    this.length(value.length)
    this.latin1(value)
    this.#shorten(from, value.length)
  }

  /** 8 bytes, least significant first. */
  double(value: number): void {
    this.#reserve(8)
    this.#length = this.#block.writeDoubleLE(value, this.#length)
  }

  uint64(value: number | bigint): void {
    this.#reserve(8)
    this.#length = this.#block.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), this.#length)
  }

  /** Over everything before it. */
  checksum(): void {
    this.#reserve(8)
    this.crc.copy().update(this.#block, 0, this.#length).writeTo(this.#block, this.#length)
    this.#length += 8
  }

  #bytes(value: Buffer): void {
    const from = this.#length
    this.length(value.length)
    this.raw(value)
    this.#shorten(from, value.length)
  }

  /** The string that was just written, with its length at `from`, gives way to its compressed form if that is worth it. */
  #shorten(from: number, count: number): void {
    if (!this.compression || count <= COMPRESS_MIN || count > COMPRESS_MAX) return
    if (scratch.length < count) scratch = Buffer.allocUnsafeSlow(count * 2)
    const compressed = compress(this.#block, this.#length - count, this.#length, scratch)
    if (compressed < 0) return
    this.#length = from
    this.byte(0xc3)
    this.length(compressed)
    this.length(count)
    this.#copy(scratch, compressed)
  }

  #copy(bytes: Buffer, count: number): void {
    if (count > SHORT_COPY) return this.raw(bytes.subarray(0, count))
    this.#reserve(count)
    for (let index = 0; index < count; index++) this.#block[this.#length++] = bytes[index] as number
  }

  #integer(value: number): boolean {
    const size = value >= -128 && value <= 127 ? 1 : value >= -32768 && value <= 32767 ? 2 : 4
    if (size === 4 && (value < -2147483648 || value > 2147483647)) return false
    this.#reserve(5)
    this.#block[this.#length++] = 0xc0 | (size >> 1)
    this.#length = this.#block.writeIntLE(value, this.#length, size)
    return true
  }

  #reserve(count: number): void {
    const needed = this.#length + count
    if (needed <= this.#block.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#block.length * 2))
    this.#block.copy(grown, 0, 0, this.#length)
    this.#block = grown
  }
}
