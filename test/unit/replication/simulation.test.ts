/**
 * Whatever happens: four nodes made of the real machines (link, replicas, log, stream) on a network that cuts bytes
 * anywhere, delays them and breaks connections, while masters are promoted and demoted at random.
 *
 * Checked all the time: two nodes that claim the same offset of the same history have the same data. Checked after the
 * calm: all have the master's data. `SEED=42` replays one run.
 */
import { expect, test } from 'vitest'
import type { Cursor } from '../../../src/replication/history.js'
import {
  beginLink,
  defaultLinkOptions,
  type Link,
  type LinkEffect,
  type LinkEvent,
  step,
} from '../../../src/replication/link.js'
import { ReplicationLog } from '../../../src/replication/log.js'
import { formatPreamble, PayloadReader } from '../../../src/replication/payload.js'
import { decidePsync } from '../../../src/replication/psync.js'
import { defaultReplicasOptions, type ReplicaEffect, Replicas } from '../../../src/replication/replicas.js'
import { StreamEncoder } from '../../../src/replication/stream.js'
import { Decoder } from '../../../src/resp/decoder.js'
import { encodeCommand } from '../../../src/resp/encoder.js'
import { seeded } from '../../support/random.js'

test('replicas have their master’s data, whatever happens', () => {
  const seeds =
    process.env.SEED === undefined ? Array.from({ length: 25 }, (_, seed) => seed) : [Number(process.env.SEED)]
  const totals = { partial: 0, full: 0, promotions: 0 }
  for (const seed of seeds) {
    const world = new World(seed)
    world.run(2500)
    world.calm()
    for (const key of ['partial', 'full', 'promotions'] as const) totals[key] += world.counts[key]
  }
  // The runs have seen what they are for.
  if (seeds.length > 1) {
    expect(totals.partial).toBeGreaterThan(seeds.length)
    expect(totals.full).toBeGreaterThan(seeds.length)
    expect(totals.promotions).toBeGreaterThan(seeds.length)
  }
})

test('a switch without loss costs no full resync', () => {
  for (let seed = 0; seed < 8; seed++) {
    const world = new World(seed, { cuts: false, switches: false })
    world.run(500)
    world.settle()
    const before = world.counts.full
    world.switchGently(world.nodes[1] as SimNode)
    world.run(500)
    world.settle()
    expect([seed, world.counts.full - before]).toEqual([seed, 0])
  }
})

const MARK = 'M4rk'.repeat(10)
const TICK_MS = 20

class World {
  readonly nodes: SimNode[]
  readonly counts = { partial: 0, full: 0, promotions: 0 }
  now = 0
  master: SimNode
  readonly #random: () => number
  #connections: Connection[] = []
  /** What the data was at an offset of a history, as the first node that was there had it. */
  readonly #oracle = new Map<string, string>()

