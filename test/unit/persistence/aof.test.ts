import { describe, expect, test } from 'vitest'
import { Database } from '../../../src/engine/database.js'
import { defaultSettings } from '../../../src/engine/settings.js'
import { CommandEncoder } from '../../../src/persistence/aof/encoder.js'
import {
  decideFailure,
  decideFlush,
  decideRewrite,
  type FlushFacts,
  type RewriteFacts,
} from '../../../src/persistence/aof/flush.js'
import { type AofEnd, AofLoader } from '../../../src/persistence/aof/loader.js'
import {
  currentIncrement,
  emptyManifest,
  filesToLoad,
  formatManifest,
  type Manifest,
  parseManifest,
  upgraded,
  withBase,
  withIncrement,
  withoutHistory,
} from '../../../src/persistence/aof/manifest.js'
import { CorruptError } from '../../../src/persistence/encoding/corrupt.js'
import { snapshotBytes } from '../../support/snapshot.js'

const NAME = 'appendonly.aof'

describe('the manifest', () => {
  test('through a start, two rewrites and the deletion of what they replaced', () => {
    let manifest = withIncrement(emptyManifest, NAME)
    expect(formatManifest(manifest)).toBe('file appendonly.aof.1.incr.aof seq 1 type i\n')

    manifest = withIncrement(manifest, NAME)
    manifest = withBase(manifest, NAME, 'rdb', currentIncrement(manifest) ?? { name: '', seq: 0 })
    expect(formatManifest(manifest)).toBe(
      'file appendonly.aof.1.base.rdb seq 1 type b\n' +
        'file appendonly.aof.1.incr.aof seq 1 type h\n' +
        'file appendonly.aof.2.incr.aof seq 2 type i\n',
    )

    manifest = withIncrement(withoutHistory(manifest), NAME)
    const cut = currentIncrement(manifest)
    // Another rewrite failed in between: its increment stays, and is loaded.
    manifest = withIncrement(manifest, NAME)
    manifest = withBase(manifest, NAME, 'aof', cut ?? { name: '', seq: 0 })
    expect(formatManifest(manifest)).toBe(
      'file appendonly.aof.2.base.aof seq 2 type b\n' +
        'file appendonly.aof.2.incr.aof seq 2 type h\n' +
        'file appendonly.aof.1.base.rdb seq 1 type h\n' +
        'file appendonly.aof.3.incr.aof seq 3 type i\n' +
        'file appendonly.aof.4.incr.aof seq 4 type i\n',
    )
    expect(filesToLoad(manifest).map(file => file.name)).toEqual([
      'appendonly.aof.2.base.aof',
      'appendonly.aof.3.incr.aof',
      'appendonly.aof.4.incr.aof',
    ])
    expect(parseManifest(formatManifest(manifest))).toEqual(manifest)
  })

  test('a file of an older server becomes the base', () => {
    expect(formatManifest(withIncrement(upgraded(NAME), NAME))).toBe(
      'file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n',
    )
  })

  test('names with anything in them', () => {
    const manifest: Manifest = { ...emptyManifest, base: { name: 'a b"c\\\n\xff.rdb', seq: 3 } }
    expect(formatManifest(manifest)).toBe('file "a b\\"c\\\\\\n\\xff.rdb" seq 3 type b\n')
    expect(() => parseManifest(formatManifest(manifest))).toThrow('path')
    const plain: Manifest = { ...emptyManifest, base: { name: 'a b"c\n\xff.rdb', seq: 3 } }
    expect(parseManifest(formatManifest(plain))).toEqual(plain)
  })

  test('comments and fields of versions to come', () => {
    const text = '# hello\nfile a seq 1 type b newkey newvalue\n\tfile b  seq 1 type i \n'
    expect(parseManifest(text)).toEqual({
      base: { name: 'a', seq: 1 },
      increments: [{ name: 'b', seq: 1 }],
      history: [],
    })
  })

  for (const [name, text, message] of [
    ['nothing', '', 'Found an empty AOF manifest'],
    ['a blank line', '\nfile a seq 1 type b\n', 'Invalid AOF manifest file format'],
    ['too few words', 'file a seq 1\n', 'Invalid AOF manifest file format'],
    ['a word without a value', 'file a seq 1 type b more\n', 'Invalid AOF manifest file format'],
    ['no name', 'seq 1 type b x y\n', 'Invalid AOF manifest file format'],
    ['a number that is none', 'file a seq x type b\n', 'Invalid AOF manifest file format'],
    ['a path', 'file ../a seq 1 type b\n', "File can't be a path"],
    ['two bases', 'file a seq 1 type b\nfile b seq 2 type b\n', 'Found duplicate base file information'],
    ['going back', 'file a seq 2 type i\nfile b seq 1 type i\n', 'at offset 20: Found a non-monotonic sequence number'],
    ['an unknown type', 'file a seq 1 type z\n', 'Unknown AOF file type'],
    ['a line without end', 'file a seq 1 type b', 'The AOF manifest file contains too long line'],
    ['a line of a kilobyte', `file ${'a'.repeat(1100)} seq 1 type b\n`, 'The AOF manifest file contains too long line'],
  ] as const) {
    test(`refused: ${name}`, () => expect(() => parseManifest(text)).toThrow(message))
  }
})

