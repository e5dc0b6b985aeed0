/**
 * A master that is busy with one long command answers no PING, and after `downAfterMs` it is shown as down. What it had been
 * asked was then answered -UNKNOWNRESULT, 100 ms later, although nobody was master in its place and it would have answered.
 * Once that was mended it was so after 250 ms: a master that is down is shown among the replicas, of which nobody may be silent
 * for longer.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { GroupView } from '../../src/topology/view.js'
import { inFrontOfLinks, openClient } from '../support/in-front.js'
import type { ProxyUnderTest } from '../support/proxy.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

function show(proxy: ProxyUnderTest, view: GroupView): void {
  proxy.worker.setView({ epoch: performance.now(), groups: [view] })
}

/** As the control plane shows one that is down. */
function withoutMaster(view: GroupView): GroupView {
  const down = view.master === undefined ? [] : [{ ...view.master, excluded: 'down' as const }]
  return { ...view, master: undefined, replicas: [...down, ...view.replicas] }
}

redis.describe('a master that is silent, with nobody in its place', () => {
  test('answers what it was asked, and what came meanwhile in its order, when it is heard again', async () => {
    const { proxy, master, toMaster } = await inFrontOfLinks(redis.path, { holdTimeoutMs: 60_000, readTimeoutMs: 1 })
    const [client, blocked] = [await openClient(proxy), await openClient(proxy)]
    await client.call('SET', 'key', '0')
    blocked.send(['BLPOP', 'list', '0'])
    await until('one waits at the master', () => proxy.worker.group?.master?.pending === 1)
    toMaster.stall(true)
    client.send(['APPEND', 'key', '1'])
    await until('both are sent', () => proxy.worker.group?.master?.pending === 2)
    const silent = proxy.worker.group?.master
    const view = proxy.view as GroupView
    show(proxy, withoutMaster(view))
    client.send(['APPEND', 'key', '2'])
    await until('it is kept', () => proxy.worker.group?.keptCommands === 1)
    // Longer than a replica may be silent: it stands among them now.
    await sleep(200)
    toMaster.stall(false)
    await until('it has answered', () => client.frames.length === 1)
    show(proxy, view)
    expect(await client.next()).toMatchObject({ value: 2 })
    expect(await client.next()).toMatchObject({ value: 3 })
    expect(proxy.worker.group?.master).toBe(silent)
    await client.call('RPUSH', 'list', 'x')
    expect(await blocked.next()).toMatchObject({ items: [{ value: 'list' }, { value: 'x' }] })
    expect((await master.info()).role).toBe('master')
  })

  test('is waited for no longer when there is another master', async () => {
    const { proxy, replica, toMaster } = await inFrontOfLinks(redis.path, { holdTimeoutMs: 60_000 })
    const client = await openClient(proxy)
    await client.call('SET', 'key', '0')
    toMaster.stall(true)
    client.send(['APPEND', 'key', '1'])
    await until('it is sent', () => proxy.worker.group?.master?.pending === 1)
    show(proxy, withoutMaster(proxy.view as GroupView))
    expect(proxy.worker.group?.master).toBe(undefined)
    await replica.call('REPLICAOF', 'NO', 'ONE')
    await proxy.setMembers(replica.port, [])
    expect(await client.next()).toMatchObject({ value: expect.stringContaining('UNKNOWNRESULT') })
  })
})
