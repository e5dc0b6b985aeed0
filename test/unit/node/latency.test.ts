import { expect, test } from 'vitest'
import { builtinTable, type CommandSpec } from '../../../src/command/table.js'
import { Histogram, Latency } from '../../../src/node/latency.js'

const get = builtinTable.byFullName('get') as CommandSpec
const keys = builtinTable.byFullName('keys') as CommandSpec

test('one sample a second, the worst, and 160 in all', () => {
  let second = 1000
  const latency = new Latency(() => second)
  latency.note('command', 500)
  expect(latency.events.size).toBe(0)

  latency.threshold = 10
  latency.note('command', 9.99)
  expect(latency.events.size).toBe(0)
  for (const took of [20.7, 30.2, 15]) latency.note('command', took)
  expect(latency.events.get('command')).toEqual({ samples: [{ unixSeconds: 1000, latency: 30 }], max: 30 })

  for (let n = 0; n < 200; n++) {
    second++
    latency.note('command', 12)
  }
  const series = latency.events.get('command')
  expect(series?.samples.length).toBe(160)
  expect(series?.samples.at(-1)).toEqual({ unixSeconds: 1200, latency: 12 })
  expect(series?.max).toBe(30)
})

test('fast commands have a series of their own; forgetting counts what was there', () => {
  const latency = new Latency(() => 1)
  latency.threshold = 1
  latency.count(get, 1500)
  latency.count(keys, 2500)
  latency.count(keys, 900)
  expect([...latency.events.keys()]).toEqual(['fast-command', 'command'])
  expect(latency.forget(['nothing', 'command'])).toBe(1)
  expect(latency.forget([])).toBe(1)
  expect(latency.events.size).toBe(0)
})

test('limits double and count all below them, as redis-server shows them', () => {
  const histogram = new Histogram()
  for (const micros of [1, 1, 3, 20, 500, 2_000_000]) histogram.add(micros * 1000)
  // The figures are those of redis-server; the last is where it stops counting, whatever a call took.
  expect(histogram.limits()).toEqual([
    [1, 2],
    [4, 3],
    [33, 4],
    [528, 5],
    [1073741, 6],
  ])
})

test('percentiles are within a hundredth', () => {
  const histogram = new Histogram()
  for (let micros = 1; micros <= 1000; micros++) histogram.add(micros * 1000)
  for (const [percent, micros] of [
    [50, 500],
    [99, 990],
    [100, 1000],
  ] as const) {
    expect(Math.abs(histogram.percentile(percent) - micros) / micros).toBeLessThan(0.01)
  }
})

test('no tracking, no histogram; a reset forgets them', () => {
  const latency = new Latency(() => 1)
  latency.tracking = false
  latency.count(get, 5)
  expect(latency.histogramOf(get)).toBeUndefined()
  latency.tracking = true
  latency.count(get, 5)
  expect(latency.histogramOf(get)?.calls).toBe(1)
  latency.resetHistograms()
  expect(latency.histogramOf(get)).toBeUndefined()
})
