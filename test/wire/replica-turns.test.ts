/**
 * A replica that is slow deals with what its master sends in many turns, and others are served between them. Here every look
 * at the clock says that the turn is over: after each piece of the snapshot, and after each few commands of the stream.
 */
import { expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.js'
import { textOf } from '../../src/resp/protocol.js'
import { until } from '../support/redis-group.js'
import { infoOf, startNode } from '../support/servers.js'

/** Every second look is five milliseconds late. */
function hastyClock() {
  let looks = 0
  return { ...systemClock, now: () => systemClock.now() + (looks++ % 2) * 5 }
}

for (const diskless of ['yes', 'no']) {
  test(`snapshot and stream arrive whole, diskless: ${diskless}`, async () => {
    const master = await startNode({ args: ['--repl-diskless-sync', diskless] })
    const replica = await startNode({ clock: hastyClock() })
    await master.call('DEBUG', 'POPULATE', '20000', 'key', '64')
    for (let index = 0; index < 200; index++) await master.call('RPUSH', `list:${index % 7}`, 'x'.repeat(index * 10))

    await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
    // The stream begins while the snapshot is still on its way.
    const writer = master.client()
    const sent: Promise<unknown>[] = []
    for (let index = 0; index < 3000; index++) {
      if (index % 50 === 0) sent.push(writer.call('MULTI'))
      sent.push(writer.call('SET', `later:${index}`, 'v'.repeat(index % 300)))
      if (index % 50 === 9) sent.push(writer.call('EXEC'))
      if (index % 500 === 0) await until('the link is up or on its way', async () => (await linkOf()) !== undefined)
    }
    await Promise.all(sent)
    await until('the replica has it all', async () => {
      const [ours, theirs] = [await infoOf(master, 'replication'), await infoOf(replica, 'replication')]
      return theirs.master_link_status === 'up' && theirs.master_repl_offset === ours.master_repl_offset
    })
    expect(textOf(await replica.call('DEBUG', 'DIGEST'))).toBe(textOf(await master.call('DEBUG', 'DIGEST')))
    expect(await infoOf(master, 'stats')).toMatchObject({ sync_full: '1', sync_partial_err: '0' })

    async function linkOf(): Promise<string | undefined> {
      return (await infoOf(replica, 'replication')).master_link_status
    }
  })
}
