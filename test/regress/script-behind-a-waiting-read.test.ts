/**
 * A read waited for a replica that was about to be fresh enough. EVAL_RO behind it, which is the master's to answer, was sent
 * at once, and showed an older value than the read before it did in the end.
 */
import { expect } from 'vitest'
import { inFrontOfLinks, openClient } from '../support/in-front.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.test('what only the master answers waits for the reads before it', async () => {
  const { proxy, toReplica } = await inFrontOfLinks(redis.path, { waitMs: 4000 })
  const [reader, writer] = [await openClient(proxy), await openClient(proxy)]
  await writer.call('SET', 'key', 'a')
  await until('the replica answers', async () => {
    await reader.call('GET', 'key')
    return String(await reader.call('LAGRANGE', 'WHY')).includes('fresh-replica')
  })
  toReplica.stall(true)
  await writer.call('SET', 'key', 'b')
  reader.send(['GET', 'key'], ['EVAL_RO', "return redis.call('GET', KEYS[1])", '1', 'key'])
  await until('both are there', () => [...proxy.worker.sessions.values()].some(({ outstanding }) => outstanding === 2))
  // Whatever goes to the master at once is there before this.
  await writer.call('SET', 'key', 'c')
  toReplica.stall(false)
  expect([await reader.next(), await reader.next()]).toMatchObject([{ value: 'c' }, { value: 'c' }])
})
