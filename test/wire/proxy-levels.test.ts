/**
 * What each level promises, with a replica that stands still: set for a connection, or by the listener it came in by.
 */
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import type { Level } from '../../src/routing/choose.js'
import { type DelayLink, startDelayLink } from '../support/delay.js'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { type Plain, RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')
const levels: readonly Level[] = ['strong', 'causal', 'session', 'bounded', 'eventual']

redis.describe('levels', () => {
  let master: RedisNode
  let replica: RedisNode
  let link: DelayLink
  let proxy: ProxyUnderTest
  const ports = new Map<Level, number>()

  beforeAll(async () => {
    master = (await startGroup(redis.path, 0))[0] as RedisNode
    link = await startDelayLink(master.address, 0)
    replica = new RedisNode(redis.path, await freePort())
    await replica.start('--replicaof', '127.0.0.1', String(link.port))
    await until('the replica is linked', async () => (await replica.info()).master?.up === true)
    proxy = new ProxyUnderTest({ boundMs: 60_000 })
    await proxy.start(master.port, [replica.port])
    for (const level of levels) {
      const where = await proxy.worker.listen({ host: '127.0.0.1', port: 0 }, { name: level, level })
      ports.set(level, where.port)
    }
  })

  afterAll(async () => {
    await proxy?.stop()
    await Promise.all([master, replica].map(node => node?.stop()))
    await link?.close()
  })

  beforeEach(async () => {
    link.stall(false)
    await master.call('SET', 'key', 'old')
    await caughtUp()
  })

  async function caughtUp(): Promise<void> {
    await until('the replica has everything', async () => {
      const offset = (await master.info()).offset
      return proxy.worker.group?.replicas[0]?.applied === offset
    })
  }

  async function open(port: number | undefined, level?: string): Promise<RawClient> {
    const client = await RawClient.open(port as number)
    onTestFinished(() => client.close())
    if (level !== undefined) expect(await client.call('LAGRANGE', 'CONSISTENCY', ...level.split(' '))).toBe('OK')
    return client
  }

  async function why(client: RawClient): Promise<string> {
    const [to, because] = (await client.call('LAGRANGE', 'WHY')) as Plain[]
    return `${to === master.id ? 'master' : 'replica'} ${because}`
  }

  /** Somebody else writes, and the replica does not get it. */
  async function writeUnseen(value: string): Promise<void> {
    link.stall(true)
    const other = await open(proxy.port)
    expect(await other.call('SET', 'key', value)).toBe('OK')
    other.close()
  }

  for (const by of ['LAGRANGE CONSISTENCY', 'the listener']) {
    const openAt = (level: Level): Promise<RawClient> =>
      by === 'the listener' ? open(ports.get(level)) : open(proxy.port, level)

    test(`by ${by}: which level it is`, async () => {
      for (const level of levels) {
        const expected = level === 'bounded' ? 'bounded 60000' : level
        expect(await (await openAt(level)).call('LAGRANGE', 'CONSISTENCY')).toBe(expected)
      }
    })

    test(`by ${by}: causal sees what others had acknowledged`, async () => {
      const client = await openAt('causal')
      expect(await client.call('GET', 'key')).toBe('old')
      expect(await why(client)).toBe('replica fresh-replica')
      await writeUnseen('new')
      expect(await client.call('GET', 'key')).toBe('new')
      expect(await why(client)).toMatch(/^master (no-fresh-replica|waited-in-vain)$/)
      expect(await client.call('GET', 'another')).toBe(null)
      expect(await why(client)).toBe('replica fresh-replica')
    })

    test(`by ${by}: strong sees what the master has, from a replica when that has it`, async () => {
      const client = await openAt('strong')
      expect(await client.call('GET', 'key')).toBe('old')
      expect(await why(client)).toBe('replica read-index')
      link.stall(true)
      // Not through the proxy: no mark tells of it.
      await master.call('SET', 'key', 'new')
      expect(await client.call('GET', 'key')).toBe('new')
      expect(await why(client)).toMatch(/^master /)
      link.stall(false)
      await caughtUp()
      await until('the replica answers again', async () => {
        expect(await client.call('GET', 'key')).toBe('new')
        return (await why(client)) === 'replica read-index'
      })
    })

    test(`by ${by}: session sees its own writes, and never goes back`, async () => {
      const client = await openAt('session')
      await until('it reads from the replica', async () => {
        expect(await client.call('GET', 'key')).toBe('old')
        return (await why(client)) === 'replica fresh-replica'
      })
      await writeUnseen('of another')
      expect(await client.call('GET', 'key')).toBe('old')
      expect(await client.pipeline(['SET', 'mine', '1'], ['GET', 'mine'], ['GET', 'key'])).toEqual([
        'OK',
        '1',
        'of another',
      ])
      // It has seen the master now, whoever wrote there.
      expect(await client.call('GET', 'key')).toBe('of another')
      expect(await why(client)).toMatch(/^master /)
      link.stall(false)
      await caughtUp()
      await until('the replica answers again', async () => {
        expect(await client.call('GET', 'key')).toBe('of another')
        return (await why(client)) === 'replica fresh-replica'
      })
    })

    test(`by ${by}: eventual takes what a healthy replica has`, async () => {
      const client = await openAt('eventual')
      await writeUnseen('new')
      expect(await client.call('GET', 'key')).toBe('old')
      expect(await why(client)).toBe('replica healthy-replica')
    })
  }

  test('bounded takes what is young enough, and nothing that nobody vouches for', async () => {
    const [patient, strict] = [await open(ports.get('bounded')), await open(proxy.port, 'bounded 30')]
    await writeUnseen('new')
    await until('the bound is over', async () => (await strict.call('GET', 'key')) === 'new')
    expect(await why(strict)).toBe('master no-replica-within-bound')
    expect(await patient.call('GET', 'key')).toBe('old')
    expect(await why(patient)).toBe('replica within-bound')
    link.stall(false)
    await caughtUp()
    await until('the replica answers again', async () => {
      expect(await strict.call('GET', 'key')).toBe('new')
      return (await why(strict)) === 'replica within-bound'
    })
    // Nobody tells of freshness any more: what was known grows old.
    const tell = proxy.worker.setFreshness
    proxy.worker.setFreshness = () => undefined
    onTestFinished(() => void (proxy.worker.setFreshness = tell))
    await until('the proof is too old', async () => {
      await strict.call('GET', 'key')
      return (await why(strict)) === 'master no-replica-within-bound'
    })
    expect(await patient.call('GET', 'key')).toBe('new')
    expect(await why(patient)).toBe('replica within-bound')
  })

  test('bounded counts the time that the word of a replica was on its way', async () => {
    const strict = await open(proxy.port, 'bounded 30')
    const tell = proxy.worker.setFreshness.bind(proxy.worker)
    proxy.worker.setFreshness = update => tell({ ...update, ageMs: 40 })
    onTestFinished(() => void (proxy.worker.setFreshness = tell))
    await until('it was told so', async () => {
      await strict.call('GET', 'key')
      return (await why(strict)) === 'master no-replica-within-bound'
    })
    proxy.worker.setFreshness = update => tell({ ...update, ageMs: 0 })
    await until('the replica answers again', async () => {
      await strict.call('GET', 'key')
      return (await why(strict)) === 'replica within-bound'
    })
  })

  test('pipelines of a session: replies in order, never back', async () => {
    const client = await open(proxy.port, 'session')
    const commands: string[][] = []
    const expected: Plain[] = []
    for (let round = 1; round <= 500; round++) {
      commands.push(['SET', 'mine', String(round)], ['GET', 'mine'], ['GET', 'key'], ['GET', 'mine'])
      expected.push('OK', String(round), 'old', String(round))
    }
    expect(await client.pipeline(...commands)).toEqual(expected)
  })

  test('a floor of another history is not compared: the new master’s beginning stands for it', async () => {
    const client = await open(proxy.port, 'session')
    await client.call('SET', 'mine', '1')
    await client.call('GET', 'mine')
    const [one] = [...proxy.worker.sessions.values()].slice(-1)
    if (one === undefined) throw new Error('no session')
    one.standing.move('0'.repeat(40), 2 ** 50)
    await caughtUp()
    await until('the replica answers', async () => {
      expect(await client.call('GET', 'mine')).toBe('1')
      return (await why(client)) === 'replica fresh-replica'
    })
    expect(one.standing.floor).toBeLessThan(2 ** 50)
  })
})
