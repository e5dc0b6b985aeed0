/**
 * Our process was away while a switch was running and the master could not be reached. The first timer that fired
 * afterwards was the agent's, not the observer's: everybody seemed to have been silent for as long as we had slept, and
 * a master that was fine was replaced.
 */
import { expect, test } from 'vitest'
import { EventBus } from '../../src/base/bus.js'
import { MetricStore } from '../../src/metrics/store.js'
import { Observer } from '../../src/observer/observer.js'
import { Agent } from '../../src/sentinel/agent.js'
import { Chance, SimGroup, VirtualClock } from '../support/sim-group.js'

test('nobody is replaced because we slept', async () => {
  const clock = new VirtualClock()
  const group = new SimGroup(clock, new Chance(1), 3)
  const bus = new EventBus(() => clock.wall())
  const names: string[] = []
  bus.listen(({ name }) => names.push(name))
  const { dial } = group
  const seeds = group.nodes.map(node => ({ host: 'sim', port: node.port }))
  const observer = new Observer(clock, bus, undefined, { group: 'main', seeds, downAfterMs: 400, dial })
  const gate = {
    hold: async () => ({ drained: true, inFlight: 0 }),
    release: async () => ({ heldCommands: 0, stallMs: 0 }),
  }
  const agent = new Agent(clock, bus, new MetricStore(), observer, gate, { failover: true, dial })
  observer.start()
  agent.start()
  await clock.run(clock.now() + 500)

  group.cut(0, 7001, true)
  void agent.switchover({ timeoutMs: 500 })
  await clock.run(clock.now() + 250)
  clock.jump(3000)
  await clock.run(clock.now() + 50)

  expect(names).toContain('+tilt')
  expect(names).not.toContain('+try-failover')
  agent.stop()
  observer.stop()
})
