import { expect, test } from 'vitest'
import { type Candidate, type Choice, chooseRead } from '../../../src/routing/choose.js'
import { GuardRails, type RailOptions } from '../../../src/routing/guard-rails.js'

interface Replica extends Candidate {
  readonly id: string
}

function replica(id: string, lagMs: number | undefined, more: Partial<Replica> = {}): Replica {
  return { id, usable: true, applied: 1, lagMs, lagAt: 0, pending: 0, slow: 0, workingSince: 0, latencyMs: 1, ...more }
}

const rules = { level: 'bounded', boundMs: 100, waitMs: 0, noReplica: 'master' } as const

function chooser(options: Partial<RailOptions>): (replicas: readonly Replica[], now?: number) => string {
  const rails = new GuardRails<Replica>({ minServing: 0, masterShareMax: 1, ...options })
  return (replicas, now = 0) => {
    const choice: Choice<Replica> = { to: undefined, because: 'no-replica' }
    chooseRead(choice, replicas, 0, rules, undefined, now)
    rails.apply(choice, replicas, rules.boundMs, now)
    return `${choice.to?.id ?? 'master'} ${choice.because}`
  }
}

const [a, b, c] = [replica('a', 50), replica('b', 300), replica('c', 900)]

for (const [name, options, replicas, now, expected] of [
  ['without rails the bound decides', {}, [b, c], 0, 'master no-replica-within-bound'],
  ['enough are within the bound', { minServing: 1 }, [a, b, c], 0, 'a within-bound'],
  ['the freshest of those beyond it', { minServing: 1 }, [b, c], 0, 'b min-serving'],
  ['two shall serve: the one with less to do', { minServing: 2 }, [{ ...a, pending: 9 }, b, c], 0, 'b min-serving'],
  ['two shall serve: the one within the bound', { minServing: 2 }, [a, { ...b, pending: 9 }, c], 0, 'a within-bound'],
  [
    'lag that nobody has told grows with time',
    { minServing: 1 },
    [replica('a', 50), replica('b', 60, { lagAt: 400 })],
    500,
    'b min-serving',
  ],
  ['unknown lag comes last', { minServing: 1 }, [replica('x', undefined), c], 0, 'c min-serving'],
  ['an unusable one never serves', { minServing: 2 }, [{ ...b, usable: false }, c], 0, 'c min-serving'],
  ['nobody is there', { minServing: 2 }, [], 0, 'master no-replica'],
] as const) {
  test(`guard rails: ${name}`, () => {
    expect(chooser(options)(replicas, now)).toBe(expected)
  })
}

test('guard rails: the master gets its share and no more, in stretches', () => {
  const choose = chooser({ masterShareMax: 0.25 })
  const choices = Array.from({ length: 20_000 }, () => choose([b, c]))
  const atMaster = choices.slice(2000).filter(choice => choice.startsWith('master'))
  expect(atMaster.length / 18_000).toBeGreaterThan(0.18)
  expect(atMaster.length / 18_000).toBeLessThan(0.26)
  expect(new Set(choices)).toEqual(new Set(['master no-replica-within-bound', 'b master-spared']))
  const changes = choices.filter((choice, index) => index > 0 && choice !== choices[index - 1]).length
  expect(changes).toBeLessThan(1000)
  // Lag is over: nothing is capped any more.
  expect(choose([a, b, c])).toBe('a within-bound')
})
