/**
 * CLIENT PAUSE through the proxy: as with one redis-server, whichever worker, connection or instance is concerned.
 */
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { numberOf, textOf } from '../../src/resp/protocol.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { startProxyProcess } from '../support/proxy-process.js'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

interface Scene {
  readonly proxy: ProxyUnderTest
  readonly master: RedisNode
  readonly replica: RedisNode
  open(): Promise<RawClient>
  /** INFO through the proxy. */
  info(field: string): Promise<string | undefined>
}

async function scene(): Promise<Scene> {
  const [master, replica] = (await startGroup(redis.path, 1)) as [RedisNode, RedisNode]
  const proxy = new ProxyUnderTest()
  onTestFinished(async () => {
    await proxy.stop()
    await Promise.all([master.stop(), replica.stop()])
  })
  await proxy.start(master.port, [replica.port])
  const open = (): Promise<RawClient> => openTo(proxy.port)
  const asking = await open()
  const info = async (field: string): Promise<string | undefined> =>
    new RegExp(`^${field}:(.*)\r$`, 'm').exec(String(await asking.call('INFO')))?.[1]
  return { proxy, master, replica, open, info }
}

async function openTo(port: number): Promise<RawClient> {
  const client = await RawClient.open(port)
  onTestFinished(() => client.close())
  return client
}

async function infoOf(node: RedisNode): Promise<string> {
  return textOf(await node.call('INFO')) ?? ''
}

const HARMLESS = '#!lua flags=no-writes\nreturn 7'
const LIBRARY = `#!lua name=lib
redis.register_function{function_name='reads', callback=function() return 5 end, flags={'no-writes'}}
redis.register_function('writes', function() return 6 end)`

