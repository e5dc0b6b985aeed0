/**
 * How often a worker wants to be told what replicas have applied: seldom as long as nobody misses it, and what becomes of
 * reads that would have waited for it.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Pace } from '../../src/topology/pace.js'
import { type DelayLink, startDelayLink } from '../support/delay.js'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.describe('the pace of freshness', () => {
  let master: RedisNode
  let replica: RedisNode
  let link: DelayLink
  let proxy: ProxyUnderTest
  const asked: Pace[] = []

  beforeAll(async () => {
    master = (await startGroup(redis.path, 0))[0] as RedisNode
    link = await startDelayLink(master.address, 0)
    replica = new RedisNode(redis.path, await freePort())
    await replica.start('--replicaof', '127.0.0.1', String(link.port))
    await until('the replica is linked', async () => (await replica.info()).master?.up === true)
    proxy = new ProxyUnderTest({ waitMs: 1000 }, 1, pace => asked.push(pace))
    await proxy.start(master.port, [replica.port])
  })

  afterAll(async () => {
    await proxy?.stop()
    await Promise.all([master, replica].map(node => node?.stop()))
    await link?.close()
  })

  async function calm(): Promise<RawClient> {
    link.stall(false)
    const client = await RawClient.open(proxy.port)
    onTestFinished(() => client.close())
    await client.call('SET', 'key', 'old')
    await until('the replica has it', async () => {
      return proxy.worker.group?.replicas[0]?.applied === (await master.info()).offset
    })
    await until('it is calm', () => proxy.worker.group?.urgency.pace === 'calm')
    asked.length = 0
    return client
  }

  function routed(because: string): number {
    return proxy.count('lagrange_read_routing_total', { because })
  }

  test('a read of what was just written goes to the master at once while calm, and then it is quick', async () => {
    const client = await calm()
    link.stall(true)
    const [before, waited] = [routed('no-fresh-replica'), routed('replica-about-to-qualify')]
    await client.call('SET', 'key', 'new')
    await until('the write is settled', () => proxy.worker.group?.marks.inFlight === 0)
    // The replica, of which is known that it was not behind a moment ago, does not have it.
    expect(await client.call('GET', 'key')).toBe('new')
    expect(routed('no-fresh-replica')).toBe(before + 1)
    expect(routed('replica-about-to-qualify')).toBe(waited)
    await until('it is quick', () => asked.includes('quick'))
  })

  test('while quick such a read waits for the replica', async () => {
    const client = await calm()
    proxy.worker.group?.urgency.hurry()
    link.stall(true)
    const waited = routed('replica-about-to-qualify')
    await client.call('SET', 'key', 'new')
    const answer = client.call('GET', 'key')
    await until('it waits', () => routed('replica-about-to-qualify') > waited)
    link.stall(false)
    expect(await answer).toBe('new')
    expect(asked).toContain('quick')
  })

  test.each([
    ['WAIT', ['WAIT', '1', '1000'], 1],
    ['a strong read', ['GET', 'key'], 'new'],
  ] as const)('%s makes it quick', async (name, command, answer) => {
    const client = await calm()
    if (name !== 'WAIT') await client.call('LAGRANGE', 'CONSISTENCY', 'strong')
    link.stall(true)
    await client.call('SET', 'key', 'new')
    const answered = client.call(...command)
    await until('it is quick', () => asked[0] === 'quick')
    link.stall(false)
    expect(await answered).toBe(answer)
  })

  test('reads that find their replica, and writes, leave it calm', async () => {
    const client = await calm()
    for (let round = 0; round < 100; round++) {
      await client.call('SET', 'other', 'value')
      await client.call('GET', 'key')
    }
    expect(asked).toEqual([])
    expect(proxy.worker.group?.urgency.pace).toBe('calm')
  })
})
