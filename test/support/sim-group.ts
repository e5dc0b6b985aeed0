/**
 * A group of instances in virtual time: they replicate as Redis does (histories, partial and full resync), answer as
 * Redis does (PING, ROLE, INFO, REPLICAOF, CLIENT PAUSE), and can be killed, stopped, cut off and made slow. The real
 * observer and the real agent talk to them over lines that lose things.
 */
import type { Address } from '../../src/base/address.js'
import type { Clock } from '../../src/base/clock.js'
import { invariant } from '../../src/base/invariant.js'
import type { Millis } from '../../src/base/units.js'
import { type ClientOptions, ConnectionError } from '../../src/net/client.js'
import type { Line } from '../../src/observer/line.js'
import type { Frame } from '../../src/resp/protocol.js'

// ── Time and chance ─────────────────────────────────────────────────────────────────────────────────────────────────

interface Due {
  readonly at: Millis
  readonly sequence: number
  /** Nobody waits for what it does: no promise needs to be settled after it. */
  readonly quiet: boolean
  task: (() => void) | undefined
}

/** More turns of the promise queue than any chain in the agent is long. */
const PROMISE_TURNS = 12

export class VirtualClock implements Clock {
  #now: Millis = 1000
  #sequence = 0
  /** A promise was settled in a task of which that is not expected. */
  #settles = false
  #heap: Due[] = []

  now(): Millis {
    return this.#now
  }

  wall(): number {
    return 1_700_000_000_000 + this.#now
  }

  after(delay: Millis, task: () => void): () => void {
    const entry = this.#add(delay, task, false)
    return () => {
      entry.task = undefined
    }
  }

  /** For what goes on inside the instances and on lines: cheaper, as nobody awaits it. Who settles a promise says so. */
  quietly(delay: Millis, task: () => void): void {
    this.#add(delay, task, true)
  }

  /** Somebody awaits what has just been done. */
  settles(): void {
    this.#settles = true
  }

  /** Our process was away for so long: everything that was due comes late, and all at once. */
  jump(awayMs: Millis): void {
    this.#now += awayMs
  }

  /** Runs everything due until then; promises are settled between two events. */
  async run(until: Millis): Promise<void> {
    for (let next = this.#heap[0]; next !== undefined && next.at <= until; next = this.#heap[0]) {
      this.#pop()
      if (next.task === undefined) continue
      this.#now = Math.max(this.#now, next.at)
      next.task()
      // Turns are counted, not awaited to the end (setImmediate): that is a third of the time, and just as repeatable.
      if (!next.quiet || this.#settles) for (let turn = 0; turn < PROMISE_TURNS; turn++) await undefined
      this.#settles = false
    }
    this.#now = Math.max(this.#now, until)
  }

  #add(delay: Millis, task: () => void, quiet: boolean): Due {
    const entry: Due = { at: this.#now + Math.max(0, delay), sequence: this.#sequence++, quiet, task }
    this.#push(entry)
    return entry
  }

  #push(entry: Due): void {
    const heap = this.#heap
    let index = heap.push(entry) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(entry, heap[parent] as Due)) break
      heap[index] = heap[parent] as Due
      index = parent
    }
    heap[index] = entry
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Due
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      const right = heap[child + 1]
      if (right !== undefined && isBefore(right, heap[child] as Due)) child++
      if (!isBefore(heap[child] as Due, last)) break
      heap[index] = heap[child] as Due
      index = child
    }
    heap[index] = last
  }
}

function isBefore(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence)
}

/** mulberry32: small, seeded, good enough to be surprising. */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let value = this.#state
    value = Math.imul(value ^ (value >>> 15), value | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
  }

  is(probability: number): boolean {
    return this.next() < probability
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low)
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.next() * items.length)] as T
  }
}

// ── Instances ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** A link that brings nothing for this long is given up (`repl-timeout`). */
const REPL_TIMEOUT_MS = 5000
const FULL_RESYNC_MS = 10
/** Nobody here listens at it. */
const STRANGER_PORT = 9999
const PUMP_MS = 4
const PING_MS = 50

