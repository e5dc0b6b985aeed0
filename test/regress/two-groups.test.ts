/** A proxy that was pointed at the masters of two groups by mistake demoted one of them, and all its data were gone. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { clientOf, startProxy, startUp } from '../support/lagrange.js'

test('lagrange proxy --failover on leaves a second group alone', { timeout: 60_000 }, async () => {
  // The one with a replica is taken for the group; the other has data of its own.
  const ports = [await startUp({ replicas: 1 }), await startUp({ replicas: 0 })].map(up => up.nodePorts[0] as number)
  for (const port of ports) await clientOf(port).call('SET', 'whose', `${port}`)

  await startProxy(
    ports.map(port => `127.0.0.1:${port}`),
    ...['--failover', 'on'],
  )
  await sleep(2000)
  for (const port of ports) {
    const client = clientOf(port)
    expect(textOf(await client.call('GET', 'whose'))).toBe(`${port}`)
    expect(textOf(await client.call('INFO', 'replication'))).toContain('role:master')
  }
})
