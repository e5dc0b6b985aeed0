import { expect, test } from 'vitest'
import { Database } from '../../../src/engine/database.js'
import { defaultSettings } from '../../../src/engine/settings.js'
import { HashValue } from '../../../src/engine/types/hash.js'
import { makeId } from '../../../src/engine/types/id-map.js'
import { ListValue } from '../../../src/engine/types/list.js'
import { SetValue } from '../../../src/engine/types/set.js'
import { SortedSetValue } from '../../../src/engine/types/sorted-set.js'
import { StreamValue } from '../../../src/engine/types/stream.js'
import { isString, type Value } from '../../../src/engine/value.js'
import { SnapshotLoader } from '../../../src/persistence/load.js'
import { Snapshot } from '../../../src/persistence/snapshot.js'
import { seeded } from '../../support/random.js'
import { snapshotDefaults } from '../../support/snapshot.js'
import { describeData } from '../../support/values.js'

const settings = defaultSettings()
const DATABASES = 3

test('a snapshot is the data of its cut, whatever happens meanwhile', () => {
  const seeds =
    process.env.SEED === undefined ? Array.from({ length: 24 }, (_, seed) => seed) : [Number(process.env.SEED)]
  for (const seed of seeds) {
    const world = new World(seed)
    world.change(400 + (seed % 3) * 1500)
    const [expected, loaded] = world.snapshotUnderLoad()
    // Compared as text first: comparing thousands of lines one by one is only worth it for the message.
    if (loaded.join() !== expected.join()) expect({ seed, data: loaded }).toEqual({ seed, data: expected })
  }
})

test('two snapshots at once, cut at different moments', () => {
  const world = new World(4711)
  world.change(3000)
  const first = world.begin()
  const atFirst = world.describe()
  world.change(500)
  const second = world.begin()
  const atSecond = world.describe()
  const chunks: [Buffer[], Buffer[]] = [[], []]
  while (!first.done || !second.done) {
    world.change(20)
    for (const [index, snapshot] of [first, second].entries()) {
      snapshot.slice(2000)
      chunks[index as 0 | 1].push(snapshot.take())
    }
  }
  expect(load(Buffer.concat(chunks[0]))).toEqual(atFirst)
  expect(load(Buffer.concat(chunks[1]))).toEqual(atSecond)
})

test('a slice stays near its budget, also inside a big value', () => {
  const database = new Database(0, 1)
  const hash = new HashValue()
  for (let index = 0; index < 50_000; index++) hash.set(`field ${index}`, `value ${index}`, settings)
  database.load('big', hash)
  const list = new ListValue()
  for (let index = 0; index < 50_000; index++) list.pushTail(`item ${index}`)
  database.load('list', list)
  const snapshot = Snapshot.begin([database], settings, { ...snapshotDefaults, compression: false })
  let slices = 0
  while (!snapshot.slice(16_384)) {
    expect(snapshot.take().length).toBeLessThan(40_000)
    slices++
  }
  expect(slices).toBeGreaterThan(60)
})

test('a slice ends when its time is over, however little it has written, and has made some way', () => {
  const world = new World(5)
  world.change(3000)
  const expected = world.describe()
  const snapshot = world.begin()
  const chunks: Buffer[] = []
  while (!snapshot.slice(Number.MAX_SAFE_INTEGER, () => true)) chunks.push(snapshot.take())
  chunks.push(snapshot.take())
  expect(chunks.length).toBeGreaterThan(20)
  expect(load(Buffer.concat(chunks))).toEqual(expected)
})

test('an abandoned snapshot lets go of its tables', () => {
  const world = new World(1)
  world.change(2000)
  const before = world.databases.map(({ table }) => table.slotEnd)
  const snapshot = world.begin()
  snapshot.slice(100)
  snapshot.abandon()
  expect(snapshot.done).toBe(true)
  // Deleted and added again, keys find their old slots free.
  for (const database of world.databases) {
    const keys = [...database.table.keys()]
    for (const key of keys) database.delete(key)
    for (const key of keys) database.load(key, 'x')
  }
  expect(world.databases.every(({ table }, index) => table.slotEnd <= (before[index] as number))).toBe(true)
})

