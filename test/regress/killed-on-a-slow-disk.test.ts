/**
 * While an fsync was running, what was acknowledged stayed in our memory for up to two seconds: a `kill -9` of every process on a
 * busy disk lost it, although only the machine's death may.
 */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { clientOf, startProgram, temporaryFolder } from '../support/lagrange.js'
import { freePort } from '../support/ports.js'
import { until } from '../support/redis-group.js'

const slowFsync = fileURLToPath(new URL('../support/slow-fsync.mjs', import.meta.url))

test('kill -9 while the disk is busy with an fsync: what was acknowledged is there again', {
  timeout: 60_000,
}, async () => {
  const port = await freePort()
  const args = ['node', '--port', `${port}`, '--dir', temporaryFolder(), '--appendonly', 'yes', '--save', '']
  const node = await startProgram(args, port, { NODE_OPTIONS: `--import=${slowFsync}` })
  const client = clientOf(port)
  const info = async (): Promise<string> => textOf(await client.call('INFO')) ?? ''
  await until('an fsync is running', async () => {
    await client.call('INCR', 'before')
    return /aof_pending_bio_fsync:1/.test(await info())
  })
  await client.call('SET', 'k', 'acknowledged')
  await node.stop('SIGKILL')

  await startProgram(args, port)
  expect(textOf(await clientOf(port).call('GET', 'k'))).toBe('acknowledged')
})
