/**
 * `bind-source-addr`: a machine with several addresses says from which of them a replica calls its master.
 */
import { expect, test } from 'vitest'
import { until } from '../support/redis-group.js'
import { infoOf, startNode } from '../support/servers.js'

test.runIf(process.platform === 'linux')('a replica calls its master from the address it is given', async () => {
  const master = await startNode()
  const replica = await startNode({ args: ['--bind-source-addr', '127.0.0.2'] })
  await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
  await until('the link is up', async () => (await infoOf(replica)).master_link_status === 'up')
  expect((await infoOf(master)).slave0).toContain('ip=127.0.0.2')
})
