/**
 * Sentinels and servers in one thread and on one clock: the machines of src/topology/quorum are the real ones, the
 * network loses and delays, processes crash and come back with what was on their disk, and nothing happens by real time.
 */
import { formatAddress } from '../../src/base/address.js'
import { splitWords } from '../../src/resp/decoder.js'
import { readSentinelLines, sentinelLines } from '../../src/topology/quorum/conf.js'
import { Council } from '../../src/topology/quorum/council.js'
import type { LineKind, QuorumEffect } from '../../src/topology/quorum/effects.js'
import { formatHello } from '../../src/topology/quorum/hello.js'
import { Quorum } from '../../src/topology/quorum/quorum.js'
import { currentPlace, type LinkFacts, masterOf, type Place, type Watched } from '../../src/topology/quorum/watched.js'
import { seeded } from './random.js'

const SERVER_PORT = 6001
const SENTINEL_PORT = 26001

class SimServer {
  alive = true
  master: number | undefined
  offset = 0
  linkDownSince: number | undefined
  runId: string

  constructor(
    readonly port: number,
    private readonly sim: QuorumSim,
  ) {
    this.runId = String(port).padStart(40, '0')
  }

  get upstream(): SimServer | undefined {
    return this.sim.servers.find(server => server.port === this.master)
  }

  get linkUp(): boolean {
    const { upstream } = this
    return upstream?.alive === true && !this.sim.cut(this.port, upstream.port)
  }

  info(): string {
    const lines = [`run_id:${this.runId}`, `role:${this.master === undefined ? 'master' : 'slave'}`]
    if (this.master === undefined) {
      const replicas = this.sim.servers.filter(server => server.master === this.port && server.linkUp && server.alive)
      for (const [index, { port }] of replicas.entries())
        lines.push(`slave${index}:ip=127.0.0.1,port=${port},state=online`)
      lines.push(`master_repl_offset:${this.offset}`)
    } else {
      lines.push('master_host:127.0.0.1', `master_port:${this.master}`)
      lines.push(`master_link_status:${this.linkUp ? 'up' : 'down'}`)
      lines.push(`slave_repl_offset:${this.offset}`, 'slave_priority:100', 'replica_announced:1')
    }
    lines.push(`master_replid:${'a'.repeat(40)}`)
    return lines.join('\r\n')
  }
}

class SimSentinel {
  council!: Council
  quorum!: Quorum
  alive = true
  /** What a crash leaves. */
  disk: readonly string[] = []
  writable = true
  /** Grows with every life: what an earlier one sent or awaited is lost. */
  life = 0
  readonly lines = new Map<LinkFacts, Set<LineKind>>()

  constructor(
    readonly port: number,
    readonly id: string,
    readonly sim: QuorumSim,
  ) {}

  boot(quorum: number): void {
    this.life++
    this.alive = true
    this.lines.clear()
    this.council = new Council({
      chance: this.sim.random,
      durable: () => {
        if (this.writable) this.disk = sentinelLines(this.council)
        return this.writable
      },
      lookup: () => undefined,
    })
    this.quorum = new Quorum(this.council)
    const fresh = [
      `sentinel monitor m 127.0.0.1 ${SERVER_PORT} ${quorum}`,
      'sentinel down-after-milliseconds m 1000',
      'sentinel failover-timeout m 3000',
      `sentinel myid ${this.id}`,
    ]
    const lines = (this.disk.length === 0 ? fresh : this.disk).map(line => ({
      where: 'disk',
      words: (splitWords(line) ?? []).slice(1),
    }))
    const mistakes = readSentinelLines(this.council, lines, { executable: () => true }, this.sim.now)
    if (mistakes.length > 0) throw new Error(mistakes.join('\n'))
    this.council.drain()
  }

  get master(): number {
    const master = this.council.masters.get('m')
    return master === undefined ? 0 : currentPlace(master).port
  }
}

interface Job {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

export interface SimOptions {
  readonly seed: number
  readonly sentinels?: number
  readonly servers?: number
  readonly quorum?: number
  /** Share of messages that are lost. */
  readonly loss?: number
}

export class QuorumSim {
  now = 0
  readonly random: () => number
  readonly servers: SimServer[]
  readonly sentinels: SimSentinel[]
  readonly events: string[] = []
  /** By epoch: who was elected in it. */
  readonly leaders = new Map<number, Set<string>>()
  /** By configuration epoch: which master it stands for. */
  readonly masters = new Map<number, Set<number>>()
  /** Ports on the far side of a partition. */
  readonly island = new Set<number>()
  readonly #queue: Job[] = []
  #order = 0

