/**
 * Where numbers are kept while the process runs.
 *
 * prom-client's own counters cost hundreds of nanoseconds per observation, so the hot path counts in plain fields of a
 * handle it looked up once, and prom-client only renders. A worker's store crosses the control socket as a
 * MetricSnapshot; the supervisor adds the snapshots of all workers to its own.
 *
 *     const reads = store.counter('lagrange_commands_total', { command: 'get', target: 'replica' })
 *     reads.value++                                   // what the hot path does
 */
import { invariant } from '../base/invariant.js'
import { catalog, type MetricName, type MetricRow } from './catalog.js'

export type Labels = Readonly<Record<string, string>>

export interface Counter {
  value: number
}

export type Gauge = Counter

/** Cumulative only when rendered: `counts[i]` holds what fell between bound i-1 and bound i; the last is +Inf. */
export interface Histogram {
  readonly bounds: readonly number[]
  readonly counts: Float64Array
  sum: number
  observe(value: number): void
  /** Names the observation of `value` that was just made: for rare ones, such as slow commands. */
  name(value: number, labels: Labels, at: number): void
  /** One per bucket at most. */
  readonly exemplars: Exemplar[]
}

/** One observation by name: the last slow one that fell into its bucket. */
export interface Exemplar {
  readonly bucket: number
  readonly labels: Labels
  readonly value: number
  /** Milliseconds since 1970. */
  readonly at: number
}

/** Plain data: what one process counted, for another to add up. */
export type MetricSnapshot = readonly SnapshotSeries[]

export interface SnapshotSeries {
  readonly name: MetricName
  readonly labels: Labels
  readonly value?: number
  readonly counts?: readonly number[]
  readonly sum?: number
  readonly exemplars?: readonly Exemplar[]
}

type Series = { readonly labels: Labels; readonly cell: Counter | Histogram }

export class MetricStore {
  readonly #families = new Map<MetricName, Map<string, Series>>()
  readonly #beforeSnapshot: (() => void)[] = []

  /** The handle of one series, made at 0 on first use. Labels must be exactly those of the catalog. */
  counter(name: MetricName, labels: Labels = {}): Counter {
    return this.#series(name, labels, () => ({ value: 0 })) as Counter
  }

  gauge(name: MetricName, labels: Labels = {}): Gauge {
    return this.counter(name, labels)
  }

  histogram(name: MetricName, labels: Labels = {}): Histogram {
    return this.#series(name, labels, row => makeHistogram(row.buckets ?? [])) as Histogram
  }

  /** Forgets a series: an instance left, or a gauge has nothing to say any more. */
  remove(name: MetricName, labels: Labels): void {
    this.#families.get(name)?.delete(keyOf(name, labels))
  }

  /** Forgets every series of a family: for gauges that are set anew at each scrape. */
  clear(name: MetricName): void {
    this.#families.get(name)?.clear()
  }

  /** `task` runs before each snapshot: for gauges that are read from state rather than kept. */
  beforeSnapshot(task: () => void): void {
    this.#beforeSnapshot.push(task)
  }

  snapshot(): MetricSnapshot {
    for (const task of this.#beforeSnapshot) task()
    const all: SnapshotSeries[] = []
    for (const [name, family] of this.#families) {
      for (const { labels, cell } of family.values()) {
        if ('counts' in cell) {
          const exemplars = cell.exemplars.length === 0 ? undefined : [...cell.exemplars]
          all.push({ name, labels, counts: [...cell.counts], sum: cell.sum, ...(exemplars && { exemplars }) })
        } else all.push({ name, labels, value: cell.value })
      }
    }
    return all
  }

  #series(name: MetricName, labels: Labels, make: (row: MetricRow) => Counter | Histogram): Counter | Histogram {
    const row: MetricRow = catalog[name]
    const key = keyOf(name, labels)
    let family = this.#families.get(name)
    if (family === undefined) this.#families.set(name, (family = new Map()))
    let series = family.get(key)
    if (series === undefined) {
      const names = Object.keys(labels)
      invariant(
        names.length === row.labels.length && row.labels.every(label => label in labels),
        `labels of ${name} are ${row.labels.join(', ')}, not ${names.join(', ')}`,
      )
      family.set(key, (series = { labels, cell: make(row) }))
    }
    return series.cell
  }
}

/** Adds up what several processes counted: equal name and labels become one series. */
export function mergeSnapshots(snapshots: readonly MetricSnapshot[]): MetricSnapshot {
  const merged = new Map<
    string,
    {
      name: MetricName
      labels: Labels
      value?: number
      counts?: number[]
      sum?: number
      exemplars?: readonly Exemplar[]
    }
  >()
  for (const snapshot of snapshots) {
    for (const series of snapshot) {
      const key = `${series.name} ${keyOf(series.name, series.labels)}`
      const into = merged.get(key)
      if (into === undefined) {
        merged.set(key, { ...series, ...(series.counts && { counts: [...series.counts] }) } as never)
      } else if (series.counts !== undefined && into.counts !== undefined) {
        for (let index = 0; index < series.counts.length; index++) {
          into.counts[index] = (into.counts[index] ?? 0) + (series.counts[index] as number)
        }
        into.sum = (into.sum ?? 0) + (series.sum ?? 0)
        if (series.exemplars !== undefined) into.exemplars = [...series.exemplars, ...(into.exemplars ?? [])]
      } else into.value = (into.value ?? 0) + (series.value ?? 0)
    }
  }
  return [...merged.values()]
}

/** The values in the order of the catalog: whoever names a series has all of its labels, and no others. */
function keyOf(name: MetricName, labels: Labels): string {
  let key = ''
  for (const label of (catalog[name] as MetricRow).labels) key += `${labels[label]}\u0000`
  return key
}

export function makeHistogram(bounds: readonly number[]): Histogram {
  // In an array, where a number is no object.
  const last = new Float64Array([Number.NaN])
  let place = 0
  return {
    bounds,
    counts: new Float64Array(bounds.length + 1),
    sum: 0,
    exemplars: [],
    observe(value) {
      // What comes in one packet is mostly of one age and took the same time.
      if (value !== last[0]) {
        last[0] = value
        place = 0
        while (place < bounds.length && value > (bounds[place] as number)) place++
      }
      ;(this.counts[place] as number)++
      this.sum += value
    },
    name(value, labels, at) {
      const found = bounds.findIndex(bound => value <= bound)
      const bucket = found < 0 ? bounds.length : found
      const known = this.exemplars.findIndex(one => one.bucket === bucket)
      this.exemplars.splice(known < 0 ? this.exemplars.length : known, known < 0 ? 0 : 1, { bucket, labels, value, at })
    },
  }
}
