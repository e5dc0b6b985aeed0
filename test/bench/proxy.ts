/**
 * What does the proxy cost, next to the C proxies, in one run on one machine?
 *
 *     npm run bench:proxy -- [requests per cell] [rounds]          (default 100000 and 3)
 *
 * Starts redis-server (a master and two replicas), `lagrange proxy` with one worker and a listener for each of the levels
 * `causal` and `eventual`, nutcracker and haproxy where they are installed, predixy where PREDIXY is its path, and drives
 * each with redis-benchmark: 50 and 200 clients, alone and in pipelines of 16, GET, SET and nine to one, values of 64 B and
 * 4 KiB. ONLY=get/P1/c50/64 (any part of it) leaves out the rest.
 *
 * `echo on node` is no proxy: one read and one write per client and turn by the proxy's own sockets, and nothing between
 * (echo.ts). What is above it is ours; below it nothing that is built on Node can come.
 *
 * CPU is what the kernel counted for the threads of a process, in nanoseconds, per command: on few cores, where the client
 * competes with what it drives, this is the number to trust. Rounds go through all targets before the next begins, so that
 * a busy neighbour hits all alike, and medians are shown.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from '../../src/net/client.js'
import { textOf } from '../../src/resp/protocol.js'
import { freePort } from '../support/ports.js'
import { findProgram } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'

interface Target {
  readonly name: string
  readonly port: number
  /** Their time is its cost; the first is what forwards. */
  readonly pids: readonly number[]
}

interface Cell {
  readonly test: 'get' | 'set' | 'mix'
  readonly pipeline: number
  readonly clients: number
  readonly bytes: number
}

interface Measured {
  readonly opsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpuMicros: number
}

const KEYS = 10_000
const WARM_UP = 100_000
/** What the goals are about: `causal` beside `eventual`, the cheapest of these, and no proxy at all. */
const CHEAP = ['predixy', 'nutcracker']

const requests = Number(process.argv[2] ?? 100_000)
const rounds = Number(process.argv[3] ?? 3)
const only = process.env.ONLY ?? ''
const folder = mkdtempSync(join(tmpdir(), 'lagrange-bench-'))
const children: ChildProcess[] = []
const run = promisify(execFile)

const redis = findProgram('redis-server')
if (redis === undefined) throw new Error('redis-server is not installed')
const nodes = await startGroup(redis, 2)
const [master] = nodes as [RedisNode]
try {
  await main()
} finally {
  for (const child of children) child.kill('SIGTERM')
  await Promise.all(nodes.map(node => node.stop()))
  rmSync(folder, { recursive: true, force: true })
}

async function main(): Promise<void> {
  const targets = [await direct(), ...(await lagrange()), ...(await others())]
  for (const bytes of [64, 4096]) {
    const cells = cellsOf(bytes).filter(cell => nameOf(cell).includes(only))
    if (cells.length === 0) continue
    await drive(targets[0] as Target, { test: 'set', pipeline: 16, clients: 50, bytes }, KEYS * 10)
    // Compilers of code that runs often need some hundred thousand commands, alone and in pipelines.
    for (const target of targets) {
      await drive(target, { test: 'mix', pipeline: 16, clients: 50, bytes }, WARM_UP * 4)
      await drive(target, { test: 'mix', pipeline: 1, clients: 50, bytes }, WARM_UP)
    }
    for (const cell of cells) {
      const all = new Map<Target, Measured[]>(targets.map(target => [target, []]))
      for (let round = 0; round < rounds; round++) {
        for (const target of targets) all.get(target)?.push(await drive(target, cell, countOf(cell)))
      }
      print(cell, all)
    }
  }
}

function cellsOf(bytes: number): Cell[] {
  const cells: Cell[] = []
  for (const pipeline of [1, 16]) {
    for (const clients of [50, 200]) {
      for (const test of ['get', 'set', 'mix'] as const) cells.push({ test, pipeline, clients, bytes })
    }
  }
  return cells
}

