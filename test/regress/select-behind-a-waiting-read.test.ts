/**
 * A read that waits, or is sent again, and a SELECT behind it in the same pipeline: the read was executed in the database
 * that was selected after it.
 */
import { expect, test } from 'vitest'
import type { DelayLink } from '../support/delay.js'
import { inFrontOfLinks, openClient } from '../support/in-front.js'
import type { ProxyUnderTest } from '../support/proxy.js'
import type { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.describe('a read with SELECT behind it', () => {
  async function world(): Promise<{
    client: RawClient
    proxy: ProxyUnderTest
    toMaster: DelayLink
    toReplica: DelayLink
  }> {
    const { proxy, toMaster, toReplica } = await inFrontOfLinks(redis.path, { waitMs: 10_000 })
    const client = await openClient(proxy)
    await client.call('SET', 'key', 'here')
    await until(
      'the replica has it',
      () => (proxy.worker.group?.replicas[0]?.applied ?? 0) >= (proxy.worker.group?.head ?? 0),
    )
    return { client, proxy, toMaster, toReplica }
  }

  test('is executed where it was meant, however long it waits for a replica', async () => {
    const { client, proxy, toReplica } = await world()
    toReplica.stall(true)
    await client.call('SET', 'key', 'new')
    await until('the write is settled', () => proxy.worker.group?.marks.inFlight === 0)
    client.send(['GET', 'key'], ['SELECT', '1'], ['GET', 'key'])
    await until('it waits', () => proxy.count('lagrange_read_routing_total', { decision: 'wait' }) > 0)
    toReplica.stall(false)
    expect(await client.next()).toMatchObject({ value: 'new' })
    expect(await client.next()).toMatchObject({ value: 'OK' })
    expect((await client.next()).type).toBe('null')
  })

  test('is executed where it was meant, when its connection dies and it is asked again', async () => {
    const { client, proxy, toMaster } = await world()
    toMaster.stall(true)
    client.send(['DBSIZE'], ['SELECT', '1'])
    await until('it is sent', () => proxy.worker.group?.master?.pending === 1)
    toMaster.cut()
    toMaster.stall(false)
    expect(await client.next()).toMatchObject({ value: 2 })
    expect(await client.next()).toMatchObject({ value: 'OK' })
  })
})
