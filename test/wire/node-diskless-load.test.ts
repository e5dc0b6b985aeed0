/**
 * Who may read while a full copy arrives (`repl-diskless-load`): the same scenes with redis-server as the replica and with
 * ours. The master lingers over each key, so that a copy takes as long as the scene.
 */
import { expect, vi } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, plain, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')
const LOADING = /^-LOADING /

vi.setConfig({ testTimeout: 60_000 })

redis.describe('with redis-server', () => {
  for (const kind of ['redis', 'ours'] as const) {
    const startReplica = async (policy: string): Promise<TestServer> => {
      const options = { args: ['--repl-diskless-load', policy] }
      return kind === 'ours' ? startNode(options) : startRedisServer(redis.path, options)
    }

    redis.test(
      `${kind}: data of another history are not shown meanwhile, and are there again when the copy fails`,
      async () => {
        const master = await lingering()
        const replica = await startReplica('swapdb')
        await replica.call('SET', 'old', '1')
        await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
        await until('the copy arrives', async () => (await stateOf(replica)).loading === '1')
        expect(await stateOf(replica)).toEqual({ loading: '1', async_loading: '0' })
        expect(plain(await replica.call('GET', 'old'))).toMatch(LOADING)
        await breakOff(master)
        await until('it failed', async () => (await stateOf(replica)).loading === '0')
        expect(textOf(await replica.call('GET', 'old'))).toBe('1')
      },
    )

    redis.test(`${kind}: data of the same history are read meanwhile, and only read`, async () => {
      const master = await startRedisServer(redis.path, { args: ['--repl-diskless-sync', 'yes'] })
      const replica = await startReplica('swapdb')
      await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
      await until('it follows', async () => (await infoOf(replica)).master_link_status === 'up')
      await master.call('SET', 'old', '1')
      await until('it has it', async () => textOf(await replica.call('GET', 'old')) === '1')
      await replica.call('CONFIG', 'SET', 'replica-read-only', 'no')
      await linger(master)
      // A writable replica's own data are of no history that the master could continue from.
      await master.call('CONFIG', 'SET', 'repl-backlog-size', '16kb')
      await master.call('MULTI')
      await master.call('CLIENT', 'KILL', 'TYPE', 'replica')
      for (let index = 0; index < 40; index++) await master.call('SET', 'big', 'x'.repeat(1000 + index))
      await master.call('EXEC')
      await until('the copy arrives', async () => (await stateOf(replica)).async_loading === '1')
      expect(await stateOf(replica)).toEqual({ loading: '0', async_loading: '1' })
      expect(textOf(await replica.call('GET', 'old'))).toBe('1')
      for (const refused of [['REPLICAOF', 'NO', 'ONE'], ['CONFIG', 'SET', 'appendonly', 'no'], ['BGSAVE'], ['SAVE']]) {
        expect(plain(await replica.call(...refused)), refused.join(' ')).toMatch(LOADING)
      }
      await breakOff(master)
      await until('it failed', async () => (await stateOf(replica)).async_loading === '0')
      expect(textOf(await replica.call('GET', 'old'))).toBe('1')
    })

    redis.test(`${kind}: with nothing to lose, nothing is shown; by default, what was there`, async () => {
      const master = await lingering()
      // Both in one copy.
      await master.call('CONFIG', 'SET', 'repl-diskless-sync-delay', '1')
      const [empty, full] = [await startReplica('on-empty-db'), await startReplica('disabled')]
      await full.call('SET', 'old', '1')
      for (const replica of [empty, full]) await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
      await until('the copy arrives', async () => (await infoOf(full)).master_sync_in_progress === '1')
      await until('the copy arrives', async () => (await stateOf(empty)).loading === '1')
      expect(plain(await empty.call('GET', 'old'))).toMatch(LOADING)
      expect(await stateOf(full)).toEqual({ loading: '0', async_loading: '0' })
      expect(textOf(await full.call('GET', 'old'))).toBe('1')
      await breakOff(master)
    })
  }
})

async function lingering(): Promise<TestServer> {
  const master = await startRedisServer(redis.path, { args: ['--repl-diskless-sync', 'yes'] })
  await linger(master)
  return master
}

async function linger(master: TestServer): Promise<void> {
  await master.call('DEBUG', 'POPULATE', '2000', 'key', '100000')
  await master.call('CONFIG', 'SET', 'rdbcompression', 'no')
  await master.call('CONFIG', 'SET', 'rdb-key-save-delay', '5000')
}

/** The next copy does not begin before the scene is over. */
async function breakOff(master: TestServer): Promise<void> {
  await master.call('CONFIG', 'SET', 'repl-diskless-sync-delay', '60')
  await master.call('CLIENT', 'KILL', 'TYPE', 'replica')
}

async function stateOf(server: TestServer): Promise<{ loading?: string; async_loading?: string }> {
  const { loading, async_loading } = await infoOf(server, 'persistence')
  return { ...(loading && { loading }), ...(async_loading && { async_loading }) }
}
