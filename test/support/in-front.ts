/** A proxy in front of something, for one test: both end with it. */
import { onTestFinished } from 'vitest'
import type { WorkerOptions } from '../../src/proxy/worker.js'
import { type DelayLink, startDelayLink } from './delay.js'
import { type Answers, type FakeUpstream, startFakeUpstream } from './fake-upstream.js'
import { freePort } from './ports.js'
import { ProxyUnderTest } from './proxy.js'
import { RawClient } from './raw-client.js'
import { RedisNode, startGroup, until } from './redis-group.js'

/** In front of a master that answers as the test likes. */
export async function inFrontOfFake(answers: Answers): Promise<{ proxy: ProxyUnderTest; upstream: FakeUpstream }> {
  const upstream = await startFakeUpstream(answers)
  const proxy = new ProxyUnderTest()
  onTestFinished(async () => {
    await proxy.stop()
    await upstream.close()
  })
  await proxy.start(upstream.port, [])
  return { proxy, upstream }
}

export interface Linked {
  readonly proxy: ProxyUnderTest
  readonly master: RedisNode
  readonly replica: RedisNode
  /** Between the proxy and the master, and between the master and its replica. */
  readonly toMaster: DelayLink
  readonly toReplica: DelayLink
}

/** In front of a real master and its replica, with links that can be stalled. */
export async function inFrontOfLinks(program: string, options: Partial<WorkerOptions>): Promise<Linked> {
  const [master] = (await startGroup(program, 0)) as [RedisNode]
  const [toMaster, toReplica] = [await startDelayLink(master.address, 0), await startDelayLink(master.address, 0)]
  const replica = new RedisNode(program, await freePort())
  const proxy = new ProxyUnderTest(options)
  onTestFinished(async () => {
    await proxy.stop()
    await Promise.all([master.stop(), replica.stop(), toMaster.close(), toReplica.close()])
  })
  await replica.start('--replicaof', '127.0.0.1', String(toReplica.port))
  await until('the replica is linked', async () => (await replica.info()).master?.up === true)
  await proxy.start(toMaster.port, [replica.port])
  return { proxy, master, replica, toMaster, toReplica }
}

export async function openClient(proxy: ProxyUnderTest): Promise<RawClient> {
  const client = await RawClient.open(proxy.port)
  onTestFinished(() => client.close())
  return client
}
