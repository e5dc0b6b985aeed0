/**
 * Snapshots between us and the real server: what it writes we load, what we write it loads, and its own DEBUG DIGEST
 * says that nothing has changed on the way.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Database } from '../../src/engine/database.js'
import { digestOf } from '../../src/engine/digest.js'
import { defaultSettings } from '../../src/engine/settings.js'
import { HashValue } from '../../src/engine/types/hash.js'
import { dump, restore } from '../../src/persistence/dump.js'
import { type LoadedSnapshot, SnapshotLoader } from '../../src/persistence/load.js'
import { Snapshot } from '../../src/persistence/snapshot.js'
import { textOf } from '../../src/resp/protocol.js'
import { buildRdb, oldEncodings } from '../support/rdb-builder.js'
import { requireReal } from '../support/real.js'
import { type RedisProcess, startRedis } from '../support/redis-process.js'
import { snapshotBytes, snapshotDefaults } from '../support/snapshot.js'

const redis = requireReal('redis-server')
const checker = requireReal('redis-check-rdb')

type Request = readonly string[]

/** Configurations that make the server choose other encodings. */
const packedEverything: Request[] = []
const packedNothing: Request[] = [
  ['CONFIG', 'SET', 'hash-max-listpack-entries', '0'],
  ['CONFIG', 'SET', 'zset-max-listpack-entries', '0'],
  ['CONFIG', 'SET', 'set-max-intset-entries', '0'],
  ['CONFIG', 'SET', 'list-max-listpack-size', '1'],
  ['CONFIG', 'SET', 'stream-node-max-entries', '1'],
  ['CONFIG', 'SET', 'rdbcompression', 'no'],
]
const packedMuch: Request[] = [
  ['CONFIG', 'SET', 'hash-max-listpack-entries', '5000'],
  ['CONFIG', 'SET', 'hash-max-listpack-value', '100000'],
  ['CONFIG', 'SET', 'zset-max-listpack-entries', '5000'],
  ['CONFIG', 'SET', 'zset-max-listpack-value', '100000'],
  ['CONFIG', 'SET', 'set-max-intset-entries', '5000'],
  ['CONFIG', 'SET', 'list-max-listpack-size', '-5'],
  ['CONFIG', 'SET', 'stream-node-max-bytes', '0'],
]

