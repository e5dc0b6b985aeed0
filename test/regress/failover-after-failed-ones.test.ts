/**
 * Attempts that found no candidate are repeated later and later. When the group had become well again and the next master
 * died, the pause after the last of them went on: up to five seconds without a master, although there was a candidate.
 */
import { expect, test } from 'vitest'
import { EventBus } from '../../src/base/bus.js'
import { MetricStore } from '../../src/metrics/store.js'
import { Observer } from '../../src/observer/observer.js'
import { Agent } from '../../src/sentinel/agent.js'
import { Chance, SimGroup, type SimNode, VirtualClock } from '../support/sim-group.js'

const gate = {
  hold: async () => ({ drained: true, inFlight: 0 }),
  release: async () => ({ heldCommands: 0, stallMs: 0 }),
}

test('a failover does not wait for the failures of another one', async () => {
  const clock = new VirtualClock()
  const sim = new SimGroup(clock, new Chance(1), 2)
  const { dial } = sim
  const bus = new EventBus(() => clock.wall())
  let failures = 0
  bus.listen(({ name }) => void (name === '-failover-abort-no-good-slave' && failures++))
  const seeds = sim.nodes.map(({ port }) => ({ host: 'sim', port }))
  const observer = new Observer(clock, bus, undefined, { group: 'main', seeds, downAfterMs: 400, dial })
  const agent = new Agent(clock, bus, new MetricStore(), observer, gate, { failover: true, dial })
  observer.start()
  agent.start()
  await clock.run(clock.now() + 500)
  const [master, replica] = sim.nodes as [SimNode, SimNode]
  // Nobody can take its place: its replica has another history.
  sim.kill(master)
  replica.replid = sim.fresh('id')
  await clock.run(clock.now() + 4000)
  expect(failures).toBeGreaterThan(3)
  master.restart(true)
  await clock.run(clock.now() + 900)
  expect([observer.diagnosis.name, observer.group.declared]).toEqual(['ok', master.id])
  sim.kill(master)
  await clock.run(clock.now() + 300)
  expect(observer.group.declared).toBe(replica.id)
  agent.stop()
  observer.stop()
})
