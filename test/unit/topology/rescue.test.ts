import { describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encoder.js'
import type { InfoReply } from '../../../src/topology/facts.js'
import { parseInfo } from '../../../src/topology/facts.js'
import { planRescue } from '../../../src/topology/rescue.js'
import { WriteReader } from '../../../src/topology/written.js'

const A = 'a'.repeat(40)
const B = 'b'.repeat(40)
const C = 'c'.repeat(40)
/** Promoted with byte 500 as the first of its own. */
const lineage = { replid: B, replid2: A, secondOffset: 500 }

describe('what to take from an old master', () => {
  for (const [name, old, expected] of [
    ['it wrote past the fork', { replid: A, offset: 520 }, { take: 'stream', replid: A, from: 500, until: 521 }],
    ['it has nothing more', { replid: A, offset: 499 }, { take: 'nothing', because: 'no-divergence' }],
    [
      'its backlog begins later',
      { replid: A, offset: 520, history: 20 },
      { take: 'snapshot', because: 'backlog-too-short' },
    ],
    ['it has no backlog', { replid: A, offset: 520, active: 0 }, { take: 'snapshot', because: 'no-backlog' }],
    [
      'restarted before the fork',
      { replid: C, replid2: A, second: 480, offset: 490 },
      { take: 'stream', replid: C, from: 480, until: 491 },
    ],
    [
      'restarted past the fork',
      { replid: C, replid2: A, second: 510, offset: 530 },
      { take: 'snapshot', because: 'restarted' },
    ],
    [
      'restarted, and quiet',
      { replid: C, replid2: A, second: 480, offset: 479 },
      { take: 'nothing', because: 'no-divergence' },
    ],
    ['nobody knows its history', { replid: C, offset: 530 }, { take: 'snapshot', because: 'other-history' }],
    ['it is empty', { replid: C, offset: 0, keys: 0 }, { take: 'nothing', because: 'no-data' }],
    ['it is a replica by now', { replid: A, offset: 520, role: 'slave' }, { take: 'nothing', because: 'not-a-master' }],
  ] as const) {
    test(name, () => expect(planRescue(info(old), lineage)).toMatchObject(expected))
  }
})

test('a stream is read as writes: databases, transactions, keys; life signs are none', () => {
  const reader = new WriteReader(2)
  const stream = [
    ['SET', 'a', '1'],
    ['PING'],
    ['SELECT', '5'],
    ['MULTI'],
    ['DEL', 'x', 'y'],
    ['LPUSH', 'l', '1'],
    ['EXEC'],
    ['REPLCONF', 'GETACK', '*'],
    ['FLUSHALL'],
  ]
  const bytes = Buffer.concat(stream.map(command => encodeCommand(command)))
  // However it is cut.
  const writes = [...bytes].flatMap(byte => reader.feed(Buffer.from([byte])))
  expect(writes.map(({ db, keys, commands }) => [db, keys, commands.length])).toEqual([
    [2, ['a'], 1],
    [5, ['x', 'y', 'l'], 2],
    [5, undefined, 1],
  ])
  expect(reader.consumed).toBe(bytes.length)
})

function info(old: {
  readonly replid: string
  readonly replid2?: string
  readonly second?: number
  readonly offset: number
  readonly history?: number
  readonly active?: number
  readonly keys?: number
  readonly role?: string
}): InfoReply {
  const { replid, replid2 = '0'.repeat(40), second = -1, offset, history = 400, active = 1, keys = 3 } = old
  return parseInfo(
    [
      `role:${old.role ?? 'master'}`,
      `master_replid:${replid}`,
      `master_replid2:${replid2}`,
      `second_repl_offset:${second}`,
      `master_repl_offset:${offset}`,
      `repl_backlog_active:${active}`,
      `repl_backlog_histlen:${history}`,
      '# Keyspace',
      ...(keys === 0 ? [] : [`db0:keys=${keys},expires=0`]),
    ].join('\r\n'),
  ) as InfoReply
}
