import { describe, expect, test } from 'vitest'
import { Database } from '../../../src/engine/database.js'
import { defaultSettings } from '../../../src/engine/settings.js'
import { HashValue } from '../../../src/engine/types/hash.js'
import { makeId } from '../../../src/engine/types/id-map.js'
import { ListValue } from '../../../src/engine/types/list.js'
import { SetValue } from '../../../src/engine/types/set.js'
import { SortedSetValue } from '../../../src/engine/types/sorted-set.js'
import { addConsumer, StreamValue, setPending } from '../../../src/engine/types/stream.js'
import { dump, restore } from '../../../src/persistence/dump.js'
import { CorruptError } from '../../../src/persistence/encoding/corrupt.js'
import { type LoadedSnapshot, SnapshotLoader } from '../../../src/persistence/load.js'
import { TypeCode } from '../../../src/persistence/rdb/format.js'
import { seeded } from '../../support/random.js'
import { buildRdb, entry, newEncodings, oldEncodings } from '../../support/rdb-builder.js'
import { snapshotBytes } from '../../support/snapshot.js'
import { describeData, describeValue } from '../../support/values.js'

const settings = defaultSettings()

describe('what is loaded', () => {
  test('every old encoding', () => {
    expect(describeData(load(buildRdb(9, oldEncodings)).databases)).toEqual([
      '0 "endless" 0 zset [["least","-Infinity"],["most","Infinity"]]',
      '0 "hashziplist" 0 hash ["f\\u0000v","n\\u0000100000"]',
      '0 "intset" 0 set ["-3","0","70000"]',
      '0 "list" 0 list ["a","","12"]',
      `0 "listziplist" 0 list ["one","2","-300","${'x'.repeat(300)}"]`,
      '0 "quicklist" 0 list ["head","1","2","tail"]',
      '0 "quicklist2" 0 list ["a plain node","packed","5"]',
      '0 "seconds" 2147483647000 "until 2038"',
      '0 "stream" 0 stream [["5-0",["f","v"]],["5-1","0-0",1],["group","5-0",1,[["5-0","consumer",1600000000000,3]],["consumer"]]]',
      '0 "zipmap" 0 hash ["field\\u0000value","other\\u000017"]',
      '0 "zset" 0 zset [["low","-1.5"],["mid","3"],["high","100000000000000000000"]]',
      '0 "zsetziplist" 0 zset [["a","1"],["b","2.5"],["c","Infinity"]]',
    ])
  })

  test('encodings after 7.0', () => {
    expect(describeData(load(buildRdb(11, newEncodings)).databases)).toEqual([
      '0 "setlistpack" 0 set ["5","a","c"]',
      '0 "stream3" 0 stream [["9-1","9-0",4],["group","9-1",2,[],["consumer"]]]',
    ])
  })

  test('what we write is what we read, one byte at a time and in odd pieces', () => {
    const databases = sample()
    const bytes = snapshotBytes(databases, { functions: ['#!lua name=a'] })
    for (const step of [1, 3, 64, 1000, bytes.length]) {
      const loaded = load(bytes, step)
      expect(describeData(loaded.databases)).toEqual(describeData(databases))
      expect(loaded.functions).toEqual(['#!lua name=a'])
      expect(loaded.bytes).toBe(bytes.length)
    }
  })

  test('empty collections are no keys', () => {
    const bytes = buildRdb(9, out => entry(out, TypeCode.set, 'empty', () => out.length(0)))
    expect(load(bytes).keys).toBe(0)
  })

  test('a snapshot without a checksum', () => {
    const bytes = snapshotBytes(sample(), { checksum: false })
    expect(bytes.subarray(-8).equals(Buffer.alloc(8))).toBe(true)
    expect(describeData(load(bytes).databases)).toEqual(describeData(sample()))
  })
})

