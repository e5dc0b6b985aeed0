/**
 * Replicas that answer much later than the others are left alone for a while, longer each time, and tried again. The choice
 * among replicas weighs their latency already; but what was sent to one that hangs waits, and new sessions try it.
 *
 * Never the last one: a replica is only taken out while another one that serves reads and is no outlier itself is left.
 *
 *     serving ──late three looks in a row──▶ ejected 1 s, 2 s … 30 s ──▶ serving, its latency unknown
 */
import type { Millis } from '../base/units.js'

/** What is looked at. */
export interface Measured {
  readonly id: string
  readonly usable: boolean
  /** Smoothed time to a reply, and how many replies it has been measured by so far. */
  readonly latencyMs: Millis
  readonly measurements: number
}

export interface Ejection<R> {
  readonly replica: R
  readonly forMs: Millis
}

interface Record {
  late: number
  times: number
  seen: number
}

/** An outlier takes so many times as long as the best, and so much longer: on a fast network nobody is one for a fraction of a millisecond. */
const FACTOR = 5
const MARGIN_MS: Millis = 5
const LOOKS = 3
const FIRST_MS: Millis = 1000
const LAST_MS: Millis = 30_000

export class Outliers<R extends Measured> {
  readonly #records = new Map<string, Record>()

  /** One look, to be had every half a second or so: who has to be left alone now. */
  look(replicas: readonly R[]): readonly Ejection<R>[] {
    this.#forget(replicas)
    const serving = replicas.filter(replica => replica.usable)
    const best = Math.min(...serving.map(replica => replica.latencyMs))
    const isLate = ({ latencyMs }: R): boolean => latencyMs > best * FACTOR && latencyMs > best + MARGIN_MS
    const ejected: Ejection<R>[] = []
    for (const replica of serving) {
      const record = this.#recordOf(replica)
      // Nothing was asked of it since the last look: nothing new is known.
      if (record.seen === replica.measurements) continue
      record.seen = replica.measurements
      record.late = isLate(replica) ? record.late + 1 : 0
      if (record.late === 0 && record.times > 0) record.times--
      if (record.late < LOOKS) continue
      record.late = 0
      ejected.push({ replica, forMs: Math.min(LAST_MS, FIRST_MS * 2 ** record.times) })
      record.times++
    }
    return ejected
  }

  #recordOf({ id }: R): Record {
    let record = this.#records.get(id)
    if (record === undefined) {
      record = { late: 0, times: 0, seen: -1 }
      this.#records.set(id, record)
    }
    return record
  }

  /** Who has left the group is nobody any more. */
  #forget(replicas: readonly R[]): void {
    if (this.#records.size <= replicas.length) return
    for (const id of this.#records.keys()) if (!replicas.some(replica => replica.id === id)) this.#records.delete(id)
  }
}
