/**
 * Replication in all four pairings of our node and redis-server, in one run:
 *
 *     npm run bench:replication -- [keys] [seconds] [rounds]        (default 1000000, 10 and 3)
 *
 * Each round gives every pairing a new replica and a full copy, one pairing after the other, so that noise meets them all:
 *
 *     copy ms     until the link is up; `ratio` is the speed beside that of redis -> redis in the same round
 *     CPU s       of both processes, and of redis-server's children
 *     ping ms     the longest time that a PING, one every millisecond, waited at the master
 *     turn ms     the most CPU time that our event loop took at a stretch, at the master and at the replica: what of a
 *                 pause is our own doing, however busy the machine is
 *     MiB         the most memory that the master, its child for itself, and the replica held
 *
 * Then, with one more replica: the lag under 50,000 writes a second, from the master's answer to the moment when the replica
 * has applied it, seen by messages that travel in the stream; how many writes a second the pair takes when redis-benchmark
 * sends what it can, until the replica has the last of them; and how long after FAILOVER, and after REPLICAOF NO ONE, the
 * next master takes a write.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Client } from '../../src/net/client.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import { itemsOf, textOf } from '../../src/resp/protocol.js'
import { freePort } from '../support/ports.js'
import { findProgram } from '../support/real.js'
import { fieldsOf } from '../support/servers.js'

const run = promisify(execFile)
const keys = Number(process.argv[2] ?? 1_000_000)
const seconds = Number(process.argv[3] ?? 10)
const rounds = Number(process.argv[4] ?? 3)
const VALUE_BYTES = 64
const WRITES_PER_SECOND = 50_000
const FLOOD_WRITES = 1_000_000
/** Writes are sent in bunches, every so many milliseconds. */
const BUNCH_MS = 1
const MARK_MS = 5

const program = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const redis = findProgram('redis-server')
if (redis === undefined) throw new Error('redis-server is needed')
const turns = new URL('../support/turns.mjs', import.meta.url).href
const programs = { ours: [process.execPath, '--import', turns, program, 'node'], redis: [redis] } as const
type Kind = keyof typeof programs

interface Server {
  readonly kind: Kind
  readonly port: number
  readonly child: ChildProcess
  readonly client: Client
}

interface Copy {
  readonly ms: number
  readonly cpuMs: number
  readonly pingMs: number
  readonly masterTurnMs: number
  readonly replicaTurnMs: number
  readonly masterMiB: number
  readonly childMiB: number
  readonly replicaMiB: number
}

