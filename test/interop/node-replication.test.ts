/**
 * Our node and redis-server follow one another, in both directions: after thousands of mixed writes, cuts, promotions and
 * restarts both hold the same data, by the same offsets.
 */
import { connect } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, plain, type ServerOptions, startNode, startRedisServer, type TestServer } from '../support/servers.js'
import { writeMixed } from '../support/writes.js'

const redis = requireReal('redis-server')

type Kind = TestServer['kind']

function start(kind: Kind, options: ServerOptions = {}): Promise<TestServer> {
  return kind === 'ours' ? startNode(options) : startRedisServer(redis.path, options)
}

async function follow(replica: TestServer, master: TestServer): Promise<void> {
  await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
  await linked(replica)
}

async function linked(replica: TestServer): Promise<void> {
  await until('the link is up', async () => (await infoOf(replica, 'replication')).master_link_status === 'up')
}

/** Until the replica has applied all that the master has; then both must hold the same. */
async function expectSame(master: TestServer, ...replicas: TestServer[]): Promise<void> {
  for (const replica of replicas) {
    await until('the replica has everything', async () => {
      const [ours, theirs] = await Promise.all([infoOf(master, 'replication'), infoOf(replica, 'replication')])
      return ours.master_repl_offset === theirs.master_repl_offset && ours.master_replid === theirs.master_replid
    })
    expect(textOf(await replica.call('DEBUG', 'DIGEST'))).toBe(textOf(await master.call('DEBUG', 'DIGEST')))
  }
}

const directions: readonly (readonly [Kind, Kind])[] = [
  ['ours', 'redis'],
  ['redis', 'ours'],
  ['ours', 'ours'],
]

