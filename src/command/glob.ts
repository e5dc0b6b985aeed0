/**
 * Redis' patterns: `*` `?` `[a-z]` `[^…]` and `\` before a character to be taken as it is.
 *
 * On a mismatch only the last `*` is tried again, one character further. That is enough (whatever an earlier one could
 * take, the last can), and bounds the work by the product of both lengths, where recursion would explode on `*a*a*a*b`.
 */
import type { Bytes } from '../base/units.js'

const STAR = 42
const QUESTION = 63
const BACKSLASH = 92
const OPEN = 91
const CLOSE = 93
const CARET = 94
const DASH = 45

export function matchesGlob(pattern: Bytes, text: Bytes, ignoreCase = false): boolean {
  if (pattern === '*') return true
  // Nothing matches nothing, and several stars do not: as Redis has it.
  if (text === '') return pattern === ''
  if (ignoreCase) {
    pattern = foldAscii(pattern)
    text = foldAscii(text)
  }
  let at = 0
  let place = 0
  let afterStar = -1
  let starPlace = 0
  while (place < text.length) {
    if (at < pattern.length && pattern.charCodeAt(at) === STAR) {
      while (pattern.charCodeAt(at) === STAR) at++
      if (at === pattern.length) return true
      afterStar = at
      starPlace = place
      continue
    }
    const next = at < pattern.length ? matchOne(pattern, at, text.charCodeAt(place)) : -1
    if (next >= 0) {
      at = next
      place++
    } else if (afterStar >= 0) {
      at = afterStar
      place = ++starPlace
    } else return false
  }
  while (at < pattern.length && pattern.charCodeAt(at) === STAR) at++
  return at === pattern.length
}

/** Matches one character at `at` of the pattern; answers where the pattern goes on, or -1. */
function matchOne(pattern: Bytes, at: number, code: number): number {
  const symbol = pattern.charCodeAt(at)
  if (symbol === QUESTION) return at + 1
  if (symbol === OPEN) return matchClass(pattern, at + 1, code)
  if (symbol === BACKSLASH && at + 1 < pattern.length) return pattern.charCodeAt(at + 1) === code ? at + 2 : -1
  return symbol === code ? at + 1 : -1
}

function matchClass(pattern: Bytes, at: number, code: number): number {
  const negated = pattern.charCodeAt(at) === CARET
  if (negated) at++
  let matched = false
  while (at < pattern.length && pattern.charCodeAt(at) !== CLOSE) {
    const symbol = pattern.charCodeAt(at)
    if (symbol === BACKSLASH && at + 1 < pattern.length) {
      if (pattern.charCodeAt(++at) === code) matched = true
    } else if (pattern.charCodeAt(at + 1) === DASH && at + 2 < pattern.length) {
      const other = pattern.charCodeAt(at + 2)
      if (code >= Math.min(symbol, other) && code <= Math.max(symbol, other)) matched = true
      at += 2
    } else if (symbol === code) matched = true
    at++
  }
  // A class that is never closed ends with the pattern.
  const next = Math.min(at + 1, pattern.length)
  return matched !== negated ? next : -1
}

/** Lower case for the 26 letters only: bytes above 127 stay as they are. */
function foldAscii(text: Bytes): Bytes {
  return text.replace(/[A-Z]/g, letter => letter.toLowerCase())
}
