import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { OffsetTimeline } from '../../../src/topology/lag.js'

describe('the example in the file head', () => {
  const timeline = new OffsetTimeline()
  for (const [at, offset] of [
    [10, 100],
    [20, 200],
    [30, 300],
    [40, 400],
  ] as const) {
    timeline.add(offset, at, at - 1)
  }
  for (const [applied, lagMs, provenMs] of [
    [50, 35, undefined],
    [99, 35, undefined],
    [100, 25, 36],
    [250, 15, 26],
    [399, 5, 16],
    [400, 0, 6],
    [500, 0, 6],
  ] as const) {
    test(`applied ${applied}`, () => {
      expect(timeline.lagMs(applied, 45)).toBe(lagMs)
      expect(timeline.provenMs(applied, 45)).toBe(provenMs)
    })
  }
})

test('an idle master: no lag, and a proof as young as the last look', () => {
  const timeline = new OffsetTimeline()
  timeline.add(100, 10, 9)
  timeline.add(100, 1010, 1009)
  expect(timeline.lagMs(100, 1020)).toBe(0)
  expect(timeline.provenMs(100, 1020)).toBe(11)
  // What others tell proves no age.
  timeline.add(100, 1015)
  expect(timeline.provenMs(100, 1020)).toBe(11)
})

test('an answer that was overtaken changes nothing; another history starts anew', () => {
  const timeline = new OffsetTimeline()
  timeline.add(200, 20, 19)
  timeline.add(100, 21, 18)
  expect(timeline.head).toBe(200)
  timeline.clear()
  expect(timeline.head).toBeUndefined()
  expect(timeline.lagMs(5, 30)).toBe(0)
  expect(timeline.provenMs(5, 30)).toBeUndefined()
})

test('against the plain definition, over whatever samples', () => {
  const step = fc.record({ bytes: fc.nat(3), ms: fc.integer({ min: 1, max: 5 }), own: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), fc.nat(100), (steps, applied) => {
      const timeline = new OffsetTimeline()
      const samples: { offset: number; at: number; own: boolean }[] = []
      let now = 0
      let offset = 0
      for (const { bytes, ms, own } of steps) {
        now += ms
        offset += bytes
        samples.push({ offset, at: now, own })
        timeline.add(offset, now, own ? now - 0.5 : undefined)
      }
      const beyond = samples.find(sample => sample.offset > applied)
      expect(timeline.lagMs(applied, now)).toBe(beyond === undefined ? 0 : now - beyond.at)
      const proof = samples.findLast(sample => sample.offset <= applied && sample.own)
      expect(timeline.provenMs(applied, now)).toBe(proof === undefined ? undefined : now - (proof.at - 0.5))
    }),
  )
})

test('memory is bounded: a replica hours behind gets a lower bound', () => {
  const timeline = new OffsetTimeline()
  for (let index = 0; index < 10_000; index++) timeline.add(index, index, index)
  expect(timeline.lagMs(1, 10_000)).toBeGreaterThanOrEqual(2048)
  expect(timeline.lagMs(9_000, 10_000)).toBe(999)
})
