/** A request to stop that came twice, or a supervisor that was killed while it stopped, left a worker behind that served nobody. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { isAlive } from '../../src/cli/data-dir.js'
import { clientOf, type Lagrange, startProxy, startUp } from '../support/lagrange.js'
import { until } from '../support/redis-group.js'

const workerOf = (proxy: Lagrange): number => Number(/"event":"\+worker",.*"pid":(\d+)/.exec(proxy.output())?.[1])

/** A proxy that takes a while to stop: a client of it waits for something. */
async function startBusyProxy(): Promise<Lagrange> {
  const up = await startUp({ replicas: 0 })
  const proxy = await startProxy([`127.0.0.1:${up.nodePorts[0]}`])
  clientOf(proxy.port)
    .call('BLPOP', 'nothing', '0')
    .catch(() => undefined)
  const node = clientOf(up.nodePorts[0] as number)
  await until('the client waits', async () => {
    const info = await node.call('INFO', 'clients')
    return info.type === 'bulk' && info.value.toString().includes('blocked_clients:1')
  })
  return proxy
}

test('a signal that a parent passes on a second time is one request to stop', { timeout: 60_000 }, async () => {
  const proxy = await startBusyProxy()
  const worker = workerOf(proxy)
  const stopped = proxy.stop()
  await sleep(100)
  proxy.process.kill('SIGTERM')
  expect(await stopped).toBe(0)
  expect(isAlive(worker)).toBe(false)
})

test('a worker that drains outlives its supervisor only until it has drained', { timeout: 60_000 }, async () => {
  const proxy = await startBusyProxy()
  const worker = workerOf(proxy)
  proxy.process.kill('SIGTERM')
  await until(
    'it drains',
    async () =>
      (await clientOf(proxy.port)
        .call('PING')
        .catch(() => undefined)) === undefined,
  )
  await proxy.stop('SIGKILL')
  await until('the worker ends', async () => !isAlive(worker), 15_000)
})
