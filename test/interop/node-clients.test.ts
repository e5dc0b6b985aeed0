/**
 * What people connect to a Redis with, unchanged and without a special flag, to our node.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { expect, onTestFinished, test } from 'vitest'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { startNode } from '../support/servers.js'

const run = promisify(execFile)
const cli = requireReal('redis-cli')
const benchmark = requireReal('redis-benchmark')

test('ioredis 6', async () => {
  const { port } = await startNode()
  const connect = (): Redis => {
    const client = new Redis(port, '127.0.0.1')
    onTestFinished(() => client.disconnect())
    return client
  }
  const [main, other] = [connect(), connect()]
  const pipeline = main.pipeline().set('a', '1').incr('a').lpush('l', 'x', 'y').hset('h', { f: 'v', g: 'w' })
  expect(await pipeline.hgetall('h').exec()).toEqual([
    [null, 'OK'],
    [null, 2],
    [null, 2],
    [null, 2],
    [null, { f: 'v', g: 'w' }],
  ])
  expect(await main.multi().incr('a').get('a').exec()).toEqual([
    [null, 3],
    [null, '3'],
  ])
  const heard: string[] = []
  other.on('message', (channel, message) => heard.push(`${channel} ${message}`))
  await other.subscribe('news')
  expect(await main.publish('news', 'hello')).toBe(1)
  await until('the message came', () => heard.includes('news hello'))
  const blocking = connect()
  const popped = blocking.blpop('queue', 5)
  await main.rpush('queue', 'job')
  expect(await popped).toEqual(['queue', 'job'])
  expect(await main.zadd('z', 1.5, 'm')).toBe(1)
  expect(await main.zscore('z', 'm')).toBe('1.5')
  expect(await main.info('server')).toContain('redis_version:7.0')
})

test('node-redis 6', async () => {
  const { port } = await startNode({ args: ['--requirepass', 'secret'] })
  const connect = async () => {
    const client = createClient({ url: `redis://:secret@127.0.0.1:${port}` })
    client.on('error', () => undefined)
    await client.connect()
    onTestFinished(() => client.destroy())
    return client
  }
  const main = await connect()
  expect(await main.set('a', '1', { expiration: { type: 'EX', value: 100 } })).toBe('OK')
  expect(await main.multi().incr('a').get('a').exec()).toEqual([2, '2'])
  expect(await Promise.all(Array.from({ length: 100 }, (_, index) => main.set(`k${index}`, 'v')))).toHaveLength(100)
  const keys = new Set<string>()
  for await (const batch of main.scanIterator({ MATCH: 'k*' })) for (const key of batch) keys.add(key)
  expect(keys.size).toBe(100)
  const heard: string[] = []
  await (await connect()).subscribe('news', message => heard.push(message))
  expect(await main.publish('news', 'hello')).toBe(1)
  await until('the message came', () => heard.includes('hello'))
  const popped = (await connect()).blPop('queue', 5)
  await main.rPush('queue', 'job')
  expect(await popped).toEqual({ key: 'queue', element: 'job' })
})

cli.test('redis-cli, as a shell does', async () => {
  const { port } = await startNode()
  const say = async (...args: string[]): Promise<string> => (await run(cli.path, ['-p', String(port), ...args])).stdout
  expect(await say('set', 'a', '1')).toBe('OK\n')
  expect(await say('-3', 'hset', 'h', 'f', 'v')).toBe('1\n')
  expect(await say('-3', '--json', 'hgetall', 'h')).toBe('{"f":"v"}\n')
  expect((await say('--scan')).split('\n').sort()).toEqual(['', 'a', 'h'])
  expect(await say('--bigkeys')).toContain('Sampled 2 keys')
  expect(await say('-n', '2', 'dbsize')).toBe('0\n')
  expect((await say('command', 'docs', 'get')).split('\n')).toContain('summary')
})

benchmark.test('redis-benchmark, every test it has', async () => {
  const { port } = await startNode()
  const args = ['-p', String(port), '-n', '1000', '-q', '--csv', '-P', '4']
  const { stdout, stderr } = await run(benchmark.path, args)
  const tests = stdout.trim().split('\n').slice(1)
  expect(stderr).toBe('')
  expect(tests.length).toBeGreaterThanOrEqual(20)
  expect(stdout).not.toMatch(/ERR/)
})
