/**
 * What a replica received in a full copy was in its memory only: killed and started again it was empty, and asked for another
 * full copy. redis-server keeps the received file as its snapshot, whatever `save` says.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { ownNode } from '../support/own-node.js'
import { freePort } from '../support/ports.js'
import { requireReal } from '../support/real.js'
import { RedisNode, until } from '../support/redis-group.js'
import { infoOf, startNode, startRedisServer, type TestNode, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

redis.describe('a full copy', () => {
  for (const [kind, program] of [
    ['redis', () => redis.path],
    ['ours', ownNode],
  ] as const) {
    for (const diskless of ['yes', 'no']) {
      test(`${kind}: is there again after the replica was killed, repl-diskless-sync ${diskless}`, async () => {
        const master = await startRedisServer(redis.path, { args: ['--repl-diskless-sync', diskless] })
        await fill(master)
        const replica = new RedisNode(program(), await freePort())
        onTestFinished(() => replica.stop())
        const follow = ['--replicaof', '127.0.0.1', String(master.port)]
        const isUp = async (): Promise<boolean> => (await replica.info()).master?.up === true
        await replica.start(...follow)
        await until('it follows', isUp)
        await until('the copy is on the disk', () => replica.holds('dump.rdb'))
        await master.call('SET', 'later', '1')
        await replica.end()
        await replica.start(...follow)
        await until('it follows again', isUp)
        expect(await replica.call('DBSIZE')).toMatchObject({ value: 2001 })
        expect(textOf(await replica.call('GET', 'later'))).toBe('1')
        expect(await infoOf(master)).toMatchObject({ sync_full: '1', sync_partial_ok: '1' })
      })
    }
  }

  test('is put in the place of a save of the data before it', async () => {
    const { master, replica } = await withOldData()
    await replica.call('CONFIG', 'SET', 'rdb-key-save-delay', '1000000')
    await replica.call('BGSAVE')
    await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
    await until('it follows', async () => (await infoOf(replica)).master_link_status === 'up')
    await until('the save was given up', async () => (await infoOf(replica)).rdb_bgsave_in_progress === '0')
    expect((await infoOf(replica)).rdb_last_bgsave_status).toBe('ok')
    await replica.server.loads.keeping
    expect(await keysInFileOf(replica)).toBe(2000)
  })

  test('does not replace what was saved since then', async () => {
    const { master, replica } = await withOldData()
    await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
    await until('it follows', async () => (await infoOf(replica)).master_link_status === 'up')
    await master.call('SET', 'later', '1')
    await until('it has it', async () => textOf(await replica.call('GET', 'later')) === '1')
    expect(replica.server.snapshots.save()).toBeUndefined()
    await replica.server.loads.keeping
    expect(await keysInFileOf(replica)).toBe(2001)
  })

  test('is not kept with rdb-del-sync-files, nor where it cannot be', async () => {
    for (const [args, prepare] of [
      [['--rdb-del-sync-files', 'yes'], () => undefined],
      [[], (dir: string) => mkdirSync(join(dir, 'dump.rdb'))],
    ] as const) {
      const { master, replica } = await withOldData(args)
      prepare(replica.dir)
      await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
      await until('it follows', async () => (await infoOf(replica)).master_link_status === 'up')
      await replica.server.loads.keeping
      expect(existsSync(join(replica.dir, 'dump.rdb'))).toBe(args.length === 0)
      expect(replica.log().includes('is not kept on the disk')).toBe(args.length === 0)
      await until('nothing is left of it', () => readdirSync(replica.dir).every(name => !name.startsWith('temp-')))
    }
  })
})

async function fill(server: TestServer): Promise<void> {
  await server.call('DEBUG', 'POPULATE', '2000')
}

async function withOldData(args: readonly string[] = []): Promise<{ master: TestServer; replica: TestNode }> {
  const master = await startRedisServer(redis.path)
  await fill(master)
  const replica = await startNode({ args })
  await replica.call('SET', 'old', '1')
  return { master, replica }
}

async function keysInFileOf({ dir, stop }: TestNode): Promise<number> {
  await stop()
  const again = await startNode({ dir })
  return Number((await infoOf(again)).rdb_last_load_keys_loaded)
}
