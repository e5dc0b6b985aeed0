/**
 * Two proxies with two workers each follow three sentinels. A switch is ordered from one of them: it holds its own writes, the
 * sentinels pause those of the other one at the old master, and no client of either is told of an error.
 */
import { expect, onTestFinished } from 'vitest'
import { itemsOf, textOf } from '../../src/resp/protocol.js'
import { clientOf, type Lagrange, startProxy } from '../support/lagrange.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'
import { startSentinels } from '../support/sentinels.js'

const server = requireReal('redis-server')

server.test(
  'a fleet sees an ordered switch together: no errors, nothing lost',
  async () => {
    const nodes = await startGroup(server.path, 2)
    onTestFinished(async () => void (await Promise.all(nodes.map(node => node.stop()))))
    const [master] = nodes as [RedisNode]
    const settings = { masterPort: master.port, quorum: 2, downAfterMs: 10_000, failoverTimeoutMs: 20_000 }
    const sentinels = await startSentinels(['ours', 'ours', 'ours'], '', settings, 2)
    onTestFinished(async () => void (await Promise.all(sentinels.map(sentinel => sentinel.stop()))))
    const named = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')
    const source = ['--topology-source', 'sentinel', '--sentinels', named, '--group', 'main', '--workers', '2']
    const proxies = [await startProxy(['127.0.0.1:1'], ...source), await startProxy(['127.0.0.1:1'], ...source)]

    const errors: string[] = []
    const acked: { list: string; values: string[] }[] = []
    let stopped = false
    const write = async (proxy: Lagrange, list: string): Promise<void> => {
      const client = clientOf(proxy.port, { replyTimeoutMs: 30_000 })
      const values: string[] = []
      acked.push({ list, values })
      for (let value = 0; !stopped; value++) {
        const frame = await client.send(['RPUSH', list, String(value)])
        if (frame.type === 'error') errors.push(frame.value)
        else values.push(String(value))
      }
    }
    const writers = proxies.flatMap((proxy, at) => [0, 1, 2, 3].map(index => write(proxy, `list:${at}:${index}`)))
    const progress = (): Promise<void> => {
      const marks = acked.map(({ values }) => values.length)
      return until('all write', () => acked.every(({ values }, at) => values.length > (marks[at] as number) + 20))
    }
    await progress()

    const response = await fetch(`http://127.0.0.1:${proxies[0]?.adminPort}/api/v1/switchover`, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    })
    expect(response.status, await response.clone().text()).toBe(200)
    await progress()
    stopped = true
    await Promise.all(writers)

    expect(errors).toEqual([])
    const { report } = (await response.json()) as { report: { to: string } }
    const next = nodes.find(({ id }) => id === report.to) as RedisNode
    expect(next).not.toBe(master)
    for (const { list, values } of acked) {
      expect(itemsOf(await next.call('LRANGE', list, '0', '-1')).map(item => textOf(item))).toEqual(values)
    }
  },
  120_000,
)