redis.describe('snapshots and the real server', () => {
  let server: RedisProcess
  let dir: string

  beforeAll(async () => {
    server = await startRedis('--enable-debug-command', 'yes')
    const [reply] = await server.call([['CONFIG', 'GET', 'dir']])
    dir = textOf(reply?.type === 'array' ? reply.items[1] : undefined) ?? ''
  })
  afterAll(() => server.stop())

  const run = async (...requests: Request[]) => {
    const replies = await server.call(requests)
    for (const [index, reply] of replies.entries()) {
      if (reply.type === 'error') throw new Error(`${requests[index]?.join(' ').slice(0, 80)}: ${reply.value}`)
    }
    return replies
  }
  const digest = async () => textOf((await run(['DEBUG', 'DIGEST']))[0])
  const save = async () => {
    await run(['SAVE'])
    return readFileSync(join(dir, 'dump.rdb'))
  }

  for (const [name, config] of [
    ['small things packed', packedEverything],
    ['nothing packed', packedNothing],
    ['large things packed', packedMuch],
  ] as const) {
    test(`every type survives the way there and back: ${name}`, async () => {
      await run(['FLUSHALL'], ...config, ...everyType())
      const before = await digest()
      const theirs = await save()

      const loaded = load(theirs)
      expect(loaded.replication).toBeUndefined()
      expect(digestOf(loaded.databases)).toBe(before)
      expect(loaded.aux.get('redis-ver')).toBe('7.0.15')

      const ours = snapshotBytes(loaded.databases, { functions: loaded.functions })
      writeFileSync(join(dir, 'dump.rdb'), ours)
      await run(['FLUSHALL'], ['FUNCTION', 'FLUSH'])
      await run(['DEBUG', 'RELOAD', 'NOSAVE'])
      expect(await digest()).toBe(before)

      const [pttl, library, streams, groups] = await run(
        ['PEXPIRETIME', 'expiring'],
        ['FUNCTION', 'LIST'],
        ['XINFO', 'STREAM', 'stream', 'FULL'],
        ['XPENDING', 'stream', 'group'],
      )
      expect(pttl).toEqual({ type: 'integer', value: 33_000_000_000_123 })
      expect(JSON.stringify(library)).toContain('mylib')
      expect(JSON.stringify(streams)).toContain('"entries-added"},{"type":"integer","value":303')
      expect(JSON.stringify(groups)).toContain('alice')
    })
  }

  test('an incremental feed of single bytes gives the same data', async () => {
    await run(['FLUSHALL'], ...everyType().slice(0, 12))
    const bytes = await save()
    const whole = snapshotBytes(load(bytes).databases)
    expect(snapshotBytes(load(bytes, 1).databases).equals(whole)).toBe(true)
    expect(snapshotBytes(load(bytes, 7).databases).equals(whole)).toBe(true)
  })

  test('DUMP of one side is RESTORE of the other', async () => {
    await run(['FLUSHALL'], ...everyType())
    const keys = ['text', 'number', 'long', 'list', 'ints', 'set', 'hash', 'bighash', 'zset', 'bigzset', 'stream']
    const settings = defaultSettings()
    for (const key of keys) {
      const [theirs, before] = await run(['DUMP', key], ['DEBUG', 'DIGEST-VALUE', key])
      const restored = restore(textOf(theirs) ?? '', settings)
      if ('refused' in restored) throw new Error(`${key}: ${restored.refused}`)
      const payload = dump(restored.value, settings).toString('latin1')
      const [, after] = await run(['RESTORE', key, '0', payload, 'REPLACE'], ['DEBUG', 'DIGEST-VALUE', key])
      expect([key, after]).toEqual([key, before])
    }
  })

  checker.test('redis-check-rdb accepts what we write', async () => {
    await run(['FLUSHALL'], ...everyType())
    const loaded = load(await save())
    const path = join(dir, 'ours.rdb')
    writeFileSync(
      path,
      snapshotBytes(loaded.databases, {
        functions: loaded.functions,
        replication: { replid: 'a'.repeat(40), offset: 1234, streamDb: 3 },
      }),
    )
    const report = execFileSync(checker.path, [path], { encoding: 'utf8' })
    expect(report).toContain('RDB looks OK')
    expect(report).toContain("AUX FIELD repl-offset = '1234'")
    expect(load(readFileSync(path)).replication).toEqual({ replid: 'a'.repeat(40), offset: 1234, streamDb: 3 })
  })

  test('what only older servers wrote is the same to us and to the real server', async () => {
    const old = buildRdb(9, oldEncodings)
    writeFileSync(join(dir, 'dump.rdb'), old)
    await run(['FLUSHALL'], ['DEBUG', 'RELOAD', 'NOSAVE'])
    const before = await digest()
    writeFileSync(join(dir, 'dump.rdb'), snapshotBytes(load(old).databases))
    await run(['FLUSHALL'], ['DEBUG', 'RELOAD', 'NOSAVE'])
    expect(await digest()).toBe(before)
    expect((await run(['DBSIZE']))[0]).toEqual({ type: 'integer', value: 12 })
  })

  test('a snapshot written while keys change is one that the real server loads', async () => {
    const databases = [0, 1, 2].map(index => new Database(index, 7))
    for (let index = 0; index < 6000; index++)
      databases[index % 3]?.load(`key ${index}`, `value ${index}`, index % 5 === 0 ? 33e12 : 0)
    const big = new HashValue()
    for (let index = 0; index < 5000; index++) big.set(`field ${index}`, String(index), defaultSettings())
    databases[1]?.load('big', big)
    const before = digestOf(databases)
    const snapshot = Snapshot.begin(databases, defaultSettings(), snapshotDefaults)
    const chunks: Buffer[] = []
    for (let index = 0; !snapshot.slice(700); index = (index + 4001) % 6000) {
      chunks.push(snapshot.take())
      // Changed in another database than the one the walk is in, and in the middle of the big one.
      snapshot.beforeChange(index % 3, `key ${index}`)
      databases[index % 3]?.load(`key ${index}`, 'changed')
    }
    writeFileSync(join(dir, 'dump.rdb'), Buffer.concat([...chunks, snapshot.take()]))
    await run(['FLUSHALL'], ['DEBUG', 'RELOAD', 'NOSAVE'])
    expect(await digest()).toBe(before)
    expect(digestOf(databases)).not.toBe(before)
  })

  test('expired keys are left out on a master and kept on a replica', async () => {
    await run(['FLUSHALL'], ['SET', 'gone', 'x', 'PXAT', '33000000000123'], ['SET', 'stays', 'y'])
    const bytes = await save()
    const asMaster = load(bytes, undefined, { role: 'master', now: 33_000_000_000_124 })
    expect([asMaster.keys, asMaster.expiredKeys]).toEqual([1, 1])
    const asReplica = load(bytes, undefined, { role: 'replica', now: 33_000_000_000_124 })
    expect([asReplica.keys, asReplica.databases[0]?.expireAt('gone')]).toEqual([2, 33_000_000_000_123])
  })
})

