/**
 * Three machines with a server and a sentinel each, two proxies, and clients of every kind; and what can happen to the machine
 * that has the master. The sentinels are ours or redis-sentinel, in any mixture.
 *
 * Servers and sentinels are spoken to through unix sockets, which no partition cuts: what the cut-off master says of itself
 * is seen as well.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Client } from '../../src/net/client.js'
import { type Frame, itemsOf, textOf } from '../../src/resp/protocol.js'
import { type InfoReply, parseInfo } from '../../src/topology/facts.js'
import { Machines } from './machines.js'
import { until } from './redis-group.js'
import type { Gap } from './sentinel-clients.js'
import type { SentinelKind } from './sentinels.js'

const main = process.env.LAGRANGE_PROGRAM ?? fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const clientsFile = fileURLToPath(new URL('./sentinel-clients.ts', import.meta.url))
const pythonFile = fileURLToPath(new URL('./sentinel-client.py', import.meta.url))

/**
 * What happens to the master. `kill`: kill -9, and it comes back when the others have agreed. `stop`: SIGSTOP, then SIGCONT.
 * `partition`: its machine is cut off, sentinel and all. `restart`: a clean shutdown, back after a second and a half. It
 * comes back as its own configuration file says.
 */
export type Fault = 'kill' | 'stop' | 'partition' | 'restart'

export interface WorldOptions {
  /** A program with its first arguments: redis-server, or our node. */
  readonly server: readonly string[]
  readonly sentinel: string
  /** With redis-py, if any. */
  readonly python: string | undefined
  readonly downAfterMs: number
  readonly failoverTimeoutMs: number
}

const LIMIT_MS = Number(process.env.ROUND_LIMIT_MS ?? 90_000)

/** A process on a machine, and the socket through which it is asked. */
export class Program {
  #child: ChildProcess | undefined
  #client: Client | undefined
  #output = ''

  constructor(
    private readonly machines: Machines,
    readonly machine: number,
    private readonly command: readonly string[],
    private readonly socket: string | undefined,
    private readonly options: SpawnOptions = {},
  ) {}

  get output(): string {
    return this.#output
  }

  start(): void {
    const [program = '', ...args] = this.command
    const child = this.machines.spawn(this.machine, program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...this.options,
    })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', chunk => (this.#output += chunk))
  }

  async ready(): Promise<void> {
    const answers = (): Promise<boolean> => this.call('PING').then(Boolean, () => this.#ended())
    await until(`${this.command.join(' ')} answers`, answers, 60_000)
  }

  #ended(): boolean {
    if (this.#child?.exitCode != null) throw new Error(`it ended: ${this.#output}`)
    return false
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name)
  }

  async end(name: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(name)
    await exited
  }

  call(...args: string[]): Promise<Frame> {
    if (this.#client === undefined || this.#client.closed) {
      this.#client = new Client({ host: this.socket ?? '', port: 0 }, { connectTimeoutMs: 2000, replyTimeoutMs: 2000 })
    }
    return this.#client.call(...args)
  }

  async info(): Promise<InfoReply | undefined> {
    // Whoever changes a role ends the connections of clients: then ask again.
    const frame = await this.call('INFO').catch(() => undefined)
    return frame === undefined ? undefined : parseInfo(textOf(frame) ?? '')
  }
}

export interface SentinelView {
  readonly host: string
  readonly configEpoch: number
}

export class Sentinel extends Program {
  constructor(
    readonly kind: SentinelKind,
    ...rest: ConstructorParameters<typeof Program>
  ) {
    super(...rest)
  }

  async fields(): Promise<ReadonlyMap<string, string>> {
    const items = itemsOf(await this.call('SENTINEL', 'MASTER', 'main')).map(item => textOf(item) ?? '')
    const fields = new Map<string, string>()
    for (let at = 0; at + 1 < items.length; at += 2) fields.set(items[at] as string, items[at + 1] as string)
    return fields
  }

  async view(): Promise<SentinelView | undefined> {
    try {
      const [address, fields] = await Promise.all([
        this.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main'),
        this.fields(),
      ])
      return { host: textOf(itemsOf(address)[0] as Frame) ?? '', configEpoch: Number(fields.get('config-epoch')) }
    } catch {
      return undefined
    }
  }
}

