import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Decoder, decodeFrame, splitWords } from '../../../src/resp/decoder.js'
import { Encoder } from '../../../src/resp/encoder.js'
import {
  type Frame,
  ProtocolError,
  replyLimits,
  requestLimits,
  unauthenticatedLimits,
} from '../../../src/resp/protocol.js'

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

/** Every way in which the tests cut a stream into chunks. */
function* cuts(stream: Buffer): Generator<Buffer[]> {
  yield [stream]
  yield [...stream].map(byte => Buffer.of(byte))
  for (let at = 1; at < stream.length; at++) yield [stream.subarray(0, at), stream.subarray(at)]
}

/** Feeds through one shared buffer that is overwritten after each chunk, as a socket does. */
function* fed(decoder: Decoder, chunks: readonly Buffer[]): Generator<void> {
  const shared = Buffer.alloc(Math.max(...chunks.map(chunk => chunk.length)))
  for (const chunk of chunks) {
    chunk.copy(shared)
    decoder.feed(shared.subarray(0, chunk.length))
    yield
    decoder.release()
    shared.fill(0x21)
  }
}

function requests(chunks: readonly Buffer[], limits = requestLimits): { args: string[]; raw: string }[] {
  const decoder = new Decoder({ ...limits })
  const found: { args: string[]; raw: string }[] = []
  for (const _ of fed(decoder, chunks)) {
    while (decoder.nextRequest()) {
      found.push({ args: decoder.args(), raw: decoder.buffer.toString('latin1', decoder.start, decoder.end) })
    }
  }
  return found
}

function frames(chunks: readonly Buffer[]): { frames: Frame[]; raw: string; consumed: number; pending: number } {
  const decoder = new Decoder({ ...replyLimits })
  const found: Frame[] = []
  let raw = ''
  for (const _ of fed(decoder, chunks)) {
    while (decoder.nextFrame()) {
      found.push(decoder.value())
      raw += decoder.buffer.toString('latin1', decoder.start, decoder.end)
    }
  }
  return { frames: found, raw, consumed: decoder.consumed, pending: decoder.pending }
}

describe('requests', () => {
  for (const [name, stream, expected] of [
    ['an array of bulks', '*2\r\n$3\r\nGET\r\n$1\r\nk\r\n', [['GET', 'k']]],
    ['several in one chunk', '*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n', [['PING'], ['QUIT']]],
    [
      'empty and binary arguments',
      '*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\n\r\n\x00\xff\r\n',
      [['SET', '', '\r\n\x00\xff']],
    ],
    ['an inline command', 'SET  a "b c"\r\n', [['SET', 'a', 'b c']]],
    ['inline with escapes and a bare LF', "ECHO \"\\x41\\n\" 'it\\'s'\n", [['ECHO', 'A\n', "it's"]]],
    [
      'empty lines, empty and null arrays between',
      '\r\n*0\r\n\n*-1\r\nPING\r\n*1\r\n$4\r\nPING\r\n',
      [['PING'], ['PING']],
    ],
  ] as const) {
    test(`${name}, whole, one byte at a time, and cut everywhere`, () => {
      for (const chunks of cuts(bytes(stream))) expect(requests(chunks).map(request => request.args)).toEqual(expected)
    })
  }

  test('raw is what arrived, and canonical for inline commands', () => {
    const stream = bytes('*2\r\n$3\r\nGET\r\n$1\r\nk\r\nGET k\r\n')
    for (const chunks of cuts(stream)) {
      expect(requests(chunks).map(request => request.raw)).toEqual(Array(2).fill('*2\r\n$3\r\nGET\r\n$1\r\nk\r\n'))
    }
  })

  test('consumed counts every byte, empty requests too', () => {
    const stream = bytes('\r\n*1\r\n$4\r\nPING\r\n*0\r\nPING\r\n')
    const decoder = new Decoder({ ...requestLimits })
    decoder.feed(stream)
    while (decoder.nextRequest()) decoder.args()
    expect(decoder.consumed).toBe(stream.length)
  })

  for (const [stream, message] of [
    ['*a\r\n', 'invalid multibulk length'],
    ['*1048577\r\n', 'invalid multibulk length'],
    ['*1\r\n+OK\r\n', "expected '$', got '+'"],
    ['*1\r\n$-1\r\n', 'invalid bulk length'],
    ['*1\r\n$536870913\r\n', 'invalid bulk length'],
    ['*1\r\n$1x\r\n', 'invalid bulk length'],
    ['*99999999999999999999999\r\n', 'invalid multibulk length'],
    ['SET "a\r\n', 'unbalanced quotes in request'],
    ['SET "a"b\r\n', 'unbalanced quotes in request'],
    ['x'.repeat(70_000), 'too big inline request'],
  ] as const) {
    test(`refused: ${JSON.stringify(stream.slice(0, 30))}`, () => {
      expect(() => requests([bytes(stream)])).toThrow(new ProtocolError(message))
    })
  }

  test('before authentication ten arguments of 16 KiB are the limit', () => {
    expect(() => requests([bytes('*11\r\n')], unauthenticatedLimits)).toThrow('unauthenticated multibulk length')
    expect(() => requests([bytes('*1\r\n$16385\r\n')], unauthenticatedLimits)).toThrow('unauthenticated bulk length')
    expect(requests([bytes('*1\r\n$4\r\nAUTH\r\n')], unauthenticatedLimits)).toHaveLength(1)
  })

  test('a declared size allocates nothing', () => {
    const before = process.memoryUsage().rss
    const decoders = Array.from({ length: 1000 }, () => new Decoder({ ...requestLimits }))
    for (const decoder of decoders) {
      decoder.feed(bytes('*1000000\r\n$536870912\r\n'))
      expect(decoder.nextRequest()).toBe(false)
      decoder.release()
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024)
  })
})

