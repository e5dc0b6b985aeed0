/**
 * REPLICAOF in a transaction was refused as it was queued, which is not how an instance refuses it that cannot be a replica.
 * Applications that did not look at the answer went on queueing.
 */
import { expect } from 'vitest'
import { inFrontOfLinks, openClient } from '../support/in-front.js'
import { requireReal } from '../support/real.js'

const redis = requireReal('redis-server')

redis.test('REPLICAOF in a transaction is refused in its turn, SHUTDOWN at once as always', async () => {
  const { proxy, master } = await inFrontOfLinks(redis.path, {})
  const client = await openClient(proxy)
  const [multi, first, replicaof, second] = await client.pipeline(
    ['MULTI'],
    ['SET', 'a', '1'],
    ['REPLICAOF', 'localhost', '9999'],
    ['SET', 'b', '2'],
  )
  expect([multi, first, replicaof, second]).toEqual(['OK', 'QUEUED', 'QUEUED', 'QUEUED'])
  expect(await client.call('EXEC')).toEqual(['OK', expect.stringMatching(/^.*REPLICAOF is not accepted/), 'OK'])
  expect((await master.info()).role).toBe('master')
  await client.call('MULTI')
  expect(await client.call('SHUTDOWN')).toMatch(/Command not allowed inside a transaction/)
  expect(await client.call('EXEC')).toMatch(/EXECABORT/)
})
