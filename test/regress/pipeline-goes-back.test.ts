/**
 * Reads of one pipeline were spread over replicas that had applied different amounts: a later one was shown an older state
 * of the same key than an earlier one.
 */
import { expect, onTestFinished } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.test('reads of one key that are in flight together are answered by one instance', async () => {
  const nodes = await startGroup(redis.path, 2)
  const [master, ...replicas] = nodes as [RedisNode, ...RedisNode[]]
  const proxy = new ProxyUnderTest()
  onTestFinished(async () => {
    await proxy.stop()
    await Promise.all(nodes.map(node => node.stop()))
  })
  await proxy.start(
    master.port,
    replicas.map(node => node.port),
  )
  const client = await RawClient.open(proxy.port)
  onTestFinished(() => client.close())
  await client.call('SET', 'key', 'v')
  await until('all are fresh', async () => {
    const { offset } = await master.info()
    return proxy.worker.group?.replicas.every(one => one.usable && one.applied === offset) === true
  })
  for (let round = 0; round < 20; round++) {
    for (const node of nodes) await node.call('CONFIG', 'RESETSTAT')
    const replies = await client.pipeline(...Array.from({ length: 20 }, () => ['GET', 'key']))
    expect(new Set(replies)).toEqual(new Set(['v']))
    const calls = await Promise.all(
      nodes.map(
        async node => /cmdstat_get:calls=(\d+)/.exec(textOf(await node.call('INFO', 'commandstats')) ?? '')?.[1],
      ),
    )
    expect(calls.filter(count => count !== undefined)).toEqual(['20'])
  }
})
