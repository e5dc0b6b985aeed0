/**
 * What bench:switch runs against: a whole group, of our nodes (`lagrange up`) or of redis-server (`lagrange proxy` with
 * failover on in front of three of them).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Client } from '../../src/net/client.js'
import { textOf } from '../../src/resp/protocol.js'
import { freePort } from '../support/ports.js'

/** Below what the system hands out. */
const FIRST_NODE_PORT = 26_000

const program = process.env.LAGRANGE_PROGRAM ?? fileURLToPath(new URL('../../dist/main.js', import.meta.url))

export class World {
  readonly folder = mkdtempSync(join(tmpdir(), 'lagrange-bench-'))
  #children: ChildProcess[] = []
  readonly #servers = new Map<number, ChildProcess>()

  private constructor(
    readonly servers: 'ours' | 'redis',
    readonly port: number,
    readonly adminPort: number,
    readonly nodePorts: readonly number[],
    /** What writes wait for. */
    private readonly acks: string,
  ) {}

  static async start(servers: 'ours' | 'redis', acks = '0'): Promise<World> {
    const [port, adminPort] = [await freePort(), await freePort()]
    // Three in a row; those that the system hands out lie closer together.
    const first = FIRST_NODE_PORT + 3 * Math.floor(Math.random() * 300)
    const world = new World(servers, port, adminPort, [first, first + 1, first + 2], acks)
    await (servers === 'ours' ? world.#startUp() : world.#startProxy())
    await world.untilReady()
    return world
  }

  async #startUp(): Promise<void> {
    this.#lagrange('up', '--port', this.port, '--admin-port', this.adminPort, '--node-port', this.nodePorts[0] ?? 0)
  }

  async #startProxy(): Promise<void> {
    const [master] = this.nodePorts
    for (const port of this.nodePorts) this.#redis(port, port === master ? undefined : master)
    await sleep(1500)
    const upstream = this.nodePorts.map(port => `127.0.0.1:${port}`).join(',')
    const listen = ['--listen', `127.0.0.1:${this.port}`, '--admin', `127.0.0.1:${this.adminPort}`]
    this.#lagrange('proxy', ...listen, '--upstream', upstream, '--failover', 'on')
  }

  #lagrange(...args: readonly (string | number)[]): void {
    const log = process.env.BENCH_LOG === undefined ? 'ignore' : openSync(process.env.BENCH_LOG, 'a')
    const all = [program, ...args.map(String), '--data-dir', this.folder, '--acks', this.acks]
    this.#children.push(spawn(process.execPath, all, { stdio: ['ignore', log, 'inherit'] }))
  }

  #redis(port: number, master: number | undefined): void {
    const dir = join(this.folder, String(port))
    mkdirSync(dir, { recursive: true })
    const args = ['--port', port, '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'yes']
    args.push('--repl-diskless-sync-delay', 0, '--repl-ping-replica-period', 1, '--repl-backlog-size', '16mb')
    if (master !== undefined) args.push('--replicaof', '127.0.0.1', master)
    const child = spawn('redis-server', args.map(String), { stdio: 'ignore' })
    this.#servers.set(port, child)
  }

  /** `up` starts its nodes again itself. A redis-server comes back as what its files say: a master. */
  revive(port: number): void {
    if (this.servers === 'redis') this.#redis(port, undefined)
  }

  async topology(): Promise<{ readonly master: string | null; readonly diagnosis: string }> {
    const reply = await fetch(`http://127.0.0.1:${this.adminPort}/api/v1/topology`)
    const { groups } = (await reply.json()) as { groups: [{ master: string | null; diagnosis: string }] }
    return groups[0]
  }

  async masterPort(): Promise<number> {
    return Number((await this.topology()).master?.split(':')[1])
  }

  async pidOf(port: number): Promise<number> {
    const client = this.connect(port)
    const info = textOf(await client.call('INFO', 'server')) ?? ''
    client.close()
    return Number(/^process_id:(\d+)/m.exec(info)?.[1])
  }

  post(path: string, body: object): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.adminPort}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  }

  connect(to = this.port): Client {
    return new Client({ host: '127.0.0.1', port: to }, { connectTimeoutMs: 2000, replyTimeoutMs: 20_000 })
  }

  /** Clients can be served, and nothing is wrong. */
  async untilReady(): Promise<void> {
    const deadline = Date.now() + 90_000
    while (Date.now() < deadline) {
      const reply = await fetch(`http://127.0.0.1:${this.adminPort}/readyz`).catch(() => undefined)
      if (reply?.status === 200 && (await this.topology()).diagnosis === 'ok') return
      await sleep(20)
    }
    throw new Error(`the group did not become ready: ${JSON.stringify(await this.topology())}`)
  }

  async stop(): Promise<void> {
    for (const child of this.#children) {
      const exited = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGTERM')
      await exited
    }
    for (const child of this.#servers.values()) child.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }
}
