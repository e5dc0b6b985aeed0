/**
 * Every flipped bit and every truncation of an AOF with its manifest ends in a refusal or in the same data; a truncated
 * end in whole transactions from the beginning.
 */
import { describe, expect, test } from 'vitest'
import { Database } from '../../../src/engine/database.js'
import { digestOf } from '../../../src/engine/digest.js'
import { defaultSettings } from '../../../src/engine/settings.js'
import { CommandEncoder } from '../../../src/persistence/aof/encoder.js'
import { AofLoader } from '../../../src/persistence/aof/loader.js'
import {
  emptyManifest,
  formatManifest,
  parseManifest,
  withBase,
  withIncrement,
} from '../../../src/persistence/aof/manifest.js'
import { CorruptError } from '../../../src/persistence/encoding/corrupt.js'
import { snapshotBytes } from '../../support/snapshot.js'

/** What was read of a file, as text; undefined: it was refused. */
interface Read {
  readonly data: readonly string[]
  readonly torn: boolean
}

function read(bytes: Buffer): Read | undefined {
  const loader = new AofLoader(defaultSettings(), { seeds: [1, 1, 1, 1], verifyChecksum: true })
  const data: string[] = []
  try {
    // Two chunks, so that what lies across their border is read as well.
    for (const chunk of [bytes.subarray(0, bytes.length >> 1), bytes.subarray(bytes.length >> 1)]) {
      loader.feed(chunk)
      for (let unit = loader.next(); unit !== undefined; unit = loader.next()) {
        data.push(unit.kind === 'snapshot' ? digestOf(unit.loaded.databases) : JSON.stringify(unit.commands))
      }
      loader.release()
    }
    const end = loader.finish()
    // Which its reader refuses.
    if (end.kind === 'torn' && end.because === 'half-snapshot') return undefined
    return { data, torn: end.kind === 'torn' }
  } catch (error) {
    if (error instanceof CorruptError) return undefined
    throw error
  }
}

function sample(sealed: boolean): Buffer {
  const encoder = new CommandEncoder()
  const parts: Buffer[] = []
  const flush = (offset: number): void => {
    encoder.place({ replid: 'ab'.repeat(20), offset, streamDb: 0 })
    if (sealed) encoder.seal()
    parts.push(encoder.take())
  }
  if (sealed) encoder.seal()
  encoder.timestamp(1_700_000_000_000)
  encoder.write([{ db: 0, args: ['SET', 'key', 'value'] }])
  flush(30)
  encoder.write([
    { db: 2, args: ['INCR', 'counter'] },
    { db: 2, args: ['RPUSH', 'list', 'a', Buffer.from([0, 13, 10, 255])] },
  ])
  flush(120)
  encoder.write([{ db: 0, args: ['DEL', 'key'] }])
  flush(150)
  return Buffer.concat(parts)
}

function base(): Buffer {
  const database = new Database(0, 1)
  database.load('base', 'from the snapshot', 0)
  return snapshotBytes([database], { isAofBase: true })
}

describe('flipped bits', () => {
  for (const [name, bytes] of [
    ['an increment with checksums', sample(true)],
    ['a base', base()],
    ['a base with commands behind it', Buffer.concat([base(), sample(true)])],
  ] as const) {
    test(`in ${name}`, () => {
      const whole = read(bytes)
      expect(whole?.torn).toBe(false)
      let refused = 0
      for (let at = 0; at < bytes.length; at++) {
        for (let bit = 0; bit < 8; bit++) {
          const flipped = Buffer.from(bytes)
          flipped[at] = (flipped[at] as number) ^ (1 << bit)
          const result = read(flipped)
          if (result === undefined) refused++
          else expect(result.data, `byte ${at}, bit ${bit}`).toEqual(whole?.data)
        }
      }
      expect(refused).toBeGreaterThan(bytes.length * 7)
    })
  }

  test('without checksums: refused, torn, or what a well-formed file says', () => {
    const bytes = sample(false)
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes)
      flipped[at] = (flipped[at] as number) ^ 1
      expect(() => read(flipped)).not.toThrow()
    }
  })

  test('in a manifest with its checksum', () => {
    let manifest = withIncrement(withIncrement(emptyManifest, 'a.aof'), 'a.aof')
    manifest = withBase(manifest, 'a.aof', 'rdb', manifest.increments[1])
    const text = formatManifest(manifest, true)
    expect(parseManifest(text)).toEqual(manifest)
    for (let at = 0; at < text.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const bytes = Buffer.from(text, 'latin1')
        bytes[at] = (bytes[at] as number) ^ (1 << bit)
        let parsed: unknown
        try {
          parsed = parseManifest(bytes.toString('latin1'))
        } catch (error) {
          expect(error).toBeInstanceOf(CorruptError)
          continue
        }
        expect(parsed, `byte ${at}, bit ${bit}`).toEqual(manifest)
      }
    }
  })
})

describe('truncations', () => {
  for (const sealed of [true, false]) {
    test(`of an increment ${sealed ? 'with' : 'without'} checksums leave whole transactions from its beginning`, () => {
      const bytes = sample(sealed)
      const whole = read(bytes)?.data ?? []
      for (let length = 0; length < bytes.length; length++) {
        const result = read(bytes.subarray(0, length))
        expect(result?.data, `${length} bytes`).toEqual(whole.slice(0, result?.data.length))
      }
    })
  }

  test('of a base are refused', () => {
    const bytes = base()
    for (let length = 5; length < bytes.length; length++) {
      expect(read(bytes.subarray(0, length)), `${length} bytes`).toBeUndefined()
    }
  })
})
