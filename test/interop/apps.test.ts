/**
 * Applications that people run, unchanged: BullMQ (Lua, streams, blocking pops) and rate-limiter-flexible (Lua), on one of our
 * nodes and through the endpoint of a whole group. They have a lock file of their own, so that installing Lagrange does not
 * install them: `npm ci --prefix test/apps`.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startUp } from '../support/lagrange.js'
import { readsAtReplicas, startLateGroup } from '../support/late-group.js'
import type { ProxyUnderTest } from '../support/proxy.js'
import { until } from '../support/redis-group.js'
import { startNode } from '../support/servers.js'

interface Closable {
  close(): Promise<void>
}

interface Job {
  readonly id: string
  readonly name: string
  readonly data: { readonly n: number }
  readonly attemptsMade: number
}

interface BullMq {
  readonly Queue: new (
    name: string,
    options: object,
  ) => Closable & {
    add(name: string, data: object, options?: object): Promise<Job>
    addBulk(jobs: readonly object[]): Promise<Job[]>
    getJobCounts(...states: string[]): Promise<Record<string, number>>
  }
  readonly Worker: new (
    name: string,
    work: (job: Job) => Promise<unknown>,
    options: object,
  ) => Closable & {
    on(event: string, listener: (...args: unknown[]) => void): void
  }
  readonly QueueEvents: new (
    name: string,
    options: object,
  ) => Closable & {
    on(event: string, listener: (...args: unknown[]) => void): void
    waitUntilReady(): Promise<unknown>
  }
}

interface Limiters {
  readonly RateLimiterRedis: new (
    options: object,
  ) => {
    consume(key: string): Promise<{ remainingPoints: number }>
  }
}

interface Ioredis {
  readonly Redis: new (
    port: number,
    options?: object,
  ) => {
    disconnect(): void
    get(key: string): Promise<string | null>
    set(key: string, value: string, ...options: (string | number)[]): Promise<string>
    del(key: string): Promise<number>
    hset(key: string, field: string, value: string): Promise<number>
    hget(key: string, field: string): Promise<string | null>
    lpush(key: string, value: string): Promise<number>
    rpop(key: string): Promise<string | null>
  }
}

const manifest = new URL('../apps/package.json', import.meta.url)
const installed = existsSync(new URL('../apps/node_modules', import.meta.url))
const title = 'applications'

if (installed) describe(title, applications)
else if (process.env.LAGRANGE_REQUIRE_REAL === '1') {
  test(title, () => {
    throw new Error('test/apps is not installed (npm ci --prefix test/apps), and LAGRANGE_REQUIRE_REAL=1 asks for it')
  })
} else {
  process.stderr.write(`SKIPPED: ${title}: npm ci --prefix test/apps installs them\n`)
  describe.skip(`${title} (SKIPPED: test/apps is not installed)`, applications)
}

function applications(): void {
  test('sessions, caches and queues on a pool, with replicas 60 ms behind', { timeout: 60_000 }, async () =>
    runPools(await startLateGroup(startNode, 60)),
  )
  for (const [where, start] of [
    ['on a node', async () => (await startNode()).port],
    ['through the endpoint of a group', async () => (await startUp()).port],
    ['with replicas 60 ms behind', async () => (await startLateGroup(startNode, 60)).port],
  ] as const) {
    test(`BullMQ 5 ${where}`, { timeout: 60_000 }, async () => runQueue(await start()))
    test(`rate-limiter-flexible ${where}`, { timeout: 60_000 }, async () => runLimiter(await start()))
  }
}

/** What sessions, caches and counters of web applications do on pools of connections: each step on another one. */
async function runPools(proxy: ProxyUnderTest): Promise<void> {
  const { Redis } = createRequire(manifest)('ioredis') as Ioredis
  const pool = Array.from({ length: 4 }, () => new Redis(proxy.port))
  onTestFinished(() => {
    for (const client of pool) client.disconnect()
  })
  let turn = 0
  const next = (): InstanceType<Ioredis['Redis']> => pool[turn++ % pool.length] as InstanceType<Ioredis['Redis']>
  for (let visit = 1; visit <= 40; visit++) {
    // A session that counts visits: read, changed, written back, by whichever connection is free.
    const session = JSON.parse((await next().get('sess:1')) ?? '{"visits":0}') as { visits: number }
    expect(session.visits).toBe(visit - 1)
    await next().set('sess:1', JSON.stringify({ visits: visit }), 'EX', 60)
    // A cache: what was set is there, what was deleted is not.
    await next().set(`cache:${visit}`, 'value')
    expect(await next().get(`cache:${visit}`)).toBe('value')
    await next().del(`cache:${visit}`)
    expect(await next().get(`cache:${visit}`)).toBe(null)
    // A queue of ids with a hash for each job.
    await next().hset(`job:${visit}`, 'state', 'waiting')
    await next().lpush('jobs', String(visit))
    const id = await next().rpop('jobs')
    expect(await next().hget(`job:${id}`, 'state')).toBe('waiting')
  }
  expect(readsAtReplicas(proxy)).toBeGreaterThan(0)
}