describe('frames', () => {
  const samples: readonly (readonly [string, Frame])[] = [
    ['+OK\r\n', { type: 'simple', value: 'OK' }],
    ['-ERR no\r\n', { type: 'error', value: 'ERR no' }],
    [':-42\r\n', { type: 'integer', value: -42 }],
    [':9223372036854775807\r\n', { type: 'integer', value: 9223372036854775807n }],
    ['$5\r\nhe\r\no\r\n', { type: 'bulk', value: 'he\r\no' }],
    ['$0\r\n\r\n', { type: 'bulk', value: '' }],
    ['$-1\r\n', { type: 'null' }],
    ['*-1\r\n', { type: 'null' }],
    ['_\r\n', { type: 'null' }],
    ['*0\r\n', { type: 'array', items: [] }],
    [
      '*2\r\n:1\r\n*1\r\n$1\r\na\r\n',
      {
        type: 'array',
        items: [
          { type: 'integer', value: 1 },
          { type: 'array', items: [{ type: 'bulk', value: 'a' }] },
        ],
      },
    ],
    [
      '%1\r\n+a\r\n:1\r\n',
      {
        type: 'map',
        items: [
          { type: 'simple', value: 'a' },
          { type: 'integer', value: 1 },
        ],
      },
    ],
    ['~1\r\n#t\r\n', { type: 'set', items: [{ type: 'boolean', value: true }] }],
    ['>1\r\n+x\r\n', { type: 'push', items: [{ type: 'simple', value: 'x' }] }],
    [',1.5\r\n', { type: 'double', value: 1.5 }],
    [',-inf\r\n', { type: 'double', value: Number.NEGATIVE_INFINITY }],
    ['(123456789012345678901234567890\r\n', { type: 'bignum', value: 123456789012345678901234567890n }],
    ['=7\r\ntxt:abc\r\n', { type: 'verbatim', format: 'txt', value: 'abc' }],
    ['!5\r\nERR x\r\n', { type: 'error', value: 'ERR x' }],
    ['|1\r\n+ttl\r\n:9\r\n*1\r\n+a\r\n', { type: 'array', items: [{ type: 'simple', value: 'a' }] }],
    ['*1\r\n|1\r\n+k\r\n*1\r\n:1\r\n:7\r\n', { type: 'array', items: [{ type: 'integer', value: 7 }] }],
    [
      '*?\r\n:1\r\n*?\r\n.\r\n.\r\n',
      {
        type: 'array',
        items: [
          { type: 'integer', value: 1 },
          { type: 'array', items: [] },
        ],
      },
    ],
  ]
  for (const [stream, expected] of samples) {
    test(`${JSON.stringify(stream)}, whole, one byte at a time, and cut everywhere`, () => {
      for (const chunks of cuts(bytes(`${stream}${stream}`))) {
        const found = frames(chunks)
        expect(found.frames).toEqual([expected, expected])
        expect(found.raw).toBe(`${stream}${stream}`)
        expect(found.consumed).toBe(stream.length * 2)
      }
    })
  }

  test('50,000 levels of nesting are an error, not a stack overflow', () => {
    expect(() => frames([bytes('*1\r\n'.repeat(50_000))])).toThrow(new ProtocolError('nested too deep'))
    const decoder = new Decoder({ ...replyLimits, depth: 100_000 })
    const deep = bytes('*1\r\n'.repeat(50_000) + ':1\r\n')
    decoder.feed(deep)
    expect(decoder.nextFrame()).toBe(true)
    let frame = decoder.value()
    let depth = 0
    while (frame.type === 'array') {
      frame = frame.items[0] as Frame
      depth++
    }
    expect(depth).toBe(50_000)
  })

  for (const stream of [
    '?\r\n',
    '$x\r\n',
    '*-2\r\n',
    '$-2\r\n',
    '+a\rb\r\n',
    '.\r\n',
    '$536870913\r\n',
    'HTTP/1.1 200\r\n',
  ]) {
    test(`refused: ${JSON.stringify(stream)}`, () => {
      expect(() => frames([bytes(stream)])).toThrow(ProtocolError)
    })
  }

  test('a large reply can be handed out in parts that add up to it', () => {
    const stream = bytes(`*3\r\n$10000\r\n${'x'.repeat(10_000)}\r\n:1\r\n*1\r\n+end\r\n`)
    for (const size of [1, 7, 100, 4096, stream.length]) {
      const decoder = new Decoder({ ...replyLimits })
      const chunks: Buffer[] = []
      for (let at = 0; at < stream.length; at += size) chunks.push(stream.subarray(at, at + size))
      let raw = ''
      let wholes = 0
      for (const _ of fed(decoder, chunks)) {
        for (let part = decoder.nextPart(); part !== undefined; part = decoder.nextPart()) {
          raw += decoder.buffer.toString('latin1', decoder.start, decoder.end)
          if (part === 'whole') wholes++
        }
      }
      expect(raw).toBe(stream.toString('latin1'))
      expect(wholes).toBe(1)
    }
  })

  test('lines and payload of a snapshot', () => {
    const stream = bytes('+FULLRESYNC x 1\r\n\n\n$7\r\nREDIS\r\n*1\r\n$4\r\nPING\r\n')
    for (const chunks of cuts(stream)) {
      const decoder = new Decoder({ ...requestLimits })
      const seen: string[] = []
      let payload = ''
      for (const _ of fed(decoder, chunks)) {
        if (seen.length === 0 && decoder.nextFrame()) seen.push('fullresync')
        while (seen.length > 0 && seen.at(-1)?.startsWith('$') !== true) {
          const line = decoder.nextLine()
          if (line === undefined) break
          seen.push(line)
        }
        if (seen.at(-1)?.startsWith('$')) {
          const part = decoder.take(7 - payload.length)
          if (part !== undefined) payload += part.toString('latin1')
          if (payload.length === 7 && decoder.nextRequest()) seen.push(decoder.arg(0))
        }
      }
      expect(seen.filter(line => line !== '')).toEqual(['fullresync', '$7', 'PING'])
      expect(payload).toBe('REDIS\r\n')
      expect(decoder.consumed).toBe(stream.length)
    }
  })

  test('whatever the encoder writes, the decoder reads back, however it is cut', () => {
    const scalar: fc.Arbitrary<Frame> = fc.oneof(
      fc.string({ unit: 'binary-ascii' }).map(value => ({ type: 'bulk', value }) as Frame),
      fc.maxSafeInteger().map(value => ({ type: 'integer', value }) as Frame),
      fc.double().map(value => ({ type: 'double', value: value === 0 ? 0 : value }) as Frame),
      fc.boolean().map(value => ({ type: 'boolean', value }) as Frame),
      fc.constant({ type: 'null' } as Frame),
    )
    const { tree } = fc.letrec<{ tree: Frame }>(tie => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        scalar,
        fc.array(tie('tree'), { maxLength: 4 }).map(items => ({ type: 'array', items }) as Frame),
      ),
    }))
    fc.assert(
      fc.property(
        fc.array(tree, { minLength: 1, maxLength: 5 }),
        fc.array(fc.nat(40), { minLength: 1, maxLength: 20 }),
        (list, sizes) => {
          const encoder = new Encoder(3)
          for (const frame of list) write(encoder, frame)
          const stream = encoder.take()
          const chunks: Buffer[] = []
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const size = (sizes[turn % sizes.length] as number) + 1
            chunks.push(stream.subarray(at, at + size))
            at += size
          }
          expect(frames(chunks).frames).toEqual(list)
        },
      ),
      { numRuns: 300 },
    )
  })
})

