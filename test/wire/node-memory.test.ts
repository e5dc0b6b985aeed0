/**
 * maxmemory on a real node: refusals word for word as redis-server's, evictions that keep the limit and reach replicas,
 * and what INFO says of both. Beside it, what watches and the slow log say of data that goes at once or comes late.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { plain, RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

/** Who asks, and what; words in quotes are one. */
const scenes: Readonly<Record<string, string>> = {
  'no memory for what needs some': `
    a|SET there 1
    a|CONFIG SET maxmemory-policy noeviction
    a|CONFIG SET maxmemory 1
    a|SET k v
    a|LPUSH l v
    a|GET there
    a|DEL k
    a|EXPIRE there 100
    a|EVAL "return redis.call('set','k','v')" 1 k
    a|EVAL "return redis.pcall('set','k','v')" 1 k
    a|EVAL "return redis.call('get','there')" 1 there
    a|EVAL "#!lua\\nreturn 1" 0
    a|EVAL "#!lua flags=allow-oom\\nreturn redis.call('set','k','v')" 1 k
    a|FUNCTION LOAD "#!lua name=l\\nredis.register_function('f', function() return 1 end)"
    a|MULTI
    a|GET there
    a|EXEC
    a|MULTI
    a|PING
    a|DISCARD
    a|CONFIG SET maxmemory 0
    a|MULTI
    a|SET k v
    b|CONFIG SET maxmemory 1
    a|EXEC
    b|CONFIG SET maxmemory 0
    a|MULTI
    a|GET there
    b|CONFIG SET maxmemory 1
    a|EXEC
    a|CONFIG SET maxmemory 0
    a|SET k w`,
  'nothing that may go': `
    a|CONFIG SET maxmemory-policy volatile-lru
    a|SET lasting 1
    a|CONFIG SET maxmemory 1
    a|SET other 1
    a|CONFIG SET maxmemory-policy volatile-lfu
    a|SET other 1
    a|OBJECT FREQ lasting
    a|CONFIG SET maxmemory 0 maxmemory-policy allkeys-lru
    a|SET one 1
    a|OBJECT REFCOUNT one
    a|CONFIG SET maxmemory 1gb
    a|SET one 1
    a|OBJECT REFCOUNT one
    a|CONFIG SET maxmemory 0 maxmemory-policy noeviction`,
  'watches while databases are emptied and swapped': `
    a|WATCH k
    b|FLUSHALL
    a|MULTI
    a|EXEC
    a|SET k 1
    a|WATCH k
    b|FLUSHDB
    a|MULTI
    a|EXEC
    a|WATCH k
    b|SWAPDB 0 1
    a|MULTI
    a|EXEC
    b|SELECT 1
    b|SET k 2
    a|WATCH k
    b|SWAPDB 0 1
    a|MULTI
    a|EXEC
    a|DEBUG SET-ACTIVE-EXPIRE 0
    a|FLUSHALL
    a|DEBUG SLEEP 0
    a|PSETEX k 1 v
    a|DEBUG SLEEP 0.005
    a|WATCH k
    b|SWAPDB 0 1
    a|MULTI
    a|EXEC
    a|WATCH k
    b|SWAPDB 0 1
    a|MULTI
    a|EXEC
    a|WATCH k
    b|FLUSHALL
    a|MULTI
    a|EXEC
    a|DEBUG SET-ACTIVE-EXPIRE 1`,
}

async function play(server: TestServer, script: string): Promise<unknown[]> {
  const clients = { a: await RawClient.open(server.port), b: await RawClient.open(server.port) }
  for (const client of Object.values(clients)) onTestFinished(() => client.close())
  const heard: unknown[] = []
  for (const line of script.trim().split('\n')) {
    const [who = '', command = ''] = line.trim().split('|')
    const words = [...command.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted?.replace(/\\n/g, '\n') ?? word)
    heard.push([line.trim(), await clients[who as 'a' | 'b'].call(...words)])
  }
  return heard
}

redis.describe('as redis-server does', () => {
  for (const [name, script] of Object.entries(scenes))
    test(name, async () => {
      const [ours, theirs] = [await startNode(), await startRedisServer(redis.path)]
      expect(await play(ours, script)).toEqual(await play(theirs, script))
    })
})

const LIMIT_ABOVE = 200 * 1024
const BACKLOG = 1024 * 1024

test('the limit is kept, and replicas hear what went', async () => {
  const node = await startNode({ args: ['--maxmemory-policy', 'allkeys-random'] })
  const replica = await startNode({ args: ['--replicaof', `127.0.0.1 ${node.port}`] })
  await until('the replica follows', async () => (await infoOf(replica)).master_link_status === 'up')
  // The backlog for the replica counts, once it is full.
  const limit = Number((await infoOf(node)).used_memory) + BACKLOG + LIMIT_ABOVE
  await node.call('CONFIG', 'SET', 'maxmemory', String(limit))
  const client = node.client()
  // Not all at once: what waits to be executed counts as well.
  for (let from = 0; from < 4000; from += 20)
    await Promise.all(Array.from({ length: 20 }, (_, at) => client.send(['SET', `key:${from + at}`, 'x'.repeat(1000)])))
  const info = await infoOf(node)
  expect(Number(info.used_memory) - Number(info.mem_not_counted_for_evict)).toBeLessThan(limit + 64 * 1024)
  expect(Number(info.evicted_keys)).toBeGreaterThan(1000)
  expect(info.db0).toContain(`keys=${4000 - Number(info.evicted_keys)},`)
  // Other clients may still come and go, and cost a key or two.
  await node.call('CONFIG', 'SET', 'maxmemory', '0')
  const left = plain(await node.call('DBSIZE'))
  await until('the replica has the same', async () => plain(await replica.call('DBSIZE')) === left)
  expect(plain(await replica.call('DEBUG', 'DIGEST'))).toBe(plain(await node.call('DEBUG', 'DIGEST')))
})