/** As many as take about as long, whatever they are. */
function countOf({ pipeline, bytes }: Cell): number {
  return requests * (pipeline === 1 ? 1 : bytes > 1024 ? 2 : 8)
}

function nameOf({ test, pipeline, clients, bytes }: Cell): string {
  return `${test}/P${pipeline}/c${clients}/${bytes}`
}

// ── Targets ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function direct(): Promise<Target> {
  const server = textOf(await master.call('INFO', 'server')) ?? ''
  return { name: 'redis-server', port: master.port, pids: [Number(/process_id:(\d+)/.exec(server)?.[1])] }
}

async function lagrange(): Promise<Target[]> {
  const [causal, eventual, admin] = [await freePort(), await freePort(), await freePort()]
  const config = [
    'listeners:',
    `  - { address: "127.0.0.1:${causal}", consistency: causal }`,
    `  - { address: "127.0.0.1:${eventual}", consistency: eventual }`,
    'upstreams:',
    ...nodes.map(node => `  - ${node.id}`),
  ]
  writeFileSync(join(folder, 'proxy.yaml'), `${config.join('\n')}\n`)
  const file = join(folder, 'proxy.yaml')
  const build = process.env.BUILD ?? 'dist'
  const options = ['--admin', `127.0.0.1:${admin}`, '--log-level', 'error']
  const pid = start(process.execPath, [`${build}/main.js`, 'proxy', '-c', file, ...options])
  const isReady = async (): Promise<boolean> => {
    return (await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => undefined))?.status === 200
  }
  await until('the proxy serves', isReady, 60_000)
  const workers = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').map(Number)
  const pids = [...workers, pid]
  return [
    { name: 'lagrange causal', port: causal, pids },
    { name: 'lagrange eventual', port: eventual, pids },
  ]
}

async function others(): Promise<Target[]> {
  const targets: Target[] = []
  const add = async (name: string, program: string | undefined, config: (port: number) => Promise<string[]>) => {
    if (program === undefined) return
    const port = await freePort()
    const target = { name, port, pids: [start(program, await config(port))] }
    await until(`${name} serves`, () => isServing(port), 60_000)
    targets.push(target)
  }
  await add('echo on node', process.execPath, async port => ['--import', 'tsx', 'test/bench/echo.ts', String(port)])
  await add('predixy', process.env.PREDIXY, async port => [predixyConfig(port)])
  await add('nutcracker', findProgram('nutcracker') ?? findProgram('/usr/sbin/nutcracker'), async port => {
    const file = write('nutcracker.yml', [
      'a:',
      `  listen: 127.0.0.1:${port}`,
      '  redis: true',
      '  servers:',
      `   - ${master.id}:1`,
    ])
    return ['-c', file, '-s', String(await freePort()), '-o', join(folder, 'nutcracker.log')]
  })
  await add('haproxy (tcp)', findProgram('haproxy'), async port => {
    const file = write('haproxy.cfg', [
      'global',
      ' nbthread 1',
      'defaults',
      ' mode tcp',
      ' timeout connect 5s',
      ' timeout client 60s',
      ' timeout server 60s',
      'listen r',
      ` bind 127.0.0.1:${port}`,
      ` server s ${master.id}`,
    ])
    return ['-f', file, '-db']
  })
  return targets
}

function predixyConfig(port: number): string {
  return write('predixy.conf', [
    'Name bench',
    `Bind 127.0.0.1:${port}`,
    'WorkerThreads 1',
    'LogVerbSample 0',
    'LogDebugSample 0',
    'LogInfoSample 0',
    'Authority {',
    ' Auth {',
    '  Mode admin',
    ' }',
    '}',
    'StandaloneServerPool {',
    ' Databases 1',
    ' Hash crc16',
    ' Distribution modula',
    ' MasterReadPriority 100',
    ' RefreshMethod fixed',
    ' RefreshInterval 1',
    ' Group a {',
    `  + ${master.id}`,
    ' }',
    '}',
  ])
}

