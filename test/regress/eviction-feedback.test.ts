/**
 * Messages of tracking that evictions cause stood in the reply buffers until the turn was over. Whoever looked at the memory
 * before that, a command or the timer, took them for a reason to evict more, and that for another: 239 keys went for 37.
 */
import { expect, test } from 'vitest'
import { RawClient } from '../support/raw-client.js'
import { infoOf, startNode } from '../support/servers.js'

test('telling of evicted keys evicts no more of them', async () => {
  const node = await startNode()
  const trackers = await Promise.all(Array.from({ length: 10 }, () => RawClient.open(node.port)))
  for (const tracker of trackers) {
    await tracker.call('HELLO', '3')
    await tracker.call('CLIENT', 'TRACKING', 'ON')
  }
  const nameOf = (index: number): string => `${index}${'x'.repeat(1000)}`
  for (let index = 0; index < 300; index++) {
    await node.call('SET', nameOf(index), 'x')
    await Promise.all(trackers.map(tracker => tracker.call('GET', nameOf(index))))
  }
  await node.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  await node.call('CONFIG', 'SET', 'maxmemory-eviction-tenacity', '100')
  const used = Number((await infoOf(node, 'memory')).used_memory)
  await node.call('CONFIG', 'SET', 'maxmemory', String(used - 40_000))
  // In one turn: the limit is looked at again while the messages are still to be sent.
  node.server.memory.relieve()
  node.server.memory.tick()
  node.server.memory.relieve()
  const evicted = Number((await infoOf(node, 'stats')).evicted_keys)
  expect(evicted).toBeGreaterThanOrEqual(30)
  expect(evicted).toBeLessThan(60)
  for (const tracker of trackers) tracker.close()
})
