/**
 * Who is asked to wait because a full copy can be spared.
 *
 * A master that is demoted behind its successor may ask it before its own last bytes have arrived there. It waits, and then
 * continues: no full copy. And who has heard of a promotion far above earlier than the replica that it asks, waits for that one.
 */
import { expect, test } from 'vitest'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, plain, startNode, startRedisServer } from '../support/servers.js'

const redis = requireReal('redis-server')

for (const kind of ['ours', 'redis'] as const) {
  const declare = kind === 'ours' ? test : redis.test
  declare(`who is ahead of a replica it shall follow waits for it: ${kind}`, async () => {
    const old = kind === 'ours' ? await startNode() : await startRedisServer(redis.path)
    const next = await startNode({ args: ['--replicaof', '127.0.0.1', String(old.port)] })
    await until('the link is up', async () => (await infoOf(next)).master_link_status === 'up')
    await old.call('SET', 'k', '1')
    await until('it has come', async () => plain(await next.call('GET', 'k')) === '1')

    // What is written now is on its way, and not there when the old master asks.
    await next.call('CLIENT', 'PAUSE', '100000', 'WRITE')
    await old.call('SET', 'k', '2')
    await old.call('REPLICAOF', '127.0.0.1', String(next.port))
    await until('it has asked', () => next.log().includes('has to wait until we have what it has'))
    await next.call('CLIENT', 'UNPAUSE')
    await until('it has come', async () => plain(await next.call('GET', 'k')) === '2')
    expect(plain(await next.call('REPLICAOF', 'NO', 'ONE'))).toBe('OK')
    await until('the old master continues', async () => (await infoOf(old)).master_link_status === 'up')
    const { sync_full, sync_partial_ok } = await infoOf(next)
    expect({ sync_full, sync_partial_ok }).toEqual({ sync_full: '0', sync_partial_ok: '1' })
  })
}

test('a replica that is asked for a history it has not heard of has the other one ask again, for a while', async () => {
  const master = await startNode()
  const replica = await startNode({ args: ['--replicaof', '127.0.0.1', String(master.port)] })
  await until('the link is up', async () => (await infoOf(replica)).master_link_status === 'up')
  await master.call('SET', 'k', '1')
  await until('it has come', async () => plain(await replica.call('GET', 'k')) === '1')
  const { master_repl_offset: offset } = await infoOf(replica)

  const stranger = 'f'.repeat(40)
  expect(plain(await replica.call('PSYNC', stranger, String(Number(offset) + 1)))).toMatch(/^-NOMASTERLINK /)
  expect((await infoOf(replica)).sync_full).toBe('0')
  // Its master knows all there is to know.
  expect(plain(await master.client().send(['PSYNC', stranger, String(Number(offset) + 1)]))).toMatch(/^FULLRESYNC /)
})
