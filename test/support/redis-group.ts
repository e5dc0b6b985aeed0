/**
 * A real master with real replicas on free ports of 127.0.0.1, and clients that write to whatever the view says.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Address } from '../../src/base/address.js'
import { Client, ConnectionError } from '../../src/net/client.js'
import { type Frame, itemsOf, textOf } from '../../src/resp/protocol.js'
import type { WriteGate } from '../../src/sentinel/agent.js'
import { type InfoReply, parseInfo } from '../../src/topology/facts.js'
import type { HoldReport, HoldRequest, ReleaseReport } from '../../src/topology/planes.js'
import type { TopologyView } from '../../src/topology/view.js'
import { freePort } from './ports.js'

export class RedisNode {
  #child: ChildProcess | undefined
  #dir = mkdtempSync(join(tmpdir(), 'lagrange-group-'))
  readonly address: Address
  readonly id: string

  constructor(
    private readonly program: string,
    readonly port: number,
    /** What stands before the directives. */
    private readonly first: readonly string[] = [],
  ) {
    this.address = { host: '127.0.0.1', port }
    this.id = `127.0.0.1:${port}`
  }

  async start(...directives: string[]): Promise<void> {
    const args = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
    const child = spawn(
      this.program,
      [...this.first, ...args, '--dir', this.#dir, '--repl-diskless-sync-delay', '0', ...directives],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    this.#child = child
    await new Promise<void>((ready, refuse) => {
      child.once('error', refuse)
      child.once('exit', code => refuse(new Error(`${this.id} ended with ${code}`)))
      child.stdout?.on('data', chunk => String(chunk).includes('eady to accept') && ready())
    })
  }

  signal(name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(name)
  }

  /** Ends the process at once; it may be started again in the same folder. */
  async end(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  /** Whether there is such a file in its folder. */
  holds(file: string): boolean {
    return existsSync(join(this.#dir, file))
  }

  async stop(): Promise<void> {
    await this.end()
    rmSync(this.#dir, { recursive: true, force: true })
  }

  async call(...args: string[]): Promise<Frame> {
    const client = new Client(this.address, { connectTimeoutMs: 2000, replyTimeoutMs: 5000 })
    try {
      return await client.call(...args)
    } finally {
      client.close()
    }
  }

  async info(): Promise<InfoReply> {
    return parseInfo(textOf(await this.call('INFO')) ?? '') as InfoReply
  }
}

/** One master, `replicas` replicas, all linked. */
export async function startGroup(program: string, replicas: number, ...directives: string[]): Promise<RedisNode[]> {
  const nodes: RedisNode[] = []
  for (let index = 0; index <= replicas; index++) nodes.push(new RedisNode(program, await freePort()))
  const [master, ...others] = nodes as [RedisNode, ...RedisNode[]]
  await master.start(...directives)
  for (const node of others) await node.start('--replicaof', '127.0.0.1', String(master.port), ...directives)
  await until('the replicas are linked', async () => {
    const infos = await Promise.all(others.map(node => node.info()))
    return infos.every(info => info.master?.up === true)
  })
  // A master streams to a fresh replica only after its first ACK, up to a second later.
  await master.call('SET', 'streaming', 'yes')
  await until('the stream flows', async () => {
    const values = await Promise.all(others.map(node => node.call('GET', 'streaming')))
    return values.every(value => textOf(value) === 'yes')
  })
  return nodes
}

export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  withinMs = 15_000,
): Promise<void> {
  const deadline = Date.now() + withinMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`)
    await sleep(2)
  }
}

/** The data plane in thirty lines: writers that hold, and say when nothing of theirs is in flight. */
export class Writers implements WriteGate {
  readonly acked: number[][]
  errors: string[] = []
  readonly unknown: number[][]
  /** The longest time between two acknowledgements of one writer. */
  gapMs = 0
  #held = false
  #heldAt = 0
  #waiting = 0
  #inFlight = 0
  #stop = false
  #done: Promise<unknown> = Promise.resolve()
  #view: TopologyView | undefined

  constructor(
    private readonly count: number,
    private readonly gapFrom: () => number = () => 0,
  ) {
    this.acked = Array.from({ length: count }, () => [])
    this.unknown = Array.from({ length: count }, () => [])
  }

  setView(view: TopologyView): void {
    this.#view = view
  }

  start(): void {
    this.#done = Promise.all(Array.from({ length: this.count }, (_, index) => this.#write(index)))
  }

  async stop(): Promise<void> {
    this.#stop = true
    await this.#done
  }

  async hold(request: HoldRequest): Promise<HoldReport> {
    this.#held = true
    this.#heldAt = performance.now()
    const deadline = performance.now() + request.timeoutMs
    while (this.#inFlight > 0 && performance.now() < deadline) await sleep(0)
    return { drained: this.#inFlight === 0, inFlight: this.#inFlight }
  }

  async release(): Promise<ReleaseReport> {
    this.#held = false
    return { heldCommands: this.#waiting, stallMs: performance.now() - this.#heldAt }
  }

  async #write(index: number): Promise<void> {
    let client: Client | undefined
    let clientEpoch = -1
    let lastAt = performance.now()
    for (let value = 0; !this.#stop; value++) {
      this.#waiting++
      while ((this.#held || this.#view?.groups[0]?.master === undefined) && !this.#stop) await sleep(0)
      this.#waiting--
      const group = this.#view?.groups[0]
      if (group?.master === undefined) break
      if (client === undefined || client.closed || clientEpoch !== group.masterEpoch) {
        client?.close()
        client = new Client(group.master, { connectTimeoutMs: 500, replyTimeoutMs: 5000 })
        clientEpoch = group.masterEpoch
      }
      const reply = this.#send(client, index, value)
      // A connection to a master that was replaced is closed, as the data plane does: the write is in doubt.
      const settled = await Promise.race([reply, this.#replaced(clientEpoch)])
      if (settled === 'replaced') {
        this.unknown[index]?.push(value)
        client.close()
        continue
      }
      if (settled === 'again') value--
      if (settled === 'acked') {
        const now = performance.now()
        if (lastAt > this.gapFrom()) this.gapMs = Math.max(this.gapMs, now - lastAt)
        lastAt = now
      }
    }
    client?.close()
  }

  async #replaced(epoch: number): Promise<'replaced'> {
    while (!this.#stop && this.#view?.groups[0]?.masterEpoch === epoch) await sleep(5)
    await sleep(this.#stop ? 1000 : 20)
    return 'replaced'
  }

  async #send(client: Client, index: number, value: number): Promise<'acked' | 'again' | 'unknown'> {
    this.#inFlight++
    try {
      const frame = await client.send(['RPUSH', `list:${index}`, String(value)])
      if (frame.type !== 'error') {
        this.acked[index]?.push(value)
        return 'acked'
      }
      this.errors.push(frame.value)
      return 'again'
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
      this.unknown[index]?.push(value)
      return 'unknown'
    } finally {
      this.#inFlight--
    }
  }

  /** Acknowledged writes that the node does not have exactly once. */
  async lost(node: RedisNode): Promise<{ lost: number; twice: number; acked: number }> {
    const lists = await this.lists(node)
    const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0)
    return {
      lost: sum(this.#missingIn(lists).map(values => values.length)),
      twice: sum(lists.map(list => repeated(list))),
      acked: sum(this.acked.map(values => values.length)),
    }
  }

  /** By writer: acknowledged writes that the node does not have. */
  async missing(node: RedisNode): Promise<number[][]> {
    // What is acknowledged while we ask is not asked for.
    const acked = this.acked.map(values => [...values])
    return this.#missingIn(await this.lists(node), acked)
  }

  #missingIn(lists: readonly number[][], acked: readonly number[][] = this.acked): number[][] {
    return acked.map((values, index) => {
      const had = new Set(lists[index])
      return values.filter(value => !had.has(value))
    })
  }

  /** By writer: what the node has, acknowledged or not. */
  lists(node: RedisNode): Promise<number[][]> {
    return Promise.all(
      this.acked.map(async (_, index) =>
        itemsOf(await node.call('LRANGE', `list:${index}`, '0', '-1')).map(item => Number(textOf(item))),
      ),
    )
  }
}

/** How many values are there more than once. */
function repeated(values: readonly number[]): number {
  const seen = new Set<number>()
  const again = new Set<number>()
  for (const value of values) (seen.has(value) ? again : seen).add(value)
  return again.size
}
