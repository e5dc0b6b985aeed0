/** `lagrange up` and all of its nodes killed at the same moment: what was acknowledged is there again. */
import { expect, test } from 'vitest'
import { textOf } from '../../src/resp/protocol.js'
import { clientOf, type Lagrange, startUp } from '../support/lagrange.js'
import { until } from '../support/redis-group.js'

async function info(port: number, section: string): Promise<string> {
  return textOf(await clientOf(port).call('INFO', section)) ?? ''
}

/** Nothing may act between the first kill and the last: `up` would start a node again, a replica would be promoted. */
async function killAll(up: Lagrange): Promise<void> {
  const pids = await Promise.all(
    up.nodePorts.map(async port => Number(/process_id:(\d+)/.exec(await info(port, 'server'))?.[1])),
  )
  const gone = up.stop('SIGKILL')
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  await gone
  for (const pid of pids) await until(`process ${pid} is gone`, () => !isAlive(pid))
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function masterOf(up: Lagrange): Promise<number> {
  for (const port of up.nodePorts) if (/role:master/.test(await info(port, 'replication'))) return port
  throw new Error('no node is a master')
}

test('kill -9 of every process: nothing that was acknowledged is lost', { timeout: 120_000 }, async () => {
  const up = await startUp()
  const client = clientOf(up.port)
  for (let index = 0; index < 500; index++) await client.call('SET', `key:${index}`, `${index}`)
  await client.call('RPUSH', 'list', 'a', 'b')
  await killAll(up)

  const again = await startUp({ dataDir: up.dataDir, ports: up })
  const reader = clientOf(again.port)
  for (let index = 0; index < 500; index++) expect(textOf(await reader.call('GET', `key:${index}`))).toBe(`${index}`)
  expect(await reader.call('LLEN', 'list')).toMatchObject({ value: 2 })

  // Stopped in order they are all at the same place of the stream, which their files note: nobody needs a copy.
  expect(await again.stop()).toBe(0)
  const third = await startUp({ dataDir: up.dataDir, ports: up })
  const replication = await info(await masterOf(third), 'stats')
  expect(replication).toMatch(/sync_full:0\r\n/)
  // Two replicas, and maybe the witness.
  expect(replication).toMatch(/sync_partial_ok:[23]\r\n/)
  expect(textOf(await clientOf(third.port).call('GET', 'key:499'))).toBe('499')
})
