/**
 * A client that did not wait for the answer to UNSUBSCRIBE before it subscribed again (Celery waits for results like that) was
 * subscribed a round trip late: what was published in between, after it had asked, it never heard.
 */
import { expect } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { inFrontOfLinks, openClient } from '../support/in-front.js'
import { plain } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.test('a client subscribes again without the answers to what it asked before', async () => {
  const { proxy, master, toMaster } = await inFrontOfLinks(redis.path, {})
  const client = await openClient(proxy)
  client.send(['SUBSCRIBE', 'a'])
  expect(plain(await client.next())).toEqual(['subscribe', 'a', 1])
  toMaster.stall(true)
  client.send(['UNSUBSCRIBE', 'a'], ['SUBSCRIBE', 'b', 'c'], ['PSUBSCRIBE', 'd*'], ['UNSUBSCRIBE'], ['PING'])
  await until('it is subscribed, although no answer has come', async () => {
    const channels = await master.call('PUBSUB', 'CHANNELS')
    return channels.type === 'array' && channels.items.map(textOf).sort().join() === 'b,c'
  })
  expect(await master.call('PUBLISH', 'b', 'news')).toMatchObject({ value: 1 })
  toMaster.stall(false)
  const heard: unknown[] = []
  while (heard.length < 8) heard.push(plain(await client.next()))
  expect(heard.slice(0, 5)).toEqual([
    ['unsubscribe', 'a', 0],
    ['subscribe', 'b', 1],
    ['subscribe', 'c', 2],
    ['psubscribe', 'd*', 3],
    ['message', 'b', 'news'],
  ])
  // What names nothing has as many answers as there are names left by then; the rest waits for it.
  expect(
    heard
      .slice(5, 7)
      .map(answer => (answer as unknown[]).slice(0, 2).join(' '))
      .sort(),
  ).toEqual(['unsubscribe b', 'unsubscribe c'])
  expect(heard[7]).toEqual(['pong', ''])
})
