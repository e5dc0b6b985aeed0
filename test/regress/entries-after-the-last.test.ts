/**
 * XREAD BLOCK with `$` that had to be sent again, as its connection was lost or its master demoted, was sent with `$`: what
 * had been added meanwhile was never read, and the reader waited for ever.
 */
import { expect, onTestFinished } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { inFrontOfLinks, openClient } from '../support/in-front.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { plain } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

const waits = (node: RedisNode): Promise<void> =>
  until('it waits', async () => (textOf(await node.call('INFO', 'clients')) ?? '').includes('blocked_clients:1'))

redis.describe('a reader of what comes after the last entry', () => {
  for (const tracks of [false, true]) {
    redis.test(`gets it though its connection was lost${tracks ? ', while it tracks' : ''}`, async () => {
      const { proxy, master, toMaster } = await inFrontOfLinks(redis.path, {})
      const [client, writer] = [await openClient(proxy), await openClient(proxy)]
      await writer.call('SELECT', '3')
      await writer.call('XADD', 'old', '5-1', 'f', 'v')
      await writer.call('XADD', 'emptied', '5-1', 'f', 'v')
      await writer.call('XDEL', 'emptied', '5-1')
      await client.call('SELECT', '3')
      if (tracks) await client.call('CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'none')
      const streams = ['old', 'emptied', 'none', 'fixed', '$', '$', '$', '9-9']
      client.send(['XREAD', 'BLOCK', '60000', 'COUNT', '10', 'STREAMS', ...streams], ['ECHO', 'behind'])
      await waits(master)
      // What was answered before it began to wait has come.
      await writer.call('SET', 'another', 'v')
      toMaster.stall(true)
      await master.call(
        'EVAL',
        "redis.call('SELECT', 3) for i, key in ipairs(KEYS) do redis.call('XADD', key, '6-' .. i, 'f', 'v') end",
        '3',
        'old',
        'emptied',
        'none',
      )
      toMaster.cut()
      toMaster.stall(false)
      const entry = (index: number) => [[`6-${index}`, ['f', 'v']]]
      expect(plain(await client.next())).toEqual([
        ['old', entry(1)],
        ['emptied', entry(2)],
        ['none', entry(3)],
      ])
      expect(plain(await client.next())).toBe('behind')
    })
  }

  redis.test('gets it though its master was demoted', async () => {
    const nodes = await startGroup(redis.path, 1)
    const [old, next] = nodes as [RedisNode, RedisNode]
    const proxy = new ProxyUnderTest()
    onTestFinished(async () => {
      await proxy.stop()
      await Promise.all(nodes.map(node => node.stop()))
    })
    await proxy.start(old.port, [next.port])
    const client = await openClient(proxy)
    await client.call('XADD', 'stream', '1-1', 'f', 'v')
    await until('the replica has it', async () => (await old.info()).offset === (await next.info()).offset)
    client.send(['XREAD', 'BLOCK', '0', 'STREAMS', 'stream', '$'])
    await waits(old)
    await next.call('REPLICAOF', 'NO', 'ONE')
    await next.call('XADD', 'stream', '1-2', 'f', 'v')
    await old.call('REPLICAOF', '127.0.0.1', String(next.port))
    await proxy.setMembers(next.port, [old.port])
    expect(plain(await client.next())).toEqual([['stream', [['1-2', ['f', 'v']]]]])
  })
})
