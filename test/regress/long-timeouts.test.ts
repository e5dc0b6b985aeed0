/** Who is willing to wait for centuries was answered after a millisecond: Node's timers fire at once beyond 24 days. */
import { expect, test } from 'vitest'
import { plain, startNode } from '../support/servers.js'

test('BLPOP with a timeout of centuries waits', async () => {
  const node = await startNode()
  const answered = node.client().send(['BLPOP', 'list', '9223372036'])
  await expect.poll(async () => JSON.stringify(await node.call('INFO', 'clients'))).toContain('blocked_clients:1')
  await node.call('ECHO', 'some turns of the loop later')
  await node.call('RPUSH', 'list', 'x')
  expect(plain(await answered)).toEqual(['list', 'x'])
})
