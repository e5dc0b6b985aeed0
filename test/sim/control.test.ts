/**
 * Whatever happens: the real observer and the real agent, with a group in virtual time, random switches and random
 * faults at random moments and at every step of both machines; then calm.
 *
 *     SEED=42 npx vitest run --config test/vitest.config.ts test/sim/control      replays one
 *     SEEDS=10000 …                                                              runs many
 */
import { createHash } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { EventBus } from '../../src/base/bus.js'
import type { Millis } from '../../src/base/units.js'
import { MetricStore } from '../../src/metrics/store.js'
import { Observer } from '../../src/observer/observer.js'
import { Agent, type WriteGate } from '../../src/sentinel/agent.js'
import { failoverDefaults, longestFailoverMs } from '../../src/topology/failover.js'
import type { HoldReport, HoldRequest, ReleaseReport } from '../../src/topology/planes.js'
import { longestMs, switchoverDefaults } from '../../src/topology/switchover.js'
import type { TopologyView } from '../../src/topology/view.js'
import { Chance, SimGroup, type SimNode, VirtualClock } from '../support/sim-group.js'

/**
 * `gentle`: lines break, nodes are slow or pause for less than down-after, but nobody dies: nothing may be lost, ever.
 * `crash`: masters die, one after the other, while replicas are behind: whoever has most must be promoted.
 * `storm`: everything.
 */
type Weather = 'gentle' | 'crash' | 'storm'

const SEEDS = process.env.SEED !== undefined ? [Number(process.env.SEED)] : range(Number(process.env.SEEDS ?? 20))

describe.each(['gentle', 'crash', 'storm'] as const)('%s weather', weather => {
  test.each(chunked(SEEDS, 10))('seeds from %i', async (first, ...others) => {
    for (const seed of [first, ...others] as number[]) {
      await new Simulation(seed, weather).run().catch(error => {
        throw new Error(`SEED=${seed} npx vitest run test/sim/control -t ${weather}\n${error.stack ?? error}`)
      })
    }
  })
})

test('the same seed gives the same history', async () => {
  const hashes = [new Simulation(7, 'storm'), new Simulation(7, 'storm')].map(async simulation => {
    await simulation.run()
    return createHash('sha256').update(simulation.trace.join('\n')).digest('hex')
  })
  const [a, b] = await Promise.all(hashes)
  expect(a).toBe(b)
})

const tally = new Map<string, number>()
afterAll(() => {
  for (const [key, count] of [...tally].sort()) console.log(key, count)
})

const FAULTS_MS = 4000
const CALM_MS = 8000
const DOWN_AFTER_MS = 400
const WRITE_EVERY_MS = 1
/** Entries a node applies in two milliseconds: none, half of what is written, all. */
const RATES = [0, 1, 1000, 1000] as const

class Simulation implements WriteGate {
  readonly clock = new VirtualClock()
  readonly trace: string[] = []
  readonly #chance: Chance
  readonly #group: SimGroup
  readonly #observer: Observer
  readonly #agent: Agent
  readonly #masters = new Map<number, string>()
  readonly #acked: number[] = []
  readonly #violations: unknown[] = []
  #unbroken = false
  #fullResyncs = 0
  readonly #harmed = new Map<string, Millis>()
  #nextWrite = 1
  #inFlight = 0
  #heldSince: number | undefined
  #calm = false
  #running = 0
  #answered = 0
  #asked = 0

