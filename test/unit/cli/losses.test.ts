/** What a change of master has lost, put together from the workers' word and from what was rescued. */
import { expect, test } from 'vitest'
import type { RescueEntry } from '../../../src/admin/rescue-model.js'
import { EventBus } from '../../../src/base/bus.js'
import { CLIENTS_MAX, Losses, rescuesOf } from '../../../src/cli/losses.js'
import type { SwitchReport } from '../../../src/topology/operation.js'

const report: SwitchReport = {
  kind: 'failover',
  group: 'main',
  result: 'ok',
  reason: undefined,
  cause: 'master-down',
  from: 'h:1',
  to: 'h:2',
  masterEpoch: 2,
  startedAt: 1000,
  durationMs: 5,
  stallMs: 5,
  heldCommands: 0,
  finalOffset: undefined,
  promotedOffset: 501,
  replid: 'b',
  lagBytes: undefined,
  witnessBytes: undefined,
  replayedWrites: undefined,
  unread: undefined,
  fullResyncs: 0,
  partialResyncs: 1,
  steps: [],
}

const rescue: RescueEntry = {
  id: 'one',
  at: 2000,
  node: 'h:1',
  master: 'h:2',
  writes: 4,
  keyCount: 3,
  bytes: 100,
  from: 501,
  until: 601,
  file: 'one.aof',
  missing: null,
  database: 'known',
  appliedAt: null,
}

test('connections of all workers, by the history that began', () => {
  const bus = new EventBus(() => 0)
  const losses = new Losses(bus)
  bus.event('warn', '+lost-writes', { replid: 'b', sessions: 2, clients: '10.0.0.1:1(web) 10.0.0.1:2' })
  bus.event('warn', '+lost-writes', { replid: 'c', sessions: 9, clients: '10.0.0.9:9' })
  bus.event('warn', '+lost-writes', { replid: 'b', sessions: 1, clients: '10.0.0.1:3' })
  // A rescue says the same word, of keys.
  bus.event('error', '+lost-writes', { node: 'h:1', id: 'one', writes: 4, keys: 3, named: 'k' })
  expect(losses.of(report, [])).toEqual({
    sessions: 3,
    clients: ['10.0.0.1:1(web)', '10.0.0.1:2', '10.0.0.1:3'],
    writes: null,
    keys: null,
    rescues: [],
  })
  expect(losses.of(report, [rescue])).toMatchObject({ sessions: 3, writes: 4, keys: 3, rescues: ['one'] })
  expect(losses.of({ ...report, replid: 'd' }, [])).toBe(null)
  expect(losses.of({ ...report, replid: undefined }, [])).toBe(null)
  expect(losses.of({ ...report, replid: 'd' }, [rescue])).toMatchObject({ sessions: 0, clients: [], writes: 4 })
})

test('both are bounded: more connections are counted, older histories forgotten', () => {
  const bus = new EventBus(() => 0)
  const losses = new Losses(bus)
  const clients = Array.from({ length: 20 }, (_, index) => `10.0.0.1:${index}`).join(' ')
  for (let event = 0; event < 10; event++) bus.event('warn', '+lost-writes', { replid: 'b', sessions: 50, clients })
  const lost = losses.of(report, [])
  expect([lost?.sessions, lost?.clients.length]).toEqual([500, CLIENTS_MAX])
  for (let history = 0; history < 100; history++) {
    bus.event('warn', '+lost-writes', { replid: `later-${history}`, sessions: 1, clients: 'x:1' })
  }
  expect(losses.of(report, [])).toBe(null)
  expect(losses.of({ ...report, replid: 'later-99' }, [])?.sessions).toBe(1)
})

test('a rescue belongs to the last change before it that replaced its node', () => {
  const later = { ...report, startedAt: 5000 }
  const aborted = { ...report, startedAt: 1500, result: 'aborted' } as const
  const changes = [later, aborted, report]
  const second = { ...rescue, id: 'two', at: 6000 }
  const other = { ...rescue, id: 'other', node: 'h:3' }
  const all = [second, rescue, other, { ...rescue, id: 'old', at: 10 }]
  expect(changes.map(change => rescuesOf(change, changes, all).map(({ id }) => id))).toEqual([['two'], [], ['one']])
})
