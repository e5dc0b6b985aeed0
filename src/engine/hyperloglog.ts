/**
 * HyperLogLog, in the bytes Redis stores it in: "HYLL", encoding, three unused, the cached count (8 bytes, little-endian,
 * highest bit set when it is stale), then 16384 registers, each the longest run of zeros seen plus one.
 *
 *     dense    6 bits per register
 *     sparse   00xxxxxx  1–64 empty registers      01xxxxxx yyyyyyyy  1–16384 empty ones      1vvvvvxx  1–4 times v
 */
import type { Bytes } from '../base/units.js'
import { Refusal, refuse } from './refusal.js'
import { byteAt, sliceOfString } from './string-bytes.js'
import type { StringValue } from './value.js'

const REGISTERS = 16384
const HEADER = 16
const DENSE_BYTES = HEADER + (REGISTERS * 6) / 8
const DENSE = 0
const SPARSE = 1
/** The most a register can be: 50 bits of hash, and one. */
const MAX_RANK = 51
/** Sparse registers cannot count further. */
const SPARSE_MAX = 32

const NOT_HLL = new Refusal('WRONGTYPE Key is not a valid HyperLogLog string value.')
const CORRUPTED = 'INVALIDOBJ Corrupted HLL object detected'

export type Registers = Uint8Array

export function emptyRegisters(): Registers {
  return new Uint8Array(REGISTERS)
}

export interface Sketch {
  readonly registers: Registers
  readonly sparse: boolean
  /** The count of some time, and whether anything was added since. */
  readonly cachedCount: bigint
  readonly stale: boolean
}

/** Looks at the head only; refuses what is no sketch. */
export function encodingOfSketch(value: StringValue): number {
  const encoding = value.length < HEADER ? SPARSE + 1 : byteAt(value, 4)
  if (sliceOfString(value, 0, 4) !== 'HYLL' || encoding > SPARSE) throw NOT_HLL
  if (encoding === DENSE && value.length !== DENSE_BYTES) throw NOT_HLL
  return encoding
}

/** The count that was kept, when nothing was added since; the registers are not looked at for it. Refuses what is no sketch. */
export function knownCount(value: StringValue): bigint | undefined {
  encodingOfSketch(value)
  const head = sliceOfString(value, 8, HEADER)
  const cached = Buffer.from(head, 'latin1').readBigUInt64LE(0)
  return cached >> 63n === 1n ? undefined : cached
}

/** Reads a stored sketch; refuses what is none. */
export function readSketch(value: StringValue): Sketch {
  const encoding = encodingOfSketch(value)
  const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value
  const cached = bytes.readBigUInt64LE(8)
  return {
    registers: encoding === DENSE ? readDense(bytes) : readSparse(bytes),
    sparse: encoding === SPARSE,
    cachedCount: BigInt.asUintN(63, cached),
    stale: cached >> 63n === 1n,
  }
}

/** The bytes to store; sparse while it was and still fits. */
export function writeSketch(sketch: Sketch, sparseMaxBytes: number): Buffer {
  const body =
    (sketch.sparse ? writeSparse(sketch.registers, sparseMaxBytes) : undefined) ?? writeDense(sketch.registers)
  const head = Buffer.alloc(HEADER)
  head.write('HYLL', 'latin1')
  head[4] = body.length === DENSE_BYTES - HEADER ? DENSE : SPARSE
  head.writeBigUInt64LE(sketch.cachedCount | (sketch.stale ? 1n << 63n : 0n), 8)
  return Buffer.concat([head, body])
}

/** The runs of a sparse sketch: `Z:` empty registers, `v:` a value and how many have it. */
export function describeSparse(value: StringValue): string {
  const words: string[] = []
  for (let at = HEADER; at < value.length; at++) {
    const code = byteAt(value, at)
    if (code & 0x80) words.push(`v:${((code >> 2) & 31) + 1},${(code & 3) + 1}`)
    else if (code & 0x40)
      words.push(`Z:${(((code & 63) << 8) | (at + 1 < value.length ? byteAt(value, ++at) : 0)) + 1}`)
    else words.push(`z:${(code & 63) + 1}`)
  }
  return words.join(' ')
}

/** Counts an element in; answers whether a register grew. */
export function addElement(registers: Registers, element: Bytes): boolean {
  const [high, low] = murmurHash64(element)
  const index = low & (REGISTERS - 1)
  // The other 50 bits: 18 of the low word, all of the high one; a one behind them ends every run.
  const rest = low >>> 14
  const run = rest !== 0 ? trailingZeros(rest) : high !== 0 ? 18 + trailingZeros(high) : 50
  const rank = Math.min(run + 1, MAX_RANK)
  if ((registers[index] as number) >= rank) return false
  registers[index] = rank
  return true
}

export function mergeRegisters(into: Registers, from: Registers): void {
  for (let index = 0; index < REGISTERS; index++)
    if ((from[index] as number) > (into[index] as number)) into[index] = from[index] as number
}

/** How many distinct elements were most likely added (Ertl's estimator). */
export function countElements(registers: Registers): bigint {
  const histogram = new Float64Array(64)
  for (const rank of registers) histogram[rank] = (histogram[rank] as number) + 1
  let z = REGISTERS * tau((REGISTERS - (histogram[MAX_RANK] as number)) / REGISTERS)
  for (let rank = MAX_RANK - 1; rank >= 1; rank--) z = 0.5 * (z + (histogram[rank] as number))
  z += REGISTERS * sigma((histogram[0] as number) / REGISTERS)
  const ALPHA_INFINITE = 0.7213475204444817
  return BigInt(Math.round((ALPHA_INFINITE * REGISTERS * REGISTERS) / z))
}

