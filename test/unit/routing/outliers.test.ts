import { expect, test } from 'vitest'
import { Outliers } from '../../../src/routing/outliers.js'

interface Replica {
  readonly id: string
  usable: boolean
  latencyMs: number
  measurements: number
}

function group(...latencies: readonly number[]): Replica[] {
  return latencies.map((latencyMs, index) => ({ id: `r${index}`, usable: true, latencyMs, measurements: 0 }))
}

/** So many looks, before each of which every replica has answered something; the last one's answer. */
function lookOften(outliers: Outliers<Replica>, replicas: readonly Replica[], times: number): [string, number][] {
  let found: [string, number][] = []
  for (let time = 0; time < times; time++) {
    for (const replica of replicas) replica.measurements++
    found = outliers.look(replicas).map(({ replica, forMs }) => [replica.id, forMs])
  }
  return found
}

test.each([
  ['all are alike', [1, 1.2, 0.9], 5, []],
  ['one is late for three looks', [1, 1.2, 20], 3, [['r2', 1000]]],
  ['one is late for two looks', [1, 1.2, 20], 2, []],
  ['five times as late, but only by a fraction of a millisecond', [0.05, 0.06, 0.9], 5, []],
  [
    'two of three are late',
    [1, 30, 20],
    3,
    [
      ['r1', 1000],
      ['r2', 1000],
    ],
  ],
  ['all are late', [30, 30, 30], 5, []],
  ['the last one, however late', [500], 5, []],
] as const)('%s', (_, latencies, looks, expected) => {
  expect(lookOften(new Outliers(), group(...latencies), looks)).toEqual(expected)
})

test('who is late again is left alone for longer, up to half a minute; who is prompt again earns trust back', () => {
  const outliers = new Outliers<Replica>()
  const replicas = group(1, 20)
  const times = Array.from({ length: 7 }, () => lookOften(outliers, replicas, 3)[0]?.[1])
  expect(times).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
  ;(replicas[1] as Replica).latencyMs = 1
  lookOften(outliers, replicas, 6)
  ;(replicas[1] as Replica).latencyMs = 20
  expect(lookOften(outliers, replicas, 3)).toEqual([['r1', 2000]])
})

test('the others being gone, nobody is taken out: the last one that serves stays', () => {
  const outliers = new Outliers<Replica>()
  const replicas = group(1, 20)
  lookOften(outliers, replicas, 2)
  ;(replicas[0] as Replica).usable = false
  expect(lookOften(outliers, replicas, 10)).toEqual([])
})

test('nothing is concluded from a replica that was not asked', () => {
  const outliers = new Outliers<Replica>()
  const replicas = group(1, 20)
  for (let look = 0; look < 10; look++) expect(outliers.look(replicas)).toEqual([])
})
