import { expect, test } from 'vitest'
import { type Candidate, type Choice, chooseRead, decisionOf, type ReadRules } from '../../../src/routing/choose.js'
import { IN_FLIGHT } from '../../../src/routing/marks.js'

type Named = Candidate & { readonly name: string }

function replica(name: string, more: Partial<Candidate> = {}): Named {
  return {
    name,
    usable: true,
    applied: 1000,
    lagMs: 0,
    lagAt: 100,
    pending: 0,
    slow: 0,
    workingSince: 100,
    latencyMs: 1,
    ...more,
  }
}

function choose(need: number, rules: Partial<ReadRules>, candidates: readonly Named[], last?: Named): string {
  const choice: Choice<Named> = { to: undefined, because: 'strong' }
  chooseRead(
    choice,
    candidates,
    need,
    { level: 'causal', boundMs: 50, waitMs: 0, noReplica: 'master', ...rules },
    last,
    100,
  )
  return `${choice.to?.name ?? decisionOf[choice.because]} ${choice.because}`
}

const a = replica('a')

for (const [name, expected, need, rules, candidates] of [
  ['fresh enough', 'a fresh-replica', 1000, {}, [a]],
  ['one byte behind', 'master no-fresh-replica', 1001, {}, [a]],
  ['one of two is fresh', 'b fresh-replica', 1001, {}, [a, replica('b', { applied: 1001, pending: 9 })]],
  ['a write to the key is in flight', 'master write-in-flight', IN_FLIGHT, {}, [a]],
  ['none is there', 'master no-replica', 0, {}, []],
  ['the only one is not usable', 'master no-replica', 0, {}, [replica('a', { usable: false })]],
  ['of another history', 'master no-fresh-replica', 0, {}, [replica('a', { applied: -1 })]],
  ['nothing was ever written', 'a fresh-replica', 0, {}, [replica('a', { applied: 0 })]],
  ['one is about to be', 'wait replica-about-to-qualify', 1001, { waitMs: 2 }, [replica('a', { lagMs: 1 })]],
  ['it is further behind than we wait', 'master no-fresh-replica', 1001, { waitMs: 2 }, [replica('a', { lagMs: 2 })]],
  ['how far is not known', 'master no-fresh-replica', 1001, { waitMs: 2 }, [replica('a', { lagMs: undefined })]],
  ['session, behind its floor', 'master no-fresh-replica', 1001, { level: 'session' }, [a]],
  ['strong, nobody knows where the master stands', 'master strong', IN_FLIGHT, { level: 'strong' }, [a]],
  ['strong, at the master’s offset', 'a read-index', 1000, { level: 'strong' }, [a]],
  ['strong, behind it', 'master no-fresh-replica', 1001, { level: 'strong' }, [a]],
  ['eventual takes what there is', 'a healthy-replica', 0, { level: 'eventual' }, [replica('a', { applied: -1 })]],
  ['eventual, at the floor of a token', 'a healthy-replica', 1000, { level: 'eventual' }, [a]],
  ['eventual, behind it', 'master no-fresh-replica', 1001, { level: 'eventual' }, [a]],
  [
    'eventual, behind it by little',
    'wait replica-about-to-qualify',
    1001,
    { level: 'eventual', waitMs: 2 },
    [replica('a', { lagMs: 1 })],
  ],
  ['eventual without replicas', 'master no-replica', 0, { level: 'eventual' }, []],
  ['within the bound', 'a within-bound', 0, { level: 'bounded' }, [replica('a', { lagMs: 50 })]],
  ['within the bound, behind the floor of a token', 'master no-replica-within-bound', 1001, { level: 'bounded' }, [a]],
  ['above the bound', 'master no-replica-within-bound', 0, { level: 'bounded' }, [replica('a', { lagMs: 51 })]],
  [
    'a proof grows old',
    'master no-replica-within-bound',
    0,
    { level: 'bounded' },
    [replica('a', { lagMs: 30, lagAt: 79 })],
  ],
  [
    'a bound is not met by not knowing',
    'master no-replica-within-bound',
    0,
    { level: 'bounded' },
    [replica('a', { lagMs: undefined })],
  ],
] as const) {
  test(`read: ${name}`, () => expect(choose(need, rules, candidates)).toBe(expected))
}

test('the one with the least to do gets it: pending work weighed by latency', () => {
  expect(choose(0, {}, [replica('a', { pending: 3 }), replica('b', { pending: 1 })])).toMatch(/^b/)
  expect(choose(0, {}, [replica('a', { pending: 3 }), replica('b', { pending: 1, latencyMs: 5 })])).toMatch(/^a/)
})

test('a session stays on its replica until another has less than half of the work', () => {
  const [busy, idle] = [replica('busy', { pending: 1 }), replica('idle')]
  expect(choose(0, {}, [idle, busy], busy)).toMatch(/^idle/)
  expect(choose(0, {}, [replica('other'), busy], replica('gone'))).toMatch(/^other/)
  const mine = replica('mine', { pending: 2 })
  expect(choose(0, {}, [replica('other', { pending: 1 }), mine], mine)).toMatch(/^mine/)
})

function chooseFast(candidates: readonly Named[], level: ReadRules['level'] = 'causal', last?: Named): string {
  const choice: Choice<Named> = { to: undefined, because: 'strong' }
  chooseRead(choice, candidates, 0, { level, boundMs: 50, waitMs: 0, noReplica: 'master' }, last, 100, true)
  return choice.to?.name as string
}

for (const [name, expected, more] of [
  ['joins others where an instance is at work on them', 'busy', {}],
  ['does not when there are so many that it would wait for them', 'idle', { pending: 64 }],
  ['does not wait behind a slow one', 'idle', { slow: 1 }],
  ['does not go far for it', 'idle', { latencyMs: 0.9 }],
  ['does not join those who wait for an answer that does not come', 'idle', { workingSince: 99 }],
] as const) {
  test(`a fast read ${name}`, () => {
    const busy = replica('busy', { pending: 9, latencyMs: 0.3, ...more })
    for (const pair of [
      [busy, replica('idle', { latencyMs: 0.2 })],
      [replica('idle', { latencyMs: 0.2 }), busy],
    ]) {
      expect(chooseFast(pair)).toBe(expected)
    }
  })
}

test('where answers take long even fast reads are shared, and slow ones are everywhere', () => {
  const far = [replica('busy', { pending: 9, latencyMs: 1.2 }), replica('idle', { latencyMs: 1.1 })]
  expect(chooseFast(far)).toBe('idle')
  expect(choose(0, {}, [replica('busy', { pending: 9, latencyMs: 0.3 }), replica('idle', { latencyMs: 0.2 })])).toMatch(
    /^idle/,
  )
})

test('where nothing but staying keeps a view from going back, a session stays', () => {
  const mine = replica('mine', { latencyMs: 0.2 })
  const busy = replica('busy', { pending: 9, latencyMs: 0.2 })
  expect(chooseFast([mine, busy], 'causal', mine)).toBe('busy')
  for (const level of ['eventual', 'bounded'] as const) expect(chooseFast([busy, mine], level, mine)).toBe('mine')
})
