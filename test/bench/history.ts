/**
 * What clients saw, for as long as one likes: `npm run bench:history -- [reads] [seed]`.
 *
 *     clients ──▶ lagrange proxy ──▶ master ──delay link──▶ replicas, which are slowed, cut off, stopped and started anew
 *
 * Twenty-four clients at four levels write registers and lists and read what they and others wrote. Every round has keys
 * of its own and is checked when it ends; each value carries the name of its key, so that a reply for somebody else is
 * seen at once. It ends with exit code 1 at the first round that no single Redis could have shown.
 *
 * MINUTES ends it earlier; OURS=1 has our own nodes instead of redis-server; BUILD names another build than `dist`; CALM=1 leaves the faults out.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type DelayLink, startDelayLink } from '../support/delay.js'
import { bounded, causal, linearizable, type Operation, session, type Violation } from '../support/history.js'
import { freePort } from '../support/ports.js'
import { type ProxyProcess, startProxyProcess } from '../support/proxy-process.js'
import { seeded } from '../support/random.js'
import { type Plain, RawClient } from '../support/raw-client.js'
import { RedisNode } from '../support/redis-group.js'

const READS = Number(process.argv[2] ?? 100_000)
const SEED = Number(process.argv[3] ?? 1)
const BUILD = process.env.BUILD ?? 'dist'
const CLIENTS = 24
const WRITERS = 12
/** Reads in one pipeline. */
const BATCH = 16
const ROUND_MS = 10_000
const DELAYS_MS = [0, 1, 20, 200] as const
const BOUND_MS = 50
/** What `bounded` may be off by here: proofs carry their age, so it is only how long a command is on its way to the proxy's clock. */
const STEP_MS = 2

const levels: readonly (readonly [level: string, check: (history: readonly Operation[]) => Violation[]])[] = [
  ['causal', causal],
  ['session', session],
  ['strong', linearizable],
  [`bounded ${BOUND_MS}`, bounded(BOUND_MS + STEP_MS)],
]

class OurNode extends RedisNode {
  constructor(port: number) {
    super(process.execPath, port, [`${BUILD}/main.js`, 'node'])
  }
}

interface Replica {
  readonly node: RedisNode
  readonly link: DelayLink
}

const chance = seeded(SEED)
const counts = { reads: 0, writes: 0, rounds: 0, violations: 0, refused: 0 }
const readsAt = new Map<string, number>()
const faults = new Map<string, number>()

const make = (port: number): RedisNode =>
  process.env.OURS === '1' ? new OurNode(port) : new RedisNode('redis-server', port)

async function main(): Promise<void> {
  const master = make(await freePort())
  await master.start('--repl-backlog-size', '1mb')
  const replicas: Replica[] = []
  for (const delayMs of DELAYS_MS) {
    const link = await startDelayLink(master.address, delayMs)
    const node = make(await freePort())
    await node.start('--replicaof', '127.0.0.1', String(link.port))
    replicas.push({ node, link })
  }
  const members = [master, ...replicas.map(({ node }) => node)]
  const proxy = await startProxyProcess(
    BUILD,
    members.map(node => node.id),
  )
  const began = performance.now()
  try {
    const endsAt = began + Number(process.env.MINUTES ?? 1e6) * 60_000
    while (counts.reads < READS && counts.violations === 0 && performance.now() < endsAt)
      await round(proxy.port, replicas)
  } finally {
    report((performance.now() - began) / 1000, await shareOfReplicas(proxy))
    await proxy.stop()
    await Promise.all(members.map(node => node.stop()))
    await Promise.all(replicas.map(({ link }) => link.close()))
  }
  process.exitCode = counts.violations === 0 ? 0 : 1
}

async function round(port: number, replicas: readonly Replica[]): Promise<void> {
  const history: Operation[] = []
  const name = `r${counts.rounds++}`
  const until = performance.now() + ROUND_MS
  const trouble = process.env.CALM === '1' ? Promise.resolve() : disturb(replicas, until)
  await Promise.all(Array.from({ length: CLIENTS }, (_, client) => use(port, name, client, until, history)))
  await trouble
  for (const [at, [level, check]] of levels.entries()) {
    const seen = history.filter(({ does, client }) => does === 'write' || client % levels.length === at)
    const reads = seen.filter(({ does }) => does === 'read').length
    readsAt.set(level, (readsAt.get(level) ?? 0) + reads)
    counts.reads += reads
    const violations = check(seen)
    counts.violations += violations.length
    for (const violation of violations.slice(0, 5)) console.log(level, name, JSON.stringify(violation))
  }
  counts.writes += history.filter(({ does }) => does === 'write').length
  if (counts.rounds % 6 === 0)
    console.log(`${counts.rounds} rounds, ${counts.reads} reads, ${counts.violations} violations`)
}

