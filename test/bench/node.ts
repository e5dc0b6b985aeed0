/**
 * Our node beside redis-server, in one run:
 *
 *     npm run bench:node -- [requests] [rounds]        (default 100000 and 3)
 *
 * redis-benchmark drives both with each of its tests, one after the other so that noise meets both; throughput and CPU
 * time per command (user and system, of the server alone) are medians of the rounds, ratios are of the same round.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Client } from '../../src/net/client.js'
import { freePort } from '../support/ports.js'
import { until } from '../support/redis-group.js'

const run = promisify(execFile)
const requests = Number(process.argv[2] ?? 100_000)
const rounds = Number(process.argv[3] ?? 3)
const program = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

/** As `-t` calls them, and as redis-benchmark prints them. */
const tests = [
  'set',
  'get',
  'incr',
  'lpush',
  'rpush',
  'lpop',
  'rpop',
  'sadd',
  'hset',
  'spop',
  'zadd',
  'zpopmin',
  'lrange_100',
  'lrange_300',
  'lrange_500',
  'lrange_600',
  'mset',
] as const

interface Server {
  readonly port: number
  readonly child: ChildProcess
}

interface Measured {
  readonly rate: number
  readonly cpuMicros: number
}

const folder = mkdtempSync(join(tmpdir(), 'lagrange-bench-'))
const ours = await start(process.execPath, [program, 'node'])
const theirs = await start('redis-server', [])
try {
  for (const pipeline of [1, 16]) {
    process.stdout.write(
      `\n-P ${pipeline}, -c 50, ${requests * (pipeline > 1 ? 8 : 1)} requests (LRANGE a fifth), medians of ${rounds} rounds\n`,
    )
    process.stdout.write(
      `${'test'.padEnd(12)}${['ours /s', 'redis /s', 'ratio', 'ours µs', 'redis µs', 'CPU ratio'].map(title => title.padStart(11)).join('')}\n`,
    )
    for (const test of tests) await compare(test, pipeline)
  }
} finally {
  for (const server of [ours, theirs]) server.child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}

async function compare(test: (typeof tests)[number], pipeline: number): Promise<void> {
  const heavy = test.startsWith('lrange')
  // A pipelined round of as many requests would be over before either server is warm.
  const count = Math.ceil((heavy ? requests / 5 : requests) * (pipeline > 1 ? 8 : 1))
  const pairs: (readonly [Measured, Measured])[] = []
  for (let round = 0; round < rounds; round++)
    pairs.push([await measure(ours, test, pipeline, count), await measure(theirs, test, pipeline, count)])
  const median = (pick: (pair: readonly [Measured, Measured]) => number): number =>
    pairs.map(pick).sort((a, b) => a - b)[Math.floor(pairs.length / 2)] as number
  const columns = [
    median(([a]) => a.rate).toFixed(0),
    median(([, b]) => b.rate).toFixed(0),
    median(([a, b]) => a.rate / b.rate).toFixed(2),
    median(([a]) => a.cpuMicros).toFixed(2),
    median(([, b]) => b.cpuMicros).toFixed(2),
    median(([a, b]) => a.cpuMicros / b.cpuMicros).toFixed(2),
  ]
  process.stdout.write(`${test.padEnd(12)}${columns.map(column => column.padStart(11)).join('')}\n`)
}

async function measure(server: Server, test: string, pipeline: number, count: number): Promise<Measured> {
  const before = cpuSeconds(server)
  const { stdout } = await run('redis-benchmark', [
    '-p',
    `${server.port}`,
    '-t',
    test,
    '-n',
    `${count}`,
    '-c',
    '50',
    '-P',
    `${pipeline}`,
    '--csv',
  ])
  const cpu = cpuSeconds(server) - before
  // The lists of LRANGE are filled first, in a line of their own; the last line is the test.
  const last = stdout.trim().split('\n').at(-1) ?? ''
  return { rate: Number(last.split(',')[1]?.replaceAll('"', '')), cpuMicros: (cpu * 1e6) / count }
}

/** User and system time of a process, from /proc; ticks are 10 ms. */
function cpuSeconds(server: Server): number {
  const fields = readFileSync(`/proc/${server.child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

async function start(command: string, args: readonly string[]): Promise<Server> {
  const port = await freePort()
  const child = spawn(command, [...args, '--port', `${port}`, '--save', '', '--dir', folder], { stdio: 'ignore' })
  await until(`${command} answers`, async () => {
    const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 1000, replyTimeoutMs: 1000 })
    try {
      await client.call('PING')
      return true
    } catch {
      return false
    } finally {
      client.close()
    }
  })
  return { port, child }
}
