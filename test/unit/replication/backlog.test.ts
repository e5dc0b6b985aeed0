import { describe, expect, test } from 'vitest'
import { Backlog } from '../../../src/replication/backlog.js'
import { seeded } from '../../support/random.js'

/** Byte number n of the stream. */
const byteAt = (offset: number) => (offset * 31 + (offset >> 8)) & 0xff
const bytes = (from: number, count: number) => Buffer.from(Array.from({ length: count }, (_, i) => byteAt(from + i)))
const text = (slices: readonly Buffer[]) => Buffer.concat(slices)

describe('the backlog', () => {
  test('holds the newest bytes, exactly its capacity', () => {
    const backlog = new Backlog(100, 1)
    backlog.append(bytes(1, 60))
    expect([backlog.firstOffset, backlog.nextOffset, backlog.length]).toEqual([1, 61, 60])
    backlog.append(bytes(61, 90))
    expect([backlog.firstOffset, backlog.nextOffset, backlog.length]).toEqual([51, 151, 100])
    expect(text(backlog.read(51))).toEqual(bytes(51, 100))
    expect(text(backlog.read(140, 5))).toEqual(bytes(140, 5))
    expect(backlog.read(151)).toEqual([])
  })

  test('begins anywhere', () => {
    const backlog = new Backlog(100, 5001)
    expect([backlog.firstOffset, backlog.length]).toEqual([5001, 0])
    backlog.append(bytes(5001, 3))
    expect(text(backlog.read(5002))).toEqual(bytes(5002, 2))
  })

  test('bytes that were handed out do not change, whatever comes after', () => {
    const backlog = new Backlog(100_000, 1)
    backlog.append(bytes(1, 5000))
    const held = backlog.read(1)
    const before = Buffer.from(text(held))
    for (let at = 5001; at < 2_000_000; at += 50_000) backlog.append(bytes(at, 50_000))
    expect(text(held)).toEqual(before)
  })

  test('can be made larger and smaller; what is gone stays gone', () => {
    const backlog = new Backlog(1000, 1)
    backlog.append(bytes(1, 1500))
    backlog.resize(400)
    expect(backlog.firstOffset).toBe(1101)
    backlog.resize(5000)
    expect(backlog.firstOffset).toBe(1101)
    backlog.append(bytes(1501, 4000))
    expect(backlog.firstOffset).toBe(1101)
    backlog.append(bytes(5501, 1000))
    expect(backlog.firstOffset).toBe(1501)
    expect(text(backlog.read(1501))).toEqual(bytes(1501, 5000))
  })

  test('a pin keeps what its holder has not read, and only that', () => {
    const backlog = new Backlog(20_000, 1)
    const pin = backlog.pin(1)
    for (let at = 1; at < 400_000; at += 10_000) backlog.append(bytes(at, 10_000))
    // Others may ask for what is there anyway.
    expect(backlog.firstOffset).toBe(1)
    expect(text(backlog.read(pin.offset, 10))).toEqual(bytes(1, 10))
    expect(backlog.heldBytes).toBeGreaterThan(390_000)
    pin.offset = 300_001
    backlog.append(bytes(400_001, 20_000))
    expect(text(backlog.read(300_001, 10))).toEqual(bytes(300_001, 10))
    expect(backlog.heldBytes).toBeLessThan(160_000)
    backlog.release(pin)
    expect(backlog.heldBytes).toBeLessThan(60_000)
  })

  test('a byte that is not held is our mistake to ask for', () => {
    const backlog = new Backlog(20_000, 1)
    for (let at = 1; at < 200_000; at += 10_000) backlog.append(bytes(at, 10_000))
    expect(() => backlog.read(1)).toThrow('not held')
    expect(() => backlog.read(200_002)).toThrow('not held')
    expect(() => backlog.pin(1)).toThrow('cannot be pinned')
  })

  test('whatever is appended, resized and read, it answers the bytes of the stream', () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = seeded(seed)
      const pick = (count: number) => Math.floor(random() * count)
      const backlog = new Backlog(1 + pick(200_000), 1 + pick(1000))
      const { firstOffset } = backlog
      for (let round = 0; round < 60; round++) {
        if (random() < 0.1) backlog.resize(1 + pick(200_000))
        backlog.append(bytes(backlog.nextOffset, pick(random() < 0.1 ? 60_000 : 500)))
        expect(backlog.length).toBeLessThanOrEqual(backlog.capacity)
        expect(backlog.firstOffset).toBeGreaterThanOrEqual(firstOffset)
        expect(backlog.heldBytes).toBeLessThanOrEqual(
          backlog.capacity + 4 * Math.max(16_384, backlog.capacity >> 4) + 200_000,
        )
        const from = backlog.firstOffset + pick(backlog.length + 1)
        const count = pick(2000)
        const read = text(backlog.read(from, count))
        expect(read.equals(bytes(from, Math.min(count, backlog.nextOffset - from)))).toBe(true)
      }
    }
  })
})
