/**
 * Client-side caching, asked the same of our node and of redis-server: the same replies and the same messages, on the
 * connection they belong to and after the same command. And the bound of the table, which is ours.
 */
import { expect, test } from 'vitest'
import { plain, RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { startNode, startRedisServer } from '../support/servers.js'
import { play, scenes } from '../support/tracking-scenes.js'

const redis = requireReal('redis-server')

redis.describe('as redis-server does', () => {
  test('replies and messages', async () => {
    const [ours, theirs] = [await startNode(), await startRedisServer(redis.path)]
    for (const [name, script] of Object.entries(scenes)) {
      await ours.call('FLUSHALL')
      await theirs.call('FLUSHALL')
      expect(await play(ours.port, script), name).toEqual(await play(theirs.port, script))
    }
  })
})

test('a reader whose messages have nobody to go to hears of it', async () => {
  const node = await startNode()
  const [reader, receiver, writer] = [
    await RawClient.open(node.port),
    await RawClient.open(node.port),
    await RawClient.open(node.port),
  ]
  await reader.call('HELLO', '3')
  const id = (await receiver.call('CLIENT', 'ID')) as number
  await reader.call('CLIENT', 'TRACKING', 'on', 'REDIRECT', String(id))
  await reader.call('GET', 'k')
  await receiver.call('QUIT')
  await receiver.untilClosed()
  await writer.call('SET', 'k', '1')
  expect(plain(await reader.next())).toEqual(['tracking-redir-broken', id])
  expect(await reader.call('CLIENT', 'INFO')).toContain(' flags=tR ')
  for (const client of [reader, writer]) client.close()
})

test('the table holds as many keys as it may; readers of the oldest hear that they changed', async () => {
  const node = await startNode({ args: ['--tracking-table-max-keys', '3'] })
  const reader = await RawClient.open(node.port)
  await reader.call('HELLO', '3')
  await reader.call('CLIENT', 'TRACKING', 'on')
  await reader.call('MGET', 'a', 'b', 'c', 'd', 'e')
  expect(plain(await reader.next())).toEqual(['invalidate', ['a']])
  expect(plain(await reader.next())).toEqual(['invalidate', ['b']])
  expect(node.server.tracking.counts).toEqual({ clients: 1, keys: 3, items: 3, prefixes: 0 })

  // What waits in an expired key's place, or comes in a snapshot, is heard of as well.
  node.server.engine.flush()
  expect(plain(await reader.next())).toEqual(['invalidate', null])
  expect(node.server.tracking.counts.keys).toBe(0)
  await reader.call('GET', 'k')
  reader.close()
  await expect.poll(() => node.server.tracking.counts).toEqual({ clients: 0, keys: 0, items: 0, prefixes: 0 })
})

test('an expired key is heard of by who has read it', async () => {
  const node = await startNode()
  const reader = await RawClient.open(node.port)
  await reader.call('HELLO', '3')
  await reader.call('CLIENT', 'TRACKING', 'on', 'NOLOOP')
  await reader.call('SET', 'k', '1', 'PX', '1000000')
  await reader.call('GET', 'k')
  // Its time is over, without anybody touching it.
  const { table } = node.server.engine.database(0)
  table.setExpireAt(table.slotOf('k'), 1)
  expect(plain(await reader.next())).toEqual(['invalidate', ['k']])
  reader.close()
})
