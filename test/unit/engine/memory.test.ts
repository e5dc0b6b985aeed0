/**
 * The account of memory: after whatever happened, the tables weigh what their entries weigh, and collections what their
 * elements do. Evicting, and what is given up lazily, go by it.
 */
import { expect, test } from 'vitest'
import type { EvictionPolicy } from '../../../src/engine/eviction.js'
import { entryBytes } from '../../../src/engine/memory.js'
import { isString, type Value } from '../../../src/engine/value.js'
import { EngineDouble, seededRandom } from '../../support/engine-double.js'

/** K a key, M a member or value, N a small number. */
const COMMANDS = `
SET K M|APPEND K M|SETRANGE K N M|SETBIT K N 1|INCR K|GETDEL K|PFADD K M M
RPUSH K M M M|LPUSH K M|LPOP K|RPOP K|LINSERT K BEFORE M M|LSET K N M|LTRIM K N N|LREM K N M|LMOVE K K LEFT RIGHT
HSET K M M M M|HDEL K M|HINCRBY K M N
SADD K M M M|SREM K M|SPOP K|SMOVE K K M|SUNIONSTORE K K K
ZADD K N M N M|ZADD K 1.5 M|ZREM K M|ZPOPMIN K|ZUNIONSTORE K 2 K K|ZREMRANGEBYRANK K N N
XADD K * M M|XADD K MAXLEN N * M M|XTRIM K MAXLEN N|XGROUP CREATE K g 0|XREADGROUP GROUP g c COUNT 2 STREAMS K >|XGROUP DESTROY K g
DEL K|RENAME K K|COPY K K REPLACE|MOVE K 1|EXPIRE K 100|PERSIST K|UNLINK K|SORT K ALPHA STORE K
`
  .trim()
  .split(/[|\n]/)
  .map(line => line.split(' '))

function recount(double: EngineDouble): number {
  let bytes = 0
  for (const { table } of double.engine.databases) {
    table.forEach((key, value) => {
      bytes += entryBytes(key, value)
    })
    bytes += table.volatileSize * 8
  }
  return bytes
}

test('whatever is done to keys, the account is what a recount finds', () => {
  const double = new EngineDouble()
  const random = seededRandom(5)
  const pick = (count: number) => Math.floor(random() * count)
  const member = () => (random() < 0.1 ? 'x'.repeat(pick(600)) : `m${pick(300)}`)
  const words: Record<string, () => string> = { K: () => `k${pick(12)}`, M: member, N: () => String(pick(40)) }
  for (let step = 0; step < 40_000; step++) {
    const template = COMMANDS[pick(COMMANDS.length)] as string[]
    double.run(...template.map((word, at) => (at === 0 ? word : (words[word]?.() ?? word))))
    double.now += 1
    if (step % 100 === 0) expect(double.engine.dataBytes).toBe(recount(double))
  }
  double.run('FLUSHALL')
  expect(double.engine.dataBytes).toBe(0)
})

/** The value of `key`, weighed. */
function weightOf(double: EngineDouble, key: string): number {
  const value = double.engine.database(0).get(key) as Value
  return isString(value) ? Number.NaN : value.weight
}

for (const [type, add, remove] of [
  ['list', 'RPUSH', 'LREM'],
  ['hash', 'HSET', 'HDEL'],
  ['set', 'SADD', 'SREM'],
  ['zset', 'ZADD', 'ZREM'],
] as const) {
  for (const [size, count, length] of [
    ['small', 20, 8],
    ['with long members', 20, 400],
    ['big', 1000, 8],
  ] as const) {
    test(`a ${size} ${type} that loses its members weighs what it did when there was one`, () => {
      const double = new EngineDouble()
      const member = (index: number) => `m${index}`.padEnd(length, '.')
      const added = (index: number) =>
        ({ list: [], set: [], zset: ['1'], hash: [] })[type].concat(member(index) as never)
      const addOne = (index: number) => double.run(add, 'key', ...added(index), ...(type === 'hash' ? ['value'] : []))
      addOne(0)
      for (let index = 1; index < count; index++) addOne(index)
      const full = weightOf(double, 'key')
      expect(full).toBeGreaterThan(count * length)
      expect(full).toBeLessThan(count * (length + 120) + 400)
      for (let index = 1; index < count; index++)
        double.run(remove, 'key', ...(type === 'list' ? ['1'] : []), member(index))
      expect(weightOf(double, 'key')).toBeLessThan(length + 400)
    })
  }
}

