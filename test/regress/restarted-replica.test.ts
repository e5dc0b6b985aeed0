/**
 * A replica that was killed and started again is empty until it has been copied anew, and is reached at its old address.
 * What the process before it had applied was taken for its own: reads were answered with nothing.
 */
import { expect, onTestFinished } from 'vitest'
import { startDelayLink } from '../support/delay.js'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.test('a replica that was started again is not read from by the word of its predecessor', async () => {
  const [master] = (await startGroup(redis.path, 0)) as [RedisNode]
  const link = await startDelayLink(master.address, 0)
  const replica = new RedisNode(redis.path, await freePort())
  const proxy = new ProxyUnderTest()
  onTestFinished(async () => {
    await proxy.stop()
    await Promise.all([master, replica].map(node => node.stop()))
    await link.close()
  })
  await replica.start('--replicaof', '127.0.0.1', String(link.port))
  await until('the replica is linked', async () => (await replica.info()).master?.up === true)
  await proxy.start(master.port, [replica.port])
  const client = await RawClient.open(proxy.port)
  onTestFinished(() => client.close())
  const ofReplica = (): number => proxy.count('lagrange_commands_total', { command: 'get', target: 'replica' })

  await client.call('SET', 'key', 'here')
  await until('the replica answers', async () => {
    expect(await client.call('GET', 'key')).toBe('here')
    return ofReplica() > 0
  })
  link.stall(true)
  await replica.end()
  await replica.start('--replicaof', '127.0.0.1', String(link.port))
  expect((await replica.call('GET', 'key')).type).toBe('null')
  for (const level of ['causal', 'session', 'bounded 60000', 'eventual']) {
    expect(await client.call('LAGRANGE', 'CONSISTENCY', ...level.split(' '))).toBe('OK')
    for (let round = 0; round < 20; round++) {
      expect(await client.call('GET', 'key'), level).toBe('here')
      await new Promise(resume => setTimeout(resume, 5))
    }
  }
  link.stall(false)
  const before = ofReplica()
  await until('it has been copied, and answers again', async () => {
    expect(await client.call('GET', 'key')).toBe('here')
    return ofReplica() > before
  })
})