export interface Round {
  readonly fault: Fault
  /** Whose sentinel was elected, last. */
  readonly ledBy: SentinelKind | 'nobody'
  /** Until all sentinels that could be reached named another master. */
  readonly agreedMs: number
  /** Until everything was as it should be, the old master a replica of the new one. */
  readonly convergedMs: number
  /** The longest time without an answer, by client. */
  readonly gaps: Readonly<Record<string, number>>
  /** How many configurations it took. */
  readonly epochs: number
}

export class SentinelWorld {
  readonly machines = new Machines(3)
  readonly servers: Program[] = []
  readonly sentinels: Sentinel[] = []
  readonly #proxies: Program[] = []
  /** Who writes, and the proxies, which have something to say as well. */
  readonly #clients: Program[] = []
  readonly #dir = mkdtempSync(join(tmpdir(), 'lagrange-machines-'))
  readonly #gaps: Gap[] = []
  readonly #read: number[] = []

  constructor(
    readonly kinds: readonly SentinelKind[],
    private readonly options: WorldOptions,
  ) {
    for (let machine = 1; machine <= 3; machine++) {
      const dir = join(this.#dir, String(machine))
      mkdirSync(dir)
      this.servers.push(this.#server(machine, dir))
      this.sentinels.push(this.#sentinel(machine, dir, kinds[machine - 1] as SentinelKind))
    }
  }

  #server(machine: number, dir: string): Program {
    const { server } = this.options
    const file = join(dir, 'server.conf')
    const socket = join(dir, 'server.sock')
    const lines = [
      `bind ${Machines.address(machine)}`,
      'port 6379',
      `unixsocket ${socket}`,
      `dir ${dir}`,
      'save ""',
      'protected-mode no',
      'repl-diskless-sync-delay 0',
      'repl-ping-replica-period 1',
      'repl-timeout 5',
    ]
    if (machine > 1) lines.push(`replicaof ${Machines.address(1)} 6379`)
    writeFileSync(file, `${lines.join('\n')}\n`)
    return new Program(this.machines, machine, [...server, file], socket)
  }

  #sentinel(machine: number, dir: string, kind: SentinelKind): Sentinel {
    const { sentinel, downAfterMs, failoverTimeoutMs } = this.options
    const file = join(dir, 'sentinel.conf')
    const socket = join(dir, 'sentinel.sock')
    const lines = [
      `bind ${Machines.address(machine)}`,
      'port 26379',
      `unixsocket ${socket}`,
      `dir ${dir}`,
      `sentinel monitor main ${Machines.address(1)} 6379 2`,
      `sentinel down-after-milliseconds main ${downAfterMs}`,
      `sentinel failover-timeout main ${failoverTimeoutMs}`,
      'sentinel parallel-syncs main 2',
    ]
    writeFileSync(file, `${lines.join('\n')}\n`)
    const command = kind === 'real' ? [sentinel, file] : [process.execPath, main, 'sentinel', file]
    return new Sentinel(kind, this.machines, machine, command, socket)
  }

  async start(): Promise<void> {
    for (const program of [...this.servers, ...this.sentinels]) program.start()
    await Promise.all([...this.servers, ...this.sentinels].map(program => program.ready()))
    await until('the sentinels know each other', () => this.#acquainted(), 60_000)
    this.#startClients()
    await this.#untilSettled()
  }

  async #untilSettled(): Promise<void> {
    let why: string | undefined = 'not looked yet'
    await this.#until(
      'everything is as it should be',
      async () => (why = await this.#settled()) === undefined,
      () => why,
    )
  }

  async #acquainted(): Promise<boolean> {
    const all = await Promise.all(this.sentinels.map(sentinel => sentinel.fields()))
    return all.every(fields => fields.get('num-other-sentinels') === '2' && fields.get('num-slaves') === '2')
  }

