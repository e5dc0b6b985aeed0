import { expect, test } from 'vitest'
import { Hedging } from '../../../src/routing/hedging.js'

const bounds = [0.001, 0.005, 0.01]

test('the budget is a part of the reads, and little of it is saved up', () => {
  const hedging = new Hedging({ percent: 2, afterMs: 1 })
  expect(hedging.spend()).toBe(false)
  hedging.measure({ bounds, counts: [100, 0, 0, 0] }, 0)
  expect([hedging.spend(), hedging.spend(), hedging.spend()]).toEqual([true, true, false])
  hedging.measure({ bounds, counts: [1_000_000, 0, 0, 0] }, 1)
  let granted = 0
  while (hedging.spend()) granted++
  expect(granted).toBe(20)
})

test.each([
  ['nearly all are fast', [97, 3, 0, 0], 1, 1],
  ['one of ten takes 10 ms', [90, 0, 10, 0], 1, 10],
  ['all are beyond every bound', [0, 0, 0, 10], 1, 10],
  ['never sooner than asked for', [100, 0, 0, 0], 7, 7],
  ['nothing was read', [0, 0, 0, 0], 3, 3],
] as const)('late is what 95 of 100 are not: %s', (_, counts, afterMs, expected) => {
  const hedging = new Hedging({ percent: 1, afterMs })
  hedging.measure({ bounds, counts }, 0)
  expect(hedging.afterMs).toBe(expected)
})

test('what was slow a while ago does not count', () => {
  const hedging = new Hedging({ percent: 1, afterMs: 1 })
  hedging.measure({ bounds, counts: [0, 0, 100, 0] }, 0)
  expect(hedging.afterMs).toBe(10)
  hedging.measure({ bounds, counts: [50, 0, 100, 0] }, 500)
  expect(hedging.afterMs).toBe(10)
  hedging.measure({ bounds, counts: [100, 0, 100, 0] }, 1000)
  expect(hedging.afterMs).toBe(1)
})
