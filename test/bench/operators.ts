/**
 * What watching costs: a scrape of a proxy with 100 instances and 4 workers, one of a running group with and without 10,000
 * clients, and a console that follows 20 instances at 10 updates a second.
 *
 *     npx tsx test/bench/operators.ts
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startAdmin } from '../../src/admin/server.js'
import { systemClock } from '../../src/base/clock.js'
import { makeProcessMetrics, renderMetrics } from '../../src/metrics/render.js'
import { FakeBackend, fakeTopology, member } from '../support/admin.js'
import { main } from '../support/lagrange.js'
import { largeFleet } from '../support/metrics.js'
import { freePort, freePorts } from '../support/ports.js'

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

// ── A group that runs, and its clients ──────────────────────────────────────────────────────────────────────────────

const CLIENTS = 10_000
const dataDir = mkdtempSync(join(tmpdir(), 'lagrange-operators-'))
const [port, adminPort, nodePort] = [await freePort(), await freePort(), await freePorts(3)]
const up = spawn(
  process.execPath,
  [
    ...[main, 'up', '--port', `${port}`, '--node-port', `${nodePort}`, '--admin-port', `${adminPort}`],
    ...['--data-dir', dataDir, '--log-level', 'error'],
  ],
  { stdio: ['ignore', 'ignore', 'inherit'] },
)
const at = (path: string): string => `http://127.0.0.1:${adminPort}${path}`
while ((await fetch(at('/readyz')).catch(() => undefined))?.ok !== true) await sleep(100)

async function scrape(clients: number): Promise<void> {
  const times: number[] = []
  let bytes = 0
  for (let round = 0; round < 20; round++) {
    const before = performance.now()
    bytes = (await (await fetch(at('/metrics'))).text()).length
    times.push(performance.now() - before)
    await sleep(50)
  }
  times.sort((a, b) => a - b)
  const [p50, max] = [times[10] as number, times.at(-1) as number]
  const size = `${(bytes / 1024).toFixed(0)} KiB`
  console.log(`scrape, ${clients} clients: p50 ${p50.toFixed(1)} ms, max ${max.toFixed(1)} ms of wall time, ${size}`)
}

await scrape(0)
const sockets = await Promise.all(
  Array.from({ length: CLIENTS }, async (_, index) => {
    await sleep((index / CLIENTS) * 4000)
    const socket = net.connect(port, '127.0.0.1')
    socket.write('PING\r\n')
    const [reply] = (await once(socket, 'data')) as [Buffer]
    if (reply.toString() !== '+PONG\r\n') throw new Error(`client ${index}: ${reply}`)
    return socket
  }),
)
await scrape(sockets.length)
for (const socket of sockets) socket.destroy()
up.kill('SIGTERM')
await once(up, 'exit')
rmSync(dataDir, { recursive: true, force: true })

// ── The console ─────────────────────────────────────────────────────────────────────────────────────────────────────

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
const url = `http://127.0.0.1:${admin.port}/api/v1/topology?intervalMs=100`
const reader = spawn('curl', ['-sN', '-o', '/dev/null', '-H', 'accept: text/event-stream', url], { stdio: 'ignore' })
await sleep(1000)
const started = process.cpuUsage()
await sleep(5000)
const { user, system } = process.cpuUsage(started)
console.log(`console, 20 instances, 10 updates a second: ${((user + system) / 50_000).toFixed(2)} % of a core`)
reader.kill()
await admin.close()
process.exit(0)
