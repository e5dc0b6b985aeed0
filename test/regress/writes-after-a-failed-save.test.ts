/**
 * After a failed save writes are refused with MISCONF. What its text says to turn off did not help until the next save:
 * redis-server looks at `stop-writes-on-bgsave-error` and `save` at every write.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, plain, startNode, startRedisServer } from '../support/servers.js'

const redis = requireReal('redis-server')

for (const kind of ['redis', 'ours'] as const) {
  redis.test(`${kind}: the refusal follows its directives at once`, async () => {
    const server = kind === 'ours' ? await startNode() : await startRedisServer(redis.path)
    // The place of the snapshot is taken by something that no file can replace.
    mkdirSync(join(server.dir, 'dump.rdb', 'full'), { recursive: true })
    await server.call('CONFIG', 'SET', 'save', '3600 1000')
    await server.call('BGSAVE')
    await until('it has failed', async () => (await infoOf(server)).rdb_last_bgsave_status === 'err')
    const write = async (): Promise<string> => String(plain(await server.call('SET', 'key', 'value'))).slice(0, 8)
    expect(await write()).toBe('-MISCONF')
    for (const [name, off, on] of [
      ['stop-writes-on-bgsave-error', 'no', 'yes'],
      ['save', '', '3600 1000'],
    ] as const) {
      await server.call('CONFIG', 'SET', name, off)
      expect(await write(), name).toBe('OK')
      await server.call('CONFIG', 'SET', name, on)
      expect(await write(), name).toBe('-MISCONF')
    }
    // It would not end without a save.
    await server.call('CONFIG', 'SET', 'save', '')
  })
}
