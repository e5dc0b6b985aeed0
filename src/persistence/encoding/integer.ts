/**
 * Integers inside packed encodings. They stand for their decimal text; numbers that a double counts exactly stay numbers.
 */
import type { Bytes } from '../../base/units.js'

/** An element of a packed encoding: text, or the integer whose decimal text it is. */
export type Packed = Bytes | number

export function textOfPacked(element: Packed): Bytes {
  return typeof element === 'number' ? String(element) : element
}

/** 64 bits, signed, least significant byte first. */
export function readInt64(buffer: Buffer, at: number): Packed {
  const high = buffer.readInt32LE(at + 4)
  const value = high * 2 ** 32 + buffer.readUInt32LE(at)
  return Number.isSafeInteger(value) ? value : String(buffer.readBigInt64LE(at))
}

/** The integer that `text` is the canonical decimal text of, if a double counts it exactly. */
export function integerOf(text: Bytes): number | undefined {
  const { length } = text
  if (length === 0 || length > 17) return undefined
  const first = text.charCodeAt(0)
  if (first !== 0x2d && (first < 0x30 || first > 0x39)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) && String(value) === text ? value : undefined
}
