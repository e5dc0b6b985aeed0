/** Who may be promoted without breaking what was promised to confirmed writes: R + W > N. */
import { expect, test } from 'vitest'
import { callRoll, emptyRoll, honours, type Roll, unreadOf } from '../../../src/topology/promises.js'
import { A, B, C, group, instance, link, master, NOW, replica, seen } from './fixtures.js'

const SINCE = NOW - 20
const read = { infoAt: NOW - 5 }
const unread = { infoAt: NOW - 500 }
const gone = { master: link(false) }

for (const [name, acks, given, absent, expected] of [
  ['everybody was read', 1, [replica(2, read), replica(3, read)], [], true],
  ['the only other one was not', 1, [replica(2, read), replica(3, unread)], [], false],
  ['two confirm, one was not read', 2, [replica(2, read), replica(3, unread)], [], true],
  ['two confirm, two were not read', 2, [replica(2, read), replica(3, unread), replica(4, unread)], [], false],
  ['nothing was promised', undefined, [replica(2, read), replica(3, unread)], [], true],
  ['one that was read has more', 1, [replica(2, read), replica(3, { ...read, offset: 1001 })], [], false],
  ['one that was read has less', 1, [replica(2, read), replica(3, { ...read, offset: 10 })], [], true],
  ['it died when the stream was shorter', 1, [replica(2, read), replica(3, unread)], [['h:3', 900]], true],
  ['it died, and was heard again since', 1, [replica(2, read), replica(3, unread)], [['h:3', 900, NOW - 50]], false],
  ['it died when the stream was longer', 1, [replica(2, read), replica(3, unread)], [['h:3', 1100]], false],
  ['it died, and nobody saw the stream since', 1, [replica(2, read), replica(3, unread)], [['h:3', undefined]], false],
  [
    'it died, and came back with a history that nobody can place',
    1,
    [replica(2, read), master(3, { ...read, replid: C })],
    [['h:3', undefined]],
    false,
  ],
  [
    'it died when the stream was shorter, and came back so',
    1,
    [replica(2, read), master(3, { ...read, replid: C })],
    [['h:3', 900]],
    true,
  ],
  [
    'one was read as what it was before it came back',
    1,
    [replica(2, read), replica(3, { ...read, roleSince: NOW - 1 })],
    [],
    false,
  ],
  ['a stranger confirms nothing', 1, [replica(2, read), replica(3, { ...unread, replid: C })], [], true],
  ['one that never had data neither', 1, [replica(2, read), instance(3, { ...unread, offset: undefined })], [], true],
  [
    'one of the history before might have followed since',
    1,
    [replica(2, read), replica(3, { ...unread, replid: B })],
    [],
    false,
  ],
  [
    'one of the history before, read',
    1,
    [replica(2, read), replica(3, { ...read, replid: B, offset: 2000 })],
    [],
    true,
  ],
  [
    'one came back as a master, with more',
    1,
    [replica(2, read), master(3, { ...read, replid: C, replid2: A, secondOffset: 1002 })],
    [],
    false,
  ],
  [
    'one came back as a master, with as much',
    1,
    [replica(2, read), master(3, { ...read, replid: C, replid2: A, secondOffset: 1001 })],
    [],
    true,
  ],
] as const) {
  test(`${name}: ${expected ? 'promoted' : 'waits'}`, () => {
    const [candidate] = given
    const facts = group(master(1, { ...seen.dead, ...gone }), ...given)
    const missed = absent.map(([id, offset, since = NOW]) => [id, { since, offset }] as const)
    const roll: Roll = { masterEpoch: 3, kin: new Set(absent.map(([id]) => id)), absent: new Map(missed) }
    const missing = unreadOf(facts, candidate, roll, SINCE)
    expect(honours({ replicas: acks, witness: false }, missing)).toBe(expected)
  })
}

test('a dead replica is no danger once the stream was seen longer than when it died; a silent one stays one', () => {
  const dead = replica(3, seen.dead)
  const before = group(master(1, { offset: 1000, offsetAt: NOW - 10 }), replica(2), dead, replica(4, seen.silent))
  const found = callRoll(emptyRoll, before)
  expect(offsets(found)).toEqual([['h:3', undefined]])
  const later = group(master(1, { offset: 1200, offsetAt: NOW - 1 }), replica(2), dead)
  const known = callRoll(found, later)
  expect(offsets(known)).toEqual([['h:3', 1200]])
  // The first sight after its death is the one that counts, also when the master is gone.
  const over = group(master(1, { ...seen.dead, offset: 1500, offsetAt: NOW }), replica(2), dead)
  expect(offsets(callRoll(known, over))).toEqual([['h:3', 1200]])
  expect(offsets(callRoll(known, group(master(1), replica(2), replica(3))))).toEqual([])
})

test('one that follows a master where we cannot reach it may have all that it had as our kin', () => {
  const alive = group(master(1), replica(2), replica(3))
  const roll = callRoll(emptyRoll, alive)
  const old = master(1, { ...seen.dead, ...gone, offsetAt: NOW - 100 })
  const stranger = replica(3, { ...seen.silent, replid: C, master: link(true, { since: NOW - 50 }) })
  const after = group(old, replica(2, read), stranger)
  const known = callRoll(roll, after)
  expect(offsets(known)).toEqual([['h:3', undefined]])
  expect(unreadOf(after, replica(2, read), known, SINCE)).toEqual(['h:3'])
  // It is forgotten when there is a new master, which has what was confirmed before.
  const next = { ...after, masterEpoch: 4 }
  expect(unreadOf(next, replica(2, read), callRoll(known, next), SINCE)).toEqual([])
})

test('one that was seen as a stranger while the stream grew is no danger as long as it is seen as one', () => {
  const since = NOW - 300
  const stranger = replica(3, { ...read, replid: C, master: link(true, { since }) })
  const roll = callRoll(emptyRoll, group(master(1), replica(2), replica(3)))
  const known = callRoll(roll, group(master(1, { offset: 900, offsetAt: NOW - 200 }), replica(2, read), stranger))
  expect(offsets(known)).toEqual([['h:3', 900]])
  for (const [change, expected] of [
    [{}, []],
    [{ ...seen.dead, ...unread }, []],
    // It may have come back to the master meanwhile.
    [{ ...seen.silent, ...unread }, ['h:3']],
  ] as const) {
    const over = group(master(1, { ...seen.dead, ...gone }), replica(2, read), { ...stranger, ...change })
    expect(unreadOf(over, replica(2, read), known, SINCE)).toEqual(expected)
  }
})

function offsets({ absent }: Roll): readonly (readonly [string, number | undefined])[] {
  return [...absent].map(([id, { offset }]) => [id, offset])
}
