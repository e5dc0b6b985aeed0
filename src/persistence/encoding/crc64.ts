/**
 * CRC-64 with the Jones polynomial, as at the end of every snapshot and every DUMP payload.
 *
 * The sum is kept as two halves of 32 bits, since BigInt arithmetic is three hundred times slower. Eight bytes are folded at
 * once: eight tables say what each of them becomes after the others have passed ("slicing by 8").
 */

/** Reflected; x^63 is the lowest bit. */
const POLYNOMIAL_LOW = 0xac4bc9b5
const POLYNOMIAL_HIGH = 0x95ac9329

const SLICES = 8
const low = new Uint32Array(SLICES * 256)
const high = new Uint32Array(SLICES * 256)
fillTables()

export class Crc64 {
  #low = 0
  #high = 0

  /** Takes in the bytes from `start` up to `end`. */
  update(bytes: Uint8Array, start = 0, end: number = bytes.length): this {
    let l = this.#low
    let h = this.#high
    let at = start
    for (const whole = end - 7; at < whole; at += 8) {
      const a = l ^ word(bytes, at)
      const b = h ^ word(bytes, at + 4)
      const a0 = 1792 + (a & 255)
      const a1 = 1536 + ((a >>> 8) & 255)
      const a2 = 1280 + ((a >>> 16) & 255)
      const a3 = 1024 + (a >>> 24)
      const b0 = 768 + (b & 255)
      const b1 = 512 + ((b >>> 8) & 255)
      const b2 = 256 + ((b >>> 16) & 255)
      const b3 = b >>> 24
      l = fold(low, a0, a1, a2, a3, b0, b1, b2, b3)
      h = fold(high, a0, a1, a2, a3, b0, b1, b2, b3)
    }
    for (; at < end; at++) {
      const index = (l ^ (bytes[at] as number)) & 255
      l = ((l >>> 8) | (h << 24)) ^ (low[index] as number)
      h = (h >>> 8) ^ (high[index] as number)
    }
    this.#low = l >>> 0
    this.#high = h >>> 0
    return this
  }

  copy(): Crc64 {
    const twin = new Crc64()
    twin.#low = this.#low
    twin.#high = this.#high
    return twin
  }

  /** Writes the sum as 8 bytes, least significant first. */
  writeTo(buffer: Buffer, at: number): void {
    buffer.writeUInt32LE(this.#low, at)
    buffer.writeUInt32LE(this.#high, at + 4)
  }

  /** Whether the 8 bytes at `at` are this sum. */
  equals(buffer: Buffer, at: number): boolean {
    return buffer.readUInt32LE(at) === this.#low && buffer.readUInt32LE(at + 4) === this.#high
  }

  toString(): string {
    return this.#high.toString(16).padStart(8, '0') + this.#low.toString(16).padStart(8, '0')
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  )
}

function fold(
  table: Uint32Array,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
  b0: number,
  b1: number,
  b2: number,
  b3: number,
): number {
  return (
    (table[a0] as number) ^
    (table[a1] as number) ^
    (table[a2] as number) ^
    (table[a3] as number) ^
    (table[b0] as number) ^
    (table[b1] as number) ^
    (table[b2] as number) ^
    (table[b3] as number)
  )
}

/** Table 0 is one byte's remainder; table n is table n-1 with one more zero byte behind it. */
function fillTables(): void {
  for (let byte = 0; byte < 256; byte++) {
    let l = byte
    let h = 0
    for (let bit = 0; bit < 8; bit++) {
      const odd = l & 1
      l = (l >>> 1) | (h << 31)
      h >>>= 1
      if (odd === 1) {
        l ^= POLYNOMIAL_LOW
        h ^= POLYNOMIAL_HIGH
      }
    }
    low[byte] = l
    high[byte] = h
  }
  for (let index = 256; index < SLICES * 256; index++) {
    const l = low[index - 256] as number
    const h = high[index - 256] as number
    low[index] = ((l >>> 8) | (h << 24)) ^ (low[l & 255] as number)
    high[index] = (h >>> 8) ^ (high[l & 255] as number)
  }
}
