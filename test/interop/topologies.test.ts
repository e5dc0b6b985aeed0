/**
 * Random topologies: five nodes, ours and redis-server, change their master and hang themselves behind one another in a new
 * tree again and again, while writes of every kind go on and links are cut. After each cycle all hold the same data at the
 * same offset, and nobody has ever needed a second full copy: each of these changes can be had from a backlog.
 *
 *     CYCLES=200 SEED=7 npx vitest run --config test/vitest.config.ts test/interop/topologies.test.ts
 */
import { expect } from 'vitest'
import type { Client } from '../../src/net/client.js'
import { textOf } from '../../src/resp/protocol.js'
import { seeded } from '../support/random.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { fieldsOf, plain, startNode, startRedisServer, type TestServer } from '../support/servers.js'
import { randomWrite } from '../support/writes.js'

const redis = requireReal('redis-server')
const cycles = Number(process.env.CYCLES ?? 3)
const seed = Number(process.env.SEED ?? 1)
/** Under load; the short run is for every day. */
const LOAD_MS = cycles > 20 ? 600 : 150
const WRITES_PER_ROUND = 50
const CUTS = 3
/** From time to time all is emptied: digests of ever more data would be most of the work. */
const CYCLES_PER_FLUSH = 10
/** Digests are computed in one go, in a process that is this one for most of the nodes. */
const PATIENCE_MS = 120_000

interface Node {
  readonly name: string
  readonly server: TestServer
  readonly client: Client
}

redis.test(
  `${cycles} topologies of five nodes, seed ${seed}`,
  async () => {
    const group = await Group.start()
    for (let cycle = 0; cycle < cycles; cycle++) {
      await group.reshape()
      if (cycle % CYCLES_PER_FLUSH === 0) await group.empty()
      await group.underLoad()
      await group.expectSame(cycle)
    }
    if (cycles > 20) process.stdout.write(`${group.report()}\n`)
  },
  60_000 + cycles * 15_000,
)

class Group {
  readonly #random = seeded(seed)
  #master: Node
  #writes = 0
  #cuts = 0
  #copies = 0
  /** What was done last, for whoever has to look for the reason. */
  #story: string[] = []

  private constructor(private readonly nodes: readonly Node[]) {
    this.#master = nodes[0] as Node
  }

  static async start(): Promise<Group> {
    const args = ['--repl-backlog-size', '16mb', '--repl-ping-replica-period', '1', '--repl-diskless-sync-delay', '0']
    const nodes: Node[] = []
    for (const kind of ['ours', 'redis', 'ours', 'redis', 'ours'] as const) {
      const server = kind === 'ours' ? await startNode({ args }) : await startRedisServer(redis.path, { args })
      nodes.push({ name: `${kind} ${nodes.length}`, server, client: server.client() })
    }
    const group = new Group(nodes)
    await group.#write(200)
    for (const node of nodes.slice(1)) {
      await group.#ask(node, 'REPLICAOF', '127.0.0.1', String(group.#master.server.port))
    }
    for (const node of nodes.slice(1)) await group.#linked(node)
    group.#copies = await group.#fullCopies()
    return group
  }

  report(): string {
    return `${cycles} cycles, ${this.#writes} writes, ${this.#cuts} links cut, ${this.#copies} full copies, all of them at the start`
  }

