import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { catalog, type MetricName, type MetricRow } from '../../../src/metrics/catalog.js'
import { reportEventLoop } from '../../../src/metrics/event-loop.js'
import { makeProcessMetrics, renderMetrics } from '../../../src/metrics/render.js'
import { seedMetrics } from '../../../src/metrics/seed.js'
import { MetricStore } from '../../../src/metrics/store.js'
import { fillEverySeries, largeFleet } from '../../support/metrics.js'
import { requireReal } from '../../support/real.js'

const promtool = requireReal('promtool')

test('a gauge, a counter and a cumulative histogram', async () => {
  const store = new MetricStore()
  store.gauge('lagrange_masters', { group: 'main' }).value = 1
  store.counter('lagrange_commands_total', { group: 'main', command: 'get', target: 'replica' }).value = 7
  const waited = store.histogram('lagrange_failover_write_unavailability_seconds', { group: 'main' })
  waited.observe(0.002)
  waited.observe(0.2)
  waited.observe(100)

  const lines = (await renderMetrics([store.snapshot()])).split('\n')
  expect(lines).toContain('lagrange_masters{group="main"} 1')
  expect(lines).toContain('lagrange_commands_total{group="main",command="get",target="replica"} 7')
  const bucket = (le: string) => `lagrange_failover_write_unavailability_seconds_bucket{le="${le}",group="main"}`
  expect(lines).toContain(`${bucket('0.001')} 0`)
  expect(lines).toContain(`${bucket('0.0025')} 1`)
  expect(lines).toContain(`${bucket('0.25')} 2`)
  expect(lines).toContain(`${bucket('60')} 2`)
  expect(lines).toContain(`${bucket('+Inf')} 3`)
  expect(lines).toContain('lagrange_failover_write_unavailability_seconds_count{group="main"} 3')
  expect(lines).toContain('lagrange_failover_write_unavailability_seconds_sum{group="main"} 100.202')
})

test('what several processes counted is added up', async () => {
  const stores = [new MetricStore(), new MetricStore()]
  for (const store of stores) {
    store.counter('lagrange_client_connections_opened_total', { listener: 'a' }).value = 2
    store.histogram('lagrange_read_staleness_seconds', { group: 'main' }).observe(0.001)
  }
  const text = await renderMetrics(stores.map(store => store.snapshot()))
  expect(text).toContain('lagrange_client_connections_opened_total{listener="a"} 4\n')
  expect(text).toContain('lagrange_read_staleness_seconds_count{group="main"} 2\n')
})

test('label values cannot break out of their quotes', async () => {
  const store = new MetricStore()
  store.gauge('lagrange_client_connections', { listener: 'a"} 1\nevil 2\\' }).value = 3
  const text = await renderMetrics([store.snapshot()])
  expect(text).toContain('lagrange_client_connections{listener="a\\"} 1\\nevil 2\\\\"} 3\n')
})

test('counters whose labels are known exist at 0; those of unknown labels and gauges do not', async () => {
  const store = new MetricStore()
  seedMetrics(store, { group: ['main'], listener: ['a', 'b'] })
  const text = await renderMetrics([store.snapshot()])
  expect(text).toContain('lagrange_failovers_total{group="main",cause="failover",result="aborted"} 0\n')
  expect(text).toContain('lagrange_client_sent_bytes_total{listener="b"} 0\n')
  expect(text).toContain('lagrange_worker_restarts_total 0\n')
  expect(text).toContain('lagrange_command_duration_seconds_count{group="main",kind="read",target="replica"} 0\n')
  expect(text).not.toContain('lagrange_commands_total')
  expect(text).not.toContain('lagrange_masters')
})

test('seeding does not reset what was counted', () => {
  const store = new MetricStore()
  const restarts = store.counter('lagrange_worker_restarts_total')
  restarts.value = 5
  seedMetrics(store, {})
  expect(store.snapshot()).toContainEqual({ name: 'lagrange_worker_restarts_total', labels: {}, value: 5 })
})

test('the catalog lists values only for labels that its row has', () => {
  for (const [name, row] of Object.entries(catalog)) {
    const values: Record<string, readonly string[]> = 'values' in row ? row.values : {}
    for (const label of Object.keys(values)) expect(row.labels, name).toContain(label)
  }
})

test('event-loop delay is what the timer was late, per scrape interval', () => {
  const store = new MetricStore()
  let resets = 0
  const histogram = { max: 35e6, count: 3, percentile: (p: number) => (p === 50 ? 10e6 : 30e6), reset: () => resets++ }
  reportEventLoop(store, 'worker-1', histogram, { resolutionMs: 10 })
  const values = store.snapshot().map(series => [series.labels.stat, series.value])
  expect(values).toEqual([
    ['p50', 0],
    ['p99', expect.closeTo(0.02)],
    ['max', expect.closeTo(0.025)],
  ])
  expect(resets).toBe(1)
})

test('every family of the catalog is rendered with its type and help', async () => {
  const text = await renderMetrics([fillEverySeries().snapshot()])
  for (const name of Object.keys(catalog) as MetricName[]) {
    expect(text).toContain(`# HELP ${name} ${catalog[name].help}\n# TYPE ${name} ${catalog[name].type}\n`)
  }
})

promtool.test('promtool finds nothing to say about /metrics', async () => {
  const text = await renderMetrics([fillEverySeries().snapshot()], makeProcessMetrics())
  expect(text).toContain('process_resident_memory_bytes')
  const check = spawnSync(promtool.path, ['check', 'metrics'], { input: text, encoding: 'utf8' })
  expect(check.stdout + check.stderr).toBe('')
  expect(check.status).toBe(0)
})

test('a scrape of 100 instances, 4 workers and 10,000 clients stays below 1 MiB: clients have no series', async () => {
  const snapshots = largeFleet({ instances: 100, workers: 4, commands: 80 })
  for (const format of ['text', 'openmetrics'] as const) {
    const text = await renderMetrics(snapshots, makeProcessMetrics(), format)
    expect(text.split('\n').length).toBeGreaterThan(5000)
    expect(Buffer.byteLength(text)).toBeLessThan(2 ** 20)
  }
  const rows: readonly MetricRow[] = Object.values(catalog)
  for (const label of ['client', 'address', 'session', 'key', 'id']) {
    expect(
      rows.filter(row => row.labels.includes(label)),
      label,
    ).toEqual([])
  }
})