/** 200 jobs, some delayed, some that fail twice before they succeed, some with priorities: each is done exactly once. */
async function runQueue(port: number): Promise<void> {
  const { Queue, Worker, QueueEvents } = createRequire(manifest)('bullmq') as BullMq
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null }
  const closing: Closable[] = []
  onTestFinished(async () => {
    for (const one of closing) await one.close()
  })
  const queue = new Queue('work', { connection })
  const events = new QueueEvents('work', { connection })
  closing.push(queue, events)
  await events.waitUntilReady()
  let completions = 0
  events.on('completed', () => completions++)

  const done: number[] = []
  const worker = new Worker(
    'work',
    async job => {
      if (job.name === 'stubborn' && job.attemptsMade < 2) throw new Error('not yet')
      done.push(job.data.n)
      return job.data.n * 2
    },
    { connection, concurrency: 8 },
  )
  closing.unshift(worker)
  worker.on('error', () => undefined)

  await queue.addBulk(
    Array.from({ length: 150 }, (_, n) => ({ name: 'plain', data: { n }, opts: { priority: (n % 3) + 1 } })),
  )
  for (let n = 150; n < 175; n++) await queue.add('late', { n }, { delay: 50 })
  for (let n = 175; n < 200; n++)
    await queue.add('stubborn', { n }, { attempts: 3, backoff: { type: 'fixed', delay: 10 } })
  await until('all jobs are done', () => done.length >= 200, 30_000)
  await until('all completions are heard', () => completions >= 200, 10_000)
  expect([...done].sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, n) => n))
  const counts = await queue.getJobCounts('completed', 'failed', 'waiting', 'active', 'delayed', 'prioritized')
  expect(counts).toMatchObject({ completed: 200, failed: 0, waiting: 0, active: 0, delayed: 0, prioritized: 0 })
}

/** Ten points per key: the eleventh consumer is refused, whoever asks at the same time. */
async function runLimiter(port: number): Promise<void> {
  const { RateLimiterRedis } = createRequire(manifest)('rate-limiter-flexible') as Limiters
  const { Redis } = createRequire(manifest)('ioredis') as Ioredis
  const clients = [new Redis(port), new Redis(port)]
  onTestFinished(() => {
    for (const client of clients) client.disconnect()
  })
  const limiters = clients.map(
    storeClient => new RateLimiterRedis({ storeClient, points: 10, duration: 60, keyPrefix: 'limit' }),
  )
  const answers = await Promise.allSettled(
    Array.from({ length: 40 }, (_, index) => limiters[index % 2]?.consume(index < 20 ? 'alice' : 'bob')),
  )
  const allowed = (from: number, to: number): number =>
    answers.slice(from, to).filter(answer => answer.status === 'fulfilled').length
  expect([allowed(0, 20), allowed(20, 40)]).toEqual([10, 10])
}