describe('what is refused', () => {
  const refusals: [string, Buffer, string][] = [
    ['no snapshot at all', Buffer.from('HELLO WORLD'), 'not-a-snapshot at offset 0'],
    ['a version to come', Buffer.from('REDIS0012\xff'), 'unsupported-version at offset 5'],
    ['an unknown type', buildRdb(9, out => entry(out, 8, 'k', () => out.length(0))), 'unknown-opcode'],
    ['an unknown opcode', buildRdb(9, out => out.byte(240)), 'unknown-opcode'],
    ['a value of a module', buildRdb(9, out => entry(out, TypeCode.module2, 'k', () => out.length(0))), 'module-data'],
    ['data of a module', buildRdb(9, out => moduleAux(out)), 'data of the module ReJSON-RL'],
    ['functions of a release candidate', buildRdb(10, out => out.byte(246)), 'unsupported-function'],
    [
      'a database that does not exist',
      buildRdb(9, out => {
        out.byte(254)
        out.length(16)
      }),
      'bad-database',
    ],
    [
      'the same key twice',
      buildRdb(9, out => {
        for (const text of ['a', 'b']) entry(out, 0, 'k', () => out.string(text))
      }),
      'duplicate-key',
    ],
    [
      'the same member twice',
      buildRdb(9, out =>
        entry(out, TypeCode.set, 'k', () => {
          out.length(2)
          out.string('m')
          out.string('m')
        }),
      ),
      'duplicate-element',
    ],
    [
      'a score that is no number',
      buildRdb(9, out =>
        entry(out, TypeCode.zset2, 'k', () => {
          out.length(1)
          out.string('m')
          out.double(Number.NaN)
        }),
      ),
      'bad-score',
    ],
    [
      'a string of a terabyte',
      buildRdb(9, out => entry(out, TypeCode.string, 'k', () => out.length(2 ** 40))),
      'bad-length',
    ],
    ['bytes behind the end', Buffer.concat([buildRdb(9, () => {}), Buffer.from('x')]), 'trailing-bytes'],
  ]

  for (const [name, bytes, message] of refusals) {
    test(name, () => expect(() => load(bytes)).toThrow(message))
  }

  test('a sender that never ends: what follows the end is refused, not kept', () => {
    const loader = new SnapshotLoader(settings, { seeds: [1], role: 'replica', now: 0, verifyChecksum: true })
    loader.feed(buildRdb(9, () => {}))
    expect(() => loader.feed(Buffer.from('more'))).toThrow('trailing-bytes')
  })

  test('counts are not believed: a billion elements that never come cost nothing', () => {
    for (const type of [
      TypeCode.list,
      TypeCode.set,
      TypeCode.hash,
      TypeCode.zset2,
      TypeCode.listQuicklist2,
      TypeCode.streamListpacks,
    ]) {
      const bytes = buildRdb(9, out => entry(out, type, 'k', () => out.length(2 ** 30)))
      expect(() => load(bytes)).toThrow(CorruptError)
    }
  })

  test('every flipped bit and every truncation is refused: the old data stays', () => {
    const bytes = snapshotBytes(sample(), { functions: ['#!lua name=a'] })
    for (let at = 0; at < bytes.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const broken = Buffer.from(bytes)
        broken[at] = (broken[at] as number) ^ (1 << bit)
        if (!isRefused(() => load(broken))) expect([at, bit]).toBe('refused')
      }
      if (!isRefused(() => load(bytes.subarray(0, at)))) expect(at).toBe('refused')
    }
  })

  test('without a checksum damage is refused or loaded, never anything else', () => {
    for (const bytes of [
      snapshotBytes(sample(), { compression: false }),
      buildRdb(9, oldEncodings),
      buildRdb(11, newEncodings),
    ]) {
      for (let at = 0; at < bytes.length; at++) {
        for (const flip of [0x01, 0x02, 0x40, 0x80, 0xff]) {
          const broken = Buffer.from(bytes)
          broken[at] = (broken[at] as number) ^ flip
          refusedOr(() => load(broken, 64, false))
        }
      }
    }
  })

  test('random damage to many bytes', () => {
    const random = seeded(42)
    const samples = [snapshotBytes(sample()), buildRdb(9, oldEncodings), buildRdb(11, newEncodings)]
    for (let round = 0; round < 3000; round++) {
      const broken = Buffer.from(samples[round % samples.length] as Buffer)
      for (let flips = 1 + Math.floor(random() * 5); flips > 0; flips--) {
        broken[9 + Math.floor(random() * (broken.length - 9))] = Math.floor(random() * 256)
      }
      refusedOr(() => load(broken, 1 + Math.floor(random() * 500), false))
    }
  })
})