  /** Another master, and a random tree below it. Nothing is written meanwhile: what was, has to reach the new master. */
  async reshape(): Promise<void> {
    const next = this.#pick(this.nodes)
    this.#story = [`master ${next.name}`]
    if (next !== this.#master) await this.#switchTo(next)
    const placed = [next]
    for (const node of this.#shuffled(this.nodes.filter(other => other !== next))) {
      const above = this.#pick(placed)
      this.#story.push(`${node.name} behind ${above.name}`)
      // redis-server gives a full copy to who hears of a promotion before it has itself; ours lets it wait.
      if (above.server.kind === 'redis') await this.#follows(above, next)
      await this.#ask(node, 'REPLICAOF', '127.0.0.1', String(above.server.port))
      placed.push(node)
    }
    for (const node of placed.slice(1)) await this.#linked(node)
  }

  /** The old master first becomes a replica, so that it cannot add anything that the new one has not. */
  async #switchTo(next: Node): Promise<void> {
    const old = this.#master
    await this.#ask(old, 'REPLICAOF', '127.0.0.1', String(next.server.port))
    const offset = Number((await this.#info(old, 'replication')).master_repl_offset)
    await until('the next master has everything', async () => (await this.#offset(next)) >= offset)
    await this.#ask(next, 'REPLICAOF', 'NO', 'ONE')
    this.#master = next
  }

  async #linked(node: Node): Promise<void> {
    await until(`${node.name} is linked (${this.#story.join(', ')})`, async () => {
      return (await this.#info(node, 'replication')).master_link_status === 'up'
    })
  }

  /** It has come to know the history of `master`. */
  async #follows(node: Node, master: Node): Promise<void> {
    const { master_replid: wanted } = await this.#info(master, 'replication')
    await until(`${node.name} knows the history of ${master.name} (${this.#story.join(', ')})`, async () => {
      return (await this.#info(node, 'replication')).master_replid === wanted
    })
  }

  async empty(): Promise<void> {
    await this.#ask(this.#master, 'FLUSHALL')
  }

  /** Writes to the master, and links that are cut at either end. */
  async underLoad(): Promise<void> {
    const until = Date.now() + LOAD_MS
    let cutting: Promise<unknown> = Promise.resolve()
    for (let round = 0; Date.now() < until; round++) {
      await this.#write(WRITES_PER_ROUND)
      if (round % 4 === 1 && round < CUTS * 4) cutting = this.#cut()
    }
    await cutting
  }

  async #cut(): Promise<void> {
    const node = this.#pick(this.nodes)
    const end = node === this.#master || this.#random() < 0.5 ? 'replica' : 'master'
    this.#story.push(`${node.name} cuts its ${end} links`)
    this.#cuts += Number(plain(await node.client.send(['CLIENT', 'KILL', 'TYPE', end])))
  }

  async #write(count: number): Promise<void> {
    const commands = Array.from({ length: count }, () => this.#command())
    await Promise.all(commands.map(command => this.#master.client.send(command)))
    this.#writes += count
  }

  #command(): string[] {
    switch (Math.floor(this.#random() * 30)) {
      case 0:
        return [
          'EVAL',
          "redis.call('INCR', KEYS[1]) return redis.call('LPUSH', KEYS[2], ARGV[1])",
          '2',
          'n:1',
          'l:1',
          'x',
        ]
      case 1:
        return ['SET', `brief:${Math.floor(this.#random() * 50)}`, 'x', 'PX', '30']
      case 2:
        return ['SELECT', String(Math.floor(this.#random() * 3))]
      case 3:
        return ['PUBLISH', 'channel', 'message']
      default:
        return randomWrite(this.#random)
    }
  }

  async expectSame(cycle: number): Promise<void> {
    const about = `cycle ${cycle}: ${this.#story.join(', ')}`
    const written = await this.#info(this.#master, 'replication')
    await this.#same(`all have everything; ${about}`, async node => {
      const info = await this.#info(node, 'replication')
      // A PING may have come on top.
      const hasAll = Number(info.master_repl_offset) >= Number(written.master_repl_offset)
      return hasAll ? `${info.master_replid}, everything` : `${info.master_replid}, up to ${info.master_repl_offset}`
    })
    // Waits for the last expired key, too.
    await this.#same(
      `all hold the same; ${about}`,
      async ({ client }) => textOf(await client.send(['DEBUG', 'DIGEST'], PATIENCE_MS)) ?? '',
    )
    const reasons = this.nodes.map(({ name, server }) => `${name}: ${resyncsIn(server.log())}`).join('\n')
    expect(await this.#fullCopies(), `${about}\n${reasons}`).toBe(this.#copies)
  }

  async #same(what: string, look: (node: Node) => Promise<string>): Promise<void> {
    let seen: readonly string[] = []
    const agreed = async (): Promise<boolean> => {
      seen = await Promise.all(this.nodes.map(look))
      return new Set(seen).size === 1
    }
    await until(what, agreed, 30_000).catch(async error => {
      const held = this.nodes.map(({ name, server }, index) => `${name} on ${server.port}: ${seen[index]}`)
      const differing = await this.#differingKeys(seen)
      throw new Error([(error as Error).message, ...held, ...differing].join('\n'))
    })
  }

  /** Keys that the master holds otherwise than the first node that saw something else. */
  async #differingKeys(seen: readonly string[]): Promise<string[]> {
    const other = this.nodes.find((_, index) => seen[index] !== seen[this.nodes.indexOf(this.#master)])
    if (other === undefined) return []
    const differing: string[] = []
    for (const db of ['0', '1', '2']) {
      const [ours, theirs] = [await keysIn(this.#master, db), await keysIn(other, db)]
      for (const key of new Set([...ours.keys(), ...theirs.keys()])) {
        if (ours.get(key) === theirs.get(key)) continue
        differing.push(`db ${db} ${key}: ${ours.get(key)} in ${this.#master.name}, ${theirs.get(key)} in ${other.name}`)
      }
    }
    return differing.slice(0, 20)
  }

  async #fullCopies(): Promise<number> {
    const infos = await Promise.all(this.nodes.map(node => this.#info(node, 'stats')))
    return infos.reduce((sum, info) => sum + Number(info.sync_full), 0)
  }

  async #info(node: Node, section: string): Promise<Record<string, string>> {
    return fieldsOf(textOf(await node.client.send(['INFO', section], PATIENCE_MS)) ?? '')
  }

  async #offset(node: Node): Promise<number> {
    return Number((await this.#info(node, 'replication')).slave_repl_offset)
  }

  async #ask(node: Node, ...command: string[]): Promise<void> {
    expect(plain(await node.client.send(command, PATIENCE_MS))).toMatch(/^OK/)
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T
  }

  #shuffled<T>(items: readonly T[]): T[] {
    return items
      .map(item => ({ item, at: this.#random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ item }) => item)
  }
}

/** What each key holds, and until when. */
async function keysIn({ client }: Node, db: string): Promise<Map<string, string>> {
  await client.send(['SELECT', db])
  const names = plain(await client.send(['KEYS', '*'], PATIENCE_MS)) as string[]
  const found = new Map<string, string>()
  for (const name of names) {
    const [digest, expiry] = await Promise.all([
      client.send(['DEBUG', 'DIGEST-VALUE', name]),
      client.send(['PEXPIRETIME', name]),
    ])
    found.set(name, `${plain(digest)} until ${plain(expiry)}`)
  }
  return found
}

/** The last lines of a log that say why a replica got a full copy. */
function resyncsIn(log: string): string {
  const lines = log.split('\n').filter(line => /cannot continue|full copy|Full resync|Unable to partial/i.test(line))
  return lines.slice(-4).join('; ')
}
