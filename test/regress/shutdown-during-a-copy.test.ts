/**
 * A master that was told to stop while a replica received its full copy stopped at once and said that all replicas were in
 * sync: a copy under way counted as nothing to wait for. redis-server waits for every replica whose acknowledgement is behind.
 */
import { expect } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

for (const kind of ['redis', 'ours'] as const) {
  for (const diskless of ['yes', 'no']) {
    redis.test(`${kind}: a stop waits for the copy, repl-diskless-sync ${diskless}`, async () => {
      const { master, stop } = await start(kind, ['--repl-diskless-sync', diskless])
      const replica = await startRedisServer(redis.path)
      await master.call('DEBUG', 'POPULATE', '100')
      await master.call('CONFIG', 'SET', 'rdb-key-save-delay', '5000')
      await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
      await until('the copy is cut', async () => (await infoOf(master)).rdb_bgsave_in_progress === '1')
      await master.call('SET', 'later', '1')
      await stop()
      expect(master.log()).toMatch(/1 of 1 replicas are in sync when shutting down/)
      expect(textOf(await replica.call('GET', 'later'))).toBe('1')
    })

    redis.test(`${kind}: but not for longer than shutdown-timeout, repl-diskless-sync ${diskless}`, async () => {
      const { master, stop } = await start(kind, ['--repl-diskless-sync', diskless, '--shutdown-timeout', '1'])
      const replica = await startRedisServer(redis.path)
      await master.call('SET', 'key', '1')
      await master.call('CONFIG', 'SET', 'rdb-key-save-delay', '60000000')
      await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
      await until('the copy is cut', async () => (await infoOf(master)).rdb_bgsave_in_progress === '1')
      await master.call('SET', 'later', '1')
      await stop()
      expect(master.log()).toMatch(/0 of 1 replicas are in sync when shutting down/)
    })
  }
}

async function start(
  kind: 'redis' | 'ours',
  args: readonly string[],
): Promise<{ master: TestServer; stop: () => Promise<unknown> }> {
  if (kind === 'redis') {
    const master = await startRedisServer(redis.path, { args })
    return { master, stop: master.stop }
  }
  const master = await startNode({ args })
  const stop = (): Promise<unknown> => {
    master.server.shutdown.request({ save: undefined, now: false, force: false })
    return master.server.stopped
  }
  return { master, stop }
}
