/** What the proxy remembers of real traffic, and what a supervisor may ask a worker about it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Answers, inspect } from '../../src/proxy/inspect.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.describe('insight', () => {
  let master: RedisNode
  let proxy: ProxyUnderTest
  let client: RawClient

  beforeAll(async () => {
    master = (await startGroup(redis.path, 0))[0] as RedisNode
    proxy = new ProxyUnderTest({ insight: { slowMs: 20, slowEntries: 8, sampleEvery: 1 } })
    await proxy.start(master.port, [])
    client = await RawClient.open(proxy.port)
  })

  afterAll(async () => {
    client?.close()
    await proxy?.stop()
    await master?.stop()
  })

  test('a command that took long is in the slow log, and names its bucket', async () => {
    await client.call('LAGRANGE', 'SLOWLOG', 'RESET')
    await client.call(
      'EVAL',
      "local t = redis.call('TIME'); repeat local n = redis.call('TIME') until (n[1]-t[1])*1e6+n[2]-t[2] > 60000",
      '1',
      'slow:key',
    )
    expect(await client.call('LAGRANGE', 'SLOWLOG', 'LEN')).toBe(1)
    const [entry] = (await client.call('LAGRANGE', 'SLOWLOG', 'GET', '5')) as unknown[][]
    expect(entry?.[1]).toBeGreaterThanOrEqual(60_000)
    expect(entry?.[3]).toContain('slow:key')
    expect(entry?.slice(4)).toEqual([`127.0.0.1:${master.port}`, expect.stringMatching(/^127\.0\.0\.1:\d+$/)])
    const named = proxy.store.snapshot().flatMap(series => series.exemplars ?? [])
    expect(named).toMatchObject([{ labels: { command: 'eval', node: `127.0.0.1:${master.port}` } }])
  })

  test('hot keys, and values that are big, however they travel', async () => {
    for (let n = 0; n < 50; n++) await client.call('GET', 'hot:key')
    await client.call('SET', 'big:key', 'x'.repeat(50_000))
    await client.call('APPEND', 'bigger:key', 'y'.repeat(10))
    await client.call('SETRANGE', 'bigger:key', '3000000', 'z')
    await client.call('GET', 'bigger:key')
    const hot = (await client.call('LAGRANGE', 'HOTKEYS', '3')) as [string, number, number][]
    expect(hot[0]?.[0]).toBe('hot:key')
    const big = (await client.call('LAGRANGE', 'BIGKEYS')) as [string, number, string][]
    expect(big.map(([key]) => key)).toEqual(['bigger:key', 'big:key'])
    expect(big[0]).toMatchObject(['bigger:key', expect.any(Number), 'get'])
    expect(big[0]?.[1]).toBeGreaterThan(3_000_000)
    expect(await client.call('LAGRANGE', 'HOTKEYS', 'many')).toMatch(/^-ERR/)
  })

  test('sessions can be looked at and ended, commands explained', async () => {
    const other = await RawClient.open(proxy.port)
    await other.call('CLIENT', 'SETNAME', 'other')
    await other.call('SET', 'k', 'v')
    const answer = inspect(proxy.worker, { ask: 'sessions', limit: 10 })
    const { sessions, total } = answer as Answers['sessions']
    expect(total).toBe(2)
    const found = sessions.find(session => session.name === 'other')
    expect(found).toMatchObject({ lastCommand: 'set', lastBecause: 'write', db: 0, level: 'causal' })
    expect(inspect(proxy.worker, { ask: 'explain', command: ['SET', 'k', 'v'], level: undefined })).toMatchObject({
      command: 'set',
      keys: ['k'],
      to: `127.0.0.1:${master.port}`,
      because: 'write',
    })
    const read = { ask: 'explain', command: ['get', 'kö'], level: 'eventual' } as const
    expect(inspect(proxy.worker, read)).toMatchObject({ keys: ['kö'], because: 'no-replica', handling: 'read' })
    expect(inspect(proxy.worker, { ask: 'kill', worker: 0, id: 999 })).toBe(false)
    expect(inspect(proxy.worker, { ask: 'kill', worker: 0, id: found?.id ?? 0 })).toBe(true)
    await until('it is gone', async () => proxy.worker.sessions.size === 1)
  })
})
