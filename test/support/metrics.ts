import { catalog, type MetricName, type MetricRow } from '../../src/metrics/catalog.js'
import { type Labels, MetricStore } from '../../src/metrics/store.js'

/** Values for the labels whose values the catalog does not list. */
const samples: Readonly<Record<string, readonly string[]>> = {
  version: ['0.1.0'],
  nodeversion: [process.version],
  group: ['main'],
  node: ['127.0.0.1:6401', '127.0.0.1:6402', '127.0.0.1:6403'],
  role: ['master', 'replica', 'unknown'],
  listener: ['127.0.0.1:6400'],
  reason: ['maxclients'],
  command: ['get', 'set'],
  target: ['master', 'replica'],
  kind: ['read', 'write', 'other'],
  code: ['WRONGTYPE'],
  decision: ['replica', 'master'],
  because: ['fresh-replica', 'no-fresh-replica'],
  state: ['shared', 'pinned', 'idle'],
  worker: ['1'],
  process: ['supervisor', 'worker-1'],
  method: ['GET'],
  route: ['/metrics'],
}

/** A store with at least one series of every family of the catalog; gauges are set to 1, counters grow by 1. */
export function fillEverySeries(store = new MetricStore()): MetricStore {
  for (const name of Object.keys(catalog) as MetricName[]) {
    const row: MetricRow = catalog[name]
    for (const labels of combinations(row)) {
      if (row.type === 'histogram') store.histogram(name, labels).observe(0.003)
      else if (row.type === 'counter') store.counter(name, labels).value++
      else store.gauge(name, labels).value = 1
    }
  }
  return store
}

function combinations(row: MetricRow): readonly Labels[] {
  let all: Labels[] = [{}]
  for (const label of row.labels) {
    const values = row.values?.[label] ?? samples[label] ?? [`some-${label}`]
    all = all.flatMap(labels => values.map(value => ({ ...labels, [label]: value })))
  }
  return all
}
