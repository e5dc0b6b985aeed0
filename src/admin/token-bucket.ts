import type { Millis } from '../base/units.js'

/** Lets `perSecond` things happen in a second, all of them at once if they like. */
export class TokenBucket {
  #left: number
  #refilledAt: Millis | undefined

  constructor(private readonly perSecond: number) {
    this.#left = perSecond
  }

  /** Whether one more may happen now. */
  take(now: Millis): boolean {
    const earned = ((now - (this.#refilledAt ?? now)) / 1000) * this.perSecond
    this.#left = Math.min(this.perSecond, this.#left + earned)
    this.#refilledAt = now
    if (this.#left < 1) return false
    this.#left--
    return true
  }
}
