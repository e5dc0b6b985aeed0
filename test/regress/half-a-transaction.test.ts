/**
 * A command that the instance refused to queue makes EXEC fail. When the connection was lost in between, the commands that
 * had been queued were queued again at the next one, which knew nothing of the refusal: EXEC executed half a transaction.
 * And one that the proxy itself gave up on, as no master came in time, was still open afterwards: what followed was queued,
 * or executed as if it were not.
 */
import { expect, test } from 'vitest'
import { inFrontOfFake, inFrontOfLinks, openClient } from '../support/in-front.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.describe('a transaction of which something was refused', () => {
  test('is not executed in part when its connection is lost', async () => {
    const { proxy, toMaster } = await inFrontOfLinks(redis.path, {})
    const client = await openClient(proxy)
    expect(await client.pipeline(['MULTI'], ['SET', 'a', '1'])).toEqual(['OK', 'QUEUED'])
    expect(await client.call('SET', 'b')).toMatch(/wrong number of arguments/)
    toMaster.cut()
    expect(await client.call('SET', 'c', '3')).toBe('QUEUED')
    expect(await client.call('EXEC')).toMatch(/EXECABORT/)
    expect(await client.pipeline(['GET', 'a'], ['GET', 'c'])).toEqual([null, null])
  })

  test('is executed as a whole when only a MULTI within it was refused', async () => {
    const { proxy, toMaster } = await inFrontOfLinks(redis.path, {})
    const client = await openClient(proxy)
    expect(await client.pipeline(['MULTI'], ['SET', 'a', '1'])).toEqual(['OK', 'QUEUED'])
    expect(await client.call('MULTI')).toMatch(/can not be nested/)
    toMaster.cut()
    expect(await client.call('GET', 'a')).toBe('QUEUED')
    expect(await client.call('EXEC')).toEqual(['OK', '1'])
  })

  for (const step of ['MULTI', 'EXEC']) {
    test(`is over when ${step} could not be sent in time`, async () => {
      const { proxy, toMaster } = await inFrontOfLinks(redis.path, { holdTimeoutMs: 200 })
      const client = await openClient(proxy)
      await client.call('SET', 'key', 'value')
      const before = step === 'EXEC' ? await client.pipeline(['MULTI'], ['SET', 'key', 'other']) : []
      expect(before).toEqual(step === 'EXEC' ? ['OK', 'QUEUED'] : [])
      toMaster.stall(true)
      toMaster.cut()
      await until('the connection is gone', () => proxy.worker.group?.master?.sharedIsConfirmed !== true)
      expect(await client.call(step)).toMatch(/MASTERDOWN/)
      toMaster.stall(false)
      await until('there is a master again', () => proxy.worker.group?.master?.sharedIsConfirmed === true)
      expect(await client.call('GET', 'key')).toBe('value')
      expect(await client.call('CLIENT', 'INFO')).toMatch(/ multi=-1 /)
      expect(await client.call('EXEC')).toMatch(/EXEC without MULTI/)
    })
  }

  test('has not begun when the instance refuses MULTI', async () => {
    const { proxy } = await inFrontOfFake(args => (args[0] === 'MULTI' ? '-NOPERM no\r\n' : undefined))
    const client = await openClient(proxy)
    expect(await client.call('MULTI')).toMatch(/NOPERM/)
    expect(await client.call('CLIENT', 'INFO')).toMatch(/ multi=-1 /)
    expect(await client.call('EXEC')).toMatch(/EXEC without MULTI/)
  })
})
