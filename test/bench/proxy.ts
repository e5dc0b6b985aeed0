/**
 * What does the proxy cost, next to the C proxies, in one run on one machine?
 *
 *     npx tsx test/bench/proxy.ts [requests per cell] [rounds]
 *
 * Starts redis-server (a master and two replicas), a worker of ours at the levels `causal` and `eventual`, nutcracker and
 * haproxy where they are installed, and drives each with redis-benchmark. CPU is that of the proxy's process alone, from
 * /proc, per command; rounds are interleaved and the median is shown, so that a busy neighbour hits all alike.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '../support/ports.js'
import { findProgram } from '../support/real.js'
import { type RedisNode, startGroup } from '../support/redis-group.js'

interface Target {
  readonly name: string
  readonly port: number
  readonly pid: number
}

interface Measured {
  readonly opsPerSecond: number
  readonly p50Ms: number
  readonly cpuMicros: number
}

/** Ticks of /proc/PID/stat; 100 per second on every Linux that Node runs on. */
const TICK_MICROS = 10_000

const requests = Number(process.argv[2] ?? 100_000)
const rounds = Number(process.argv[3] ?? 3)
const folder = mkdtempSync(join(tmpdir(), 'lagrange-bench-'))
const children: ChildProcess[] = []
const run = promisify(execFile)

const redis = findProgram('redis-server')
if (redis === undefined) throw new Error('redis-server is not installed')
const nodes = await startGroup(redis, 2)
try {
  await main()
} finally {
  for (const child of children) child.kill('SIGTERM')
  await Promise.all(nodes.map(node => node.stop()))
  rmSync(folder, { recursive: true, force: true })
}

async function main(): Promise<void> {
  const targets = await startTargets()
  for (const target of targets) await measure(target, 'get,set', 1, 50, Math.min(requests, 50_000))
  for (const [test, pipeline] of [
    ['get', 1],
    ['set', 1],
    ['get', 16],
    ['set', 16],
  ] as const) {
    const count = pipeline === 1 ? requests : requests * 6
    const all = new Map<Target, Measured[]>(targets.map(target => [target, []]))
    for (let round = 0; round < rounds; round++) {
      for (const target of targets) all.get(target)?.push(await measure(target, test, pipeline, 50, count))
    }
    print(`${test.toUpperCase()}, ${pipeline === 1 ? 'no pipelining' : `pipelines of ${pipeline}`}, 50 clients`, all)
  }
}

async function startTargets(): Promise<Target[]> {
  const [master] = nodes as [RedisNode]
  const info = /process_id:(\d+)/.exec(((await master.call('INFO', 'server')) as { value: string }).value)
  const targets: Target[] = [{ name: 'redis-server', port: master.port, pid: Number(info?.[1]) }]
  for (const level of ['causal', 'eventual']) {
    const port = await freePort()
    const file = new URL('./proxy-process.ts', import.meta.url).pathname
    const args = ['--import', 'tsx', file, String(port), ...nodes.map(node => String(node.port))]
    targets.push({ name: `lagrange ${level}`, port, pid: await start(process.execPath, args, { LEVEL: level }) })
  }
  const nutcracker = findProgram('nutcracker') ?? findProgram('/usr/sbin/nutcracker')
  if (nutcracker !== undefined) {
    const port = await freePort()
    const config = `a:\n  listen: 127.0.0.1:${port}\n  redis: true\n  servers:\n   - 127.0.0.1:${master.port}:1\n`
    writeFileSync(join(folder, 'nutcracker.yml'), config)
    const args = [
      '-c',
      join(folder, 'nutcracker.yml'),
      '-s',
      String(await freePort()),
      '-o',
      join(folder, 'nutcracker.log'),
    ]
    targets.push({ name: 'nutcracker', port, pid: await start(nutcracker, args) })
  }
  const haproxy = findProgram('haproxy')
  if (haproxy !== undefined) {
    const port = await freePort()
    const timeouts = 'defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n'
    const config = `global\n nbthread 1\n${timeouts}listen r\n bind 127.0.0.1:${port}\n server s 127.0.0.1:${master.port}\n`
    writeFileSync(join(folder, 'haproxy.cfg'), config)
    targets.push({ name: 'haproxy (tcp)', port, pid: await start(haproxy, ['-f', join(folder, 'haproxy.cfg'), '-db']) })
  }
  await sleep(1500)
  return targets
}

async function start(program: string, args: readonly string[], env: Record<string, string> = {}): Promise<number> {
  const child = spawn(program, args, { stdio: 'ignore', env: { ...process.env, ...env } })
  children.push(child)
  await sleep(100)
  return child.pid as number
}

async function measure(
  target: Target,
  test: string,
  pipeline: number,
  clients: number,
  count: number,
): Promise<Measured> {
  const before = cpuTicks(target.pid)
  const args = ['-p', target.port, '-t', test, '-n', count, '-c', clients, '-P', pipeline, '-r', 100_000, '--csv']
  const { stdout } = await run('redis-benchmark', args.map(String))
  const used = cpuTicks(target.pid) - before
  const fields = (stdout.trim().split('\n').at(-1) as string).split(',').map(field => Number(field.replaceAll('"', '')))
  return { opsPerSecond: fields[1] as number, p50Ms: fields[4] as number, cpuMicros: (used * TICK_MICROS) / count }
}

function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') as string[]
  return Number(fields[11]) + Number(fields[12])
}

function print(title: string, all: ReadonlyMap<Target, readonly Measured[]>): void {
  const rows = [...all].map(([target, measured]) => ({
    name: target.name,
    ops: median(measured.map(one => one.opsPerSecond)),
    p50: median(measured.map(one => one.p50Ms)),
    cpu: median(measured.map(one => one.cpuMicros)),
  }))
  const direct = rows[0]?.ops as number
  const cheapest = rows.find(row => row.name === 'nutcracker')?.cpu ?? Number.NaN
  process.stdout.write(`\n${title}\n${'-'.repeat(title.length)}\n`)
  process.stdout.write(
    `${'through'.padEnd(20)}${'ops/s'.padStart(10)}${'of direct'.padStart(11)}${'p50 ms'.padStart(9)}${'CPU µs'.padStart(9)}${'of nutcracker'.padStart(15)}\n`,
  )
  for (const { name, ops, p50, cpu } of rows) {
    process.stdout.write(
      `${name.padEnd(20)}${ops.toFixed(0).padStart(10)}${(ops / direct).toFixed(2).padStart(11)}${p50.toFixed(3).padStart(9)}` +
        `${cpu.toFixed(2).padStart(9)}${(cpu / cheapest).toFixed(2).padStart(15)}\n`,
    )
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other)
  return sorted[Math.floor(sorted.length / 2)] as number
}
