/**
 * Lag in milliseconds, without heartbeat keys and without anybody else's clock.
 *
 * We remember when we learned which offset the master had. A replica that has applied byte 100 is behind by as long as
 * the master has had more than 100:
 *
 *     at     10    20    30    40         now 45, replica applied 250
 *     head  100   200   300   400         first sample beyond it: 300 at 30  ⇒  lagMs = 15
 *                 └ last sample it has in full: 200, asked for at 19         ⇒  provenMs = 26
 *
 * `lagMs` is for people: 0 when the replica has all that we know of. `provenMs` is a promise: every write acknowledged
 * earlier than that is in the replica. It ages although nothing happens, because a master that cannot be reached proves
 * nothing.
 */
import type { Millis, Offset } from '../base/units.js'

interface Sample {
  offset: Offset
  /** The first time we heard of this offset. */
  firstHeardAt: Millis
  /** The last time we asked and it was still this: nothing newer had been acknowledged before. */
  lastAskedAt: Millis
}

/** At the pace of traffic (a sample per millisecond) this reaches two seconds back; a replica behind that gets a lower bound. */
const CAPACITY = 2048

export class OffsetTimeline {
  /** Ascending in offset and time; `#first` is the oldest that still counts. */
  #samples: Sample[] = []
  #first = 0

  get head(): Offset | undefined {
    return this.#last()?.offset
  }

  /**
   * The master had `offset` when it answered at `heardAt`. `askedAt` is when our own question left; undefined for what
   * others tell us, which proves no age. Offsets that go back are ignored: an older answer overtaken by a newer one.
   */
  add(offset: Offset, heardAt: Millis, askedAt?: Millis): void {
    const last = this.#last()
    if (last !== undefined && offset < last.offset) return
    const provenAt = askedAt ?? Number.NEGATIVE_INFINITY
    if (last !== undefined && offset === last.offset) {
      last.lastAskedAt = Math.max(last.lastAskedAt, provenAt)
      return
    }
    this.#samples.push({ offset, firstHeardAt: heardAt, lastAskedAt: provenAt })
    this.#trim()
  }

  /** The history changed: offsets before and after cannot be compared. */
  clear(): void {
    this.#samples = []
    this.#first = 0
  }

  /** How long the oldest write that is missing has been missing; 0 when nothing we know of is. */
  lagMs(applied: Offset, now: Millis): Millis {
    const beyond = this.#samples[this.#indexBeyond(applied)]
    return beyond === undefined ? 0 : now - beyond.firstHeardAt
  }

  /** Everything acknowledged longer ago than this has been applied; undefined when nothing proves it. */
  provenMs(applied: Offset, now: Millis): Millis | undefined {
    for (let index = this.#indexBeyond(applied) - 1; index >= this.#first; index--) {
      const { lastAskedAt } = this.#samples[index] as Sample
      if (lastAskedAt !== Number.NEGATIVE_INFINITY) return now - lastAskedAt
    }
    return undefined
  }

  #last(): Sample | undefined {
    return this.#samples[this.#samples.length - 1]
  }

  /** The index of the first sample with a larger offset: a binary search. */
  #indexBeyond(applied: Offset): number {
    let low = this.#first
    let high = this.#samples.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#samples[middle] as Sample).offset > applied) high = middle
      else low = middle + 1
    }
    return low
  }

  /** Drops the oldest; the array is cut only when half of it is dead, so that adding stays cheap. */
  #trim(): void {
    if (this.#samples.length - this.#first > CAPACITY) this.#first++
    if (this.#first >= CAPACITY) {
      this.#samples = this.#samples.slice(this.#first)
      this.#first = 0
    }
  }
}
