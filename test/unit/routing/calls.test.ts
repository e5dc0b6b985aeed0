import { expect, test } from 'vitest'
import { builtinTable } from '../../../src/command/table.js'
import { type Call, CallTable, movingKeys } from '../../../src/routing/calls.js'

const calls = new CallTable(builtinTable)

function find(text: string): Call {
  const [name, sub] = text.split(' ').map(word => Buffer.from(word))
  const call = calls.find(name as Buffer, 0, (name as Buffer).length)
  return (sub && call.subcommands?.find(sub, 0, sub.length)) ?? call
}

for (const [text, handling, marking, writes] of [
  ['GET', 'read', 'keys', false],
  ['gEt', 'read', 'keys', false],
  ['SET', 'master', 'keys', true],
  ['MSET', 'master', 'keys', true],
  // Writes that look like reads.
  ['GETDEL', 'master', 'keys', true],
  ['GETEX', 'master', 'keys', true],
  ['SORT', 'master', 'moving-keys', true],
  ['BITFIELD', 'master', 'keys', true],
  ['BITFIELD_RO', 'read', 'keys', false],
  ['GEORADIUS', 'master', 'moving-keys', true],
  ['SPOP', 'master', 'keys', true],
  // Neither read nor write.
  ['EVAL', 'master', 'all', true],
  ['EVALSHA', 'master', 'all', true],
  ['FCALL', 'master', 'all', true],
  ['PUBLISH', 'master', 'none', true],
  ['SCRIPT LOAD', 'master', 'none', true],
  ['CONFIG SET', 'master', 'none', true],
  ['INFO', 'master', 'none', true],
  // No keys, and everything changes.
  ['FLUSHALL', 'master', 'all', true],
  ['SWAPDB', 'master', 'all', true],
  ['NOBODYKNOWS', 'master', 'all', true],
  ['SCRIPT KILL', 'alone', 'none', true],
  ['DEBUG', 'alone', 'all', true],
  ['BLPOP', 'blocking', 'keys', true],
  ['XREADGROUP', 'blocking', 'moving-keys', true],
  ['XREAD', 'blocking', 'moving-keys', false],
  ['XINFO STREAM', 'read', 'keys', false],
  ['XGROUP CREATE', 'master', 'keys', true],
  ['OBJECT HELP', 'master', 'none', true],
  ['MULTI', 'transaction', 'none', true],
  ['PSUBSCRIBE', 'subscribe', 'none', true],
  ['MONITOR', 'monitor', 'none', true],
  ['PING', 'local', 'none', false],
  ['CLIENT', 'local', 'none', false],
  ['LAGRANGE', 'local', 'none', false],
  ['REPLICAOF', 'refused', 'none', true],
  ['SHUTDOWN', 'refused', 'none', true],
] as const) {
  test(`${text}: ${handling}, marks ${marking}`, () => {
    const call = find(text)
    expect([call.handling, call.marking, call.writes]).toEqual([handling, marking, writes])
  })
}

test.each([
  'SCAN',
  'HSCAN',
  'KEYS',
  'DBSIZE',
  'RANDOMKEY',
  'OBJECT FREQ',
  'MEMORY USAGE',
  'TOUCH',
  'DUMP',
  'EVAL_RO',
  'SORT_RO',
])('%s is answered by one node', text => expect(find(text).portable).toBe(false))

test('XREAD without BLOCK is an ordinary read', () => {
  expect(find('XREAD').patient?.handling).toBe('read')
  expect(find('XREADGROUP').patient?.handling).toBe('master')
})

test('every command of the table is found, in both cases, and has an id of its own', () => {
  for (const spec of builtinTable) {
    expect(find(spec.name.toUpperCase()).name).toBe(spec.name)
    expect(find(spec.name).name).toBe(spec.name)
  }
  expect(new Set(calls.calls.map(call => call.id)).size).toBe(calls.calls.length)
  expect(calls.calls.every((call, index) => call.id === index)).toBe(true)
})

test('moving keys are found, and undefined when they cannot be', () => {
  expect(movingKeys(find('ZUNION'), ['zunion', '2', 'a', 'b'])).toEqual([2, 3])
  expect(movingKeys(find('XREAD'), ['xread', 'streams', 's', '0'])).toEqual([2])
  expect(movingKeys(find('ZUNION'), ['zunion', '9', 'a', 'b'])).toBeUndefined()
})