export class SimNode {
  readonly id: string
  alive = true
  stopped = false
  /** Another one is another process. */
  generation = 0
  runId: string
  role: 'master' | 'slave' = 'master'
  masterPort = 0
  link: 'down' | 'syncing' | 'up' = 'down'
  linkAt = 0
  heardAt = 0
  replid: string
  replid2 = '0'.repeat(40)
  second = -1
  /** The stream it has applied, one entry per byte: its length is the offset. */
  data: number[] = []
  /** Entries it can apply per pump. */
  rate = 1000
  pausedUntil = 0
  fullServed = 0
  partialServed = 0
  /** It lets no master that came back with another history take its data, unless it is told to follow that one. */
  guarded = false
  #maySync = true
  /** What arrived while it was stopped. */
  readonly inbox: (() => void)[] = []

  constructor(
    private readonly group: SimGroup,
    readonly port: number,
  ) {
    this.id = `sim:${port}`
    this.runId = group.fresh('run')
    this.replid = group.fresh('id')
  }

  get offset(): number {
    return this.data.length
  }

  get isStranger(): boolean {
    return this.masterPort === STRANGER_PORT
  }

  isWritable(now: Millis): boolean {
    return this.alive && !this.stopped && this.role === 'master' && now >= this.pausedUntil
  }

  execute(args: readonly string[], now: Millis): Frame {
    const [command, ...rest] = args
    switch (command) {
      case 'PING':
        return { type: 'simple', value: 'PONG' }
      case 'ROLE':
        return this.#role()
      case 'INFO':
        return { type: 'bulk', value: this.#info(now) }
      case 'REPLICAOF':
        if (rest[0] === 'NO') this.promote()
        else this.follow(Number(rest[1]))
        return { type: 'simple', value: 'OK' }
      case 'CLIENT':
        if (rest[0] === 'PAUSE') this.pausedUntil = now + Number(rest[1])
        if (rest[0] === 'UNPAUSE') this.pausedUntil = 0
        return { type: 'simple', value: 'OK' }
      default:
        return { type: 'error', value: 'ERR unknown command' }
    }
  }

  promote(): void {
    if (this.role === 'master') return
    this.role = 'master'
    this.link = 'down'
    this.replid2 = this.replid
    this.second = this.offset + 1
    this.replid = this.group.fresh('id')
  }

  follow(port: number): void {
    if (this.role === 'slave' && this.masterPort === port) return
    this.#maySync = true
    this.role = 'slave'
    this.masterPort = port
    this.link = 'down'
  }

  restart(withData: boolean): void {
    this.alive = true
    this.stopped = false
    this.inbox.length = 0
    this.runId = this.group.fresh('run')
    this.role = 'master'
    this.masterPort = 0
    this.link = 'down'
    this.pausedUntil = 0
    this.replid2 = withData ? this.replid : '0'.repeat(40)
    this.second = withData ? this.offset + 1 : -1
    this.replid = this.group.fresh('id')
    if (!withData) this.data = []
  }

  /** Another group's replica comes up at this address: more data than anybody here, and none of it ours. */
  becomeStranger(): void {
    this.generation++
    this.restart(false)
    this.role = 'slave'
    this.masterPort = STRANGER_PORT
    this.data = Array.from({ length: 10_000 }, () => -1)
  }

  /** What replication does in four milliseconds. */
  pump(now: Millis): void {
    if (!this.alive || this.stopped || this.role !== 'slave') return
    const upstream = this.group.node(this.masterPort)
    if (upstream === undefined || !upstream.alive) {
      this.link = 'down'
      return
    }
    if (upstream.stopped || this.group.isCut(this.port, upstream.port)) {
      if (now - this.heardAt > REPL_TIMEOUT_MS) this.link = 'down'
      return
    }
    if (this.link === 'down') this.#connect(upstream, now)
    else if (this.link === 'syncing') this.#receiveSnapshot(upstream, now)
    else this.#receive(upstream, now)
  }

  #connect(upstream: SimNode, now: Millis): void {
    if (upstream.role === 'slave' && upstream.link !== 'up') return
    this.heardAt = now
    this.linkAt = now
    const { offset } = this
    const same = this.replid === upstream.replid
    const before = this.replid === upstream.replid2 && offset < upstream.second
    if ((same || before) && offset <= upstream.offset) {
      this.link = 'up'
      this.#maySync = false
      upstream.partialServed++
      if (same) return
      this.replid2 = this.replid
      this.second = offset + 1
      this.replid = upstream.replid
      return
    }
    if (this.guarded && !this.#maySync && offset > 0 && this.replid !== upstream.replid2) return
    upstream.fullServed++
    this.link = 'syncing'
  }

  #receiveSnapshot(upstream: SimNode, now: Millis): void {
    if (upstream.role === 'slave' && upstream.link !== 'up') this.link = 'down'
    else if (now - this.linkAt >= FULL_RESYNC_MS) {
      this.data = [...upstream.data]
      this.replid = upstream.replid
      this.replid2 = upstream.replid2
      this.second = upstream.second
      this.link = 'up'
      this.#maySync = false
    }
  }

