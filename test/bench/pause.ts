/**
 * How long a node stands still while its data is written, rewritten, sent, received, listed or thrown away:
 *
 *     npm run bench:pause -- [keys] [writes per second]        (default 1000000 and 20000)
 *
 * Writes go on at the given rate from this process, first to our node, then to redis-server, which goes through the same. Of
 * our event loop test/support/turn-probe.mjs measures the longest standstill, by the clock and in CPU time of the main thread:
 * on a machine that has other work the first shows that too, the second does not. Of both servers the longest wait of a
 * client that asks for one PING after the other is taken. It exits with 1 when we compute longer than PAUSE_MS_MAX at a stretch,
 * except for what is one command and blocks Redis as well.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Client } from '../../src/net/client.js'
import { textOf } from '../../src/resp/protocol.js'
import { freePort } from '../support/ports.js'
import { until } from '../support/redis-group.js'

const PAUSE_MS_MAX = 10
const program = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const probe = new URL('../support/turn-probe.mjs', import.meta.url).href

/** What a node's probe tells of the time since it was last asked to begin. */
interface Standstill {
  readonly wallP99: number
  readonly wallMax: number
  readonly cpuMax: number
}

interface Server {
  readonly child: ChildProcess
  readonly port: number
  readonly client: Client
}

/** Something that is done to a server while writes go on. */
interface Act {
  readonly name: string
  /** One command, which blocks Redis for as long as it takes. */
  readonly blocks?: boolean
  readonly before?: (server: Server) => Promise<void>
  readonly run: (server: Server, replica: Server) => Promise<void>
}

const keys = Number(process.argv[2] ?? 1_000_000)
const rate = Number(process.argv[3] ?? 20_000)
const dir = mkdtempSync(join(tmpdir(), 'lagrange-pause-'))
let worst = 0

const makeSet = async ({ client }: Server): Promise<void> => {
  for (let at = 0; at < keys; at += 1000)
    await client.call('SADD', 'set', ...Array.from({ length: 1000 }, (_, index) => `member:${at + index}`))
}

const acts: readonly Act[] = [
  { name: 'writes alone', run: () => sleep(3000) },
  {
    name: 'BGSAVE',
    run: async ({ client }) => {
      await client.call('BGSAVE')
      await untilInfo(client, /rdb_bgsave_in_progress:0/)
    },
  },
  {
    name: 'SAVE',
    run: async ({ client }) => void (await client.call('SAVE')),
  },
  {
    name: 'CONFIG SET appendonly yes',
    run: async ({ client }) => {
      await client.call('CONFIG', 'SET', 'appendonly', 'yes')
      await untilInfo(client, /aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0/)
    },
  },
  {
    name: 'BGREWRITEAOF',
    run: async ({ client }) => {
      await client.call('BGREWRITEAOF')
      await untilInfo(client, /aof_rewrite_in_progress:0/)
    },
  },
  {
    name: 'full resync',
    run: async ({ port }, replica) => {
      await replica.client.call('REPLICAOF', '127.0.0.1', String(port))
      await untilInfo(replica.client, /master_link_status:up/)
      await replica.client.call('REPLICAOF', 'NO', 'ONE')
    },
  },
  { name: 'KEYS nothing*', blocks: true, run: async ({ client }) => void (await client.call('KEYS', 'nothing*')) },
  {
    name: 'UNLINK a set of as many',
    before: makeSet,
    run: async ({ client }) => void (await client.call('UNLINK', 'set')),
  },
  { name: 'DEL a set of as many', before: makeSet, run: async ({ client }) => void (await client.call('DEL', 'set')) },
  { name: 'FLUSHALL ASYNC', run: async ({ client }) => void (await client.call('FLUSHALL', 'ASYNC')) },
]

const columns = ['seconds', 'CPU max', 'wall p99', 'wall max', 'PING max', 'writes/s']
process.stdout.write(`${keys} keys of 64 B, ${rate} writes/s; times in ms\n`)
row('', ...columns)
try {
  await bench('ours', startNode)
  await bench('redis', startRedis)
} finally {
  rmSync(dir, { recursive: true, force: true })
}
if (worst > PAUSE_MS_MAX) process.exitCode = 1

