/**
 * Where time went, asked in two ways.
 *
 * Events: whatever blocked the server for `latency-monitor-threshold` milliseconds or more, one series per kind of
 * event (`command`, `fast-command`, `expire-cycle`, `eviction-cycle`), at most one sample a second and 160 a series.
 *
 * Histograms: how long each command took, with an error below one percent, from a nanosecond to a second. Kept
 * while `latency-tracking` is on, and only for commands that were called.
 */
import type { Millis } from '../base/units.js'
import { builtinTable, type CommandSpec } from '../command/table.js'

type Micros = number

const MAX_SAMPLES = 160
/** Longer calls count as this long. */
const MAX_NANOS = 1_000_000_000
/** Up to 256 exactly, then 128 steps for every doubling. */
const STEPS = 128
const CELLS = 24 * STEPS
/** The first and smallest limit that LATENCY HISTOGRAM shows; each further one is twice as high. */
const FIRST_LIMIT = 1024

export type LatencyEvent = 'command' | 'fast-command' | 'expire-cycle' | 'eviction-cycle'

export interface LatencySample {
  readonly unixSeconds: number
  readonly latency: Millis
}

export interface LatencySeries {
  readonly samples: readonly LatencySample[]
  readonly max: Millis
}

export class Latency {
  /** Of events, in milliseconds. Infinite for none. */
  threshold: Millis = Number.POSITIVE_INFINITY
  /** Whether calls are counted. */
  tracking = true
  readonly #events = new Map<string, { samples: LatencySample[]; max: Millis }>()
  readonly #histograms: (Histogram | undefined)[] = new Array(builtinTable.specs.length).fill(undefined)

  constructor(private readonly unixSeconds: () => number) {}

  // ── Events

  /** Something took so long. */
  note(event: LatencyEvent, took: Millis): void {
    const latency = Math.floor(took)
    if (latency < this.threshold) return
    const series = this.#events.get(event) ?? { samples: [], max: 0 }
    this.#events.set(event, series)
    series.max = Math.max(series.max, latency)
    const unixSeconds = this.unixSeconds()
    const last = series.samples.at(-1)
    if (last?.unixSeconds === unixSeconds) {
      if (latency > last.latency) series.samples[series.samples.length - 1] = { unixSeconds, latency }
      return
    }
    series.samples.push({ unixSeconds, latency })
    if (series.samples.length > MAX_SAMPLES) series.samples.shift()
  }

  get events(): ReadonlyMap<string, LatencySeries> {
    return this.#events
  }

  /** Forgets the named series, or all of them; answers how many there were. */
  forget(names: readonly string[]): number {
    const wanted = names.length === 0 ? [...this.#events.keys()] : names
    return wanted.filter(name => this.#events.delete(name)).length
  }

  // ── Histograms

  /** A call of a command is over. */
  count(spec: CommandSpec, micros: Micros): void {
    this.countWaited(spec, micros)
    if (micros >= this.threshold * 1000) this.note(spec.flags.has('fast') ? 'fast-command' : 'command', micros / 1000)
  }

  /** The same for a call that had to wait for others: while it did, nothing was blocked. */
  countWaited(spec: CommandSpec, micros: Micros): void {
    if (!this.tracking) return
    let histogram = this.#histograms[spec.id]
    if (histogram === undefined) histogram = this.#histograms[spec.id] = new Histogram()
    histogram.add(micros * 1000)
  }

  histogramOf(spec: CommandSpec): Histogram | undefined {
    return this.#histograms[spec.id]
  }

  /** CONFIG RESETSTAT. */
  resetHistograms(): void {
    this.#histograms.fill(undefined)
  }
}

export class Histogram {
  calls = 0
  readonly #cells = new Float64Array(CELLS)

  add(nanos: number): void {
    const value = Math.max(1, Math.min(MAX_NANOS, Math.floor(nanos)))
    const cell = cellOf(value)
    this.#cells[cell] = (this.#cells[cell] as number) + 1
    this.calls++
  }

  /** The duration in microseconds that so many percent of the calls did not exceed. */
  percentile(percent: number): Micros {
    const wanted = Math.max(1, Math.floor((percent / 100) * this.calls + 0.5))
    let seen = 0
    for (let cell = 0; cell < CELLS; cell++) {
      seen += this.#cells[cell] as number
      if (seen >= wanted) return highestOf(cell) / 1000
    }
    return 0
  }

  /** Pairs of microseconds and how many calls took no longer; a limit that adds no call is left out. */
  limits(): (readonly [Micros, number])[] {
    const pairs: (readonly [Micros, number])[] = []
    let seen = 0
    let shown = 0
    let cell = 0
    for (let limit = FIRST_LIMIT; shown < this.calls; limit *= 2) {
      const last = Math.min(CELLS - 1, cellOf(limit))
      for (; cell <= last; cell++) seen += this.#cells[cell] as number
      if (seen > shown) pairs.push([Math.floor(highestOf(last) / 1000), seen])
      shown = seen
    }
    return pairs
  }
}

function cellOf(nanos: number): number {
  if (nanos < 2 * STEPS) return nanos
  const shift = 31 - Math.clz32(nanos) - 7
  return shift * STEPS + (nanos >>> shift)
}

/** The highest duration that is counted in a cell. */
function highestOf(cell: number): number {
  if (cell < 2 * STEPS) return cell
  const shift = Math.floor(cell / STEPS) - 1
  return (cell - shift * STEPS + 1) * 2 ** shift - 1
}