function write(encoder: Encoder, frame: Frame): void {
  switch (frame.type) {
    case 'bulk':
      return encoder.bulk(frame.value)
    case 'integer':
      return encoder.integer(frame.value)
    case 'double':
      return encoder.double(frame.value)
    case 'boolean':
      return encoder.boolean(frame.value)
    case 'null':
      return encoder.null()
    case 'array': {
      encoder.array(frame.items.length)
      for (const item of frame.items) write(encoder, item)
      return
    }
    default:
      throw new Error(frame.type)
  }
}

describe('the encoder', () => {
  for (const [value, expected] of [
    [0, '0'],
    [3, '3'],
    [1.5, '1.5'],
    [0.1, '0.10000000000000001'],
    [1e17, '1e+17'],
    [-2.5e-7, '-2.4999999999999999e-07'],
    [Number.POSITIVE_INFINITY, 'inf'],
    [Number.NaN, 'nan'],
    [12345678901234567000, '1.2345678901234567e+19'],
  ] as const) {
    test(`a double as Redis spells it: ${expected}`, () => {
      const encoder = new Encoder(3)
      encoder.double(value)
      expect(encoder.view().toString('latin1')).toBe(`,${expected}\r\n`)
    })
  }

  test('no status or error can forge a second frame', () => {
    const encoder = new Encoder()
    encoder.simple('a\r\n+b')
    encoder.error('ERR a\n-b')
    expect(encoder.view().toString('latin1')).toBe('+a  +b\r\n-ERR a -b\r\n')
  })

  test('headers of every length', () => {
    for (const value of [0, 9, 10, 99, 100, 12345, 999_999, 1_000_000, 2_147_483_646, 2_147_483_647, 2 ** 40]) {
      const encoder = new Encoder()
      encoder.integer(value)
      encoder.integer(-value)
      expect(encoder.view().toString('latin1')).toBe(`:${value}\r\n:${value === 0 ? 0 : -value}\r\n`)
    }
  })
})

test('splitWords follows sdssplitargs', () => {
  expect(splitWords(' a  b ')).toEqual(['a', 'b'])
  expect(splitWords('""')).toEqual([''])
  expect(splitWords('"\\x00\\q"')).toEqual(['\x00q'])
  expect(splitWords("'a\\nb'")).toEqual(['a\\nb'])
  expect(splitWords('"a')).toBeUndefined()
})

test('decodeFrame reads a frame in the middle of a buffer', () => {
  expect(decodeFrame(bytes('xx+OK\r\n'), 2, 7)).toEqual({ type: 'simple', value: 'OK' })
})