  constructor(
    seed: number,
    readonly trouble = { cuts: true, switches: true },
  ) {
    this.#random = seeded(seed)
    this.nodes = [0, 1, 2, 3].map(id => new SimNode(this, id))
    this.master = this.nodes[0] as SimNode
    for (const node of this.nodes.slice(1)) node.follow(this.#aMaster(node))
  }

  chance(probability: number): boolean {
    return this.#random() < probability
  }

  pick(count: number): number {
    return Math.floor(this.#random() * count)
  }

  newReplid(): string {
    return Array.from({ length: 40 }, () => '0123456789abcdef'[this.pick(16)]).join('')
  }

  connect(from: SimNode, to: SimNode): Connection {
    const connection = new Connection(this, from, to)
    this.#connections.push(connection)
    return connection
  }

  run(steps: number): void {
    for (; steps > 0; steps--) {
      this.now += TICK_MS
      if (this.chance(0.5)) this.master.write(`${this.now}`)
      if (this.trouble.cuts && this.chance(0.01)) this.#connections[this.pick(this.#connections.length)]?.break()
      if (this.trouble.switches && this.chance(0.002)) this.switchTo(this.nodes[this.pick(4)] as SimNode)
      // A demoted master that does not know yet, or a network that is split: it goes on writing.
      if (this.trouble.switches && this.chance(0.02)) this.nodes.find(node => node.link === undefined)?.write('stray')
      this.#step()
    }
  }

  /** No more writes and no more trouble: everybody gets everything. */
  settle(): void {
    for (let left = 1500; left > 0; left--) {
      this.now += TICK_MS
      this.#step()
    }
    for (const node of this.nodes) expect([node.id, node.data]).toEqual([node.id, this.master.data])
  }

  calm(): void {
    for (const node of this.nodes) if (node !== this.master && node.link === undefined) node.follow(this.master)
    this.settle()
  }

  switchTo(node: SimNode): void {
    if (node === this.master) return
    this.counts.promotions++
    const old = this.master
    this.master = node
    node.promote()
    for (const other of this.nodes) {
      if (other === node || (other === old && this.trouble.switches && this.chance(0.5))) continue
      other.follow(this.#aMaster(other))
    }
  }

  /** The planned way: the old master stops first, so that nothing, not even a PING, is on its way when the new one begins. */
  switchGently(node: SimNode): void {
    const old = this.master
    old.follow(node)
    while (node.log.offset < old.log.offset) {
      this.now += TICK_MS
      this.#step()
    }
    this.switchTo(node)
  }

  /** Usually the master, sometimes one of its replicas: chains. */
  #aMaster(node: SimNode): SimNode {
    const chained = this.nodes.find(one => one !== node && one !== this.master && one.master === this.master)
    return chained !== undefined && chained.id < node.id && this.chance(0.3) ? chained : this.master
  }

  witness(node: SimNode): void {
    const { replid, offset } = node.log.history
    const key = `${replid} ${offset}`
    const known = this.#oracle.get(key)
    if (known === undefined) this.#oracle.set(key, node.data)
    else if (node.data !== known) expect([key, node.data]).toEqual([key, known])
  }

  #step(): void {
    for (const node of this.nodes) node.tick()
    for (const connection of this.#connections) connection.deliver()
    this.#connections = this.#connections.filter(({ open }) => open)
  }
}

/** Bytes in order, in pieces of any size, some time later; or a break, and what was on the way is lost. */
class Connection {
  open = true
  readonly id: number
  static #ids = 0
  #toMaster: Buffer = Buffer.alloc(0)
  #toReplica: Buffer = Buffer.alloc(0)

  constructor(
    private readonly world: World,
    readonly replica: SimNode,
    readonly master: SimNode,
  ) {
    this.id = ++Connection.#ids
  }

  sendToMaster(bytes: Buffer): void {
    this.#toMaster = Buffer.concat([this.#toMaster, bytes])
  }

  sendToReplica(bytes: Buffer): void {
    this.#toReplica = Buffer.concat([this.#toReplica, bytes])
  }

  break(): void {
    if (!this.open) return
    this.open = false
    this.master.lost(this)
    this.replica.closed(this)
  }

  deliver(): void {
    const { world } = this
    if (this.open && this.#toMaster.length > 0 && world.chance(0.7)) {
      const count = 1 + world.pick(this.#toMaster.length)
      const bytes = this.#toMaster.subarray(0, count)
      this.#toMaster = this.#toMaster.subarray(count)
      this.master.receiveFromReplica(this, bytes)
    }
    if (this.open && this.#toReplica.length > 0 && world.chance(0.7)) {
      const count = 1 + world.pick(this.#toReplica.length)
      const bytes = this.#toReplica.subarray(0, count)
      this.#toReplica = this.#toReplica.subarray(count)
      this.replica.receiveFromMaster(this, bytes)
    }
  }
}

class SimNode {
  /** All items ever added, in order. */
  data = ''
  log: ReplicationLog
  link: Link | undefined
  master: SimNode | undefined
  readonly #replicas: Replicas
  readonly #stream = new StreamEncoder()
  readonly #downstream = new Map<number, { connection: Connection; decoder: Decoder }>()
  #upstream: Connection | undefined
  #decoder = new Decoder()
  #payload: PayloadReader | undefined
  #received = ''
  /** The snapshot being made: its bytes, and when it is ready. */
  #saving: { bytes: Buffer; readyAt: number; target: 'disk' | 'socket' } | undefined
  /** The last one made: those who get it as a file may do so later. */
  #file: Buffer = Buffer.alloc(0)

  constructor(
    private readonly world: World,
    readonly id: number,
  ) {
    // With trouble, so small that it is often too short.
    this.log = new ReplicationLog(world.newReplid(), world.trouble.cuts ? 400 : 100_000)
    const options = {
      ...defaultReplicasOptions,
      diskless: id % 2 === 0,
      disklessDelayMs: 100,
      timeoutMs: 5000,
      pingPeriodMs: 1000,
    }
    this.#replicas = new Replicas(this.log, options, 0)
  }

  write(item: string): void {
    if (this.link !== undefined) return
    this.data += `${item} `
    if (this.log.backlog === undefined) return
    this.#stream.write([{ db: 0, args: ['ADD', item] }])
    this.#commit()
    this.world.witness(this)
  }

  follow(master: SimNode): void {
    this.#upstream?.break()
    this.master = master
    this.link = beginLink(this.world.now)
    this.log.keep()
  }

  promote(): void {
    const upstream = this.#upstream
    this.#upstream = undefined
    upstream?.break()
    this.link = this.master = undefined
    this.#replicas.dropAll('history-changed').forEach(effect => this.#performForReplica(effect))
    this.log.keep()
    this.log.history.promote(this.world.newReplid())
    this.#stream.forgetDb()
    this.#replicas.becameMaster(this.world.now)
  }

  tick(): void {
    const role = this.link === undefined ? 'master' : 'replica'
    const busy = this.#saving !== undefined
    for (const effect of this.#replicas.tick({ role, pinging: true, busy }, this.world.now))
      this.#performForReplica(effect)
    if (this.link !== undefined) this.#handle({ type: 'tick' })
    if (this.#saving !== undefined && this.#saving.readyAt <= this.world.now) this.#saved(this.#saving)
    for (const { connection } of this.#downstream.values()) {
      for (const bytes of this.#replicas.read(connection.id, 1 + this.world.pick(200))) connection.sendToReplica(bytes)
    }
  }

  // ── As a master ───────────────────────────────────────────────────────────────────────────────────────────────────

  receiveFromReplica(connection: Connection, bytes: Buffer): void {
    const known = this.#downstream.get(connection.id) ?? { connection, decoder: new Decoder() }
    this.#downstream.set(connection.id, known)
    known.decoder.feed(Buffer.from(bytes))
    while (connection.open && known.decoder.nextRequest()) this.#request(connection, known.decoder.args())
  }

  lost(connection: Connection): void {
    this.#downstream.delete(connection.id)
    for (const effect of this.#replicas.detach(connection.id, this.world.now)) this.#performForReplica(effect)
  }

  #request(connection: Connection, args: string[]): void {
    const { now, counts } = this.world
    if (args[0] === 'PING') return connection.sendToReplica(Buffer.from('+PONG\r\n'))
    if (args[0] === 'REPLCONF') {
      const { answer, effects } = this.#replicas.replconf(connection.id, args, now)
      if (answer.kind === 'ok') connection.sendToReplica(Buffer.from('+OK\r\n'))
      return effects.forEach(effect => this.#performForReplica(effect))
    }
    if (this.link !== undefined && this.link.status !== 'connected') {
      return connection.sendToReplica(Buffer.from("-NOMASTERLINK Can't SYNC while not connected with my master\r\n"))
    }
    const request = { replid: args[1] ?? '', offset: Number(args[2]) }
    const decision = decidePsync(request, this.log.history, this.log.backlog)
    if (decision.kind === 'continue') {
      counts.partial++
      return this.#replicas
        .attachPartial(connection.id, decision.from, now)
        .forEach(effect => this.#performForReplica(effect))
    }
    counts.full++
    if (this.log.backlog === undefined) {
      this.log.open(this.world.newReplid())
      this.#stream.forgetDb()
    }
    const busy = this.#saving !== undefined
    this.#replicas
      .attachFull(connection.id, decision.reason, { busy }, now)
      .forEach(effect => this.#performForReplica(effect))
  }

  #performForReplica(effect: ReplicaEffect): void {
    const connection = 'replica' in effect ? this.#downstream.get(effect.replica)?.connection : undefined
    switch (effect.do) {
      case 'reply':
        return connection?.sendToReplica(Buffer.from(`${effect.line}\r\n`))
      case 'say-alive':
        return connection?.sendToReplica(Buffer.from('\n'))
      case 'drop':
      case 'end':
        return connection?.break()
      case 'ping':
        if (this.log.backlog === undefined) return
        this.#stream.ping()
        return this.#commit()
      case 'begin-snapshot':
        this.#saving = {
          bytes: Buffer.from(this.data),
          readyAt: this.world.now + this.world.pick(500),
          target: effect.target,
        }
        this.#stream.forgetDb()
        for (const next of this.#replicas.cut(this.world.now)) this.#performForReplica(next)
        if (effect.target === 'socket') this.#toReaders(Buffer.from(formatPreamble({ kind: 'eof', mark: MARK })))
        return
      case 'send-file':
        connection?.sendToReplica(Buffer.from(formatPreamble({ kind: 'length', bytes: this.#file.length })))
        connection?.sendToReplica(this.#file)
        for (const next of this.#replicas.bulkSent(effect.replica, this.world.now)) this.#performForReplica(next)
        return
      case 'abandon-snapshot':
        this.#saving = undefined
        return
      case 'release-backlog':
        this.log.close(this.world.newReplid())
    }
  }

  #saved({ bytes, target }: { bytes: Buffer; target: 'disk' | 'socket' }): void {
    this.#saving = undefined
    this.#file = bytes
    if (target === 'socket') this.#toReaders(Buffer.concat([bytes, Buffer.from(MARK)]))
    for (const effect of this.#replicas.snapshotDone({ busy: false }, this.world.now)) this.#performForReplica(effect)
  }

  #toReaders(bytes: Buffer): void {
    for (const id of this.#replicas.snapshotReaders()) this.#downstream.get(id)?.connection.sendToReplica(bytes)
  }

  #commit(): void {
    this.log.append(this.#stream.view())
    this.#stream.reset()
  }

  // ── As a replica ──────────────────────────────────────────────────────────────────────────────────────────────────

  closed(connection: Connection): void {
    if (connection !== this.#upstream) return
    this.#upstream = undefined
    this.#payload = undefined
    if (this.link !== undefined) this.#handle({ type: 'closed' })
  }

  receiveFromMaster(connection: Connection, bytes: Buffer): void {
    if (connection !== this.#upstream) return
    this.#decoder.feed(Buffer.from(bytes))
    while (connection === this.#upstream && this.#consume()) {}
    this.#decoder.release()
  }

  /** Takes one thing of what has arrived; false when there is nothing to take. */
  #consume(): boolean {
    const { link } = this
    if (link?.status === 'handshake' || (link?.status === 'transfer' && link.phase === 'preamble')) {
      const text = this.#decoder.nextLine()
      if (text !== undefined) this.#handle({ type: 'line', text })
      return text !== undefined
    }
    if (link?.status === 'transfer' && this.#payload !== undefined) return this.#consumePayload(this.#payload)
    if (link?.status !== 'connected' || !this.#decoder.nextRequest()) return false
    const args = this.#decoder.args()
    if (args[0] === 'ADD') this.data += `${args[1]} `
    this.log.append(this.#decoder.buffer.subarray(this.#decoder.start, this.#decoder.end))
    this.world.witness(this)
    this.#handle({ type: 'bytes' })
    return true
  }

  #consumePayload(payload: PayloadReader): boolean {
    const bytes = payload.done ? Buffer.alloc(0) : this.#decoder.take(1_000_000)
    if (bytes === undefined) return false
    const part = payload.done ? { payload: [], rest: bytes, done: true } : payload.feed(bytes)
    this.#received += Buffer.concat(part.payload).toString()
    this.#handle({ type: 'bytes' })
    if (!part.done) return true
    this.#payload = undefined
    this.#handle({ type: 'received' })
    this.data = this.#received
    this.#handle({ type: 'loaded' })
    this.#decoder.feed(Buffer.from(part.rest))
    return true
  }

  #handle(event: LinkEvent): void {
    if (this.link === undefined) return
    const options = { ...defaultLinkOptions, timeoutMs: 5000, announcePort: this.id }
    const { link, effects } = step(this.link, event, this.#cursor(), options, this.world.now)
    this.link = link
    for (const effect of effects) this.#performForLink(effect)
  }

  #cursor(): Cursor {
    return this.log.history.cursor
  }

  #performForLink(effect: LinkEffect): void {
    switch (effect.do) {
      case 'open':
        this.#decoder = new Decoder()
        this.#payload = undefined
        this.#upstream = this.world.connect(this, this.master as SimNode)
        return this.#handle({ type: 'opened' })
      case 'send':
        return this.#upstream?.sendToMaster(encodeCommand(effect.command))
      case 'close': {
        const upstream = this.#upstream
        this.#upstream = undefined
        return upstream?.break()
      }
      case 'receive-snapshot':
        this.#payload = new PayloadReader(effect.form)
        this.#received = ''
        if (this.#payload.done) this.#consumePayload(this.#payload)
        return
      case 'adopt-history':
        this.#replicas.dropAll('history-changed').forEach(drop => this.#performForReplica(drop))
        this.log.restart(effect.start ?? { replid: this.world.newReplid(), offset: 1 })
        return this.world.witness(this)
      case 'switch-history':
        this.#replicas.dropAll('history-changed').forEach(drop => this.#performForReplica(drop))
        this.log.history.switchTo(effect.replid)
        return this.world.witness(this)
    }
  }
}
