import { expect, test } from 'vitest'
import { defaultSettings } from '../../../src/engine/settings.js'
import { HashValue } from '../../../src/engine/types/hash.js'
import { IdMap, idAfter, idBefore, idText, MAX_ID, MIN_ID, makeId } from '../../../src/engine/types/id-map.js'
import { ListValue } from '../../../src/engine/types/list.js'
import { ScoreTree } from '../../../src/engine/types/score-tree.js'
import { SetValue } from '../../../src/engine/types/set.js'
import { SortedSetValue } from '../../../src/engine/types/sorted-set.js'
import { seededRandom } from '../../support/engine-double.js'

const settings = defaultSettings()

test('a score tree is a sorted array that knows ranks', () => {
  const random = seededRandom(11)
  const tree = new ScoreTree()
  const model: [number, string][] = []
  const placeOf = (score: number, member: string) =>
    model.findIndex(([s, m]) => s > score || (s === score && m >= member))
  for (let step = 0; step < 12_000; step++) {
    const score = Math.floor(random() * 300)
    const member = `m${Math.floor(random() * 20)}`
    const at = placeOf(score, member)
    const present = at >= 0 && model[at]?.[0] === score && model[at]?.[1] === member
    if (present || random() < (step > 6000 ? 0.9 : 0.1)) {
      expect(tree.delete(score, member)).toBe(present)
      if (present) model.splice(at, 1)
    } else {
      tree.insert(score, member)
      model.splice(at < 0 ? model.length : at, 0, [score, member])
    }
    if (step % 500 !== 0) continue
    expect(tree.size).toBe(model.length)
    const from = Math.floor(random() * (model.length + 1))
    const up: [number, string][] = []
    tree.forRange(from, 700, (m, s) => up.push([s, m]))
    expect(up).toEqual(model.slice(from, from + 700))
    const down: [number, string][] = []
    tree.forRangeBackwards(from, 700, (m, s) => down.push([s, m]))
    expect(down).toEqual(model.slice(Math.max(0, from - 699), from + 1).reverse())
    expect(tree.countWhile(s => s < 150)).toBe(model.filter(([s]) => s < 150).length)
  }
})

test('a list is an array, whichever end and place is changed', () => {
  const random = seededRandom(23)
  const list = new ListValue()
  const model: string[] = []
  for (let step = 0; step < 8000; step++) {
    const item = `i${Math.floor(random() * 50)}`
    const place = Math.floor(random() * (model.length + 1))
    const choice = random()
    if (choice < 0.2) {
      list.pushHead(item)
      model.unshift(item)
    } else if (choice < 0.4) {
      list.pushTail(item)
      model.push(item)
    } else if (choice < 0.7) {
      list.insert(place, item)
      model.splice(place, 0, item)
    } else if (choice < 0.8) expect(list.popHead()).toBe(model.shift())
    else if (choice < 0.9) expect(list.popTail()).toBe(model.pop())
    else if (choice < 0.97) expect(list.at(place)).toBe(model[place])
    else if (choice < 0.98) {
      const removed = list.remove(item, 3, 'tail')
      for (let left = removed; left > 0; left--) model.splice(model.lastIndexOf(item), 1)
    } else if (choice < 0.99) {
      const removed = list.remove(item, 3, 'head')
      for (let left = removed; left > 0; left--) model.splice(model.indexOf(item), 1)
    } else if (choice < 0.993) {
      list.trim(place, 500)
      model.splice(0, place)
      model.length = Math.min(model.length, 500)
    }
    expect(list.length).toBe(model.length)
  }
  expect([...list]).toEqual(model)
  expect([...list.backwards()]).toEqual(model.toReversed())
})

test('hashes, sets and sorted sets stay right while they grow out of their arrays and shrink again', () => {
  const random = seededRandom(31)
  const hash = new HashValue()
  const set = new SetValue()
  const zset = new SortedSetValue()
  const model = new Map<string, number>()
  for (let step = 0; step < 6000; step++) {
    const name = `name:${Math.floor(random() * 400)}`
    const score = Math.floor(random() * 100) / 4
    if (random() < (step < 3000 ? 0.6 : 0.3)) {
      const added = !model.has(name)
      model.set(name, score)
      expect(hash.set(name, String(score), settings)).toBe(added)
      expect(set.add(name, settings)).toBe(added)
      expect(zset.set(name, score, settings)).toBe(added)
    } else {
      const there = model.delete(name)
      expect(hash.delete(name)).toBe(there)
      expect(set.delete(name)).toBe(there)
      expect(zset.delete(name)).toBe(there)
    }
    if (step % 100 !== 0) continue
    const inOrder = [...model].sort(([a, s], [b, t]) => s - t || (a < b ? -1 : 1))
    const shown: [string, number][] = []
    zset.forEach((member, value) => shown.push([member, value]))
    expect(shown).toEqual(inOrder)
    for (const [place, [member, value]] of inOrder.entries()) {
      expect(zset.score(member)).toBe(value)
      expect(zset.rank(member)).toBe(place)
      expect(hash.get(member)).toBe(String(value))
      expect(set.has(member)).toBe(true)
    }
    expect([hash.size, set.size, zset.size]).toEqual([model.size, model.size, model.size])
    expect(new Set(set.toArray())).toEqual(new Set(model.keys()))
  }
})

test('a set of integers is in order, and stays one up to 64 bits', () => {
  const set = new SetValue()
  for (const member of ['10', '-1', '9223372036854775807', '9', '-9223372036854775808', '0', '9'])
    set.add(member, settings)
  expect(set.encoding).toBe('intset')
  expect(set.toArray()).toEqual(['-9223372036854775808', '-1', '0', '9', '10', '9223372036854775807'])
  set.add('9223372036854775808', settings)
  expect(set.encoding).toBe('hashtable')
  expect(set.has('-9223372036854775808')).toBe(true)
  expect(set.has('__proto__')).toBe(false)
})

test('stream ids have neighbours up to both ends', () => {
  expect(idText(makeId(1526919030474n, 55n))).toBe('1526919030474-55')
  expect(idText(MAX_ID)).toBe('18446744073709551615-18446744073709551615')
  expect(idAfter(MAX_ID)).toBeUndefined()
  expect(idBefore(MIN_ID)).toBeUndefined()
  expect(idText(idAfter(makeId(5n, 2n ** 64n - 1n)) as string)).toBe('6-0')
  expect(idText(idBefore(makeId(6n, 0n)) as string)).toBe('5-18446744073709551615')
})

test('a map by ids is in order whatever the order of adding', () => {
  const random = seededRandom(2)
  const map = new IdMap<number>()
  const model = new Map<string, number>()
  for (let step = 0; step < 5000; step++) {
    const id = makeId(BigInt(Math.floor(random() * 3000)), 0n)
    if (random() < 0.7) {
      map.set(id, step)
      model.set(id, step)
    } else expect(map.delete(id)).toBe(model.delete(id))
  }
  const sorted = [...model].sort(([a], [b]) => (a < b ? -1 : 1))
  const from = makeId(1000n, 0n)
  const to = makeId(2000n, 5n)
  const inside = sorted.filter(([id]) => id >= from && id <= to)
  const up: [string, number][] = []
  map.forRange(from, to, (id, value) => void up.push([id, value]))
  expect(up).toEqual(inside)
  const down: [string, number][] = []
  map.forRangeBackwards(from, to, (id, value) => void down.push([id, value]))
  expect(down).toEqual(inside.toReversed())
  expect(map.size).toBe(model.size)
  expect(map.firstId).toBe(sorted[0]?.[0])
})
