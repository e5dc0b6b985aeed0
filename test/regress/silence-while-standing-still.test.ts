/**
 * After a standstill of its own (SIGSTOP, a long script) a node took for silent whoever had spoken meanwhile: timers run
 * before sockets are read. A replica let go of its link with writes unread in the socket, which were lost when the master
 * had ended meanwhile; a master dropped healthy replicas. redis-server reads first.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { ownNode } from '../support/own-node.js'
import { freePort } from '../support/ports.js'
import { requireReal } from '../support/real.js'
import { RedisNode, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')
/** Of the one that stands still. */
const TIMEOUT_S = 2
const STANDSTILL_MS = 3500

redis.describe('who has spoken while a node stood still', () => {
  for (const [kind, program] of [
    ['redis', () => redis.path],
    ['ours', ownNode],
  ] as const) {
    test(`${kind}: a master that ended meanwhile is heard to its last word`, async () => {
      const { master, replica } = await linked(redis.path, program(), { timeoutOf: 'replica' })
      replica.signal('SIGSTOP')
      for (let index = 0; index < 100; index++) await master.call('RPUSH', 'list', String(index))
      await master.end()
      await sleep(STANDSTILL_MS)
      replica.signal('SIGCONT')
      await until('the link is down', async () => (await replica.info()).master?.up === false)
      expect(await replica.call('LLEN', 'list')).toMatchObject({ value: 100 })
    })

    test(`${kind}: a replica that has acknowledged meanwhile is kept`, async () => {
      const { master, replica } = await linked(program(), redis.path, { timeoutOf: 'master' })
      const ids = async (): Promise<unknown> =>
        textOf(await master.call('CLIENT', 'LIST', 'TYPE', 'replica'))?.match(/id=\d+/)?.[0]
      const before = await ids()
      master.signal('SIGSTOP')
      await sleep(STANDSTILL_MS)
      master.signal('SIGCONT')
      await master.call('SET', 'key', 'value')
      await until('the write has come', async () => textOf(await replica.call('GET', 'key')) === 'value')
      expect(await ids()).toEqual(before)
    })
  }
})

async function linked(
  programOfMaster: string,
  programOfReplica: string,
  { timeoutOf }: { timeoutOf: 'master' | 'replica' },
): Promise<{ master: RedisNode; replica: RedisNode }> {
  const master = new RedisNode(programOfMaster, await freePort())
  const replica = new RedisNode(programOfReplica, await freePort())
  onTestFinished(async () => {
    await Promise.all([master.stop(), replica.stop()])
  })
  const timeout = (name: 'master' | 'replica'): string[] => [
    '--repl-timeout',
    String(name === timeoutOf ? TIMEOUT_S : 60),
  ]
  await master.start('--repl-ping-replica-period', '1', ...timeout('master'))
  await replica.start('--replicaof', '127.0.0.1', String(master.port), ...timeout('replica'))
  await until('it follows', async () => (await replica.info()).master?.up === true)
  await master.call('SET', 'key', 'first')
  await until('the stream flows', async () => textOf(await replica.call('GET', 'key')) === 'first')
  return { master, replica }
}