describe('an AOF file', () => {
  const encode = (...groups: string[][][]): Buffer => {
    const encoder = new CommandEncoder()
    encoder.continueIn(0)
    for (const group of groups) encoder.write(group.map(args => ({ db: 0, args })))
    return encoder.take()
  }
  const three = encode(
    [['SET', 'a', '1']],
    [
      ['SET', 'b', '2'],
      ['SET', 'c', '3'],
    ],
    [['SET', 'd', 'x\0\0']],
  )
  const units = [['SET a 1'], ['SET b 2', 'SET c 3'], ['SET d x\0\0']]

  for (const step of [1, 5, 10_000]) {
    test(`commands and transactions, ${step} bytes at a time`, () => {
      expect(load(three, step)).toEqual({ units, end: { kind: 'whole', bytes: three.length } })
    })
  }

  test('a snapshot first', () => {
    const database = new Database(0, 1)
    database.load('old', 'value', 5)
    const snapshot = snapshotBytes([database], { isAofBase: true })
    for (const step of [1, 100, 10_000]) {
      const bytes = Buffer.concat([snapshot, three])
      expect(load(bytes, step)).toEqual({
        units: [['snapshot of 1'], ...units],
        end: { kind: 'whole', bytes: bytes.length },
      })
      expect(load(snapshot, step)).toEqual({
        units: [['snapshot of 1']],
        end: { kind: 'whole', bytes: snapshot.length },
      })
    }
    const unchecked = snapshotBytes([database], { checksum: false })
    expect(load(unchecked, 7).end).toEqual({ kind: 'whole', bytes: unchecked.length })
    expect(load(snapshot.subarray(0, -3), 7).end).toMatchObject({
      kind: 'torn',
      validBytes: 0,
      because: 'half-snapshot',
    })
  })

  test('annotations are passed over', () => {
    const encoder = new CommandEncoder()
    encoder.timestamp(1_700_000_000_000)
    encoder.write([{ db: 2, args: ['PING'] }])
    encoder.timestamp(1_700_000_000_999)
    encoder.timestamp(1_700_000_001_000)
    const bytes = encoder.take()
    expect(bytes.toString()).toContain('#TS:1700000000\r\n*2\r\n$6\r\nSELECT')
    expect(load(bytes, 3)).toEqual({ units: [['SELECT 2'], ['PING']], end: { kind: 'whole', bytes: bytes.length } })
  })

  test('a torn tail is cut behind the last whole transaction, wherever it was torn', () => {
    const ends = [0, three.indexOf('*1\r\n$5\r\nMULTI'), three.indexOf('*3\r\n$3\r\nSET\r\n$1\r\nd'), three.length]
    for (let length = 0; length <= three.length; length++) {
      const whole = ends.filter(end => end <= length).at(-1) ?? 0
      for (const zeros of [0, 1, 5000]) {
        const torn = Buffer.concat([three.subarray(0, length), Buffer.alloc(zeros)])
        const { units: read, end } = load(torn, 64)
        expect(read).toEqual(units.slice(0, ends.indexOf(whole)))
        if (whole === torn.length) expect(end).toEqual({ kind: 'whole', bytes: whole })
        else expect(end).toMatchObject({ kind: 'torn', validBytes: whole, lostBytes: torn.length - whole })
      }
    }
  })

  test('the name of a tear', () => {
    expect(load(three.subarray(0, 5), 64).end).toMatchObject({ because: 'half-command' })
    expect(load(three.subarray(0, three.indexOf('*1\r\n$4\r\nEXEC')), 64).end).toMatchObject({
      because: 'open-transaction',
    })
    expect(load(Buffer.concat([three, Buffer.alloc(9)]), 64).end).toMatchObject({ because: 'zeros' })
  })

  for (const [name, damage] of [
    ['garbage between commands', Buffer.concat([three, Buffer.from('garbage'), three])],
    ['zeros between commands', Buffer.concat([three, Buffer.alloc(100_000), three])],
    ['an argument with a wrong length', Buffer.concat([Buffer.from('*1\r\n$3\r\nPING\r\n'), three])],
    ['a transaction inside another', Buffer.from('*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nMULTI\r\n')],
    ['inline commands', Buffer.from('PING\r\n')],
  ] as const) {
    test(`refused: ${name}`, () => expect(() => load(damage, 64)).toThrow(CorruptError))
  }

  function load(bytes: Buffer, step: number): { units: string[][]; end: AofEnd } {
    const loader = new AofLoader(defaultSettings(), { seeds: [1, 2, 3], verifyChecksum: true })
    const read: string[][] = []
    const shared = Buffer.alloc(step)
    for (let at = 0; at < bytes.length; at += step) {
      loader.feed(shared.subarray(0, bytes.copy(shared, 0, at, at + step)))
      for (let unit = loader.next(); unit !== undefined; unit = loader.next()) {
        if (unit.kind === 'snapshot') read.push([`snapshot of ${unit.loaded.keys}`])
        else read.push(unit.commands.map(command => command.join(' ')))
      }
      loader.release()
      shared.fill(0xee)
    }
    return { units: read, end: loader.finish() }
  }
})

