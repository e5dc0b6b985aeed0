/**
 * The master was replaced while its answer was on its way. What it acknowledged then is in no history any more, and was
 * taken for somebody else's: the client was told nothing and found its write gone.
 */
import { expect, test } from 'vitest'
import { numberOf } from '../../src/resp/protocol.js'
import { inFrontOfLinks, openClient } from '../support/in-front.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.describe('a write that is acknowledged by a master that is none any more', () => {
  for (const level of ['causal', 'session', 'strong']) {
    test(`${level}: it is told that it may be lost`, async () => {
      const { proxy, master, replica, toMaster, toReplica } = await inFrontOfLinks(redis.path, { settleMs: 10_000 })
      const [late, early] = [await openClient(proxy), await openClient(proxy)]
      for (const client of [late, early]) {
        expect(await client.call('LAGRANGE', 'CONSISTENCY', level)).toBe('OK')
      }
      expect(await early.call('SET', 'a', 'kept')).toBe('OK')
      await until('the replica has it', async () => (await replica.info()).offset === (await master.info()).offset)

      for (const link of [toMaster, toReplica]) link.stall(true)
      late.send(['SET', 'b', 'lost'])
      await until('it is executed', async () => numberOf(await master.call('EXISTS', 'b')) === 1)
      await replica.call('REPLICAOF', 'NO', 'ONE')
      await proxy.setMembers(replica.port, [])
      await until('the new master is met', () => proxy.events.filter(({ name }) => name === '+lineage').length === 2)
      toMaster.stall(false)
      expect(await late.next()).toMatchObject({ value: 'OK' })
      // The sample comes with the answer, or right behind it.
      await until('it is known', () => proxy.count('lagrange_lost_write_sessions_total') === 1)

      expect(await late.call('GET', 'b')).toMatch(/^-LOSTWRITE /)
      expect(await late.call('GET', 'b')).toBe(null)
      expect(await early.call('GET', 'a')).toBe('kept')
      expect(proxy.count('lagrange_lost_write_sessions_total')).toBe(1)
    })
  }
})
