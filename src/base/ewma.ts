import type { Millis } from './units.js'

/**
 * A mean that forgets: after `halfLife` an old sample weighs half. Irregular samples are weighed by the time between
 * them, so a burst does not count for more than the interval it fills.
 */
export class Ewma {
  #value: number | undefined
  #at: Millis = 0

  constructor(private readonly halfLifeMs: Millis) {}

  reset(): void {
    this.#value = undefined
  }

  get value(): number | undefined {
    return this.#value
  }

  add(sample: number, now: Millis): void {
    if (this.#value === undefined) this.#value = sample
    else {
      const kept = 0.5 ** (Math.max(now - this.#at, 0.01) / this.halfLifeMs)
      this.#value = this.#value * kept + sample * (1 - kept)
    }
    this.#at = now
  }
}
