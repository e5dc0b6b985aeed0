/**
 * What a large value costs on its way: `npm run bench:large -- [MiB]` (default 512).
 *
 * Sends one value to redis-server through `lagrange proxy` with one worker, and has it back by clients that read as fast as
 * they can, that take a rest in the middle, and that read slowly. Prints by how much the worker grew while it passed (its
 * peak over what it held just before, every 5 ms), and the most that it said it kept for its clients.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ProxyProcess, startProxyProcess } from '../support/proxy-process.js'
import { findProgram } from '../support/real.js'
import { startGroup } from '../support/redis-group.js'

const MIB = 1024 * 1024
const CHUNK = Buffer.alloc(MIB, 'v')

const mib = Number(process.argv[2] ?? 512)
const redis = findProgram('redis-server')
if (redis === undefined) throw new Error('redis-server is not installed')
const nodes = await startGroup(redis, 1)
const proxy = await startProxyProcess(
  'dist',
  nodes.map(node => node.id),
)
try {
  // Code is compiled, and memory is grown, by a value that is no less large in parts.
  await write(32)
  await read(32, async () => undefined)
  console.log(`${`${mib} MiB`.padEnd(24)}${'seconds'.padStart(10)}${'grew MiB'.padStart(10)}${'kept MiB'.padStart(10)}`)
  await measure('written', () => write(mib))
  await measure('read', () => read(mib, async () => undefined))
  await measure('read with a rest', () => read(mib, async got => (got === mib / 2 ? sleep(2000) : undefined)))
  await measure('read slowly', () => read(mib, () => sleep(5)))
} finally {
  await proxy.stop()
  await Promise.all(nodes.map(node => node.stop()))
}

async function write(size: number): Promise<void> {
  const socket = await open()
  socket.write(`*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$${size * MIB}\r\n`)
  for (let sent = 0; sent < size; sent++) if (!socket.write(CHUNK)) await once(socket, 'drain')
  socket.write('\r\n')
  const [reply] = await once(socket, 'data')
  if (String(reply) !== '+OK\r\n') throw new Error(String(reply))
  socket.destroy()
}

/** `after` is awaited behind each MiB, and nothing is read meanwhile. */
async function read(size: number, after: (got: number) => Promise<unknown>): Promise<void> {
  const socket = await open()
  socket.write('*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n')
  const whole = size * MIB + `$${size * MIB}\r\n\r\n`.length
  let got = 0
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    const before = Math.floor(got / MIB)
    got += chunk.length
    if (Math.floor(got / MIB) > before) await after(Math.floor(got / MIB))
    if (got >= whole) break
  }
  if (got !== whole) throw new Error(`${got} bytes of ${whole}`)
  socket.destroy()
}

async function open(): Promise<net.Socket> {
  const socket = net.connect(proxy.port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

async function measure(name: string, task: () => Promise<void>): Promise<void> {
  await sleep(1000)
  const before = residentMiB(proxy)
  let [peak, kept, over] = [before, 0, false]
  const looking = (async () => {
    for (let round = 0; !over; round++) {
      peak = Math.max(peak, residentMiB(proxy))
      if (round % 10 === 0) kept = Math.max(kept, await proxy.count('lagrange_client_buffered_bytes'))
      await sleep(5)
    }
  })()
  const begun = performance.now()
  await task()
  const seconds = (performance.now() - begun) / 1000
  over = true
  await looking
  const figures = [seconds, peak - before, kept / MIB].map(figure => figure.toFixed(1).padStart(10))
  console.log(`${name.padEnd(24)}${figures.join('')}`)
}

function residentMiB({ workerPid }: ProxyProcess): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${workerPid}/status`, 'latin1'))?.[1]) / 1024
}
