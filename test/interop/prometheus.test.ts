/**
 * A real Prometheus scrapes the admin port, and every query of every dashboard has an answer: once with a store that
 * holds every series of the catalog, and once with a whole group that runs, works and has changed its master.
 */
import { expect, onTestFinished } from 'vitest'
import { startAdmin } from '../../src/admin/server.js'
import { systemClock } from '../../src/base/clock.js'
import { makeProcessMetrics, renderMetrics } from '../../src/metrics/render.js'
import { FakeBackend } from '../support/admin.js'
import { clientOf, startUp } from '../support/lagrange.js'
import { fillEverySeries } from '../support/metrics.js'
import { evaluateDashboards, startPrometheus, untilCounted, untilScraped } from '../support/prometheus.js'
import { requireReal } from '../support/real.js'

const program = requireReal('prometheus')

program.test(
  'every query of every dashboard is answered',
  async () => {
    const backend = new FakeBackend()
    const process = makeProcessMetrics()
    fillEverySeries(backend.store)
    // Something happens between two scrapes: everything grows.
    backend.metrics = format => {
      fillEverySeries(backend.store)
      return renderMetrics([backend.store.snapshot()], process, format)
    }
    const options = { host: '127.0.0.1', port: 0, grants: [], allowedHosts: [], version: '0.1.0' }
    const admin = await startAdmin(systemClock, backend.bus, backend.store, backend, options)
    onTestFinished(() => admin.close())
    const prometheus = await startPrometheus(program.path, [`127.0.0.1:${admin.port}`])
    onTestFinished(() => prometheus.stop())

    await untilScraped(prometheus)
    const { evaluated, failures } = await evaluateDashboards(prometheus)
    expect(failures).toEqual([])
    expect(evaluated).toBeGreaterThanOrEqual(100)

    const [up] = await prometheus.query('up{job="lagrange"}')
    expect(up?.value[1]).toBe('1')
    const [p50] = await prometheus.query(
      'histogram_quantile(0.5, sum by (le) (rate(lagrange_command_duration_seconds_bucket[15s])))',
    )
    expect(Number(p50?.value[1])).toBeGreaterThan(0.0025)
    expect(Number(p50?.value[1])).toBeLessThan(0.005)
    await expect(prometheus.query('sum(')).rejects.toThrow('parse error')
  },
  120_000,
)

program.test(
  'a running group answers every query, under load and after a switch',
  async () => {
    const up = await startUp()
    const prometheus = await startPrometheus(program.path, [`127.0.0.1:${up.adminPort}`])
    onTestFinished(() => prometheus.stop())

    let working = true
    const load = Array.from({ length: 4 }, async (_, index) => {
      const client = clientOf(up.port)
      for (let n = 0; working; n++) {
        await client.call('SET', `key:${index}:${n % 100}`, String(n))
        await client.call('GET', `key:${(index + 1) % 4}:${n % 100}`)
      }
    })
    await untilScraped(prometheus)
    const reply = await fetch(`http://127.0.0.1:${up.adminPort}/api/v1/switchover`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    })
    expect([reply.status, reply.status === 200 ? '' : await reply.text()]).toEqual([200, ''])
    await untilCounted(prometheus, 'lagrange_failovers_total{cause="switchover",result="ok"}')

    const { failures } = await evaluateDashboards(prometheus)
    working = false
    await Promise.all(load)
    expect(failures).toEqual([])
    const [changes] = await prometheus.query('sum(changes(lagrange_topology_epoch[15s]))')
    expect(Number(changes?.value[1])).toBeGreaterThanOrEqual(1)
  },
  120_000,
)
