/**
 * What connections cost: `npm run bench:connections -- [idle] [busy] [seconds]` (default 10000, 1000 and 10).
 *
 * Opens so many connections that ask nothing and so many that ask one command after another, to `lagrange proxy` with one
 * worker in front of redis-server, and prints what the worker holds resident and how late its event loop was, as the worker
 * tells it itself. The clients live in processes of their own, and `ulimit -n` must allow twice as many descriptors.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeCommand } from '../../src/resp/encoder.js'
import { startProxyProcess } from '../support/proxy-process.js'
import { findProgram } from '../support/real.js'
import { startGroup } from '../support/redis-group.js'

const [first] = process.argv.slice(2)
if (first === 'clients') await beClients(process.argv.slice(3).map(Number) as [number, number, number])
else await main(process.argv.slice(2).map(Number))

async function main([idle = 10_000, busy = 1000, seconds = 10]: readonly number[]): Promise<void> {
  const redis = findProgram('redis-server')
  if (redis === undefined) throw new Error('redis-server is not installed')
  const nodes = await startGroup(redis, 2)
  const max = ['--max-clients', String(idle + busy + 100)]
  const proxy = await startProxyProcess(
    'dist',
    nodes.map(node => node.id),
    ...max,
  )
  try {
    console.log(`with no clients: ${residentMiB(proxy.workerPid)} MiB resident`)
    const clients = fork(new URL(import.meta.url).pathname, ['clients', String(proxy.port), String(idle), String(busy)])
    const [opened] = (await once(clients, 'message')) as [{ tookMs: number }]
    console.log(`${idle + busy} connections opened in ${Math.round(opened.tookMs)} ms`)
    console.log(`with ${idle + busy} idle ones: ${residentMiB(proxy.workerPid)} MiB resident`)
    clients.send('begin')
    await sleep(seconds * 1000)
    clients.send('end')
    const [done] = (await once(clients, 'message')) as [{ answered: number; p50: number; p99: number }]
    console.log(
      `${busy} busy ones: ${Math.round(done.answered / seconds)}/s, p50 ${done.p50.toFixed(1)} ms, p99 ${done.p99.toFixed(1)} ms`,
    )
    console.log(`with all of them: ${residentMiB(proxy.workerPid)} MiB resident`)
    for (const line of await proxy.lines('lagrange_event_loop_delay_seconds')) console.log(line)
    clients.kill()
  } finally {
    await proxy.stop()
    await Promise.all(nodes.map(node => node.stop()))
  }
}

function residentMiB(pid: number): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024)
}

// ── The clients ─────────────────────────────────────────────────────────────────────────────────────────────────────

async function beClients([port, idle, busy]: readonly [number, number, number]): Promise<void> {
  const began = performance.now()
  const sockets: net.Socket[] = []
  for (let count = 0; count < idle + busy; count++) {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    sockets.push(socket)
    // A hundred at a time: more than the queue of the listener takes would be dropped by the kernel.
    if (count % 100 === 99) await Promise.all(sockets.slice(-100).map(one => one.connecting && once(one, 'connect')))
  }
  process.send?.({ tookMs: performance.now() - began })
  await once(process, 'message')
  const took: number[] = []
  let isOver = false
  for (const [index, socket] of sockets.slice(0, busy).entries()) {
    let from = performance.now()
    const ask = (): void => {
      from = performance.now()
      socket.write(encodeCommand(index % 10 === 0 ? ['SET', `key:${index}`, 'x'.repeat(64)] : ['GET', `key:${index}`]))
    }
    socket.on('data', () => {
      took.push(performance.now() - from)
      if (!isOver) ask()
    })
    ask()
  }
  await once(process, 'message')
  isOver = true
  took.sort((a, b) => a - b)
  const at = (part: number): number => took[Math.floor(took.length * part)] ?? 0
  process.send?.({ answered: took.length, p50: at(0.5), p99: at(0.99) })
  await once(process, 'message')
}
