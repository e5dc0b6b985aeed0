/**
 * A rate that may be exceeded at once by what a second allows, and is paid for afterwards by waiting: a token bucket that
 * may go into debt, since what has been received cannot be given back.
 */
import type { Millis } from './units.js'

export class Pace {
  #balance: number
  #at: Millis | undefined

  constructor(readonly perSecond: number) {
    this.#balance = perSecond
  }

  /** Spends `count`; answers how long nothing more may be spent, 0 when it may. */
  spend(count: number, now: Millis): Millis {
    this.#earn(now)
    this.#balance -= count
    return this.#balance >= 0 ? 0 : (-this.#balance / this.perSecond) * 1000
  }

  /** Whether `count` more would be within the rate. */
  allows(count: number, now: Millis): boolean {
    this.#earn(now)
    return this.#balance >= count
  }

  #earn(now: Millis): void {
    const earned = ((now - (this.#at ?? now)) / 1000) * this.perSecond
    this.#balance = Math.min(this.perSecond, this.#balance + earned)
    this.#at = now
  }
}
