/**
 * Sentinels of ours among themselves, whatever happens: no epoch has two leaders, no configuration epoch two masters, a
 * minority never promotes, and when it is calm again everybody names one master.
 */
import { describe, expect, test } from 'vitest'
import { QuorumSim } from '../support/sim-quorum.js'

const SEEDS =
  process.env.SEED === undefined ? Array.from({ length: 8 }, (_, index) => index + 1) : [Number(process.env.SEED)]

function kill(sim: QuorumSim, port: number): void {
  const server = sim.servers.find(candidate => candidate.port === port)
  if (server === undefined) throw new Error(`no server ${port}`)
  server.alive = false
  sim.reset(port)
}

function settle(sim: QuorumSim): void {
  const met = (): boolean => {
    return sim.sentinels.every(({ council }) => council.masters.get('m')?.peers.size === sim.sentinels.length - 1)
  }
  expect(sim.runUntil(met, 20_000)).toBe(true)
}

function expectSafe(sim: QuorumSim): void {
  const twice = [...sim.leaders].filter(([, ids]) => ids.size > 1)
  expect(twice.map(([epoch, ids]) => `epoch ${epoch}: ${[...ids]}`)).toEqual([])
  const split = [...sim.masters].filter(([, ports]) => ports.size > 1)
  expect(split.map(([epoch, ports]) => `configuration ${epoch}: ${[...ports]}`)).toEqual([])
}

test('a dead master is replaced in a fraction of down-after, by evidence', () => {
  const sim = new QuorumSim({ seed: 1 })
  settle(sim)
  const from = sim.now
  kill(sim, 6001)
  expect(sim.runUntil(() => sim.agreed(), 20_000)).toBe(true)
  // Ours by evidence; by silence it could not be earlier than down-after.
  expect(sim.now - from).toBeLessThan(1000)
  expectSafe(sim)
})

test('silence is no evidence: it takes down-after and a quorum, and little more', () => {
  for (let seed = 2; seed < 12; seed++) {
    const sim = new QuorumSim({ seed })
    settle(sim)
    // At any moment between two PINGs.
    sim.run(sim.random() * 1000)
    const from = sim.now
    sim.island.add(6001)
    const others = (): boolean => sim.sentinels.every(({ master }) => master !== 6001)
    expect(sim.runUntil(others, 20_000)).toBe(true)
    expect(sim.now - from, `SEED=${seed}`).toBeGreaterThanOrEqual(1000)
    expect(sim.now - from, `SEED=${seed}`).toBeLessThanOrEqual(1500)
    expectSafe(sim)
  }
})

test('a minority that is cut off with the old master promotes nobody', () => {
  const sim = new QuorumSim({ seed: 3 })
  settle(sim)
  const [alone] = sim.sentinels
  for (const port of [6001, 6002, alone?.port ?? 0]) sim.island.add(port)
  sim.run(1500)
  kill(sim, 6001)
  sim.run(30_000)
  expect(sim.servers.find(({ port }) => port === 6002)?.master).toBe(6001)
  expect(sim.servers.find(({ port }) => port === 6003)?.master).toBeUndefined()
  sim.island.clear()
  expect(sim.runUntil(() => sim.agreed(), 30_000)).toBe(true)
  expectSafe(sim)
})

test('who cannot write gives no vote, and cannot be counted twice after a crash', () => {
  const sim = new QuorumSim({ seed: 4 })
  settle(sim)
  for (const sentinel of sim.sentinels) sentinel.writable = false
  kill(sim, 6001)
  sim.run(20_000)
  expect(sim.leaders.size).toBe(0)
  expect(sim.sentinels.some(({ council }) => (council.ignored.get('unwritable') ?? 0) > 0)).toBe(true)
  for (const sentinel of sim.sentinels) sentinel.writable = true
  expect(sim.runUntil(() => sim.agreed(), 60_000)).toBe(true)
  expectSafe(sim)
})

describe('whatever happens', () => {
  for (const seed of SEEDS) {
    test(`SEED=${seed}`, () => {
      const sim = new QuorumSim({ seed, sentinels: seed % 3 === 0 ? 5 : 3, quorum: seed % 3 === 0 ? 3 : 2, loss: 0.05 })
      settle(sim)
      for (let round = 0; round < 6; round++) {
        trouble(sim)
        sim.run(2000 + sim.random() * 6000)
        expectSafe(sim)
      }
      calm(sim)
      expect(
        sim.runUntil(() => sim.agreed(), 120_000),
        sim.events.slice(-60).join('\n'),
      ).toBe(true)
      expectSafe(sim)
    })
  }
})

function trouble(sim: QuorumSim): void {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(sim.random() * items.length)] as T
  const kind = sim.random()
  if (kind < 0.35) {
    const master = sim.servers.find(server => server.alive && server.master === undefined)
    if (master !== undefined && sim.servers.filter(({ alive }) => alive).length > 1) kill(sim, master.port)
  } else if (kind < 0.6) {
    const sentinel = pick(sim.sentinels)
    if (sentinel.alive) {
      sim.crash(sentinel)
      sim.reset(sentinel.port)
    } else sim.restart(sentinel)
  } else if (kind < 0.8) {
    sim.island.clear()
    for (const { port } of [...sim.sentinels, ...sim.servers]) if (sim.random() < 0.35) sim.island.add(port)
  } else calm(sim)
}

function calm(sim: QuorumSim): void {
  sim.island.clear()
  for (const server of sim.servers) if (!server.alive) sim.revive(server)
  for (const sentinel of sim.sentinels) if (!sentinel.alive) sim.restart(sentinel)
}
