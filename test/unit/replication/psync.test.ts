import { describe, expect, test } from 'vitest'
import { History } from '../../../src/replication/history.js'
import { ReplicationLog } from '../../../src/replication/log.js'
import { admitSync, decidePsync, WaitingRoom } from '../../../src/replication/psync.js'

const A = 'a'.repeat(40)
const B = 'b'.repeat(40)
const C = 'c'.repeat(40)

describe('PSYNC', () => {
  /** Promoted at 500: B is ours, A was our master's. The backlog holds 400 … 899. */
  const history = { replid: B, replid2: A, secondOffset: 501, offset: 899 }
  const backlog = { firstOffset: 400, nextOffset: 900 }

  for (const [name, replid, offset, expected] of [
    ['up to date, waiting', B, 900, 'continue'],
    ['in the middle', B, 650, 'continue'],
    ['the oldest byte there is', B, 400, 'continue'],
    ['upper case', B.toUpperCase(), 650, 'continue'],
    ['one byte too old', B, 399, 'backlog-too-short'],
    ['one byte too new', B, 901, 'offset-ahead-of-master'],
    ['old master, before the promotion', A, 450, 'continue'],
    ['old master, at the promotion', A, 501, 'continue'],
    ['old master, past the promotion', A, 502, 'diverged-after-promotion'],
    ['old master, too old', A, 10, 'backlog-too-short'],
    ['a history we never saw', C, 650, 'unknown-history'],
    ['everything, please', '?', -1, 'requested'],
  ] as const) {
    test(name, () => {
      const decision = decidePsync({ replid, offset }, history, backlog)
      expect(decision.kind === 'continue' ? decision.kind : decision.reason).toBe(expected)
      if (decision.kind === 'continue') expect(decision).toEqual({ kind: 'continue', replid: B, from: offset })
    })
  }

  test('without a backlog there is nothing to continue from', () => {
    expect(decidePsync({ replid: B, offset: 900 }, history, undefined)).toEqual({
      kind: 'fullresync',
      reason: 'no-backlog',
    })
  })

  test('a master that was never promoted has no second history', () => {
    const fresh = new History(B)
    expect(decidePsync({ replid: '0'.repeat(40), offset: 1 }, fresh, { firstOffset: 1, nextOffset: 1 })).toEqual({
      kind: 'fullresync',
      reason: 'unknown-history',
    })
  })
})

describe('who has to wait for us', () => {
  const history = { replid: B, replid2: A, secondOffset: 501, offset: 899 }
  const backlog = { firstOffset: 400, nextOffset: 900 }
  const waits = (
    room: WaitingRoom,
    replid: string,
    offset: number,
    now = 0,
    role: 'master' | 'connected' = 'connected',
  ) => room.mustWait({ replid, offset }, decidePsync({ replid, offset }, history, backlog), role, backlog, now)

  for (const [name, replid, offset, role, expected] of [
    ['ahead of a replica', B, 901, 'connected', true],
    ['ahead of a master', B, 901, 'master', false],
    ['continues', B, 900, 'connected', false],
    ['a history that a replica may yet hear of', C, 650, 'connected', true],
    ['a history that a master does not know', C, 650, 'master', false],
    ['never had a byte', C, 1, 'connected', false],
    ['too far behind for our backlog', C, 399, 'connected', false],
    ['past the promotion', A, 502, 'connected', false],
  ] as const)
    test(name, () => expect(waits(new WaitingRoom(), replid, offset, 0, role)).toBe(expected))

  test('a history that nobody tells us of is a stranger after a while', () => {
    const room = new WaitingRoom()
    expect([0, 1000, 2999, 3000, 4000].map(now => waits(room, C, 650, now))).toEqual([true, true, true, false, false])
  })
})

