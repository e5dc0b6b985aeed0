/**
 * A command that the instance refused to queue makes EXEC fail. When the connection was lost in between, the commands that
 * had been queued were queued again at the next one, which knew nothing of the refusal: EXEC executed half a transaction.
 * And one that the proxy itself gave up on, as no master came in time, was still open afterwards: what followed was queued,
 * or executed as if it were not. When that was over, a MULTI that could not be sent was refused, and what its client had sent
 * behind it was executed by itself as soon as there was a master.
 */
import { expect, test } from 'vitest'
import { inFrontOfFake, inFrontOfLinks, openClient } from '../support/in-front.js'
import { plain } from '../support/raw-client.js'
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

  test('is over when EXEC could not be sent in time', async () => {
    const { proxy, client, back } = await withoutMaster(['MULTI'], ['SET', 'key', 'other'])
    expect(await client.call('EXEC')).toMatch(/MASTERDOWN/)
    expect(proxy.worker.group?.master?.lent).toBe(0)
    await back()
    expect(await client.call('GET', 'key')).toBe('value')
    expect(await client.call('CLIENT', 'INFO')).toMatch(/ multi=-1 /)
    expect(await client.call('EXEC')).toMatch(/EXEC without MULTI/)
  })

  /** Redis answers MULTI whether it has a master or not, and so the rest is never executed by itself. */
  test('goes on to its end when MULTI could not be sent in time, and none of it is executed, however late the rest', async () => {
    const { proxy, client, back } = await withoutMaster()
    expect(await client.call('MULTI')).toBe('OK')
    expect(proxy.worker.group?.master?.lent).toBe(0)
    expect(await client.call('SET', 'key', 'other')).toMatch(/MASTERDOWN/)
    await back()
    expect(await client.call('SET', 'key', 'another')).toMatch(/MASTERDOWN/)
    expect(await client.call('CLIENT', 'INFO')).toMatch(/MASTERDOWN/)
    expect(await client.call('EXEC')).toMatch(/EXECABORT/)
    expect(await client.call('GET', 'key')).toBe('value')
    expect(await client.call('EXEC')).toMatch(/EXEC without MULTI/)
  })

  test('is not executed in part when only the last of a pipeline could be sent', async () => {
    const { client, back } = await withoutMaster()
    client.send(
      ['MULTI'],
      ['SET', 'key', 'other'],
      ['SET', 'other', 'value'],
      ['EXEC'],
      ['GET', 'key'],
      ['GET', 'other'],
    )
    expect(await client.next()).toMatchObject({ value: 'OK' })
    await back()
    const replies = [
      await client.next(),
      await client.next(),
      await client.next(),
      await client.next(),
      await client.next(),
    ]
    expect(replies.map(plain)).toEqual([
      expect.stringMatching(/MASTERDOWN/),
      expect.stringMatching(/MASTERDOWN/),
      expect.stringMatching(/EXECABORT/),
      'value',
      null,
    ])
  })

  test('does not begin with a MULTI of too many words, whoever is there', async () => {
    const { client, back } = await withoutMaster()
    expect(await client.call('MULTI', 'x')).toMatch(/MASTERDOWN/)
    await back()
    expect(await client.call('MULTI', 'x')).toMatch(/wrong number of arguments/)
    expect(await client.pipeline(['SET', 'key', 'other'], ['EXEC'])).toEqual([
      'OK',
      expect.stringMatching(/EXEC without MULTI/),
    ])
  })

  test('that is empty says why it is not executed at its end, and can be given up', async () => {
    const { client, back } = await withoutMaster(['WATCH', 'key'])
    expect(await client.call('MULTI')).toBe('OK')
    expect(await client.call('EXEC')).toMatch(/MASTERDOWN/)
    expect(await client.call('MULTI')).toBe('OK')
    expect(await client.call('DISCARD')).toBe('OK')
    await back()
    expect(await client.pipeline(['MULTI'], ['SET', 'key', 'other'], ['EXEC'])).toEqual(['OK', 'QUEUED', ['OK']])
  })

  test('has not begun when the instance refuses MULTI', async () => {
    const { proxy } = await inFrontOfFake(args => (args[0] === 'MULTI' ? '-NOPERM no\r\n' : undefined))
    const client = await openClient(proxy)
    expect(await client.call('MULTI')).toMatch(/NOPERM/)
    expect(await client.call('CLIENT', 'INFO')).toMatch(/ multi=-1 /)
    expect(await client.call('EXEC')).toMatch(/EXEC without MULTI/)
  })
})

async function withoutMaster(...first: string[][]) {
  const { proxy, toMaster } = await inFrontOfLinks(redis.path, { holdTimeoutMs: 200 })
  const client = await openClient(proxy)
  await client.call('SET', 'key', 'value')
  if (first.length > 0) await client.pipeline(...first)
  toMaster.stall(true)
  toMaster.cut()
  await until('the connection is gone', () => proxy.worker.group?.master?.sharedIsConfirmed !== true)
  const back = async (): Promise<void> => {
    toMaster.stall(false)
    await until('there is a master again', () => proxy.worker.group?.master?.sharedIsConfirmed === true)
  }
  return { proxy, client, back }
}