describe('when it goes to the disk', () => {
  const idle: FlushFacts = {
    policy: 'everysec',
    bufferedBytes: 0,
    unsyncedBytes: 0,
    fsyncRunning: false,
    lastFsyncAt: 0,
    sparingDisk: false,
  }

  for (const [name, facts, now, write, fsync] of [
    ['nothing to do', {}, 5000, 'nothing', 'none'],
    ['always: before the replies', { policy: 'always', bufferedBytes: 5 }, 0, 'now', 'wait'],
    ['everysec: written at once, synced later', { bufferedBytes: 5 }, 999, 'now', 'none'],
    ['everysec: the second is over', { bufferedBytes: 5 }, 1000, 'now', 'background'],
    ['everysec: what was written before', { unsyncedBytes: 5 }, 1000, 'nothing', 'background'],
    ['everysec: an fsync is running', { bufferedBytes: 5, fsyncRunning: true, lastFsyncAt: 100 }, 1000, 'now', 'none'],
    ['everysec: it has been running for long', { bufferedBytes: 5, fsyncRunning: true }, 2100, 'now', 'late'],
    ['no: the system knows best', { policy: 'no', bufferedBytes: 5 }, 9000, 'now', 'none'],
    [
      'the disk is needed for a rewrite',
      { policy: 'always', bufferedBytes: 5, sparingDisk: true },
      9000,
      'now',
      'none',
    ],
  ] as const) {
    test(name, () => expect(decideFlush({ ...idle, ...facts }, now)).toEqual({ write, fsync }))
  }

  test('a write that fails', () => {
    expect(decideFailure('everysec', 500, true)).toEqual({ do: 'cut-and-refuse-writes', bytes: 500 })
    expect(decideFailure('no', 500, false)).toEqual({ do: 'keep-and-refuse-writes' })
    expect(decideFailure('always', 500, true)).toEqual({ do: 'stop', reason: 'cannot-keep-promise' })
  })

  const grown: RewriteFacts = {
    bytes: 300,
    bytesAtRewrite: 100,
    growthPercent: 100,
    bytesMin: 64,
    busy: false,
    failures: 0,
    failedAt: 0,
    scheduled: false,
  }
  for (const [name, facts, now, because] of [
    ['grown', {}, 0, 'grown'],
    ['switched off', { growthPercent: 0 }, 0, 'off'],
    ['something else is being saved', { busy: true }, 0, 'busy'],
    ['too small to matter', { bytes: 63 }, 0, 'small'],
    ['not grown enough', { bytes: 199 }, 0, 'not-grown'],
    ['the first time', { bytesAtRewrite: 0 }, 0, 'grown'],
    ['failing again and again', { failures: 4, failedAt: 1000 }, 120_999, 'failing'],
    ['failing, and time to try', { failures: 4, failedAt: 1000 }, 121_000, 'grown'],
    ['asked for earlier', { scheduled: true, growthPercent: 0 }, 0, 'scheduled'],
    ['asked for earlier, but not now', { scheduled: true, busy: true }, 0, 'busy'],
    ['asked for earlier, and failing', { scheduled: true, failures: 3, failedAt: 1000 }, 60_999, 'failing'],
  ] as const) {
    test(`rewrite: ${name}`, () => expect(decideRewrite({ ...grown, ...facts }, now).because).toBe(because))
  }
})
