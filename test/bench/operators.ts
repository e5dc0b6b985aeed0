/**
 * What watching costs: a scrape of a proxy with 100 instances, 4 workers and 10,000 clients, and a console that follows 20
 * instances at 10 updates a second.
 *
 *     npx tsx test/bench/operators.ts
 */
import { startAdmin } from '../../src/admin/server.js'
import { systemClock } from '../../src/base/clock.js'
import { makeProcessMetrics, renderMetrics } from '../../src/metrics/render.js'
import { FakeBackend, fakeTopology, member } from '../support/admin.js'
import { largeFleet } from '../support/metrics.js'

const ROUNDS = 40
const snapshots = largeFleet({ instances: 100, workers: 4, commands: 80 })
const processMetrics = makeProcessMetrics()
for (const format of ['text', 'openmetrics'] as const) {
  // CPU time: what it takes from the control loop, whatever else the machine does.
  await renderMetrics(snapshots, processMetrics, format)
  const before = process.cpuUsage()
  let text = ''
  for (let round = 0; round < ROUNDS; round++) text = await renderMetrics(snapshots, processMetrics, format)
  const { user, system } = process.cpuUsage(before)
  const lines = text.split('\n').length
  const ms = (user + system) / 1000 / ROUNDS
  console.log(`scrape, ${format}: ${ms.toFixed(1)} ms of CPU, ${(text.length / 1024).toFixed(0)} KiB, ${lines} lines`)
}

const backend = new FakeBackend()
const [group] = fakeTopology.groups
const members = Array.from({ length: 20 }, (_, index) =>
  member(7000 + index, { offset: 1e9 + index, lagMs: index / 7 }),
)
backend.topology = () => ({
  ...fakeTopology,
  at: Date.now(),
  groups: group === undefined ? [] : [{ ...group, members }],
})
const options = { host: '127.0.0.1', port: 0, grants: [], allowedHosts: [], version: '0.1.0' }
const admin = await startAdmin(systemClock, backend.bus, backend.store, backend, options)
// The reader is another process: what it needs is not the supervisor's.
const { spawn } = await import('node:child_process')
const url = `http://127.0.0.1:${admin.port}/api/v1/topology?intervalMs=100`
const reader = spawn('curl', ['-sN', '-o', '/dev/null', '-H', 'accept: text/event-stream', url], { stdio: 'ignore' })
await new Promise(resolve => setTimeout(resolve, 1000))
const started = process.cpuUsage()
await new Promise(resolve => setTimeout(resolve, 5000))
const { user, system } = process.cpuUsage(started)
console.log(`console, 20 instances, 10 updates a second: ${((user + system) / 50_000).toFixed(2)} % of a core`)
reader.kill()
await admin.close()
process.exit(0)