  #receive(upstream: SimNode, now: Millis): void {
    // It was promoted, or follows somebody else: its replicas have to ask again.
    if (upstream.replid !== this.replid) {
      this.link = 'down'
      return
    }
    const { offset } = this
    invariant(
      offset <= upstream.offset && this.data[offset - 1] === upstream.data[offset - 1],
      `${this.id} is no prefix of ${upstream.id}`,
    )
    if (upstream.offset > offset) this.heardAt = now
    this.data.push(...upstream.data.slice(offset, offset + this.rate))
  }

  #role(): Frame {
    const text = (value: string): Frame => ({ type: 'bulk', value })
    const number = (value: number): Frame => ({ type: 'integer', value })
    if (this.role === 'master') {
      return { type: 'array', items: [text('master'), number(this.offset), { type: 'array', items: [] }] }
    }
    const state = { down: 'connect', syncing: 'sync', up: 'connected' }[this.link]
    const items = [text('slave'), text('sim'), number(this.masterPort), text(state)]
    return { type: 'array', items: [...items, number(this.link === 'up' ? this.offset : -1)] }
  }

  #info(now: Millis): string {
    const lines = [`run_id:${this.runId}`, 'loading:0', `role:${this.role}`]
    if (this.role === 'slave') {
      lines.push('master_host:sim', `master_port:${this.masterPort}`)
      lines.push(`master_link_status:${this.link === 'up' ? 'up' : 'down'}`)
      lines.push(`master_last_io_seconds_ago:${this.link === 'up' ? Math.floor((now - this.heardAt) / 1000) : -1}`)
      lines.push(`master_sync_in_progress:${this.link === 'syncing' ? 1 : 0}`)
      lines.push(`slave_repl_offset:${this.offset}`, 'slave_priority:100')
    }
    lines.push(`master_replid:${this.replid}`, `master_replid2:${this.replid2}`)
    lines.push(`master_repl_offset:${this.offset}`, `second_repl_offset:${this.second}`)
    lines.push(`sync_full:${this.fullServed}`, `sync_partial_ok:${this.partialServed}`, 'sync_partial_err:0')
    lines.push('# Keyspace', `db0:keys=${this.offset},expires=0`)
    return lines.join('\r\n')
  }
}

export class SimGroup {
  readonly nodes: SimNode[]
  readonly #cuts = new Set<string>()
  readonly #lines = new Set<SimLine>()
  /** How long a message takes, each way. */
  delayMs = (): Millis => this.chance.between(0.05, 0.5)
  /** How often a line breaks when something is sent on it. */
  breaks = 0
  #names = 0
  /** At addresses where nothing listens. */
  readonly #nobody: SimNode

  constructor(
    readonly clock: VirtualClock,
    readonly chance: Chance,
    count: number,
  ) {
    this.#nobody = new SimNode(this, STRANGER_PORT)
    this.#nobody.alive = false
    this.nodes = Array.from({ length: count }, (_, index) => new SimNode(this, 7001 + index))
    for (const replica of this.nodes.slice(1)) replica.follow(7001)
    const pump = (): void => {
      for (const node of this.nodes) node.pump(clock.now())
      clock.quietly(PUMP_MS, pump)
    }
    const ping = (): void => {
      for (const node of this.nodes) if (node.isWritable(clock.now())) node.data.push(0)
      clock.quietly(PING_MS, ping)
    }
    pump()
    ping()
  }

  get fullResyncs(): number {
    return this.nodes.reduce((sum, node) => sum + node.fullServed, 0)
  }

