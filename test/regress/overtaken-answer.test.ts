/**
 * A rollback had promoted the old master again, and its word for it was there. Then came an answer to a question of before,
 * that it was a replica of the candidate: the candidate was taken for the master that the group follows by itself.
 */
import { expect, onTestFinished, test } from 'vitest'
import { EventBus } from '../../src/base/bus.js'
import type { Dial, Line } from '../../src/observer/line.js'
import { Observer } from '../../src/observer/observer.js'
import { parseInfo } from '../../src/topology/facts.js'
import { Chance, SimGroup, VirtualClock } from '../support/sim-group.js'

test('an answer that was asked for before an order does not count after it', async () => {
  const clock = new VirtualClock()
  const group = new SimGroup(clock, new Chance(1), 2)
  const seeds = group.nodes.map(node => ({ host: 'sim', port: node.port }))
  const late: (() => void)[] = []
  let areLate = false
  const dial: Dial = (address, options) => {
    const line = group.dial(address, options)
    const send: Line['send'] = async (args, timeoutMs) => {
      const frame = await line.send(args, timeoutMs)
      if (areLate) await new Promise<void>(arrive => late.push(arrive))
      return frame
    }
    return { send, close: reason => line.close(reason), closed: false }
  }
  const bus = new EventBus(() => clock.wall())
  const observer = new Observer(clock, bus, undefined, { group: 'main', seeds, dial })
  onTestFinished(() => observer.stop())
  observer.start()
  await clock.run(clock.now() + 500)
  const replica = observer.group.instances.find(instance => instance.role === 'replica')
  if (replica === undefined) throw new Error('there is no replica')

  areLate = true
  observer.look([replica.id])
  await clock.run(clock.now() + 20)
  expect(late.length).toBeGreaterThan(0)
  // Meanwhile it obeys an order, and says so on another connection.
  const info = parseInfo('role:master\r\nmaster_replid:new\r\nmaster_repl_offset:1\r\n')
  if (info === undefined) throw new Error('unreadable')
  observer.observe(replica.id, { type: 'info', info })
  expect(observer.instance(replica.id)?.role).toBe('master')
  for (const arrive of late.splice(0)) arrive()
  await new Promise(setImmediate)
  expect(observer.instance(replica.id)?.role).toBe('master')

  // What is asked afterwards counts again: in truth it has never been promoted here.
  areLate = false
  for (const arrive of late.splice(0)) arrive()
  await clock.run(clock.now() + 2500)
  expect(observer.instance(replica.id)?.role).toBe('replica')
})
