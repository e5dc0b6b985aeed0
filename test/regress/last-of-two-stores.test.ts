/**
 * GEORADIUS with STORE more than once writes the destination named last. The first one was marked as written, so another
 * connection's read of what was written went to a replica that did not have it.
 */
import { expect } from 'vitest'
import { inFrontOfLinks, openClient } from '../support/in-front.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.test('what GEORADIUS stores last is read by everybody', async () => {
  const { proxy, toReplica } = await inFrontOfLinks(redis.path, {})
  const [writer, reader] = [await openClient(proxy), await openClient(proxy)]
  await writer.call('GEOADD', 'towns', '13', '38', 'Palermo')
  const isFresh = () => (proxy.worker.group?.replicas[0]?.applied ?? -1) >= (proxy.worker.group?.head ?? 0)
  await until('the replica has it', isFresh)
  toReplica.stall(true)
  for (const [index, stores] of ['STORE a STORE', 'STOREDIST a STORE', 'STORE a STOREDIST'].entries()) {
    const near = ['GEORADIUS', 'towns', '13', '38', '10', 'km', ...stores.split(' '), `near${index}`]
    expect(await writer.call(...near)).toBe(1)
    expect(await reader.call('ZCARD', `near${index}`), stores).toBe(1)
  }
})
