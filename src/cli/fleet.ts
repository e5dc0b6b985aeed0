/**
 * The node processes of `lagrange up`: one process each, so that one can die without the others.
 *
 *     stopped ──start──▶ running ──exit──▶ waiting ──▶ running, as a replica of the master of the moment
 *
 * At the start the node that holds most is the master (holdings.ts): usually the last one.
 *
 * A node that was the master is started again only when the view has another master: it would come back as a second
 * one. If nobody took over in `MASTERLESS_MS`, there was nobody to take over, and it is started as what it was.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync } from 'node:fs'
import { type Address, formatAddress } from '../base/address.js'
import type { EventSink } from '../base/bus.js'
import { type Clock, every } from '../base/clock.js'
import type { Millis } from '../base/units.js'
import { Client } from '../net/client.js'
import { textOf } from '../resp/protocol.js'
import { type DataDir, isAlive } from './data-dir.js'
import { chooseMaster, type Holding, holdingOf, readHolding } from './holdings.js'

export interface FleetOptions {
  readonly host: string
  readonly ports: readonly number[]
  /** This executable; a node is `<program> node …`. */
  readonly program: string
  /** Directives every node gets, as for its command line. */
  readonly directives: readonly string[]
}

interface NodeProcess {
  readonly port: number
  child: ChildProcess | undefined
  pid: number | undefined
  exited: Promise<void>
  restarts: number
  startedAt: Millis
}

const MASTERLESS_MS: Millis = 15_000
const READY_MS: Millis = 20_000
/** Nodes sync their files on SIGTERM; a slow disk takes its time. */
const STOP_MS: Millis = 60_000
const SETTLED_MS: Millis = 10_000

