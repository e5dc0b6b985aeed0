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
    writeFileSync(file, 'log:\n  level: debug\n')
    proxy.process.kill('SIGHUP')
    const isSuccessful = async () =>
      (await metricsOf(proxy.adminPort)).get('lagrange_config_last_reload_successful') === 1
    await until('the mistake is mended', isSuccessful)
  } finally {
    for (const node of nodes) await node.stop()
  }
})

redis.test(
  'what a reload took over is in force: the API shows it, and the next reload does not call it a change',
  async () => {
    const nodes = await startGroup(redis.path, 0)
    try {
      const file = join(temporaryFolder(), 'proxy.yaml')
      writeFileSync(file, 'log:\n  level: info\n')
      const proxy = await startProxy([(nodes[0] as { id: string }).id], '-c', file)
      const api = `http://127.0.0.1:${proxy.adminPort}/api/v1`
      const reload = async () => {
        const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }
        return (await fetch(`${api}/config/reload`, init)).json() as Promise<{
          changes: { path: string; effect: string }[]
        }>
      }
      writeFileSync(file, 'log:\n  level: warn\nhold:\n  timeoutMs: 5\nrules:\n  - user: app\n    level: eventual\n')
      const first = (await reload()).changes.map(({ path, effect }) => `${path} ${effect}`)
      expect(first.toSorted()).toEqual(['hold.timeoutMs restart', 'log.level live', 'rules live'])
      expect((await reload()).changes.map(({ path }) => path)).toEqual(['hold.timeoutMs'])
      const { values, origins } = (await (await fetch(`${api}/config`)).json()) as Record<
        string,
        Record<string, unknown>
      >
      expect([values?.['log.level'], values?.['hold.timeoutMs']]).toEqual(['warn', 3000])
      expect(origins?.['log.level']).toBe(`${file}:2`)
      const { rules } = (await (await fetch(`${api}/rules`)).json()) as {
        rules: { appliesTo: string; level: string }[]
      }
      expect(rules.at(-1)).toMatchObject({ appliesTo: 'user app', level: 'eventual' })
    } finally {
      for (const node of nodes) await node.stop()
    }
  },
)