function sigma(x: number): number {
  if (x === 1) return Number.POSITIVE_INFINITY
  let y = 1
  let z = x
  for (let before = Number.NaN; before !== z; ) {
    x *= x
    before = z
    z += x * y
    y += y
  }
  return z
}

function tau(x: number): number {
  if (x === 0 || x === 1) return 0
  let y = 1
  let z = 1 - x
  for (let before = Number.NaN; before !== z; ) {
    x = Math.sqrt(x)
    before = z
    y *= 0.5
    z -= (1 - x) ** 2 * y
  }
  return z / 3
}

// ── Encodings ───────────────────────────────────────────────────────────────────────────────────────────────────────

function readDense(bytes: Buffer): Registers {
  const registers = emptyRegisters()
  for (let index = 0; index < REGISTERS; index++) {
    const bit = index * 6
    const at = HEADER + (bit >> 3)
    const pair = (bytes[at] as number) | ((bytes[at + 1] ?? 0) << 8)
    registers[index] = (pair >> (bit & 7)) & 63
  }
  return registers
}

function writeDense(registers: Registers): Buffer {
  const bytes = Buffer.alloc(DENSE_BYTES - HEADER)
  for (let index = 0; index < REGISTERS; index++) {
    const bit = index * 6
    const at = bit >> 3
    const shifted = (registers[index] as number) << (bit & 7)
    bytes[at] = (bytes[at] as number) | (shifted & 0xff)
    if (at + 1 < bytes.length) bytes[at + 1] = (bytes[at + 1] as number) | (shifted >> 8)
  }
  return bytes
}

function readSparse(bytes: Buffer): Registers {
  const registers = emptyRegisters()
  let index = 0
  for (let at = HEADER; at < bytes.length; at++) {
    const code = bytes[at] as number
    let run: number
    if (code & 0x80) {
      run = (code & 3) + 1
      if (index + run > REGISTERS) refuse(CORRUPTED)
      registers.fill(((code >> 2) & 31) + 1, index, index + run)
    } else if (code & 0x40) run = (((code & 63) << 8) | (bytes[++at] ?? 0)) + 1
    else run = (code & 63) + 1
    index += run
  }
  if (index !== REGISTERS) refuse(CORRUPTED)
  return registers
}

/** undefined: a register is too large or the bytes are too many. */
function writeSparse(registers: Registers, maxBytes: number): Buffer | undefined {
  const codes: number[] = []
  for (let index = 0; index < REGISTERS; ) {
    const value = registers[index] as number
    if (value > SPARSE_MAX) return undefined
    let end = index + 1
    while (end < REGISTERS && registers[end] === value) end++
    for (let left = end - index; left > 0; ) {
      const run = Math.min(left, value === 0 ? REGISTERS : 4)
      if (value > 0) codes.push(0x80 | ((value - 1) << 2) | (run - 1))
      else if (run > 64) codes.push(0x40 | ((run - 1) >> 8), (run - 1) & 0xff)
      else codes.push(run - 1)
      left -= run
    }
    index = end
  }
  return codes.length > maxBytes ? undefined : Buffer.from(codes)
}

// ── Hash ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function trailingZeros(word: number): number {
  return 31 - Math.clz32(word & -word)
}

/** MurmurHash64A with the seed that Redis uses, as two 32-bit words. */
function murmurHash64(text: Bytes): readonly [high: number, low: number] {
  const M_HIGH = 0xc6a4a793 | 0
  const M_LOW = 0x5bd1e995
  const length = text.length
  let [high, low] = multiply(0, length, M_HIGH, M_LOW)
  low ^= 0xadc83b19 | 0
  const whole = length & ~7
  for (let at = 0; at < whole; at += 8) {
    let [kHigh, kLow] = multiply(wordAt(text, at + 4), wordAt(text, at), M_HIGH, M_LOW)
    // k ^= k >>> 47 touches only the low word: 47 is 15 beyond it.
    kLow ^= kHigh >>> 15
    ;[kHigh, kLow] = multiply(kHigh, kLow, M_HIGH, M_LOW)
    ;[high, low] = multiply(high ^ kHigh, low ^ kLow, M_HIGH, M_LOW)
  }
  if (whole < length) {
    for (let at = length - 1; at >= whole; at--) {
      const shift = (at - whole) * 8
      if (shift >= 32) high ^= text.charCodeAt(at) << (shift - 32)
      else low ^= text.charCodeAt(at) << shift
    }
    ;[high, low] = multiply(high, low, M_HIGH, M_LOW)
  }
  low ^= high >>> 15
  ;[high, low] = multiply(high, low, M_HIGH, M_LOW)
  low ^= high >>> 15
  return [high, low]
}

function wordAt(text: Bytes, at: number): number {
  return (
    text.charCodeAt(at) |
    (text.charCodeAt(at + 1) << 8) |
    (text.charCodeAt(at + 2) << 16) |
    (text.charCodeAt(at + 3) << 24)
  )
}

/** The lower 64 bits of a product. */
function multiply(aHigh: number, aLow: number, bHigh: number, bLow: number): [number, number] {
  const a0 = aLow & 0xffff
  const a1 = aLow >>> 16
  const b0 = bLow & 0xffff
  const b1 = bLow >>> 16
  const low = a0 * b0
  const middle = a1 * b0 + (low >>> 16)
  const middle2 = a0 * b1 + (middle & 0xffff)
  const carry = a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(middle2 / 0x10000)
  const high = (carry + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh)) | 0
  return [high, ((middle2 & 0xffff) << 16) | (low & 0xffff)]
}
