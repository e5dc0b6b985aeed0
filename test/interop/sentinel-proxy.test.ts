/**
 * The proxy behind sentinels, ours and real ones: their master is used at once, and a switch is ordered from them.
 */
import { expect, onTestFinished } from 'vitest'
import { Client } from '../../src/net/client.js'
import { numberOf, textOf } from '../../src/resp/protocol.js'
import { startProxy } from '../support/lagrange.js'
import { requireReal } from '../support/real.js'
import { startGroup, until } from '../support/redis-group.js'
import { startSentinels } from '../support/sentinels.js'

const server = requireReal('redis-server')
const real = requireReal('redis-sentinel')

real.test(
  'follows sentinels through a death and a switch',
  async () => {
    const nodes = await startGroup(server.path, 2)
    onTestFinished(async () => void (await Promise.all(nodes.map(node => node.stop()))))
    const [master] = nodes as [(typeof nodes)[number]]
    const settings = { masterPort: master.port, quorum: 2, downAfterMs: 1000, failoverTimeoutMs: 4000 }
    const sentinels = await startSentinels(['ours', 'ours', 'real'], real.path, settings, 2)
    onTestFinished(async () => void (await Promise.all(sentinels.map(sentinel => sentinel.stop()))))

    // One sentinel is enough to find the others, and no instance need be named.
    const [first] = sentinels as [(typeof sentinels)[number]]
    const source = ['--topology-source', 'sentinel', '--sentinels', `127.0.0.1:${first.port}`, '--group', 'main']
    const proxy = await startProxy(['127.0.0.1:1'], ...source)
    const client = new Client(
      { host: '127.0.0.1', port: proxy.port },
      { connectTimeoutMs: 2000, replyTimeoutMs: 30_000 },
    )
    onTestFinished(() => client.close())
    await until('it knows all sentinels', () => proxy.output().split('+sentinel-link').length > 3)
    expect(numberOf(await client.call('INCR', 'counter'))).toBe(1)

    master.signal('SIGKILL')
    await until(
      'writes are served again',
      async () => numberOf(await client.send(['INCR', 'counter'])) !== undefined,
      60_000,
    )
    let agreed = master.port
    await until('the first sentinel has heard of it', async () => (agreed = await first.masterPort()) !== master.port)

    await master.start('--replicaof', '127.0.0.1', String(agreed))
    await until('it replicates', async () => (await master.info().catch(() => undefined))?.master?.up === true, 30_000)
    const before = Number(textOf(await client.call('GET', 'counter')))
    const response = await fetch(`http://127.0.0.1:${proxy.adminPort}/api/v1/switchover`, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    })
    expect(response.status, await response.clone().text()).toBe(200)
    expect(numberOf(await client.call('INCR', 'counter'))).toBe(before + 1)
    let elected = agreed
    await until('it has heard of the switch', async () => (elected = await first.masterPort()) !== agreed)
    expect((await response.json()) as object).toMatchObject({ report: { to: `127.0.0.1:${elected}` } })
  },
  180_000,
)

real.test(
  'an agent does nothing by itself while it hears sentinels of its group',
  async () => {
    const nodes = await startGroup(server.path, 1)
    onTestFinished(async () => void (await Promise.all(nodes.map(node => node.stop()))))
    const [master] = nodes as [(typeof nodes)[number]]
    // One that cannot do anything itself: its quorum is two.
    const settings = { masterPort: master.port, quorum: 2, downAfterMs: 500, failoverTimeoutMs: 4000 }
    const [sentinel] = await startSentinels(['ours'], real.path, settings, 1)
    onTestFinished(async () => sentinel?.stop())
    const proxy = await startProxy([`127.0.0.1:${master.port}`], '--failover', 'on')
    await until('it hears the sentinel', () => proxy.output().includes('+foreign-sentinels'))
    master.signal('SIGKILL')
    await until(
      'the sentinel sees it down',
      async () => (await sentinel?.master())?.get('flags')?.includes('s_down') === true,
    )
    await until('the agent sees it down', () => proxy.output().includes('master-down'))
    expect(proxy.output()).not.toContain('+try-failover')
  },
  60_000,
)
