/**
 * How long the event loop of a node stands still while its data is written, rewritten, sent or received:
 *
 *     npm run bench:pause -- [keys] [writes per second]        (default 1000000 and 20000)
 *
 * The nodes run in processes of their own, each with a histogram of its loop's delays; writes go on at the given rate from
 * this process. `writes alone` is the floor: what the machine and the garbage collector do anyway. It exits with 1 when
 * a pause is longer than PAUSE_MS_MAX beyond that floor.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../src/base/clock.js'
import { Client } from '../../src/net/client.js'
import { loadConfig } from '../../src/node/config/load.js'
import { NodeLog } from '../../src/node/log.js'
import { NodeServer } from '../../src/node/server.js'
import { textOf } from '../../src/resp/protocol.js'
import { freePort } from '../support/ports.js'

const PAUSE_MS_MAX = 10

/** What a node measured since it was last asked to begin. */
interface Delays {
  readonly p99: number
  readonly max: number
}

interface BenchNode {
  readonly port: number
  readonly client: Client
  begin(): void
  delays(): Promise<Delays>
  stop(): Promise<void>
}

if (process.env.PAUSE_NODE === undefined) await bench()
else await runNode(process.env.PAUSE_NODE.split(' '))

// ── The node's process ──────────────────────────────────────────────────────────────────────────────────────────────

async function runNode(args: readonly string[]): Promise<void> {
  const server = new NodeServer(
    systemClock,
    new NodeLog(() => undefined, systemClock.wall),
    loadConfig([...args, '--save', ''], process.cwd()),
    process.cwd(),
  )
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  process.on('message', question => {
    if (question === 'begin') {
      histogram.reset()
      histogram.enable()
    } else process.send?.({ p99: histogram.percentile(99) / 1e6, max: histogram.max / 1e6 })
  })
  process.on('disconnect', () => process.exit())
  await server.start()
  process.send?.('ready')
}

async function startBenchNode(dir: string, ...directives: string[]): Promise<BenchNode> {
  const port = await freePort()
  const args = ['--port', port, '--bind', '127.0.0.1', '--enable-debug-command', 'yes', ...directives]
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), {
    cwd: mkdtempSync(join(dir, 'node-')),
    env: { ...process.env, PAUSE_NODE: args.join(' ') },
    execArgv: process.execArgv,
  })
  await once(child, 'message')
  const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 2000, replyTimeoutMs: 300_000 })
  return {
    port,
    client,
    begin: () => void child.send('begin'),
    async delays() {
      child.send('read')
      const [delays] = (await once(child, 'message')) as [Delays]
      return delays
    },
    async stop() {
      client.close()
      const exited = once(child, 'exit')
      child.disconnect()
      await exited
    },
  }
}

// ── The bench ───────────────────────────────────────────────────────────────────────────────────────────────────────

async function bench(): Promise<void> {
  const keys = Number(process.argv[2] ?? 1_000_000)
  const rate = Number(process.argv[3] ?? 20_000)
  const dir = mkdtempSync(join(tmpdir(), 'lagrange-pause-'))
  const master = await startBenchNode(dir, '--repl-diskless-sync-delay', '0', '--repl-backlog-size', '64mb')
  const replica = await startBenchNode(dir)
  await master.client.call('DEBUG', 'POPULATE', String(keys), 'key', '64')
  const load = startLoad(master.port, keys, rate)
  process.stdout.write(`${keys} keys of 64 B, ${rate} writes/s\n`)
  row('', 'seconds', 'p99 ms', 'max ms', 'writes/s')

  const floor = await measure(master, load, 'writes alone', () => sleep(3000))
  const worst = [
    await measure(master, load, 'BGSAVE', async () => {
      await master.client.call('BGSAVE')
      await untilInfo(master.client, /rdb_bgsave_in_progress:0/)
    }),
    await measure(master, load, 'SAVE', async () => void (await master.client.call('SAVE'))),
    await measure(master, load, 'CONFIG SET appendonly yes', async () => {
      await master.client.call('CONFIG', 'SET', 'appendonly', 'yes')
      await untilInfo(master.client, /aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0/)
    }),
    await measure(master, load, 'BGREWRITEAOF', async () => {
      await master.client.call('BGREWRITEAOF')
      await untilInfo(master.client, /aof_rewrite_in_progress:0/)
    }),
  ]
  let receiving: Promise<number> | undefined
  worst.push(
    await measure(master, load, 'full resync: the master', async () => {
      await replica.client.call('REPLICAOF', '127.0.0.1', String(master.port))
      receiving = measure(replica, undefined, 'full resync: the replica', () =>
        untilInfo(replica.client, /master_link_status:up/),
      )
      worst.push(await receiving)
    }),
  )
  load.stop()
  await Promise.all([master.stop(), replica.stop()])
  rmSync(dir, { recursive: true, force: true })
  if (Math.max(...worst) > Math.max(PAUSE_MS_MAX, floor)) process.exitCode = 1
}

interface Load {
  written(): number
  stop(): void
}

/** Answers the longest pause. */
async function measure(
  node: BenchNode,
  load: Load | undefined,
  name: string,
  act: () => Promise<void>,
): Promise<number> {
  node.begin()
  const startedAt = performance.now()
  const before = load?.written() ?? 0
  await act()
  const seconds = (performance.now() - startedAt) / 1000
  const { p99, max } = await node.delays()
  const writes = load === undefined ? '' : ((load.written() - before) / seconds).toFixed(0)
  row(name, seconds.toFixed(2), p99.toFixed(1), max.toFixed(1), writes)
  return max
}

/** SETs of random keys at an even rate, a bunch every few milliseconds. */
function startLoad(port: number, keys: number, rate: number): Load {
  const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 2000, replyTimeoutMs: 300_000 })
  const value = 'v'.repeat(64)
  let written = 0
  let sent = 0
  const startedAt = performance.now()
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startedAt) / 1000) * rate)
    // What the node cannot take is not piled up before it.
    for (; sent < due && sent - written < rate; sent++) {
      const key = `key:${Math.floor(Math.random() * keys)}`
      client.send(['SET', key, value]).then(
        () => written++,
        () => undefined,
      )
    }
  }, 5)
  return {
    written: () => written,
    stop() {
      clearInterval(timer)
      client.close()
    },
  }
}

async function untilInfo(client: Client, pattern: RegExp): Promise<void> {
  while (!pattern.test(textOf(await client.call('INFO')) ?? '')) await sleep(20)
}

function row(...columns: readonly string[]): void {
  const [name = '', ...numbers] = columns
  process.stdout.write(`${name.padEnd(30)}${numbers.map(number => number.padStart(10)).join('')}\n`)
}