redis.describe('replication', () => {
  for (const [masterKind, replicaKind] of directions) {
    describe(`${masterKind} as master, ${replicaKind} as replica`, () => {
      for (const diskless of ['yes', 'no'] as const) {
        test(`a full copy while writes go on, then the stream (diskless ${diskless})`, async () => {
          const master = await start(masterKind, { args: ['--repl-diskless-sync', diskless] })
          const replica = await start(replicaKind)
          await writeMixed(master.client(), 3000, 1)
          const writing = writeMixed(master.client(), 5000, 2)
          await follow(replica, master)
          await writing
          await writeMixed(master.client(), 2000, 3)
          await expectSame(master, replica)
          expect((await infoOf(master)).sync_full).toBe('1')
          expect(plain(await replica.call('SET', 'a', 'b'))).toBe(
            "-READONLY You can't write against a read only replica.",
          )
        })
      }

      test('a cut link continues partially', async () => {
        const master = await start(masterKind)
        const replica = await start(replicaKind)
        await follow(replica, master)
        for (let round = 0; round < 3; round++) {
          const writing = writeMixed(master.client(), 1000, round)
          await master.call('CLIENT', 'KILL', 'TYPE', 'replica')
          await writing
          await linked(replica)
          await expectSame(master, replica)
        }
        const { sync_full, sync_partial_ok } = await infoOf(master)
        expect(sync_full).toBe('1')
        expect(Number(sync_partial_ok)).toBeGreaterThanOrEqual(3)
      })

      test('promotion: the old master and a sibling follow the new one without a full copy', async () => {
        const master = await start(masterKind)
        const [replica, sibling] = [await start(replicaKind), await start(masterKind)]
        await follow(replica, master)
        await follow(sibling, master)
        await writeMixed(master.client(), 1000, 7)
        await expectSame(master, replica, sibling)
        const before = await infoOf(master, 'replication')

        // The planned way: nobody writes any more, the old master goes first.
        await master.call('REPLICAOF', '127.0.0.1', String(replica.port))
        await replica.call('REPLICAOF', 'NO', 'ONE')
        await sibling.call('REPLICAOF', '127.0.0.1', String(replica.port))
        await linked(master)
        await linked(sibling)
        await writeMixed(replica.client(), 1000, 8)
        await expectSame(replica, master, sibling)
        const after = await infoOf(replica)
        expect(after.master_replid2).toBe(before.master_replid)
        expect(after.role).toBe('master')
        expect(after.sync_full).toBe('0')
      })

      test('a chain hands the stream on as it came, and survives the promotion of its middle', async () => {
        const head = await start(masterKind)
        const middle = await start(replicaKind)
        const tail = await start(masterKind)
        await follow(middle, head)
        await follow(tail, middle)
        await writeMixed(head.client(), 2000, 11)
        await expectSame(head, middle, tail)
        await middle.call('REPLICAOF', 'NO', 'ONE')
        await linked(tail)
        await writeMixed(middle.client(), 1000, 12)
        await expectSame(middle, tail)
        // Once, when it came.
        expect((await infoOf(middle)).sync_full).toBe('1')
      })

      test('transactions, messages and blocked pops reach the replica whole', async () => {
        const master = await start(masterKind)
        const replica = await start(replicaKind)
        await follow(replica, master)
        const heard: unknown[] = []
        await replica.client(frame => heard.push(plain(frame))).send(['SUBSCRIBE', 'news'])
        const client = master.client()
        void client.send(['MULTI'])
        void client.send(['SET', 'a', '1'])
        void client.send(['SELECT', '3'])
        void client.send(['INCR', 'b'])
        await client.send(['EXEC'])
        const popping = master.client().send(['BLPOP', 'queue', '5'])
        await until('somebody waits', async () => (await infoOf(master)).blocked_clients === '1')
        await master.call('RPUSH', 'queue', 'x', 'y')
        expect(plain(await popping)).toEqual(['queue', 'x'])
        await master.call('PUBLISH', 'news', 'hello')
        await expectSame(master, replica)
        expect(plain(await replica.call('LRANGE', 'queue', '0', '-1'))).toEqual(['y'])
        expect(heard).toEqual([['message', 'news', 'hello']])
      })

      test('WAIT counts replicas that have the write', async () => {
        const master = await start(masterKind)
        const replica = await start(replicaKind)
        await follow(replica, master)
        const client = master.client()
        await client.send(['SET', 'a', '1'])
        expect(plain(await client.send(['WAIT', '1', '5000']))).toBe(1)
        expect(plain(await client.send(['WAIT', '2', '50']))).toBe(1)
        expect(plain(await replica.call('GET', 'a'))).toBe('1')
      })

      test('keys expire by the master’s word', async () => {
        const master = await start(masterKind)
        const replica = await start(replicaKind)
        await follow(replica, master)
        await master.call('SET', 'short', 'x', 'PX', '60')
        await master.call('SET', 'long', 'x', 'EX', '1000')
        await until('it is gone on the replica', async () => plain(await replica.call('DBSIZE')) === 1)
        await expectSame(master, replica)
      })
    })
  }

  test('a master that restarts from its file is continued, not copied', async () => {
    const master = await startNode({ args: ['--save', '900', '1'] })
    const replica = await startRedisServer(redis.path)
    await follow(replica, master)
    await writeMixed(master.client(), 500, 21)
    await expectSame(master, replica)
    await master.stop()
    const again = await startNode({ dir: master.dir, port: master.port })
    await linked(replica)
    await writeMixed(again.client(), 500, 22)
    await expectSame(again, replica)
    const { sync_full, sync_partial_ok } = await infoOf(again)
    expect([sync_full, sync_partial_ok]).toEqual(['0', '1'])
  })

  test('a replica that restarts from its file continues', async () => {
    const master = await startRedisServer(redis.path)
    const replica = await startNode({ args: ['--save', '900', '1'] })
    await follow(replica, master)
    await writeMixed(master.client(), 500, 31)
    await expectSame(master, replica)
    await replica.stop()
    await writeMixed(master.client(), 500, 32)
    const replicaof = ['--replicaof', '127.0.0.1', String(master.port)]
    const again = await startNode({ dir: replica.dir, port: replica.port, args: replicaof })
    await linked(again)
    await expectSame(master, again)
    expect((await infoOf(master)).sync_full).toBe('1')
  })

  test('passwords: without the right one the link says so and the old data stays', async () => {
    const master = await startRedisServer(redis.path, { args: ['--requirepass', 'secret'] })
    const replica = await startNode()
    await replica.call('SET', 'kept', 'yes')
    await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
    await until('the reason is logged', () => /Unable to AUTH|because=auth/.test(replica.log()))
    expect(plain(await replica.call('GET', 'kept'))).toBe('yes')
    await replica.call('CONFIG', 'SET', 'masterauth', 'secret')
    await linked(replica)
    expect(plain(await replica.call('GET', 'kept'))).toBe(null)
  })

  test('what is written to a writable replica stays there, and moves no offset', async () => {
    const master = await startRedisServer(redis.path)
    const replica = await startNode({ args: ['--replica-read-only', 'no'] })
    await follow(replica, master)
    expect(plain(await replica.call('SET', 'own', '1'))).toBe('OK')
    await writeMixed(master.client(), 200, 51)
    await until('offsets are equal', async () => {
      const [ours, theirs] = await Promise.all([infoOf(master, 'replication'), infoOf(replica, 'replication')])
      return ours.master_repl_offset === theirs.master_repl_offset
    })
    await master.call('CLIENT', 'KILL', 'TYPE', 'replica')
    await linked(replica)
    await replica.call('DEL', 'own')
    await expectSame(master, replica)
    expect((await infoOf(master)).sync_full).toBe('1')
  })

  test('FAILOVER hands over to a real replica and back', async () => {
    const master = await startNode()
    const replica = await startRedisServer(redis.path)
    await follow(replica, master)
    await writeMixed(master.client(), 500, 41)
    expect(plain(await master.call('FAILOVER'))).toBe('OK')
    await until('the replica is master', async () => (await infoOf(replica, 'replication')).role === 'master')
    await linked(master)
    await writeMixed(replica.client(), 500, 42)
    await expectSame(replica, master)
    expect(plain(await replica.call('FAILOVER'))).toBe('OK')
    await until('we are master again', async () => (await infoOf(master, 'replication')).role === 'master')
    await linked(replica)
    await writeMixed(master.client(), 500, 43)
    await expectSame(master, replica)
    expect((await infoOf(master)).sync_full).toBe('1')
  })
})

