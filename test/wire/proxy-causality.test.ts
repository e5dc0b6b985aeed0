/**
 * Whatever way somebody learns that something was written, he can read it: by a message, a transaction, a script, a key he
 * waited for, another database. The replica stands still all the time, so that every wrong turn shows.
 */
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { type DelayLink, startDelayLink } from '../support/delay.js'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { plain, RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')
const ROUNDS = 20

redis.describe('what follows from what', () => {
  let master: RedisNode
  let replica: RedisNode
  let link: DelayLink
  let proxy: ProxyUnderTest

  beforeAll(async () => {
    master = (await startGroup(redis.path, 0))[0] as RedisNode
    link = await startDelayLink(master.address, 0)
    replica = new RedisNode(redis.path, await freePort())
    await replica.start('--replicaof', '127.0.0.1', String(link.port))
    await until('the replica is linked', async () => (await replica.info()).master?.up === true)
    proxy = new ProxyUnderTest()
    await proxy.start(master.port, [replica.port])
  })

  afterAll(async () => {
    await proxy?.stop()
    await Promise.all([master, replica].map(node => node?.stop()))
    await link?.close()
  })

  beforeEach(async () => {
    link.stall(false)
    await master.call('FLUSHALL')
    for (const key of ['key', 'other', 'list']) await master.call(key === 'list' ? 'RPUSH' : 'SET', key, 'old')
    await until('the replica has everything', async () => {
      return proxy.worker.group?.replicas[0]?.applied === (await master.info()).offset
    })
    link.stall(true)
  })

  async function open(level: string, ...first: string[][]): Promise<RawClient> {
    const client = await RawClient.open(proxy.port)
    onTestFinished(() => client.close())
    for (const command of [['LAGRANGE', 'CONSISTENCY', level], ...first]) await client.call(...command)
    // It has read from the replica, if it may.
    await client.call('GET', 'other')
    return client
  }

  for (const level of ['causal', 'session']) {
    test(`${level}: a subscriber that reads after a message sees what was written before it`, async () => {
      const writer = await open(level)
      const reader = await open(level, ['HELLO', '3'])
      reader.send(['SUBSCRIBE', 'news'])
      await reader.next()
      for (let round = 0; round < ROUNDS; round++) {
        writer.send(['SET', 'key', String(round)], ['PUBLISH', 'news', String(round)])
        expect(await reader.next()).toMatchObject({ type: 'push' })
        expect(await reader.call('GET', 'key')).toBe(String(round))
        await writer.next()
        await writer.next()
      }
    })

    test(`${level}: in and after a transaction`, async () => {
      const client = await open(level)
      for (let round = 0; round < ROUNDS; round++) {
        expect(
          await client.pipeline(['MULTI'], ['SET', 'key', String(round)], ['GET', 'key'], ['EXEC'], ['GET', 'key']),
        ).toEqual(['OK', 'QUEUED', 'QUEUED', ['OK', String(round)], String(round)])
        await client.pipeline(['WATCH', 'key'], ['MULTI'], ['INCR', 'key'], ['EXEC'])
        expect(await client.call('GET', 'key')).toBe(String(round + 1))
      }
    })

    test(`${level}: after a script that declares nothing`, async () => {
      const client = await open(level)
      for (let round = 0; round < ROUNDS; round++) {
        await client.call('EVAL', "redis.call('SET', 'key', ARGV[1])", '0', String(round))
        expect(await client.call('GET', 'key')).toBe(String(round))
      }
    })

    test(`${level}: after having waited for a key`, async () => {
      const [worker, producer] = [await open(level), await open(level)]
      await producer.call('DEL', 'list')
      for (let round = 0; round < ROUNDS; round++) {
        worker.send(['BLPOP', 'list', '10'])
        await producer.pipeline(['SET', 'key', String(round)], ['RPUSH', 'list', String(round)])
        expect(plain(await worker.next())).toEqual(['list', String(round)])
        expect(await worker.call('GET', 'key')).toBe(String(round))
        expect(await worker.call('LLEN', 'list')).toBe(0)
      }
    })

    test(`${level}: in another database, and where a key was moved or copied to`, async () => {
      const client = await open(level)
      await client.pipeline(['SELECT', '1'], ['SET', 'key', 'of 1'], ['SELECT', '0'])
      expect(await client.call('GET', 'key')).toBe('old')
      expect(await client.pipeline(['SELECT', '1'], ['GET', 'key'])).toEqual(['OK', 'of 1'])
      expect(await client.pipeline(['MOVE', 'key', '2'], ['SELECT', '2'], ['GET', 'key'])).toEqual([1, 'OK', 'of 1'])
      expect(await client.pipeline(['COPY', 'key', 'far', 'DB', '3'], ['SELECT', '3'], ['GET', 'far'])).toEqual([
        1,
        'OK',
        'of 1',
      ])
      expect(await client.pipeline(['SWAPDB', '3', '4'], ['SELECT', '4'], ['GET', 'far'])).toEqual(['OK', 'OK', 'of 1'])
    })
  }

  test('session: a message that somebody else sent is enough, whoever wrote', async () => {
    const reader = await open('session', ['HELLO', '3'])
    reader.send(['SUBSCRIBE', 'news'])
    await reader.next()
    for (let round = 0; round < ROUNDS; round++) {
      // Not through the proxy: no mark tells of it.
      await master.call('SET', 'key', String(round))
      await master.call('PUBLISH', 'news', 'go')
      await reader.next()
      expect(await reader.call('GET', 'key')).toBe(String(round))
    }
  })

  for (const [name, ...command] of [
    ['several keys', 'MSET', 'key', 'new', 'other', 'new'],
    ['a key that is renamed', 'RENAME', 'other', 'key'],
    ['a result that is stored', 'SORT', 'list', 'ALPHA', 'STORE', 'key'],
    ['everything at once', 'FLUSHALL'],
  ] as const) {
    test(`causal, on another connection: ${name}`, async () => {
      const [writer, reader] = [await open('causal'), await open('causal')]
      await writer.call(...command)
      const [type, old] = await reader.pipeline(['TYPE', 'key'], ['MGET', 'key', 'other'])
      const stored = command[0] === 'SORT'
      expect(type).toBe(stored ? 'list' : command[0] === 'FLUSHALL' ? 'none' : 'string')
      expect(old).toEqual(
        stored
          ? [null, 'old']
          : command[0] === 'MSET'
            ? ['new', 'new']
            : command[0] === 'RENAME'
              ? ['old', null]
              : [null, null],
      )
    })
  }

  test('a wrong level, bound, token or time changes nothing', async () => {
    const client = await open('causal')
    for (const [error, ...command] of [
      [/^-ERR unknown level/, 'CONSISTENCY', 'perfect'],
      [/^-ERR the bound is not a number/, 'CONSISTENCY', 'bounded', '-1'],
      [/^-ERR the bound is not a number/, 'CONSISTENCY', 'bounded', '86400001'],
      [/^-ERR syntax error/, 'CONSISTENCY', 'causal', '5'],
      [/^-ERR a token is/, 'AFTER', 'nonsense'],
      [/^-ERR a token is/, 'AFTER', `${'a'.repeat(39)}:1`],
      [/^-ERR a token is/, 'AFTER', `${'a'.repeat(40)}:-1`],
      [/^-ERR the token belongs to another history/, 'AFTER', `${'a'.repeat(40)}:1`],
      [/^-ERR the time is not a number/, 'AFTER', `${proxy.worker.group?.replid}:1`, '10001'],
      [/^-ERR unknown subcommand/, 'NOTHING'],
    ] as const) {
      expect(await client.call('LAGRANGE', ...command), command.join(' ')).toMatch(error)
    }
    expect(await client.call('LAGRANGE', 'CONSISTENCY')).toBe('causal')
    await client.call('GET', 'other')
    expect((await client.call('LAGRANGE', 'WHY')) as unknown).toEqual([replica.id, 'fresh-replica'])
  })
})
