/**
 * Counters that exist before anything happened.
 *
 * `rate()` over a counter that is born with the value 1 misses its first step, and a panel over a series that does not
 * exist is empty where it should say 0. So every counter and histogram whose labels are all known starts at 0: those
 * without labels, those whose values the catalog lists, and those whose labels the caller knows (its groups, its nodes,
 * its listeners). Gauges are left alone: 0 would be a statement.
 */
import { catalog, type MetricName, type MetricRow } from './catalog.js'
import type { Labels, MetricStore } from './store.js'

/** Values known at run time, by label: `{ group: ['main'], listener: ['127.0.0.1:6400'] }`. */
export type KnownLabels = Readonly<Record<string, readonly string[]>>

export function seedMetrics(store: MetricStore, known: KnownLabels): void {
  for (const name of Object.keys(catalog) as MetricName[]) {
    const row: MetricRow = catalog[name]
    for (const labels of combinations(row, known)) {
      if (row.type === 'counter') store.counter(name, labels)
      else if (row.type === 'histogram') store.histogram(name, labels)
    }
  }
}

/** Every combination of the row's labels; none when the values of a label are not known. */
function combinations(row: MetricRow, known: KnownLabels): readonly Labels[] {
  let all: Labels[] = [{}]
  for (const label of row.labels) {
    const values = row.values?.[label] ?? known[label] ?? []
    all = all.flatMap(labels => values.map(value => ({ ...labels, [label]: value })))
  }
  return all
}