  #startClients(): void {
    const sentinels = [1, 2, 3].map(machine => `${Machines.address(machine)}:26379`).join(',')
    const source = ['--topology-source', 'sentinel', '--sentinels', sentinels, '--group', 'main']
    // Proxies of all machines share one file system here: the control socket lies in the folder of the machine.
    const env = { ...process.env, TMPDIR: this.#dir, LAGRANGE_HOLD_TIMEOUT_MS: '8000' }
    for (const at of [0, 1]) {
      const doors = ['--listen', `127.0.0.1:${6400 + at}`, '--admin', `127.0.0.1:${8400 + at}`]
      const command = [process.execPath, main, 'proxy', ...doors, ...source]
      this.#proxies.push(new Program(this.machines, 0, command, undefined, { env, cwd: this.#dir }))
    }
    const writer = (kind: string): Program => {
      const args = ['--import', 'tsx', clientsFile, kind, 'main', sentinels, '127.0.0.1:6400,127.0.0.1:6401']
      return new Program(this.machines, 0, [process.execPath, ...args], undefined)
    }
    this.#clients.push(...this.#proxies, writer('plain'), writer('ioredis'), writer('node-redis'))
    const { python } = this.options
    if (python !== undefined) {
      this.#clients.push(new Program(this.machines, 0, [python, pythonFile, 'main', sentinels], undefined))
    }
    for (const client of this.#clients) client.start()
  }

  get clientNames(): readonly string[] {
    return [
      'plain',
      'proxy1',
      'proxy2',
      'ioredis',
      'node-redis',
      ...(this.options.python === undefined ? [] : ['redis-py']),
    ]
  }

  async stop(): Promise<void> {
    this.#keepLogs(process.env.KEEP_LOGS)
    // Asked to stop, a proxy takes its workers with it.
    await Promise.all(this.#proxies.map(proxy => proxy.end('SIGTERM')))
    await this.machines.stop()
    rmSync(this.#dir, { recursive: true, force: true })
  }

  /** What sentinels and clients wrote in all rounds, for who wants to know where the time went. */
  #keepLogs(folder: string | undefined): void {
    if (folder === undefined) return
    mkdirSync(folder, { recursive: true })
    const quorum = this.kinds.join('-')
    for (const { kind, machine, output } of this.sentinels) {
      writeFileSync(join(folder, `${quorum}.sentinel-${machine}-${kind}.log`), output)
    }
    for (const [at, { output }] of this.#clients.entries()) {
      writeFileSync(join(folder, `${quorum}.client-${at}.log`), output)
    }
  }

  // ── What happens ──────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * One failover and the return of the old master. `lead` real: sentinels of ours stand still while the real ones see it,
   * which are enough then: they stand for election first, and have the votes of ours when those go on.
   */
  async round(fault: Fault, lead: 'anybody' | 'real' = 'anybody'): Promise<Round> {
    const before = await this.#master()
    const old = this.#at(before.host)
    const marks = this.sentinels.map(({ output }) => output.length)
    const ours = lead === 'real' ? this.sentinels.filter(({ kind }) => kind === 'ours') : []
    const real = lead === 'real' ? this.sentinels.filter(({ kind }) => kind === 'real') : []
    for (const sentinel of real) await sentinel.call('SENTINEL', 'SET', 'main', 'quorum', '1')
    for (const sentinel of ours) sentinel.signal('SIGSTOP')

    const from = Date.now()
    await this.#strike(fault, old)
    if (ours.length > 0) {
      await sleep(this.options.downAfterMs + 350)
      for (const sentinel of ours) sentinel.signal('SIGCONT')
    }
    const others = this.sentinels.filter(({ machine }) => fault !== 'partition' || machine !== old.machine)
    await this.#until('the sentinels agree on another master', async () => {
      const views = await Promise.all(others.map(sentinel => sentinel.view()))
      const [first] = views
      return first !== undefined && first.host !== before.host && views.every(view => view?.host === first.host)
    })
    const agreedMs = Date.now() - from
    await this.#mend(fault, old)
    for (const sentinel of real) await sentinel.call('SENTINEL', 'SET', 'main', 'quorum', '2')
    await this.#untilSettled()
    const after = await this.#master()
    const led = this.sentinels.filter(({ output }, at) => output.slice(marks[at]).includes('+elected-leader'))
    this.#readGaps()
    return {
      fault,
      ledBy: led.length === 0 ? 'nobody' : led.length === 1 ? (led[0] as Sentinel).kind : (led.at(-1) as Sentinel).kind,
      agreedMs,
      convergedMs: Date.now() - from,
      gaps: Object.fromEntries(this.clientNames.map(name => [name, this.#gapOf(name, from)])),
      epochs: after.configEpoch - before.configEpoch,
    }
  }

  async #strike(fault: Fault, old: Program): Promise<void> {
    switch (fault) {
      case 'kill':
        return old.signal('SIGKILL')
      case 'stop':
        return old.signal('SIGSTOP')
      case 'partition':
        return this.machines.isolate(old.machine)
      case 'restart':
        return void old.end('SIGTERM').then(async () => {
          await sleep(1500)
          old.start()
        })
    }
  }

  async #mend(fault: Fault, old: Program): Promise<void> {
    if (fault === 'kill') {
      await old.end('SIGKILL')
      old.start()
    } else if (fault === 'stop') old.signal('SIGCONT')
    else if (fault === 'partition') this.machines.heal()
  }

  // ── What is seen ──────────────────────────────────────────────────────────────────────────────────────────────────

  async #master(): Promise<SentinelView> {
    const view = await (this.sentinels[0] as Sentinel).view()
    if (view === undefined) throw new Error('the first sentinel does not answer')
    return view
  }

