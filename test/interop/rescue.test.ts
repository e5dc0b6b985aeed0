/**
 * An old master comes back with writes that nobody else has: they are saved before it is demoted, listed, and applied.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { EventBus } from '../../src/base/bus.js'
import { systemClock } from '../../src/base/clock.js'
import { MetricStore } from '../../src/metrics/store.js'
import { Observer } from '../../src/observer/observer.js'
import { textOf } from '../../src/resp/protocol.js'
import { Agent } from '../../src/sentinel/agent.js'
import { Rescuer } from '../../src/sentinel/rescue.js'
import { RescueFiles, type RescueIndex } from '../../src/sentinel/rescue-files.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

describe('with our nodes', () => scenes(startNode))
redis.describe('with redis-server', () => scenes(options => startRedisServer(redis.path, options)))

type Start = (options: { readonly args?: readonly string[] }) => Promise<TestServer>

function scenes(start: Start): void {
  test('writes that only it has are saved before it is demoted, and can be applied', async () => {
    const world = await diverge(start, [], async old => {
      await old.call('SET', 'only:old', 'value')
      await old.call('INCR', 'counter')
      await old.call('SET', 'both', 'old')
      await old.call('MULTI')
      await old.call('RPUSH', 'list', 'a', 'b')
      await old.call('RPUSH', 'list', 'c')
      await old.call('EXEC')
    })
    const { rescuer, index, old, master } = world
    expect(index).toMatchObject({ writes: 4, keyCount: 4, database: 'known' })
    expect(index.missing).toBeUndefined()
    expect(index.keys.map(({ key }) => key).sort()).toEqual(['both', 'counter', 'list', 'only:old'])
    // Saved first: by now the old master has lost them.
    expect(await textAt(old, 'only:old')).toBeUndefined()

    await master.call('SET', 'both', 'new')
    const report = await rescuer.apply({ id: index.id, skipChanged: true, dryRun: false })
    expect(report).toMatchObject({ applied: 3, skipped: 1, failed: 0, skippedKeys: ['both'] })
    expect(await textAt(master, 'only:old')).toBe('value')
    expect(await textAt(master, 'both')).toBe('new')
    expect(await textAt(master, 'counter')).toBe('11')
    expect(await master.call('LLEN', 'list')).toMatchObject({ value: 3 })
    expect(rescuer.files.find(index.id)?.applied).toMatchObject({ applied: 3, skipped: 1 })

    await rescuer.apply({ id: index.id, skipChanged: false, dryRun: true })
    expect(await textAt(master, 'both')).toBe('new')
    await rescuer.apply({ id: index.id, skipChanged: false, dryRun: false })
    expect(await textAt(master, 'both')).toBe('old')
  })

  test('writes in several databases keep theirs', async () => {
    const { rescuer, index, master } = await diverge(start, [], async old => {
      for (const db of ['3', '0', '3']) {
        await old.call('SELECT', db)
        await old.call('RPUSH', 'here', db)
      }
    })
    expect(index.keys).toMatchObject([
      { db: 3, key: 'here', writes: 2 },
      { db: 0, key: 'here', writes: 1 },
    ])
    await rescuer.apply({ id: index.id, skipChanged: true, dryRun: false })
    await master.call('SELECT', '3')
    expect(await master.call('LLEN', 'here')).toMatchObject({ value: 2 })
  })

  test('when its backlog is too short, its data set is saved, and what is missing is said', async () => {
    const { rescuer, index } = await diverge(start, ['--repl-backlog-size', '16384'], async old => {
      for (let count = 0; count < 40; count++) await old.call('SET', 'big', 'x'.repeat(2000))
    })
    expect(index).toMatchObject({ writes: 0, missing: 'the writes themselves: backlog-too-short' })
    expect(index.file).toMatch(/\.rdb$/)
    const saved = readFileSync(join(rescuer.files.folder, index.file as string), 'latin1')
    expect(saved.startsWith('REDIS')).toBe(true)
    expect(saved).toContain('big')
    const refused = await rescuer.apply({ id: index.id, skipChanged: true, dryRun: false })
    expect(refused).toMatchObject({ refused: 'no-writes' })
  })

  test('nothing is saved when there is nothing', async () => {
    const world = await begin(start, [], async () => undefined)
    await demoted(world)
    expect(world.rescuer.files.list()).toEqual([])
  })
}

interface World {
  readonly old: TestServer
  readonly observer: Observer
  readonly rescuer: Rescuer
  readonly oldId: string
}

/** A master is replaced without its help; `write` happens on it before it is demoted, as writers that bypass us do. */
async function begin(
  start: Start,
  args: readonly string[],
  write: (old: TestServer) => Promise<unknown>,
): Promise<World> {
  const old = await start({ args })
  const replica = await start({ args: [...args, '--replicaof', `127.0.0.1 ${old.port}`] })
  await old.call('SET', 'counter', '10')
  await until('it is replicated', async () => (await textAt(replica, 'counter')) === '10')

  const folder = mkdtempSync(join(tmpdir(), 'lagrange-rescue-'))
  const bus = new EventBus(() => systemClock.wall())
  const metrics = new MetricStore()
  const seeds = [old, replica].map(({ port }) => ({ host: '127.0.0.1', port }))
  const observer = new Observer(systemClock, bus, undefined, { group: 'main', seeds })
  const rescuer = new Rescuer(systemClock, bus, metrics, observer, {}, new RescueFiles(folder))
  let written = false
  const gate = {
    hold: async () => ({ drained: true, inFlight: 0 }),
    release: async () => ({ heldCommands: 0, stallMs: 0 }),
  }
  const agent = new Agent(systemClock, bus, metrics, observer, gate, {
    failover: true,
    beforeDemote: async id => {
      if (!written) await write(old)
      written = true
      await rescuer.rescue(id)
    },
  })
  onTestFinished(() => {
    agent.stop()
    observer.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  observer.start()
  agent.start()
  await until('all is well', () => observer.diagnosis.name === 'ok')
  expect(await agent.failover({ acceptDataLoss: true })).toMatchObject({ result: 'ok' })
  return { old, observer, rescuer, oldId: `127.0.0.1:${old.port}` }
}

async function demoted({ observer, oldId }: World): Promise<void> {
  await until('the old master follows the new', () => observer.instance(oldId)?.master?.up === true)
}

async function diverge(
  start: Start,
  args: readonly string[],
  write: (old: TestServer) => Promise<unknown>,
): Promise<World & { readonly index: RescueIndex; readonly master: TestServer }> {
  const world = await begin(start, args, write)
  await demoted(world)
  const [index, another] = world.rescuer.files.list()
  expect(another).toBeUndefined()
  const master = world.observer.view.groups[0]?.master
  expect(master).toBeDefined()
  return { ...world, index: index as RescueIndex, master: await connected(master?.port ?? 0) }
}

async function connected(port: number): Promise<TestServer> {
  const { Client } = await import('../../src/net/client.js')
  const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 2000, replyTimeoutMs: 5000 })
  onTestFinished(() => client.close())
  return { port, call: (...args: string[]) => client.send(args) } as unknown as TestServer
}

async function textAt(server: TestServer, key: string): Promise<string | undefined> {
  return textOf(await server.call('GET', key))
}