interface Steady {
  readonly rate: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

const pairs: readonly (readonly [Kind, Kind])[] = [
  ['redis', 'redis'],
  ['ours', 'ours'],
  ['ours', 'redis'],
  ['redis', 'ours'],
]

const folder = mkdtempSync(join(tmpdir(), 'lagrange-replication-'))
const running = new Set<Server>()

try {
  const masters = { ours: await startFull('ours'), redis: await startFull('redis') }
  await compareCopies(masters)
  await compareStreams(masters)
} finally {
  for (const server of running) server.child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}

async function startFull(kind: Kind): Promise<Server> {
  const server = await start(kind)
  await server.client.call('DEBUG', 'POPULATE', String(keys), 'key', String(VALUE_BYTES))
  return server
}

async function compareCopies(masters: Record<Kind, Server>): Promise<void> {
  const copies: Copy[][] = pairs.map(() => [])
  for (let round = 0; round < rounds; round++) {
    for (const [index, [master, replicaKind]] of pairs.entries()) {
      const replica = await start(replicaKind)
      copies[index]?.push(await copy(masters[master], replica))
      await end(replica)
    }
  }
  process.stdout.write(`${keys} keys of ${VALUE_BYTES} B, ${rounds} rounds (times: medians; the rest: the most)\n`)
  const titles = ['copy ms', 'ratio', 'CPU s', 'ping ms', 'turn ms', 'replica', 'MiB', 'child', 'replica']
  row('master -> replica', ...titles)
  for (const [index, [master, replica]] of pairs.entries()) {
    const own = copies[index] ?? []
    const speeds = own.map(({ ms }, round) => (copies[0]?.[round]?.ms ?? Number.NaN) / ms)
    const most = (pick: (one: Copy) => number): number => Math.max(...own.map(pick))
    const turn = (kind: Kind, ms: number): string => (kind === 'ours' ? ms.toFixed(1) : '')
    row(
      `${master} -> ${replica}`,
      median(own.map(({ ms }) => ms)).toFixed(0),
      median(speeds).toFixed(2),
      (median(own.map(({ cpuMs }) => cpuMs)) / 1000).toFixed(2),
      most(({ pingMs }) => pingMs).toFixed(1),
      turn(
        master,
        most(({ masterTurnMs }) => masterTurnMs),
      ),
      turn(
        replica,
        most(({ replicaTurnMs }) => replicaTurnMs),
      ),
      most(({ masterMiB }) => masterMiB).toFixed(0),
      most(({ childMiB }) => childMiB).toFixed(0),
      most(({ replicaMiB }) => replicaMiB).toFixed(0),
    )
  }
}

async function compareStreams(masters: Record<Kind, Server>): Promise<void> {
  process.stdout.write('\n')
  row('master -> replica', 'writes/s', 'lag p50 ms', 'p99', 'max', 'flood /s', 'FAILOVER ms', 'NO ONE ms')
  for (const [masterKind, replicaKind] of pairs) {
    const master = masters[masterKind]
    const replica = await start(replicaKind)
    await follow(replica, master)
    const { rate, p50, p99, max } = await underLoad(master, replica)
    const flooded = await flood(master, replica)
    const { promotedMs, failoverMs } = await promote(master, replica)
    row(
      `${masterKind} -> ${replicaKind}`,
      rate.toFixed(0),
      ...[p50, p99, max].map(ms => ms.toFixed(2)),
      flooded.toFixed(0),
      failoverMs.toFixed(1),
      promotedMs.toFixed(1),
    )
    await end(replica)
  }
}

// ── The full copy ───────────────────────────────────────────────────────────────────────────────────────────────────

async function copy(master: Server, replica: Server): Promise<Copy> {
  const both = [master, replica]
  for (const { child } of both) forgetPeak(child)
  const probe = await startProbe(master)
  for (const server of both) beginTurns(server)
  let childMiB = 0
  const watch = setInterval(() => {
    childMiB = Math.max(childMiB, ...childrenOf(master.child).map(privateMemoryOf), 0)
  }, 200)
  const cpuBefore = cpuOf(master) + cpuOf(replica)
  const startedAt = performance.now()
  await follow(replica, master)
  const ms = performance.now() - startedAt
  const pingMs = probe.stop()
  clearInterval(watch)
  // A child counts once its parent has heard of its end.
  await until(async () => childrenOf(master.child).length === 0)
  await sleep(200)
  return {
    ms,
    cpuMs: cpuOf(master) + cpuOf(replica) - cpuBefore,
    pingMs,
    masterTurnMs: await longestTurn(master),
    replicaTurnMs: await longestTurn(replica),
    masterMiB: peakOf(master.child),
    childMiB,
    replicaMiB: peakOf(replica.child),
  }
}

async function follow(replica: Server, master: Server): Promise<void> {
  await replica.client.call('REPLICAOF', '127.0.0.1', String(master.port))
  await until(async () => (await info(replica)).master_link_status === 'up')
}

/** PINGs, one at a time and a millisecond apart; `stop` answers the longest time that one waited. */
async function startProbe(server: Server): Promise<{ stop(): number }> {
  const socket = await openSocket(server)
  let longest = 0
  let sentAt = 0
  let stopped = false
  const ping = (): void => {
    if (stopped) return
    sentAt = performance.now()
    socket.write('PING\r\n')
  }
  socket.on('data', () => {
    longest = Math.max(longest, performance.now() - sentAt)
    setTimeout(ping, 1)
  })
  ping()
  await sleep(20)
  longest = 0
  return {
    stop() {
      stopped = true
      socket.destroy()
      return longest
    },
  }
}

// ── Lag and throughput ──────────────────────────────────────────────────────────────────────────────────────────────

/** Writes at an even rate on one connection; marks that are published in between arrive through the stream. */
async function underLoad(master: Server, replica: Server): Promise<Steady> {
  const answeredAt: number[] = []
  const lags: number[] = []
  const listener = new Client(
    { host: '127.0.0.1', port: replica.port },
    {
      connectTimeoutMs: 2000,
      replyTimeoutMs: 20_000,
      onPush: frame => {
        if (!('items' in frame)) return
        const mark = Number(textOf(itemsOf(frame)[2] as never))
        const answered = answeredAt[mark]
        // Heard before the answer: not late at all.
        lags[mark] = answered === undefined ? 0 : performance.now() - answered
      },
    },
  )
  await listener.call('SUBSCRIBE', 'mark')
  const publisher = new Client(
    { host: '127.0.0.1', port: master.port },
    { connectTimeoutMs: 2000, replyTimeoutMs: 20_000 },
  )
  const writer = await openSocket(master)
  let answered = 0
  writer.on('data', chunk => (answered += chunk.length / 5))
  const bunches = Array.from({ length: 64 }, (_, index) => bunch(WRITES_PER_SECOND * (BUNCH_MS / 1000), index))
  let sent = 0
  let marks = 0
  let markAt = 0
  const startedAt = performance.now()
  const timer = setInterval(() => {
    const passed = performance.now() - startedAt
    const due = Math.floor(passed / BUNCH_MS)
    // Who cannot take it is not buried.
    for (; sent < due && (sent - answered / (WRITES_PER_SECOND * (BUNCH_MS / 1000))) * BUNCH_MS < 1000; sent++)
      writer.write(bunches[sent % bunches.length] as Buffer)
    if (passed < markAt) return
    markAt = passed + MARK_MS
    const mark = marks++
    void publisher.call('PUBLISH', 'mark', String(mark)).then(() => (answeredAt[mark] = performance.now()))
  }, BUNCH_MS)
  await sleep(seconds * 1000)
  clearInterval(timer)
  const rate = answered / ((performance.now() - startedAt) / 1000)
  await caughtUp(master, replica)
  writer.destroy()
  publisher.close()
  listener.close()
  // The first second warms up.
  const counted = lags.slice(Math.floor(lags.length / seconds)).sort((one, other) => one - other)
  const at = (share: number): number =>
    counted[Math.min(counted.length - 1, Math.floor(counted.length * share))] ?? Number.NaN
  return { rate, p50: at(0.5), p99: at(0.99), max: at(1) }
}

function bunch(count: number, seed: number): Buffer {
  const value = 'v'.repeat(VALUE_BYTES)
  const step = Math.floor(keys / (64 * count)) || 1
  return Buffer.concat(
    Array.from({ length: count }, (_, index) =>
      encodeCommand(['SET', `key:${((seed * count + index) * step) % keys}`, value]),
    ),
  )
}

/** Writes a second, until the replica has the last one. */
async function flood(master: Server, replica: Server): Promise<number> {
  const startedAt = performance.now()
  const args = [
    '-t',
    'set',
    '-n',
    String(FLOOD_WRITES),
    '-r',
    String(keys),
    '-d',
    String(VALUE_BYTES),
    '-P',
    '32',
    '-q',
  ]
  await run('redis-benchmark', ['-p', String(master.port), '-c', '50', ...args])
  await caughtUp(master, replica)
  return FLOOD_WRITES / ((performance.now() - startedAt) / 1000)
}

// ── Promotion ───────────────────────────────────────────────────────────────────────────────────────────────────────

async function promote(master: Server, replica: Server): Promise<{ promotedMs: number; failoverMs: number }> {
  const askedAt = performance.now()
  await master.client.call('FAILOVER', 'TO', '127.0.0.1', String(replica.port), 'TIMEOUT', '10000')
  await writable(replica)
  const failoverMs = performance.now() - askedAt
  await until(async () => (await info(master)).master_link_status === 'up')
  const orderedAt = performance.now()
  await master.client.call('REPLICAOF', 'NO', 'ONE')
  await writable(master)
  return { promotedMs: performance.now() - orderedAt, failoverMs }
}

async function writable(server: Server): Promise<void> {
  await until(async () => (await server.client.send(['SET', 'written', 'now'])).type !== 'error', 0)
}

// ── Servers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function start(kind: Kind): Promise<Server> {
  const port = await freePort()
  const dir = mkdtempSync(join(folder, `${kind}-`))
  const [file, ...first] = programs[kind] as readonly [string, ...string[]]
  const args = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--dir',
    dir,
    '--enable-debug-command',
    'yes',
  ]
  const more = [
    '--repl-diskless-sync-delay',
    '0',
    '--repl-backlog-size',
    '64mb',
    '--client-output-buffer-limit',
    'replica 0 0 0',
  ]
  const child = spawn(file, [...first, ...args, ...more], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  await new Promise<void>((ready, refuse) => {
    child.once('error', refuse)
    child.once('exit', code => refuse(new Error(`${kind} ended with ${code}`)))
    child.stdout?.on('data', chunk => String(chunk).includes('eady to accept') && ready())
  })
  const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 2000, replyTimeoutMs: 120_000 })
  const server = { kind, port, child, client }
  running.add(server)
  return server
}

