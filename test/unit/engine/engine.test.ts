import { expect, test } from 'vitest'
import type { Blocked } from '../../../src/engine/host.js'
import { Encoder } from '../../../src/resp/encoder.js'
import type { Frame } from '../../../src/resp/protocol.js'
import { decodeOne, EngineDouble } from '../../support/engine-double.js'

function setUp(...lines: readonly string[]): EngineDouble {
  const double = new EngineDouble()
  for (const line of lines) double.run(...line.split(' '))
  double.effects()
  double.events.length = 0
  return double
}

function text(frame: Frame | Blocked): string {
  if (!('type' in frame)) return 'waits'
  if ('items' in frame) return `[${frame.items.map(text).join(' ')}]`
  return 'value' in frame ? String(frame.value) : 'nil'
}

// What replicas and the AOF hear: instants instead of durations, outcomes instead of chance, nothing when nothing changed.
for (const [name, before, line, effects] of [
  ['a plain write is passed on as it is', [], 'SET k v', ['SET k v']],
  ['a write that changed nothing is not', ['SADD s a'], 'SADD s a', []],
  ['a refused write is not', ['SET k v'], 'LPUSH k x', []],
  ['SET EX names the instant', [], 'SET k v EX 10', ['SET k v PXAT 1700000010000']],
  ['SETEX becomes SET', [], 'SETEX k 10 v', ['SET k v PXAT 1700000010000']],
  ['SET GET loses the GET', ['SET k a'], 'SET k v GET', ['SET k v']],
  ['GETSET becomes SET', [], 'GETSET k v', ['SET k v']],
  ['GETDEL becomes DEL', ['SET k v'], 'GETDEL k', ['DEL k']],
  ['GETEX becomes PEXPIREAT', ['SET k v'], 'GETEX k EX 1', ['PEXPIREAT k 1700000001000']],
  ['GETEX alone is a read', ['SET k v'], 'GETEX k', []],
  ['EXPIRE becomes PEXPIREAT', ['SET k v'], 'EXPIRE k 5', ['PEXPIREAT k 1700000005000']],
  ['EXPIRE into the past becomes DEL', ['SET k v'], 'EXPIRE k -1', ['DEL k']],
  ['INCRBYFLOAT becomes its result', ['SET k 1'], 'INCRBYFLOAT k 0.5', ['SET k 1.5 KEEPTTL']],
  ['HINCRBYFLOAT becomes its result', [], 'HINCRBYFLOAT h f 0.5', ['HSET h f 0.5']],
  ['SPOP names its choice', ['SADD s a'], 'SPOP s', ['SREM s a']],
  ['SPOP of all is a DEL', ['SADD s a b'], 'SPOP s 5', ['DEL s']],
  ['BLPOP with something there is LPOP', ['RPUSH l a'], 'BLPOP x l 0', ['LPOP l']],
  ['BLMOVE is LMOVE', ['RPUSH l a'], 'BLMOVE l m LEFT RIGHT 0', ['LMOVE l m LEFT RIGHT']],
  ['LMPOP is LPOP with the count it took', ['RPUSH l a b'], 'LMPOP 2 x l LEFT COUNT 9', ['LPOP l 2']],
  ['BZPOPMIN is ZPOPMIN', ['ZADD z 1 a'], 'BZPOPMIN z 0', ['ZPOPMIN z']],
  ['ZMPOP is ZPOPMAX', ['ZADD z 1 a'], 'ZMPOP 1 z MAX', ['ZPOPMAX z 1']],
  ['GEOADD is ZADD, written as by Redis', [], 'GEOADD g nx 1 2 x', ['zadd g nx 3378080408407459 x']],
  ['LTRIM that keeps all is nothing', ['RPUSH l a'], 'LTRIM l 0 -1', []],
] as const)
  test(`propagation: ${name}`, () => {
    const double = setUp(...before)
    double.run(...line.split(' '))
    expect(double.effects()).toEqual(effects)
  })

