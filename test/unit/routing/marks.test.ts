import { describe, expect, test } from 'vitest'
import { IN_FLIGHT, Marks } from '../../../src/routing/marks.js'

function marks(): Marks {
  const made = new Marks(1024)
  made.anchor(100)
  return made
}

const slot = (all: Marks, key: string): number => all.slotOf(Buffer.from(key), 0, key.length)

test('until the master of a lineage has been met only it may be asked', () => {
  const all = new Marks(1024)
  expect(all.need(3)).toBe(IN_FLIGHT)
  all.anchor(500)
  expect(all.need(3)).toBe(500)
  expect(all.needAll()).toBe(500)
})

test('a write keeps its key at the master until its sample, and no other key', () => {
  const all = marks()
  const flight = all.open()
  all.raise(flight, slot(all, 'a'))
  expect(all.need(slot(all, 'a'))).toBe(IN_FLIGHT)
  expect(all.need(slot(all, 'b'))).toBe(100)
  expect(all.needAll()).toBe(IN_FLIGHT)
  all.settle(flight, 250)
  expect(all.need(slot(all, 'a'))).toBe(250)
  expect(all.need(slot(all, 'b'))).toBe(100)
  expect(all.needAll()).toBe(250)
})

test('flights on two connections that are settled in the other order leave the higher offset', () => {
  const all = marks()
  const [first, second] = [all.open(), all.open()]
  all.raise(first, 7)
  all.raise(second, 7)
  all.settle(second, 900)
  expect(all.need(7)).toBe(IN_FLIGHT)
  all.settle(first, 800)
  expect(all.need(7)).toBe(900)
})

test('one flight may write a key many times', () => {
  const all = marks()
  const flight = all.open()
  for (let round = 0; round < 1000; round++) all.raise(flight, round % 5)
  expect(all.inFlight).toBe(1000)
  all.settle(flight, 101)
  expect(all.inFlight).toBe(0)
  expect(all.need(4)).toBe(101)
})

test('a barrier holds for every key, before and after its sample', () => {
  const all = marks()
  const flight = all.open()
  all.raiseAll(flight)
  expect(all.need(1)).toBe(IN_FLIGHT)
  all.settle(flight, 700)
  expect(all.need(1)).toBe(700)
  expect(all.need(999)).toBe(700)
})

test('a new lineage forgets offsets, and flights of the old one do no harm', () => {
  const all = marks()
  const old = all.open()
  all.raise(old, 5)
  all.raiseAll(old)
  all.restart()
  expect(all.need(5)).toBe(IN_FLIGHT)
  all.anchor(40)
  expect(all.need(5)).toBe(40)
  all.raise(old, 6)
  all.settle(old, 9000)
  expect(all.need(5)).toBe(40)
  expect(all.need(6)).toBe(40)
  expect(all.inFlight).toBe(0)
})

test('settling a flight twice is our mistake, and loud', () => {
  const all = marks()
  const flight = all.open()
  all.raise(flight, 1)
  const twin = Object.assign(all.open(), { count: 1, slots: flight.slots, generation: flight.generation })
  all.settle(flight, 200)
  expect(() => all.settle(twin, 200)).toThrow('settled twice')
})

test('keys spread over the slots', () => {
  const all = new Marks(2 ** 16)
  const used = new Set<number>()
  for (let index = 0; index < 10_000; index++) used.add(slot(all, `key:${String(index).padStart(12, '0')}`))
  // 10,000 balls in 65,536 bins leave about 9,280 bins hit.
  expect(used.size).toBeGreaterThan(9000)
})

describe('what the stream tells', () => {
  function streaming(): Marks {
    const marks = new Marks(1024)
    marks.anchor(100)
    marks.streamBegins(150)
    return marks
  }

  test('covers what was written before it began', () => {
    expect(streaming().need(1)).toBe(150)
  })

  test('names keys that others wrote', () => {
    const marks = streaming()
    marks.note(1, 200)
    marks.note(1, 180)
    expect([marks.need(1), marks.need(2), marks.needAll()]).toEqual([200, 150, 200])
    marks.noteAll(220)
    expect([marks.need(1), marks.need(2), marks.needAll()]).toEqual([220, 220, 220])
  })

  test('ends the barrier of a script when it has come as far', () => {
    const marks = streaming()
    const flight = marks.open()
    marks.raiseAll(flight)
    marks.note(1, 200)
    marks.streamed(210)
    expect(marks.need(2)).toBe(IN_FLIGHT)
    marks.settle(flight, 220)
    expect([marks.need(1), marks.need(2)]).toEqual([220, 220])
    marks.streamed(219)
    expect(marks.need(2)).toBe(220)
    marks.streamed(220)
    expect([marks.need(1), marks.need(2)]).toEqual([200, 150])
  })

  test('needs no barrier for what it has named already', () => {
    const marks = streaming()
    const flight = marks.open()
    marks.raiseAll(flight)
    marks.note(1, 200)
    marks.streamed(230)
    marks.settle(flight, 220)
    expect([marks.need(1), marks.need(2)]).toEqual([200, 150])
  })

  test('does not end a barrier while nobody reads it', () => {
    const marks = streaming()
    marks.streamEnds()
    const flight = marks.open()
    marks.raiseAll(flight)
    marks.settle(flight, 140)
    expect(marks.need(2)).toBe(150)
    const later = marks.open()
    marks.raiseAll(later)
    marks.settle(later, 220)
    expect(marks.need(2)).toBe(220)
    // Found again behind what was missed: what was written meanwhile has no name.
    marks.streamBegins(300)
    expect(marks.need(2)).toBe(300)
  })

  test('is forgotten with its history', () => {
    const marks = streaming()
    marks.note(1, 200)
    marks.restart()
    marks.anchor(10)
    expect([marks.need(1), marks.needAll()]).toEqual([10, 10])
  })
})

test('how many keys somebody lacks who has applied so much', () => {
  const all = marks()
  expect(all.beyond(99)).toBe(undefined)
  expect(all.beyond(100)).toBe(0)
  const [first, second] = [all.open(), all.open()]
  for (const [flight, key] of [
    [first, 'a'],
    [first, 'b'],
    [second, 'c'],
  ] as const) {
    all.raise(flight, slot(all, key))
  }
  expect(all.beyond(100)).toBe(0)
  all.settle(first, 250)
  all.settle(second, 300)
  expect([249, 250, 299, 300].map(applied => all.beyond(applied))).toEqual([3, 1, 1, 0])
  const script = all.open()
  all.raiseAll(script)
  all.settle(script, 400)
  expect([all.beyond(399), all.beyond(400)]).toEqual([undefined, 0])
})