  constructor(private readonly options: SimOptions) {
    this.random = seeded(options.seed)
    this.servers = Array.from({ length: options.servers ?? 3 }, (_, index) => new SimServer(SERVER_PORT + index, this))
    for (const server of this.servers.slice(1)) server.master = SERVER_PORT
    const ids = 'abcdef0123456789'
    this.sentinels = Array.from({ length: options.sentinels ?? 3 }, (_, index) => {
      return new SimSentinel(SENTINEL_PORT + index, (ids[index] as string).repeat(40), this)
    })
    for (const sentinel of this.sentinels) sentinel.boot(options.quorum ?? 2)
    for (const sentinel of this.sentinels) this.#tick(sentinel)
    this.#replicate()
  }

  cut(one: number, other: number): boolean {
    return this.island.has(one) !== this.island.has(other)
  }

  crash(sentinel: SimSentinel): void {
    sentinel.alive = false
    sentinel.life++
  }

  restart(sentinel: SimSentinel): void {
    sentinel.boot(this.options.quorum ?? 2)
    this.#tick(sentinel)
  }

  /** A server comes back as what its configuration said. */
  revive(server: SimServer): void {
    server.alive = true
    server.runId = `${Math.floor(this.random() * 1e9)}`.padStart(40, '0')
  }

  run(durationMs: number): void {
    const end = this.now + durationMs
    for (;;) {
      let next: Job | undefined
      for (const item of this.#queue) {
        if (next === undefined || item.at < next.at || (item.at === next.at && item.order < next.order)) next = item
      }
      if (next === undefined || next.at > end) break
      this.#queue.splice(this.#queue.indexOf(next), 1)
      this.now = next.at
      next.run()
    }
    this.now = end
  }

  runUntil(condition: () => boolean, limitMs: number): boolean {
    for (let waited = 0; waited < limitMs; waited += 100) {
      if (condition()) return true
      this.run(100)
    }
    return condition()
  }

  /** Everybody alive and reachable names the same master, and that one is it. */
  agreed(): boolean {
    const sentinels = this.sentinels.filter(({ alive }) => alive)
    const ports = new Set(sentinels.map(sentinel => sentinel.master))
    const [port] = ports
    const master = this.servers.find(server => server.port === port)
    return ports.size === 1 && master !== undefined && master.alive && master.master === undefined
  }

  #after(delayMs: number, run: () => void): void {
    this.#queue.push({ at: this.now + delayMs, order: this.#order++, run })
  }