async function end(server: Server): Promise<void> {
  running.delete(server)
  server.client.close()
  const exited = once(server.child, 'exit')
  server.child.kill('SIGKILL')
  await exited
}

async function openSocket(server: Server): Promise<Socket> {
  const socket = connect(server.port, '127.0.0.1')
  socket.setNoDelay(true)
  await once(socket, 'connect')
  return socket
}

async function info(server: Server): Promise<Record<string, string>> {
  return fieldsOf(textOf(await server.client.call('INFO', 'replication')) ?? '')
}

async function caughtUp(master: Server, replica: Server): Promise<void> {
  const { master_repl_offset: offset } = await info(master)
  await until(async () => Number((await info(replica)).master_repl_offset) >= Number(offset))
}

async function until(reached: () => Promise<boolean>, pauseMs = 5): Promise<void> {
  while (!(await reached())) await sleep(pauseMs)
}

// ── What they take ──────────────────────────────────────────────────────────────────────────────────────────────────

function beginTurns({ kind, child }: Server): void {
  if (kind === 'ours') child.send('begin')
}

async function longestTurn({ kind, child }: Server): Promise<number> {
  if (kind !== 'ours') return Number.NaN
  child.send('read')
  const [ms] = (await once(child, 'message')) as [number]
  return ms
}

/** User and system, of the process and its ended children; the kernel counts in hundredths of a second. */
function cpuOf({ child }: Server): number {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0)
}

function forgetPeak(child: ChildProcess): void {
  writeFileSync(`/proc/${child.pid}/clear_refs`, '5')
}

/** The most since `forgetPeak`, in MiB. */
function peakOf(child: ChildProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024
}

function childrenOf(child: ChildProcess): string[] {
  const threads = readdirSync(`/proc/${child.pid}/task`)
  return threads.flatMap(thread =>
    readFileSync(`/proc/${child.pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean),
  )
}

/** What a forked process does not share with its parent, in MiB. */
function privateMemoryOf(pid: string): number {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    return Number(/Private_Dirty:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN
}

function row(...columns: readonly string[]): void {
  const [name = '', ...numbers] = columns
  process.stdout.write(`${name.padEnd(18)}${numbers.map(number => number.padStart(12)).join('')}\n`)
}