  #at(host: string): Program {
    const server = this.servers.find(({ machine }) => Machines.address(machine) === host)
    if (server === undefined) throw new Error(`no server at ${host}`)
    return server
  }

  /** One master, one epoch, two replicas that follow it, and everybody writes there; or what is not so. */
  async #settled(): Promise<string | undefined> {
    const views = await Promise.all(this.sentinels.map(sentinel => sentinel.view()))
    const [first] = views
    if (first === undefined) return 'a sentinel does not answer'
    if (views.some(view => view?.host !== first.host)) return `masters ${views.map(view => view?.host)}`
    if (views.some(view => view?.configEpoch !== first.configEpoch)) return `epochs ${views.map(v => v?.configEpoch)}`
    const master = this.#at(first.host)
    for (const server of this.servers) {
      const info = await server.info()
      if (info === undefined) return `server ${server.machine} does not answer`
      if (server === master) {
        if (info.role !== 'master') return `${first.host} is ${info.role}`
      } else if (info.role !== 'replica') return `server ${server.machine} is ${info.role}`
      else if (info.master?.address.host !== first.host)
        return `server ${server.machine} follows ${info.master?.address.host}`
      else if (info.master.up !== true) return `the link of server ${server.machine} is down`
    }
    const one = await this.#counters(master)
    await sleep(300)
    const other = await this.#counters(master)
    const stuck = this.clientNames.filter((_, at) => !((other[at] as number) > (one[at] as number)))
    return stuck.length === 0 ? undefined : `${stuck} do not write to ${first.host}`
  }

  async #counters(master: Program): Promise<number[]> {
    const keys = this.clientNames.map(name => `c:${name}`)
    const frame = await master.call('MGET', ...keys).catch(() => undefined)
    return keys.map((_, at) => Number((frame && textOf(itemsOf(frame)[at] as Frame)) ?? Number.NaN))
  }

  #readGaps(): void {
    for (const [index, client] of this.#clients.entries()) {
      const { output } = client
      const end = output.lastIndexOf('\n') + 1
      for (const line of output.slice(this.#read[index] ?? 0, end).split('\n')) {
        if (line.startsWith('{"client"')) this.#gaps.push(JSON.parse(line) as Gap)
      }
      this.#read[index] = end
    }
  }

  #gapOf(client: string, from: number): number {
    const since = this.#gaps.filter(gap => gap.client === client && gap.from + gap.gapMs >= from)
    return Math.round(Math.max(0, ...since.map(({ gapMs }) => gapMs)))
  }

  async #until(what: string, condition: () => Promise<boolean>, detail: () => unknown = () => ''): Promise<void> {
    try {
      await until(what, condition, LIMIT_MS)
    } catch (error) {
      const logs = this.sentinels.map(({ kind, output }) => `── ${kind}\n${output.slice(-3000)}`)
      const said = this.#clients.map(({ output }) => output.slice(-2000))
      throw new Error([(error as Error).message, detail(), ...logs, '── clients', ...said].join('\n'))
    }
  }
}

/** A python that has redis-py. */
export async function pythonWithRedis(): Promise<string | undefined> {
  for (const python of ['/usr/bin/python3', 'python3']) {
    const child = spawn(python, ['-c', 'import redis.sentinel'], { stdio: 'ignore' })
    const code = await new Promise(resolve => {
      child.once('exit', resolve)
      child.once('error', () => resolve(1))
    })
    if (code === 0) return python
  }
  return undefined
}
