/**
 * After FAILOVER the old master went on asking its new one to take over whenever their link was made anew, which a master
 * refuses: cut once, the link never came back.
 */
import { expect, test } from 'vitest'
import { until } from '../support/redis-group.js'
import { infoOf, plain, startNode } from '../support/servers.js'

test('the link of an old master comes back after a cut', async () => {
  const old = await startNode()
  const next = await startNode({ args: ['--replicaof', '127.0.0.1', String(old.port)] })
  await until('the link is up', async () => (await infoOf(next)).master_link_status === 'up')
  expect(plain(await old.call('FAILOVER'))).toBe('OK')
  await until('they have changed places', async () => (await infoOf(old)).master_link_status === 'up')

  const accepted = (await infoOf(next)).sync_partial_ok
  expect(plain(await next.call('CLIENT', 'KILL', 'TYPE', 'replica'))).toBe(1)
  await until('the link is back', async () => (await infoOf(next)).sync_partial_ok === String(Number(accepted) + 1))
  await until('it is up', async () => (await infoOf(old)).master_link_status === 'up')
})
