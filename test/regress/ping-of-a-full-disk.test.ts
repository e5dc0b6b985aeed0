/**
 * A master that cannot save refuses writes; PING was answered as if nothing were wrong, so that sentinels kept it.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { until } from '../support/redis-group.js'
import { plain, startNode } from '../support/servers.js'

test('PING says that the disk is in error', async () => {
  const node = await startNode()
  // The place of the snapshot is taken by something that no file can replace.
  mkdirSync(join(node.dir, 'dump.rdb', 'full'), { recursive: true })
  await node.call('CONFIG', 'SET', 'save', '3600 1')
  await node.call('SET', 'key', 'value')
  await node.call('BGSAVE')
  await until('the snapshot has failed', () => node.server.diskError !== undefined)
  expect(String(plain(await node.call('PING')))).toMatch(/MISCONF /)

  rmSync(join(node.dir, 'dump.rdb'), { recursive: true })
  await node.call('BGSAVE')
  await until('it may save again', () => node.server.diskError === undefined)
  expect(plain(await node.call('PING'))).toBe('PONG')
})
