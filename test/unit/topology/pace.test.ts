import { expect, test } from 'vitest'
import { asksForQuick, gapOf, type Pace } from '../../../src/topology/pace.js'

test.each([
  ['nobody reads', 'calm', 0, 0, 0, false],
  ['all reads find a replica', 'calm', 1000, 0, 0, false],
  ['one of a hundred is let down', 'calm', 1000, 10, 0, false],
  ['more than that', 'calm', 1000, 11, 0, true],
  ['the only read is', 'calm', 1, 1, 0, true],
  ['a level asks for age', 'calm', 1000, 0, 1, true],
  ['fewer are let down as it is quick', 'quick', 1000, 3, 0, true],
  ['so few that calm would do', 'quick', 1000, 2, 0, false],
] as const)('%s', (_, pace, reads, letDown, byAge, quick) => {
  expect(asksForQuick(pace, reads, letDown, byAge)).toBe(quick)
})

test('what calm would let down, as much oftener as it tells less often, does not swing between the two', () => {
  for (let share = 0; share < 0.02; share += 0.0001) {
    const letDown = (pace: Pace): number => share * (gapOf[pace] / gapOf.calm) * 1_000_000
    const calmIsLeft = asksForQuick('calm', 1_000_000, letDown('calm'), 0)
    const quickIsKept = asksForQuick('quick', 1_000_000, letDown('quick'), 0)
    expect(quickIsKept).toBe(calmIsLeft)
  }
})
