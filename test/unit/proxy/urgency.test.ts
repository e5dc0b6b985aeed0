import { expect, test } from 'vitest'
import type { Instant } from '../../../src/proxy/upstream.js'
import { Urgency } from '../../../src/proxy/urgency.js'

function world() {
  const time = { now: 1000 }
  const told: string[] = []
  const urgency = new Urgency(time as Instant, pace => told.push(`${pace} at ${time.now}`))
  // That it is quick is said, as another one may have been calm.
  expect(told.splice(0)).toEqual(['quick at 1000'])
  let all = 0
  let letDown = 0
  const tick = (reads: number, down: number): void => {
    all += reads
    letDown += down
    time.now += 20
    urgency.tick({ all, letDown, byAge: 0 })
  }
  return { time, told, urgency, tick }
}

test('it is quick at first, and calm when nobody has asked for more for a while', () => {
  const { told, urgency, tick } = world()
  expect([urgency.pace, urgency.gapMs]).toEqual(['quick', 1])
  for (let round = 0; round < 20; round++) tick(1000, 0)
  expect(told).toEqual(['calm at 1200'])
  expect([urgency.pace, urgency.gapMs]).toEqual(['calm', 5])
})

test('reads that are let down make it quick, and keep it so', () => {
  const { told, tick } = world()
  for (let round = 0; round < 10; round++) tick(0, 0)
  tick(100, 2)
  for (let round = 0; round < 9; round++) tick(1000, 0)
  expect(told).toEqual(['calm at 1200', 'quick at 1220'])
  tick(1000, 3)
  for (let round = 0; round < 10; round++) tick(1000, 0)
  expect(told).toEqual(['calm at 1200', 'quick at 1220', 'calm at 1620'])
})

test('who waits for a replica is not kept waiting for the next look', () => {
  const { told, urgency, tick } = world()
  for (let round = 0; round < 10; round++) tick(0, 0)
  urgency.hurry()
  urgency.hurry()
  expect(told).toEqual(['calm at 1200', 'quick at 1200'])
})

test('where there is only one pace it is quick for ever', () => {
  const time = { now: 0 }
  const urgency = new Urgency(time as Instant, undefined)
  time.now = 10_000
  urgency.tick({ all: 0, letDown: 0, byAge: 0 })
  expect(urgency.pace).toBe('quick')
})