  fresh(kind: string): string {
    return `${kind}${++this.#names}`.padEnd(40, '-')
  }

  node(port: number): SimNode | undefined {
    return this.nodes.find(node => node.port === port)
  }

  /** Port 0 is where we are. */
  cut(a: number, b: number, isCut: boolean): void {
    if (isCut) this.#cuts.add(name(a, b))
    else this.#cuts.delete(name(a, b))
  }

  isCut(a: number, b: number): boolean {
    return this.#cuts.has(name(a, b))
  }

  heal(): void {
    this.#cuts.clear()
    this.breaks = 0
    for (const node of this.nodes) {
      node.rate = 1000
      if (node.isStranger) {
        this.kill(node)
        node.restart(false)
      }
      if (!node.alive) node.restart(true)
      this.resume(node)
    }
  }

  kill(node: SimNode): void {
    node.alive = false
    node.generation++
    for (const line of this.#lines) {
      if (line.node === node) this.clock.after(this.delayMs(), () => !this.isCut(0, node.port) && line.close('eof'))
    }
  }

  stop(node: SimNode): void {
    node.stopped = true
  }

  resume(node: SimNode): void {
    node.stopped = false
    for (const task of node.inbox.splice(0)) task()
  }

  readonly dial = (address: Address, options: ClientOptions): Line => {
    const node = this.node(address.port) ?? this.#nobody
    const line = new SimLine(this, node, options, () => this.#lines.delete(line))
    this.#lines.add(line)
    return line
  }
}

function name(a: number, b: number): string {
  return a < b ? `${a}-${b}` : `${b}-${a}`
}

/** A connection: in order or broken. */
class SimLine implements Line {
  closed = false
  readonly #pending = new Set<(error: Error) => void>()
  readonly #generation: number
  #arrivesAt: Millis = 0
  #repliesAt: Millis = 0

  constructor(
    private readonly group: SimGroup,
    readonly node: SimNode,
    private readonly options: ClientOptions,
    private readonly onForget: () => void,
  ) {
    this.#generation = node.generation
    const { clock } = group
    if (group.isCut(0, node.port)) clock.quietly(options.connectTimeoutMs, () => this.#breakUnlessReached())
    else if (!node.alive) clock.quietly(group.delayMs(), () => this.close('ECONNREFUSED'))
  }

  send(args: readonly string[], timeoutMs: Millis = this.options.replyTimeoutMs): Promise<Frame> {
    return new Promise((settle, fail) => {
      if (this.closed) return fail(new ConnectionError('closed'))
      this.#pending.add(fail)
      const { group, node } = this
      const { clock, chance } = group
      if (timeoutMs > 0) clock.quietly(timeoutMs, () => this.#pending.has(fail) && this.close('timeout'))
      this.#arrivesAt = Math.max(this.#arrivesAt, clock.now() + group.delayMs())
      const breaks = chance.is(group.breaks)
      const executedFirst = chance.is(0.5)
      clock.quietly(this.#arrivesAt - clock.now(), () => {
        if (breaks && !executedFirst) return this.close('ECONNRESET')
        const arrive = (): void => {
          if (node.generation !== this.#generation || !node.alive) return
          const reply = node.execute(args, clock.now())
          if (breaks) return this.close('ECONNRESET')
          this.#repliesAt = Math.max(this.#repliesAt, clock.now() + group.delayMs())
          clock.quietly(this.#repliesAt - clock.now(), () => {
            if (this.closed || group.isCut(0, node.port)) return
            clock.settles()
            this.#pending.delete(fail)
            settle(reply)
          })
        }
        // What a cut swallows is gone; what a stopped process is sent waits in its kernel.
        if (group.isCut(0, node.port)) return
        if (node.stopped) node.inbox.push(arrive)
        else arrive()
      })
    })
  }

  close(reason = 'closed'): void {
    if (this.closed) return
    this.closed = true
    this.onForget()
    this.group.clock.settles()
    for (const fail of this.#pending) fail(new ConnectionError(reason))
    this.#pending.clear()
    this.options.onClose?.(reason)
  }

  #breakUnlessReached(): void {
    if (this.group.isCut(0, this.node.port)) this.close('connect-timeout')
  }
}
