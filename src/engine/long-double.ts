/**
 * Sums of decimal texts in the 80-bit floating point that Redis uses for INCRBYFLOAT, so that `3.0 + 1.1` is `4.1` here
 * as there, digit for digit.
 *
 * A number is mantissa × 2^exponent with a mantissa of up to 64 bits. Texts are read as exact fractions and rounded once,
 * half to even; sums are exact and rounded once.
 */
import type { Bytes } from '../base/units.js'

export interface LongDouble {
  readonly mantissa: bigint
  readonly exponent: number
}

const MANTISSA_BITS = 64
/** Beyond this the text is infinity to C; refused like anything that is no number. */
const MAX_DECIMAL_EXPONENT = 4932
const FRACTION_DIGITS = 17

const DECIMAL = /^([+-]?)(\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d{1,9}))?$/
/** Longer texts are no numbers to Redis either. */
const MAX_TEXT = 5 * 1024

export type ParsedLongDouble = LongDouble | 'infinite' | undefined

/** Reads a decimal number; 'infinite' for `inf` in all spellings, undefined for anything else. */
export function parseLongDouble(text: Bytes): ParsedLongDouble {
  if (text.length >= MAX_TEXT) return undefined
  const match = DECIMAL.exec(text)
  if (match === null) return /^[+-]?inf(inity)?$/i.test(text) ? 'infinite' : parseHexadecimal(text)
  const [, sign, digits = '', exponentText = '0'] = match
  const [whole = '', fraction = ''] = digits.split('.')
  const power = Number(exponentText) - fraction.length
  const value = BigInt(`${whole}${fraction}` || '0') * (sign === '-' ? -1n : 1n)
  if (value === 0n) return { mantissa: 0n, exponent: 0 }
  if (Math.abs(power + whole.length + fraction.length) > MAX_DECIMAL_EXPONENT + MAX_TEXT) return undefined
  const parsed = power >= 0 ? round(value * 10n ** BigInt(power), 1n) : round(value, 10n ** BigInt(-power))
  return bitLength(parsed.mantissa) + parsed.exponent > 16384 ? undefined : parsed
}

function parseHexadecimal(text: Bytes): ParsedLongDouble {
  const match = /^([+-]?)0[xX]([0-9a-fA-F]*)(?:\.([0-9a-fA-F]*))?(?:[pP]([+-]?\d{1,6}))?$/.exec(text)
  if (match === null) return undefined
  const [, sign, whole = '', fraction = '', exponent = '0'] = match
  if (whole === '' && fraction === '') return undefined
  const parsed = round(BigInt(`0x${whole}${fraction}`) * (sign === '-' ? -1n : 1n), 1n)
  if (parsed.mantissa === 0n) return parsed
  const power = parsed.exponent + Number(exponent) - fraction.length * 4
  return Math.abs(bitLength(parsed.mantissa) + power) > 16384
    ? undefined
    : { mantissa: parsed.mantissa, exponent: power }
}

/** The sum, or undefined when it is beyond all finite numbers. */
export function addLongDouble(a: LongDouble, b: LongDouble): LongDouble | undefined {
  const exponent = Math.min(a.exponent, b.exponent)
  const sum = (a.mantissa << BigInt(a.exponent - exponent)) + (b.mantissa << BigInt(b.exponent - exponent))
  const rounded = round(sum, 1n)
  const result = { mantissa: rounded.mantissa, exponent: rounded.exponent + exponent }
  return bitLength(result.mantissa) + result.exponent > 16384 ? undefined : result
}

/** Seventeen digits behind the point, without the zeros at the end: C's `%.17Lf`, tidied. */
export function formatLongDouble({ mantissa, exponent }: LongDouble): Bytes {
  const negative = mantissa < 0n
  const magnitude = (negative ? -mantissa : mantissa) * 10n ** BigInt(FRACTION_DIGITS)
  const scaled = exponent >= 0 ? magnitude << BigInt(exponent) : divideHalfEven(magnitude, 1n << BigInt(-exponent))
  const digits = String(scaled).padStart(FRACTION_DIGITS + 1, '0')
  const fraction = digits.slice(-FRACTION_DIGITS).replace(/0+$/, '')
  const whole = digits.slice(0, -FRACTION_DIGITS)
  const text = fraction === '' ? whole : `${whole}.${fraction}`
  return negative && text !== '0' ? `-${text}` : text
}

/** numerator / denominator with a mantissa of 64 bits. */
function round(numerator: bigint, denominator: bigint): LongDouble {
  const negative = numerator < 0n
  const magnitude = negative ? -numerator : numerator
  if (magnitude === 0n) return { mantissa: 0n, exponent: 0 }
  const shift = MANTISSA_BITS - (bitLength(magnitude) - bitLength(denominator))
  const scaled = shift >= 0 ? magnitude << BigInt(shift) : magnitude
  const divisor = shift >= 0 ? denominator : denominator << BigInt(-shift)
  // The quotient has 64 or 65 bits; with 65 it is taken again one bit coarser.
  const coarse = bitLength(scaled / divisor) > MANTISSA_BITS
  const mantissa = divideHalfEven(scaled, coarse ? divisor * 2n : divisor)
  return { mantissa: negative ? -mantissa : mantissa, exponent: -shift + (coarse ? 1 : 0) }
}

function divideHalfEven(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator
  const twice = (numerator % denominator) * 2n
  if (twice > denominator || (twice === denominator && (quotient & 1n) === 1n)) return quotient + 1n
  return quotient
}

function bitLength(value: bigint): number {
  return (value < 0n ? -value : value).toString(2).length
}
