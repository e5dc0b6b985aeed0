import { expect, test } from 'vitest'
import { defaultSettings } from '../../../src/engine/settings.js'
import { HashValue } from '../../../src/engine/types/hash.js'
import { ListValue } from '../../../src/engine/types/list.js'
import { SortedSetValue } from '../../../src/engine/types/sorted-set.js'
import { seededRandom } from '../../support/engine-double.js'

const settings = defaultSettings()

/** Empty, binary, just packable, just not, and longer than a whole text. */
const items = ['', '\0', '\xff\0\r\n', 'short', 'a'.repeat(24), 'b'.repeat(255), 'c'.repeat(256), 'd'.repeat(9000)]

test('a list holds items of any length, and is the same array whether it is short or long', () => {
  const random = seededRandom(5)
  for (const [steps, growth] of [
    [400, 0.5],
    [6000, 0.75],
  ] as const) {
    const list = new ListValue()
    const model: string[] = []
    for (let step = 0; step < steps; step++) {
      const item = random() < 0.1 ? (items[Math.floor(random() * items.length)] as string) : `item ${step % 70}`
      const end = random() < 0.5 ? 'head' : 'tail'
      const place = Math.floor(random() * model.length)
      if (random() < growth) {
        list.push(item, end)
        if (end === 'head') model.unshift(item)
        else model.push(item)
      } else if (random() < 0.8 || model.length === 0) {
        expect(list.pop(end)).toBe(end === 'head' ? model.shift() : model.pop())
      } else {
        list.set(place, item)
        model[place] = item
      }
      expect(list.length).toBe(model.length)
      if (model.length > 0) expect(list.at(place % model.length)).toBe(model[place % model.length])
    }
    expect([...list]).toEqual(model)
    expect([...list.backwards()]).toEqual([...model].reverse())
    expect([...list.copy()]).toEqual(model)
    list.trim(3, model.length - 9)
    expect([...list]).toEqual(model.slice(3, -6))
  }
})

test('a hash takes fields and values of any length, before and after it became a table', () => {
  for (const extra of [0, 200]) {
    const hash = new HashValue()
    const model = new Map<string, string>()
    for (let at = 0; at < extra; at++) model.set(`field:${at}`, `value:${at}`)
    for (const field of items) for (const value of items) model.set(`${field}/${value.length}`, value)
    for (const [field, value] of model) expect(hash.set(field, value, settings)).toBe(true)
    for (const [field, value] of model) expect(hash.set(field, value, settings)).toBe(false)
    const twin = hash.copy()
    for (const [field, value] of model) expect(twin.get(field)).toBe(value)
    for (const field of model.keys()) expect(hash.delete(field)).toBe(true)
    expect([hash.size, twin.size]).toEqual([0, model.size])
  }
})

test('a visitor of a small sorted set may move and remove what it is shown', () => {
  const zset = new SortedSetValue()
  for (let at = 0; at < 20; at++) zset.set(`m${at}`, at, settings)
  const seen: [string, number][] = []
  zset.forRange(0, 20, true, (member, score) => {
    seen.push([member, score])
    if (score % 2 === 0) zset.delete(member)
    else zset.set(member, -score, settings)
  })
  expect(seen).toEqual(Array.from({ length: 20 }, (_, at) => [`m${19 - at}`, 19 - at]))
  expect(zset.size).toBe(10)
  expect(zset.rank('m19')).toBe(0)
  expect([zset.score('m3'), zset.score('m4')]).toEqual([-3, undefined])
})
