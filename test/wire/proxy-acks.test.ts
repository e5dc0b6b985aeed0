/**
 * Writes that a rule has confirmed by replicas: their replies wait, in order, and say so when nobody confirms them.
 */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { WorkerOptions } from '../../src/proxy/worker.js'
import { textOf } from '../../src/resp/protocol.js'
import type { Acks } from '../../src/routing/acks.js'
import { type DelayLink, startDelayLink } from '../support/delay.js'
import { main } from '../support/lagrange.js'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')
const LONG = 20_000

redis.describe('in front of redis-server', () => scenes(redis.path, []))
describe('in front of our nodes', () => scenes(process.execPath, [main, 'node']))

function scenes(program: string, first: readonly string[]): void {
  let master: RedisNode
  let replica: RedisNode
  let link: DelayLink

  beforeAll(async () => {
    master = new RedisNode(program, await freePort(), first)
    await master.start('--repl-ping-replica-period', '1')
    link = await startDelayLink(master.address, 0)
    replica = new RedisNode(program, await freePort(), first)
    await replica.start('--replicaof', '127.0.0.1', String(link.port))
    await until('the replica is linked', async () => (await replica.info()).master?.up === true)
  }, 30_000)

  afterAll(async () => {
    await link?.close()
    await Promise.all([master, replica].map(node => node?.stop()))
  })

  async function open(acks: Acks | undefined, options: Partial<WorkerOptions> = {}) {
    link.stall(false)
    const proxy = new ProxyUnderTest({ acks, level: 'eventual', ...options })
    await proxy.start(master.port, [replica.port])
    const client = await RawClient.open(proxy.port)
    onTestFinished(async () => {
      link.stall(false)
      client.close()
      await proxy.stop()
    })
    await client.call('SET', 'key', 'before')
    await until('the replica has everything', async () => {
      const one = proxy.worker.group?.replicas[0]
      return one?.usable === true && one.applied === (await master.info()).offset
    })
    return { proxy, client }
  }

  const acks = (change: Partial<Acks> = {}): Acks => ({ of: 1, timeoutMs: LONG, otherwise: 'refuse', ...change })

  test('a reply waits for a replica, and those behind it wait for it', async () => {
    const { proxy, client } = await open(acks())
    link.stall(true)
    client.send(['SET', 'key', 'after'], ['GET', 'nothing'], ['INCR', 'count'], ['ECHO', 'done'])
    const other = await RawClient.open(proxy.port)
    onTestFinished(() => other.close())
    // It is applied on the master, and the proxy has its reply.
    await until('it is executed', async () => (await master.call('GET', 'count')).type === 'bulk')
    await until('it waits', () => proxy.count('lagrange_acks_waiting') === 2)
    expect(client.frames).toEqual([])
    expect(await other.call('ECHO', 'others go on')).toBe('others go on')
    link.stall(false)
    const replies = [await client.next(), await client.next(), await client.next(), await client.next()]
    expect(replies.map(reply => ('value' in reply ? reply.value : null))).toEqual(['OK', null, 1, 'done'])
    expect(proxy.count('lagrange_acks_total', { result: 'confirmed' })).toBeGreaterThan(2)
    await master.call('DEL', 'count')
  })

  test('transactions, scripts and pops that waited as well', async () => {
    const { proxy, client } = await open(acks())
    const pops = await RawClient.open(proxy.port)
    onTestFinished(() => pops.close())
    pops.send(['BLPOP', 'list', '0'])
    await until('it waits for an element', async () =>
      (textOf(await master.call('INFO', 'clients')) ?? '').includes('blocked_clients:1'),
    )
    link.stall(true)
    client.send(['MULTI'], ['SET', 'a', '1'], ['INCR', 'a'], ['EXEC'])
    const script = await RawClient.open(proxy.port)
    onTestFinished(() => script.close())
    script.send(['EVAL', 'return redis.call("SET", KEYS[1], "2")', '1', 'b'])
    await master.call('RPUSH', 'list', 'element')
    // What was only queued needs nobody.
    await until('all three wait', () => proxy.count('lagrange_acks_waiting') === 3 && client.frames.length === 3)
    expect([pops.frames, script.frames]).toEqual([[], []])
    link.stall(false)
    for (let queued = 0; queued < 3; queued++) await client.next()
    expect(await client.next()).toMatchObject({ type: 'array' })
    expect(await script.next()).toMatchObject({ value: 'OK' })
    expect(await pops.next()).toMatchObject({ type: 'array' })
  })

  test('errors, and what writes nothing, do not wait', async () => {
    const { client } = await open(acks())
    link.stall(true)
    expect(await client.call('INCR', 'key')).toMatch(/^-ERR value is not an integer/)
    expect(await client.call('PUBLISH', 'channel', 'hello')).toBe(0)
    expect(await client.pipeline(['MULTI'], ['GET', 'key'], ['EXEC'])).toEqual(['OK', 'QUEUED', ['before']])
  })

  test('what nobody confirms in time was applied, and its client is told that it may be lost', async () => {
    const { proxy, client } = await open(acks({ timeoutMs: 100 }))
    const unconfirmed = (): number => proxy.count('lagrange_acks_total', { result: 'unconfirmed' })
    const before = unconfirmed()
    link.stall(true)
    const [set, get] = await client.pipeline(['SET', 'key', 'unconfirmed'], ['ECHO', 'next'])
    expect(set).toBe('-UNKNOWNRESULT applied, not confirmed by 1 replica')
    expect(get).toBe('next')
    expect(await master.call('GET', 'key')).toMatchObject({ value: 'unconfirmed' })
    expect(unconfirmed()).toBe(before + 1)
  })

  test('or gets its reply, where that is wanted', async () => {
    const { proxy, client } = await open(acks({ timeoutMs: 100, otherwise: 'degrade' }))
    const degraded = (): number => proxy.count('lagrange_acks_total', { result: 'degraded' })
    const before = degraded()
    link.stall(true)
    expect(await client.call('SET', 'key', 'degraded')).toBe('OK')
    expect(degraded()).toBe(before + 1)
  })

  test('while there has been nobody to confirm it for as long, a write is not executed', async () => {
    const { proxy, client } = await open(acks({ timeoutMs: 100 }))
    await proxy.setMembers(master.port, [replica.port], { [replica.port]: 'link-down' })
    await until('nothing is taken any more', async () =>
      String(await client.call('SET', 'key', 'x')).startsWith('-NOREPL'),
    )
    await client.call('SET', 'key', 'never')
    expect(await client.call('GET', 'key')).not.toBe('never')
    expect(await client.pipeline(['MULTI'], ['SET', 'key', 'never'], ['EXEC'])).toEqual([
      'OK',
      '-NOREPLICAS Not enough good replicas to write.',
      '-EXECABORT Transaction discarded because of previous errors.',
    ])
    expect(await client.call('BLPOP', 'nothing', '1')).toBe('-NOREPLICAS Not enough good replicas to write.')
    expect(await client.call('GET', 'key')).not.toBe('never')
    await proxy.setMembers(master.port, [replica.port])
    await until('it is taken again', async () => (await client.call('SET', 'key', 'x')) === 'OK')
  })

  test('by rule: for some keys only, whatever the connection chose to read', async () => {
    const { proxy, client } = await open(undefined, { rules: [{ keyPrefix: 'order:', acks: acks() }] })
    expect(await client.call('LAGRANGE', 'CONSISTENCY', 'causal')).toBe('OK')
    link.stall(true)
    expect(await client.call('SET', 'other', 'v')).toBe('OK')
    client.send(['SET', 'order:1', 'v'])
    await until('it waits', () => proxy.count('lagrange_acks_waiting') === 1)
    expect(client.frames).toEqual([])
    link.stall(false)
    expect(await client.next()).toMatchObject({ value: 'OK' })
  })

  test('more replicas than there are confirm nothing', async () => {
    const { client } = await open(acks({ of: 2, timeoutMs: 150 }), {})
    expect(await client.call('SET', 'key', 'v')).toMatch(
      /^-(UNKNOWNRESULT applied, not confirmed by 2 replicas|NOREPLICAS)/,
    )
  })

  test('the witness is asked where the rule says so', async () => {
    const proxy = new ProxyUnderTest({ acks: acks({ of: 'witness' }) })
    await proxy.start(master.port, [])
    const client = await RawClient.open(proxy.port)
    onTestFinished(async () => {
      client.close()
      await proxy.stop()
    })
    client.send(['SET', 'key', 'witnessed'])
    await until('it waits', () => proxy.count('lagrange_acks_waiting') === 1)
    const { replid = '', offset = 0 } = await master.info()
    const tell = (to: number): void =>
      proxy.worker.setFreshness({ samples: [], lagMs: [], witness: { replid, offset: to, reading: true } })
    tell(1)
    expect(client.frames).toEqual([])
    tell(offset)
    expect(await client.next()).toMatchObject({ value: 'OK' })
  })

  test('a client that leaves while its write waits leaves nothing behind', async () => {
    const { proxy, client } = await open(acks({ timeoutMs: 300 }))
    const leaver = await RawClient.open(proxy.port)
    link.stall(true)
    leaver.send(['SET', 'key', 'v'], ['SET', 'key', 'w'])
    await until('they wait', () => proxy.count('lagrange_acks_waiting') === 2)
    leaver.close()
    await until('nothing waits', () => proxy.count('lagrange_acks_waiting') === 0)
    link.stall(false)
    expect(await client.call('SET', 'key', 'x')).toBe('OK')
    expect(proxy.worker.group?.inFlight).toBe(0)
  })
}