async function bench(whose: string, start: (...directives: string[]) => Promise<Server>): Promise<void> {
  const master = await start('--repl-diskless-sync-delay', '0', '--repl-backlog-size', '64mb')
  const replica = await start()
  await master.client.call('DEBUG', 'POPULATE', String(keys), 'key', '64')
  const load = startLoad(master.port)
  try {
    for (const act of acts) await measure(whose, act, master, replica, load)
  } finally {
    load.stop()
    for (const { client, child } of [master, replica]) {
      client.close()
      child.kill('SIGKILL')
    }
  }
}

async function measure(whose: string, act: Act, master: Server, replica: Server, load: Load): Promise<void> {
  await act.before?.(master)
  const probed = whose === 'ours'
  if (probed) for (const { child } of [master, replica]) child.send('begin')
  const waits = startPings(master.port)
  const startedAt = performance.now()
  const before = load.written()
  await act.run(master, replica)
  const seconds = (performance.now() - startedAt) / 1000
  const writes = (load.written() - before) / seconds
  // What a command leaves behind may be cleared away after it.
  if (seconds < 1) await sleep(1000)
  const longestMs = waits.stop().toFixed(1)
  const name = `${whose}: ${act.name}`
  if (!probed) return row(name, seconds.toFixed(2), '', '', '', longestMs, writes.toFixed(0))
  const of = await standstill(master)
  show(name, seconds, of, longestMs, writes.toFixed(0), act)
  if (act.name === 'full resync') show('ours: … the replica', seconds, await standstill(replica), '', '', act)
}

function show(name: string, seconds: number, of: Standstill, ping: string, writes: string, act: Act): void {
  if (act.blocks !== true) worst = Math.max(worst, of.cpuMax)
  row(name, seconds.toFixed(2), of.cpuMax.toFixed(1), of.wallP99.toFixed(1), of.wallMax.toFixed(1), ping, writes)
}

async function standstill({ child }: Server): Promise<Standstill> {
  child.send('tell')
  const [answer] = (await once(child, 'message')) as [Standstill]
  return answer
}

// ── Servers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function startNode(...directives: string[]): Promise<Server> {
  return start(directives, args => fork(program, ['node', ...args], { execArgv: ['--import', probe], silent: true }))
}

function startRedis(...directives: string[]): Promise<Server> {
  return start(directives, args => spawn('redis-server', args, { stdio: 'ignore' }))
}

async function start(directives: readonly string[], run: (args: string[]) => ChildProcess): Promise<Server> {
  const port = await freePort()
  const folder = mkdtempSync(join(dir, 'server-'))
  const common = ['--port', String(port), '--dir', folder, '--save', '', '--bind', '127.0.0.1']
  const child = run([...common, '--enable-debug-command', 'yes', '--loglevel', 'warning', ...directives])
  const connect = (): Client =>
    new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 2000, replyTimeoutMs: 300_000 })
  await until('the server answers', async () => {
    const client = connect()
    try {
      await client.call('PING')
      return true
    } catch {
      return false
    } finally {
      client.close()
    }
  })
  return { child, port, client: connect() }
}

async function untilInfo(client: Client, pattern: RegExp): Promise<void> {
  while (!pattern.test(textOf(await client.call('INFO')) ?? '')) await sleep(20)
}

// ── Clients ─────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Load {
  written(): number
  stop(): void
}

/** SETs of random keys at an even rate, a bunch every few milliseconds. */
function startLoad(port: number): Load {
  const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 2000, replyTimeoutMs: 300_000 })
  const value = 'v'.repeat(64)
  let written = 0
  let sent = 0
  const startedAt = performance.now()
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startedAt) / 1000) * rate)
    // What the server cannot take is not piled up before it.
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

/** One PING after the other; `stop` answers how long the longest waited. */
function startPings(port: number): { stop(): number } {
  const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 2000, replyTimeoutMs: 300_000 })
  let stopped = false
  let longest = 0
  let askedAt = performance.now()
  const ask = (): void => {
    if (stopped) return client.close()
    askedAt = performance.now()
    client.send(['PING']).then(
      () => {
        longest = Math.max(longest, performance.now() - askedAt)
        setTimeout(ask, 1)
      },
      () => undefined,
    )
  }
  ask()
  return {
    stop() {
      stopped = true
      return longest
    },
  }
}

function row(...columns: readonly string[]): void {
  const [name = '', ...numbers] = columns
  process.stdout.write(`${name.padEnd(34)}${numbers.map(number => number.padStart(10)).join('')}\n`)
}
