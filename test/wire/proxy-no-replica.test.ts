/**
 * What becomes of a read when no replica qualifies, where a policy or a token has a say in it; and sessions whose
 * connections are at several workers.
 */
import { expect, onTestFinished, test } from 'vitest'
import type { WorkerOptions } from '../../src/proxy/worker.js'
import { type DelayLink, startDelayLink } from '../support/delay.js'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { type Plain, RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

interface World {
  readonly master: RedisNode
  readonly link: DelayLink
  /** One proxy for each of these. */
  readonly proxies: readonly ProxyUnderTest[]
  open(proxy: ProxyUnderTest, ...first: string[][]): Promise<RawClient>
  caughtUp(): Promise<void>
}

async function world(...options: readonly Partial<WorkerOptions>[]): Promise<World> {
  const master = (await startGroup(redis.path, 0))[0] as RedisNode
  const link = await startDelayLink(master.address, 0)
  const replica = new RedisNode(redis.path, await freePort())
  const proxies = options.map(each => new ProxyUnderTest(each))
  onTestFinished(async () => {
    await Promise.all(proxies.map(proxy => proxy.stop()))
    await Promise.all([master.stop(), replica.stop(), link.close()])
  })
  await replica.start('--replicaof', '127.0.0.1', String(link.port))
  await until('the replica is linked', async () => (await replica.info()).master?.up === true)
  for (const proxy of proxies) await proxy.start(master.port, [replica.port])
  return {
    master,
    link,
    proxies,
    async open(proxy, ...first) {
      const client = await RawClient.open(proxy.port)
      onTestFinished(() => client.close())
      for (const command of first) expect(await client.call(...command)).toBe('OK')
      return client
    },
    async caughtUp() {
      await until('the replica has everything', async () => {
        const { offset } = await master.info()
        return proxies.every(proxy => {
          const [one] = proxy.worker.group?.replicas ?? []
          return one?.usable === true && one.applied === offset
        })
      })
    },
  }
}

const level = (...words: string[]): string[] => ['LAGRANGE', 'CONSISTENCY', ...words]

async function because(client: RawClient): Promise<string> {
  return String(((await client.call('LAGRANGE', 'WHY')) as Plain[])[1])
}

redis.describe('when no replica qualifies and the master is spared', () => {
  test('a read is refused, what is the master’s is not, and a replica that qualifies in time is waited for', async () => {
    const { link, proxies, open, caughtUp } = await world({ noReplica: 'error', waitMs: 5 })
    const [proxy] = proxies as [ProxyUnderTest]
    const client = await open(proxy)
    await client.call('SET', 'key', 'old')
    await caughtUp()
    expect(await client.call('GET', 'key')).toBe('old')
    expect(await because(client)).toBe('fresh-replica')

    link.stall(true)
    expect(await client.call('SET', 'key', 'new')).toBe('OK')
    for (const words of [['causal'], ['bounded', '1'], ['strong']]) {
      const other = await open(proxy, level(...words))
      await until('its age is known', async () => /^-NOREPLICA /.test(String(await other.call('GET', 'key'))))
    }
    expect(proxy.count('lagrange_reads_refused_total')).toBeGreaterThanOrEqual(3)
    expect(await client.pipeline(['MULTI'], ['GET', 'key'], ['EXEC'])).toEqual(['OK', 'QUEUED', ['new']])
    expect(await client.call('DBSIZE')).toBe(2)
    expect(await (await open(proxy, level('eventual'))).call('GET', 'key')).toBe('old')

    link.stall(false)
    await caughtUp()
    expect(await client.call('GET', 'key')).toBe('new')
  })

  test('at level session: the first read is the master’s, then replicas alone answer', async () => {
    const { link, proxies, open, caughtUp } = await world({ noReplica: 'error', waitMs: 5, level: 'session' })
    const client = await open((proxies as [ProxyUnderTest])[0])
    await client.call('SET', 'key', 'old')
    await caughtUp()
    expect(await client.call('GET', 'key')).toBe('old')
    link.stall(true)
    await client.call('SET', 'key', 'new')
    expect(await client.call('GET', 'key')).toMatch(/^-NOREPLICA /)
    link.stall(false)
    await caughtUp()
    expect(await client.call('GET', 'key')).toBe('new')
  })
})

redis.describe('a token', () => {
  for (const words of [['eventual'], ['bounded', '60000'], ['session'], ['causal'], ['strong']]) {
    test(`is kept to at level ${words[0]}, through another proxy`, async () => {
      const { link, proxies, open, caughtUp } = await world({}, {})
      const [here, there] = proxies as [ProxyUnderTest, ProxyUnderTest]
      const [writer, reader] = [await open(here), await open(there, level(...words))]
      await writer.call('SET', 'key', 'old')
      await caughtUp()
      link.stall(true)
      await writer.call('SET', 'key', 'new')
      const token = String(await writer.call('LAGRANGE', 'TOKEN'))
      expect(await reader.call('LAGRANGE', 'AFTER', token, '20')).toBe('OK')
      expect(await reader.call('GET', 'key')).toBe('new')
      link.stall(false)
      await caughtUp()
      expect(await reader.call('GET', 'key')).toBe('new')
    })
  }
})

redis.describe('a session at several workers', () => {
  test('by client name: reads what any of its connections wrote or saw, and still from replicas', async () => {
    const both = { sessionBy: 'client-name', level: 'session', workers: 2, waitMs: 50 } as const
    const { link, proxies, open, caughtUp } = await world(both, both)
    const [first, second] = proxies as [ProxyUnderTest, ProxyUnderTest]
    const name = ['CLIENT', 'SETNAME', 'pool']
    const [a, b, stranger] = [await open(first, name), await open(second, name), await open(second)]
    await a.call('SET', 'key', 'old')
    await caughtUp()
    for (const client of [b, stranger]) {
      await until('it reads from the replica', async () => {
        expect(await client.call('GET', 'key')).toBe('old')
        return /^(fresh-replica|read-index)$/.test(await because(client))
      })
    }
    link.stall(true)
    await a.call('SET', 'key', 'new')
    expect(await b.call('GET', 'key')).toBe('new')
    expect(await stranger.call('GET', 'key')).toBe('old')
    expect(await b.pipeline(['GET', 'key'], ['GET', 'key'], ['SET', 'key', 'newer'], ['GET', 'key'])).toEqual([
      'new',
      'new',
      'OK',
      'newer',
    ])
    expect(await a.call('GET', 'key')).toBe('newer')
    link.stall(false)
    await caughtUp()
    await until('it reads from the replica again', async () => {
      expect(await b.call('GET', 'key')).toBe('newer')
      return /^(fresh-replica|read-index)$/.test(await because(b))
    })
  })
})

redis.test('reads that a small table of marks costs their replica are counted, and only those', async () => {
  const { link, proxies, open, caughtUp } = await world({ slots: 16 }, {})
  const [small, large] = proxies as [ProxyUnderTest, ProxyUnderTest]
  const keys = Array.from({ length: 200 }, (_, index) => `key:${index}`)
  for (const proxy of [small, large]) {
    const client = await open(proxy)
    await client.call('SET', 'other', 'x')
    await caughtUp()
    link.stall(true)
    await client.call('SET', 'key:0', 'new')
    await until('the write is settled', () => proxy.worker.group?.marks.inFlight === 0)
    for (const key of keys) await client.call('GET', key)
    link.stall(false)
    await caughtUp()
  }
  expect(small.count('lagrange_mark_collisions_total')).toBeGreaterThan(0)
  expect(small.count('lagrange_mark_collisions_total')).toBeLessThan(200)
  expect(large.count('lagrange_mark_collisions_total')).toBe(0)
})
