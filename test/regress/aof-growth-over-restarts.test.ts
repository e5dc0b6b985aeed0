/**
 * `auto-aof-rewrite-percentage` counted from the size that the files had at the last start: a node that was started again
 * now and then never rewrote them. redis-server counts from its base.
 */
import { expect } from 'vitest'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

for (const kind of ['redis', 'ours'] as const) {
  redis.test(`${kind}: what the increments had before a restart is growth after it`, async () => {
    const start = (dir: string | undefined, ...more: string[]): Promise<TestServer> => {
      const options = { args: ['--appendonly', 'yes', ...more], ...(dir === undefined ? {} : { dir }) }
      return kind === 'ours' ? startNode(options) : startRedisServer(redis.path, options)
    }
    const first = await start(undefined)
    for (let index = 0; index < 20; index++) await first.call('SET', 'key', 'x'.repeat(10_000))
    await first.stop()
    const second = await start(first.dir)
    const { aof_base_size, aof_current_size } = await infoOf(second)
    expect(Number(aof_base_size)).toBeLessThan(1000)
    expect(Number(aof_current_size)).toBeGreaterThan(200_000)
    await second.stop()
    const third = await start(first.dir, '--auto-aof-rewrite-min-size', '100kb')
    await until('it is rewritten', async () => Number((await infoOf(third)).aof_current_size) < 100_000)
  })
}
