/**
 * What INFO says of replication, where it said something else than redis-server: how long a link is down that never was up,
 * how big a copy is, what was read of an open transaction, which copies are saves, and the bytes of copies. And FUNCTION
 * STATS, which was answered while a plain script kept the node busy.
 */
import { createServer, type Socket } from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { encodeCommand } from '../../src/resp/encoder.js'
import { ownNode } from '../support/own-node.js'
import { freePort } from '../support/ports.js'
import { buildRdb } from '../support/rdb-builder.js'
import { requireReal } from '../support/real.js'
import { RedisNode, until } from '../support/redis-group.js'
import { infoOf, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

for (const kind of ['redis', 'ours'] as const) {
  redis.describe(kind, () => {
    const start = (...args: string[]): Promise<TestServer> =>
      kind === 'ours' ? startNode({ args }) : startRedisServer(redis.path, { args })
    const downSince = async (server: TestServer): Promise<number> =>
      Number((await infoOf(server)).master_link_down_since_seconds)

    redis.test('a link is down since it was up, and -1 before', async () => {
      const replica = await start()
      const nobody = String(await freePort())
      await replica.call('REPLICAOF', '127.0.0.1', nobody)
      expect(await downSince(replica)).toBe(-1)
      const master = await startRedisServer(redis.path)
      await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
      await until('it follows', async () => (await infoOf(replica)).master_link_status === 'up')
      expect(await downSince(replica)).toBeNaN()
      await replica.call('REPLICAOF', '127.0.0.1', nobody)
      expect(await downSince(replica)).toBeGreaterThanOrEqual(0)
      await replica.call('REPLICAOF', 'NO', 'ONE')
      await replica.call('REPLICAOF', '127.0.0.1', nobody)
      expect(await downSince(replica)).toBe(-1)
    })

    for (const diskless of ['yes', 'no']) {
      redis.test(`the size of a copy, repl-diskless-sync ${diskless}`, async () => {
        const slow = ['--rdb-key-save-delay', '10000000', '--repl-diskless-sync', diskless]
        const master = await startRedisServer(redis.path, { args: slow })
        await master.call('SET', 'key', 'value')
        const replica = await start()
        await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
        const figures = async (): Promise<unknown> => {
          const { master_sync_total_bytes, master_sync_read_bytes, master_sync_left_bytes } = await infoOf(replica)
          return [master_sync_total_bytes, master_sync_read_bytes, master_sync_left_bytes]
        }
        // Either is announced when its first bytes are there, which is after the key.
        await until('it waits for the copy', async () => (await infoOf(replica)).master_sync_in_progress === '1')
        expect(await figures()).toEqual(['-1', '0', '-1'])
        await master.stop()
      })

      redis.test(`a copy is a save when it is a file, repl-diskless-sync ${diskless}`, async () => {
        const master = await start('--repl-diskless-sync', diskless)
        await master.call('DEBUG', 'POPULATE', '1000', 'key', '1000')
        const before = await infoOf(master)
        const replica = await startRedisServer(redis.path)
        await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
        await until('it follows', async () => (await infoOf(replica)).master_link_status === 'up')
        const after = await infoOf(master)
        expect(Number(after.rdb_saves) - Number(before.rdb_saves)).toBe(diskless === 'no' ? 1 : 0)
        const grown = (field: string): number => Number(after[field]) - Number(before[field])
        expect(grown('total_net_repl_output_bytes')).toBeGreaterThan(20_000)
        expect(grown('total_net_output_bytes')).toBeGreaterThanOrEqual(grown('total_net_repl_output_bytes'))
        expect(grown('total_net_output_bytes')).toBeLessThan(1.9 * grown('total_net_repl_output_bytes'))
      })
    }

    redis.test('what was read of an open transaction counts as read, not as applied', async () => {
      const { port, socket } = await fakeMaster()
      const replica = await start()
      await replica.call('REPLICAOF', '127.0.0.1', String(port))
      await until('it follows', async () => (await infoOf(replica)).master_link_status === 'up')
      const bytes = Buffer.concat([encodeCommand(['MULTI']), encodeCommand(['SET', 'key', 'value'])])
      socket().write(bytes)
      await until(
        'it is read',
        async () => Number((await infoOf(replica)).slave_read_repl_offset) === 100 + bytes.length,
      )
      expect((await infoOf(replica)).slave_repl_offset).toBe('100')
      socket().write(encodeCommand(['EXEC']))
      await until('it is applied', async () => Number((await infoOf(replica)).slave_repl_offset) > 100 + bytes.length)
    })

    redis.test('FUNCTION STATS while a plain script runs is answered with BUSY', async () => {
      const node = new RedisNode(kind === 'ours' ? ownNode() : redis.path, await freePort())
      onTestFinished(() => node.stop())
      await node.start('--busy-reply-threshold', '50')
      const running = node.call('EVAL', 'while true do end', '0').catch(String)
      await until('it is busy', async () => /BUSY/.test(String(await node.call('PING').catch(String))))
      expect(await node.call('FUNCTION', 'STATS').catch(String)).toMatch(/BUSY .*SCRIPT KILL or SHUTDOWN NOSAVE/)
      await node.call('SCRIPT', 'KILL')
      await running
    })
  })
}

/** A master that says what is needed for a full copy without keys at offset 100, and then what `socket()` is told to say. */
async function fakeMaster(): Promise<{ port: number; socket: () => Socket }> {
  const copy = buildRdb(10, () => undefined)
  let replica: Socket | undefined
  const server = createServer(socket => {
    replica = socket
    socket.on('error', () => undefined)
    socket.on('data', chunk => {
      const text = chunk.toString('latin1').toUpperCase()
      if (text.includes('ACK')) return
      for (const word of text.match(/\bPING\b|\bREPLCONF\b|\bPSYNC\b/g) ?? []) {
        if (word === 'PING') socket.write('+PONG\r\n')
        else if (word === 'REPLCONF') socket.write('+OK\r\n')
        else {
          socket.write(`+FULLRESYNC ${'a'.repeat(40)} 100\r\n$${copy.length}\r\n`)
          socket.write(copy)
        }
      }
    })
  })
  const port = await freePort()
  await new Promise<void>(ready => server.listen(port, '127.0.0.1', ready))
  onTestFinished(() => {
    replica?.destroy()
    server.close()
  })
  return { port, socket: () => replica as Socket }
}
