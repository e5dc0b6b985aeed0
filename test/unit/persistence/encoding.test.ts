import { describe, expect, test } from 'vitest'
import { CorruptError } from '../../../src/persistence/encoding/corrupt.js'
import { Crc64 } from '../../../src/persistence/encoding/crc64.js'
import { ListpackWriter, readListpack } from '../../../src/persistence/encoding/listpack.js'
import { compress as compressInto, decompress } from '../../../src/persistence/encoding/lzf.js'
import { readIntset, readZiplist, readZipmap, writeIntset } from '../../../src/persistence/encoding/ziplist.js'
import { buildZiplist, buildZipmap } from '../../support/old-encodings.js'
import { seeded } from '../../support/random.js'

function compress(sample: Buffer): Buffer | undefined {
  const output = Buffer.alloc(sample.length)
  const count = compressInto(sample, 0, sample.length, output)
  return count < 0 ? undefined : output.subarray(0, count)
}

describe('CRC-64', () => {
  const text = Buffer.from('This is a test of the emergency broadcast system.')

  test('the check values of the Jones polynomial', () => {
    expect(new Crc64().update(Buffer.from('123456789')).toString()).toBe('e9c6d914c4b8d9ca')
    expect(new Crc64().toString()).toBe('0000000000000000')
  })

  test('the sum of parts is the sum of the whole, wherever it is cut', () => {
    const whole = new Crc64().update(text).toString()
    for (let cut = 0; cut <= text.length; cut++) {
      expect(new Crc64().update(text, 0, cut).update(text, cut).toString()).toBe(whole)
    }
  })

  test('is written least significant byte first', () => {
    const sum = new Crc64().update(Buffer.from('123456789'))
    const bytes = Buffer.alloc(8)
    sum.writeTo(bytes, 0)
    expect(bytes.toString('hex')).toBe('cad9b8c414d9c6e9')
    expect(sum.equals(bytes, 0)).toBe(true)
    expect(sum.copy().update(Buffer.from('x')).equals(bytes, 0)).toBe(false)
  })
})

describe('LZF', () => {
  const random = seeded(7)
  const samples: [string, Buffer][] = [
    ['a run', Buffer.alloc(10_000, 'a')],
    ['a phrase again and again', Buffer.from('the quick brown fox '.repeat(300))],
    [
      'a match at the longest distance',
      Buffer.concat([Buffer.from('needle'), noise(8186), Buffer.from('needle'), Buffer.alloc(900)]),
    ],
    [
      'a match beyond it',
      Buffer.concat([Buffer.from('needle'), noise(8187), Buffer.from('needle'), Buffer.alloc(900)]),
    ],
    ['zeros with noise between', Buffer.concat([Buffer.alloc(300), noise(50), Buffer.alloc(300), noise(33)])],
    ['few letters', Buffer.from(Array.from({ length: 5000 }, () => 97 + Math.floor(random() * 3)))],
  ]

  for (const [name, sample] of samples) {
    test(`gives back ${name}`, () => {
      const shorter = compress(sample)
      expect(shorter?.length).toBeLessThan(sample.length - 3)
      expect(decompress(shorter as Buffer, sample.length).equals(sample)).toBe(true)
    })
  }

  test('compresses a part of what it is given', () => {
    const sample = Buffer.from(`before ${'abc'.repeat(50)} after`)
    const output = Buffer.alloc(sample.length)
    const count = compressInto(sample, 7, 157, output)
    expect(decompress(output, 150, 0, count).toString()).toBe('abc'.repeat(50))
  })

  test('what does not become shorter is left alone', () => {
    expect(compress(noise(1000))).toBeUndefined()
    expect(compress(Buffer.from('abcd'))).toBeUndefined()
  })

  test('no compressed bytes make it leave its bounds', () => {
    const sample = samples[1]?.[1] as Buffer
    const shorter = compress(sample) as Buffer
    for (let at = 0; at < shorter.length; at++) {
      for (const flip of [1, 0x20, 0x80, 0xff]) {
        const broken = Buffer.from(shorter)
        broken[at] = (broken[at] as number) ^ flip
        refusedOr(() => expect(decompress(broken, sample.length)).toHaveLength(sample.length))
      }
      refusedOr(() => decompress(shorter.subarray(0, at), sample.length))
    }
  })

  test('a length that no honest bytes can reach is not allocated', () => {
    expect(() => decompress(Buffer.from([0, 65]), 1_000_000_000)).toThrow(CorruptError)
  })

  function noise(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)))
  }
})

