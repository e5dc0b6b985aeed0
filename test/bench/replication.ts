/**
 * Replication in all four pairings of our node and redis-server, in one run:
 *
 *     npm run bench:replication -- [keys] [seconds] [rounds]        (default 1000000, 10 and 3)
 *
 * Every round starts a new replica and gives it a full copy: how long until its link is up, the longest time that a PING
 * (one every millisecond) waited at the master and at the replica meanwhile, and the most memory that each process held
 * (redis-server's child has pages of its own besides). Then, with the last replica: the lag under 50,000 writes a second,
 * from the master's answer to the moment when the replica has applied it, seen by messages that travel in the stream; how
 * many writes a second the pair takes when redis-benchmark sends what it can, until the replica has the last of them; and
 * how long after REPLICAOF NO ONE, and after FAILOVER, the next master takes a write.
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
const programs = { ours: [process.execPath, program, 'node'], redis: [redis] } as const
type Kind = keyof typeof programs

interface Server {
  readonly port: number
  readonly child: ChildProcess
  readonly client: Client
}

interface Copy {
  readonly ms: number
  readonly masterPauseMs: number
  readonly replicaPauseMs: number
  readonly masterMiB: number
  readonly replicaMiB: number
  readonly childMiB: number
}

const folder = mkdtempSync(join(tmpdir(), 'lagrange-replication-'))
const running = new Set<Server>()

try {
  const pairs: readonly (readonly [Kind, Kind])[] = [
    ['redis', 'redis'],
    ['ours', 'ours'],
    ['ours', 'redis'],
    ['redis', 'ours'],
  ]
  process.stdout.write(`${keys} keys of ${VALUE_BYTES} B, medians of ${rounds} copies (pauses and memory: the worst)\n`)
  row(
    'master -> replica',
    'copy ms',
    'ratio',
    'pause ms',
    'replica ms',
    'MiB before',
    'MiB',
    'child MiB',
    'replica MiB',
  )
  let reference = Number.NaN
  const later: string[][] = []
  for (const [masterKind, replicaKind] of pairs) {
    const name = `${masterKind} -> ${replicaKind}`
    const master = await start(masterKind)
    await master.client.call('DEBUG', 'POPULATE', String(keys), 'key', String(VALUE_BYTES))
    const beforeMiB = memoryOf(master.child, 'VmRSS')
    const copies: Copy[] = []
    let replica: Server | undefined
    for (let round = 0; round < rounds; round++) {
      if (replica !== undefined) await end(replica)
      replica = await start(replicaKind)
      copies.push(await copy(master, replica))
    }
    if (replica === undefined) throw new Error('no round')
    const ms = median(copies.map(one => one.ms))
    if (Number.isNaN(reference)) reference = ms
    const worst = (pick: (one: Copy) => number): number => Math.max(...copies.map(pick))
    row(
      name,
      ms.toFixed(0),
      (reference / ms).toFixed(2),
      worst(one => one.masterPauseMs).toFixed(1),
      worst(one => one.replicaPauseMs).toFixed(1),
      beforeMiB.toFixed(0),
      worst(one => one.masterMiB).toFixed(0),
      worst(one => one.childMiB).toFixed(0),
      worst(one => one.replicaMiB).toFixed(0),
    )
    const lag = await underLoad(master, replica)
    const rate = await flood(master, replica)
    const { promotedMs, failoverMs } = await promote(master, replica)
    later.push([
      name,
      lag.rate.toFixed(0),
      lag.p50.toFixed(2),
      lag.p99.toFixed(2),
      lag.max.toFixed(2),
      rate.toFixed(0),
      failoverMs.toFixed(1),
      promotedMs.toFixed(1),
    ])
    await Promise.all([end(master), end(replica)])
  }
  process.stdout.write('\n')
  row('master -> replica', 'writes/s', 'lag p50 ms', 'lag p99 ms', 'lag max ms', 'flood /s', 'FAILOVER ms', 'NO ONE ms')
  for (const line of later) row(...line)
} finally {
  for (const server of running) server.child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}

// ── The full copy ───────────────────────────────────────────────────────────────────────────────────────────────────

async function copy(master: Server, replica: Server): Promise<Copy> {
  for (const { child } of [master, replica]) forgetPeak(child)
  const masterProbe = await probe(master)
  const replicaProbe = await probe(replica)
  let childMiB = 0
  const watch = setInterval(() => {
    childMiB = Math.max(childMiB, ...childrenOf(master.child).map(privateMemoryOf), 0)
  }, 200)
  const startedAt = performance.now()
  await replica.client.call('REPLICAOF', '127.0.0.1', String(master.port))
  await until(async () => (await info(replica)).master_link_status === 'up')
  const ms = performance.now() - startedAt
  clearInterval(watch)
  return {
    ms,
    masterPauseMs: masterProbe.stop(),
    replicaPauseMs: replicaProbe.stop(),
    masterMiB: memoryOf(master.child, 'VmHWM'),
    replicaMiB: memoryOf(replica.child, 'VmHWM'),
    childMiB,
  }
}

/** PINGs, one at a time and a millisecond apart; `stop` answers the longest time that one waited. */
async function probe(server: Server): Promise<{ stop(): number }> {
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

interface Lag {
  readonly rate: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** Writes at an even rate on one connection; marks that are published in between arrive through the stream. */
async function underLoad(master: Server, replica: Server): Promise<Lag> {
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
  const child = spawn(file, [...first, ...args, ...more], { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise<void>((ready, refuse) => {
    child.once('error', refuse)
    child.once('exit', code => refuse(new Error(`${kind} ended with ${code}`)))
    child.stdout.on('data', chunk => String(chunk).includes('eady to accept') && ready())
  })
  const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 2000, replyTimeoutMs: 120_000 })
  const server = { port, child, client }
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

// ── Memory ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function forgetPeak(child: ChildProcess): void {
  writeFileSync(`/proc/${child.pid}/clear_refs`, '5')
}

/** `VmRSS` now, `VmHWM` the most since `forgetPeak`; in MiB. */
function memoryOf(child: ChildProcess, field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024
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
