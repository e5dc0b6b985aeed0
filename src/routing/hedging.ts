/**
 * When is a read asked a second time, of another replica? Off by default. It is when a replica has taken longer than nearly
 * all reads do, and only within a budget: a part of the reads at replicas, so that a group that is slow as a whole is not
 * asked twice as much.
 */
import type { Millis } from '../base/units.js'

export interface HedgeOptions {
  /** At most so many of a hundred reads at replicas are asked twice; 0: none. */
  readonly percent: number
  /** Never sooner than this. */
  readonly afterMs: Millis
}

/** What reads at replicas have taken, counted since the start. */
export interface Durations {
  /** Upper bounds in seconds; `counts` has one more, for what is beyond all. */
  readonly bounds: readonly number[]
  readonly counts: ArrayLike<number>
}

/** Of a budget that was not used, so many reads may be saved up. */
const SAVED_MAX = 20
const WINDOW_MS: Millis = 1000
const PERCENTILE = 0.95

export class Hedging {
  #tokens = 0
  #reads = 0
  #before: number[] = []
  #windowAt: Millis = Number.NEGATIVE_INFINITY
  #afterMs: Millis

  constructor(private readonly options: HedgeOptions) {
    this.#afterMs = options.afterMs
  }

  /** A read is late when it was sent so long ago. */
  get afterMs(): Millis {
    return this.#afterMs
  }

  /** What has been measured by now: fills the budget, and once a second says anew what late is. */
  measure(durations: Durations, now: Millis): void {
    let reads = 0
    for (let bucket = 0; bucket < durations.counts.length; bucket++) reads += durations.counts[bucket] as number
    const added = Math.max(0, reads - this.#reads)
    this.#tokens = Math.min(SAVED_MAX, this.#tokens + (added * this.options.percent) / 100)
    this.#reads = reads
    if (now - this.#windowAt < WINDOW_MS) return
    this.#windowAt = now
    this.#afterMs = Math.max(this.options.afterMs, this.#percentile(durations))
    this.#before = Array.from(durations.counts)
  }

  /** Takes one from the budget; false: there is none. */
  spend(): boolean {
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  /** Of the last window, in milliseconds; 0 when nothing was read. */
  #percentile({ bounds, counts }: Durations): Millis {
    let total = 0
    for (let bucket = 0; bucket < counts.length; bucket++) total += this.#fresh(counts, bucket)
    let below = 0
    for (let bucket = 0; bucket < bounds.length; bucket++) {
      below += this.#fresh(counts, bucket)
      if (total > 0 && below >= total * PERCENTILE) return (bounds[bucket] as number) * 1000
    }
    return total === 0 ? 0 : (bounds.at(-1) as number) * 1000
  }

  #fresh(counts: ArrayLike<number>, bucket: number): number {
    return (counts[bucket] as number) - (this.#before[bucket] ?? 0)
  }
}
