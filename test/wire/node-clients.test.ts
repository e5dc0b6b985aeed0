/**
 * What clients may cost a node, and what pausing them means: the bounds of memory and output, CLIENT PAUSE and scripts,
 * CLIENT PAUSE on a replica.
 */
import { expect, onTestFinished, test } from 'vitest'
import { type Frame, textOf } from '../../src/resp/protocol.js'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { infoOf, plain, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

async function connected(server: TestServer, name: string): Promise<RawClient> {
  const client = await RawClient.open(server.port)
  onTestFinished(() => client.close())
  await client.call('CLIENT', 'SETNAME', name)
  return client
}

/** Waits as long as a slow machine may need. */
function eventually<T>(look: () => Promise<T>): ReturnType<typeof expect.poll<T>> {
  return expect.poll(look, { timeout: 15_000 })
}

/** The fields of one client in CLIENT LIST. */
async function fieldsOf(server: TestServer, name: string): Promise<Record<string, string> | undefined> {
  const list = textOf(await server.call('CLIENT', 'LIST')) ?? ''
  const line = list.split('\n').find(one => one.includes(` name=${name} `))
  return line === undefined ? undefined : Object.fromEntries(line.split(' ').map(field => field.split('=', 2)))
}

/** An argument of so many bytes that never comes to its end. */
function unfinished(bytes: number): Buffer {
  return Buffer.concat([Buffer.from(`*2\r\n$${bytes + 2}\r\n`), Buffer.alloc(bytes, 'x')])
}

test('beyond maxmemory-clients the largest are closed, and only as many as it takes', async () => {
  const node = await startNode({ args: ['--maxmemory-clients', '3mb'] })
  const clients: RawClient[] = []
  for (const [index, bytes] of [100_000, 2_000_000, 400_000].entries()) {
    const client = await connected(node, `c${index}`)
    client.write(unfinished(bytes))
    await eventually(async () => Number((await fieldsOf(node, `c${index}`))?.qbuf)).toBe(bytes)
    clients.push(client)
  }
  const spared = await connected(node, 'spared')
  await spared.call('CLIENT', 'NO-EVICT', 'on')
  spared.write(unfinished(900_000))
  await clients[1]?.untilClosed()
  expect(await fieldsOf(node, 'c1')).toBeUndefined()
  expect(await fieldsOf(node, 'c2')).toBeDefined()
  expect((await infoOf(node)).evicted_clients).toBe('1')

  // Names count as well, wherever they are kept.
  await node.call('CONFIG', 'SET', 'maxmemory-clients', '0')
  for (const [index, command] of ['SUBSCRIBE', 'WATCH', 'CLIENT TRACKING on BCAST'].entries()) {
    const client = await connected(node, `n${index}`)
    const before = Number((await fieldsOf(node, `n${index}`))?.['tot-mem'])
    const names = Array.from({ length: 100 }, (_, name) => `name ${name} ${'x'.repeat(50)}`)
    const args = index === 2 ? names.flatMap(name => ['PREFIX', name]) : names
    client.send([...command.split(' '), ...args])
    await eventually(async () => Number((await fieldsOf(node, `n${index}`))?.['tot-mem'])).toBeGreaterThan(
      before + 5000,
    )
    client.send(['RESET'])
    await eventually(async () => (await fieldsOf(node, `n${index}`)) === undefined).toBe(true)
  }
})

test('a reply too large for its client is not made to the end, and hurts nobody else', async () => {
  const node = await startNode({ args: ['--client-output-buffer-limit', 'normal', '1000000', '0', '0'] })
  await node.call('HSET', 'h', 'field', 'value')
  await node.call('SADD', 's', 'member')
  await node.call('ZADD', 'z', '1', 'member')
  for (const command of [
    ['HRANDFIELD', 'h', '-999999999', 'WITHVALUES'],
    ['SRANDMEMBER', 's', '-999999999'],
    ['ZRANDMEMBER', 'z', '-999999999'],
  ]) {
    const client = await RawClient.open(node.port)
    client.send(command)
    await client.untilClosed()
    expect(client.frames).toEqual([])
  }
  // A transaction is executed to its end all the same.
  const client = await RawClient.open(node.port)
  client.send(['MULTI'], ['SET', 'k', '1'], ['SRANDMEMBER', 's', '-999999999'], ['SET', 'k', '2'], ['EXEC'])
  await client.untilClosed()
  expect(textOf(await node.call('GET', 'k'))).toBe('2')
})

test('CLIENT PAUSE WRITE holds back scripts that may write, and runs those that say that they do not', async () => {
  const node = await startNode()
  const readOnly = '#!lua flags=no-writes\nreturn 7'
  await node.call('CLIENT', 'PAUSE', '100000', 'WRITE')
  expect(plain(await node.call('EVAL', readOnly, '0'))).toBe(7)
  expect(plain(await node.call('EVAL_RO', 'return 8', '0'))).toBe(8)
  const sha = textOf(await node.call('SCRIPT', 'LOAD', readOnly)) ?? ''
  expect(plain(await node.call('EVALSHA', sha, '0'))).toBe(7)
  expect(plain(await node.call('EVAL_RO', "return redis.call('PUBLISH','c','m')", '0'))).toMatch(
    /^-ERR Write commands are not allowed from read-only scripts/,
  )

  const writer = node.client()
  const written = writer.send(['EVAL', 'return 9', '0'])
  await eventually(async () => (await infoOf(node)).blocked_clients).toBe('1')
  await node.call('CLIENT', 'UNPAUSE')
  expect(plain(await written)).toBe(9)
})

redis.describe('fields of CLIENT LIST', () => {
  test('are those of redis-server, in its order', async () => {
    const [ours, theirs] = [await startNode(), await startRedisServer(redis.path)]
    const names = async (server: TestServer): Promise<string[]> => {
      const client = await connected(server, 'me')
      await client.call('MULTI')
      await client.call('SET', 'k', 'v')
      return Object.keys((await fieldsOf(server, 'me')) ?? {})
    }
    expect(await names(ours)).toEqual(await names(theirs))
    const asked = async (server: TestServer): Promise<string | undefined> =>
      / qbuf=\d+ /.exec(textOf(await server.call('CLIENT', 'INFO')) ?? '')?.[0]
    expect(await asked(ours)).toBe(await asked(theirs))
  })
})

for (const kind of ['ours', 'redis'] as const) {
  const declare = kind === 'ours' ? test : redis.test
  declare(`a paused replica reads on, and applies nothing until it may: master ${kind}`, async () => {
    const master = kind === 'ours' ? await startNode() : await startRedisServer(redis.path)
    const replica = await startNode({ args: ['--replicaof', '127.0.0.1', String(master.port)] })
    await eventually(async () => (await infoOf(replica)).master_link_status).toBe('up')
    await master.call('SET', 'k', 'before')
    await eventually(async () => textOf(await replica.call('GET', 'k'))).toBe('before')

    await replica.call('CLIENT', 'PAUSE', '100000', 'WRITE')
    const stood = (await infoOf(replica)).slave_repl_offset
    const big: Frame = await master.call('SET', 'k', 'x'.repeat(300_000))
    expect(plain(big)).toBe('OK')
    const target = (await infoOf(master)).master_repl_offset
    await eventually(async () => Number((await infoOf(replica)).slave_read_repl_offset)).toBeGreaterThanOrEqual(
      Number(target),
    )
    expect((await infoOf(replica)).slave_repl_offset).toBe(stood)
    expect(textOf(await replica.call('GET', 'k'))).toBe('before')

    await replica.call('CLIENT', 'UNPAUSE')
    await eventually(async () => textOf(await replica.call('GET', 'k'))).toBe('x'.repeat(300_000))
    await eventually(async () => plain(await master.call('WAIT', '1', '100'))).toBe(1)
  })
}
