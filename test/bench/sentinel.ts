/**
 * How long writes wait when a master dies under sentinels, ours and redis-sentinel, in one run:
 *
 *     npm run bench:sentinel -- [kills]       (default 3 of each kind of quorum)
 *
 * Three redis-servers, three sentinels, one client that writes as fast as it is answered and asks the sentinels for the
 * master when its connection ends, as a Sentinel-aware client does. The master is killed; the gap is the time between the
 * last write that was answered and the first one that the next master answers. Then the dead one comes back as a replica.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '../../src/net/client.js'
import { findProgram } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'
import { type SentinelKind, type SentinelProcess, startSentinels } from '../support/sentinels.js'

const kills = Number(process.argv[2] ?? 3)
const quorums: readonly (readonly SentinelKind[])[] = [
  ['real', 'real', 'real'],
  ['ours', 'real', 'real'],
  ['ours', 'ours', 'real'],
  ['ours', 'ours', 'ours'],
]

const server = findProgram('redis-server')
const real = findProgram('redis-sentinel')
if (server === undefined || real === undefined) throw new Error('redis-server and redis-sentinel are needed')

let client: Client | undefined
process.stdout.write(
  'sentinels (ours + real)   down-after   kills   gap p50 ms   gap max ms   agreed max ms   switches   one master\n',
)
for (const kinds of quorums) process.stdout.write(`${await measure(kinds, server, real)}\n`)

async function measure(kinds: readonly SentinelKind[], server: string, real: string): Promise<string> {
  const nodes = await startGroup(server, 2)
  const settings = { masterPort: nodes[0]?.port ?? 0, quorum: 2, downAfterMs: 1000, failoverTimeoutMs: 2000 }
  const sentinels = await startSentinels(kinds, real, settings, 2, false)
  const gaps: number[] = []
  const agreements: number[] = []
  let always = true
  let switched = 0
  try {
    for (let kill = 0; kill < kills; kill++) {
      const { gapMs, agreedMs, switches, single } = await killMaster(nodes, sentinels)
      gaps.push(gapMs)
      agreements.push(agreedMs)
      always &&= single
      switched += switches
    }
  } finally {
    await Promise.all([...sentinels, ...nodes].map(running => running.stop()))
  }
  gaps.sort((one, other) => one - other)
  const ours = kinds.filter(kind => kind === 'ours').length
  const columns: readonly (readonly [string | number, number])[] = [
    [`${ours} + ${kinds.length - ours}`, 23],
    [settings.downAfterMs, 13],
    [gaps.length, 8],
    [Math.round(gaps[Math.floor(gaps.length / 2)] ?? Number.NaN), 13],
    [Math.round(Math.max(...gaps)), 13],
    [Math.round(Math.max(...agreements)), 16],
    [switched, 11],
    [always ? 'yes' : 'NO', 13],
  ]
  return columns.map(([value, width]) => String(value).padStart(width)).join('')
}

interface Change {
  readonly gapMs: number
  /** Until all sentinels named the new master. */
  readonly agreedMs: number
  /** How many times the master changed. */
  readonly switches: number
  /** In the end one instance says master, the one that the sentinels name. */
  readonly single: boolean
}

async function killMaster(nodes: readonly RedisNode[], sentinels: readonly SentinelProcess[]): Promise<Change> {
  const [first] = sentinels as [SentinelProcess]
  const port = await first.masterPort()
  const master = nodes.find(node => node.port === port)
  if (master === undefined) throw new Error(`the sentinels name ${port}`)

  const epoch = await epochOf(first)
  let lastAt = performance.now()
  let gapMs = 0
  let stopped = false
  const writer = (async () => {
    while (!stopped) {
      if (!(await write(await ask(sentinels)))) continue
      const now = performance.now()
      gapMs = Math.max(gapMs, now - lastAt)
      lastAt = now
    }
  })()
  await sleep(300)
  gapMs = 0
  const killedAt = performance.now()
  master.signal('SIGKILL')
  const agreed = async (): Promise<boolean> => {
    const ports = await Promise.all(sentinels.map(sentinel => sentinel.masterPort()))
    return new Set(ports).size === 1 && ports[0] !== port
  }
  await until('the sentinels agree', agreed, 60_000)
  const agreedMs = performance.now() - killedAt
  const next = await first.masterPort()
  await until('writes go on', async () => performance.now() - lastAt < 50 && gapMs > 0, 60_000)
  stopped = true
  await writer
  await master.start('--replicaof', '127.0.0.1', String(next))
  await until('it follows', async () => (await master.info()).master?.up === true, 30_000)
  // What was voted for holds the next failover back for twice its timeout; and real sentinels look every ten seconds.
  await sleep(11_000)
  const infos = await Promise.all(nodes.map(node => node.info()))
  const masters = nodes.filter((_, index) => infos[index]?.role === 'master')
  // More than one switch: somebody took the new master for dead as well.
  const switches = (await epochOf(first)) - epoch
  return { gapMs, agreedMs, switches, single: masters.length === 1 && masters[0]?.port === (await first.masterPort()) }
}

async function epochOf(sentinel: SentinelProcess): Promise<number> {
  return Number((await sentinel.master()).get('config-epoch'))
}

/** As clients do: the first sentinel that answers is believed. */
async function ask(sentinels: readonly SentinelProcess[]): Promise<number> {
  for (const sentinel of sentinels) {
    const port = await sentinel.masterPort().catch(() => Number.NaN)
    if (port > 0) return port
  }
  return Number.NaN
}

async function write(port: number): Promise<boolean> {
  if (client === undefined || client.closed || client.address.port !== port) {
    client?.close()
    client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 200, replyTimeoutMs: 500 })
  }
  try {
    const reply = await client.send(['INCR', 'counter'])
    if (reply.type !== 'error') return true
  } catch {
    // Dead, or not yet there.
  }
  await sleep(2)
  return false
}
