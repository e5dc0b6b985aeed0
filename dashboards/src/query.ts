/**
 * PromQL from the catalog: a metric that is not there does not compile, and every selector carries the variables that its
 * labels allow.
 */
import { catalog, type MetricName, type MetricRow } from '../../src/metrics/catalog.js'

/** A histogram is queried by its buckets; what process_exporter and prom-client add is not ours to list. */
type Series = MetricName | `${MetricName}_bucket` | `${MetricName}_sum` | `${MetricName}_count`
type ProcessSeries = `process_${string}` | `nodejs_${string}`

/** `lagrange_masters{job=~"$job",instance=~"$instance",group=~"$group",…more}` */
export function select(series: Series | ProcessSeries, more = ''): string {
  const name = series.replace(/_(bucket|sum|count)$/, '')
  const row: MetricRow | undefined = catalog[name as MetricName]
  const group = row?.labels.includes('group') ? ',group=~"$group"' : ''
  return `${series}{job=~"$job",instance=~"$instance"${group}${more === '' ? '' : `,${more}`}}`
}

/** What a dashboard about single instances adds to its selectors. */
export const ofNode = 'node=~"$node"'

export function rate(series: Series | ProcessSeries, more?: string): string {
  return `rate(${select(series, more)}[$__rate_interval])`
}

export function increase(series: Series, more?: string): string {
  return `increase(${select(series, more)}[$__rate_interval])`
}

export function sumBy(labels: string, expression: string): string {
  return labels === '' ? `sum(${expression})` : `sum by (${labels}) (${expression})`
}

/** A counter whose labels are not known before the first one (an error code): 0 in place of nothing. */
export function orZero(expression: string): string {
  return `${expression} or on() vector(0)`
}

export function quantile(q: number, by: string, buckets: Series, more?: string): string {
  return `histogram_quantile(${q}, ${sumBy(by === '' ? 'le' : `le, ${by}`, rate(buckets, more))})`
}
