/** Whatever events arrive in whatever order: what both machines promise of themselves. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  beginFailover,
  type FailoverEffect,
  type FailoverEvent,
  failoverDefaults,
  isOver,
  longestFailoverMs,
  stepFailover,
} from '../../../src/topology/failover.js'
import { antiFlapDefaults, calm, heldBackMs, type Promotion, recordFailover } from '../../../src/topology/operation.js'
import {
  beginSwitchover,
  longestMs,
  type SwitchEffect,
  type SwitchEvent,
  stepSwitchover,
  switchoverDefaults,
} from '../../../src/topology/switchover.js'

const promotion: Promotion = { lineage: { replid: 'x', replid2: 'a', secondOffset: 11 }, runId: 'r', offset: 10 }
const offset = fc.option(fc.nat(20), { nil: undefined })
const ms = fc.integer({ min: 0, max: 400 })

describe('a planned switch', () => {
  const orders = ['measure', 'hold', 'pause', 'demote', 'ask', 'promote', 'restore'] as const
  const event: fc.Arbitrary<SwitchEvent> = fc.oneof(
    fc.constant({ type: 'tick' } as const),
    fc.record({ type: fc.constant('measured' as const), offset }),
    fc.record({
      type: fc.constant('distance' as const),
      lagMs: fc.constantFrom(undefined, 0, 50, 5000),
      applied: offset,
    }),
    fc.record({ type: fc.constant('held' as const), drained: fc.constantFrom(true, true, true, false) }),
    fc.record({ type: fc.constant('paused' as const), offset }),
    fc.record({ type: fc.constant('demoted' as const), offset }),
    fc.record({
      type: fc.constant('answered' as const),
      role: fc.constantFrom('replica' as const, 'replica' as const, 'master' as const),
      offset,
    }),
    fc.constant({ type: 'promoted', promotion } as const),
    fc.constant({ type: 'restored', promotion } as const),
    fc.record({ type: fc.constant('linked' as const), id: fc.constantFrom('old', 's1', 's2') }),
    fc.record({
      type: fc.constant('failed' as const),
      order: fc.constantFrom(...orders),
      certain: fc.boolean(),
      reason: fc.constant('why'),
    }),
    fc.constant({ type: 'failed', order: 'promote', certain: false, reason: 'why' } as const),
    fc.record({ type: fc.constant('abort' as const), reason: fc.constant('why') }),
  )
  const plan = { from: 'old', to: 'new', siblings: ['s1', 's2'], epoch: 7 }
  const options = { ...switchoverDefaults, approachTimeoutMs: 300 }

  /** The answer that the machine waits for, so that runs get deep. */
  const expected = {
    approach: { type: 'distance', lagMs: 0, applied: 20 },
    hold: { type: 'held', drained: true },
    pause: { type: 'paused', offset: 10 },
    catch_up: { type: 'answered', role: 'replica', offset: 20 },
    demote: { type: 'demoted', offset: 12 },
    final_offset: { type: 'answered', role: 'replica', offset: 20 },
    send_slaveof_noone: { type: 'promoted', promotion },
    wait_promotion: { type: 'answered', role: 'master', offset: 20 },
    reconf_slaves: { type: 'linked', id: 'old' },
    rollback: { type: 'restored', promotion },
    done: { type: 'tick' },
  } as const satisfies Record<string, SwitchEvent>

  test('ends in time, takes back what it ordered, never promotes two in one epoch', () => {
    const reached = new Set<string>()
    const move = fc.record({ event, wait: ms, asExpected: fc.integer({ min: 0, max: 9 }) })
    fc.assert(
      fc.property(fc.array(move, { maxLength: 25 }), moves => {
        let now = 0
        let { switchover, effects } = beginSwitchover(plan, options, now)
        const all: SwitchEffect[] = [...effects]
        let heldAt: number | undefined
        const feed = (next: SwitchEvent): void => {
          ;({ switchover, effects } = stepSwitchover(switchover, next, options, now))
          all.push(...effects)
          reached.add(switchover.state.step)
          if (effects.some(effect => effect.do === 'hold')) heldAt = now
          if (effects.some(effect => effect.do === 'release') && heldAt !== undefined) {
            expect(now - heldAt).toBeLessThanOrEqual(longestMs(options))
          }
        }
        feed({ type: 'measured', offset: 9 })
        for (const each of moves) {
          const answer = each.asExpected > 2 ? expected[switchover.state.step] : each.event
          if (each.asExpected === 0) {
            // Ticks come every few milliseconds, so no deadline is overlooked for long.
            for (let until = now + each.wait; now < until; now += 10) feed({ type: 'tick' })
          }
          feed(answer)
        }
        const deadline = now + options.approachTimeoutMs + longestMs(options) + options.reconfTimeoutMs
        for (; now <= deadline; now += 10) feed({ type: 'tick' })
        expect(switchover.state.step).toBe('done')

        const count = (what: SwitchEffect['do']): number => all.filter(effect => effect.do === what).length
        expect(count('release')).toBe(count('hold'))
        expect(count('unpause')).toBe(count('pause'))
        expect(count('publish')).toBeLessThanOrEqual(1)
        const promoted = new Map<number, Set<string>>()
        for (const effect of all) {
          if (effect.do !== 'promote' && effect.do !== 'restore') continue
          promoted.set(effect.epoch, (promoted.get(effect.epoch) ?? new Set()).add(effect.id))
        }
        for (const ids of promoted.values()) expect(ids.size).toBe(1)
        // The old master is demoted before anybody is promoted, and pointed to whoever that is.
        const demotedAt = all.findIndex(effect => effect.do === 'demote')
        const promotedAt = all.findIndex(effect => effect.do === 'promote')
        if (promotedAt >= 0) expect(demotedAt).toBeGreaterThanOrEqual(0)
        if (promotedAt >= 0) expect(demotedAt).toBeLessThan(promotedAt)
        // A demotion that was ordered ends in one of three ways: a new master, the old one again, or nobody for now.
        if (demotedAt >= 0) expect(count('publish') + count('disown')).toBe(1)
        const { state } = switchover
        if (state.step === 'done' && state.result === 'ok') expect(count('demote')).toBe(1)
      }),
      { numRuns: 3000 },
    )
    expect([...reached].sort()).toEqual(Object.keys(expected).sort())
  })
})

