/** Slow commands, hot and big keys: from requests made by hand, with a clock that is turned by hand. */
import { beforeEach, describe, expect, test } from 'vitest'
import { builtinTable } from '../../../src/command/table.js'
import { Insight, show } from '../../../src/proxy/insight.js'
import { BlockPool } from '../../../src/proxy/log.js'
import { Request } from '../../../src/proxy/request.js'
import { encodeCommand } from '../../../src/resp/encoder.js'
import { CallTable } from '../../../src/routing/calls.js'

const calls = new CallTable(builtinTable)
const blocks = new BlockPool()
let now = 0
const clock = { now: () => now, wall: () => 1_700_000_000_000 + now, after: () => () => undefined }
let insight: Insight

beforeEach(() => {
  now = 0
  insight = new Insight(clock, { slowMs: 10, slowEntries: 3, sampleEvery: 1 })
})

function request(...args: string[]): Request {
  const bytes = encodeCommand(args)
  const made = new Request()
  const name = Buffer.from(args[0] as string)
  const call = calls.find(name, 0, name.length)
  const sub = Buffer.from(args[1] ?? '')
  made.call = call.subcommands?.find(sub, 0, sub.length) ?? call
  made.block = blocks.single(bytes, 0, bytes.length)
  made.start = 0
  made.end = bytes.length
  return made
}

describe('slow commands', () => {
  test('are kept from the threshold on, newest first, no more than there is room for', () => {
    insight.answered(request('GET', 'quick'), 9.99, 'n:1')
    for (const key of ['a', 'b', 'c', 'd']) {
      now++
      expect(insight.answered(request('GET', key), 10, 'n:1')).toBe(true)
    }
    expect(insight.slow(10).map(({ command, node }) => [...command, node])).toEqual([
      ['GET', 'd', 'n:1'],
      ['GET', 'c', 'n:1'],
      ['GET', 'b', 'n:1'],
    ])
    expect(insight.slow(1)).toHaveLength(1)
    insight.resetSlow()
    expect(insight.slow(10)).toEqual([])
  })

  test('what waits by its nature is not slow', () => {
    expect(insight.answered(request('BLPOP', 'k', '0'), 5000, 'n:1')).toBe(false)
  })

  test('secrets are left out, long arguments cut', () => {
    insight.answered(request('CONFIG', 'SET', 'requirepass', 'secret'), 20, 'n:1')
    insight.answered(request('ACL', 'SETUSER', 'u', '>secret'), 20, 'n:1')
    insight.answered(request('MIGRATE', 'h', '1', 'k', '0', '1', 'AUTH', 'secret'), 20, 'n:1')
    expect(JSON.stringify(insight.slow(3))).not.toContain('secret')
    expect(insight.slow(1)[0]?.command).toEqual(['MIGRATE', '(left out)'])
    insight.answered(request('SET', 'k', 'v'.repeat(1000)), 20, 'n:1')
    expect(insight.slow(1)[0]?.command[2]).toBe(`${'v'.repeat(128)}… (872 more bytes)`)
    insight.answered(request('MGET', ...Array.from({ length: 100 }, (_, n) => `k${n}`)), 20, 'n:1')
    expect(insight.slow(1)[0]?.command).toHaveLength(32)
  })

  test('where everything is slow, only some of a moment are written down', () => {
    insight = new Insight(clock, { slowMs: 10, slowEntries: 1000, sampleEvery: 0 })
    const noted = Array.from({ length: 500 }, () => insight.answered(request('GET', 'k'), 10, 'n:1'))
    expect(noted.filter(Boolean)).toHaveLength(128)
    expect(insight.slowCount).toBe(128)
    now += 100
    expect(insight.answered(request('GET', 'later'), 10, 'n:1')).toBe(true)
    expect(insight.slow(1)[0]?.command).toEqual(['GET', 'later'])
  })

  test('a threshold of 0 keeps none', () => {
    insight = new Insight(clock, { slowMs: 0, slowEntries: 3, sampleEvery: 0 })
    expect(insight.answered(request('GET', 'k'), 99_999, 'n:1')).toBe(false)
  })
})

describe('keys', () => {
  test('hot ones are those that are asked for most', () => {
    for (let round = 0; round < 100; round++) {
      insight.answered(request('GET', 'hot'), 0, 'n:1')
      insight.answered(request('SET', `cold:${round}`, 'v'), 0, 'n:1')
      insight.answered(request('PING'), 0, 'n:1')
    }
    const { hot, sampled } = insight.keys(5)
    expect(hot[0]).toMatchObject({ key: 'hot', count: 100 })
    expect(hot).toHaveLength(5)
    expect(sampled).toBe(200)
  })

  test('one in so many is looked at, whatever the rhythm of the client', () => {
    let seed = 1
    const chance = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647
    insight = new Insight(clock, { slowMs: 0, slowEntries: 1, sampleEvery: 8 }, chance)
    for (let n = 0; n < 16_000; n++) insight.answered(request('GET', `k${n % 8}`), 0, 'n:1')
    const { hot, sampled } = insight.keys(8)
    expect(sampled).toBeGreaterThan(1500)
    expect(sampled).toBeLessThan(2500)
    expect(hot).toHaveLength(8)
  })

  test('what was hot a while ago is forgotten', () => {
    insight.answered(request('GET', 'old'), 0, 'n:1')
    now = 31_000
    insight.answered(request('GET', 'new'), 0, 'n:1')
    expect(
      insight
        .keys(5)
        .hot.map(one => one.key)
        .sort(),
    ).toEqual(['new', 'old'])
    now = 62_000
    expect(insight.keys(5).hot.map(one => one.key)).toEqual(['new'])
    now = 200_000
    expect(insight.keys(5).hot).toEqual([])
  })

  test('big ones are found by their requests and by their replies', () => {
    insight.answered(request('SET', 'large', 'v'.repeat(20_000)), 0, 'n:1')
    insight.large(request('HGETALL', 'larger'), 50_000)
    insight.large(request('PING'), 50_000)
    expect(insight.keys(5).big).toMatchObject([
      { key: 'larger', bytes: 50_000, command: 'hgetall' },
      { key: 'large', command: 'set' },
    ])
    for (let n = 0; n < 1000; n++) insight.large(request('GET', `k${n}`), 100_000 + n)
    expect(insight.keys(5000).big).toHaveLength(128)
    expect(insight.keys(1).big[0]).toMatchObject({ key: 'k999' })
  })
})

test('bytes are shown as text where they are text', () => {
  const utf8 = Buffer.from('größe ✓').toString('latin1')
  expect(show(utf8)).toBe('größe ✓')
  expect(show('a\x00\xffb')).toBe('a\\x00\\xffb')
  expect(show('')).toBe('')
})
