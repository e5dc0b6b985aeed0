/** Reads that are late at one replica are asked of another one, and whose answer comes second is dropped. */
import { expect, onTestFinished, test } from 'vitest'
import type { WorkerOptions } from '../../src/proxy/options.js'
import { type DelayLink, startDelayLink } from '../support/delay.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { until } from '../support/redis-group.js'
import { infoOf, startNode, type TestNode } from '../support/servers.js'

interface Scene {
  readonly proxy: ProxyUnderTest
  readonly client: RawClient
  readonly master: TestNode
  /** Between the proxy and the first replica. */
  readonly link: DelayLink
}

async function start(options: Partial<WorkerOptions>): Promise<Scene> {
  const master = await startNode()
  const replicas = await Promise.all(
    [1, 2].map(() => startNode({ args: ['--replicaof', '127.0.0.1', String(master.port)] })),
  )
  for (const node of replicas) {
    await until('it is linked', async () => (await infoOf(node, 'replication')).master_link_status === 'up')
  }
  const [first, second] = replicas as [TestNode, TestNode]
  const link = await startDelayLink({ host: '127.0.0.1', port: first.port }, 0)
  const proxy = new ProxyUnderTest({ readTimeoutMs: 30_000, ejectOutliers: false, ...options })
  onTestFinished(async () => {
    await proxy.stop()
    await link.close()
  })
  await proxy.start(master.port, [link.port, second.port])
  await master.call('SET', 'k', 'value')
  await until('both replicas may be read', () => {
    return proxy.worker.group?.replicas.every(({ usable, applied }) => usable && applied > 0) === true
  })
  const client = await RawClient.open(proxy.port)
  onTestFinished(() => client.close())
  for (let turn = 0; turn < 200; turn++) expect(await client.call('GET', 'k')).toBe('value')
  return { proxy, client, master, link }
}

const hedged = (proxy: ProxyUnderTest, result: string): number => proxy.count('lagrange_hedged_reads_total', { result })

/** Has the first replica hang, and asks until a read has gone there. */
async function hang({ proxy, link }: Scene): Promise<void> {
  link.stall(true)
  const [replica] = proxy.worker.group?.replicas ?? []
  if (replica !== undefined) replica.latencyMs = 0.0001
}

test('a read that hangs is answered by another replica; the late answer is dropped and nothing is mixed up', async () => {
  const scene = await start({ hedge: { percent: 100, afterMs: 5 } })
  const { proxy, client, link } = scene
  await hang(scene)
  for (let turn = 0; turn < 5; turn++) {
    const key = `k${turn % 2 === 0 ? '' : ':absent'}`
    expect(await client.call('GET', key)).toBe(turn % 2 === 0 ? 'value' : null)
  }
  expect(hedged(proxy, 'won')).toBeGreaterThan(0)
  link.stall(false)
  await until('the late answers have come', () => proxy.worker.group?.replicas.every(one => one.pending === 0) === true)
  expect(proxy.worker.group?.replicas.map(one => one.slow)).toEqual([0, 0])
  for (let turn = 0; turn < 50; turn++) {
    const values = await client.pipeline(['SET', `n${turn}`, `${turn}`], ['GET', `n${turn}`], ['GET', 'k'])
    expect(values).toEqual(['OK', `${turn}`, 'value'])
  }
})

test('it is off unless asked for, and nothing is asked twice that is not alone in flight', async () => {
  const off = await start({})
  expect(hedged(off.proxy, 'asked')).toBe(0)

  const scene = await start({ hedge: { percent: 100, afterMs: 5 } })
  const { proxy, client, link } = scene
  await hang(scene)
  const before = hedged(proxy, 'asked')
  client.send(['GET', 'k'], ['GET', 'k'])
  await new Promise(resolve => setTimeout(resolve, 100))
  expect(hedged(proxy, 'asked')).toBe(before)
  link.stall(false)
  expect(await client.next()).toMatchObject({ value: 'value' })
  expect(await client.next()).toMatchObject({ value: 'value' })
})

test('a replica that has not applied a write is not asked instead: the read waits, or is the master’s', async () => {
  const scene = await start({ hedge: { percent: 100, afterMs: 5 } })
  const { client, master } = scene
  for (let turn = 0; turn < 50; turn++) {
    expect(await client.pipeline(['SET', 'k', `${turn}`])).toEqual(['OK'])
    expect(await client.call('GET', 'k')).toBe(`${turn}`)
  }
  expect(await master.call('GET', 'k')).toMatchObject({ value: '49' })
})
