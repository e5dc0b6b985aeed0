/**
 * A switch that an operator orders from a sentinel by hand, while clients write that know nothing of it: the sentinel pauses
 * them at the old master, promotes the replica when it has the last byte, and lets them go.
 */
import { expect, onTestFinished } from 'vitest'
import { Client } from '../../src/net/client.js'
import { itemsOf, textOf } from '../../src/resp/protocol.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'
import { type SentinelProcess, startSentinels } from '../support/sentinels.js'

const server = requireReal('redis-server')

/** Writes until it is told no, or cut off; answers what was acknowledged and how it ended. */
async function write(node: RedisNode, key: string, acked: string[]): Promise<string> {
  const client = new Client(node.address, { connectTimeoutMs: 5000, replyTimeoutMs: 20_000 })
  onTestFinished(() => client.close())
  for (let value = 0; ; value++) {
    try {
      const frame = await client.send(['RPUSH', key, String(value)])
      if (frame.type === 'error') return frame.value.split(' ', 1)[0] as string
      acked.push(String(value))
    } catch (error) {
      return String(error)
    }
  }
}

server.test(
  'an ordered switch loses nothing that was acknowledged, and the old master follows at once',
  async () => {
    const nodes = await startGroup(server.path, 1)
    onTestFinished(async () => void (await Promise.all(nodes.map(node => node.stop()))))
    const [master, replica] = nodes as [RedisNode, RedisNode]
    const settings = { masterPort: master.port, quorum: 1, downAfterMs: 10_000, failoverTimeoutMs: 20_000 }
    const [sentinel] = (await startSentinels(['ours'], '', settings, 1)) as [SentinelProcess]
    onTestFinished(() => sentinel.stop())

    const acked = Array.from({ length: 4 }, (): string[] => [])
    const writers = acked.map((list, index) => write(master, `list:${index}`, list))
    await until('all write', () => acked.every(({ length }) => length > 100))
    // It knows that there is a replica before it has heard from it: -NOGOODSLAVE until then.
    const order = (): Promise<unknown> => sentinel.call('SENTINEL', 'FAILOVER', 'main')
    await until('the order is taken', () =>
      order().then(
        () => true,
        () => false,
      ),
    )
    // Who waits at a paused master is told that the write was not executed.
    expect(await Promise.all(writers)).toEqual(acked.map(() => 'READONLY'))
    await until('the sentinel names the replica', async () => (await sentinel.masterPort()) === replica.port)

    for (const [index, list] of acked.entries()) {
      const had = itemsOf(await replica.call('LRANGE', `list:${index}`, '0', '-1')).map(item => textOf(item))
      expect(had).toEqual(list)
    }
    const follows = async (): Promise<boolean> => {
      const info = await master.info().catch(() => undefined)
      return info?.master?.address.port === replica.port && info.master.up
    }
    await until('the old master follows', follows)
    expect(sentinel.log).not.toContain('+convert-to-slave')
  },
  90_000,
)
