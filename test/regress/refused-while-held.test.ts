/**
 * A command that could not be kept, as too much was, left its session in possession of a connection that had been given back:
 * another session was lent it as well, and what the one asked was queued in the other's transaction.
 */
import { expect } from 'vitest'
import { inFrontOfLinks, openClient } from '../support/in-front.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.test('a connection that was waited for in vain is nobody’s, and then one session’s only', async () => {
  const { proxy } = await inFrontOfLinks(redis.path, { holdBytes: 45, holdTimeoutMs: 5000 })
  const [waiting, queueing, filler] = [await openClient(proxy), await openClient(proxy), await openClient(proxy)]
  expect(await waiting.pipeline(['MULTI'], ['EXEC'])).toEqual(['OK', []])
  await proxy.worker.hold({ group: 'main', timeoutMs: 10_000 })
  filler.send(['SET', 'filler', 'xxxxxx'])
  await until('it is kept', () => proxy.worker.group?.keptCommands === 1)
  for (let time = 0; time < 2; time++) {
    expect(await waiting.call('BLPOP', 'list', '1')).toMatch(/^-/)
    expect(proxy.worker.group?.master?.lent).toBe(0)
  }
  await proxy.worker.release('main')
  expect(await filler.next()).toMatchObject({ value: 'OK' })
  expect(await queueing.pipeline(['MULTI'], ['SET', 'key', '1'])).toEqual(['OK', 'QUEUED'])
  expect(await waiting.call('BLPOP', 'list', '0.1')).toBe(null)
  expect(await queueing.call('EXEC')).toEqual(['OK'])
  expect(proxy.worker.group?.master?.lent).toBe(0)
})
