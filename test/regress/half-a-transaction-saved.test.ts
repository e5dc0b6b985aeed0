/**
 * BGSAVE within MULTI saved what stood before it in the transaction and not what stood behind. redis-server answers that it
 * is scheduled, and saves when the transaction is over.
 */
import { expect } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, plain, startNode, startRedisServer } from '../support/servers.js'

const redis = requireReal('redis-server')

for (const kind of ['redis', 'ours'] as const) {
  redis.test(`${kind}: BGSAVE within a transaction saves all of it`, async () => {
    const start = (dir?: string): ReturnType<typeof startNode> | ReturnType<typeof startRedisServer> => {
      const options = dir === undefined ? {} : { dir }
      return kind === 'ours' ? startNode(options) : startRedisServer(redis.path, options)
    }
    const server = await start()
    const saves = async (): Promise<number> => Number((await infoOf(server)).rdb_saves)
    const before = await saves()
    for (const words of [['MULTI'], ['SET', 'a', '1'], ['BGSAVE'], ['SET', 'b', '2']]) await server.call(...words)
    expect(plain(await server.call('EXEC'))).toEqual(['OK', 'Background saving scheduled', 'OK'])
    await until('the save has begun', async () => (await saves()) > before)
    await until('it is saved', async () => (await infoOf(server)).rdb_bgsave_in_progress === '0')
    await server.stop()
    const again = await start(server.dir)
    expect([textOf(await again.call('GET', 'a')), textOf(await again.call('GET', 'b'))]).toEqual(['1', '2'])
  })
}
