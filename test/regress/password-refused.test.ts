/**
 * A worker whose password an instance refused tried again without a pause, and wrote thousands of lines a second about
 * it; `/readyz` said that all was well.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { clientOf, launchProxy, readyz, startProxy, startUp, temporaryFolder } from '../support/lagrange.js'
import { until } from '../support/redis-group.js'

test('a master that begins to refuse our password is tried with growing pauses, and is not ready', {
  timeout: 60_000,
}, async () => {
  const up = await startUp({ replicas: 0 })
  const port = up.nodePorts[0] as number
  const node = clientOf(port)
  await node.call('CONFIG', 'SET', 'requirepass', 'first')
  const passwordFile = join(temporaryFolder(), 'password')
  writeFileSync(passwordFile, 'first\n', { mode: 0o600 })
  const proxy = await startProxy(
    [`127.0.0.1:${port}`],
    ...['--upstream-password-file', passwordFile, '--hold-timeout-ms', '100'],
  )
  await clientOf(proxy.port).call('SET', 'k', 'v')

  await node.call('CONFIG', 'SET', 'requirepass', 'second')
  await node.call('CLIENT', 'KILL', 'TYPE', 'normal')
  const refused = await clientOf(proxy.port).send(['SET', 'k', 'v'])
  expect(refused.type).toBe('error')
  await until('it is not ready', async () => (await readyz(proxy.adminPort)).status === 503)
  expect((await readyz(proxy.adminPort)).reasons.join()).toContain('master-denied')
  await sleep(500)
  expect(proxy.output().split('"reason":"auth-failed"').length).toBeLessThan(30)

  // `node` was authenticated before and spared by SKIPME; the old password makes all well again, by itself.
  await node.call('CONFIG', 'SET', 'requirepass', 'first')
  await until('it is ready again', async () => (await readyz(proxy.adminPort)).status === 200)
  // That the observer has seen it does not mean that the worker has: it tries again with pauses that have grown.
  await until('it writes again', async () => (await clientOf(proxy.port).send(['SET', 'k', 'w'])).type !== 'error')
  expect(proxy.output()).not.toContain('first')
})

test('a password that is wrong from the start is named as the cause: in readiness, status, log and metrics', {
  timeout: 60_000,
}, async () => {
  const up = await startUp({ replicas: 0 })
  const port = up.nodePorts[0] as number
  await clientOf(port).call('CONFIG', 'SET', 'requirepass', 'right')
  const passwordFile = join(temporaryFolder(), 'password')
  writeFileSync(passwordFile, 'wrong\n', { mode: 0o600 })
  const proxy = await launchProxy([`127.0.0.1:${port}`], '--upstream-password-file', passwordFile)

  await until('the reason is told', async () =>
    (await readyz(proxy.adminPort)).reasons.join().includes('refuses our user or password'),
  )
  const topology = (await (await fetch(`http://127.0.0.1:${proxy.adminPort}/api/v1/topology`)).json()) as {
    groups: { diagnosis: string; about: string[]; members: { excluded: string }[] }[]
  }
  const member = { id: `127.0.0.1:${port}`, excluded: 'denied' }
  expect(topology.groups[0]).toMatchObject({ diagnosis: 'access-denied', about: [member.id], members: [member] })
  await until('the log says so', () => proxy.output().includes('"event":"+denied"'))
  expect(proxy.output()).not.toContain('wrong')
})
