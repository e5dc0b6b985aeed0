import { catalog, type MetricName, type MetricRow } from '../../src/metrics/catalog.js'
import { type Labels, type MetricSnapshot, MetricStore } from '../../src/metrics/store.js'

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

/** Snapshots of a supervisor and its workers in front of a large group, every series of the catalog filled. */
export function largeFleet(size: {
  readonly instances: number
  readonly workers: number
  readonly commands: number
}): readonly MetricSnapshot[] {
  const nodes = Array.from({ length: size.instances }, (_, index) => `10.0.${index >> 8}.${index & 255}:6379`)
  return Array.from({ length: size.workers + 1 }, (_, process) => {
    const store = new MetricStore()
    for (const name of Object.keys(catalog) as MetricName[]) {
      const row: MetricRow = catalog[name]
      // Workers count traffic and connections; the supervisor knows the instances.
      const ofSupervisor = /^lagrange_(node|replica|repl|tap|freshness|failover|admin|config|build)/.test(name)
      if (ofSupervisor !== (process === 0)) continue
      const values = (label: string): readonly string[] =>
        row.values?.[label] ??
        (label === 'node'
          ? nodes
          : label === 'command'
            ? Array.from({ length: size.commands }, (_, index) => `command-${index}`)
            : label === 'target'
              ? ['master', 'replica', 'local']
              : label === 'worker' || label === 'process'
                ? [`worker-${process}`]
                : label === 'group'
                  ? ['main']
                  : ['one', 'two', 'three', 'four'])
      let all: Record<string, string>[] = [{}]
      for (const label of row.labels) all = all.flatMap(one => values(label).map(value => ({ ...one, [label]: value })))
      for (const labels of all) {
        if (row.type === 'histogram')
          for (const value of row.buckets ?? []) store.histogram(name, labels).observe(value)
        else store.counter(name, labels).value = 123_456_789
      }
    }
    return store.snapshot()
  })
}
