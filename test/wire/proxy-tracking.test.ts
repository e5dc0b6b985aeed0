/**
 * Client-side caching through the proxy: the same as without it, and nothing cached outlives a switch.
 */
import { expect, onTestFinished, test } from 'vitest'
import type { WorkerOptions } from '../../src/proxy/worker.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { plain, RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup } from '../support/redis-group.js'
import { startRedisServer } from '../support/servers.js'
import { play, scenes } from '../support/tracking-scenes.js'

const redis = requireReal('redis-server')

async function start(
  options: Partial<WorkerOptions> = {},
): Promise<{ readonly proxy: ProxyUnderTest; readonly nodes: readonly RedisNode[] }> {
  const nodes = await startGroup(redis.path, 1)
  const proxy = new ProxyUnderTest(options)
  onTestFinished(async () => {
    await proxy.stop()
    await Promise.all(nodes.map(node => node.stop()))
  })
  await proxy.start((nodes[0] as RedisNode).port, [(nodes[1] as RedisNode).port])
  return { proxy, nodes }
}

async function open({ port }: { readonly port: number }): Promise<RawClient> {
  const client = await RawClient.open(port)
  onTestFinished(() => client.close())
  return client
}

redis.describe('client-side caching through the proxy', () => {
  test('replies and messages are those of redis-server', async () => {
    const [{ proxy }, theirs] = [await start(), await startRedisServer(redis.path)]
    for (const [name, whole] of Object.entries(scenes)) {
      // The answer to what the one redirected to writes itself comes on another connection than the message about it.
      const script = whole.split(/\n *b\|SET l 2/)[0] as string
      const cleaner = await open(proxy)
      await cleaner.call('FLUSHALL')
      await theirs.call('FLUSHALL')
      const expected = await play(theirs.port, script)
      expect(await play(proxy.port, script, expected), name).toEqual(expected)
    }
  })

  test('after a switch the client forgets everything, and hears of what the new master changes', async () => {
    const { proxy, nodes } = await start()
    const [reader, receiver, redirecting, writer] = await Promise.all(Array.from({ length: 4 }, () => open(proxy)))
    if (!reader || !receiver || !redirecting || !writer) throw new Error('unreachable')
    await reader.call('HELLO', '3')
    await reader.call('CLIENT', 'TRACKING', 'ON')
    await receiver.call('SUBSCRIBE', '__redis__:invalidate')
    const id = (await reader.call('CLIENT', 'LIST')) as string
    const receiverId = /id=(\d+) \S+ \S+ \S+ \S+ \S+ \S+ flags=P/.exec(id)?.[1] as string
    expect(await redirecting.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', receiverId, 'BCAST', 'PREFIX', 'k')).toBe(
      'OK',
    )
    expect(await redirecting.call('CLIENT', 'GETREDIR')).toBe(Number(receiverId))
    await writer.call('SET', 'k', '1')
    expect(plain(await receiver.next())).toEqual(['message', '__redis__:invalidate', ['k']])
    expect(await reader.call('GET', 'k')).toBe('1')

    const [old, next] = nodes as [RedisNode, RedisNode]
    await next.call('REPLICAOF', 'NO', 'ONE')
    await proxy.setMembers(next.port, [])
    await old.stop()
    expect(plain(await reader.next())).toEqual(['invalidate', null])
    expect(plain(await receiver.next())).toEqual(['message', '__redis__:invalidate', null])

    // Whatever is read from now on is remembered by the new master.
    const untilHeard = async (client: RawClient, wanted: unknown): Promise<void> => {
      while (JSON.stringify(plain(await client.next())) !== JSON.stringify(wanted));
    }
    reader.send(['GET', 'k'])
    await untilHeard(reader, '1')
    await writer.call('SET', 'k', '2')
    await untilHeard(reader, ['invalidate', ['k']])
    // Its redirection may take a moment longer; then it is told once more to forget everything, and hears of each write.
    const heard = untilHeard(receiver, ['message', '__redis__:invalidate', ['k']])
    const again = setInterval(() => writer.send(['SET', 'k', '2']), 20)
    await heard
    clearInterval(again)
    reader.send(['GET', 'k'])
    await untilHeard(reader, '2')
  })

  test('without a master it is refused, and stays off', async () => {
    const { proxy, nodes } = await start({ holdTimeoutMs: 100 })
    const client = await open(proxy)
    await proxy.setMembers(undefined, [])
    expect(await client.call('CLIENT', 'TRACKING', 'ON')).toMatch(/^-MASTERDOWN /)
    expect(await client.call('CLIENT', 'TRACKINGINFO')).toEqual(['flags', ['off'], 'redirect', -1, 'prefixes', []])
    expect(await client.call('CLIENT', 'INFO')).toContain(' flags=N ')
    await proxy.setMembers((nodes[0] as RedisNode).port, [(nodes[1] as RedisNode).port])
    expect(await client.call('CLIENT', 'TRACKING', 'ON', 'OPTOUT')).toBe('OK')
    expect(await client.call('CLIENT', 'TRACKINGINFO')).toContainEqual(['on', 'optout'])
  })
})