test('a stream weighs its entries, its groups and what is pending', () => {
  const double = new EngineDouble()
  double.run('XADD', 's', '1-1', 'field', 'value')
  const one = weightOf(double, 's')
  for (let at = 2; at < 100; at++) double.run('XADD', 's', `${at}-1`, 'field', 'value')
  double.run('XGROUP', 'CREATE', 's', 'g', '0')
  const before = weightOf(double, 's')
  double.run('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 's', '>')
  expect(weightOf(double, 's')).toBeGreaterThan(before + 99 * 50)
  double.run('XGROUP', 'DESTROY', 's', 'g')
  double.run('XTRIM', 's', 'MAXLEN', '1')
  expect(weightOf(double, 's')).toBe(one)
})

for (const [policy, keeps] of [
  ['allkeys-random', []],
  ['allkeys-lru', ['fresh']],
  ['volatile-lru', ['lasting', 'fresh']],
  ['volatile-random', ['lasting']],
  ['volatile-ttl', ['lasting', 'late']],
] as const) {
  test(`${policy} evicts one key after the other, and ${keeps.join(' and ') || 'nothing'} goes last`, () => {
    const double = new EngineDouble()
    double.run('SET', 'lasting', 'x')
    for (let at = 0; at < 20; at++) double.run('SET', `soon${at}`, 'x', 'EX', '100')
    double.run('SET', 'late', 'x', 'EX', '5000')
    double.now += 50_000
    double.run('SET', 'fresh', 'x', 'EX', '200')
    double.effects()
    const gone: string[] = []
    // As many samples as it takes to see every key.
    for (;;) {
      const key = double.engine.evict(policy as EvictionPolicy, 400, double.now)
      if (key === undefined) break
      gone.push(key)
    }
    for (const key of keeps) expect([-1, gone.length - 1]).toContain(gone.indexOf(key))
    expect(gone).toHaveLength(policy.startsWith('volatile') ? 22 : 23)
    expect(double.effects()).toEqual(gone.map(key => `DEL ${key}`))
    expect(double.events.filter(event => event.startsWith('evicted'))).toHaveLength(gone.length)
    expect(double.engine.stats.evicted).toBe(gone.length)
  })
}

test('the least used key goes first under an LFU policy', () => {
  const double = new EngineDouble()
  double.engine.settings.lfu = true
  for (const key of ['a', 'b', 'c']) double.run('SET', key, 'x')
  for (let times = 0; times < 200; times++) for (const key of ['a', 'c']) double.run('GET', key)
  expect(double.engine.evict('allkeys-lfu', 60, double.now)).toBe('b')
})

test('lazily freed are the big values of UNLINK and FLUSHALL ASYNC, and of DEL where the settings say so', () => {
  const double = new EngineDouble()
  const freed = (...args: string[]) => {
    double.run('SADD', 'big', ...Array.from({ length: 100 }, (_, at) => `m${at}`))
    double.run('SADD', 'small', 'a', 'b')
    double.engine.stats.lazyfreed = 0
    double.run(...args)
    return double.engine.stats.lazyfreed
  }
  expect(freed('DEL', 'big', 'small')).toBe(0)
  expect(freed('UNLINK', 'big', 'small')).toBe(1)
  expect(freed('FLUSHALL', 'SYNC')).toBe(0)
  expect(freed('FLUSHALL', 'ASYNC')).toBe(2)
  expect(freed('SET', 'big', 'x')).toBe(0)
  double.run('FLUSHALL')
  double.engine.settings.lazyfreeLazyUserDel = true
  expect(freed('DEL', 'big', 'small')).toBe(1)
  double.engine.settings.lazyfreeLazyServerDel = true
  expect(freed('SET', 'big', 'x')).toBe(1)
})

test('a replica counts what a group has read as its master does', () => {
  const master = new EngineDouble(1)
  const replica = new EngineDouble(2)
  Object.assign(replica.caller, { origin: 'master' })
  const both = (...args: string[]) => {
    master.run(...args)
    for (const args of master.propagated.splice(0)) replica.run(...args)
  }
  for (let at = 1; at <= 6; at++) both('XADD', 's', `${at}-1`, 'f', 'v')
  both('XGROUP', 'CREATE', 's', 'g', '0')
  both('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', '4', 'STREAMS', 's', '>')
  expect(replica.run('XINFO', 'GROUPS', 's')).toEqual(master.run('XINFO', 'GROUPS', 's'))
})