test('a replica that stops reading holds its place, and gets the rest when it reads again, without further writes', async () => {
  const master = await startNode({ args: ['--repl-backlog-size', '16kb'] })
  const replica = await startNode()
  await follow(replica, master)
  const { master_replid, master_repl_offset } = await infoOf(master, 'replication')
  const start = Number(master_repl_offset)

  let received = 0
  let preamble = ''
  const tap = connect(master.port, '127.0.0.1')
  onTestFinished(() => void tap.destroy())
  tap.on('data', chunk => {
    const text = chunk.toString('latin1')
    if (preamble === '' && text.startsWith('+OK')) {
      preamble = text.slice(0, text.indexOf('\r\n', text.indexOf('+CONTINUE')) + 2)
      received -= preamble.length
    }
    received += chunk.length
  })
  tap.write(`REPLCONF capa psync2\r\nPSYNC ${master_replid} ${start + 1}\r\n`)
  await until('the tap is attached', () => preamble.includes(`+CONTINUE ${master_replid}`))
  tap.pause()
  const client = master.client()
  for (let round = 0; round < 12; round++) {
    await Promise.all(Array.from({ length: 16 }, () => client.send(['SET', 'big', 'x'.repeat(64 * 1024)])))
  }
  const end = Number((await infoOf(master, 'replication')).master_repl_offset)
  expect(end - start).toBeGreaterThan(12 * 1024 * 1024)
  tap.resume()
  await until('everything has come', () => received >= end - start)
})

test('a replica that holds up too much is dropped at client-output-buffer-limit', async () => {
  const master = await startNode({
    args: ['--client-output-buffer-limit', 'replica 2mb 0 0', '--repl-backlog-size', '16kb'],
  })
  const replica = await startNode()
  await follow(replica, master)
  const { master_replid, master_repl_offset } = await infoOf(master, 'replication')
  const tap = connect(master.port, '127.0.0.1')
  onTestFinished(() => void tap.destroy())
  tap.on('error', () => undefined)
  tap.write(`PSYNC ${master_replid} ${Number(master_repl_offset) + 1}\r\n`)
  await until('it is attached', async () => (await infoOf(master)).connected_slaves === '2')
  tap.pause()
  const client = master.client()
  await until('it is dropped', async () => {
    await Promise.all(Array.from({ length: 16 }, () => client.send(['SET', 'big', 'x'.repeat(64 * 1024)])))
    return (await infoOf(master)).connected_slaves === '1'
  })
  expect(master.log()).toContain('output-limit')
  await expectSame(master, replica)
})
