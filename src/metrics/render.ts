/**
 * What /metrics answers: the snapshots of all our processes added up, and prom-client's view of this process.
 *
 * The numbers live in MetricStores, because prom-client's own counters are too dear for the hot path. Here they become
 * objects that prom-client can print: each family is an object whose `get` returns its values. Histograms turn
 * cumulative here and nowhere else.
 */
import { collectDefaultMetrics, type Metric, Registry } from 'prom-client'
import { catalog, type MetricName, type MetricRow } from './catalog.js'
import { type Exemplar, type MetricSnapshot, mergeSnapshots, type SnapshotSeries } from './store.js'

/** `openmetrics` carries exemplars: which command it was that made a bucket grow. */
export type MetricsFormat = 'text' | 'openmetrics'

/** The text format, version 0.0.4: what every Prometheus reads. */
export const metricsContentType = Registry.PROMETHEUS_CONTENT_TYPE
export const openMetricsContentType = Registry.OPENMETRICS_CONTENT_TYPE

/**
 * `lagrange_*` of all `snapshots`, followed by the metrics of `process` (see `makeProcessMetrics`). Families without a
 * series are left out.
 */
export async function renderMetrics(
  snapshots: readonly MetricSnapshot[],
  process?: Registry,
  format: MetricsFormat = 'text',
): Promise<string> {
  const registry = newRegistry(format)
  for (const [name, series] of byFamily(mergeSnapshots(snapshots))) {
    registry.registerMetric(family(name, series, format))
  }
  const ours = await registry.metrics()
  if (process === undefined) return ours
  if (format === 'text') return `${ours}\n${await process.metrics()}`
  return `${withoutEnd(ours)}${await openMetricsOf(process)}`
}

/**
 * `process_*` and `nodejs_*` of this process; make it once, it watches the garbage collector. Three of prom-client's
 * defaults are left out: gauges whose names end in `_total`, which promtool refuses.
 */
export function makeProcessMetrics(): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const what of ['handles', 'requests', 'resources']) registry.removeSingleMetric(`nodejs_active_${what}_total`)
  return registry
}

/** Its counters keep their names: prom-client renames what it prints as OpenMetrics for good. */
async function openMetricsOf(process: Registry): Promise<string> {
  const registry = newRegistry('openmetrics')
  for (const metric of (await process.getMetricsAsJSON()) as unknown as readonly Described[]) {
    const isCounter = (metric.type as string) === 'counter'
    const name = isCounter ? metric.name.replace(/_total$/, '') : metric.name
    const values = metric.values.map(value => (isCounter ? { ...value, metricName: name } : value))
    const described = { ...metric, name, values }
    registry.registerMetric({ name, type: metric.type, get: async () => described } as unknown as Metric)
  }
  return registry.metrics()
}

function newRegistry(format: MetricsFormat): Registry {
  const registry = new Registry()
  // The types know one of the two formats only.
  if (format === 'openmetrics') registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never)
  return registry
}

interface Described {
  readonly name: string
  readonly type: string
  readonly values: readonly object[]
}

/** The marker may stand at the very end only. */
function withoutEnd(text: string): string {
  return text.replace(/# EOF\n$/, '')
}

/** In the order of the catalog, so that two scrapes can be compared. */
function byFamily(snapshot: MetricSnapshot): Map<MetricName, SnapshotSeries[]> {
  const found = new Map<MetricName, SnapshotSeries[]>()
  for (const series of snapshot) {
    const family = found.get(series.name)
    if (family === undefined) found.set(series.name, [series])
    else family.push(series)
  }
  const names = (Object.keys(catalog) as MetricName[]).filter(name => found.has(name))
  return new Map(names.map(name => [name, found.get(name) as SnapshotSeries[]]))
}

/** One line of the exposition, as prom-client's registry reads it. */
interface Sample {
  readonly metricName: string
  readonly labels: Readonly<Record<string, string | number>>
  /** Of all lines of one histogram: put into words once. */
  readonly sharedLabels?: Readonly<Record<string, string>>
  readonly value: number
  readonly exemplar?: { readonly labelSet: Exemplar['labels']; readonly value: number; readonly timestamp: number }
}

function family(name: MetricName, series: readonly SnapshotSeries[], format: MetricsFormat): Metric {
  const row: MetricRow = catalog[name]
  // In OpenMetrics a counter's family has no suffix; prom-client adds it to the lines.
  const shown = format === 'openmetrics' && row.type === 'counter' ? name.replace(/_total$/, '') : name
  const values =
    row.type === 'histogram'
      ? series.flatMap(one => histogramSamples(name, row.buckets ?? [], one))
      : series.map(one => ({ metricName: shown, labels: one.labels, value: one.value ?? 0 }))
  const described = { name: shown, help: row.help, type: row.type, aggregator: 'sum', values }
  // The registry asks for no more than a name and `get`, though its type names prom-client's own classes.
  return { name: shown, type: row.type, get: async () => described } as unknown as Metric
}

function histogramSamples(name: MetricName, bounds: readonly number[], series: SnapshotSeries): readonly Sample[] {
  const counts = series.counts ?? []
  const bucketName = `${name}_bucket`
  const samples: Sample[] = []
  let total = 0
  for (let index = 0; index <= bounds.length; index++) {
    total += counts[index] ?? 0
    const le = bounds[index] ?? '+Inf'
    const exemplar = series.exemplars?.find(one => one.bucket === index)
    const sample = { metricName: bucketName, labels: { le }, sharedLabels: series.labels, value: total }
    samples.push(exemplar === undefined ? sample : { ...sample, exemplar: shownExemplar(exemplar) })
  }
  samples.push({ metricName: `${name}_sum`, labels: series.labels, value: series.sum ?? 0 })
  samples.push({ metricName: `${name}_count`, labels: series.labels, value: total })
  return samples
}

function shownExemplar({ labels, value, at }: Exemplar): NonNullable<Sample['exemplar']> {
  return { labelSet: labels, value, timestamp: at / 1000 }
}
