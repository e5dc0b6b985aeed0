/**
 * Numbers as Redis reads and writes them: signed 64-bit integers, exact, and doubles by C's rules.
 *
 * Integers are JS numbers while they are safe (|n| < 2^53) and bigints beyond, so that counters cost nothing and the
 * edges are still right.
 */
import type { Bytes } from '../base/units.js'

export const INT64_MAX = 0x7fffffffffffffffn
export const INT64_MIN = -0x8000000000000000n

/** True for the one canonical spelling of a signed 64-bit integer: no sign but `-`, no leading zeros. */
export function isInt64Text(text: Bytes): boolean {
  const length = text.length
  if (length === 0 || length > 20) return false
  let at = 0
  let first = text.charCodeAt(0)
  if (first === 45) {
    if (length === 1) return false
    at = 1
    first = text.charCodeAt(1)
    if (first === 48) return false
  }
  if (first === 48) return length === 1
  for (; at < length; at++) {
    const digit = text.charCodeAt(at)
    if (digit < 48 || digit > 57) return false
  }
  const digits = first === text.charCodeAt(0) ? length : length - 1
  if (digits < 19) return true
  if (digits > 19) return false
  const value = BigInt(text)
  return value >= INT64_MIN && value <= INT64_MAX
}

/** A signed 64-bit integer; undefined when the text is none. Numbers beyond 2^53 come as bigints. */
export function parseInt64(text: Bytes): number | bigint | undefined {
  const length = text.length
  if (length > 15) {
    if (!isInt64Text(text)) return undefined
    const value = BigInt(text)
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : value
  }
  if (length === 0) return undefined
  let at = 0
  const negative = text.charCodeAt(0) === 45
  if (negative) at = 1
  const first = text.charCodeAt(at) - 48
  if (first === 0) return length === 1 ? 0 : undefined
  let value = 0
  for (; at < length; at++) {
    const digit = text.charCodeAt(at) - 48
    if (digit < 0 || digit > 9) return undefined
    value = value * 10 + digit
  }
  if (value === 0) return undefined
  return negative ? -value : value
}

/** The sum, or undefined when it leaves 64 bits. */
export function addInt64(a: number | bigint, b: number | bigint): number | bigint | undefined {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b
    if (Number.isSafeInteger(sum)) return sum
  }
  const sum = BigInt(a) + BigInt(b)
  if (sum > INT64_MAX || sum < INT64_MIN) return undefined
  const number = Number(sum)
  return Number.isSafeInteger(number) ? number : sum
}

/**
 * A double as bounds of score ranges are read: blanks in front are skipped, nothing at all is 0, too large is infinite,
 * a NUL ends the text.
 * undefined for anything else.
 */
export function parseBound(text: Bytes): number | undefined {
  const [whole = ''] = text.split('\0', 1)
  const rest = whole.replace(/^[ \t\n\v\f\r]+/, '')
  if (rest === '') return whole === '' ? 0 : undefined
  return DECIMAL.test(rest) ? Number(rest) : parseDouble(rest)
}

const DECIMAL = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/
const HEXADECIMAL = /^([+-]?)0[xX]([0-9a-fA-F]*)\.?([0-9a-fA-F]*)(?:[pP]([+-]?\d+))?$/
const INFINITE = /^([+-]?)inf(inity)?$/i

/**
 * A double as `strtod` reads it, the whole text and without blanks; undefined for anything else, `nan` included, and for
 * what is too large or too small to be told from infinity or zero.
 */
export function parseDouble(text: Bytes): number | undefined {
  const short = parseShort(text)
  if (short >= 0) return short
  if (DECIMAL.test(text)) {
    const value = Number(text)
    if (!Number.isFinite(value)) return undefined
    return value === 0 && /[1-9]/.test(text.replace(/[eE].*/, '')) ? undefined : value
  }
  const infinite = INFINITE.exec(text)
  if (infinite !== null) return infinite[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  return text.length < 64 ? parseHexadecimal(text) : undefined
}

/** Up to nine digits and nothing else, which most scores are; otherwise -1. */
function parseShort(text: Bytes): number {
  const { length } = text
  if (length === 0 || length > 9) return -1
  let value = 0
  for (let index = 0; index < length; index++) {
    const digit = text.charCodeAt(index) - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

function parseHexadecimal(text: Bytes): number | undefined {
  const match = HEXADECIMAL.exec(text)
  if (match === null) return undefined
  const [, sign, whole = '', fraction = '', exponent = '0'] = match
  if (whole === '' && fraction === '') return undefined
  const digits = Number.parseInt(whole + fraction, 16)
  const value = digits * 2 ** (Number(exponent) - fraction.length * 4)
  return Number.isFinite(value) ? (sign === '-' ? -value : value) : undefined
}
