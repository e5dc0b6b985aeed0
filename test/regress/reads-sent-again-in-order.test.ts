/**
 * Two reads of one key, one behind the other, lost their replica. The first waited for another one that was about to be fresh
 * enough; the second went to the master, and was shown an older value than the first was in the end.
 */
import { expect, onTestFinished } from 'vitest'
import { startDelayLink } from '../support/delay.js'
import { openClient } from '../support/in-front.js'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { requireReal } from '../support/real.js'
import { RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.test('reads that lost their replica are shown nothing older than the ones before them', async () => {
  const [master, dying] = (await startGroup(redis.path, 1)) as [RedisNode, RedisNode]
  const toLate = await startDelayLink(master.address, 0)
  const late = new RedisNode(redis.path, await freePort())
  const proxy = new ProxyUnderTest({ waitMs: 4000 })
  onTestFinished(async () => {
    await proxy.stop()
    await Promise.all([master.stop(), dying.stop(), late.stop(), toLate.close()])
  })
  await late.start('--replicaof', '127.0.0.1', String(toLate.port))
  await until('it is linked', async () => (await late.info()).master?.up === true)
  await proxy.start(master.port, [dying.port, late.port])
  const [reader, writer] = [await openClient(proxy), await openClient(proxy)]
  toLate.stall(true)
  await writer.call('SET', 'key', 'b')
  await until('only one replica has it, and answers', async () => {
    await reader.call('GET', 'key')
    return String(await reader.call('LAGRANGE', 'WHY')).includes(dying.id)
  })
  dying.signal('SIGSTOP')
  reader.send(['GET', 'key'], ['GET', 'key'])
  await until('the first is given up', () => proxy.events.some(({ fields }) => fields.reason === 'read-timeout'))
  await writer.call('SET', 'key', 'c')
  toLate.stall(false)
  expect([await reader.next(), await reader.next()]).toMatchObject([{ value: 'c' }, { value: 'c' }])
  dying.signal('SIGCONT')
})
