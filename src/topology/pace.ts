/**
 * How often freshness has to be told.
 *
 * What replicas have applied is known a millisecond after it was, which costs as much as a fifth of the writes that move it.
 * Where nearly all reads find a fresh replica anyway, or nobody reads, once in five milliseconds will do: the few reads that
 * come in between go to the master. So the pace follows the share of reads that no replica could be shown fresh enough for.
 */
import type { Millis } from '../base/units.js'

/** `quick`: somebody waits for it, or is let down without it. */
export type Pace = 'quick' | 'calm'

export const gapOf: Readonly<Record<Pace, Millis>> = { quick: 1, calm: 5 }

/** Of all reads, while calm. While quick five times fewer are let down, so the mark is that much lower: no swinging between the two. */
const TOO_MANY = 0.01

/** Whether so many of the reads decided since the last look ask for it; `byAge` are those whose level asks how old data is. */
export function asksForQuick(pace: Pace, reads: number, letDown: number, byAge: number): boolean {
  const mark = pace === 'calm' ? TOO_MANY : (TOO_MANY * gapOf.quick) / gapOf.calm
  return byAge > 0 || letDown > reads * mark
}
