/**
 * A background save that was given up for the final one (SHUTDOWN SAVE) went on when that had begun, found its walk over,
 * and renamed the half it had written over the whole file.
 */
import { expect, test } from 'vitest'
import { until } from '../support/redis-group.js'
import { plain, startNode } from '../support/servers.js'

test('a save that was given up puts nothing in place', async () => {
  const node = await startNode()
  await node.call('DEBUG', 'POPULATE', '2000')
  await node.call('CONFIG', 'SET', 'rdb-key-save-delay', '10000')
  await node.call('BGSAVE')
  const { snapshots } = node.server
  snapshots.stop()
  expect(snapshots.save()).toBeUndefined()
  await until('the background save has ended', () => !snapshots.busy)
  await node.stop()
  const again = await startNode({ dir: node.dir })
  expect(plain(await again.call('DBSIZE'))).toBe(2000)
})
