/**
 * The clients people use, unchanged, through the endpoint of a whole group, and through the proxy in front of redis-server with
 * replicas 50 ms behind: the same little application on ioredis 6 and node-redis 6 (both speak RESP3 by default).
 */
import { Redis } from 'ioredis'
import { createClient, WatchError } from 'redis'
import { describe, expect, onTestFinished, test } from 'vitest'
import { metricsOf, startUp, sumOf } from '../support/lagrange.js'
import { startLateGroup } from '../support/late-group.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { startRedisServer } from '../support/servers.js'

const redis = requireReal('redis-server')

interface Place {
  readonly port: number
  /** Commands of this name that were asked of such an instance. */
  asked(command: string, target: string): Promise<number>
}

async function endpoint(): Promise<Place> {
  const { port, adminPort } = await startUp()
  const asked = async (command: string, target: string): Promise<number> =>
    sumOf(await metricsOf(adminPort), 'lagrange_commands_total', `command="${command}"`, `target="${target}"`)
  return { port, asked }
}

async function lateReplicas(): Promise<Place> {
  const proxy = await startLateGroup(options => startRedisServer(redis.path, options), 50)
  const asked = async (command: string, target: string): Promise<number> =>
    proxy.count('lagrange_commands_total', { command, target })
  return { port: proxy.port, asked }
}

/** What the application needs of a client, in its own words. */
interface App {
  set(key: string, value: string): Promise<unknown>
  get(key: string): Promise<string | null>
  pipeline(count: number): Promise<(string | null)[]>
  transfer(from: string, to: string, amount: number): Promise<unknown>
  watchConflict(key: string, meddle: () => Promise<unknown>): Promise<unknown>
  publish(channel: string, message: string): Promise<unknown>
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>
  pop(key: string, seconds: number): Promise<unknown>
  push(key: string, value: string): Promise<unknown>
  hash(key: string): Promise<Record<string, string>>
  fill(key: string): Promise<unknown>
}

describe('an application through the endpoint', () => applicationsAt(endpoint))
redis.describe('an application with replicas 50 ms behind', () => applicationsAt(lateReplicas))

function applicationsAt(place: () => Promise<Place>): void {
  test('on ioredis 6', { timeout: 60_000 }, async () => {
    const { port, asked } = await place()
    const connect = (): Redis => {
      const client = new Redis(port, '127.0.0.1')
      onTestFinished(() => client.disconnect())
      return client
    }
    const [main, blocking, subscriber] = [connect(), connect(), connect()]
    await run(asked, {
      set: (key, value) => main.set(key, value),
      get: key => main.get(key),
      async pipeline(count) {
        const pipeline = main.pipeline()
        for (let index = 0; index < count; index++) pipeline.set(`p:${index}`, `${index}`).get(`p:${index}`)
        const answers = (await pipeline.exec()) ?? []
        return answers
          .filter((_, index) => index % 2 === 1)
          .map(([error, value]) => {
            if (error) throw error
            return value as string
          })
      },
      transfer: (from, to, amount) => main.multi().decrby(from, amount).incrby(to, amount).exec(),
      async watchConflict(key, meddle) {
        await blocking.watch(key)
        const value = await blocking.get(key)
        await meddle()
        return blocking.multi().set(key, `${value}!`).exec()
      },
      publish: (channel, message) => main.publish(channel, message),
      async subscribe(channel, listener) {
        subscriber.on('message', (_, message) => listener(message))
        await subscriber.subscribe(channel)
      },
      pop: (key, seconds) => blocking.blpop(key, seconds),
      push: (key, value) => main.rpush(key, value),
      hash: key => main.hgetall(key),
      fill: key => main.hset(key, { name: 'Joseph-Louis', born: '1736' }),
    })
  })

  test('on node-redis 6', { timeout: 60_000 }, async () => {
    const { port, asked } = await place()
    const connect = async () => {
      const client = createClient({ url: `redis://127.0.0.1:${port}` })
      client.on('error', () => undefined)
      await client.connect()
      onTestFinished(() => client.destroy())
      return client
    }
    const [main, blocking, subscriber] = [await connect(), await connect(), await connect()]
    await run(asked, {
      set: (key, value) => main.set(key, value),
      get: key => main.get(key),
      async pipeline(count) {
        const gets: Promise<string | null>[] = []
        for (let index = 0; index < count; index++) {
          void main.set(`p:${index}`, `${index}`)
          gets.push(main.get(`p:${index}`))
        }
        return Promise.all(gets)
      },
      transfer: (from, to, amount) => main.multi().decrBy(from, amount).incrBy(to, amount).exec(),
      async watchConflict(key, meddle) {
        await blocking.watch(key)
        const value = await blocking.get(key)
        await meddle()
        return blocking
          .multi()
          .set(key, `${value}!`)
          .exec()
          .catch((error: Error) => (error instanceof WatchError ? null : Promise.reject(error)))
      },
      publish: (channel, message) => main.publish(channel, message),
      subscribe: (channel, listener) => subscriber.subscribe(channel, listener),
      pop: async (key, seconds) => {
        const popped = await blocking.blPop(key, seconds)
        return popped && [popped.key, popped.element]
      },
      push: (key, value) => main.rPush(key, value),
      hash: async key => ({ ...(await main.hGetAll(key)) }),
      fill: key => main.hSet(key, { name: 'Joseph-Louis', born: '1736' }),
    })
  })
}

async function run(asked: Place['asked'], app: App): Promise<void> {
  await app.set('greeting', 'hello')
  expect(await app.get('greeting')).toBe('hello')
  expect(await app.get('absent')).toBeNull()

  expect(await app.pipeline(500)).toEqual(Array.from({ length: 500 }, (_, index) => `${index}`))

  await app.fill('person')
  expect(await app.hash('person')).toEqual({ name: 'Joseph-Louis', born: '1736' })

  await app.set('alice', '10')
  await app.set('bob', '0')
  await app.transfer('alice', 'bob', 4)
  expect([await app.get('alice'), await app.get('bob')]).toEqual(['6', '4'])
  expect(await app.watchConflict('alice', () => app.set('alice', 'meddled'))).toBeNull()
  expect(await app.get('alice')).toBe('meddled')

  const heard: string[] = []
  await app.subscribe('news', message => heard.push(message))
  for (let index = 0; index < 20; index++) await app.publish('news', `${index}`)
  await until('all messages arrived', () => heard.length === 20)
  expect(heard).toEqual(Array.from({ length: 20 }, (_, index) => `${index}`))

  expect(await app.pop('queue', 0.05)).toBeNull()
  const popping = app.pop('queue', 10)
  await app.push('queue', 'job')
  expect(await popping).toEqual(['queue', 'job'])

  // Read what was written, over and over: never an old value, and yet replicas serve.
  for (let turn = 0; turn < 300; turn++) {
    await app.set('counter', `${turn}`)
    expect(await app.get('counter')).toBe(`${turn}`)
    expect(await app.get('greeting')).toBe('hello')
  }
  expect(await asked('get', 'replica')).toBeGreaterThan(250)
  expect(await asked('set', 'master')).toBeGreaterThan(800)
  expect(await asked('set', 'replica')).toBe(0)
}
