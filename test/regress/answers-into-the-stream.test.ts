/**
 * A replica that asked something was answered on the connection that carries the stream, and took the answer for data. A copy
 * of data that FLUSHALL had deleted went on to be sent; one in a file went on to be written when nobody waited for it; and one
 * that was the node's save as well was not kept. Later: QUIT was answered with its last bytes.
 */
import { expect, onTestFinished, test } from 'vitest'
import { itemsOf, textOf } from '../../src/resp/protocol.js'
import { ownNode } from '../support/own-node.js'
import { RawClient } from '../support/raw-client.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'

async function startOne(...directives: string[]): Promise<RedisNode> {
  const [node] = await startGroup(ownNode(), 0, ...directives)
  onTestFinished(() => node?.stop())
  return node as RedisNode
}

const info = async (node: RedisNode, section: string): Promise<string> =>
  textOf(await node.call('INFO', section)) as string

for (const command of [
  ['PING'],
  ['GET', 'k'],
  ['NONSENSE'],
  ['SUBSCRIBE', 'c'],
  ['WAIT', '1', '0'],
  ['CLIENT', 'ID'],
  ['QUIT'],
  ['CLIENT', 'KILL', 'TYPE', 'replica', 'SKIPME', 'no'],
]) {
  test(`a replica that asks ${command[0]} is not answered but disconnected`, async () => {
    const node = await startOne()
    const replica = await RawClient.open(node.port)
    onTestFinished(() => replica.close())
    const snapshot = replica.nextSnapshot()
    replica.send(['SYNC'])
    await snapshot
    await node.call('SET', 'k', 'v')
    for (const word of ['SELECT', 'SET']) expect(textOf(itemsOf(await replica.next())?.[0])).toBe(word)
    replica.send(command)
    await replica.untilClosed()
    expect(replica.frames.filter(frame => frame.type !== 'array')).toEqual([])
    await until('it is gone', async () => (await info(node, 'replication')).includes('connected_slaves:0'))
  })
}

test('FLUSHALL gives up the copy of what it deletes: replicas get another', async () => {
  const node = await startOne('--repl-diskless-sync-delay', '0', '--rdb-key-save-delay', '20000000')
  const replica = await startOne('--repl-diskless-load', 'on-empty-db')
  for (let key = 0; key < 100; key++) await node.call('SET', `k${key}`, 'v')
  await replica.call('REPLICAOF', '127.0.0.1', String(node.port))
  await until('it is being copied', async () => (await info(node, 'replication')).includes('wait_bgsave'))
  await node.call('FLUSHALL')
  await until('it is a replica', async () => (await info(replica, 'replication')).includes('master_link_status:up'))
  expect(await info(node, 'stats')).toContain('sync_full:2')
})

for (const save of ['', '900 1']) {
  test(`with save points ${save || 'none'}, a copy in a file is ${save ? 'a save as well' : 'given up with its last reader'}`, async () => {
    const node = await startOne('--repl-diskless-sync', 'no', '--save', save, '--rdb-key-save-delay', '100000')
    for (let key = 0; key < 5; key++) await node.call('SET', `k${key}`, 'v')
    const replica = await RawClient.open(node.port)
    replica.send(['SYNC'])
    await until('it is being written', async () => (await info(node, 'persistence')).includes('bgsave_in_progress:1'))
    replica.close()
    const saved = save === '' ? 'rdb_changes_since_last_save:6' : 'rdb_changes_since_last_save:0'
    await until('it is over', async () => {
      const said = await info(node, 'persistence')
      return said.includes('bgsave_in_progress:0') && said.includes(saved)
    })
  })
}