test('buffers of clients count: a request that does not end costs others their keys', async () => {
  const node = await startNode({ args: ['--maxmemory-policy', 'allkeys-lru'] })
  for (let at = 0; at < 20; at++) await node.call('SETRANGE', `key:${at}`, '100000', 'x')
  const limit = Number((await infoOf(node)).used_memory) + LIMIT_ABOVE
  await node.call('CONFIG', 'SET', 'maxmemory', String(limit))
  const hog = await RawClient.open(node.port)
  onTestFinished(() => hog.close())
  hog.write(`*2\r\n$4\r\nECHO\r\n$3000000\r\n${'x'.repeat(1_000_000)}`)
  await until('something is evicted', async () => Number((await infoOf(node)).evicted_keys) > 0)
  expect(Number((await infoOf(node)).mem_clients_normal)).toBeGreaterThan(900_000)
})

test('what is deleted is free at once, and MEMORY STATS adds up', async () => {
  const node = await startNode()
  const before = Number((await infoOf(node)).used_memory)
  await node.call('SADD', 'big', ...Array.from({ length: 50_000 }, (_, at) => `member:${at}`))
  expect(Number((await infoOf(node)).used_memory)).toBeGreaterThan(before + 2_000_000)
  const stats = plain(await node.call('MEMORY', 'STATS')) as (string | number)[]
  const of = (name: string) => Number(stats[stats.indexOf(name) + 1])
  expect(of('overhead.total') + of('dataset.bytes')).toBe(of('total.allocated'))
  expect(of('keys.count')).toBe(1)
  await node.call('UNLINK', 'big')
  const info = await infoOf(node)
  expect(Number(info.used_memory)).toBeLessThan(before + 100_000)
  expect(info.lazyfreed_objects).toBe('1')
})

for (const [name, ...command] of [
  ['overwritten', 'SET', 's', 'x'],
  ['flushed away', 'FLUSHALL'],
  ['deleted', 'UNLINK', 's'],
] as const)
  test(`a reader of a group hears at once that its stream was ${name}, one without a group goes on waiting`, async () => {
    const node = await startNode()
    await node.call('XADD', 's', '1-1', 'f', 'v')
    await node.call('XGROUP', 'CREATE', 's', 'g', '$')
    const reader = node.client().send(['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', '0', 'STREAMS', 's', '>'])
    const other = node.client().send(['XREAD', 'BLOCK', '0', 'STREAMS', 's', '$'])
    await until('both wait', async () => (await infoOf(node)).blocked_clients === '2')
    await node.call(...command)
    expect(plain(await reader)).toMatch(/no longer exists/)
    await node.call('DEL', 's')
    await node.call('XADD', 's', '2-1', 'f', 'w')
    expect(plain(await other)).toEqual([['s', [['2-1', ['f', 'w']]]]])
  })

test('a command that waited is in the slow log once it was served, as it was asked', async () => {
  const node = await startNode({ args: ['--slowlog-log-slower-than', '0'] })
  const waiting = node.client().send(['BLPOP', 'list', '0'])
  await until('it waits', async () => (await infoOf(node)).blocked_clients === '1')
  await node.call('SLOWLOG', 'RESET')
  await node.call('RPUSH', 'list', 'item')
  await waiting
  const entries = plain(await node.call('SLOWLOG', 'GET', '-1')) as unknown[][]
  expect(entries.map(entry => entry[3])).toContainEqual(['BLPOP', 'list', '0'])
})

test.runIf(process.platform === 'linux')(
  'the kernel is told whom to spare, and what it was told is taken back',
  async () => {
    const score = () => Number(readFileSync('/proc/self/oom_score_adj', 'latin1'))
    const found = score()
    const node = await startNode()
    onTestFinished(() => writeFileSync('/proc/self/oom_score_adj', String(found)))
    await node.call('CONFIG', 'SET', 'oom-score-adj-values', '10 20 30')
    expect(score()).toBe(found)
    await node.call('CONFIG', 'SET', 'oom-score-adj', 'yes')
    expect(score()).toBe(found + 10)
    await node.call('CONFIG', 'SET', 'oom-score-adj-values', '15 20 30')
    expect(score()).toBe(found + 15)
    await node.call('REPLICAOF', '127.0.0.1', '1')
    expect(score()).toBe(found + 20)
    await node.call('REPLICAOF', 'NO', 'ONE')
    expect(score()).toBe(found + 15)
    await node.call('CONFIG', 'SET', 'oom-score-adj', 'no')
    expect(score()).toBe(found)
  },
)

test('without maxmemory, writes are refused before V8 ends the process, and nothing is evicted', async () => {
  const node = await startNode({ args: ['--maxmemory-policy', 'allkeys-lru'] })
  await node.call('SET', 'there', 'x'.repeat(100_000))
  node.server.memory.ceiling = node.server.memory.usedBytes
  const refused = async () => plain(await node.call('SET', 'k', 'v'))
  await until('it refuses', async () => /^-?OOM/.test(String(await refused())))
  expect(plain(await node.call('STRLEN', 'there'))).toBe(100_000)
  expect((await infoOf(node)).evicted_keys).toBe('0')
  await node.call('DEL', 'there')
  await until('it accepts', async () => (await refused()) === 'OK')
})