function write(name: string, lines: readonly string[]): string {
  const file = join(folder, name)
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
}

function start(program: string, args: readonly string[]): number {
  const child = spawn(program, args, { stdio: 'ignore', cwd: process.cwd() })
  children.push(child)
  return child.pid as number
}

async function isServing(port: number): Promise<boolean> {
  const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 1000, replyTimeoutMs: 1000 })
  return client
    .call('GET', 'nothing')
    .then(
      reply => reply.type === 'null',
      () => false,
    )
    .finally(() => client.close())
}

// ── Measuring ───────────────────────────────────────────────────────────────────────────────────────────────────────

async function drive(target: Target, cell: Cell, count: number): Promise<Measured> {
  const before = cpuNanos(target.pids)
  const { test } = cell
  const done =
    test === 'mix'
      ? await Promise.all([benchmark(target, cell, 'get', 0.9, count), benchmark(target, cell, 'set', 0.1, count)])
      : [await benchmark(target, cell, test, 1, count)]
  const used = cpuNanos(target.pids) - before
  return {
    opsPerSecond: done.reduce((sum, one) => sum + one.opsPerSecond, 0),
    p50Ms: Math.max(...done.map(one => one.p50Ms)),
    p99Ms: Math.max(...done.map(one => one.p99Ms)),
    cpuMicros: used / 1000 / count,
  }
}

async function benchmark(
  { port }: Target,
  { pipeline, clients, bytes }: Cell,
  test: 'get' | 'set',
  share: number,
  count: number,
): Promise<Omit<Measured, 'cpuMicros'>> {
  const load = ['-t', test, '-n', Math.round(count * share), '-c', Math.round(clients * share), '-P', pipeline]
  const args = ['-p', port, ...load, '-d', bytes, '-r', KEYS, '--csv']
  const { stdout } = await run('redis-benchmark', args.map(String), { timeout: 120_000 })
  const fields = (stdout.trim().split('\n').at(-1) as string).split(',').map(field => Number(field.replaceAll('"', '')))
  return { opsPerSecond: fields[1] as number, p50Ms: fields[4] as number, p99Ms: fields[6] as number }
}

/** What all threads of these processes have run so far. */
function cpuNanos(pids: readonly number[]): number {
  let sum = 0
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0])
    }
  }
  return sum
}

// ── Showing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function print(cell: Cell, all: ReadonlyMap<Target, readonly Measured[]>): void {
  const rows = [...all].map(([target, measured]) => ({
    name: target.name,
    ops: median(measured.map(one => one.opsPerSecond)),
    p50: median(measured.map(one => one.p50Ms)),
    p99: median(measured.map(one => one.p99Ms)),
    cpu: median(measured.map(one => one.cpuMicros)),
  }))
  const [none] = rows as [(typeof rows)[number]]
  const cheapest = Math.min(...rows.filter(row => CHEAP.includes(row.name)).map(row => row.cpu))
  const title = nameOf(cell)
  const heads = ['ops/s', 'of direct', 'p50 ms', 'added', 'p99 ms', 'CPU µs', 'of cheapest']
  process.stdout.write(`\n${title.padEnd(20)}${heads.map(head => head.padStart(12)).join('')}\n`)
  for (const { name, ops, p50, p99, cpu } of rows) {
    const figures = [
      ops.toFixed(0),
      (ops / none.ops).toFixed(2),
      p50.toFixed(3),
      (p50 - none.p50).toFixed(3),
      p99.toFixed(3),
      cpu.toFixed(2),
      (cpu / cheapest).toFixed(2),
    ]
    process.stdout.write(`${name.padEnd(20)}${figures.map(figure => figure.padStart(12)).join('')}\n`)
  }
  const of = (level: string): number => rows.find(row => row.name === `lagrange ${level}`)?.ops as number
  process.stdout.write(`causal / eventual: ${(of('causal') / of('eventual')).toFixed(3)} of the throughput\n`)
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other)
  return sorted[Math.floor(sorted.length / 2)] as number
}
