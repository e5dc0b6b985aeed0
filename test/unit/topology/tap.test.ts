/**
 * When a tap is attached, where it begins, and what it does about every answer.
 */
import { expect, test } from 'vitest'
import { type InfoReply, parseInfo } from '../../../src/topology/facts.js'
import { beginTap, decideTap, type StreamStart, stepTap, type Tap, type TapRules } from '../../../src/topology/tap.js'

const A = 'a'.repeat(40)
const B = 'b'.repeat(40)

const replica = {
  role: 'slave',
  master_host: '10.0.0.1',
  master_port: '6379',
  master_link_status: 'up',
  master_sync_in_progress: '0',
  slave_repl_offset: '1000',
  master_replid: A,
  repl_backlog_active: '1',
  repl_backlog_histlen: '400',
}
const { slave_repl_offset: offset, ...shared } = replica
const master = { ...shared, role: 'master', master_repl_offset: offset }

function info(fields: Readonly<Record<string, string>>): InfoReply {
  return parseInfo(
    Object.entries(fields)
      .map(pair => pair.join(':'))
      .join('\r\n'),
  ) as InfoReply
}

for (const [name, fields, target, resume, expected] of [
  ['a replica, from where it is', replica, 'replica', undefined, { replid: A, offset: 1000 }],
  ['a master', master, 'master', undefined, { replid: A, offset: 1000 }],
  ['a master, when replicas are meant', master, 'replica', undefined, 'other-role'],
  ['a replica, when the master is meant', replica, 'master', undefined, 'other-role'],
  ['a replica whose link is down', { ...replica, master_link_status: 'down' }, 'replica', undefined, 'link-down'],
  ['a replica that is being filled', { ...replica, master_sync_in_progress: '1' }, 'replica', undefined, 'link-down'],
  ['no backlog', { ...master, repl_backlog_active: '0' }, 'master', undefined, 'no-backlog'],
  [
    'a master that counts its replicas',
    { ...master, min_slaves_good_slaves: '1' },
    'master',
    undefined,
    'min-replicas',
  ],
  [
    'a replica that would',
    { ...replica, min_slaves_good_slaves: '1' },
    'replica',
    undefined,
    { replid: A, offset: 1000 },
  ],
  ['one that ends', { ...replica, shutdown_in_milliseconds: '9000' }, 'replica', undefined, 'shutting-down'],
  ['going on where it was', master, 'master', { replid: A, offset: 700 }, { replid: A, offset: 700 }],
  ['at the first byte of the backlog', master, 'master', { replid: A, offset: 600 }, { replid: A, offset: 600 }],
  ['not before the backlog', master, 'master', { replid: A, offset: 599 }, { replid: A, offset: 1000 }],
  ['not beyond what it has', master, 'master', { replid: A, offset: 1001 }, { replid: A, offset: 1000 }],
  ['not from another history', master, 'master', { replid: B, offset: 700 }, { replid: A, offset: 1000 }],
] as const) {
  test(`to tap: ${name}`, () => {
    expect(decideTap(info(fields), { target, resume })).toEqual(expected)
  })
}

const start: StreamStart = { replid: A, offset: 1000 }
const rules: TapRules = { target: 'replica', resume: undefined }
const attaching: Tap = { status: 'attaching', start, since: 0, failures: 0 }
const streaming: Tap = { status: 'streaming', start, saidAliveAt: 0 }

for (const [line, expected] of [
  ['+CONTINUE', { status: 'streaming', start }],
  [`+CONTINUE ${B}`, { status: 'streaming', start: { replid: B, offset: 1000 } }],
  ['', { status: 'attaching' }],
  [`+FULLRESYNC ${A} 1000`, { status: 'resting', because: 'full-resync', until: 60_005 }],
  [
    "-NOMASTERLINK Can't SYNC while not connected with my master",
    { status: 'resting', because: 'not-now', until: 105 },
  ],
  ["-NOPERM this user has no permissions to run the 'psync' command", { status: 'resting', because: 'refused' }],
  ["-ERR unknown command 'PSYNC'", { status: 'resting', because: 'refused' }],
] as const) {
  test(`the answer to PSYNC: ${line || 'an empty line'}`, () => {
    const { tap, effects } = stepTap(attaching, { type: 'answer', line }, rules, 5)
    expect(tap).toMatchObject(expected)
    expect(effects.some(effect => effect.do === 'close')).toBe(expected.status === 'resting')
  })
}

test('the way to a stream, and what is sent on it', () => {
  const sent: string[] = []
  let tap = beginTap(0)
  const handle = (event: Parameters<typeof stepTap>[1], now: number): void => {
    const step = stepTap(tap, event, rules, now)
    tap = step.tap
    sent.push(...step.effects.map(effect => effect.do))
  }
  handle({ type: 'tick' }, 0)
  handle({ type: 'prepared' }, 1)
  handle({ type: 'info', info: info(replica) }, 2)
  handle({ type: 'answer', line: '+CONTINUE' }, 3)
  expect(sent).toEqual(['prepare', 'ask', 'psync', 'say-alive'])
  sent.length = 0
  for (let now = 250; now <= 1250; now += 250) handle({ type: 'tick' }, now)
  expect(sent).toEqual(['ask', 'ask', 'ask', 'ask', 'ask', 'say-alive'])
})

test('a master that does not go on at once would send a snapshot: it is left in time', () => {
  expect(stepTap(attaching, { type: 'tick' }, rules, 1000).tap.status).toBe('attaching')
  expect(stepTap(attaching, { type: 'tick' }, rules, 1001).tap).toMatchObject({ because: 'no-answer' })
})

for (const [name, fields, expected] of [
  ['goes on telling while its link is down', { ...replica, master_link_status: 'down' }, 'streaming'],
  ['is left when it wants to end', { ...replica, shutdown_in_milliseconds: '1' }, 'resting'],
  ['is left when it was promoted', master, 'resting'],
] as const) {
  test(`a replica that streams ${name}`, () => {
    expect(stepTap(streaming, { type: 'info', info: info(fields) }, rules, 10).tap.status).toBe(expected)
  })
}

test('what fails again and again is tried more and more seldom; a stream that stood is tried at once', () => {
  const pauses: number[] = []
  let tap: Tap = streaming
  for (let now = 0; pauses.length < 9; ) {
    tap = stepTap(tap, { type: 'closed' }, rules, now).tap
    if (tap.status !== 'resting') throw new Error(tap.status)
    pauses.push(tap.until - now)
    now = tap.until
    tap = stepTap(tap, { type: 'tick' }, rules, now).tap
  }
  expect(pauses).toEqual([50, 100, 200, 400, 800, 1600, 3200, 5000, 5000])
})
