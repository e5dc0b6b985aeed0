import fc from 'fast-check'
import { expect, test } from 'vitest'
import { TopK } from '../../../src/base/top-k.js'

test('the heaviest, in order', () => {
  const top = new TopK(3)
  for (const item of ['a', 'b', 'a', 'c', 'a', 'b']) top.add(item)
  expect(top.list()).toEqual([
    { item: 'a', weight: 3, error: 0 },
    { item: 'b', weight: 2, error: 0 },
    { item: 'c', weight: 1, error: 0 },
  ])
})

test('a newcomer takes the place of the lightest and inherits its weight as error', () => {
  const top = new TopK(2)
  for (const item of ['a', 'a', 'b', 'c']) top.add(item)
  expect(top.list().find(one => one.item === 'c')).toEqual({ item: 'c', weight: 2, error: 1 })
})

test('weights are never too low, too high by no more than the error, and nothing heavy is missing', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 500 }),
      fc.integer({ min: 1, max: 12 }),
      (stream, k) => {
        const top = new TopK(k)
        const exact = new Map<string, number>()
        for (const number of stream) {
          top.add(String(number))
          exact.set(String(number), (exact.get(String(number)) ?? 0) + 1)
        }
        const listed = top.list()
        expect(listed.length).toBeLessThanOrEqual(k)
        for (const { item, weight, error } of listed) {
          const real = exact.get(item) ?? 0
          expect(weight).toBeGreaterThanOrEqual(real)
          expect(weight - error).toBeLessThanOrEqual(real)
        }
        for (const [item, count] of exact) {
          if (count > stream.length / k) expect(listed.map(one => one.item)).toContain(item)
        }
        expect(top.total).toBe(stream.length)
      },
    ),
  )
})
