/**
 * A transaction in one packet, and the connection to the master dies before anything of it is answered. EXEC was told to be
 * in doubt, and yet MULTI and what was queued were sent again: the client was in a transaction it knew nothing of, and all
 * it asked from then on was answered with QUEUED.
 */
import { expect, onTestFinished, test } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { startDelayLink } from '../support/delay.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.describe('a transaction in doubt', () => {
  for (const [what, ...before] of [['alone'], ['behind WATCH', 'WATCH', 'w']]) {
    test(`${what}: the client is out of it`, async () => {
      const master = (await startGroup(redis.path, 0))[0] as RedisNode
      const link = await startDelayLink(master.address, 0)
      const proxy = new ProxyUnderTest()
      onTestFinished(async () => {
        await proxy.stop()
        await Promise.all([master.stop(), link.close()])
      })
      await proxy.start(link.port, [])
      const client = await RawClient.open(proxy.port)
      onTestFinished(() => client.close())
      expect(await client.call('SET', 'a', '0')).toBe('OK')
      // A connection of its own stands from here on.
      expect(await client.pipeline(['MULTI'], ['EXEC'])).toEqual(['OK', []])
      if (before.length > 0) expect(await client.call(...before)).toBe('OK')

      link.stall(true)
      client.send(['MULTI'], ['INCR', 'a'], ['GET', 'a'], ['EXEC'], ['GET', 'other'])
      await until('it is executed', async () => textOf(await master.call('GET', 'a')) === '1')
      link.cut()
      link.stall(false)
      const replies = []
      for (let index = 0; index < 5; index++) replies.push(await client.next())
      const texts = replies.map(reply => ('value' in reply ? String(reply.value) : reply.type))
      expect(texts.slice(0, 3)).toEqual(['OK', 'QUEUED', 'QUEUED'])
      expect(texts[3]).toMatch(/^UNKNOWNRESULT /)
      expect(texts[4]).toBe('null')
      expect(await client.call('GET', 'a')).toBe('1')
      expect(await client.call('EXEC')).toMatch(/^-ERR EXEC without MULTI/)
    })
  }
})
