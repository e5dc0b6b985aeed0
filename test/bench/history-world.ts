/**
 * What bench:history runs against, and what happens to it.
 *
 *     lagrange proxy ──▶ master ──delay link──▶ replicas, which are slowed, cut off, stopped and started anew
 *
 * With SWITCHES=1 the master is switched and killed as well; the replicas are put behind their links again afterwards.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type DelayLink, startDelayLink } from '../support/delay.js'
import { freePort } from '../support/ports.js'
import { type ProxyProcess, startProxyProcess } from '../support/proxy-process.js'
import { RedisNode, until } from '../support/redis-group.js'

const DELAYS_MS = [0, 1, 20, 200] as const

class OurNode extends RedisNode {
  constructor(build: string, port: number) {
    super(process.execPath, port, [`${build}/main.js`, 'node'])
  }
}

interface Member {
  readonly node: RedisNode
  /** What it is linked to its master by. */
  readonly link: DelayLink
}

export interface WorldOptions {
  readonly build: string
  readonly ours: boolean
  readonly taps: string
  readonly workers: number
  readonly switches: boolean
}

export class World {
  readonly faults = new Map<string, number>()
  /** When masters died. */
  readonly deaths: number[] = []

  private constructor(
    private readonly options: WorldOptions,
    private readonly chance: () => number,
    private readonly members: readonly Member[],
    private master: Member,
    readonly proxy: ProxyProcess,
    private readonly folder: string,
  ) {}

  static async start(options: WorldOptions, chance: () => number): Promise<World> {
    const { build, ours } = options
    const make = (port: number): RedisNode => (ours ? new OurNode(build, port) : new RedisNode('redis-server', port))
    const node = make(await freePort())
    await node.start(...DIRECTIVES)
    const master = { node, link: await startDelayLink(node.address, 1) }
    const members: Member[] = [master]
    for (const delayMs of DELAYS_MS) {
      const link = await startDelayLink(node.address, delayMs)
      const replica = make(await freePort())
      await replica.start(...DIRECTIVES, '--replicaof', '127.0.0.1', String(link.port))
      members.push({ node: replica, link })
    }
    const folder = mkdtempSync(join(tmpdir(), 'lagrange-history-'))
    const more = ['--taps', options.taps, '--workers', String(options.workers), '--data-dir', folder]
    if (options.switches) more.push('--failover', 'on', '--down-after-ms', '5000')
    const ids = members.map(one => one.node.id)
    const proxy = await startProxyProcess(build, ids, ...more)
    return new World(options, chance, members, master, proxy, folder)
  }

  async stop(): Promise<void> {
    await this.proxy.stop()
    await Promise.all(this.members.map(({ node }) => node.stop()))
    await Promise.all(this.members.map(({ link }) => link.close()))
    rmSync(this.folder, { recursive: true, force: true })
  }

  get replicas(): readonly Member[] {
    return this.members.filter(one => one !== this.master)
  }

