/** A node that starts fenced, and one whose master came back without data. */
import { expect, test } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { until } from '../support/redis-group.js'
import { infoOf, startNode, type TestNode } from '../support/servers.js'

const files = ['--appendonly', 'yes', '--appendfsync', 'always']

async function crashed(): Promise<{ readonly dir: string; readonly replid: string; readonly replica: TestNode }> {
  const master = await startNode({ args: files })
  const replica = await startNode({ args: ['--replicaof', `127.0.0.1 ${master.port}`] })
  await master.call('SET', 'a', '1')
  await until('it is replicated', async () => textOf(await replica.call('GET', 'a')) === '1')
  const replid = (await infoOf(master, 'replication')).master_replid as string
  await master.stop()
  await replica.call('REPLICAOF', 'NO', 'ONE')
  return { dir: master.dir, replid, replica }
}

test('a fenced master reads, refuses writes, and follows without a full resync when it is told to', async () => {
  const { dir, replid, replica } = await crashed()
  const node = await startNode({ dir, args: [...files, '--start-fenced', 'yes'] })
  expect(textOf(await node.call('GET', 'a'))).toBe('1')
  for (const write of [
    ['SET', 'a', '2'],
    ['EVAL', "return redis.call('set', 'a', '2')", '0'],
  ]) {
    const reply = await node.call(...write)
    expect(reply.type === 'error' && reply.value).toContain('READONLY')
  }
  expect(await infoOf(node, 'replication')).toMatchObject({ role: 'master', fenced: '1', master_replid: replid })

  await replica.call('SET', 'b', '2')
  await node.call('REPLICAOF', '127.0.0.1', String(replica.port))
  await until('it follows', async () => textOf(await node.call('GET', 'b')) === '2')
  expect(await infoOf(replica, 'stats')).toMatchObject({ sync_full: '0', sync_partial_ok: '1' })
})

test('REPLICAOF NO ONE takes the fence down, with a history of its own', async () => {
  const { dir, replid } = await crashed()
  const node = await startNode({ dir, args: [...files, '--start-fenced', 'yes'] })
  await node.call('REPLICAOF', 'NO', 'ONE')
  expect(await node.call('SET', 'a', '2')).toMatchObject({ value: 'OK' })
  const info = await infoOf(node, 'replication')
  expect(info).toMatchObject({ role: 'master', master_replid2: replid })
  expect(info).not.toHaveProperty('fenced')
})

test('a master that comes back empty does not empty its replicas; one that was emptied does', async () => {
  const master = await startNode()
  const args = ['--replicaof', `127.0.0.1 ${master.port}`, '--refuse-empty-master', 'yes']
  const replica = await startNode({ args })
  await master.call('SET', 'a', '1')
  await until('it is replicated', async () => textOf(await replica.call('GET', 'a')) === '1')
  await master.call('FLUSHALL')
  await until('it is empty', async () => textOf(await replica.call('GET', 'a')) === undefined)
  await master.call('SET', 'a', '2')
  await until('it has data again', async () => textOf(await replica.call('GET', 'a')) === '2')

  const { port } = master
  await master.stop()
  const empty = await startNode({ port })
  await until('the snapshot is refused', () => replica.log().includes('refuse-empty-master'))
  expect(textOf(await replica.call('GET', 'a'))).toBe('2')

  // Whoever is told to follow an empty one means it.
  await replica.call('REPLICAOF', 'NO', 'ONE')
  await replica.call('REPLICAOF', '127.0.0.1', String(empty.port))
  await until('it follows', async () => textOf(await replica.call('GET', 'a')) === undefined)
})
