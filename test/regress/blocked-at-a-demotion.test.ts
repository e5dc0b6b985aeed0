/**
 * Clients that wait (BLPOP, WAIT) when a master becomes a replica get an error, and redis-server closes them: they must look
 * for the new master. Ours left them open, at a node that cannot give them what they wait for.
 */
import { expect } from 'vitest'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, startNode, startRedisServer } from '../support/servers.js'

const redis = requireReal('redis-server')

for (const kind of ['redis', 'ours'] as const) {
  for (const command of [
    ['BLPOP', 'list', '0'],
    ['WAIT', '1', '0'],
  ]) {
    redis.test(`${kind}: who waits with ${command[0]} hears why and is closed`, async () => {
      const node = kind === 'ours' ? await startNode() : await startRedisServer(redis.path)
      const client = await RawClient.open(node.port)
      const answer = client.call(...command)
      await until('it waits', async () => (await infoOf(node)).blocked_clients === '1')
      await node.call('REPLICAOF', '127.0.0.1', '1')
      expect(await answer).toMatch(/UNBLOCKED force unblock from blocking operation/)
      await until('it is closed', () => client.closed)
    })
  }
}
