/**
 * A script that runs longer than down-after looked like a dead master: it answers nothing. Once it is called busy it does,
 * with an error, and an error is a sign of life. So the threshold must be shorter than down-after, as `up` sets it.
 */
import { expect, onTestFinished, test } from 'vitest'
import { EventBus } from '../../src/base/bus.js'
import { systemClock } from '../../src/base/clock.js'
import { MetricStore } from '../../src/metrics/store.js'
import { Client } from '../../src/net/client.js'
import { Observer } from '../../src/observer/observer.js'
import { Agent } from '../../src/sentinel/agent.js'
import { ownNode } from '../support/own-node.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')
const DOWN_AFTER_MS = 1500

redis.test('with redis-server', () => runLongScript(redis.path), 60_000)
test('with our nodes', () => runLongScript(ownNode()), 60_000)

async function runLongScript(program: string): Promise<void> {
  const nodes = await startGroup(program, 1, '--busy-reply-threshold', '100')
  const [master] = nodes as [RedisNode]
  const bus = new EventBus(() => systemClock.wall())
  const names: string[] = []
  bus.listen(({ name }) => names.push(name))
  const seeds = nodes.map(node => node.address)
  const observer = new Observer(systemClock, bus, undefined, { group: 'main', seeds, downAfterMs: DOWN_AFTER_MS })
  const gate = {
    hold: async () => ({ drained: true, inFlight: 0 }),
    release: async () => ({ heldCommands: 0, stallMs: 0 }),
  }
  const agent = new Agent(systemClock, bus, new MetricStore(), observer, gate, { failover: true })
  onTestFinished(async () => {
    agent.stop()
    observer.stop()
    await Promise.all(nodes.map(node => node.stop()))
  })
  observer.start()
  agent.start()
  await until('all is well', () => observer.diagnosis.name === 'ok')

  const client = new Client(master.address, { connectTimeoutMs: 2000, replyTimeoutMs: 30_000 })
  onTestFinished(() => client.close())
  const loop = `local function now() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end
    local till = now() + ${2 * DOWN_AFTER_MS} while now() < till do end return 'done'`
  expect(await client.send(['EVAL', loop, '0'])).toMatchObject({ value: 'done' })
  await until('all is well again', () => observer.diagnosis.name === 'ok')
  expect(names).not.toContain('+try-failover')
  expect(observer.view.groups[0]?.master?.id).toBe(master.id)
}
