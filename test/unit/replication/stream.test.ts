import { describe, expect, test } from 'vitest'
import { formatPreamble, PayloadReader, parsePreamble } from '../../../src/replication/payload.js'
import { readReplconf, unknownReplica } from '../../../src/replication/replconf.js'
import { StreamEncoder } from '../../../src/replication/stream.js'
import { Decoder } from '../../../src/resp/decoder.js'

describe('the stream', () => {
  const encoded = (write: (stream: StreamEncoder) => void, stream = new StreamEncoder()): string[] => {
    write(stream)
    const decoder = new Decoder()
    decoder.feed(Buffer.from(stream.view()))
    stream.reset()
    const commands: string[] = []
    while (decoder.nextRequest()) commands.push(decoder.args().join(' '))
    expect(decoder.pending).toBe(0)
    return commands
  }
  const set = (db: number, key: string) => ({ db, args: ['SET', key, 'v'] })

  test('says the database when it changes', () => {
    const stream = new StreamEncoder()
    expect(
      encoded(s => {
        for (const db of [0, 0, 3, 0]) s.write([set(db, 'k')])
      }, stream),
    ).toEqual(['SELECT 0', 'SET k v', 'SET k v', 'SELECT 3', 'SET k v', 'SELECT 0', 'SET k v'])
    expect(stream.selectedDb).toBe(0)
    expect(
      encoded(s => {
        s.forgetDb()
        s.write([set(0, 'k')])
      }, stream),
    ).toEqual(['SELECT 0', 'SET k v'])
    expect(
      encoded(s => {
        s.continueIn(5)
        s.write([set(5, 'k')])
      }, stream),
    ).toEqual(['SET k v'])
  })

  test('what belongs together travels together', () => {
    expect(encoded(s => s.write([set(1, 'a'), set(1, 'b'), set(2, 'c')]))).toEqual([
      'SELECT 1',
      'MULTI',
      'SET a v',
      'SET b v',
      'SELECT 2',
      'SET c v',
      'EXEC',
    ])
    expect(encoded(s => s.write([]))).toEqual([])
  })

  test('a ping and a wish for acknowledgement need no database', () => {
    expect(
      encoded(s => {
        s.ping()
        s.getack()
      }),
    ).toEqual(['PING', 'REPLCONF GETACK *'])
  })

  test('bytes stay bytes', () => {
    const stream = new StreamEncoder()
    stream.continueIn(0)
    stream.write([{ db: 0, args: ['SET', '\xff\x00', Buffer.from([1, 254])] }])
    expect(Buffer.from(stream.view())).toEqual(
      Buffer.from('*3\r\n$3\r\nSET\r\n$2\r\n\xff\x00\r\n$2\r\n\x01\xfe\r\n', 'latin1'),
    )
  })
})

describe('a snapshot on a connection', () => {
  test('its first line', () => {
    expect(parsePreamble('$123')).toEqual({ kind: 'length', bytes: 123 })
    expect(parsePreamble(`$EOF:${'m'.repeat(40)}`)).toEqual({ kind: 'eof', mark: 'm'.repeat(40) })
    for (const line of ['', '123', '$', '$-1', '$1x', '$EOF:short', '$99999999999999999999'])
      expect(parsePreamble(line)).toBeUndefined()
    expect(formatPreamble({ kind: 'length', bytes: 5 })).toBe('$5\r\n')
  })

  const mark = `aab${'0123456789abcdefghijklmnopqrstuvwxyz'}!`
  for (const [name, form, payload, whole] of [
    ['counted', { kind: 'length', bytes: 300 }, 'x'.repeat(300), 'x'.repeat(300)],
    ['empty', { kind: 'eof', mark }, '', mark],
    ['marked', { kind: 'eof', mark }, 'y'.repeat(300), 'y'.repeat(300) + mark],
    [
      'with beginnings of the mark inside',
      { kind: 'eof', mark },
      `aaaab${mark.slice(0, 39)}_aab`,
      `aaaab${mark.slice(0, 39)}_aab${mark}`,
    ],
  ] as const) {
    test(`${name}, cut everywhere`, () => {
      const bytes = Buffer.from(`${whole}*1\r\n$4\r\nPING\r\n`, 'latin1')
      for (let first = 0; first <= bytes.length; first++) {
        for (const step of [1, 13, 40, 1000]) {
          const [read, rest] = readPayload(form, [bytes.subarray(0, first), ...pieces(bytes.subarray(first), step)])
          expect(read).toBe(payload)
          expect(rest).toBe('*1\r\n$4\r\nPING\r\n')
        }
      }
    })
  }

  function readPayload(form: Parameters<typeof formatPreamble>[0], chunks: readonly Buffer[]): [string, string] {
    const reader = new PayloadReader(form)
    const out = ['', '']
    for (const chunk of chunks) {
      if (reader.done) {
        out[1] += chunk.toString('latin1')
        continue
      }
      const part = reader.feed(chunk)
      for (const bytes of part.payload) out[0] += bytes.toString('latin1')
      out[1] += part.rest.toString('latin1')
    }
    expect(reader.done).toBe(true)
    expect(reader.received).toBe(out[0]?.length)
    return out as [string, string]
  }

  function pieces(bytes: Buffer, step: number): Buffer[] {
    const all: Buffer[] = []
    for (let at = 0; at < bytes.length; at += step) all.push(bytes.subarray(at, at + step))
    return all
  }
})

describe('REPLCONF', () => {
  const read = (...args: string[]) => readReplconf(['REPLCONF', ...args], unknownReplica)

  test('what a replica says about itself', () => {
    const { profile, answer } = read(
      'listening-port',
      '6402',
      'ip-address',
      '10.0.0.1',
      'capa',
      'eof',
      'capa',
      'psync2',
      'capa',
      'new',
    )
    expect(answer).toEqual({ kind: 'ok' })
    expect(profile).toEqual({
      ...unknownReplica,
      listeningPort: 6402,
      ipAddress: '10.0.0.1',
      understandsEof: true,
      understandsPsync2: true,
    })
  })

  for (const [name, args, expected] of [
    ['an odd number of words', ['capa'], 'ERR syntax error'],
    ['an unknown option', ['version', '7'], 'ERR Unrecognized REPLCONF option: version'],
    ['a port that is no number', ['listening-port', 'x'], 'ERR value is not an integer or out of range'],
    [
      'an address that is too long',
      ['ip-address', 'h'.repeat(256)],
      'ERR REPLCONF ip-address provided by replica instance is too long: 256 bytes',
    ],
    ['a filter that does not exist', ['rdb-filter-only', 'keys'], 'ERR Unsupported rdb-filter-only option: keys'],
    ['rdb-only out of range', ['rdb-only', '2'], 'ERR value is out of range, value must between 0 and 1'],
  ] as const) {
    test(name, () => expect(read(...args).answer).toEqual({ kind: 'error', error: expected }))
  }

  test('acknowledgements are not answered', () => {
    expect(read('ACK', '12345').answer).toEqual({ kind: 'ack', offset: 12345 })
    expect(read('ACK', 'nonsense').answer).toEqual({ kind: 'ack', offset: undefined })
    expect(read('GETACK', '*').answer).toEqual({ kind: 'getack' })
  })

  test('what a snapshot shall contain', () => {
    expect(read('rdb-filter-only', '').profile.filter).toBe('nothing')
    expect(read('rdb-filter-only', 'functions').profile.filter).toBe('functions')
    expect(read('rdb-only', '1').profile.snapshotOnly).toBe(true)
  })
})
