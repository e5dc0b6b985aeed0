/**
 * Replicas that follow through relays. When a relay was pointed at the new master after a switch, its name still stood for the
 * old one for a minute: so its replica was taken for a replica of a replica, nobody had a word about the new master, and when
 * that died nothing was done.
 */
import { expect, onTestFinished } from 'vitest'
import { EventBus, type LagrangeEvent } from '../../src/base/bus.js'
import { systemClock } from '../../src/base/clock.js'
import { MetricStore } from '../../src/metrics/store.js'
import { Observer } from '../../src/observer/observer.js'
import { Agent } from '../../src/sentinel/agent.js'
import type { SwitchReport } from '../../src/topology/operation.js'
import { startDelayLink } from '../support/delay.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until, Writers } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.test('a relay that leads to the new master stands for it, also when that dies right after', async () => {
  const nodes = await startGroup(redis.path, 2, '--repl-ping-replica-period', '1', '--repl-timeout', '5')
  const [first, second, third] = nodes as [RedisNode, RedisNode, RedisNode]
  const links = await Promise.all([second, third].map(() => startDelayLink(first.address, 0)))
  const [one, other] = links as [(typeof links)[number], (typeof links)[number]]
  const bus = new EventBus(() => systemClock.wall())
  const events: LagrangeEvent[] = []
  bus.listen(event => events.push(event))
  const metrics = new MetricStore()
  const seeds = nodes.map(node => node.address)
  const observer = new Observer(systemClock, bus, metrics, { group: 'main', seeds })
  const agent = new Agent(systemClock, bus, metrics, observer, new Writers(0), { failover: true })
  onTestFinished(async () => {
    agent.stop()
    observer.stop()
    await Promise.all(nodes.map(node => node.stop()))
    for (const link of links) await link.close()
  })
  await second.call('REPLICAOF', '127.0.0.1', String(one.port))
  await third.call('REPLICAOF', '127.0.0.1', String(other.port))
  observer.start()
  agent.start()
  const through = async (node: RedisNode, port: number): Promise<boolean> => {
    const { master } = await node.info()
    return master?.up === true && master.address.port === port
  }
  await until('both came through their relays', async () => {
    return (await through(second, one.port)) && (await through(third, other.port))
  })
  await until('both relays are understood', () => observer.group.aliases.size === 2 && observer.diagnosis.name === 'ok')

  expect((await agent.switchover({ to: second.id })) as SwitchReport).toMatchObject({ result: 'ok' })
  for (const link of links) {
    link.to = second.address
    link.cut()
  }
  await first.call('REPLICAOF', '127.0.0.1', String(one.port))
  await until('both follow the new master through their relays', async () => {
    return (await through(first, one.port)) && (await through(third, other.port))
  })
  await until('that is known', () => observer.diagnosis.name === 'ok')
  await second.end()
  await until('another one is master', () => ![undefined, second.id].includes(observer.group.declared), 20_000).catch(
    (error: Error) => {
      throw new Error(`${error.message}\n${events.map(event => JSON.stringify(event)).join('\n')}`)
    },
  )
  expect(observer.group.declared).not.toBe(second.id)
})