  /** Something happens every moment, until then. */
  async disturb(until: number): Promise<void> {
    if (this.options.switches) {
      await sleep(this.chance() * 2000)
      await (this.chance() < 0.5 ? this.#switch() : this.#kill())
    }
    while (performance.now() < until - 2500) {
      await sleep(this.chance() * 1200)
      await this.#fault()
    }
  }

  async #fault(): Promise<void> {
    const { chance } = this
    const { node, link } = this.replicas[Math.floor(chance() * this.replicas.length)] as Member
    const forMs = chance() * 800
    // A master that is stopped for long is replaced, which shall happen only when it is counted.
    const kinds = this.options.switches ? 10 : 11
    switch (Math.floor(chance() * kinds)) {
      case 0:
        this.#note('stalled')
        link.stall(true)
        await sleep(forMs)
        return link.stall(false)
      case 1:
        this.#note('cut')
        return link.cut()
      case 2:
        this.#note('stopped')
        return this.#pause(
          () => node.signal('SIGSTOP'),
          forMs,
          () => node.signal('SIGCONT'),
        )
      case 3:
        this.#note('killed')
        await node.end()
        return node.start(...DIRECTIVES, '--replicaof', '127.0.0.1', String(link.port))
      case 4:
        // What the backlog does not reach any more is copied whole.
        this.#note('cut off for long')
        link.stall(true)
        await sleep(forMs)
        link.cut()
        return link.stall(false)
      case 5:
        this.#note('delay changed')
        link.delayMs = DELAYS_MS[Math.floor(chance() * DELAYS_MS.length)] as number
        return
      case 6:
        this.#note('worker stopped')
        return this.#pause(
          () => this.#signalWorkers('SIGSTOP'),
          forMs / 2,
          () => this.#signalWorkers('SIGCONT'),
        )
      case 7:
        this.#note('supervisor stopped')
        return this.#pause(
          () => process.kill(this.proxy.pid, 'SIGSTOP'),
          forMs / 2,
          () => process.kill(this.proxy.pid, 'SIGCONT'),
        )
      case 8:
        this.#note('connections of the master killed')
        await this.master.node.call('CLIENT', 'KILL', 'TYPE', 'normal').catch(() => undefined)
        return
      case 9:
        this.#note('connections of a replica killed')
        await node.call('CLIENT', 'KILL', 'TYPE', chance() < 0.5 ? 'normal' : 'replica').catch(() => undefined)
        return
      default:
        this.#note('master stopped')
        return this.#pause(
          () => this.master.node.signal('SIGSTOP'),
          forMs / 2,
          () => this.master.node.signal('SIGCONT'),
        )
    }
  }

  async #pause(begin: () => void, forMs: number, end: () => void): Promise<void> {
    begin()
    await sleep(forMs)
    end()
  }

  #signalWorkers(signal: NodeJS.Signals): void {
    const children = readFileSync(`/proc/${this.proxy.pid}/task/${this.proxy.pid}/children`, 'utf8')
    for (const pid of children.trim().split(' ')) if (pid !== '') process.kill(Number(pid), signal)
  }

  #note(what: string): void {
    this.faults.set(what, (this.faults.get(what) ?? 0) + 1)
  }

  // ── Another master ────────────────────────────────────────────────────────────────────────────────────────────────

  async #switch(): Promise<void> {
    const reply = await fetch(`${this.#admin}/switchover`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    })
    this.#note(reply.ok ? 'switched' : `switch refused with ${reply.status}`)
    await this.#settle(this.master)
  }

  async #kill(): Promise<void> {
    const dead = this.master
    // Some lag at the moment of death, so that there is something to lose.
    const stall = this.chance() < 0.5
    if (stall) for (const { link } of this.replicas) link.stall(true)
    if (stall) await sleep(this.chance() * 20)
    this.deaths.push(performance.now())
    await dead.node.end()
    for (const { link } of this.replicas) link.stall(false)
    this.#note(stall ? 'master killed with replicas behind' : 'master killed')
    await until('another master', async () => ![null, dead.node.id].includes((await this.#topology()).master), 60_000)
    await dead.node.start(...DIRECTIVES)
    await this.#settle(dead)
  }

  /** The group is whole; then its replicas are put behind their links again. */
  async #settle(before: Member): Promise<void> {
    await until('the group is whole', async () => (await this.#topology()).diagnosis === 'ok', 60_000)
    const { master } = await this.#topology()
    this.master = this.members.find(({ node }) => node.id === master) ?? before
    for (const { node, link } of this.replicas) {
      link.to = this.master.node.address
      await node.call('REPLICAOF', '127.0.0.1', String(link.port))
    }
  }

  get #admin(): string {
    return `http://127.0.0.1:${this.proxy.adminPort}/api/v1`
  }

  async #topology(): Promise<{ readonly master: string | null; readonly diagnosis: string }> {
    const reply = await fetch(`${this.#admin}/topology`)
    const { groups } = (await reply.json()) as { groups: [{ master: string | null; diagnosis: string }] }
    return groups[0]
  }
}

const DIRECTIVES = ['--repl-backlog-size', '1mb', '--repl-ping-replica-period', '1'] as const
