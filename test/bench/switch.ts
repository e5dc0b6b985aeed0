/**
 * How long writes wait when the master changes, and what becomes of them:
 *
 *     npm run bench:switch -- [switches] [kills] [stops] [returns] [ours|redis] [acks]      (default 50 10 0 0 ours 0)
 *
 *     switches   planned, over the admin API
 *     kills      kill -9 of the master
 *     stops      SIGSTOP of the master, SIGCONT after the failover: until it is demoted, and whether it still answers us
 *     returns    the master is replaced without its help while somebody writes to it directly: what it accepted is with
 *                the new master, or in a rescue
 *     acks       every write waits for so many replicas, or for the `witness`
 *
 * A whole group runs on free ports; eight clients count up a key each, PIPELINE (4) commands at a time, as fast as they
 * are answered. The gap of a change is the longest time in which none of them was answered. At the end every key must
 * hold what was acknowledged, or more by what its client was told is in doubt.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { numberOf, textOf } from '../../src/resp/protocol.js'
import { World } from './switch-world.js'

const CLIENTS = 8
/** Planned switches that take longer are told step by step. */
const SLOW_MS = 60
const PIPELINE = Number(process.env.PIPELINE ?? 4)
const [switches, kills, stops, returns] = [50, 10, 0, 0].map((count, index) => Number(process.argv[2 + index] ?? count))
const world = await World.start(process.argv[6] === 'redis' ? 'redis' : 'ours', process.argv[7] ?? '0')
try {
  await run()
} finally {
  await world.stop()
}

async function run(): Promise<void> {
  const acked = new Array<number>(CLIENTS).fill(0)
  const doubtful = new Array<number>(CLIENTS).fill(0)
  const otherErrors: string[] = []
  let refusals = 0
  let lastAnswerAt = performance.now()
  let gapMs = 0
  let stopped = false
  let goOn = Promise.resolve()
  const clients = acked.map(() => world.connect())
  const busy = acked.map(() => true)
  const writers = clients.map(async (client, index) => {
    for (;;) {
      busy[index] = false
      await goOn
      if (stopped) return
      busy[index] = true
      const replies = Array.from({ length: PIPELINE }, () => client.send(['INCR', `counter:${index}`]))
      for (const replied of replies) {
        const reply = await replied
        const now = performance.now()
        gapMs = Math.max(gapMs, now - lastAnswerAt)
        lastAnswerAt = now
        if (reply.type !== 'error') acked[index] = (acked[index] as number) + 1
        else if (reply.value.startsWith('UNKNOWNRESULT ')) doubtful[index] = (doubtful[index] as number) + 1
        else otherErrors.push(reply.value)
      }
    }
  })
  const failures = (): number => sum(doubtful) + otherErrors.length
  const reader = world.connect()
  let [lost, twice, counted, doubted] = [0, 0, 0, 0]
  /** Everybody stops for a moment: what is lost since the last time, and what was executed twice. */
  const check = async (what: string): Promise<void> => {
    let resume: () => void = () => undefined
    goOn = new Promise(resolve => (resume = resolve))
    while (busy.some(Boolean)) await sleep(5)
    await world.untilReady()
    const [lostBefore, twiceBefore] = [lost, twice]
    lost = twice = 0
    for (const [index, count] of acked.entries()) {
      const value = numberOf(await reader.call('GET', `counter:${index}`)) ?? 0
      lost += Math.max(0, count - value)
      twice += Math.max(0, value - count - (doubtful[index] as number))
    }
    const [writes, doubts] = [sum(acked) - counted, sum(doubtful) - doubted]
    counted += writes
    doubted += doubts
    say(
      `${what}: acknowledged writes ${writes}, in doubt ${doubts}, lost ${lost - lostBefore}, ` +
        `executed twice ${Math.max(0, twice - twiceBefore)}; other errors so far ${otherErrors.length} ` +
        `${[...new Set(otherErrors)].slice(0, 3).join(' | ')}`,
    )
    lastAnswerAt = performance.now()
    resume()
  }

  await sleep(500)
  const planned = await measure(switches, async () => {
    for (;;) {
      gapMs = 0
      const reply = await world.post('/api/v1/switchover', {})
      const answer = (await reply.json()) as { report?: Report; detail?: string }
      await sleep(50)
      const { report } = answer
      if (report !== undefined) {
        if (report.stallMs > SLOW_MS) say(`${report.stallMs} ms: ${describe(report)}`)
        return [report.stallMs, gapMs]
      }
      // On a busy machine the agent may have been stalled a moment ago, or take too long and roll back; it says so.
      if (reply.status !== 409 && reply.status !== 503) throw new Error(`switchover: ${answer.detail}`)
      refusals++
      await sleep(300)
    }
  })
  print('planned switch: stall reported', column(planned, 0))
  print('planned switch: longest gap of all clients', column(planned, 1))
  say(`errors in planned switches: ${failures()}; asked again after a refusal: ${refusals}`)
  await check('planned switches')

  const deaths = await measure(kills, async () => {
    gapMs = 0
    const port = await world.masterPort()
    process.kill(await world.pidOf(port), 'SIGKILL')
    await sleep(1500)
    world.revive(port)
    return [gapMs]
  })
  print('kill -9 of the master: longest gap of all clients', column(deaths, 0))
  if (kills) await check('kills')

  const frozen = await measure(stops, async () => {
    const port = await world.masterPort()
    const pid = await world.pidOf(port)
    // Silence alone replaces a master once a minute at most, unless somebody has looked.
    await world.post('/api/v1/acknowledge', {})
    gapMs = 0
    process.kill(pid, 'SIGSTOP')
    while ((await world.masterPort()) === port || Number.isNaN(await world.masterPort())) await sleep(10)
    await sleep(300)
    const gap = gapMs
    process.kill(pid, 'SIGCONT')
    return [gap, await demotedAfterMs(port)]
  })
  print('SIGSTOP of the master: longest gap of all clients', column(frozen, 0))
  print('SIGCONT of the old master: until it is a replica', column(frozen, 1))
  if (stops) await check('stops')

  const returned = await measure(returns, () => replaceUnderItsWriters())
  const [diverged, missing] = [0, 1].map(index => sum(column(returned, index)))
  if (returns)
    say(`returns (n=${returned.length}): writes accepted by the old master alone: ${diverged}, missing: ${missing}`)

  await check(returns ? 'returns (what a replaced master accepted last is among the lost)' : 'in the end')
  stopped = true
  await Promise.all(writers)
  for (const client of [reader, ...clients]) client.close()
}

