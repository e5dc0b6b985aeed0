import { expect, test } from 'vitest'
import { type Clock, Stopwatch } from '../../../src/base/clock.js'

test('a step ends where the next one begins, and the wall clock is read when it may have moved on', () => {
  const time = { now: 10, wall: 1000, wallReads: 0 }
  const clock: Clock = {
    now: () => time.now,
    wall: () => {
      time.wallReads++
      return time.wall
    },
    after: () => () => undefined,
  }
  const watch = new Stopwatch(clock)
  expect(watch.startedAt).toBe(10)
  time.now = 10.25
  time.wall = 1001
  expect(watch.lap()).toBe(10.25)
  expect(watch.wall()).toBe(1000)
  expect(time.wallReads).toBe(1)
  time.now = 10.5
  watch.lap()
  expect(watch.wall()).toBe(1001)
  // A step that took long: the wall clock stands still during it, and has moved on for the next.
  time.now = 900
  time.wall = 1890
  expect(watch.wall()).toBe(1001)
  watch.lap()
  expect(watch.wall()).toBe(1890)
  watch.start(5000)
  expect(watch.startedAt).toBe(5000)
})
