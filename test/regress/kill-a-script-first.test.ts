/**
 * A client's first command is a script without end, and another one wants to end it: there was one connection to the master,
 * the script stood in it, and a node that is busy with a script accepts no new ones.
 */
import { expect, onTestFinished, test } from 'vitest'
import { Client } from '../../src/net/client.js'
import { textOf } from '../../src/resp/protocol.js'
import { openClient } from '../support/in-front.js'
import { ownNode } from '../support/own-node.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'

const SPARES = 4
const redis = requireReal('redis-server')
redis.test('with redis-server', () => endScript(redis.path), 30_000)
test('with our nodes', () => endScript(ownNode()), 30_000)

async function endScript(program: string): Promise<void> {
  const [master] = (await startGroup(program, 0, '--busy-reply-threshold', '50')) as [RedisNode]
  const proxy = new ProxyUnderTest()
  onTestFinished(async () => {
    await proxy.stop()
    await master.stop()
  })
  await proxy.start(master.address.port, [])
  const [scripting, killing, inMulti] = [await openClient(proxy), await openClient(proxy), await openClient(proxy)]
  expect(await killing.call('SET', 'key', '1')).toBe('OK')
  // As soon as there is a master it has connections to spare.
  const direct = new Client(master.address, { connectTimeoutMs: 2000, replyTimeoutMs: 5000 })
  onTestFinished(() => direct.close())
  const connections = async (): Promise<number> =>
    (textOf(await direct.call('CLIENT', 'LIST')) ?? '').split('\n').length
  await until('others are connected', async () => (await connections()) > SPARES)
  scripting.send(['EVAL', 'while true do end', '0'])
  await until('it is busy', async () => (await direct.send(['GET', 'key'])).type === 'error')
  expect(await inMulti.call('MULTI')).toBe('OK')
  expect(await killing.call('SCRIPT', 'KILL')).toBe('OK')
  expect(await scripting.next()).toMatchObject({ type: 'error', value: expect.stringMatching(/killed by user/) })
  expect(await killing.call('GET', 'key')).toBe('1')
}