interface Report {
  readonly stallMs: number
  readonly heldCommands: number
  readonly steps: readonly { readonly step: string; readonly ms: number }[]
}

function describe({ steps, heldCommands }: Report): string {
  return `${steps.map(({ step, ms }) => `${step} ${ms}`).join(', ')}; held ${heldCommands}`
}

async function demotedAfterMs(port: number): Promise<number> {
  const startedAt = performance.now()
  const client = world.connect(port)
  while (!/^role:slave/m.test(textOf(await client.call('INFO', 'replication')) ?? '')) await sleep(5)
  client.close()
  return performance.now() - startedAt
}

/** How many writes the old master accepted that the new one does not have, and how many of them nobody saved. */
async function replaceUnderItsWriters(): Promise<[diverged: number, missing: number]> {
  const port = await world.masterPort()
  const old = world.connect(port)
  const accepted: string[] = []
  let writing = true
  const writer = (async () => {
    for (let number = 0; writing; number++) {
      const key = `direct:${port}:${Date.now()}:${number}`
      const reply = await old.send(['SET', key, '1'])
      if (reply.type === 'error') return
      accepted.push(key)
    }
  })()
  await sleep(50)
  const before = ((await (await get('/api/v1/rescue')).json()) as { rescues: { id: string }[] }).rescues.map(
    one => one.id,
  )
  // On a busy machine the agent may have been stalled a moment ago, and refuses.
  while (!(await world.post('/api/v1/failover', { acceptDataLoss: true })).ok) await sleep(200)
  await demotedAfterMs(port)
  writing = false
  await writer
  old.close()
  await world.untilReady()
  const reader = world.connect(await world.masterPort())
  const there = await Promise.all(accepted.map(key => reader.call('EXISTS', key)))
  reader.close()
  const alone = accepted.filter((_, index) => numberOf(there[index]) === 0)
  if (alone.length === 0) return [0, 0]
  const { rescues } = (await (await get('/api/v1/rescue')).json()) as { rescues: { id: string }[] }
  const saved = new Set<string>()
  for (const { id } of rescues.filter(one => !before.includes(one.id))) {
    const { keys } = (await (await get(`/api/v1/rescue/${id}`)).json()) as { keys: { key: string }[] }
    for (const { key } of keys) saved.add(key)
  }
  return [alone.length, alone.filter(key => !saved.has(key)).length]
}

function get(path: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${world.adminPort}${path}`)
}

async function measure<T extends number[]>(times = 0, once: () => Promise<T>): Promise<T[]> {
  const results: T[] = []
  for (let turn = 0; turn < times; turn++) {
    await world.untilReady()
    await sleep(100)
    results.push(await once())
  }
  return results
}

function column(rows: readonly (readonly number[])[], index: number): number[] {
  return rows.map(row => row[index] as number)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function print(what: string, values: readonly number[]): void {
  if (values.length === 0) return
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number).toFixed(1)
  say(`${what} (n=${values.length}): p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`)
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