  constructor(
    readonly seed: number,
    readonly weather: Weather,
  ) {
    this.#chance = new Chance(seed * 3 + ['gentle', 'crash', 'storm'].indexOf(weather))
    this.#group = new SimGroup(this.clock, this.#chance, this.#chance.pick([2, 3, 3, 4]))
    const bus = new EventBus(() => this.clock.wall())
    const seeds = this.#group.nodes.map(node => ({ host: 'sim', port: node.port }))
    const { dial } = this.#group
    this.#observer = new Observer(this.clock, bus, undefined, {
      group: 'main',
      seeds,
      downAfterMs: DOWN_AFTER_MS,
      headPeriodMs: 50,
      dial,
    })
    const antiFlap = { windowMs: this.#chance.pick([0, 0, 1000]) }
    const options = { failover: true, antiFlap, dial }
    this.#agent = new Agent(this.clock, bus, new MetricStore(), this.#observer, this, options)
    bus.listen(({ name, fields }) => {
      this.trace.push(`${this.clock.now().toFixed(2)} ${name} ${JSON.stringify(fields)}`)
      if (name.includes('-state-') && !this.#calm) this.#atStep()
      if (name === '+try-failover') this.#expect(() => this.#checkCause(fields.cause))
      if (name === '+promoted-slave') this.#expect(() => this.#checkPromotion(String(fields.node)))
    })
    this.#observer.onView(view => this.#expect(() => this.#checkView(view)))
  }

  async run(): Promise<void> {
    const { clock } = this
    this.#observer.start()
    this.#agent.start()
    this.#write()
    await clock.run(clock.now() + 300)
    if (this.weather === 'gentle') this.#group.breaks = this.#chance.pick([0, 0.002, 0.02, 0.1])
    this.#unbroken = this.weather === 'gentle' && this.#group.breaks === 0
    this.#fullResyncs = this.#group.fullResyncs
    const end = clock.now() + FAULTS_MS
    while (clock.now() < end) {
      await clock.run(clock.now() + this.#chance.between(20, 400))
      this.#act()
    }
    this.#calm = true
    this.#group.heal()
    await clock.run(clock.now() + CALM_MS)
    this.#expect(() => this.#checkCalm())
    this.#agent.stop()
    this.#observer.stop()
    if (process.env.TALLY) this.#tally()
    if (process.env.SEED) process.stdout.write(`${this.trace.join('\n')}\n`)
    if (this.#violations.length > 0) throw this.#violations[0]
  }

  /** What happened at all: a simulation in which nothing does proves nothing. */
  #tally(): void {
    for (const line of this.trace) {
      const [, name = '', rest] = line.split(' ', 3)
      const fields =
        rest?.startsWith('{') === true ? (JSON.parse(line.slice(line.indexOf('{'))) as { result?: string }) : {}
      const key = `${this.weather} ${name} ${name === 'FAULT' ? rest : (fields.result ?? '')}`
      tally.set(key, (tally.get(key) ?? 0) + 1)
    }
  }

  // ── What happens ──────────────────────────────────────────────────────────────────────────────────────────────────

  #act(): void {
    if (this.weather !== 'crash' && this.#chance.is(0.4)) return this.#switch()
    const node = this.#chance.pick(this.#group.nodes)
    this.#slow(node)
    if (this.weather === 'gentle' && this.#chance.is(0.2)) this.#pause(node)
    if (this.weather === 'crash') this.#crash()
    if (this.weather === 'storm')
      this.clock.after(this.#chance.between(0, 200), () => this.#harm(this.#chance.pick(this.#group.nodes)))
  }

  /** A garbage collection, a snapshot, a busy neighbour: shorter than down-after. */
  #pause(node: SimNode): void {
    if (this.#group.nodes.some(other => other.stopped)) return
    this.#group.stop(node)
    this.clock.after(this.#chance.between(1, 0.6 * DOWN_AFTER_MS), () => this.#group.resume(node))
  }

  #crash(): void {
    const master = this.#group.nodes.find(node => node.id === this.#observer.group.declared)
    if (master === undefined || this.#observer.diagnosis.name !== 'ok' || this.#agent.status().running) return
    this.trace.push(`${this.clock.now().toFixed(2)} FAULT crash ${master.id}`)
    this.#group.kill(master)
    this.clock.after(this.#chance.between(200, 600), () => master.alive || master.restart(true))
  }

  #slow(node: SimNode): void {
    node.rate = this.#chance.pick(RATES)
    this.clock.after(this.#chance.between(1, 300), () => {
      node.rate = 1000
    })
  }

  /** A transition of one of the machines: the worst moments are right after these. */
  #atStep(): void {
    if (!this.#chance.is(0.15)) return
    const node = this.#chance.pick(this.#group.nodes)
    this.clock.after(this.#chance.between(0, 1.5), () => {
      if (this.#calm) return
      if (this.weather === 'storm') this.#harm(node)
      else this.#slow(node)
    })
  }

  #harm(node: SimNode): void {
    if (this.#calm) return
    const { clock } = this
    const soon = this.#chance.between(5, 1500)
    clock.after(soon, () => this.#harmed.set(node.id, clock.now()))
    const what = this.#chance.pick(['kill', 'kill', 'stop', 'cut', 'split', 'lines', 'impostor'] as const)
    this.#harmed.set(node.id, clock.now())
    this.trace.push(`${clock.now().toFixed(2)} FAULT ${what} ${node.id}`)
    switch (what) {
      case 'kill': {
        if (!node.alive) return
        const withData = this.#chance.is(0.8)
        this.#group.kill(node)
        clock.after(soon, () => node.alive || node.restart(withData))
        return
      }
      case 'stop':
        this.#group.stop(node)
        clock.after(soon, () => this.#group.resume(node))
        return
      case 'cut':
        this.#group.cut(0, node.port, true)
        clock.after(soon, () => this.#group.cut(0, node.port, false))
        return
      case 'split': {
        const other = this.#chance.pick(this.#group.nodes)
        this.#group.cut(other.port, node.port, true)
        this.#harmed.set(other.id, clock.now())
        clock.after(soon, () => this.#group.cut(other.port, node.port, false))
        return
      }
      case 'lines':
        this.#group.breaks = this.#chance.pick([0, 0.01, 0.1])
        return
      case 'impostor':
        if (node.alive && !node.stopped) node.promote()
    }
  }

  #switch(): void {
    const to = this.#chance.is(0.5) ? this.#chance.pick(this.#group.nodes).id : undefined
    const startedAt = this.clock.now()
    this.#asked++
    this.#running++
    const answer = this.#chance.is(0.85)
      ? this.#agent.switchover({ to, timeoutMs: 500 })
      : this.#agent.failover({ to, acceptDataLoss: this.weather === 'storm' })
    void answer.then(report =>
      this.#expect(() => {
        this.#answered++
        this.#running--
        const tookMs = this.clock.now() - startedAt
        const limitMs = Math.max(longestMs(switchoverDefaults), longestFailoverMs(failoverDefaults)) + 500
        // Approach, and what nobody waits for: replicas being linked, counters being read.
        const besides = 500 + switchoverDefaults.reconfTimeoutMs + 1000
        expect(tookMs).toBeLessThanOrEqual(limitMs + besides)
        if ('refused' in report) return
        if (report.result !== 'ok' || report.kind !== 'switchover') return
        this.#checkNothingLost('after a switch')
        // Demoting first: nothing slips into the old stream, and everybody continues. A lost reply costs a name, at most.
        if (this.weather === 'gentle' && this.#group.breaks === 0) expect(report.fullResyncs).toBe(0)
      }),
    )
  }

  /** Expectations inside callbacks: the first that is not met fails the run, at its end. */
  #expect(check: () => void): void {
    try {
      check()
    } catch (error) {
      this.#violations.push(error)
    }
  }

  /** Clients: a write is on its way for a moment, and is acknowledged by whoever the view said was master. */
  #write(): void {
    this.clock.after(WRITE_EVERY_MS, () => this.#write())
    const master = this.#observer.view.groups[0]?.master
    if (this.#heldSince !== undefined || master === undefined) return
    const node = this.#group.node(master.port) as SimNode
    const { generation } = node
    this.#inFlight++
    this.clock.after(this.#group.delayMs(), () => {
      this.#inFlight--
      if (this.#group.isCut(0, node.port) || node.generation !== generation) return
      if (!node.isWritable(this.clock.now())) return
      const id = this.#nextWrite++
      node.data.push(id)
      this.#acked.push(id)
    })
  }

  async hold(request: HoldRequest): Promise<HoldReport> {
    const since = this.clock.now()
    this.#heldSince = since
    this.clock.after(request.timeoutMs, () => {
      if (this.#heldSince === since) this.#heldSince = undefined
    })
    while (this.#inFlight > 0 && this.#heldSince !== undefined) {
      await new Promise<void>(resume => this.clock.after(0.2, resume))
    }
    return { drained: this.#inFlight === 0, inFlight: this.#inFlight }
  }

  async release(): Promise<ReleaseReport> {
    const heldMs = this.clock.now() - (this.#heldSince ?? this.clock.now())
    this.#expect(() => expect(heldMs).toBeLessThanOrEqual(longestMs(switchoverDefaults) + 100))
    this.#heldSince = undefined
    return { heldCommands: 0, stallMs: heldMs }
  }

  // ── What must hold ────────────────────────────────────────────────────────────────────────────────────────────────

  /** An epoch has one master, and epochs only grow. */
  #checkView(view: TopologyView): void {
    const [group] = view.groups
    if (group === undefined) return
    expect(group.masterEpoch).toBeGreaterThanOrEqual(Math.max(0, ...this.#masters.keys()))
    if (group.master === undefined) return
    const known = this.#masters.get(group.masterEpoch)
    const now = `${group.master.id} ${group.master.runId}`
    if (known !== undefined) expect(`epoch ${group.masterEpoch}: ${now}`).toBe(`epoch ${group.masterEpoch}: ${known}`)
    this.#masters.set(group.masterEpoch, now)
  }

  /** Broken lines and slow replicas are no reason to replace a master that lives. */
  #checkCause(cause: unknown): void {
    if (this.weather === 'gentle') expect(['operator', 'no-master']).toContain(cause)
  }

  /** After a death whoever was asked and has more data is the one to be promoted. */
  #checkPromotion(id: string): void {
    const running = this.#agent.status().running
    const from = this.#group.nodes.find(node => node.id === this.#observer.group.declared)
    if (running?.kind !== 'failover' || this.#group.breaks > 0 || from === undefined || from.alive) return
    const promoted = this.#group.nodes.find(node => node.id === id) as SimNode
    for (const node of this.#group.nodes) {
      const asked = node.alive && !node.stopped && !this.#group.isCut(0, node.port) && node.role === 'slave'
      // One that lost its own master a moment ago by another fault may have been down when it was asked.
      if (!asked || node.replid !== promoted.replid2) continue
      if (this.weather === 'storm' && !this.#steady.has(node.id)) continue
      expect(`${node.id} has ${node.offset}, ${id} ${Math.max(promoted.offset, node.offset)}`).toBe(
        `${node.id} has ${node.offset}, ${id} ${promoted.offset}`,
      )
    }
  }

  /** Nodes that nothing has happened to for a while. */
  get #steady(): ReadonlySet<string> {
    const recent = this.clock.now() - 500
    return new Set(this.#group.nodes.filter(node => (this.#harmed.get(node.id) ?? 0) < recent).map(node => node.id))
  }

  #checkNothingLost(when: string): void {
    if (this.weather !== 'gentle') return
    const master = this.#observer.view.groups[0]?.master
    const has = new Set(this.#group.node(master?.port ?? 0)?.data)
    const lost = this.#acked.filter(id => !has.has(id))
    expect(`${lost.length} lost ${when}`).toBe(`0 lost ${when}`)
  }

  #checkCalm(): void {
    const { trace } = this
    const [group] = this.#observer.view.groups
    const tail = `\n${trace.slice(-60).join('\n')}`
    expect(this.#observer.diagnosis.name + (this.#observer.diagnosis.name === 'ok' ? '' : tail)).toBe('ok')
    expect({ running: this.#running, unanswered: this.#asked - this.#answered }).toEqual({ running: 0, unanswered: 0 })
    expect(this.#heldSince).toBeUndefined()
    const masters = this.#group.nodes.filter(node => node.role === 'master')
    expect(masters.map(node => node.id)).toEqual([group?.master?.id])
    const [master] = masters as [SimNode]
    for (const replica of this.#group.nodes) {
      if (replica === master) continue
      expect(replica.link).toBe('up')
      expect(replica.data.slice(0, master.offset - 20)).toEqual(master.data.slice(0, master.offset - 20))
    }
    expect(group?.replicas.map(replica => replica.excluded)).toEqual(this.#group.nodes.slice(1).map(() => undefined))
    expect(this.#acked.length).toBeGreaterThan(100)
    this.#checkNothingLost('at the end')
    if (this.#unbroken) expect(this.#group.fullResyncs).toBe(this.#fullResyncs)
  }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

function chunked(items: readonly number[], size: number): number[][] {
  const chunks: number[][] = []
  for (let index = 0; index < items.length; index += size) chunks.push(items.slice(index, index + size))
  return chunks
}
