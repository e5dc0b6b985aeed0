/**
 * What replicas serve is measured, and compared with what the master holds.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { WorkerOptions } from '../../src/proxy/worker.js'
import { type DelayLink, startDelayLink } from '../support/delay.js'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.describe('what replicas serve', () => {
  let master: RedisNode
  let replica: RedisNode
  let link: DelayLink

  beforeAll(async () => {
    master = (await startGroup(redis.path, 0))[0] as RedisNode
    link = await startDelayLink(master.address, 0)
    replica = new RedisNode(redis.path, await freePort())
    await replica.start('--replicaof', '127.0.0.1', String(link.port), '--replica-read-only', 'no')
    await until('the replica is linked', async () => (await replica.info()).master?.up === true)
  })

  afterAll(async () => {
    await Promise.all([master, replica].map(node => node?.stop()))
    await link?.close()
  })

  async function open(options: Partial<WorkerOptions>): Promise<{ proxy: ProxyUnderTest; client: RawClient }> {
    link.stall(false)
    const proxy = new ProxyUnderTest(options)
    await proxy.start(master.port, [replica.port])
    const client = await RawClient.open(proxy.port)
    onTestFinished(async () => {
      client.close()
      await proxy.stop()
    })
    await client.call('SET', 'key', 'v')
    await until('the replica has everything', async () => {
      const one = proxy.worker.group?.replicas[0]
      return one?.usable === true && one.applied === (await master.info()).offset
    })
    return { proxy, client }
  }

  test('how stale it was, in bytes and in seconds', async () => {
    const { proxy, client } = await open({ level: 'eventual' })
    const beyond = (name: string, least: number): number => {
      const [series] = proxy.store.snapshot().filter(one => one.name === name)
      return (series?.counts ?? []).slice(least).reduce((sum, count) => sum + count, 0)
    }
    // Buckets end at 1 KB, and at 50 ms.
    const [farBytes, farSeconds] = [
      () => beyond('lagrange_read_staleness_bytes', 3),
      () => beyond('lagrange_read_staleness_seconds', 7),
    ]
    await client.call('GET', 'key')
    expect([farBytes(), farSeconds()]).toEqual([0, 0])
    link.stall(true)
    await client.call('SET', 'large', 'x'.repeat(5000))
    await until('the bytes are missed', async () => {
      await client.call('GET', 'key')
      return farBytes() > 0
    })
    await until('time passes', async () => {
      await client.call('GET', 'key')
      return farSeconds() > 0
    })
  })

  test('a replica that holds something else is found out, and one that does not is not accused', async () => {
    const { proxy, client } = await open({ verifyEvery: 1 })
    const verified = (result: string): number => proxy.count('lagrange_verified_reads_total', { result })
    await until('reads were compared', async () => {
      expect(await client.call('GET', 'key')).toBe('v')
      return verified('equal') > 20
    })
    expect(verified('different')).toBe(0)
    await replica.call('SET', 'key', 'diverged')
    await until('it is reported', async () => {
      await client.call('GET', 'key')
      return proxy.events.some(event => event.name === '+diverged')
    })
    const [event] = proxy.events.filter(one => one.name === '+diverged')
    expect(event).toMatchObject({ level: 'error', fields: { node: replica.id, command: 'get' } })
    expect(JSON.stringify(proxy.events)).not.toContain('"key"')
  })

  test('when lag is everywhere, replicas go on serving where it is asked for', async () => {
    const { proxy, client } = await open({ level: 'bounded', boundMs: 20, rails: { minServing: 1, masterShareMax: 1 } })
    link.stall(true)
    await client.call('SET', 'key', 'new')
    await until('the bound is over', async () => {
      await client.call('GET', 'key')
      return proxy.count('lagrange_read_routing_total', { because: 'min-serving' }) > 0
    })
    expect(proxy.count('lagrange_read_routing_total', { because: 'no-replica-within-bound' })).toBe(0)
  })
})