describe('listpacks', () => {
  const texts = [
    '',
    'a',
    'x'.repeat(63),
    'x'.repeat(64),
    'x'.repeat(4095),
    'x'.repeat(4096),
    'x'.repeat(20_000),
    '007',
    '-0',
    '1e5',
  ]
  const integers = [
    0, 127, 128, -1, 4095, 4096, -4096, -4097, 32767, 32768, -32768, -32769, 8388607, 8388608, -8388608, -8388609,
  ]
  const large = [2147483647, 2147483648, -2147483648, -2147483649, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]

  test('give back what was packed', () => {
    const pack = new ListpackWriter()
    for (const text of texts) pack.text(text)
    for (const integer of [...integers, ...large]) pack.text(String(integer))
    pack.bigint(9223372036854775807n)
    pack.bigint(-5n)
    expect(readListpack(pack.finish())).toEqual([...texts, ...integers, ...large, '9223372036854775807', -5])
  })

  test('back lengths of every size are Redis’', () => {
    // Encoding and text of 126, 127, 16382, 16383 bytes: one length byte, one, two, three.
    for (const [length, whole] of [
      [125, 7 + 127 + 1],
      [126, 7 + 128 + 2],
      [16377, 7 + 16382 + 2],
      [16378, 7 + 16383 + 3],
    ] as const) {
      const pack = new ListpackWriter()
      pack.text('y'.repeat(length))
      expect(pack.finish()).toHaveLength(whole)
    }
  })

  test('every flipped byte and every truncation is refused or harmless', () => {
    const pack = new ListpackWriter()
    for (const text of ['hello', '12', '-300', '70000', '5000000000', 'z'.repeat(70)]) pack.text(text)
    everyDamage(pack.finish(), readListpack)
  })
})

describe('encodings of older snapshots', () => {
  const elements = [
    '',
    'abc',
    'x'.repeat(63),
    'x'.repeat(64),
    'x'.repeat(16384),
    5,
    13,
    -1,
    127,
    300,
    -40000,
    8000000,
    2 ** 40,
  ]

  test('ziplists', () => {
    expect(readZiplist(buildZiplist(elements))).toEqual(elements)
    expect(readZiplist(buildZiplist([]))).toEqual([])
    everyDamage(buildZiplist(['abc', 5, -1, 300, 'x'.repeat(300), 7]), readZiplist)
  })

  test('zipmaps', () => {
    const pairs = ['field', 'value', 'long', 'v'.repeat(300), 'empty', '']
    expect(readZipmap(buildZipmap(pairs))).toEqual(pairs)
    everyDamage(buildZipmap(pairs), readZipmap)
  })

  test('intsets of every width', () => {
    for (const members of [
      [-5, 0, 7],
      [-40000, 3],
      [-(2 ** 40), 2 ** 52],
    ]) {
      expect(readIntset(writeIntset(members))).toEqual(members)
    }
    expect(() => readIntset(writeIntset([5, 3]))).toThrow('bad-intset')
    everyDamage(writeIntset([-40000, 3, 9]), readIntset)
  })
})

/** Damage must end in a CorruptError or in an answer, never in anything else. */
function everyDamage(sample: Buffer, read: (bytes: Buffer) => unknown): void {
  for (let at = 0; at < sample.length; at++) {
    for (const flip of [1, 2, 0x10, 0x80, 0xff]) {
      const broken = Buffer.from(sample)
      broken[at] = (broken[at] as number) ^ flip
      refusedOr(() => read(broken))
    }
    refusedOr(() => read(sample.subarray(0, at)))
  }
}

function refusedOr(attempt: () => void): void {
  try {
    attempt()
  } catch (error) {
    expect(error).toBeInstanceOf(CorruptError)
  }
}