export class Fleet {
  readonly #nodes: NodeProcess[]
  #masterPort: number
  #stopping = false

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    private readonly dataDir: DataDir,
    private readonly options: FleetOptions,
  ) {
    const [first] = options.ports
    const state = dataDir.read()
    this.#masterPort =
      state !== undefined && options.ports.includes(state.masterPort) ? state.masterPort : (first as number)
    this.#nodes = options.ports.map(port => ({
      port,
      child: undefined,
      pid: undefined,
      exited: Promise.resolve(),
      restarts: 0,
      startedAt: 0,
    }))
  }

  get addresses(): readonly Address[] {
    return this.#nodes.map(node => ({ host: this.options.host, port: node.port }))
  }

  /** The process of the node at `port`: for people and for tests that end one. */
  pidOf(port: number): number | undefined {
    return this.#nodes.find(node => node.port === port)?.pid
  }

  /** Starts every node, the master first; resolves when all answer. Throws with one clear line when one cannot start. */
  async start(): Promise<void> {
    const state = this.dataDir.read()
    for (const node of this.#nodes) await this.#adopt(node, state?.pids[node.port])
    await this.#chooseMaster()
    const master = this.#nodes.find(node => node.port === this.#masterPort) as NodeProcess
    if (master.pid === undefined) this.#spawn(master, undefined)
    await this.#untilReady(master)
    const others = this.#nodes.filter(node => node !== master)
    for (const node of others) if (node.pid === undefined) this.#spawn(node, this.#masterPort)
    await Promise.all(others.map(node => this.#untilReady(node)))
    this.#remember()
  }

  /** The view has this master now: remembered for the next start. */
  setMaster(port: number): void {
    if (port === this.#masterPort || !this.options.ports.includes(port)) return
    this.#masterPort = port
    this.#remember()
  }

  /** Ends all nodes, the master first, so that the replicas receive everything before they end. */
  async stop(): Promise<void> {
    this.#stopping = true
    const master = this.#nodes.filter(node => node.port === this.#masterPort)
    const others = this.#nodes.filter(node => node.port !== this.#masterPort)
    for (const group of [master, others]) await Promise.all(group.map(node => this.#end(node)))
    this.#remember()
  }

  /** Before anything is started: a master that came back with less would take the rest from the others. */
  async #chooseMaster(): Promise<void> {
    const holdings = await Promise.all(this.#nodes.map(node => this.#holding(node)))
    const chosen = chooseMaster(
      holdings.filter(holding => holding !== undefined),
      this.#masterPort,
    )
    if (chosen === undefined || chosen.port === this.#masterPort) return
    const before = this.#masterPort
    this.#masterPort = chosen.port
    this.#remember()
    const name = (port: number): string => formatAddress({ host: this.options.host, port })
    this.events.event('warn', '+master-chosen', {
      node: name(chosen.port),
      before: name(before),
      because: chosen.alive ? 'alive' : 'holds-more',
    })
    // The others that live on are pointed at it by the agent, as after any change of master.
    if (chosen.alive && !chosen.isMaster) await this.#ask(chosen.port, 'REPLICAOF', 'NO', 'ONE')
  }

  async #holding(node: NodeProcess): Promise<Holding | undefined> {
    if (node.pid === undefined) return readHolding(this.dataDir.nodeFolder(node.port), node.port)
    const info = await this.#ask(node.port, 'INFO')
    return info === undefined ? undefined : holdingOf(info, node.port, this.clock.wall())
  }

  /** `masterPort` undefined: as a master; `fenced`: one that must be told so before it takes a write. */
  #spawn(node: NodeProcess, masterPort: number | undefined, fenced = false): void {
    const { host, program, directives } = this.options
    const args = [
      program,
      'node',
      '--port',
      String(node.port),
      '--bind',
      host,
      '--dir',
      this.dataDir.nodeFolder(node.port),
      ...directives,
    ]
    if (fenced) args.push('--start-fenced', 'yes')
    if (masterPort !== undefined) args.push('--replicaof', `${host} ${masterPort}`)
    // A group of its own: a Ctrl-C in the terminal is for `up`, which stops the nodes in the right order. What it prints
    // goes to a file and not to us, so that it outlives us.
    const log = this.dataDir.openNodeLog(node.port)
    const child = spawn(process.execPath, args, { detached: true, stdio: ['ignore', log, log] })
    closeSync(log)
    node.child = child
    node.pid = child.pid
    node.startedAt = this.clock.now()
    node.exited = new Promise(resolve => {
      child.once('error', () => resolve())
      child.once('exit', (code, signal) => {
        if (node.child === child) this.#exited(node, signal ?? `code ${code}`)
        resolve()
      })
    })
    this.events.event('info', '+node', { node: this.#name(node), pid: child.pid, replicaof: masterPort ?? null })
  }

  #exited(node: NodeProcess, reason: string): void {
    node.child = undefined
    node.pid = undefined
    const level = this.#stopping ? 'info' : 'error'
    this.events.event(level, '-node', { node: this.#name(node), reason, lastLine: this.dataDir.lastLogLine(node.port) })
    if (!this.#stopping) this.#restart(node)
  }

  #restart(node: NodeProcess): void {
    const diedAt = this.clock.now()
    const diedAsMaster = this.#masterPort === node.port
    const young = diedAt - node.startedAt < SETTLED_MS
    node.restarts = young ? node.restarts + 1 : 0
    const notBefore = diedAt + (young ? Math.min(100 * 2 ** node.restarts, 5_000) : 0)
    const attempt = (): void => {
      if (this.#stopping || node.pid !== undefined) return
      const now = this.clock.now()
      const wasMaster = this.#masterPort === node.port
      if (now < notBefore || (wasMaster && now - diedAt < MASTERLESS_MS)) {
        this.clock.after(20, attempt)
        return
      }
      // What it alone has is rescued before it is demoted, by whoever demotes it.
      const fenced = diedAsMaster && !wasMaster
      this.#spawn(node, wasMaster || fenced ? undefined : this.#masterPort, fenced)
      this.#remember()
    }
    attempt()
  }

  /** Takes over a node that outlived an earlier `up`, if the process that answers at its port is the one we remember. */
  async #adopt(node: NodeProcess, pid: number | undefined): Promise<void> {
    if (pid === undefined || !isAlive(pid)) return
    if ((await this.#answering(node.port)) !== pid) return
    node.pid = pid
    node.startedAt = this.clock.now()
    this.events.event('info', '+node-adopted', { node: this.#name(node), pid })
    node.exited = new Promise(resolve => {
      const stop = every(this.clock, 50, () => {
        if (isAlive(pid)) return
        stop()
        if (node.pid === pid) this.#exited(node, 'gone')
        resolve()
      })
    })
  }

  /** Waits until this very process answers: a stranger at its port is none of ours. Throws when it ends or says nothing for too long. */
  async #untilReady(node: NodeProcess): Promise<void> {
    const deadline = this.clock.now() + READY_MS
    let failure: string | undefined
    const unlisten = node.child === undefined ? undefined : this.#firstFailure(node, text => (failure = text))
    while (this.clock.now() < deadline) {
      if (failure !== undefined) throw new Error(failure)
      if (node.pid !== undefined && (await this.#answering(node.port)) === node.pid) {
        unlisten?.()
        return
      }
      await new Promise<void>(resolve => this.clock.after(25, resolve))
    }
    throw new Error(`node ${this.#name(node)} did not answer within ${READY_MS / 1000} s`)
  }

  /** A node that ends while it starts is a failure to start, not a reason to restart it. */
  #firstFailure(node: NodeProcess, fail: (text: string) => void): () => void {
    const { child } = node
    const onExit = (): void => fail(`node ${this.#name(node)} could not start: ${this.dataDir.lastLogLine(node.port)}`)
    child?.once('exit', onExit)
    return () => child?.removeListener('exit', onExit)
  }

  #name(node: NodeProcess): string {
    return formatAddress({ host: this.options.host, port: node.port })
  }

  /** The id of the process that answers at `port`. */
  async #answering(port: number): Promise<number | undefined> {
    const info = await this.#ask(port, 'INFO', 'server')
    return info === undefined ? undefined : Number(/^process_id:(\d+)/m.exec(info)?.[1])
  }

  /** undefined: no answer, or an error. */
  async #ask(port: number, ...command: readonly string[]): Promise<string | undefined> {
    const client = new Client({ host: this.options.host, port }, { connectTimeoutMs: 1000, replyTimeoutMs: 1000 })
    try {
      return textOf(await client.call(...command))
    } catch {
      return undefined
    } finally {
      client.close()
    }
  }

  async #end(node: NodeProcess): Promise<void> {
    if (node.pid === undefined) return
    process.kill(node.pid, 'SIGTERM')
    const { pid } = node
    const cancel = this.clock.after(STOP_MS, () => {
      this.events.event('error', '-node', { node: this.#name(node), reason: 'did not stop in time' })
      if (isAlive(pid)) process.kill(pid, 'SIGKILL')
    })
    await node.exited
    cancel()
  }

  #remember(): void {
    const pids: Record<string, number> = {}
    for (const node of this.#nodes) if (node.pid !== undefined) pids[node.port] = node.pid
    this.dataDir.write({ masterPort: this.#masterPort, pids })
  }
}
