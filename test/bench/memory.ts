/**
 * What a key weighs with us and in redis-server:
 *
 *     npm run bench:memory -- [strings] [collections]        (default 200000 and 20000)
 *
 * Each case is filled in by plain commands. Redis tells its own weight (`used_memory`); ours is the heap after a forced collection, with what stands outside of it. Both are taken
 * against the empty server, per key. It exits with 1 when a case weighs more than twice what it does in Redis.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { textOf } from '../../src/resp/protocol.js'
import { EngineDouble } from '../support/engine-double.js'
import { type RedisProcess, startRedis } from '../support/redis-process.js'

const strings = Number(process.argv[2] ?? 200_000)
const collections = Number(process.argv[3] ?? 20_000)
const RATIO_MAX = 2
const BATCH = 500

interface Case {
  readonly name: string
  readonly keys: number
  command(index: number): string[]
}

const cases: readonly Case[] = [
  { name: 'string of 16 B', keys: strings, command: index => ['SET', key(index), value(index, 16)] },
  { name: 'string of 64 B', keys: strings, command: index => ['SET', key(index), value(index, 64)] },
  {
    name: 'hash of 10 fields',
    keys: collections,
    command: index => ['HSET', key(index), ...elements(10, at => [`field:${at}`, value(index + at, 16)])],
  },
  {
    name: 'set of 100 members',
    keys: collections,
    command: index => ['SADD', key(index), ...elements(100, at => [`member:${index + at}`])],
  },
  {
    name: 'sorted set of 100',
    keys: collections,
    command: index => ['ZADD', key(index), ...elements(100, at => [String(index + at), `member:${index + at}`])],
  },
  {
    name: 'list of 100 items',
    keys: collections,
    command: index => ['RPUSH', key(index), ...elements(100, at => [value(index + at, 16)])],
  },
]

process.stdout.write(
  `${'bytes per key'.padEnd(24)}${['ours', 'redis', 'ratio'].map(title => title.padStart(10)).join('')}\n`,
)
for (const one of cases) await compare(one)

async function compare(one: Case): Promise<void> {
  const mine = await ours(one)
  const theirs = await redis(one)
  const columns = [mine.toFixed(0), theirs.toFixed(0), (mine / theirs).toFixed(2)]
  process.stdout.write(`${one.name.padEnd(24)}${columns.map(column => column.padStart(10)).join('')}\n`)
  if (mine > theirs * RATIO_MAX) process.exitCode = 1
}

async function ours(one: Case): Promise<number> {
  const { gc } = globalThis
  if (gc === undefined) throw new Error('start this with --expose-gc: npm run bench:memory')
  const double = new EngineDouble()
  const before = await weigh(gc)
  for (let index = 0; index < one.keys; index++) {
    double.run(...one.command(index).map(received))
    double.propagated.length = double.events.length = double.readyKeys.length = 0
  }
  const after = await weigh(gc)
  if (double.engine.databases[0]?.size !== one.keys) throw new Error(`${one.name}: not every key is there`)
  return (after - before) / one.keys
}

/** An argument as the decoder makes it: read from bytes, not joined from pieces. */
function received(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}

async function weigh(gc: () => void): Promise<number> {
  for (let round = 0; round < 3; round++) {
    gc()
    await turn()
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

async function redis(one: Case): Promise<number> {
  const server = await startRedis()
  try {
    const before = await usedMemory(server)
    for (let index = 0; index < one.keys; index += BATCH)
      await server.call(Array.from({ length: Math.min(BATCH, one.keys - index) }, (_, at) => one.command(index + at)))
    return ((await usedMemory(server)) - before) / one.keys
  } finally {
    await server.stop()
  }
}

async function usedMemory(server: RedisProcess): Promise<number> {
  const [info] = await server.call([['INFO', 'memory']])
  return Number(/used_memory:(\d+)/.exec(textOf(info) ?? '')?.[1])
}

function key(index: number): string {
  return `key:${String(index).padStart(12, '0')}`
}

function value(index: number, length: number): string {
  return `${index}:`.padEnd(length, 'v')
}

function elements(count: number, element: (at: number) => string[]): string[] {
  return Array.from({ length: count }, (_, at) => element(at)).flat()
}
