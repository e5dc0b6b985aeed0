/**
 * A group whose replicas are always late, behind a proxy: where a plain splitter of reads breaks what applications expect.
 */
import { onTestFinished } from 'vitest'
import { startDelayLink } from './delay.js'
import { ProxyUnderTest } from './proxy.js'
import { until } from './redis-group.js'
import { infoOf, type ServerOptions, type TestServer } from './servers.js'

/** `start` is `startNode` or `startRedis` of servers.ts. */
export async function startLateGroup(
  start: (options?: ServerOptions) => Promise<TestServer>,
  delayMs: number,
): Promise<ProxyUnderTest> {
  const master = await start()
  const replicas = await Promise.all(
    [1, 2].map(async () => {
      const link = await startDelayLink({ host: '127.0.0.1', port: master.port }, delayMs)
      onTestFinished(() => link.close())
      return start({ args: ['--replicaof', '127.0.0.1', String(link.port)] })
    }),
  )
  await until('the replicas are linked', async () =>
    (await Promise.all(replicas.map(node => infoOf(node, 'replication')))).every(
      info => info.master_link_status === 'up',
    ),
  )
  const proxy = new ProxyUnderTest()
  onTestFinished(() => proxy.stop())
  await proxy.start(
    master.port,
    replicas.map(node => node.port),
  )
  await master.call('SET', 'streaming', 'yes')
  await until('the replicas are read from', () => proxy.worker.group?.replicas.every(one => one.applied > 0) === true)
  return proxy
}

/** Reads that were answered by replicas. */
export function readsAtReplicas(proxy: ProxyUnderTest): number {
  return proxy.count('lagrange_commands_total', { target: 'replica' })
}
