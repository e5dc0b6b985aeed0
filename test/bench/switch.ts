/**
 * How long writes wait when the master changes, by switch and by death:
 *
 *     npm run bench:switch -- [switches] [kills]       (default 50 and 10)
 *
 * A whole group runs on free ports; eight clients count up a key each, as fast as they are answered. The gap of a change
 * is the longest time in which none of them was answered. At the end every key must hold what was acknowledged, or one
 * more for a write whose answer was lost.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Client } from '../../src/net/client.js'
import { numberOf, textOf } from '../../src/resp/protocol.js'
import { freePort } from '../support/redis-group.js'

const CLIENTS = 8
const [switches, kills] = [Number(process.argv[2] ?? 50), Number(process.argv[3] ?? 10)]
const program = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'lagrange-bench-'))
const [port, adminPort, nodePort] = [await freePort(), await freePort(), await freePort()]

const up = spawn(
  process.execPath,
  [
    program,
    'up',
    '--port',
    `${port}`,
    '--admin-port',
    `${adminPort}`,
    '--node-port',
    `${nodePort}`,
    '--data-dir',
    folder,
  ],
  {
    stdio: ['ignore', process.env.BENCH_LOG === undefined ? 'ignore' : openSync(process.env.BENCH_LOG, 'w'), 'inherit'],
  },
)
const exited = new Promise(resolve => up.once('exit', resolve))
try {
  await untilReady()
  await run()
} finally {
  up.kill('SIGTERM')
  await exited
  rmSync(folder, { recursive: true, force: true })
}

async function run(): Promise<void> {
  const acked = new Array<number>(CLIENTS).fill(0)
  const doubtful = new Array<number>(CLIENTS).fill(0)
  const otherErrors: string[] = []
  let refusals = 0
  let lastAnswerAt = performance.now()
  let gapMs = 0
  let stopped = false
  const clients = acked.map(() => connect())
  const writers = clients.map(async (client, index) => {
    while (!stopped) {
      const reply = await client.send(['INCR', `counter:${index}`])
      const now = performance.now()
      gapMs = Math.max(gapMs, now - lastAnswerAt)
      lastAnswerAt = now
      if (reply.type !== 'error') acked[index] = (acked[index] as number) + 1
      else if (reply.value.startsWith('UNKNOWNRESULT ')) doubtful[index] = (doubtful[index] as number) + 1
      else otherErrors.push(reply.value)
    }
  })

  await sleep(500)
  const planned = await measure(switches, async () => {
    for (;;) {
      gapMs = 0
      const reply = await fetch(`http://127.0.0.1:${adminPort}/api/v1/switchover`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      })
      const answer = (await reply.json()) as { report?: { stallMs: number }; detail?: string }
      await sleep(50)
      if (answer.report !== undefined) return [answer.report.stallMs, gapMs]
      // On a busy machine the agent may have been stalled a moment ago, and says so.
      if (reply.status !== 409) throw new Error(`switchover: ${answer.detail}`)
      refusals++
      await sleep(300)
    }
  })
  const plannedErrors = doubtful.reduce((sum, count) => sum + count, 0) + otherErrors.length

  const deaths = await measure(kills, async () => {
    gapMs = 0
    const pid = await masterPid()
    process.kill(pid, 'SIGKILL')
    await sleep(1500)
    return [gapMs]
  })

  stopped = true
  await Promise.all(writers)
  const reader = connect()
  let lost = 0
  let twice = 0
  for (const [index, count] of acked.entries()) {
    const value = numberOf(await reader.call('GET', `counter:${index}`)) ?? 0
    lost += Math.max(0, count - value)
    twice += Math.max(0, value - count - (doubtful[index] as number))
  }
  reader.close()
  for (const client of clients) client.close()

  print(
    'planned switch: stall reported',
    planned.map(([stall]) => stall as number),
  )
  print(
    'planned switch: longest gap of all clients',
    planned.map(([, gap]) => gap as number),
  )
  print(
    'kill -9 of the master: longest gap of all clients',
    deaths.map(([gap]) => gap as number),
  )
  const writes = acked.reduce((sum, count) => sum + count, 0)
  process.stdout.write(
    `errors in planned switches: ${plannedErrors}; asked again after a refusal: ${refusals}\n` +
      `acknowledged writes: ${writes}, in doubt: ${doubtful.reduce((sum, count) => sum + count, 0)}, ` +
      `other errors: ${otherErrors.length}, lost: ${lost}, executed twice: ${twice}\n`,
  )
}

async function measure(times: number, once: () => Promise<number[]>): Promise<number[][]> {
  const results: number[][] = []
  for (let turn = 0; turn < times; turn++) {
    await untilReady()
    await sleep(100)
    results.push(await once())
  }
  return results
}

function print(what: string, values: readonly number[]): void {
  if (values.length === 0) return
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number).toFixed(1)
  process.stdout.write(`${what} (n=${values.length}): p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms\n`)
}

async function masterPid(): Promise<number> {
  const reply = await fetch(`http://127.0.0.1:${adminPort}/api/v1/topology`)
  const { groups } = (await reply.json()) as { groups: [{ master: string }] }
  const client = connect(Number(groups[0].master.split(':')[1]))
  const info = textOf(await client.call('INFO', 'server')) ?? ''
  client.close()
  return Number(/^process_id:(\d+)/m.exec(info)?.[1])
}

function connect(to = port): Client {
  return new Client({ host: '127.0.0.1', port: to }, { connectTimeoutMs: 2000, replyTimeoutMs: 20_000 })
}

async function untilReady(): Promise<void> {
  const deadline = Date.now() + 60_000
  while (Date.now() < deadline) {
    const reply = await fetch(`http://127.0.0.1:${adminPort}/readyz`).catch(() => undefined)
    if (reply?.status === 200) return
    await sleep(20)
  }
  throw new Error('the group did not become ready')
}
