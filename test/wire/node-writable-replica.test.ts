/**
 * A replica that may be written to: what its clients add is its own to expire, and a write finds the place of an expired
 * key free, whatever the master still holds.
 */
import { expect, test } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { until } from '../support/redis-group.js'
import { infoOf, plain, startNode } from '../support/servers.js'

test('keys of its own expire, its master’s only when the master says so', async () => {
  const master = await startNode()
  const replica = await startNode({
    args: ['--replicaof', '127.0.0.1', String(master.port), '--replica-read-only', 'no'],
  })
  await until('the link is up', async () => (await infoOf(replica)).master_link_status === 'up')

  await replica.call('SET', 'own', '1', 'EX', '1000')
  expect((await infoOf(replica)).slave_expires_tracked_keys).toBe('1')
  const { table } = replica.server.engine.database(0)
  table.setExpireAt(table.slotOf('own'), 1)
  await until('its own key has expired', async () => plain(await replica.call('DBSIZE')) === 0)
  expect((await infoOf(replica)).slave_expires_tracked_keys).toBe('0')

  await master.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0')
  await master.call('MSET', 'a', '5', 'b', '5')
  await master.call('PEXPIRE', 'a', '1')
  await master.call('PEXPIRE', 'b', '1')
  await until(
    'both have come',
    async () => (await infoOf(replica)).slave_repl_offset === (await infoOf(master)).master_repl_offset,
  )
  await until('both are over', async () => plain(await replica.call('EXISTS', 'a', 'b')) === 0)
  expect(plain(await replica.call('DBSIZE'))).toBe(2)
  expect(plain(await replica.call('INCR', 'a'))).toBe(1)
  expect(plain(await replica.call('TTL', 'a'))).toBe(-1)
  expect(plain(await replica.call('GET', 'b'))).toBeNull()
  expect(plain(await replica.call('DBSIZE'))).toBe(2)
})

test('PFCOUNT keeps its count with the sketch, on a replica in its own copy', async () => {
  const master = await startNode()
  const replica = await startNode({ args: ['--replicaof', '127.0.0.1', String(master.port)] })
  await until('the link is up', async () => (await infoOf(replica)).master_link_status === 'up')
  await master.call('PFADD', 'k', 'a', 'b', 'c')
  await until('the key has come', async () => plain(await replica.call('DBSIZE')) === 1)
  const before = textOf(await replica.call('GET', 'k'))
  expect(before).toBe(textOf(await master.call('GET', 'k')))
  expect(plain(await replica.call('PFCOUNT', 'k'))).toBe(3)
  expect(textOf(await replica.call('GET', 'k'))).not.toBe(before)
})