// ── Clients ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function use(port: number, name: string, client: number, until: number, history: Operation[]): Promise<void> {
  const draw = seeded(SEED * 1_000_003 + counts.rounds * 101 + client)
  const connection = await RawClient.open(port)
  const [level] = levels[client % levels.length] as (typeof levels)[number]
  expectOk(await connection.call('LAGRANGE', 'CONSISTENCY', ...level.split(' ')))
  let version = 0
  while (performance.now() < until) {
    // The first half of the clients write a key each; everybody reads all of them, its own more often.
    if (client < WRITERS && draw() < 0.3) {
      const from = performance.now()
      await write(connection, `${name}:${client}`, ++version)
      history.push({ client, key: `${name}:${client}`, does: 'write', version, from, to: performance.now() })
    } else {
      const count = draw() < 0.3 ? 1 : BATCH
      const writers = Array.from({ length: count }, () =>
        client < WRITERS && draw() < 0.2 ? client : Math.floor(draw() * WRITERS),
      )
      await read(connection, name, client, writers, history)
    }
    if (draw() < 0.02) await sleep(draw() * 5)
  }
  connection.close()
}

/** Every third key is a list, the others are registers. */
function isList(writer: number): boolean {
  return writer % 3 === 0
}

async function write(connection: RawClient, key: string, version: number): Promise<void> {
  const list = isList(Number(key.split(':')[1]))
  const reply = await connection.call(list ? 'RPUSH' : 'SET', key, `${key}=${version}`)
  if (reply !== (list ? version : 'OK')) throw new Error(`${key} ${version}: ${reply}`)
}

/** All in one write, so they may be answered by different instances, and must come back in order. */
async function read(
  connection: RawClient,
  name: string,
  client: number,
  writers: readonly number[],
  history: Operation[],
): Promise<void> {
  const from = performance.now()
  const keys = writers.map(writer => `${name}:${writer}`)
  const replies = await connection.pipeline(
    ...keys.map((key, index) => (isList(writers[index] as number) ? ['LRANGE', key, '-8', '-1'] : ['GET', key])),
  )
  const to = performance.now()
  for (const [index, reply] of replies.entries()) {
    const key = keys[index] as string
    if (isLost(reply)) counts.refused++
    else history.push({ client, key, does: 'read', version: versionIn(key, reply), from, to })
  }
}

/** Its instance died twice under it: that shows nothing that could be wrong. */
function isLost(reply: Plain): boolean {
  return typeof reply === 'string' && reply.startsWith('-UNKNOWNRESULT ')
}

/** Of a list, the end: a run of versions, each there once. */
function versionIn(key: string, reply: Plain): number {
  if (reply === null) return 0
  if (!Array.isArray(reply)) return versionOf(key, reply)
  const versions = reply.map(item => versionOf(key, item))
  const last = versions.at(-1) ?? 0
  if (versions.some((version, index) => version !== last - versions.length + 1 + index)) {
    throw new Error(`${key}: elements lost, twice or out of order: ${versions.join(' ')}`)
  }
  return last
}

function versionOf(key: string, reply: Plain): number {
  const [owner, version] = String(reply).split('=')
  if (owner !== key) throw new Error(`asked for ${key}, got an answer for somebody else: ${reply}`)
  return Number(version)
}

function expectOk(reply: Plain): void {
  if (reply !== 'OK') throw new Error(String(reply))
}

// ── Trouble ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function disturb(replicas: readonly Replica[], until: number): Promise<void> {
  while (performance.now() < until - 2000) {
    await sleep(chance() * 1500)
    const { node, link } = replicas[Math.floor(chance() * replicas.length)] as Replica
    const forMs = chance() * 800
    switch (Math.floor(chance() * 6)) {
      case 0:
        note('stalled')
        link.stall(true)
        await sleep(forMs)
        link.stall(false)
        break
      case 1:
        note('cut')
        link.cut()
        break
      case 2:
        note('stopped')
        node.signal('SIGSTOP')
        await sleep(forMs)
        node.signal('SIGCONT')
        break
      case 3:
        note('killed')
        await node.end()
        await node.start('--replicaof', '127.0.0.1', String(link.port))
        break
      case 4:
        // What the backlog does not reach any more is copied whole.
        note('cut off for long')
        link.stall(true)
        await sleep(forMs)
        link.cut()
        link.stall(false)
        break
      default:
        note('delay changed')
        link.delayMs = DELAYS_MS[Math.floor(chance() * DELAYS_MS.length)] as number
    }
  }
}

function note(what: string): void {
  faults.set(what, (faults.get(what) ?? 0) + 1)
}

// ── The report ──────────────────────────────────────────────────────────────────────────────────────────────────────

async function shareOfReplicas(proxy: ProxyProcess): Promise<number> {
  const name = 'lagrange_commands_total'
  const sum = async (...labels: string[]): Promise<number> =>
    (await proxy.count(name, 'command="get"', ...labels)) + (await proxy.count(name, 'command="lrange"', ...labels))
  return (await sum('target="replica"')) / (await sum())
}

function report(seconds: number, share: number): void {
  const levelsSeen = [...readsAt].map(([level, reads]) => `${level} ${reads}`).join(', ')
  console.log(
    `${counts.reads} reads (${levelsSeen}), ${counts.writes} writes in ${Math.round(seconds)} s, ${counts.rounds} rounds`,
  )
  console.log(`at replicas ${(share * 100).toFixed(1)} %; ${[...faults].map(fault => fault.join(' ')).join(', ')}`)
  console.log(`${counts.refused} reads got no answer`)
  console.log(`${counts.violations} violations, SEED ${SEED}`)
}

await main()
