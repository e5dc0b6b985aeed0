import { expect, test } from 'vitest'
import { HashTable } from '../../../src/engine/hash-table.js'
import { seededRandom } from '../../support/engine-double.js'

test('it holds what a Map holds, while it grows and shrinks', () => {
  const random = seededRandom(7)
  const table = new HashTable<number>(42)
  const model = new Map<string, number>()
  for (let step = 0; step < 60_000; step++) {
    // First more is added than deleted, then the other way round.
    const key = `key:${Math.floor(random() * 6000)}`
    if (random() < (step < 30_000 ? 0.7 : 0.2)) {
      table.set(key, step)
      model.set(key, step)
    } else expect(table.delete(key)).toBe(model.delete(key))
  }
  expect(table.size).toBe(model.size)
  for (const [key, value] of model) expect(table.get(key)).toBe(value)
  const seen = new Map<string, number>()
  table.forEach((key, value) => seen.set(key, value))
  expect(seen).toEqual(model)
})

test('a scan returns everything that was there all the time, whatever else comes and goes', () => {
  const random = seededRandom(3)
  for (const [start, extra] of [
    [100, 5000],
    [3000, 0],
    [0, 2000],
  ] as const) {
    const table = new HashTable<number>(random() * 2 ** 32)
    const stay = Array.from({ length: start }, (_, index) => `stay:${index}`)
    for (const key of stay) table.set(key, 1)
    for (let index = 0; index < 4000; index++) table.set(`go:${index}`, 1)
    const seen = new Set<string>()
    let cursor = 0
    let turn = 0
    do {
      for (let count = 0; count < 3; count++)
        cursor = cursor === 0 && seen.size > 0 ? 0 : table.scan(cursor, key => seen.add(key))
      // The table is changed between the pages, first growing, then shrinking to a fraction.
      for (let count = 0; count < 20; count++) {
        if (turn * 20 + count < extra) table.set(`new:${turn}:${count}`, 1)
        table.delete(`go:${Math.floor(random() * 4000)}`)
      }
      turn++
    } while (cursor !== 0)
    for (const key of stay) expect(seen.has(key), key).toBe(true)
  }
})

test('a frozen range of slots takes no new entries', () => {
  const table = new HashTable<number>(1)
  for (let index = 0; index < 3000; index++) table.set(`old:${index}`, index)
  for (let index = 0; index < 500; index++) table.delete(`old:${index}`)
  const end = table.freeze()
  for (let index = 0; index < 2000; index++) table.set(`new:${index}`, index)
  table.delete('old:700')
  table.set('old:700', 1)
  const before: string[] = []
  for (let slot = 0; slot < end; slot++) {
    const key = table.keyAt(slot)
    if (key !== undefined) before.push(key)
  }
  expect(before.length).toBe(2499)
  expect(before.every(key => key.startsWith('old:'))).toBe(true)
  expect(table.slotOf('old:700')).toBeGreaterThanOrEqual(end)
  table.thaw()
  const slots = table.slotEnd
  for (let index = 0; index < 500; index++) table.set(`again:${index}`, index)
  expect(table.slotEnd).toBe(slots)
})

test('every entry is as likely as the others, also when few are left of many', () => {
  const random = seededRandom(5)
  const table = new HashTable<number>(9)
  for (let index = 0; index < 20_000; index++) table.set(`key:${index}`, index)
  for (let index = 0; index < 20_000; index++) if (index % 2000 !== 7) table.delete(`key:${index}`)
  const counts = new Map<string, number>()
  for (let draw = 0; draw < 5000; draw++) {
    const key = table.keyAt(table.randomSlot(random)) as string
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  expect(counts.size).toBe(10)
  for (const count of counts.values()) expect(count).toBeGreaterThan(300)
})

test('expiries are counted, found page by page, and gone with their entries', () => {
  const table = new HashTable<number>(1)
  for (let index = 0; index < 5000; index++) {
    const slot = table.set(`key:${index}`, index)
    if (index % 10 === 0) table.setExpireAt(slot, 1000 + index)
  }
  expect(table.volatileSize).toBe(500)
  const dead: string[] = []
  for (let slot = 0; slot < table.slotEnd; ) {
    const found = table.expiredFrom(slot, 2000)
    dead.push(...found.dead)
    slot = found.next
  }
  expect(dead.length).toBe(100)
  for (const key of dead) table.delete(key)
  expect(table.volatileSize).toBe(400)
  table.setExpireAt(table.slotOf('key:2000'), 0)
  expect(table.volatileSize).toBe(399)
})

for (const [share, every] of [
  ['most', 1],
  ['few', 500],
] as const)
  test(`a slot with an expiry is drawn evenly when ${share} of them have one`, () => {
    const table = new HashTable<number>(3)
    const volatile: number[] = []
    for (let at = 0; at < 5000; at++) {
      const slot = table.set(`key:${at}`, at)
      if (at % every !== 0) continue
      table.setExpireAt(slot, 1)
      volatile.push(slot)
    }
    const random = seededRandom(9)
    const drawn = new Map<number, number>()
    for (let left = volatile.length * 40; left > 0; left--) {
      const slot = table.randomVolatileSlot(random)
      drawn.set(slot, (drawn.get(slot) ?? 0) + 1)
    }
    expect([...drawn.keys()].sort((a, b) => a - b)).toEqual(volatile)
    expect(Math.max(...drawn.values())).toBeLessThan(100)
  })

test('no slot is drawn where nothing expires', () => {
  const table = new HashTable<number>(3)
  expect(table.randomVolatileSlot(seededRandom(9))).toBe(-1)
  table.set('key', 1)
  expect(table.randomVolatileSlot(seededRandom(9))).toBe(-1)
})