describe('a failover', () => {
  const event: fc.Arbitrary<FailoverEvent> = fc.oneof(
    fc.constantFrom<FailoverEvent>({ type: 'tick' }, { type: 'elected' }, { type: 'master-back' }),
    fc.record({ type: fc.constant('answered' as const), id: fc.constantFrom('r1', 'r2', 'r3') }),
    fc.record({
      type: fc.constant('selected' as const),
      candidate: fc.constantFrom('r1', 'r2', undefined),
      siblings: fc.constant(['r3']),
      hungry: fc.constantFrom<string[]>([], ['r1', 'r3']),
    }),
    fc.record({ type: fc.constant('fed' as const), hungry: fc.constantFrom<string[]>([], ['r1'], ['r3']) }),
    fc.record({ type: fc.constant('replayed' as const), whole: fc.boolean() }),
    fc.record({
      type: fc.constant('promoted' as const),
      id: fc.constantFrom('r1', 'r2'),
      promotion: fc.constant(promotion),
    }),
    fc.record({
      type: fc.constant('promote-failed' as const),
      id: fc.constantFrom('r1', 'r2'),
      certain: fc.boolean(),
      reason: fc.constant('why'),
    }),
    fc.record({ type: fc.constant('pointed' as const), id: fc.constantFrom('r2', 'r3') }),
    fc.record({ type: fc.constant('abort' as const), reason: fc.constant('why') }),
  )

  test('ends in time, promotes one in one epoch, and gives the old master back when it promoted nobody', () => {
    const reached = new Set<string>()
    fc.assert(
      fc.property(
        fc.array(fc.record({ event, wait: ms }), { maxLength: 30 }),
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        (moves, mustFeed, mayReplay, goesWell) => {
          let now = 0
          let { failover, effects } = beginFailover(
            { from: 'old', replicas: ['r1', 'r2', 'r3'], epoch: 7, mustFeed, mayReplay },
            failoverDefaults,
            now,
          )
          const all: FailoverEffect[] = [...effects]
          let isWhole = true
          const feed = (next: FailoverEvent): void => {
            const { state } = failover
            ;({ failover, effects } = stepFailover(failover, next, failoverDefaults, now))
            if (state.step === 'feed_slaves' && failover.state.step !== 'feed_slaves')
              isWhole = next.type === 'fed' && next.hungry?.includes(state.candidate) !== true
            if (state.step === 'replay_client' && failover.state.step !== 'replay_client')
              isWhole = next.type === 'replayed' && next.whole
            all.push(...effects)
            reached.add(failover.state.step)
          }
          feed({ type: 'elected' })
          for (const each of moves) {
            now += each.wait / 10
            feed(each.event)
          }
          const deadline = now + longestFailoverMs(failoverDefaults)
          for (; now <= deadline; now += 10) {
            feed({ type: 'tick' })
            const { state } = failover
            if (state.step === 'select_slave')
              feed({ type: 'selected', candidate: 'r1', siblings: ['r3'], hungry: ['r1'] })
            // In half of the lives what is asked is answered as it mostly is, so that all steps are come to.
            if (!goesWell) continue
            if (state.step === 'feed_slaves') feed({ type: 'fed', hungry: [state.candidate] })
            if (state.step === 'send_slaveof_noone') feed({ type: 'promoted', id: state.candidate, promotion })
            if (state.step === 'replay_client') feed({ type: 'replayed', whole: true })
          }
          expect(isOver(failover)).toBe(true)
          const promoted = new Set(all.flatMap(effect => (effect.do === 'promote' ? [effect.id] : [])))
          expect(promoted.size).toBeLessThanOrEqual(1)
          const has = (what: FailoverEffect['do']): boolean => all.some(effect => effect.do === what)
          if (failover.state.step === 'aborted') expect([has('own'), has('promote')]).toEqual([true, false])
          else expect(has('own')).toBe(false)
          expect(has('publish')).toBe(failover.state.step === 'update_config')
          // What was acknowledged by the witness's word is with the new master, or there is none.
          if (mustFeed && has('publish')) expect(isWhole).toBe(true)
          if (!mayReplay) expect(has('replay')).toBe(false)
          // Given up first, asked then: what arrived in between is seen.
          const at = (what: FailoverEffect['do']): number => all.findIndex(effect => effect.do === what)
          expect(at('disown')).toBeLessThan(at('ask'))
        },
      ),
      { numRuns: 3000 },
    )
    const steps = [
      'aborted',
      'failed',
      'feed_slaves',
      'reconf_slaves',
      'replay_client',
      'select_slave',
      'send_slaveof_noone',
      'update_config',
      'wait_promotion',
    ]
    expect([...reached].sort()).toEqual(steps)
  })
})

describe('anti-flapping', () => {
  for (const [name, evidences, evidence, now, expected] of [
    ['the first is never held back', [], 'silence', 10, 0],
    ['a second silence waits', [[0, 'silence']], 'silence', 10_000, 50_000],
    ['a dead process is never held back', [[0, 'silence']], 'death', 10, 0],
    ['deaths do not count', [[0, 'death']], 'silence', 10, 0],
    [
      'on its heels: twice as long',
      [
        [0, 'silence'],
        [61_000, 'silence'],
      ],
      'silence',
      62_000,
      119_000,
    ],
    [
      'after a calm day: as at first',
      [
        [0, 'silence'],
        [86_400_000, 'silence'],
      ],
      'silence',
      86_410_000,
      50_000,
    ],
  ] as const) {
    test(name, () => {
      let antiFlap = calm(antiFlapDefaults)
      for (const [at, what] of evidences) antiFlap = recordFailover(antiFlap, what, antiFlapDefaults, at)
      expect(heldBackMs(antiFlap, evidence, now)).toBe(expected)
    })
  }
})
