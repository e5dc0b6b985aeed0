/**
 * Reading the arguments of a call. Each function answers the value or refuses the call in Redis' words.
 */
import type { Bytes, UnixMillis } from '../base/units.js'
import { INT64_MAX, parseDouble, parseInt64 } from './numbers.js'
import { NOT_A_FLOAT, NOT_AN_INTEGER, Refusal, refuse, SYNTAX } from './refusal.js'

/** A signed 64-bit integer, exact. */
export function int64Arg(text: Bytes | undefined, refusal = NOT_AN_INTEGER): number | bigint {
  const value = text === undefined ? undefined : parseInt64(text)
  if (value === undefined) throw refusal
  return value
}

/** A signed 64-bit integer as a number: for indexes and counts, where beyond 2^53 only the size matters. */
export function intArg(text: Bytes | undefined, refusal = NOT_AN_INTEGER): number {
  return Number(int64Arg(text, refusal))
}

export function intInRangeArg(text: Bytes | undefined, min: number, max: number, refusal = NOT_AN_INTEGER): number {
  const value = intArg(text, refusal)
  if (value < min || value > max) throw refusal
  return value
}

/** A C `int`: database numbers and the like. */
export function int32Arg(text: Bytes | undefined): number {
  const value = intArg(text)
  if (value < -2147483648 || value > 2147483647) refuse(outOfRange(-2147483648, 2147483647))
  return value
}

export function outOfRange(min: number | bigint, max: number | bigint): Bytes {
  return `ERR value is out of range, value must between ${min} and ${max}`
}

/** How many random entries are wanted; below zero, entries may repeat. `perEntry` items are replied for each. */
export function randomCountArg(text: Bytes | undefined, perEntry: 1 | 2): number {
  const count = int64Arg(text)
  const max = INT64_MAX
  if (count < -max) refuse(outOfRange(-max, max))
  if (perEntry === 2 && (count < -max / 2n || count > max / 2n)) refuse('ERR value is out of range')
  return Number(count)
}

/** A number of keys or elements that must be at least one; `text` refuses anything else. */
export function atLeastOneArg(text: Bytes | undefined, what: 'numkeys' | 'count'): number {
  const value = text === undefined ? undefined : parseInt64(text)
  if (value === undefined || value < 1) refuse(`ERR ${what} should be greater than 0`)
  return Number(value)
}

const NOT_POSITIVE = new Refusal('ERR value is out of range, must be positive')

/** Zero or more. */
export function countArg(text: Bytes | undefined, refusal = NOT_POSITIVE): number {
  const value = int64Arg(text, refusal)
  if (value < 0) throw refusal
  return Number(value)
}

export function doubleArg(text: Bytes | undefined, refusal = NOT_A_FLOAT): number {
  const value = text === undefined ? undefined : parseDouble(text)
  if (value === undefined) throw refusal
  return value
}

const TIMEOUT_NOT_FLOAT = new Refusal('ERR timeout is not a float or out of range')
const TIMEOUT_NEGATIVE = new Refusal('ERR timeout is negative')
const TIMEOUT_RANGE = new Refusal('ERR timeout is out of range')

/** The deadline of a blocking command that was given seconds to wait; undefined: for ever. */
export function deadlineArg(seconds: Bytes | undefined, now: UnixMillis): UnixMillis | undefined {
  const value = doubleArg(seconds, TIMEOUT_NOT_FLOAT)
  if (value < 0) throw TIMEOUT_NEGATIVE
  if (value * 1000 > 2 ** 63 - now) throw TIMEOUT_RANGE
  return value === 0 ? undefined : now + Math.ceil(value * 1000)
}

/** `value` as the word it must be, in any case. */
export function isWord(text: Bytes | undefined, word: string): boolean {
  return text !== undefined && text.length === word.length && text.toUpperCase() === word
}

/** An argument that must be there. */
export function need(text: Bytes | undefined): Bytes {
  if (text === undefined) throw SYNTAX
  return text
}
