/**
 * Sixteen clients write and read through the proxy, with replicas 0, 1 and 20 ms behind, and what they saw is checked
 * against what each level promises. Then the same with bugs planted, to know that the check would see them.
 *
 * SEED repeats the choices of a run; COUNT (default 1) makes each run that much longer.
 */
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { Instance } from '../../src/proxy/instance.js'
import { ReadIndex } from '../../src/proxy/read-index.js'
import { Reads } from '../../src/proxy/reads.js'
import type { Session } from '../../src/proxy/session.js'
import { Standing } from '../../src/proxy/standing.js'
import { type Flight, Marks } from '../../src/routing/marks.js'
import { type DelayLink, startDelayLink } from '../support/delay.js'
import { bounded, causal, linearizable, type Operation, session, type Violation } from '../support/history.js'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { seeded } from '../support/random.js'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

const CLIENTS = 16
const KEYS = 8
const RUN_MS = 1000 * Number(process.env.COUNT ?? 1)
/** A planted bug is looked for in rounds, so that none of them has much to check; on a machine with nothing else to do one is enough. */
const ROUND_MS = 500
const ROUNDS_MAX = 50
/** While bugs are planted the third replica is this far behind: much more than any level allows. */
const FAR_BEHIND_MS = 60
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const BOUND_MS = 15
/** Declares no keys. */
const SCRIPT = "return redis.call('SET', ARGV[1], ARGV[2])"
/** What `bounded` may be off by: how often replicas are asked, and how late a busy machine hears it. */
const SAMPLING_STEP_MS = 5

const again = `SEED=${SEED} npx vitest run --config test/vitest.config.ts test/wire/history.test.ts`

type Check = (history: readonly Operation[]) => Violation[]

const levels: readonly (readonly [level: string, check: Check])[] = [
  ['causal', causal],
  ['session', session],
  ['strong', linearizable],
  [`bounded ${BOUND_MS}`, bounded(BOUND_MS + SAMPLING_STEP_MS)],
]
const checkOf = new Map(levels)

