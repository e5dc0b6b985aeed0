/** SIGHUP promised to take options over that it only read. Now each says what it does, and the level of the log does change. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { metricsOf, startProxy, temporaryFolder } from '../support/lagrange.js'
import { requireReal } from '../support/real.js'
import { startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.test('SIGHUP takes over what it says, tells what needs a restart, and survives a mistake', async () => {
  const nodes = await startGroup(redis.path, 0)
  try {
    const file = join(temporaryFolder(), 'proxy.yaml')
    writeFileSync(file, 'log:\n  level: info\n')
    const proxy = await startProxy([(nodes[0] as { id: string }).id], '-c', file)
    const reload = async (text: string, expected: string): Promise<void> => {
      writeFileSync(file, text)
      proxy.process.kill('SIGHUP')
      await until(expected, () => proxy.output().includes(expected))
    }
    await reload('hold:\n  timeoutMs: 5\n', '"event":"+config-needs-restart","option":"hold.timeoutMs"')
    await reload('hold:\n  timeoutMs: soon\n', '"event":"-config-reload"')
    expect((await metricsOf(proxy.adminPort)).get('lagrange_config_last_reload_successful')).toBe(0)
    await reload('log:\n  level: debug\n', '"event":"+config-reload"')
    expect((await metricsOf(proxy.adminPort)).get('lagrange_config_last_reload_successful')).toBe(1)
  } finally {
    for (const node of nodes) await node.stop()
  }
})
