/**
 * What freshness costs: `npm run bench:freshness`. Nine reads to one write over many keys and over few, with replicas at
 * several distances: the share of reads that replicas served, how long reads took, and how much `causal` got done beside
 * `eventual`: in short rounds that take turns, so that both have the same machine, each pair of rounds a ratio of its own, of
 * which the median is shown; likewise of what the worker's threads have run per command.
 *
 * SECONDS (default 4) is how long each level is measured per line; BUILD names another build than `dist`.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { type DelayLink, startDelayLink } from '../support/delay.js'
import { freePort } from '../support/ports.js'
import { startProxyProcess } from '../support/proxy-process.js'
import { seeded } from '../support/random.js'
import { RawClient } from '../support/raw-client.js'
import { RedisNode } from '../support/redis-group.js'

const SECONDS = Number(process.env.SECONDS ?? 4)
const ROUND_MS = 500
const CLIENTS = 32
const WRITE_SHARE = 0.1

const master = new RedisNode('redis-server', await freePort())
await master.start()
const links: DelayLink[] = []
const replicas: RedisNode[] = []
for (let index = 0; index < 2; index++) {
  const link = await startDelayLink(master.address, 0)
  const node = new RedisNode('redis-server', await freePort())
  await node.start('--replicaof', '127.0.0.1', String(link.port))
  links.push(link)
  replicas.push(node)
}
const proxy = await startProxyProcess(
  process.env.BUILD ?? 'dist',
  [master, ...replicas].map(node => node.id),
)

interface Result {
  readonly perSecond: number
  readonly cpuMicros: number
  readonly share: number
  readonly p50: number
  readonly p99: number
}

try {
  console.log('keys     delay  level      ops/s   at replicas   read p50 / p99 ms')
  for (const [keys, delayMs] of [
    [100_000, 0],
    [100_000, 1],
    [100_000, 20],
    [100, 0],
    [100, 1],
  ] as const) {
    for (const link of links) link.delayMs = delayMs
    const results = new Map<string, Result[]>()
    const pairs = Math.max(2, Math.round((SECONDS * 1000) / ROUND_MS))
    for (let pair = 0; pair < pairs; pair++) {
      const order = pair % 2 === 0 ? ['eventual', 'causal'] : ['causal', 'eventual']
      for (const level of order) results.set(level, [...(results.get(level) ?? []), await measure(level, keys)])
    }
    for (const [level, all] of results) print(keys, delayMs, level, all)
    const ratio = (of: (result: Result) => number): string => {
      const [causal, eventual] = [results.get('causal') ?? [], results.get('eventual') ?? []]
      return median(causal.map((one, index) => of(one) / of(eventual[index] as Result))).toFixed(3)
    }
    const throughput = ratio(one => one.perSecond)
    console.log(
      `         causal / eventual: ${throughput} of the throughput, ${ratio(one => one.cpuMicros)} of the CPU`,
    )
  }
} finally {
  await proxy.stop()
  await Promise.all([master, ...replicas].map(node => node.stop()))
  await Promise.all(links.map(link => link.close()))
}

async function measure(level: string, keys: number): Promise<Result> {
  const [readsBefore, replicaBefore] = await reads()
  const took: number[] = []
  let done = 0
  const cpuBefore = cpuMicros(proxy.workerPid)
  const until = performance.now() + ROUND_MS
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      const draw = seeded(client + 1)
      const connection = await RawClient.open(proxy.port)
      await connection.call('LAGRANGE', 'CONSISTENCY', level)
      while (performance.now() < until) {
        const key = `key:${Math.floor(draw() * keys)}`
        const from = performance.now()
        if (draw() < WRITE_SHARE) await connection.call('SET', key, 'x'.repeat(64))
        else {
          await connection.call('GET', key)
          took.push(performance.now() - from)
        }
        done++
      }
      connection.close()
    }),
  )
  const used = cpuMicros(proxy.workerPid) - cpuBefore
  const [readsAfter, replicaAfter] = await reads()
  took.sort((a, b) => a - b)
  const at = (part: number): number => took[Math.floor(took.length * part)] ?? 0
  const share = (replicaAfter - replicaBefore) / (readsAfter - readsBefore)
  return { perSecond: (done / ROUND_MS) * 1000, cpuMicros: used / done, share, p50: at(0.5), p99: at(0.99) }
}

/** What all threads of the process have run so far. */
function cpuMicros(pid: number): number {
  let sum = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0])
  }
  return sum / 1000
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number
}

async function reads(): Promise<[all: number, atReplicas: number]> {
  const name = 'lagrange_commands_total'
  return [await proxy.count(name, 'command="get"'), await proxy.count(name, 'command="get"', 'target="replica"')]
}

function print(keys: number, delayMs: number, level: string, all: readonly Result[]): void {
  const middle = (of: (result: Result) => number): number => median(all.map(of))
  console.log(
    [
      String(keys).padEnd(8),
      `${delayMs} ms`.padEnd(6),
      level.padEnd(9),
      String(Math.round(middle(one => one.perSecond))).padStart(6),
      `${(middle(one => one.share) * 100).toFixed(1)} %`.padStart(11),
      `${middle(one => one.p50).toFixed(2)} / ${middle(one => one.p99).toFixed(2)}`.padStart(18),
    ].join('  '),
  )
}