test('a master removes an expired key where it meets it, and says so', () => {
  const double = setUp('SET k v PX 100')
  double.now += 101
  expect(text(double.run('GET', 'k'))).toBe('nil')
  expect(double.effects()).toEqual(['DEL k'])
  expect(double.events).toEqual(['expired k'])
  expect(text(double.run('DBSIZE'))).toBe('0')
})

test('a replica does not see an expired key and leaves it to its master', () => {
  const double = setUp('SET k v PX 100')
  double.engine.isReplica = true
  double.now += 101
  expect(text(double.run('GET', 'k'))).toBe('nil')
  expect(text(double.run('EXISTS', 'k'))).toBe('0')
  expect(double.engine.expireCycle(double.now, 1_000_000)).toBe(0)
  expect(text(double.run('DBSIZE'))).toBe('1')
  expect(double.effects()).toEqual([])
})

test('what a master sends is applied to keys as they lie, expired or not', () => {
  const double = setUp('SET k 1 PX 100')
  double.engine.isReplica = true
  double.now += 101
  Object.assign(double.caller, { origin: 'master' })
  expect(text(double.run('INCR', 'k'))).toBe('2')
  expect(text(double.run('PEXPIREAT', 'k', '1'))).toBe('1')
  expect(text(double.run('DBSIZE'))).toBe('1')
})

test('the expiry cycle finds all dead keys in bounded steps', () => {
  const double = new EngineDouble()
  for (let index = 0; index < 5000; index++) double.run('SET', `k${index}`, 'v', 'PX', String(1 + (index % 200)))
  double.effects()
  double.now += 101
  let removed = 0
  let steps = 0
  for (; steps < 20 && double.engine.stats.expired < 2500; steps++)
    removed += double.engine.expireCycle(double.now, 1024)
  expect(removed).toBe(2500)
  expect(steps).toBeGreaterThan(2)
  expect(double.effects().length).toBe(2500)
  expect(text(double.run('DBSIZE'))).toBe('2500')
})

test('a waiting BLPOP is served by a push, and what replicas hear is the pop', () => {
  const double = new EngineDouble()
  const blocked = double.run('BLPOP', 'a', 'b', '0.5') as Blocked
  expect(blocked.keys).toEqual(['a', 'b'])
  expect(blocked.deadline).toBe(double.now + 500)
  const reply = new Encoder(2)
  expect(blocked.retry(reply, double.now)).toBe(false)
  double.run('SET', 'a', 'something else')
  double.run('RPUSH', 'b', 'x')
  expect(double.readyKeys).toEqual(['b'])
  double.effects()
  expect(blocked.retry(reply, double.now)).toBe(true)
  expect(text(decodeOne(reply))).toBe('[b x]')
  expect(double.effects()).toEqual(['LPOP b'])
  blocked.timedOut(reply)
  expect(text(decodeOne(reply))).toBe('nil')
})

test('a waiting BLMOVE whose target is no list is told so', () => {
  const double = new EngineDouble()
  const blocked = double.run('BLMOVE', 'a', 'b', 'LEFT', 'RIGHT', '0') as Blocked
  double.run('SET', 'b', 'text')
  double.run('RPUSH', 'a', 'x')
  const reply = new Encoder(2)
  expect(blocked.retry(reply, double.now)).toBe(true)
  expect(text(decodeOne(reply))).toMatch(/^WRONGTYPE/)
  expect(text(double.run('LLEN', 'a'))).toBe('1')
})

test('inside a transaction a blocking command answers at once', () => {
  const double = new EngineDouble()
  Object.assign(double.caller, { mayBlock: false })
  expect(text(double.run('BLPOP', 'a', '0'))).toBe('nil')
  expect(text(double.run('BZMPOP', '0', '1', 'a', 'MIN'))).toBe('nil')
})

test('patterns that explode elsewhere cost bounded time', () => {
  const double = new EngineDouble()
  double.run('SET', 'a'.repeat(20_000), 'v')
  const begun = performance.now()
  expect(text(double.run('KEYS', `${'*a'.repeat(30)}b`))).toBe('[]')
  expect(performance.now() - begun).toBeLessThan(5000)
})
