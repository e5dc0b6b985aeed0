/**
 * With CLIENT TRACKING on, what may wait went to a connection of its own, which remembered nothing: a stream that was read
 * with XREAD was never invalidated. And with NOLOOP a client heard of what its own BLPOP had taken, as another connection
 * had taken it.
 */
import { expect, onTestFinished } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { inFrontOfLinks, openClient } from '../support/in-front.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { plain } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { startRedisServer } from '../support/servers.js'
import { play } from '../support/tracking-scenes.js'

const redis = requireReal('redis-server')

const scene = `
  a|HELLO 3
  a|CLIENT TRACKING on NOLOOP
  a|XREAD STREAMS s 0
  b|XADD s 1-1 f v
  a|XREAD COUNT 1 STREAMS s 0
  b|XADD s 1-2 f v
  a|XREAD BLOCK 1 STREAMS s $
  b|XADD s 1-3 f v
  a|XREAD BLOCK 1000 STREAMS s 0
  b|XADD s 1-4 f v
  a|XGROUP CREATE s g 0
  a|XREADGROUP GROUP g c BLOCK 1 STREAMS s >
  b|XADD s 1-5 f v
  a|RPUSH l x y z
  a|LRANGE l 0 -1
  a|BLPOP l 1
  a|LRANGE l 0 -1
  b|BLPOP l 1
  a|BLPOP
  a|CLIENT TRACKING off
  a|CLIENT TRACKING on OPTIN
  a|XREAD BLOCK 1 STREAMS s $
  b|XADD s 1-6 f v
  a|CLIENT CACHING yes
  a|XREAD BLOCK 1 STREAMS s $
  b|XADD s 1-7 f v
  a|CLIENT CACHING yes
  a|XREAD STREAMS s 1-7
  b|XADD s 1-8 f v`

redis.describe('a client that tracks', () => {
  redis.test('hears of what it has read with commands that may wait, and not of what it has taken', async () => {
    const theirs = await startRedisServer(redis.path)
    const proxy = new ProxyUnderTest()
    onTestFinished(() => proxy.stop())
    await proxy.start(theirs.port, [])
    const expected = await play(theirs.port, scene)
    // Ids that no other number is taken for.
    for (let id = 1; id < 10; id++) await openClient(proxy)
    await (await openClient(proxy)).call('FLUSHALL')
    expect(await play(proxy.port, scene, expected)).toEqual(expected)
  })

  redis.test('goes on waiting when its connection is lost, and can be woken up', async () => {
    const { proxy, master, toMaster } = await inFrontOfLinks(redis.path, {})
    const [client, other] = [await openClient(proxy), await openClient(proxy)]
    await client.call('HELLO', '3')
    const id = (await client.call('CLIENT', 'ID')) as number
    expect(await client.call('CLIENT', 'TRACKING', 'ON')).toBe('OK')
    const clients = async () => textOf(await master.call('INFO', 'clients')) ?? ''
    const waits = () => until('it waits', async () => (await clients()).includes('blocked_clients:1'))
    client.send(['BLMOVE', 'from', 'to', 'LEFT', 'RIGHT', '0'], ['ECHO', 'behind'])
    await waits()
    expect(await other.call('CLIENT', 'UNBLOCK', String(id))).toBe(1)
    expect([plain(await client.next()), plain(await client.next())]).toEqual([null, 'behind'])

    client.send(['XREAD', 'BLOCK', '0', 'STREAMS', 'stream', '0'])
    await waits()
    toMaster.cut()
    // What it has read it is to forget.
    expect(plain(await client.next())).toEqual(['invalidate', null])
    await waits()
    await other.call('XADD', 'stream', '1-1', 'f', 'v')
    let reply = plain(await client.next())
    while (Array.isArray(reply) && reply[0] === 'invalidate') reply = plain(await client.next())
    expect(JSON.stringify(reply)).toContain('"1-1"')
  })
})
