/**
 * The bounds of ZRANGE and its relatives, turned into ranks: `[first, first + count)` from the lowest.
 */
import type { Bytes } from '../../base/units.js'
import { parseBound } from '../numbers.js'
import { Refusal } from '../refusal.js'
import type { SortedSetValue } from '../types/sorted-set.js'

const NOT_A_SCORE = new Refusal('ERR min or max is not a float')
const NOT_LEXICAL = new Refusal('ERR min or max not valid string range item')

export interface ScoreRange {
  readonly min: number
  readonly minOpen: boolean
  readonly max: number
  readonly maxOpen: boolean
}

/** A bound of a range by members: `-`, `+`, `[member`, `(member`. */
export type LexBound =
  | { readonly at: 'start' | 'end' }
  | { readonly at: 'member'; readonly member: Bytes; readonly open: boolean }

export interface LexRange {
  readonly min: LexBound
  readonly max: LexBound
}

/** First rank and count. */
export type RankRange = readonly [first: number, count: number]

export function scoreRangeArg(min: Bytes, max: Bytes): ScoreRange {
  return {
    min: scoreBound(min),
    minOpen: min.charCodeAt(0) === 40,
    max: scoreBound(max),
    maxOpen: max.charCodeAt(0) === 40,
  }
}

function scoreBound(text: Bytes): number {
  const value = parseBound(text.charCodeAt(0) === 40 ? text.slice(1) : text)
  if (value === undefined) throw NOT_A_SCORE
  return value
}

export function lexRangeArg(min: Bytes, max: Bytes): LexRange {
  return { min: lexBound(min), max: lexBound(max) }
}

function lexBound(text: Bytes): LexBound {
  if (text === '-') return { at: 'start' }
  if (text === '+') return { at: 'end' }
  if (text[0] === '(' || text[0] === '[') return { at: 'member', member: text.slice(1), open: text[0] === '(' }
  throw NOT_LEXICAL
}

export function ranksByScore(zset: SortedSetValue, { min, minOpen, max, maxOpen }: ScoreRange): RankRange {
  const first = zset.countWhile(minOpen ? score => score <= min : score => score < min)
  const end = zset.countWhile(maxOpen ? score => score < max : score => score <= max)
  return [first, Math.max(0, end - first)]
}

export function ranksByLex(zset: SortedSetValue, { min, max }: LexRange): RankRange {
  const first = countBefore(zset, min, false)
  return [first, Math.max(0, countBefore(zset, max, true) - first)]
}

function countBefore(zset: SortedSetValue, bound: LexBound, asMax: boolean): number {
  if (bound.at !== 'member') return bound.at === 'start' ? 0 : zset.size
  const { member, open } = bound
  // What equals the bound lies before it when it is a closed maximum or an open minimum.
  return zset.countWhile(open === asMax ? (_, other) => other < member : (_, other) => other <= member)
}

/** Ranks of ZRANGE's indexes, which may count from the end. */
export function ranksByIndex(size: number, start: number, end: number): RankRange {
  const first = Math.max(0, start < 0 ? start + size : start)
  const last = Math.min(size - 1, end < 0 ? end + size : end)
  return first > last ? [0, 0] : [first, last - first + 1]
}