test('what replicas can ask for instead of everything', () => {
  const world = new World(2)
  world.change(100)
  for (const [filter, keys, functions] of [
    ['functions', 0, 1],
    ['nothing', 0, 0],
  ] as const) {
    const snapshot = Snapshot.begin(world.databases, settings, {
      ...snapshotDefaults,
      functions: ['#!lua name=l'],
      filter,
    })
    while (!snapshot.slice(1000));
    const loader = newLoader()
    loader.feed(snapshot.take())
    const loaded = loader.finish()
    expect([loaded.keys, loaded.functions.length]).toEqual([keys, functions])
  }
})

function newLoader(): SnapshotLoader {
  return new SnapshotLoader(settings, { seeds: [1, 2, 3], role: 'replica', now: 0, verifyChecksum: true })
}

function load(bytes: Buffer): string[] {
  const loader = newLoader()
  loader.feed(bytes)
  return describeData(loader.finish().databases)
}

/** Databases that change at random, and tell the snapshots under way before they do. */
class World {
  readonly databases = Array.from({ length: DATABASES }, (_, index) => new Database(index, 99))
  readonly #snapshots = new Set<Snapshot>()
  readonly #random: () => number
  #count = 0

  constructor(seed: number) {
    this.#random = seeded(seed)
  }

  describe(): string[] {
    return describeData(this.databases)
  }

  begin(): Snapshot {
    const snapshot = Snapshot.begin(this.databases, settings, snapshotDefaults)
    this.#snapshots.add(snapshot)
    return snapshot
  }

  snapshotUnderLoad(): [string[], string[]] {
    const expected = this.describe()
    const snapshot = this.begin()
    const chunks: Buffer[] = []
    while (!snapshot.slice(1 + this.#pick(3000))) {
      if (this.#random() < 0.7) chunks.push(snapshot.take())
      this.change(this.#pick(60))
    }
    chunks.push(snapshot.take())
    return [expected, load(Buffer.concat(chunks))]
  }

  change(times: number): void {
    for (; times > 0; times--) this.#changeOnce()
  }

  #changeOnce(): void {
    const dice = this.#random()
    if (dice < 0.001) return void this.databases[this.#pick(DATABASES)]?.clear()
    if (dice < 0.003) return this.#swap(this.#pick(DATABASES), this.#pick(DATABASES))
    const database = this.databases[this.#pick(DATABASES)] as Database
    const key = `key ${this.#pick(400)}`
    for (const snapshot of this.#snapshots) snapshot.beforeChange(database.index, key)
    const value = database.get(key)
    if (value === undefined) return database.load(key, this.#value(), dice < 0.5 ? 0 : 1 + this.#pick(10 ** 12))
    if (dice < 0.3) database.delete(key)
    else if (dice < 0.4) database.load(key, this.#value())
    else if (dice < 0.5) database.table.setExpireAt(database.table.slotOf(key), this.#pick(10 ** 12))
    else if (isString(value)) database.table.setValueAt(database.table.slotOf(key), this.#text())
    else this.#mutate(value)
  }

  #swap(one: number, other: number): void {
    const [a, b] = [this.databases[one] as Database, this.databases[other] as Database]
    const { table } = a
    a.table = b.table
    b.table = table
  }

  #value(): Value {
    const kind = this.#pick(12)
    if (kind < 6) return this.#text()
    const value = [new ListValue(), new SetValue(), new HashValue(), new SortedSetValue(), new StreamValue()][kind % 5]
    if (value === undefined) return this.#text()
    // A few are big enough to be written in steps.
    for (let size = this.#random() < 0.02 ? 1500 : 1 + this.#pick(8); size > 0; size--) this.#grow(value)
    return value
  }

  #mutate(value: Exclude<Value, string | Buffer>): void {
    if (value.type === 'list' && value.length > 1 && this.#random() < 0.4) value.popHead()
    else if (value.type === 'list' && this.#random() < 0.4) value.set(this.#pick(value.length), this.#text())
    else this.#grow(value)
  }

  #grow(value: Exclude<Value, string | Buffer>): void {
    const text = this.#text()
    switch (value.type) {
      case 'list':
        return value.pushTail(text)
      case 'set':
        return void value.add(this.#random() < 0.5 ? String(this.#pick(10_000)) : text, settings)
      case 'hash':
        return void value.set(text, this.#text(), settings)
      case 'zset':
        return void value.set(text, this.#random(), settings)
      case 'stream':
        return value.append(makeId(BigInt(++this.#count), 0n), ['field', text])
    }
  }

  #text(): string {
    return `text ${this.#count++} ${'y'.repeat(this.#pick(30))}`
  }

  #pick(count: number): number {
    return Math.floor(this.#random() * count)
  }
}
