/**
 * A replica with fewer databases than its master ended with a TypeError at the first write to one that it does not have.
 * redis-server says that the SELECT failed and stays; the write lands in the database that was selected before.
 */
import { expect } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

redis.describe('a replica with fewer databases than its master', () => {
  for (const kind of ['redis', 'ours'] as const) {
    redis.test(`${kind}: outlives a SELECT of one it does not have`, async () => {
      const { master, replica } = await linked(kind)
      await write(master, 1, 'before')
      await write(master, 20, 'beyond')
      await until('the write has come', async () => textOf(await get(replica, 1, 'beyond')) === '1')
      expect(replica.log()).toMatch(/== CRITICAL == .*DB index is out of range.*select/)
      await write(master, 2, 'after')
      await until('it goes on', async () => textOf(await get(replica, 2, 'after')) === '1')
      expect((await infoOf(replica)).master_link_status).toBe('up')
    })

    redis.test(`${kind}: goes on after a copy that was cut while the stream was in such a database`, async () => {
      const master = await startRedisServer(redis.path, { args: ['--databases', '32'] })
      const first = await follower('redis', master, '32')
      await write(master, 20, 'beyond')
      await until('the write has come', async () => textOf(await get(first, 20, 'beyond')) === '1')
      await write(master, 20, 'beyond', 'DEL')
      await until('it is gone', async () => textOf(await get(first, 20, 'beyond')) === undefined)
      // The copy that `first` gives says in which database the stream is.
      const replica = await follower(kind, first)
      await write(master, 20, 'lost')
      await until('the write has come', async () => textOf(await get(replica, 0, 'lost')) === '1')
      await write(master, 1, 'after')
      await until('it goes on', async () => textOf(await get(replica, 1, 'after')) === '1')
    })
  }
})

async function linked(kind: 'redis' | 'ours'): Promise<{ master: TestServer; replica: TestServer }> {
  const master = await startRedisServer(redis.path, { args: ['--databases', '32'] })
  return { master, replica: await follower(kind, master) }
}

async function follower(kind: 'redis' | 'ours', master: TestServer, databases = '4'): Promise<TestServer> {
  const args = ['--databases', databases, '--replicaof', '127.0.0.1', String(master.port)]
  const replica = kind === 'ours' ? await startNode({ args }) : await startRedisServer(redis.path, { args })
  await until('it follows', async () => (await infoOf(replica)).master_link_status === 'up')
  return replica
}

async function write(server: TestServer, db: number, key: string, verb = 'SET'): Promise<void> {
  const client = server.client()
  await client.send(['SELECT', String(db)])
  await client.send(verb === 'SET' ? ['SET', key, '1'] : [verb, key])
}

async function get(server: TestServer, db: number, key: string): Promise<Awaited<ReturnType<TestServer['call']>>> {
  const client = server.client()
  try {
    await client.send(['SELECT', String(db)])
    return await client.send(['GET', key])
  } finally {
    client.close()
  }
}
