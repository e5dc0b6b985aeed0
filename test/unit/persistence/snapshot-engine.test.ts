/**
 * A snapshot while real commands run: every handler must have told, before it changed something, that it would. Random
 * commands of all groups between the slices; what is loaded must be the data of the cut.
 */
import { expect, test } from 'vitest'
import { resolveCommand } from '../../../src/command/table.js'
import { Engine } from '../../../src/engine/engine.js'
import type { Caller, EngineHost } from '../../../src/engine/host.js'
import { SnapshotLoader } from '../../../src/persistence/load.js'
import { Snapshot } from '../../../src/persistence/snapshot.js'
import { Encoder } from '../../../src/resp/encoder.js'
import { seeded } from '../../support/random.js'
import { snapshotDefaults } from '../../support/snapshot.js'
import { describeData } from '../../support/values.js'

const DATABASES = 3
/** `k` a key, `m` a member, `n` a number, `f` a double, `i` a stream id, `t` a time, `d` a database, `v` a text. */
const COMMANDS = [
  'SET k v',
  'SET k n',
  'SET k v PX n',
  'GETSET k v',
  'APPEND k v',
  'SETRANGE k n v',
  'SETBIT k n 1',
  'INCR k',
  'INCRBYFLOAT k f',
  'MSET k v k v',
  'GETDEL k',
  'GETEX k PERSIST',
  'GETEX k EX n',
  'BITFIELD k SET u8 n n',
  'BITOP OR k k k',
  'PFADD k m m',
  'PFMERGE k k k',
  'DEL k',
  'UNLINK k k',
  'RENAME k k',
  'RENAMENX k k',
  'COPY k k REPLACE',
  'COPY k k DB d REPLACE',
  'MOVE k d',
  'EXPIREAT k t',
  'PEXPIRE k n',
  'PERSIST k',
  'TOUCH k',
  'LPUSH k m m',
  'RPUSH k m n m',
  'LPUSHX k v',
  'LPOP k',
  'RPOP k 2',
  'LSET k 0 v',
  'LINSERT k BEFORE m v',
  'LREM k 0 m',
  'LTRIM k 1 -2',
  'LMOVE k k LEFT RIGHT',
  'RPOPLPUSH k k',
  'HSET k m v m n',
  'HDEL k m',
  'HINCRBY k m n',
  'HINCRBYFLOAT k m f',
  'HSETNX k m v',
  'SADD k m n',
  'SADD k n n n',
  'SREM k m',
  'SPOP k',
  'SPOP k 2',
  'SMOVE k k m',
  'SINTERSTORE k k k',
  'SUNIONSTORE k k k',
  'SDIFFSTORE k k k',
  'ZADD k f m f m',
  'ZADD k XX INCR f m',
  'ZREM k m',
  'ZINCRBY k f m',
  'ZPOPMIN k',
  'ZPOPMAX k 2',
  'ZREMRANGEBYRANK k 0 0',
  'ZREMRANGEBYSCORE k -1 1',
  'ZUNIONSTORE k 2 k k',
  'ZINTERSTORE k 2 k k',
  'ZRANGESTORE k k 0 -1',
  'XADD k * m v',
  'XADD k MAXLEN 3 * m v m v',
  'XTRIM k MAXLEN 2',
  'XDEL k i',
  'XSETID k 99999999999999-0',
  'XGROUP CREATE k g 0 MKSTREAM',
  'XGROUP DESTROY k g',
  'XGROUP SETID k g $',
  'XGROUP CREATECONSUMER k g m',
  'XGROUP DELCONSUMER k g m',
  'XREADGROUP GROUP g m COUNT 2 STREAMS k >',
  'XACK k g i',
  'XAUTOCLAIM k g m 0 0',
  'XCLAIM k g m 0 i',
  'SORT k ALPHA STORE k',
  'GEOADD k 13 38 m',
  'SWAPDB d d',
  'FLUSHDB',
  'GET k',
  'LRANGE k 0 -1',
  'HGETALL k',
  'SMEMBERS k',
  'ZRANGE k 0 -1',
  'XRANGE k - +',
  'TTL k',
  'PFCOUNT k',
].map(line => line.split(' '))

test('every command tells before it changes', () => {
  const seeds =
    process.env.SEED === undefined ? Array.from({ length: 30 }, (_, seed) => seed) : [Number(process.env.SEED)]
  for (const seed of seeds) {
    const world = new World(seed)
    world.run(1500)
    const expected = describeData(world.engine.databases)
    const bytes = world.snapshotWhile(20)
    const loader = new SnapshotLoader(world.engine.settings, {
      seeds: [1, 2, 3],
      role: 'replica',
      now: 0,
      verifyChecksum: true,
    })
    loader.feed(bytes)
    const loaded = describeData(loader.finish().databases)
    if (loaded.join() !== expected.join()) expect({ seed, data: loaded }).toEqual({ seed, data: expected })
  }
})

class World implements EngineHost {
  readonly engine: Engine
  readonly #random: () => number
  readonly #reply = new Encoder(2, 1024)
  readonly #caller: Caller = { db: 0, origin: 'client', mayBlock: false }
  #snapshot: Snapshot | undefined
  #now = 1_700_000_000_000

  constructor(seed: number) {
    this.#random = seeded(seed)
    this.engine = new Engine(this, { databases: DATABASES, random: this.#random })
  }

  propagate(): void {}
  wrote(): void {}
  changed(): void {}
  replaced(): void {}
  ready(): void {}
  notify(): void {}

  beforeChange(db: number, key: string): void {
    this.#snapshot?.beforeChange(db, key)
  }

  run(times: number): void {
    for (; times > 0; times--) this.#command()
  }

  snapshotWhile(commands: number): Buffer {
    const snapshot = Snapshot.begin(this.engine.databases, this.engine.settings, snapshotDefaults)
    this.#snapshot = snapshot
    const chunks: Buffer[] = []
    while (!snapshot.slice(1 + this.#pick(300))) {
      this.run(this.#pick(commands))
      chunks.push(snapshot.take())
    }
    return Buffer.concat([...chunks, snapshot.take()])
  }

  #command(): void {
    const template = COMMANDS[this.#pick(COMMANDS.length)] as string[]
    // Whatever empties databases would leave little to look at.
    if (template[0] === 'FLUSHDB' && this.#random() < 0.97) return
    const args = template.map(word => this.#fill(word))
    const spec = resolveCommand(args)
    if (spec === undefined || !this.engine.handles(spec)) return
    this.#caller.db = this.#pick(DATABASES)
    this.#now += this.#pick(100)
    this.engine.execute(spec, args, this.#caller, this.#reply, this.#now)
    this.#reply.reset()
  }

  #fill(word: string): string {
    switch (word) {
      case 'k':
        return `key ${this.#pick(40)}`
      case 'm':
        return `member ${this.#pick(6)}`
      case 'n':
        return String(this.#pick(1000))
      case 'f':
        return String(this.#random() * 10 - 5)
      case 'i':
        return `${this.#now - this.#pick(3000)}-0`
      case 't':
        return String(1_700_000_000 + this.#pick(200))
      case 'd':
        return String(this.#pick(DATABASES))
      case 'v':
        return `value ${this.#pick(100_000)}`
      default:
        return word
    }
  }

  #pick(count: number): number {
    return Math.floor(this.#random() * count)
  }
}