redis.describe('CLIENT PAUSE', () => {
  test('WRITE: what may enter the replication stream waits and is executed afterwards, the rest is answered', async () => {
    const { open, info } = await scene()
    const [admin, sha] = [await open(), await open()]
    await admin.call('FUNCTION', 'LOAD', LIBRARY)
    const digest = (await sha.call('SCRIPT', 'LOAD', HARMLESS)) as string
    expect(await admin.call('CLIENT', 'PAUSE', '100000', 'WRITE')).toBe('OK')

    const waiting: RawClient[] = []
    for (const command of [
      ['SET', 'key', 'value'],
      ['PUBLISH', 'channel', 'message'],
      ['PFCOUNT', 'hll'],
      ['EVAL', 'return 3', '0'],
      ['FCALL', 'writes', '0'],
      ['BLPOP', 'list', '0.01'],
    ]) {
      const client = await open()
      client.send(command, ['PING'])
      waiting.push(client)
    }
    await until('all wait', async () => (await info('blocked_clients')) === '6')
    expect(await admin.call('CLIENT', 'LIST')).toMatch(/flags=b .*cmd=publish/)

    const other = await open()
    expect(await other.call('GET', 'key')).toBe(null)
    expect(await other.call('SET', 'key')).toMatch(/wrong number of arguments/)
    expect(await other.call('EVAL', HARMLESS, '0')).toBe(7)
    expect(await other.call('EVALSHA', digest, '0')).toBe(7)
    expect(await other.call('FCALL', 'reads', '0')).toBe(5)
    expect(await other.call('CONFIG', 'SET', 'slowlog-max-len', '100')).toBe('OK')
    expect(await other.pipeline(['MULTI'], ['GET', 'key'], ['EXEC'])).toEqual(['OK', 'QUEUED', [null]])

    expect(await admin.call('CLIENT', 'UNPAUSE')).toBe('OK')
    const answers = await Promise.all(waiting.map(client => client.next()))
    expect(answers).toMatchObject([
      { value: 'OK' },
      { value: 0 },
      { value: 0 },
      { value: 3 },
      { value: 6 },
      { type: 'null' },
    ])
    for (const client of waiting) expect(await client.next()).toMatchObject({ value: 'PONG' })
    expect(await info('blocked_clients')).toBe('0')
    expect(await info('proxy_paused')).toBe('no')
  })

  test('WRITE: a transaction waits at EXEC, where something is queued that waits', async () => {
    const { open, info } = await scene()
    const [admin, client, late] = [await open(), await open(), await open()]
    expect(await client.pipeline(['MULTI'], ['SET', 'key', '1'])).toEqual(['OK', 'QUEUED'])
    await admin.call('CLIENT', 'PAUSE', '100000', 'WRITE')
    client.send(['EXEC'])
    expect(await late.call('MULTI')).toBe('OK')
    late.send(['INCR', 'key'])
    await until('both wait', async () => (await info('blocked_clients')) === '2')
    await admin.call('CLIENT', 'UNPAUSE')
    expect(await client.next()).toMatchObject({ items: [{ value: 'OK' }] })
    expect(await late.next()).toMatchObject({ value: 'QUEUED' })
    expect(await late.call('EXEC')).toEqual([2])
  })

  test('in a transaction begins at its end, and the instance itself is not told to hold everything', async () => {
    const { open, proxy, master } = await scene()
    const [admin, client] = [await open(), await open()]
    expect(
      await admin.pipeline(['MULTI'], ['SET', 'a', '1'], ['CLIENT', 'PAUSE', '100000'], ['SET', 'b', '2'], ['EXEC']),
    ).toEqual(['OK', 'QUEUED', 'QUEUED', 'QUEUED', ['OK', 'OK', 'OK']])
    client.send(['GET', 'b'])
    await until('it waits', () => proxy.worker.pause.count === 1)
    expect(await master.call('PING')).toMatchObject({ value: 'PONG' })
    expect(client.frames).toEqual([])
    await admin.call('CLIENT', 'UNPAUSE')
    expect(await client.next()).toMatchObject({ value: '2' })
  })

  test('ALL: everything waits but UNPAUSE, and nobody loses the order of a pipeline', async () => {
    const { open, proxy } = await scene()
    const [admin, client] = [await open(), await open()]
    await admin.call('CLIENT', 'PAUSE', '100000')
    client.send(['PING'], ['SET', 'key', '1'], ['GET', 'key'], ['MULTI'], ['INCR', 'key'], ['EXEC'])
    await until('it waits', () => proxy.worker.pause.count === 1)
    expect(client.frames).toEqual([])
    await admin.call('CLIENT', 'UNPAUSE')
    const answers = []
    for (let count = 0; count < 6; count++) answers.push(await client.next())
    expect(answers).toMatchObject([
      { value: 'PONG' },
      { value: 'OK' },
      { value: '1' },
      { value: 'OK' },
      { value: 'QUEUED' },
      { items: [{ value: 2 }] },
    ])
  })

  test('a second pause makes it longer and stricter, never shorter; its end is the end', async () => {
    const { open, proxy } = await scene()
    const [admin, client] = [await open(), await open()]
    await admin.call('CLIENT', 'PAUSE', '300', 'WRITE')
    const before = proxy.worker.pause.remainingMs
    await admin.call('CLIENT', 'PAUSE', '1', 'WRITE')
    expect(proxy.worker.pause.remainingMs).toBeGreaterThan(before - 300)
    expect(proxy.worker.pause.mode).toBe('write')
    expect(await client.call('SET', 'key', '1')).toBe('OK')
    expect(proxy.worker.pause.mode).toBe(undefined)
    for (const [args, error] of [
      [['soon'], 'ERR timeout is not an integer or out of range'],
      [['-1'], 'ERR timeout is negative'],
      [['1', 'READ'], 'ERR CLIENT PAUSE mode must be WRITE or ALL'],
    ] as const) {
      expect(await client.call('CLIENT', 'PAUSE', ...args)).toContain(error)
    }
  })

  test('the data set stands still: keys do not expire, and writers that bypass the proxy wait', async () => {
    const { open, master } = await scene()
    const [admin, bypassing] = [await open(), await openTo(master.port)]
    const size = Number(await admin.call('DBSIZE'))
    await admin.pipeline(
      ['MULTI'],
      ['SET', 'short', '1', 'PX', '200'],
      ['CLIENT', 'PAUSE', '100000', 'WRITE'],
      ['EXEC'],
    )
    bypassing.send(['SET', 'key', '1'])
    await until('it is expired', async () => (await admin.call('GET', 'short')) === null)
    await until('the other writer waits', async () => /^blocked_clients:1\r$/m.test(await infoOf(master)))
    expect(await master.call('DBSIZE')).toMatchObject({ value: size + 1 })
    expect(await infoOf(master)).toMatch(/^expired_keys:0\r$/m)
    await admin.call('CLIENT', 'UNPAUSE')
    expect(await bypassing.next()).toMatchObject({ value: 'OK' })
  })

  test('a switch goes on meanwhile, and what waited is written at the new master', async () => {
    const { open, proxy, master, replica } = await scene()
    const [admin, client] = [await open(), await open()]
    await admin.call('SET', 'counter', '1')
    await admin.call('CLIENT', 'PAUSE', '100000', 'WRITE')
    client.send(['INCR', 'counter'])
    await until('it waits', () => proxy.worker.pause.count === 1)
    expect(await proxy.worker.hold({ group: 'main', timeoutMs: 5000 })).toMatchObject({ drained: true })
    await until(
      'the replica has it',
      async () => ((await replica.call('GET', 'counter')) as { value: string }).value === '1',
    )
    await replica.call('REPLICAOF', 'NO', 'ONE')
    await proxy.setMembers(replica.port, [])
    await proxy.worker.release('main')
    expect(proxy.worker.pause.count).toBe(1)
    await admin.call('CLIENT', 'UNPAUSE')
    expect(await client.next()).toMatchObject({ value: 2 })
    expect(await master.call('GET', 'counter')).toMatchObject({ value: '1' })
  })

  test('a client that goes while it waits is forgotten', async () => {
    const { open, proxy } = await scene()
    const [admin, client] = [await open(), await open()]
    await admin.call('CLIENT', 'PAUSE', '100000', 'WRITE')
    client.send(['SET', 'key', '1'])
    await until('it waits', () => proxy.worker.pause.count === 1)
    client.close()
    await until('it is gone', () => proxy.worker.pause.count === 0)
    await admin.call('CLIENT', 'UNPAUSE')
    expect(await admin.call('GET', 'key')).toBe(null)
  })

  test('holds at every worker, whichever was asked', async () => {
    const root = join(import.meta.dirname, '../..')
    const [master] = (await startGroup(redis.path, 0)) as [RedisNode]
    const proxy = await startProxyProcess(join(root, 'dist'), [`127.0.0.1:${master.port}`], '--workers', '2')
    onTestFinished(async () => {
      await proxy.stop()
      await master.stop()
    })
    const clients = await Promise.all(Array.from({ length: 12 }, () => openTo(proxy.port)))
    const [admin] = clients as [RawClient]
    expect(await admin.call('CLIENT', 'PAUSE', '100000', 'WRITE')).toBe('OK')
    clients.forEach((client, index) => client.send(['SET', `key${index}`, '1'], ['GET', `key${index}`]))
    const written = async (): Promise<unknown> =>
      numberOf(await master.call('EXISTS', ...clients.map((_, at) => `key${at}`)))
    expect(await written()).toBe(0)
    const other = await openTo(proxy.port)
    expect(await other.call('CLIENT', 'UNPAUSE')).toBe('OK')
    for (const client of clients) {
      expect(await client.next()).toMatchObject({ value: 'OK' })
      expect(await client.next()).toMatchObject({ value: '1' })
    }
    expect(await written()).toBe(12)
  })
})