redis.describe('what clients saw', () => {
  let master: RedisNode
  const replicas: RedisNode[] = []
  const links: DelayLink[] = []
  let proxy: ProxyUnderTest
  let runs = 0

  beforeAll(async () => {
    master = (await startGroup(redis.path, 0))[0] as RedisNode
    for (const delayMs of [0, 1, 20]) {
      const link = await startDelayLink(master.address, delayMs)
      const replica = new RedisNode(redis.path, await freePort())
      await replica.start('--replicaof', '127.0.0.1', String(link.port))
      links.push(link)
      replicas.push(replica)
    }
    await until('the replicas are linked', async () =>
      (await Promise.all(replicas.map(node => node.info()))).every(info => info.master?.up),
    )
    proxy = new ProxyUnderTest()
    await proxy.start(
      master.port,
      replicas.map(node => node.port),
    )
    await master.call('SET', 'streaming', 'yes')
    await until('the replicas are followed', () => proxy.worker.group?.replicas.every(one => one.applied > 0) === true)
  })

  afterAll(async () => {
    await proxy?.stop()
    await Promise.all([master, ...replicas].map(node => node?.stop()))
    await Promise.all(links.map(link => link.close()))
  })

  afterEach(() => {
    vi.restoreAllMocks()
  })

  /** Clients at this level for so long, or until the check finds something. */
  async function run(level: string, forMs: number, check?: Check): Promise<readonly Operation[]> {
    const history: Operation[] = []
    const name = `h${runs++}`
    const state = { found: false }
    const until = performance.now() + forMs
    const clients = Array.from({ length: CLIENTS }, async (_, client) => {
      const chance = seeded(SEED * 1000 + runs * 100 + client)
      const connection = await RawClient.open(proxy.port)
      try {
        expect(await connection.call('LAGRANGE', 'CONSISTENCY', ...level.split(' '))).toBe('OK')
        let version = 0
        while (performance.now() < until && !state.found) {
          // The first half of the clients write a key each, sometimes by a script; everybody reads all of them.
          const pick = (): string => `${name}:${chance() < 0.1 ? client % KEYS : Math.floor(chance() * KEYS)}`
          const from = performance.now()
          if (client < KEYS && chance() < 0.2) {
            const key = `${name}:${client % KEYS}`
            const text = String(++version)
            const write = chance() < 0.1 ? ['EVAL', SCRIPT, '0', key, text] : ['SET', key, text]
            expect(await connection.call(...write)).toBe('OK')
            history.push({ client, key, does: 'write', version, from, to: performance.now() })
          } else {
            // What is in flight together must not show a later state first.
            const keys = Array.from({ length: chance() < 0.2 ? 8 : 1 }, pick)
            const replies = await connection.pipeline(...keys.map(key => ['GET', key]))
            const to = performance.now()
            for (const [index, reply] of replies.entries()) {
              const key = keys[index] as string
              history.push({ client, key, does: 'read', version: Number(reply ?? 0), from, to })
            }
          }
          if (chance() < 0.05) await new Promise(resume => setTimeout(resume, chance() * 4))
        }
      } finally {
        connection.close()
      }
    })
    const watch = check === undefined ? undefined : setInterval(() => (state.found = check(history).length > 0), 50)
    await Promise.all(clients)
    clearInterval(watch)
    return history
  }

  function share(reads: () => number, all: () => number): () => number {
    const [readsBefore, allBefore] = [reads(), all()]
    return () => (reads() - readsBefore) / (all() - allBefore)
  }

  for (const [level, check] of levels) {
    test(
      `${level} keeps its promise`,
      async () => {
        const ofReplicas = share(
          () => proxy.count('lagrange_commands_total', { command: 'get', target: 'replica' }),
          () => proxy.count('lagrange_commands_total', { command: 'get' }),
        )
        const history = [...(await run(level, RUN_MS))]
        // A busy machine may take a while until a replica is near enough to be asked.
        for (let round = 0; round < ROUNDS_MAX && !(history.length > CLIENTS * 10 && ofReplicas() > 0); round++) {
          history.push(...(await run(level, ROUND_MS)))
        }
        const violations = check(history)
        expect(violations.slice(0, 3), again).toEqual([])
        expect(history.length).toBeGreaterThan(CLIENTS * 10)
        expect(ofReplicas(), `share of reads at replicas, ${history.length} operations`).toBeGreaterThan(0)
        if (process.env.COUNT !== undefined) console.log(level, history.length, 'at replicas', ofReplicas().toFixed(2))
      },
      RUN_MS + ROUNDS_MAX * ROUND_MS + 30_000,
    )
  }

  const planted: readonly (readonly [bug: string, level: string, plant: () => void])[] = [
    [
      'marks are settled with the sample before',
      'causal',
      () => {
        const settle = Marks.prototype.settle
        let before = 0
        vi.spyOn(Marks.prototype, 'settle').mockImplementation(function (this: Marks, flight: Flight, offset: number) {
          settle.call(this, flight, before)
          before = offset
        })
      },
    ],
    [
      'a write does not count as in flight, nor its key as written',
      'causal',
      () => void vi.spyOn(Marks.prototype, 'raise').mockImplementation(() => undefined),
    ],
    [
      'one read in twenty is routed as eventual',
      'causal',
      () => {
        const dispatch = Reads.prototype.dispatch
        let reads = 0
        vi.spyOn(Reads.prototype, 'dispatch').mockImplementation(function (this: Reads, asker, ...rest) {
          const client = asker as Session
          const { rules } = client
          if (++reads % 20 === 0) client.rules = { ...rules, level: 'eventual' }
          dispatch.call(this, asker, ...rest)
          client.rules = rules
        })
      },
    ],
    [
      'a script raises no barrier',
      'causal',
      () => void vi.spyOn(Marks.prototype, 'raiseAll').mockImplementation(() => undefined),
    ],
    [
      'a read is sent when a replica lacks one write',
      'causal',
      () => {
        const need = Marks.prototype.need
        vi.spyOn(Marks.prototype, 'need').mockImplementation(function (this: Marks, slot) {
          return Math.max(0, need.call(this, slot) - 100)
        })
      },
    ],
    [
      'reads of a pipeline are spread',
      'causal',
      () => {
        const dispatch = Reads.prototype.dispatch
        let reads = 0
        vi.spyOn(Reads.prototype, 'dispatch').mockImplementation(function (this: Reads, asker, ...rest) {
          asker.readFilter = asker.masterFilter = 0
          asker.spread = true
          // Whoever is asked next: as if the loads of the replicas changed all the time.
          for (const replica of proxy.worker.group?.replicas ?? []) replica.latencyMs = ++reads % 3 === 0 ? 0.1 : 1
          dispatch.call(this, asker, ...rest)
        })
      },
    ],
    [
      'what a replica has received counts as applied',
      'causal',
      () => {
        const setApplied = Instance.prototype.setApplied
        vi.spyOn(Instance.prototype, 'setApplied').mockImplementation(function (this: Instance, replid, offset, now) {
          setApplied.call(this, replid, offset + 4096, now)
        })
      },
    ],
    [
      'samples do not raise the floor of a session',
      'session',
      () => {
        vi.spyOn(Standing.prototype, 'covered').mockImplementation(function (this: Standing) {
          this.unsettled--
        })
      },
    ],
    [
      'a session changes its replica as it likes',
      'session',
      () => {
        const dispatch = Reads.prototype.dispatch
        vi.spyOn(Reads.prototype, 'dispatch').mockImplementation(function (this: Reads, asker, ...rest) {
          asker.standing.replica = undefined
          asker.standing.reading = 0
          dispatch.call(this, asker, ...rest)
        })
      },
    ],
    [
      'a strong read uses an answer to earlier ones',
      'strong',
      () => {
        const answer = ReadIndex.prototype.answer
        const earlier: (number | undefined)[] = []
        vi.spyOn(ReadIndex.prototype, 'answer').mockImplementation(function (this: ReadIndex, batch, offset) {
          earlier.push(offset)
          answer.call(this, batch, earlier.length > 8 ? earlier.shift() : offset)
        })
      },
    ],
    [
      'a proof of freshness does not grow old, and is told late',
      `bounded ${BOUND_MS}`,
      () => {
        const setFreshness = proxy.worker.setFreshness.bind(proxy.worker)
        vi.spyOn(proxy.worker, 'setFreshness').mockImplementation(update => {
          setFreshness({ ...update, lagMs: update.lagMs.map(([id]) => [id, 0] as const) })
        })
      },
    ],
  ]

  for (const [bug, level, plant] of planted) {
    test(`a planted bug is seen: ${bug}`, async () => {
      const [behind] = links.slice(-1) as [DelayLink]
      const { delayMs } = behind
      behind.delayMs = FAR_BEHIND_MS
      onTestFinished(() => void (behind.delayMs = delayMs))
      plant()
      const check = checkOf.get(level) as Check
      let operations = 0
      let violations = 0
      for (let round = 0; round < ROUNDS_MAX && violations === 0; round++) {
        const history = await run(level, ROUND_MS, check)
        operations += history.length
        violations = check(history).length
      }
      expect(violations, `${operations} operations, ${again}`).toBeGreaterThan(0)
    }, 60_000)
  }
})