describe('who may sync from us', () => {
  const caller = { hasPendingOutput: false, wantsFilteredSnapshot: false, understandsEof: true }
  const master = { role: 'master', failingOver: false, replid: B } as const
  const plain = { replid: A, failover: false }
  const takeover = { replid: B, failover: true }

  for (const [name, request, facts, from, expected] of [
    ['a replica of a master', plain, master, caller, 'admit'],
    ['an old replica', 'sync', master, caller, 'admit'],
    ['a replica of a connected replica', plain, { ...master, role: 'connected' }, caller, 'admit'],
    ['a replica of a cut-off replica', plain, { ...master, role: 'broken' }, caller, 'link-down'],
    ['during a failover', plain, { ...master, failingOver: true }, caller, 'failing-over'],
    ['with a reply on its way', plain, master, { ...caller, hasPendingOutput: true }, 'pending-output'],
    [
      'a filter without EOF',
      'sync',
      master,
      { ...caller, wantsFilteredSnapshot: true, understandsEof: false },
      'filter-without-eof',
    ],
    ['a takeover of a replica', takeover, { ...master, role: 'connected' }, caller, 'promote-then-admit'],
    ['a takeover of a cut-off replica', takeover, { ...master, role: 'broken' }, caller, 'promote-then-admit'],
    ['a takeover of a master', takeover, master, caller, 'failover-to-master'],
    [
      'a takeover of another history',
      { ...takeover, replid: A },
      { ...master, role: 'connected' },
      caller,
      'failover-of-other-history',
    ],
  ] as const) {
    test(name, () => {
      const admission = admitSync(request, facts, from)
      expect(admission.kind === 'refuse' ? admission.reason : admission.kind).toBe(expected)
    })
  }
})

describe('histories', () => {
  test('a promotion keeps the old name up to where the two part', () => {
    const history = new History(A)
    history.advance(500)
    history.promote(B)
    history.advance(10)
    expect([history.replid, history.replid2, history.secondOffset, history.offset]).toEqual([B, A, 501, 510])
    expect(history.cursor).toEqual({ replid: B, offset: 511 })
  })

  test('the master changes its name', () => {
    const history = new History(A, 100)
    history.switchTo(A)
    expect(history.replid2).toBeUndefined()
    history.switchTo(B)
    expect([history.replid, history.replid2, history.secondOffset]).toEqual([B, A, 101])
  })

  test('a full resync forgets', () => {
    const history = new History(A, 100)
    history.promote(B)
    history.adopt(C, 7)
    expect([history.replid, history.replid2, history.secondOffset, history.offset]).toEqual([C, undefined, -1, 7])
  })

  test('an id that is none is our mistake', () => {
    expect(() => new History('short')).toThrow('replication id')
  })
})

describe('the log', () => {
  test('stands still without a backlog, and takes a new name with one', () => {
    const log = new ReplicationLog(A, 1000)
    log.append(Buffer.from('lost'))
    expect(log.offset).toBe(0)
    log.open(B)
    log.append(Buffer.from('kept'))
    expect([log.history.replid, log.offset, log.backlog?.firstOffset, log.backlog?.nextOffset]).toEqual([B, 4, 1, 5])
    expect(log.open(C)).toBe(log.backlog)
    expect(log.history.replid).toBe(B)
    log.close(C)
    log.append(Buffer.from('lost'))
    expect([log.history.replid, log.offset, log.backlog]).toEqual([C, 4, undefined])
  })

  test('a restarted master lets those follow who have no more than its snapshot', () => {
    const log = new ReplicationLog(C, 1000)
    log.restore({ replid: A, offset: 500 }, 'master', B)
    const { history, backlog } = log
    expect(decidePsync({ replid: A, offset: 501 }, history, backlog).kind).toBe('continue')
    expect(decidePsync({ replid: A, offset: 502 }, history, backlog)).toMatchObject({
      reason: 'diverged-after-promotion',
    })
    expect(decidePsync({ replid: A, offset: 500 }, history, backlog)).toMatchObject({ reason: 'backlog-too-short' })
  })

  test('a restarted replica asks for what follows its snapshot', () => {
    const log = new ReplicationLog(C, 1000)
    log.restore({ replid: A, offset: 500 }, 'replica', B)
    expect(log.history.cursor).toEqual({ replid: A, offset: 501 })
  })

  test('a full resync begins the log anew', () => {
    const log = new ReplicationLog(C, 1000)
    log.keep()
    log.append(Buffer.alloc(50))
    log.restart({ replid: A, offset: 301 })
    log.append(Buffer.alloc(3))
    expect([log.offset, log.backlog?.firstOffset, log.backlog?.nextOffset]).toEqual([303, 301, 304])
  })
})