describe('DUMP and RESTORE', () => {
  test('give back every value', () => {
    sample()[0]?.table.forEach((_key, value) => {
      const restored = restore(dump(value, settings), settings)
      expect('value' in restored && describeValue(restored.value)).toBe(describeValue(value))
    })
  })

  test('damage to a payload is refused', () => {
    sample()[0]?.table.forEach((_key, value) => {
      const payload = dump(value, settings)
      for (let at = 0; at < payload.length; at++) {
        const broken = Buffer.from(payload)
        broken[at] = (broken[at] as number) ^ 0x11
        expect('refused' in restore(broken, settings)).toBe(true)
        expect('refused' in restore(payload.subarray(0, at), settings)).toBe(true)
      }
    })
  })

  test('the two refusals that Redis tells apart', () => {
    const payload = dump('text', settings)
    expect(restore(Buffer.concat([payload, Buffer.from('x')]), settings)).toEqual({ refused: 'bad-footer' })
    const zeroSum = Buffer.concat([Buffer.from([7, 1, 1, 10, 0]), Buffer.alloc(8)])
    expect(restore(zeroSum, settings)).toMatchObject({ refused: 'bad-format' })
  })
})

function load(bytes: Buffer, step = 64 * 1024, verifyChecksum = true): LoadedSnapshot {
  const seeds = Array.from({ length: 16 }, (_, index) => index + 1)
  const loader = new SnapshotLoader(settings, { seeds, role: 'master', now: 0, verifyChecksum })
  for (let at = 0; at < bytes.length; at += step) loader.feed(Buffer.from(bytes.subarray(at, at + step)))
  return loader.finish()
}

function isRefused(attempt: () => void): boolean {
  try {
    attempt()
    return false
  } catch (error) {
    if (error instanceof CorruptError) return true
    throw error
  }
}

function refusedOr(attempt: () => void): void {
  try {
    attempt()
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error
  }
}

function moduleAux(out: { byte(value: number): void; length64(value: bigint): void }): void {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  let id = 0n
  for (const letter of 'ReJSON-RL') id = (id << 6n) | BigInt(letters.indexOf(letter === '-' ? '-' : letter))
  out.byte(247)
  out.length64((id << 10n) | 3n)
}

/** A little of everything, in two databases. */
function sample(): Database[] {
  const databases = Array.from({ length: 16 }, (_, index) => new Database(index, 77))
  const [first, second] = databases as [Database, Database]
  first.load('text', 'hello world, hello world, hello world, hello world', 0)
  first.load('number', '-12345')
  first.load('bytes', '\xff\x00\r\n')
  second.load('expiring', '1', 33_000_000_000_123)
  const list = new ListValue()
  for (const item of ['a', '5', '-70000', 'b'.repeat(70)]) list.pushTail(item)
  first.load('list', list)
  const ints = new SetValue()
  for (const member of ['1', '-500', '70000']) ints.add(member, settings)
  first.load('ints', ints)
  const set = new SetValue()
  for (const member of ['x', '1', '']) set.add(member, settings)
  first.load('set', set)
  const hash = new HashValue()
  hash.set('field', 'value', settings)
  hash.set('n', '1000000', settings)
  first.load('hash', hash)
  const wide = new HashValue()
  wide.set('field', 'w'.repeat(65), settings)
  second.load('wide', wide)
  const zset = new SortedSetValue()
  zset.set('one', 1, settings)
  zset.set('half', 0.5, settings)
  first.load('zset', zset)
  const skip = new SortedSetValue()
  skip.set('m'.repeat(65), -0.1, settings)
  second.load('skip', skip)
  const stream = new StreamValue()
  stream.append(makeId(5n, 1n), ['a', '1'])
  stream.append(makeId(6n, 0n), ['a', '2'])
  stream.append(makeId(6n, 7n), ['b', '2', 'c', ''])
  const group = stream.addGroup('g', makeId(6n, 0n), 2)
  setPending(group, makeId(5n, 1n), { consumer: addConsumer(group, 'who', 1000), deliveredAt: 900, deliveries: 2 })
  first.load('stream', stream)
  return databases
}
