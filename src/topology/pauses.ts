/**
 * What two pauses of clients make together.
 */
import type { Millis } from '../base/units.js'

export type PauseMode = 'write' | 'all'

export interface PauseRequest {
  readonly mode: PauseMode
  readonly timeoutMs: Millis
}

/** The stricter mode and the later end: a pause is made longer by a second one, never shorter. */
export function combine(before: PauseRequest | undefined, next: PauseRequest): PauseRequest {
  if (before === undefined) return next
  return {
    mode: before.mode === 'all' ? 'all' : next.mode,
    timeoutMs: Math.max(before.timeoutMs, next.timeoutMs),
  }
}
