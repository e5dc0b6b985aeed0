/**
 * Numbers as C prints them.
 */

/** `%.<digits>g`. */
export function formatG(value: number, digits: number): string {
  // What 0/0 gives on the machines Redis runs on has its sign set, and C prints that.
  if (Number.isNaN(value)) return '-nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  if (value === 0) return Object.is(value, -0) ? '-0' : '0'
  if (Number.isInteger(value) && Math.abs(value) < 1e14 && digits >= 14) return String(value)
  const [mantissa, exponentText] = value.toExponential(digits - 1).split('e') as [string, string]
  const exponent = Number(exponentText)
  if (exponent >= -4 && exponent < digits) return stripZeros(value.toFixed(Math.max(0, digits - 1 - exponent)))
  return `${stripZeros(mantissa)}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
}

function stripZeros(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}

/** C's conversion to a 64-bit integer, as x86 does it: what does not fit is the smallest there is. */
export function toInt64(value: number): number | bigint {
  const whole = Math.trunc(value)
  if (Number.isSafeInteger(whole)) return whole
  if (Number.isNaN(whole) || whole >= 2 ** 63 || whole < -(2 ** 63)) return -(2n ** 63n)
  return BigInt(whole)
}
