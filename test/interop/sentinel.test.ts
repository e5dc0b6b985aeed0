/**
 * Sentinels of ours and redis-sentinel in one quorum around real servers: whoever leads, all agree.
 */
import { expect, onTestFinished } from 'vitest'
import type { InfoReply } from '../../src/topology/facts.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'
import { type SentinelKind, type SentinelProcess, startSentinels } from '../support/sentinels.js'

const server = requireReal('redis-server')
const real = requireReal('redis-sentinel')

interface Scene {
  readonly nodes: readonly RedisNode[]
  readonly master: RedisNode
  readonly sentinels: readonly SentinelProcess[]
}

async function scene(...kinds: readonly SentinelKind[]): Promise<Scene> {
  const nodes = await startGroup(server.path, 2)
  onTestFinished(async () => void (await Promise.all(nodes.map(node => node.stop()))))
  const [master] = nodes as [RedisNode]
  const settings = { masterPort: master.port, quorum: 2, downAfterMs: 2000, failoverTimeoutMs: 6000 }
  const sentinels = await startSentinels(kinds, real.path, settings, 2)
  onTestFinished(async () => void (await Promise.all(sentinels.map(sentinel => sentinel.stop()))))
  return { nodes, master, sentinels }
}

/** All name the same master, another than `old`, with one configuration epoch, and it is one. */
async function untilAgreed({ nodes, sentinels }: Scene, old: RedisNode): Promise<RedisNode> {
  let elected: RedisNode | undefined
  await until(
    'all sentinels agree on a new master',
    async () => {
      const masters = await Promise.all(sentinels.map(sentinel => sentinel.master()))
      const ports = new Set(masters.map(master => master.get('port')))
      const epochs = new Set(masters.map(master => master.get('config-epoch')))
      elected = nodes.find(node => ports.has(String(node.port)))
      if (ports.size !== 1 || epochs.size !== 1 || elected === undefined || elected === old) return false
      return (await look(elected))?.role === 'master'
    },
    60_000,
  )
  return elected as RedisNode
}

/** Whoever changes a role ends the connections of clients: then ask again. */
function look(node: RedisNode): Promise<InfoReply | undefined> {
  return node.info().catch(() => undefined)
}

function leaders({ sentinels }: Scene): readonly SentinelKind[] {
  return sentinels.filter(({ log }) => log.includes('+elected-leader')).map(({ kind }) => kind)
}

real.test(
  'one of ours among two real ones leads, and the old master comes back as a replica',
  async () => {
    const all = await scene('ours', 'real', 'real')
    // By silence they would not see it within this test; by evidence ours does, and has their votes.
    for (const other of all.sentinels.slice(1)) {
      await other.call('SENTINEL', 'SET', 'main', 'down-after-milliseconds', '600000')
    }
    all.master.signal('SIGKILL')
    const elected = await untilAgreed(all, all.master)
    expect(leaders(all)).toEqual(['ours'])

    await all.master.start()
    await until(
      'the old master follows the new one',
      async () => (await look(all.master))?.master?.address.port === elected.port,
      30_000,
    )
  },
  120_000,
)

real.test(
  'ours obeys when real ones lead while it stands still',
  async () => {
    const all = await scene('ours', 'real', 'real')
    const [ours] = all.sentinels as [SentinelProcess]
    ours.signal('SIGSTOP')
    onTestFinished(() => ours.signal('SIGCONT'))
    all.master.signal('SIGKILL')
    const others = all.sentinels.slice(1)
    await until(
      'the real ones have switched',
      async () => (await Promise.all(others.map(other => other.masterPort()))).every(port => port !== all.master.port),
      60_000,
    )
    ours.signal('SIGCONT')
    await untilAgreed(all, all.master)
    expect(leaders(all)).toEqual(['real'])
  },
  120_000,
)

real.test(
  'a vote survives the death of the voter, and a minority promotes nobody',
  async () => {
    const all = await scene('ours', 'ours', 'real')
    all.master.signal('SIGKILL')
    const elected = await untilAgreed(all, all.master)
    const [first, second, third] = all.sentinels as [SentinelProcess, SentinelProcess, SentinelProcess]
    const epoch = /leader-epoch main (\d+)/.exec(second.conf)?.[1]
    expect(Number(epoch)).toBeGreaterThan(0)

    await second.kill()
    await second.start()
    expect((await second.master()).get('config-epoch')).toBe((await first.master()).get('config-epoch'))
    expect(await second.masterPort()).toBe(elected.port)

    // Alone with a dead master: it sees the death, and must not act.
    await Promise.all([second.kill(), third.kill()])
    elected.signal('SIGKILL')
    await until('it is sdown', async () => ((await first.master()).get('flags') ?? '').includes('s_down'), 30_000)
    await first.call('PING')
    expect((await first.master()).get('flags')).not.toContain('o_down')
    expect(await first.masterPort()).toBe(elected.port)
  },
  120_000,
)