  #tick(sentinel: SimSentinel): void {
    const { life } = sentinel
    const again = (): void => {
      if (sentinel.life !== life) return
      sentinel.quorum.tick(this.now)
      this.#perform(sentinel)
      this.#after(25, again)
    }
    this.#after(Math.floor(this.random() * 25), again)
  }

  /** Masters write; replicas that are linked follow, a little behind. */
  #replicate(): void {
    for (const server of this.servers) {
      if (!server.alive) continue
      if (server.master === undefined) server.offset += Math.floor(this.random() * 100)
      else if (server.linkUp && this.random() < 0.8) server.offset = Math.max(0, server.upstream?.offset ?? 0)
    }
    this.#after(20, () => this.#replicate())
  }

  #perform(sentinel: SimSentinel): void {
    for (let effects = sentinel.council.drain(); effects.length > 0; effects = sentinel.council.drain()) {
      for (const effect of effects) this.#do(sentinel, effect)
    }
  }

  #do(sentinel: SimSentinel, effect: QuorumEffect): void {
    switch (effect.do) {
      case 'event':
        return this.#note(sentinel, effect.name)
      case 'connect':
        return this.#connect(sentinel, effect.to, effect.line)
      case 'close':
        return void sentinel.lines.get(effect.link)?.delete(effect.line)
      case 'ping':
        return this.#send(sentinel, effect.to, 'commands', () => sentinel.quorum.pong(effect.to, 'PONG', this.now))
      case 'info': {
        const { to } = effect
        const server = this.#server(to.place)
        return this.#send(sentinel, to, 'commands', () => {
          if (server !== undefined) sentinel.quorum.info(to, server.info(), this.now)
        })
      }
      case 'hello':
        return this.#hello(sentinel, effect.to)
      case 'slaveof':
        return this.#slaveof(sentinel, effect.to, effect.place)
      case 'ask': {
        const { to, epoch, candidate } = effect
        const { place } = to.master
        let answer: ReturnType<Quorum['asked']> | undefined
        const asked = (): void => {
          const peer = this.#sentinel(to.place)
          answer = peer?.quorum.asked({ host: place.ip, port: place.port }, epoch, candidate, this.now)
          if (peer !== undefined) this.#perform(peer)
        }
        const heard = (): void => {
          if (answer !== undefined) sentinel.quorum.answered(to, answer.down, answer.leader, answer.epoch, this.now)
        }
        return this.#send(sentinel, to, 'commands', heard, asked)
      }
      case 'save': {
        const { life } = sentinel
        return this.#after(1 + this.random() * 20, () => {
          if (sentinel.life === life && sentinel.writable) sentinel.disk = sentinelLines(sentinel.council)
        })
      }
      default:
        return
    }
  }

  #note(sentinel: SimSentinel, name: string): void {
    this.events.push(`${Math.round(this.now)} ${formatAddress({ host: 's', port: sentinel.port })} ${name}`)
    const master = sentinel.council.masters.get('m')
    if (master === undefined) return
    if (name === '+elected-leader' && 'epoch' in master.failover) {
      add(this.leaders, master.failover.epoch, sentinel.id)
    }
    if (name === '+promoted-slave' || name === '+switch-master') this.#after(0, () => this.#noteConfig(sentinel))
  }

  #noteConfig(sentinel: SimSentinel): void {
    const master = sentinel.council.masters.get('m')
    if (master !== undefined) add(this.masters, master.configEpoch, currentPlace(master).port)
  }

  // ── The network ───────────────────────────────────────────────────────────────────────────────────────────────────

  #server(place: Place): SimServer | undefined {
    return this.servers.find(server => server.port === place.port && server.alive)
  }

  #sentinel(place: Place): SimSentinel | undefined {
    return this.sentinels.find(sentinel => sentinel.port === place.port && sentinel.alive)
  }

  #reachable(from: number, to: number): boolean {
    return !this.cut(from, to)
  }

  #connect(sentinel: SimSentinel, to: Watched, line: LineKind): void {
    const lines = sentinel.lines.get(to.link) ?? new Set()
    sentinel.lines.set(to.link, lines.add(line))
    const { life } = sentinel
    const { port } = to.place
    const alive = (): boolean => this.#server(to.place) !== undefined || this.#sentinel(to.place) !== undefined
    this.#after(1, () => {
      // A machine that can be reached says that nobody listens; one that cannot says nothing.
      if (sentinel.life !== life || !this.#reachable(sentinel.port, port) || alive() || !lines.delete(line)) return
      sentinel.quorum.closed(to, line, 'ECONNREFUSED', this.now)
      this.#perform(sentinel)
    })
  }

  /** The far end's process has ended: the kernel tells whoever is connected, of one connection after the other. */
  reset(port: number, first: LineKind = 'commands'): void {
    for (const sentinel of this.sentinels) {
      if (!sentinel.alive || !this.#reachable(sentinel.port, port)) continue
      for (const master of sentinel.council.masters.values()) {
        for (const watched of [master, ...master.replicas.values(), ...master.peers.values()]) {
          if (watched.place.port !== port) continue
          const lines = [...(sentinel.lines.get(watched.link) ?? [])]
          for (const line of lines.sort((one, other) => Number(other === first) - Number(one === first))) {
            sentinel.lines.get(watched.link)?.delete(line)
            sentinel.quorum.closed(watched, line, 'ECONNRESET', this.now)
          }
        }
      }
      this.#perform(sentinel)
    }
  }

  /** There and back again; either way may lose it. */
  #send(
    sentinel: SimSentinel,
    to: Watched,
    line: LineKind,
    heard: () => void,
    arrived: () => void = () => undefined,
  ): void {
    if (!sentinel.lines.get(to.link)?.has(line)) return
    const { life } = sentinel
    const { port } = to.place
    const lost = (): boolean => {
      return !this.#reachable(sentinel.port, port) || this.random() < (this.options.loss ?? 0)
    }
    const there = this.#server(to.place) ?? this.#sentinel(to.place)
    this.#after(1 + this.random() * 3, () => {
      if (lost() || there === undefined || !there.alive) return
      arrived()
      this.#after(1 + this.random() * 3, () => {
        if (sentinel.life !== life || lost()) return
        heard()
        this.#perform(sentinel)
      })
    })
  }

  #hello(sentinel: SimSentinel, to: Watched): void {
    const text = formatHello(sentinel.council, masterOf(to), { host: '127.0.0.1', port: sentinel.port })
    const published = (): void => sentinel.quorum.published(to, this.now)
    this.#send(sentinel, to, 'commands', published, () => {
      const receivers =
        to.kind === 'sentinel' ? this.sentinels.filter(({ port }) => port === to.place.port) : this.sentinels
      for (const receiver of receivers) {
        if (!receiver.alive || !this.#reachable(receiver.port, to.place.port)) continue
        receiver.quorum.hello(text, this.now)
        this.#perform(receiver)
      }
    })
  }

  #slaveof(sentinel: SimSentinel, to: Watched, place: Place | undefined): void {
    const order = (): void => {
      const server = this.#server(to.place)
      if (server !== undefined) server.master = place?.port
    }
    this.#send(
      sentinel,
      to,
      'commands',
      () => {
        const server = this.#server(to.place)
        if (server !== undefined && to.kind !== 'sentinel') sentinel.quorum.info(to, server.info(), this.now)
      },
      order,
    )
  }
}

function add<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const known = map.get(key)
  if (known === undefined) map.set(key, new Set([value]))
  else known.add(value)
}