function load(
  bytes: Buffer,
  step = 64 * 1024,
  { role, now }: { role: 'master' | 'replica'; now: number } = { role: 'master', now: 0 },
): LoadedSnapshot {
  const seeds = Array.from({ length: 16 }, (_, index) => index + 1)
  const loader = new SnapshotLoader(defaultSettings(), { seeds, role, now, verifyChecksum: true })
  const shared = Buffer.alloc(step)
  for (let at = 0; at < bytes.length; at += step) {
    // The same memory again and again, as a socket's read buffer is.
    const count = bytes.copy(shared, 0, at, at + step)
    loader.feed(shared.subarray(0, count))
    shared.fill(0xee)
  }
  return loader.finish()
}

function everyType(): Request[] {
  const many = (count: number, make: (index: number) => string[]) =>
    Array.from({ length: count }, (_, i) => make(i)).flat()
  return [
    ['SET', 'text', 'hello'],
    ['SET', 'empty', ''],
    ['SET', 'binary', '\x00\x01\xff\r\n\x80'],
    ['MSET', 'number', '12345', 'negative', '-1', 'int16', '-32768', 'int32', '2147483647', 'int33', '2147483648'],
    ['MSET', 'int64', '9223372036854775807', 'zeros', '007', 'plus', '+1', 'float', '3.14'],
    ['SET', 'long', 'abc'.repeat(20_000)],
    ['SET', 'random', many(3000, i => [String.fromCharCode((i * 7919) % 256)]).join('')],
    ['SET', 'expiring', 'later', 'PXAT', '33000000000123'],
    [
      'RPUSH',
      'list',
      ...many(500, i => [String(i * 1_000_003), `item ${i}`]),
      '',
      '-5',
      '70000',
      '-9007199254740993',
      'x'.repeat(5000),
    ],
    ['RPUSH', 'biglist', ...many(3000, i => [`element number ${i}`])],
    ['RPUSH', 'hugeitem', 'a', 'z'.repeat(100_000), 'b'],
    ['SADD', 'ints', ...many(200, i => [String(i * i - 5000)])],
    ['SADD', 'ints32', '1', '100000', '-100000'],
    ['SADD', 'ints64', '1', '9223372036854775807', '-9223372036854775808', '9007199254740993'],
    ['SADD', 'set', ...many(300, i => [`member ${i}`])],
    ['SADD', 'bigset', ...many(3000, i => [`member ${i}`, String(i)])],
    [
      'HSET',
      'hash',
      'field',
      'value',
      'number',
      '17',
      'edge',
      '4095',
      'below',
      '-4097',
      'empty',
      '',
      'x'.repeat(60),
      'y'.repeat(64),
    ],
    ['HSET', 'bighash', ...many(2000, i => [`field ${i}`, `value ${i * 3}`])],
    ['HSET', 'widehash', 'field', 'w'.repeat(20_000)],
    [
      'ZADD',
      'zset',
      '1',
      'one',
      '2.5',
      'two and a half',
      '-inf',
      'least',
      '+inf',
      'most',
      '0',
      'zero',
      '1e300',
      'vast',
      '0.1',
      'tenth',
    ],
    ['ZADD', 'bigzset', ...many(3000, i => [String(i / 7), `member ${i}`])],
    ...Array.from({ length: 300 }, (_, i) => [
      'XADD',
      'stream',
      `${1000 + i}-${i % 3}`,
      'name',
      `n${i}`,
      i % 10 === 0 ? 'other' : 'value',
      String(i),
    ]),
    ['XADD', 'stream', '1526919030474-55', 'a', '1', 'b', '2', 'c', '3'],
    ['XADD', 'stream', '1526919030475-0', 'a', '1'],
    ['XADD', 'stream', '18446744073709551614-18446744073709551615', 'far', 'away'],
    ['XDEL', 'stream', '1003-0', '1526919030475-0'],
    ['XGROUP', 'CREATE', 'stream', 'group', '0'],
    ['XGROUP', 'CREATE', 'stream', 'other', '1005-0', 'ENTRIESREAD', '7'],
    ['XGROUP', 'CREATECONSUMER', 'stream', 'group', 'idle'],
    ['XREADGROUP', 'GROUP', 'group', 'alice', 'COUNT', '5', 'STREAMS', 'stream', '>'],
    ['XREADGROUP', 'GROUP', 'group', 'bob', 'COUNT', '3', 'STREAMS', 'stream', '>'],
    ['XACK', 'stream', 'group', '1001-1'],
    ['XADD', 'emptied', '5-5', 'a', 'b'],
    ['XDEL', 'emptied', '5-5'],
    ['FUNCTION', 'LOAD', 'REPLACE', "#!lua name=mylib\nredis.register_function('myfunc', function() return 1 end)"],
    ['PFADD', 'hll', 'a', 'b', 'c'],
    ['SELECT', '9'],
    ['SET', 'elsewhere', 'yes'],
    ['SELECT', '0'],
  ]
}
