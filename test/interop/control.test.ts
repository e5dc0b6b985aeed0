/**
 * The control plane in front of real redis-servers: one master, two replicas, clients that write all the time.
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, expect, onTestFinished, test } from 'vitest'
import { formatAddress } from '../../src/base/address.js'
import { EventBus, type LagrangeEvent } from '../../src/base/bus.js'
import { systemClock } from '../../src/base/clock.js'
import { MetricStore } from '../../src/metrics/store.js'
import { Observer, type ObserverOptions } from '../../src/observer/observer.js'
import { Agent, type AgentOptions } from '../../src/sentinel/agent.js'
import { describeTopology } from '../../src/sentinel/describe.js'
import { diagnoses } from '../../src/topology/diagnose.js'
import type { SwitchReport } from '../../src/topology/operation.js'
import type { FreshnessUpdate } from '../../src/topology/view.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until, Writers } from '../support/redis-group.js'

interface World {
  readonly nodes: RedisNode[]
  readonly writers: Writers
  readonly observer: Observer
  readonly agent: Agent
  readonly metrics: MetricStore
  readonly events: LagrangeEvent[]
  readonly bus: EventBus
}

const worlds: World[] = []

afterEach(async context => {
  for (const { agent, observer, writers, nodes, events } of worlds.splice(0)) {
    agent.stop()
    observer.stop()
    await writers.stop()
    await Promise.all(nodes.map(node => node.stop()))
    if (context.task.result?.state === 'fail' || process.env.SHOW_EVENTS) {
      for (const { at, name, fields } of events) console.log(at % 100_000, name, JSON.stringify(fields))
    }
  }
})

const redis = requireReal('redis-server')

redis.describe('the control plane with redis-server', () => {
  test('finds everybody from one replica, and says what it sees', async () => {
    const world = await startWorld({ seeds: nodes => [nodes[2] as RedisNode] })
    const { observer, nodes, metrics } = world
    await until('all are known', () => observer.diagnosis.name === 'ok' && observer.facts.length === 3)
    const [master] = nodes as [RedisNode]
    await master.call('SET', 'a', '1')
    await until('the replicas have it', () => observer.facts.every(facts => observer.lagOf(facts)?.bytes === 0))

    const { groups } = describeTopology(observer, world.agent, systemClock.now())
    expect(groups[0]?.master).toBe(master.id)
    expect(groups[0]?.members.map(member => [member.role, member.excluded, member.state]).sort()).toEqual([
      ['master', undefined, 'up'],
      ['replica', undefined, 'up'],
      ['replica', undefined, 'up'],
    ])
    const links = metrics.snapshot().filter(series => series.name === 'lagrange_replica_link_up')
    expect(links.map(series => series.value)).toEqual([1, 1])
    const acknowledged = () =>
      metrics.snapshot().filter(series => series.name === 'lagrange_replica_acknowledged_offset_bytes')
    // No more than that: the master goes on, and acknowledgements in step with its pings are always one behind.
    const written = observer.facts.find(facts => facts.role === 'master')?.offset as number
    await until('the replicas have acknowledged', () => {
      return acknowledged().length === 2 && acknowledged().every(series => (series.value as number) >= written)
    })
    const excluded = metrics.snapshot().filter(series => series.name === 'lagrange_replica_excluded')
    expect(excluded.map(series => [series.labels.because, series.value])).toContainEqual(['link-down', 0])
    expect(excluded.every(series => series.value === 0)).toBe(true)
    const masters = metrics.snapshot().find(series => series.name === 'lagrange_masters')
    expect(masters?.value).toBe(1)
    const diagnosed = metrics.snapshot().filter(series => series.name === 'lagrange_diagnosis')
    expect(diagnosed.filter(series => series.value === 1).map(series => series.labels.diagnosis)).toEqual(['ok'])
    expect(diagnosed).toHaveLength(diagnoses.length)
  }, 30_000)

  test('five switches under load: no error, no lost write, no full resync', async () => {
    const world = await startWorld({ writers: 8 })
    const { agent, writers, nodes, observer } = world
    const fullBefore = await fullResyncs(nodes)
    const stalls: number[] = []
    for (let round = 0; round < 5; round++) {
      const acked = writers.acked.map(list => list.length)
      const report = (await agent.switchover()) as SwitchReport
      expect(report).toMatchObject({ result: 'ok', reason: undefined, fullResyncs: 0 })
      expect(report.promotedOffset).toBeGreaterThan(report.finalOffset as number)
      stalls.push(report.stallMs)
      await until('everybody writes again', () =>
        writers.acked.every((list, index) => list.length > (acked[index] as number) + 20),
      )
    }
    await writers.stop()
    const master = nodes.find(node => node.id === observer.group.declared) as RedisNode
    const { lost, twice, acked } = await writers.lost(master)
    console.log(`switchover stalls ms: ${stalls.map(ms => ms.toFixed(1)).join(' ')}; ${acked} acknowledged writes`)
    expect({ lost, twice, errors: writers.errors, unknown: writers.unknown.flat() }).toEqual({
      lost: 0,
      twice: 0,
      errors: [],
      unknown: [],
    })
    expect(await fullResyncs(nodes)).toBe(fullBefore)
  })

  test('refuses what cannot be done, and changes nothing', async () => {
    const world = await startWorld({ writers: 1 })
    const { agent, nodes, observer } = world
    const [master, replica, other] = nodes as [RedisNode, RedisNode, RedisNode]
    const { epoch } = observer.view
    expect(await agent.switchover({ to: '127.0.0.1:1' })).toMatchObject({ refused: 'unknown-node' })
    expect(await agent.switchover({ to: master.id })).toMatchObject({ refused: 'already-master' })
    expect(await agent.failover({})).toMatchObject({ refused: 'master-healthy' })
    expect(await agent.switchover({ to: replica.id, dryRun: true })).toMatchObject({
      result: 'dry-run',
      from: master.id,
      to: replica.id,
    })
    expect(observer.view.epoch).toBe(epoch)

    await other.call('CONFIG', 'SET', 'replica-priority', '0')
    await until('the priority is known', () => observer.instance(other.id)?.priority === 0)
    expect(await agent.switchover({ to: other.id })).toMatchObject({ refused: 'priority-zero' })

    const first = agent.switchover({ to: replica.id })
    expect(await agent.switchover({})).toMatchObject({ refused: 'in-progress' })
    expect(await first).toMatchObject({ result: 'ok' })
  })

  for (const step of ['hold', 'catch-up', 'demote', 'final-offset', 'send-slaveof-noone'] as const)
    test(`a candidate that stops at ${step}: everything is taken back`, async () => {
      const options = { switchover: { stallMaxMs: 200, promoteTimeoutMs: 300 } }
      const world = await startWorld({ writers: 4, agent: options })
      const { agent, nodes, observer, writers, bus } = world
      const [master, replica] = nodes as [RedisNode, RedisNode]
      const fullBefore = (await master.info()).resyncs?.full
      const epoch = observer.group.masterEpoch
      bus.listen(event => {
        if (event.name === `+switchover-state-${step}`) replica.signal('SIGSTOP')
      })
      const report = (await agent.switchover({ to: replica.id })) as SwitchReport
      replica.signal('SIGCONT')
      expect(report).toMatchObject({ result: 'rolled-back', from: master.id })
      // Taking back a demotion is a promotion, with an epoch of its own.
      const demoted = step !== 'hold' && step !== 'catch-up'
      if (demoted) expect(observer.group.masterEpoch).toBeGreaterThan(epoch + 1)
      console.log(`stopped at ${step}, rolled back after ${report.durationMs} ms: ${report.reason}`)
      const acked = writers.acked.map(list => list.length)
      await until('everybody writes again', () =>
        writers.acked.every((list, index) => list.length > (acked[index] as number) + 5),
      )
      await until('all is well again', () => observer.diagnosis.name === 'ok')
      expect(observer.view.groups[0]?.master?.id, told(world.events)).toBe(master.id)
      // One that was ordered to be master and went on to be one has a history of its own for a moment.
      const named = step === 'send-slaveof-noone' ? 1 : 0
      expect(((await master.info()).resyncs?.full ?? 0) - (fullBefore ?? 0)).toBeLessThanOrEqual(named)
      expect(writers.errors).toEqual([])
    })

  test('kill -9 of the master: evidence, not time; the old one comes back as a replica', async () => {
    const gaps: number[] = []
    const world = await startWorld({ writers: 4 })
    const { nodes, observer, writers, events, agent } = world
    for (let round = 1; round <= 3; round++) {
      const old = nodes.find(node => node.id === observer.group.declared) as RedisNode
      const survivors = nodes.filter(node => node !== old)
      const fullBefore = await fullResyncs(survivors)
      const epoch = observer.group.masterEpoch
      old.signal('SIGKILL')
      const killedAt = performance.now()
      await until('there is a new master', () => observer.group.masterEpoch > epoch)
      const acked = writers.acked.map(list => list.length)
      await until('everybody writes again', () =>
        writers.acked.every((list, index) => list.length > (acked[index] as number)),
      )
      gaps.push(performance.now() - killedAt)

      // Whoever had more than the one that was promoted could not have continued from there.
      const [other] = survivors.filter(node => node.id !== observer.group.declared) as [RedisNode]
      await until('the other one follows', async () => {
        const { master } = await other.info()
        return master?.up === true && formatAddress(master.address) === observer.group.declared
      })
      expect(await fullResyncs(survivors)).toBe(fullBefore)

      await old.start()
      await until('the old master follows', () => {
        const { groups } = observer.view
        return groups[0]?.replicas.every(replica => replica.excluded === undefined) === true
      })
      expect(observer.view.groups[0]?.replicas).toHaveLength(2)
      await until('the agent is done', () => agent.status().running === undefined)
      // redis-server answers some of its clients before it sends to its replicas what they wrote: what it answered in its
      // last turn may have reached nobody. A writer waits for its answer, so that is one write of each.
      for (const missing of await writers.missing(masterOf(world))) expect(missing.length).toBeLessThanOrEqual(round)
    }
    console.log(`kill -9 to all writers writing again, ms: ${gaps.map(ms => ms.toFixed(0)).join(' ')}`)
    expect(events.filter(event => event.name === '+switch-master').length).toBe(4)
    expect(events.some(event => event.name === '+convert-to-slave')).toBe(true)
    await writers.stop()
    expect((await writers.lost(masterOf(world))).twice).toBe(0)
  })

  test('kill -9 of the master while a replica is behind: nothing is lost that a replica had', async () => {
    const world = await startWorld({ writers: 4 })
    const { nodes, observer, writers, agent } = world
    const [old, behind, ahead] = nodes as [RedisNode, RedisNode, RedisNode]
    // Everything but its data speaks for it.
    await behind.call('CONFIG', 'SET', 'replica-priority', '1')
    agent.pause(true)
    await behind.call('REPLICAOF', '127.0.0.1', '1')
    const acked = writers.acked.map(list => list.length)
    await until('it misses a lot', () =>
      writers.acked.every((list, index) => list.length > (acked[index] as number) + 50),
    )
    await until('its priority is known', () => observer.instance(behind.id)?.priority === 1)
    const epoch = observer.group.masterEpoch
    old.signal('SIGKILL')
    await until('the last bytes were read', async () => (await ahead.info()).master?.up === false)
    const had = await writers.lists(ahead)
    expect((await writers.missing(behind)).every(values => values.length >= 50)).toBe(true)

    agent.pause(false)
    await until('there is a new master', () => observer.group.masterEpoch > epoch)
    await writers.stop()
    const has = (await writers.lists(masterOf(world))).map(list => new Set(list))
    expect(had.map((list, index) => list.filter(value => !has[index]?.has(value)))).toEqual([[], [], [], []])
    expect(observer.group.declared).toBe(ahead.id)
  })

  test('SIGSTOP of the master: silence counts after down-after; it is demoted when it wakes up', async () => {
    const world = await startWorld({ writers: 4, observer: { downAfterMs: 300 } })
    const { nodes, observer, writers } = world
    const [old] = nodes as [RedisNode]
    const epoch = observer.group.masterEpoch
    const stoppedAt = performance.now()
    old.signal('SIGSTOP')
    await until('there is a new master', () => observer.group.masterEpoch > epoch)
    const gap = performance.now() - stoppedAt
    expect(gap).toBeGreaterThan(300)
    old.signal('SIGCONT')
    const wokenAt = performance.now()
    await until('the old master is demoted', async () => (await old.info()).role === 'replica')
    console.log(
      `SIGSTOP, down-after 300: new master after ${gap.toFixed(0)} ms; demoted after waking ${(performance.now() - wokenAt).toFixed(0)} ms`,
    )
    await until('all is well', () => observer.diagnosis.name === 'ok')
    expect(observer.view.groups[0]?.master?.id).not.toBe(old.id)
    const acked = writers.acked.map(list => list.length)
    await until('everybody writes', () => writers.acked.every((list, index) => list.length > (acked[index] as number)))
  })

  test('a REPLICAOF NO ONE behind our back: alarm, no traffic, repaired', async () => {
    const world = await startWorld({ writers: 2 })
    const { nodes, observer, events } = world
    const [master, impostor] = nodes as [RedisNode, RedisNode]
    await impostor.call('REPLICAOF', 'NO', 'ONE')
    await until('it is seen', () => events.some(event => event.fields.diagnosis === 'two-masters'))
    await until('it follows again', () => observer.diagnosis.name === 'ok')
    expect((await impostor.info()).role).toBe('replica')
    expect(observer.view.groups[0]?.master?.id).toBe(master.id)
  })

  test('a replica behind a relay is one of us, and is left where it is while its way leads to a member', async () => {
    const world = await startWorld({ writers: 2 })
    const { nodes, observer, agent, events } = world
    const [master, direct, relayed] = nodes as [RedisNode, RedisNode, RedisNode]
    const relay = await startRelay(master.port)
    await relayed.call('REPLICAOF', '127.0.0.1', String(relay.port))
    await until('it came through the relay', async () => {
      const info = await relayed.info()
      return info.master?.address.port === relay.port && info.master.up
    })
    // The relay is no fourth instance: its run id is the master's.
    await until('the relay is understood', () => events.some(event => event.name === '+alias'))
    await until('all is well', () => observer.diagnosis.name === 'ok')
    expect(observer.facts.map(facts => facts.id).sort()).toEqual(nodes.map(node => node.id).sort())

    const report = (await agent.switchover({ to: direct.id })) as SwitchReport
    expect(report).toMatchObject({ result: 'ok', fullResyncs: 0 })
    expect((await relayed.info()).master?.address.port).toBe(relay.port)
    await until('it serves reads behind the old master', () => {
      const viewed = observer.view.groups[0]?.replicas.find(replica => replica.id === relayed.id)
      return viewed !== undefined && viewed.excluded === undefined
    })
    expect(events.filter(event => event.name === '+fix-slave-config')).toEqual([])
    relay.close()
  })

  test('applied offsets follow at the pace of traffic, at most one message per millisecond', async () => {
    const world = await startWorld()
    const { nodes, observer } = world
    const [master] = nodes as [RedisNode]
    const updates: { at: number; update: FreshnessUpdate }[] = []
    observer.onFreshness(update => updates.push({ at: performance.now(), update }))
    const behindMs: number[] = []
    for (let round = 0; round < 30; round++) {
      await master.call('SET', 'key', String(round))
      const offset = (await master.info()).offset as number
      const replid = observer.group.lineage?.replid as string
      // What a worker would tell after its flush.
      const toldAt = performance.now()
      observer.sample('main', { id: master.id, replid, offset })
      await until('both replicas are known to have it', () =>
        observer.facts.every(facts => facts.role === 'master' || (facts.offset ?? 0) >= offset),
      )
      behindMs.push(performance.now() - toldAt)
    }
    behindMs.sort((a, b) => a - b)
    console.log(
      `from a sample of the head to both replicas known to have it, ms: p50 ${behindMs[15]?.toFixed(2)}, max ${behindMs[29]?.toFixed(2)}`,
    )
    const gaps = updates.slice(1).map(({ at }, index) => at - (updates[index]?.at ?? 0))
    expect(Math.min(...gaps)).toBeGreaterThan(0.9)
    const last = new Map<string, number>()
    for (const { id, offset } of updates.flatMap(({ update }) => update.samples)) {
      expect(offset).toBeGreaterThanOrEqual(last.get(id) ?? 0)
      last.set(id, offset)
    }
    expect(last.size).toBe(3)
    const proofs = updates.at(-1)?.update.lagMs ?? []
    expect(proofs.map(([id]) => id).sort()).toEqual(
      nodes
        .slice(1)
        .map(node => node.id)
        .sort(),
    )
  })

  test('without an agent a switch by somebody else is followed', async () => {
    const world = await startWorld({ agent: { failover: false } })
    const { nodes, observer } = world
    const [master, replica] = nodes as [RedisNode, RedisNode]
    await master.call('FAILOVER', 'TO', '127.0.0.1', String(replica.port))
    await until('it is followed', () => observer.view.groups[0]?.master?.id === replica.id)
    await until('all is well', () => observer.diagnosis.name === 'ok')
  })
})

/** Somebody's NAT: bytes go through, the address is another. */
async function startRelay(to: number): Promise<{ port: number; close: () => void }> {
  const sockets = new Set<Socket>()
  const server = createServer(near => {
    const far = connect(to, '127.0.0.1')
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('error', () => into.destroy())
      from.on('close', () => into.destroy())
      from.pipe(into)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const close = (): void => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  onTestFinished(close)
  return { port, close }
}

interface WorldOptions {
  readonly writers?: number
  readonly seeds?: (nodes: RedisNode[]) => RedisNode[]
  readonly observer?: Partial<ObserverOptions>
  readonly agent?: Partial<AgentOptions>
}

async function startWorld(options: WorldOptions = {}): Promise<World> {
  const nodes = await startGroup(redis.path, 2, '--repl-ping-replica-period', '1', '--repl-timeout', '5')
  const bus = new EventBus(() => systemClock.wall())
  const events: LagrangeEvent[] = []
  bus.listen(event => events.push(event))
  const metrics = new MetricStore()
  const seeds = (options.seeds?.(nodes) ?? nodes).map(node => node.address)
  const observer = new Observer(systemClock, bus, metrics, { group: 'main', seeds, ...options.observer })
  const writers = new Writers(options.writers ?? 0)
  observer.onView(view => writers.setView(view))
  const agent = new Agent(systemClock, bus, metrics, observer, writers, { failover: true, ...options.agent })
  const world = { nodes, writers, observer, agent, metrics, events, bus }
  worlds.push(world)
  observer.start()
  agent.start()
  await until('the group is healthy', () => observer.diagnosis.name === 'ok' && observer.facts.length === 3)
  writers.start()
  if (options.writers !== undefined) {
    await until('everybody writes', () => writers.acked.every(list => list.length > 5))
  }
  return world
}

function masterOf({ nodes, observer }: World): RedisNode {
  return nodes.find(node => node.id === observer.group.declared) as RedisNode
}

async function fullResyncs(nodes: readonly RedisNode[]): Promise<number> {
  const infos = await Promise.all(nodes.map(node => node.info()))
  return infos.reduce((sum, info) => sum + (info.resyncs?.full ?? 0), 0)
}

/** What happened, for whoever reads a failure. */
function told(events: readonly LagrangeEvent[]): string {
  return events.map(event => JSON.stringify(event)).join('\n')
}
