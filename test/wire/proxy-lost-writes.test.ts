/**
 * A failover that loses writes: whoever was acknowledged them is told, once; nobody else is. And sessions of several
 * connections.
 */
import { expect, onTestFinished, test } from 'vitest'
import type { WorkerOptions } from '../../src/proxy/worker.js'
import { type DelayLink, startDelayLink } from '../support/delay.js'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { type Plain, RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

interface World {
  readonly master: RedisNode
  readonly replica: RedisNode
  readonly link: DelayLink
  readonly proxy: ProxyUnderTest
  open(...first: string[][]): Promise<RawClient>
  caughtUp(): Promise<void>
  /** The master is gone; the replica takes its place with what it has. */
  failOver(): Promise<void>
}

async function world(options: Partial<WorkerOptions> = {}): Promise<World> {
  const master = (await startGroup(redis.path, 0))[0] as RedisNode
  const link = await startDelayLink(master.address, 0)
  const replica = new RedisNode(redis.path, await freePort())
  const proxy = new ProxyUnderTest(options)
  onTestFinished(async () => {
    await proxy.stop()
    await Promise.all([master, replica].map(node => node.stop()))
    await link.close()
  })
  await replica.start('--replicaof', '127.0.0.1', String(link.port))
  await until('the replica is linked', async () => (await replica.info()).master?.up === true)
  await proxy.start(master.port, [replica.port])
  return {
    master,
    replica,
    link,
    proxy,
    async open(...first) {
      const client = await RawClient.open(proxy.port)
      onTestFinished(() => client.close())
      for (const command of first) expect(await client.call(...command)).toBe('OK')
      return client
    },
    async caughtUp() {
      await until('the replica has everything', async () => {
        return proxy.worker.group?.replicas[0]?.applied === (await master.info()).offset
      })
    },
    async failOver() {
      await proxy.setMembers(undefined, [])
      await master.stop()
      await replica.call('REPLICAOF', 'NO', 'ONE')
      await proxy.setMembers(replica.port, [])
    },
  }
}

const told = /^-LOSTWRITE /

/** A client whose write of `a` was lost, and that has not asked for anything since. */
async function whoLost(): Promise<RawClient> {
  const { link, open, caughtUp, failOver } = await world()
  const client = await open()
  await client.call('SET', 'a', 'kept')
  await caughtUp()
  link.stall(true)
  await client.call('SET', 'a', 'lost')
  await failOver()
  return client
}

redis.describe('a failover that loses writes', () => {
  for (const level of ['causal', 'session']) {
    test(`${level}: whose write is lost is told, once; whose is not hears nothing`, async () => {
      const { proxy, link, open, caughtUp, failOver } = await world()
      const consistency = ['LAGRANGE', 'CONSISTENCY', level]
      const [early, late, reader] = [await open(consistency), await open(consistency), await open(consistency)]
      await early.call('SET', 'a', 'kept')
      await caughtUp()
      const token = (await early.call('LAGRANGE', 'TOKEN')) as string
      await late.call('CLIENT', 'SETNAME', 'late-one')
      link.stall(true)
      await late.call('SET', 'b', 'lost')
      const lostToken = (await late.call('LAGRANGE', 'TOKEN')) as string
      await failOver()

      expect(await late.call('GET', 'b')).toMatch(told)
      expect(await late.call('GET', 'b')).toBe(null)
      expect(await early.call('GET', 'a')).toBe('kept')
      expect(await reader.call('GET', 'a')).toBe('kept')
      expect(proxy.count('lagrange_lost_write_sessions_total')).toBe(1)
      expect(proxy.events.filter(event => event.name === '+lost-writes').map(event => event.fields.sessions)).toEqual([
        1,
      ])
      const [event] = proxy.events.filter(event => event.name === '+lost-writes')
      expect(event?.fields).toMatchObject({
        replid: proxy.worker.group?.replid,
        clients: expect.stringMatching(/^127\.0\.0\.1:\d+\(late-one\)$/),
      })
      expect(await early.call('LAGRANGE', 'AFTER', token)).toBe('OK')
      expect(await early.call('LAGRANGE', 'AFTER', lostToken)).toMatch(told)
      expect(await early.call('LAGRANGE', 'AFTER', `${'0'.repeat(40)}:1`)).toMatch(/^-ERR the token belongs to another/)
      expect(await late.call('SET', 'b', 'again')).toBe('OK')
    })
  }

  for (const level of ['causal', 'session', 'strong']) {
    test(`${level}: who only read what is lost is told, too`, async () => {
      const { link, open, caughtUp, failOver, proxy } = await world()
      const consistency = ['LAGRANGE', 'CONSISTENCY', level]
      const [writer, reader, bystander] = [await open(), await open(consistency), await open(consistency)]
      expect(await bystander.call('GET', 'a')).toBe(null)
      await writer.call('SET', 'a', 'old')
      await caughtUp()
      link.stall(true)
      await writer.call('SET', 'a', 'lost')
      // No replica has it: the master answers.
      expect(await reader.call('GET', 'a')).toBe('lost')
      await failOver()
      expect(await reader.call('GET', 'a')).toMatch(told)
      expect(await reader.call('GET', 'a')).toBe('old')
      expect(await bystander.call('GET', 'a')).toBe('old')
      expect(proxy.count('lagrange_lost_write_sessions_total')).toBe(2)
    })
  }

  test('a command that waited for the new master is not executed; a transaction is aborted', async () => {
    const { link, open, caughtUp, failOver, proxy } = await world()
    const [plain, queueing] = [await open(), await open()]
    await caughtUp()
    link.stall(true)
    await plain.call('SET', 'a', '1')
    await queueing.call('SET', 'a', '2')
    expect(await queueing.pipeline(['MULTI'], ['INCR', 'b'])).toEqual(['OK', 'QUEUED'])
    await proxy.setMembers(undefined, [])
    plain.send(['INCR', 'b'])
    await failOver()
    const [answer] = [await plain.next()]
    expect(answer).toMatchObject({ type: 'error', value: expect.stringMatching(/^LOSTWRITE /) })
    expect(await queueing.pipeline(['INCR', 'b'], ['EXEC'])).toEqual([
      expect.stringMatching(told),
      expect.stringMatching(/^-EXECABORT /),
    ])
    expect(await plain.call('GET', 'b')).toBe(null)
  })

  test('a transaction that would be the first to be told of it is not executed, not in part either', async () => {
    const client = await whoLost()
    const replies = await client.pipeline(
      ['MULTI'],
      ['SET', 'a', 'new'],
      ['SET', 'b', 'new'],
      ['EXEC'],
      ['MGET', 'a', 'b'],
    )
    expect(replies).toEqual([
      'OK',
      expect.stringMatching(told),
      expect.stringMatching(told),
      expect.stringMatching(/^-EXECABORT /),
      ['kept', null],
    ])
    expect(await client.pipeline(['MULTI'], ['SET', 'a', 'new'], ['EXEC'])).toEqual(['OK', 'QUEUED', ['OK']])
  })

  test('who gives the transaction up before it is told is told by what follows', async () => {
    const client = await whoLost()
    expect(await client.pipeline(['MULTI'], ['DISCARD'], ['GET', 'a'], ['GET', 'a'])).toEqual([
      'OK',
      'OK',
      expect.stringMatching(told),
      'kept',
    ])
  })

  test('by policy the connection is closed, or nothing is said', async () => {
    for (const lostWrites of ['close', 'ignore'] as const) {
      const { link, open, caughtUp, failOver } = await world({ lostWrites })
      const client = await open()
      await caughtUp()
      link.stall(true)
      await client.call('SET', 'a', '1')
      await failOver()
      if (lostWrites === 'close') {
        expect(await client.call('GET', 'a')).toMatch(told)
        await client.untilClosed()
      } else expect(await client.call('GET', 'a')).toBe(null)
    }
  })

  test('a planned switch tells nobody anything', async () => {
    const { master, replica, proxy, open, caughtUp } = await world()
    const clients = await Promise.all(Array.from({ length: 8 }, () => open()))
    for (const [index, client] of clients.entries()) await client.call('SET', `k${index}`, '1')
    await proxy.worker.hold({ group: 'main', timeoutMs: 10_000 })
    await caughtUp()
    await replica.call('REPLICAOF', 'NO', 'ONE')
    const read = async (): Promise<void> => {
      for (const [index, client] of clients.entries()) expect(await client.call('GET', `k${index}`)).toBe('1')
    }
    await read()
    await master.call('REPLICAOF', '127.0.0.1', String(replica.port))
    // Some are asked of who is no master any more, while nobody has said so.
    await read()
    await proxy.setMembers(replica.port, [master.port])
    await proxy.worker.release('main')
    await read()
    expect(proxy.count('lagrange_lost_write_sessions_total')).toBe(0)
  })
})

redis.describe('a session of several connections', () => {
  async function why(client: RawClient, master: RedisNode): Promise<string> {
    const [to, because] = (await client.call('LAGRANGE', 'WHY')) as Plain[]
    return `${to === master.id ? 'master' : 'replica'} ${because}`
  }

  test('by client name: a pool reads its own writes on whichever connection', async () => {
    const { master, link, open, caughtUp } = await world({ sessionBy: 'client-name', level: 'session' })
    const name = (name: string): string[] => ['CLIENT', 'SETNAME', name]
    const [a, b, other, unnamed] = [
      await open(name('pool')),
      await open(name('pool')),
      await open(name('x')),
      await open(),
    ]
    await a.call('SET', 'key', 'old')
    await caughtUp()
    for (const client of [a, b, other, unnamed]) {
      await until('it reads from the replica', async () => {
        expect(await client.call('GET', 'key')).toBe('old')
        return (await why(client, master)) === 'replica fresh-replica'
      })
    }
    link.stall(true)
    await a.call('SET', 'key', 'new')
    expect(await b.call('GET', 'key')).toBe('new')
    expect(await why(b, master)).toMatch(/^master /)
    expect(await other.call('GET', 'key')).toBe('old')
    expect(await unnamed.call('GET', 'key')).toBe('old')
    // Whoever takes the name is shown what the others have seen.
    await unnamed.call('CLIENT', 'SETNAME', 'pool')
    expect(await unnamed.call('GET', 'key')).toBe('new')
    link.stall(false)
    await caughtUp()
    for (const client of [a, b, unnamed]) {
      await until('it reads from the replica', async () => {
        expect(await client.call('GET', 'key')).toBe('new')
        return (await why(client, master)) === 'replica fresh-replica'
      })
    }
  })

  test('by user: everybody who is the same', async () => {
    const { link, open, caughtUp } = await world({ sessionBy: 'user', level: 'session' })
    const [a, b] = [await open(), await open()]
    await a.call('SET', 'key', 'old')
    await caughtUp()
    expect(await b.call('GET', 'key')).toBe('old')
    link.stall(true)
    await a.call('SET', 'key', 'new')
    expect(await b.call('GET', 'key')).toBe('new')
  })
})
