/**
 * The master was replaced while its answer was on its way. What it acknowledged then is in no history any more, and was
 * taken for somebody else's: the client was told nothing and found its write gone.
 */
import { expect, onTestFinished, test } from 'vitest'
import { numberOf } from '../../src/resp/protocol.js'
import { startDelayLink } from '../support/delay.js'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.describe('a write that is acknowledged by a master that is none any more', () => {
  for (const level of ['causal', 'session', 'strong']) {
    test(`${level}: it is told that it may be lost`, async () => {
      const master = (await startGroup(redis.path, 0))[0] as RedisNode
      const [toMaster, toReplica] = [await startDelayLink(master.address, 0), await startDelayLink(master.address, 0)]
      const replica = new RedisNode(redis.path, await freePort())
      const proxy = new ProxyUnderTest({ settleMs: 10_000 })
      onTestFinished(async () => {
        await proxy.stop()
        await Promise.all([master.stop(), replica.stop(), toMaster.close(), toReplica.close()])
      })
      await replica.start('--replicaof', '127.0.0.1', String(toReplica.port))
      await until('the replica is linked', async () => (await replica.info()).master?.up === true)
      await proxy.start(toMaster.port, [replica.port])
      const [late, early] = [await RawClient.open(proxy.port), await RawClient.open(proxy.port)]
      for (const client of [late, early]) {
        onTestFinished(() => client.close())
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
