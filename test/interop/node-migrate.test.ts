/** MIGRATE: keys leave for another node or a real server, whole or not at all. */
import { describe, expect, test } from 'vitest'
import { freePort } from '../support/ports.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, plain, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

async function call(server: TestServer, ...args: string[]): Promise<unknown> {
  return plain(await server.call(...args))
}

async function scene(target: TestServer): Promise<void> {
  const node = await startNode()
  const migrate = (key: string, ...more: string[]): Promise<unknown> =>
    call(node, 'MIGRATE', '127.0.0.1', String(target.port), key, '3', '5000', ...more)

  await node.call('SET', 'a', '1')
  await node.call('HSET', 'h', 'f', 'v')
  await node.call('SET', 'short', 'x', 'PX', '100000')
  expect(await migrate('', 'KEYS', 'a', 'h', 'short', 'missing')).toBe('OK')
  expect(await call(node, 'DBSIZE')).toBe(0)
  await target.call('SELECT', '3')
  expect(await call(target, 'GET', 'a')).toBe('1')
  expect(await call(target, 'HGET', 'h', 'f')).toBe('v')
  expect(await call(target, 'PTTL', 'short')).toBeGreaterThan(0)
  expect((await infoOf(node)).migrate_cached_sockets).toBe('1')

  expect(await migrate('missing')).toBe('NOKEY')
  // What the target has already stays here; what it took is gone.
  await node.call('MSET', 'a', '2', 'b', '2')
  expect(await migrate('', 'KEYS', 'a', 'b')).toMatch(/^-ERR Target instance replied with error: BUSYKEY/)
  expect(await call(node, 'MGET', 'a', 'b')).toEqual(['2', null])
  expect(await migrate('a', 'COPY', 'REPLACE')).toBe('OK')
  expect(await call(node, 'GET', 'a')).toBe('2')
  expect(await call(target, 'GET', 'a')).toBe('2')
  expect(await migrate('a', 'AUTH', 'secret')).toMatch(/^-ERR Target instance replied with error: ERR/)
  expect(await migrate('a', 'KEYS', 'a')).toMatch(/empty string/)
  expect(await migrate('a', 'NONSENSE')).toBe('-ERR syntax error')
}

describe('to another place', () => {
  test('a node', async () => scene(await startNode()))
  redis.test('the real server', async () => scene(await startRedisServer(redis.path)))

  test('that is not there: an error, and nothing is lost', async () => {
    const node = await startNode()
    await node.call('SET', 'a', '1')
    expect(await call(node, 'MIGRATE', '127.0.0.1', String(await freePort()), 'a', '0', '300')).toMatch(/^-IOERR/)
    expect(await call(node, 'SET', 'b', '1')).toBe('OK')
    expect(await call(node, 'GET', 'a')).toBe('1')
  })

  test('that does not answer: the time is over, and writes that waited go on', async () => {
    const target = await startNode()
    const node = await startNode()
    await node.call('SET', 'a', '1')
    await target.call('CLIENT', 'PAUSE', '100000', 'ALL')
    const other = node.client()
    const answered: string[] = []
    const migrated = node.call('MIGRATE', '127.0.0.1', String(target.port), 'a', '0', '2000')
    await until('the migration is under way', () => node.server.pause.active)
    const written = other.send(['APPEND', 'a', '2']).then(() => answered.push('write'))
    const result = await migrated
    answered.push('migrate')
    await written
    expect(plain(result)).toMatch(/^-IOERR .*timeout/)
    expect(await call(node, 'GET', 'a')).toBe('12')
    await target.call('CLIENT', 'UNPAUSE')
  })

  test('replicas and the file hear of a deletion', async () => {
    const target = await startNode()
    const node = await startNode({ args: ['--appendonly', 'yes'] })
    await node.call('MSET', 'a', '1', 'b', '1')
    await node.call('MIGRATE', '127.0.0.1', String(target.port), 'a', '0', '5000')
    await node.call('DEBUG', 'LOADAOF')
    expect(await call(node, 'MGET', 'a', 'b')).toEqual([null, '1'])
  })
})
