/**
 * One life of a group: the real observer and the real agent, with instances in virtual time, operators who switch at
 * random, and faults at random moments and at every step of both machines; then calm.
 *
 * Two phases, as in reliability.md: while there are faults, what must never happen is looked for (an epoch with two
 * masters, a lost write, a failover without evidence …); when they are over, what must happen in the end (one master,
 * everybody linked to it, equal data, every question answered, and no more failovers).
 */
import { createHash } from 'node:crypto'
import { EventBus } from '../../src/base/bus.js'
import type { Millis } from '../../src/base/units.js'
import { MetricStore } from '../../src/metrics/store.js'
import { Observer } from '../../src/observer/observer.js'
import { Agent, type WriteGate } from '../../src/sentinel/agent.js'
import { failoverDefaults, longestFailoverMs } from '../../src/topology/failover.js'
import type { HoldReport, HoldRequest, ReleaseReport } from '../../src/topology/planes.js'
import { longestMs, switchoverDefaults } from '../../src/topology/switchover.js'
import type { TopologyView } from '../../src/topology/view.js'
import { SimConfirming, type Write } from './sim-acks.js'
import { Chance, SimGroup, type SimNode, VirtualClock } from './sim-group.js'

/**
 * `gentle`: lines break, nodes are slow or pause for less than down-after, but nobody dies: nothing may be lost, ever.
 * `crash`: masters die, one after the other, while replicas are behind: whoever has most must be promoted.
 * `amnesia`: masters come back at once and empty; nodes that guard their data let nobody wipe it.
 * `island`: we are cut off from masters that live, and are away ourselves: nobody may be replaced for that.
 * `freeze`: masters stop, longer than down-after, and go on as if nothing had happened.
 * `promises`: anybody dies or is cut off, with its data, while writes wait for replicas: none that was confirmed may be lost.
 * `storm`: everything.
 */
export const weathers = ['gentle', 'crash', 'amnesia', 'island', 'freeze', 'promises', 'storm'] as const
export type Weather = (typeof weathers)[number]

export class Violation extends Error {
  override readonly name = 'Violation'
}

const FAULTS_MIN = 20
/** So long, in virtual time, may they take: masters that fall are replaced, or there would be none to strike. */
const FAULTS_MS_MAX = 60_000
const CALM_MS = 2800
/** From the end of the faults until nothing may be wrong any more: a link that waits for its time-out is the slowest. */
const CONVERGED_MS = 2500
const DOWN_AFTER_MS = 400
const WRITE_EVERY_MS = 8
const ROLE_GAP_MS = 3
/** Entries a node applies in four milliseconds: none, a fraction of what is written, all. */
const RATES = [0, 1, 1000, 1000] as const
const DATA_SLACK = 20
/** What a master accepts between two looks of its replicas. */
const LOST_PER_CRASH_MAX = 2
/** From the moment when a master's absence counts until there is another. */
const RECOVERY_MS = 200

export class Simulation implements WriteGate {
  readonly clock = new VirtualClock()
  readonly trace: string[] = []
  faults = 0
  readonly #chance: Chance
  readonly #group: SimGroup
  readonly #observer: Observer
  readonly #agent: Agent
  readonly #masters = new Map<number, string>()
  #acked: number[] = []
  readonly #violations: Violation[] = []
  readonly #breaks: number
  readonly #antiFlapMs: Millis
  readonly #harmed = new Map<string, Millis>()
  #fullResyncs = 0
  #nextWrite = 1
  #inFlight = 0
  #heldSince: Millis | undefined
  #refusedWrites = 0
  #awayAt: Millis = Number.NEGATIVE_INFINITY
  #silentFailoverAt: Millis = Number.NEGATIVE_INFINITY
  #isForSilence = false
  #chosen: unknown
  #isForced = false
  #phase: 'faults' | 'calm' | 'over' = 'faults'
  #calmAt: Millis = Number.POSITIVE_INFINITY
  #running = 0
  readonly #confirming: SimConfirming | undefined

  constructor(
    readonly seed: number,
    readonly weather: Weather,
  ) {
    const chance = new Chance(seed * weathers.length + weathers.indexOf(weather))
    this.#chance = chance
    this.#group = new SimGroup(this.clock, chance, chance.pick([2, 3, 3, 4]))
    const replicas = this.#group.nodes.length - 1
    const promises = {
      replicas: weather === 'promises' ? chance.pick([1, Math.min(2, replicas)]) : undefined,
      witness: false,
    }
    this.#breaks = weather === 'gentle' ? chance.pick([0, 0.002, 0.02, 0.1]) : 0
    this.#antiFlapMs = chance.pick([0, 0, 1000])
    for (const node of this.#group.nodes) node.guarded = weather === 'amnesia'
    const bus = new EventBus(() => this.clock.wall())
    const { dial } = this.#group
    this.#observer = new Observer(this.clock, bus, undefined, {
      group: 'main',
      seeds: this.#group.nodes.map(node => ({ host: 'sim', port: node.port })),
      downAfterMs: DOWN_AFTER_MS,
      headPeriodMs: 50,
      // Of the thousands of questions in a second most are of no interest, but where a switch waits for the last byte.
      roleGapMs: weather === 'gentle' ? 1 : ROLE_GAP_MS,
      dial,
    })
    if (promises.replicas !== undefined) {
      const acks = { of: promises.replicas, timeoutMs: 1000, otherwise: 'refuse' } as const
      this.#confirming = new SimConfirming(this.clock, this.#observer, acks)
    }
    const antiFlap = { windowMs: this.#antiFlapMs }
    const options = { failover: true, antiFlap, dial, promises: () => promises }
    this.#agent = new Agent(this.clock, bus, new MetricStore(), this.#observer, this, options)
    bus.listen(({ name, fields }) => this.#hear(name, fields))
    this.#observer.onView(view => this.#checkView(view))
  }

  /** Lives it through; throws the first Violation. */
  async run(): Promise<void> {
    const { clock } = this
    this.#observer.start()
    this.#agent.start()
    this.#write()
    await clock.run(clock.now() + 300)
    this.#group.breaks = this.#breaks
    this.#fullResyncs = this.#group.fullResyncs
    const tooLate = clock.now() + FAULTS_MS_MAX
    while (this.faults < FAULTS_MIN || this.#chance.is(0.7)) {
      this.#must(this.weather === 'island' || clock.now() < tooLate, 'the group does not come to rest between faults')
      if (this.#violations.length > 0) break
      await clock.run(clock.now() + this.#chance.between(10, 130))
      this.#act()
    }
    await clock.run(clock.now() + 200)
    this.#phase = 'calm'
    this.#calmAt = clock.now()
    this.#group.heal()
    await clock.run(clock.now() + CALM_MS)
    this.#checkCalm()
    this.#phase = 'over'
    this.#agent.stop()
    this.#observer.stop()
    const [first] = this.#violations
    if (first !== undefined) throw first
  }

  get hash(): string {
    return createHash('sha256').update(this.trace.join('\n')).digest('hex')
  }

  #hear(name: string, fields: Readonly<Record<string, unknown>>): void {
    this.trace.push(`${this.clock.now().toFixed(2)} ${name} ${JSON.stringify(fields)}`)
    if (name.includes('-state-') && this.#phase === 'faults') this.#atStep()
    // What is told is that promises may be broken; only then they may be.
    if (name === '+try-failover' || name === '+switchover') this.#isForced = false
    if (name === '+failover-lossy') this.#isForced = true
    if (name === '+selected-slave') this.#chosen = fields.because
    if (name === '+try-failover') this.#checkCause(String(fields.cause))
    if (name === '+failover-end' && fields.result === 'ok' && this.#isForSilence) {
      this.#silentFailoverAt = this.clock.now()
    }
    if (name === '+promoted-slave') this.#checkPromotion(String(fields.node))
  }

  // ── What happens ──────────────────────────────────────────────────────────────────────────────────────────────────

  #act(): void {
    const { weather } = this
    const node = this.#chance.pick(this.#group.nodes)
    const plans =
      weather === 'gentle' ||
      weather === 'storm' ||
      weather === 'promises' ||
      (weather === 'island' && this.#chance.is(0.2))
    if (plans && this.#chance.is(0.4)) this.#switch()
    switch (weather) {
      case 'gentle':
        return this.#chance.is(0.3) ? this.#pause(node) : this.#slow(node)
      case 'crash':
        if (this.#chance.is(0.2)) this.#estrange(node)
        this.#slow(node)
        return this.#crash(true, this.#chance.between(200, 600))
      case 'amnesia':
        return this.#crash(false, this.#chance.is(0.5) ? this.#chance.between(0, 20) : 500)
      case 'island':
        return this.#chance.is(0.3) ? this.#stall() : this.#leave()
      case 'freeze':
        return this.#chance.is(0.5) ? this.#freeze() : this.#slow(node)
      case 'promises':
        if (this.#chance.is(0.2)) return this.#crash(true, this.#chance.between(20, 600))
        if (this.#chance.is(0.3)) this.#slow(node)
        return this.clock.quietly(this.#chance.between(0, 100), () => this.#harm(this.#chance.pick(this.#group.nodes)))
      case 'storm':
        if (this.#chance.is(0.05)) this.#stall()
        this.#slow(node)
        return this.clock.quietly(this.#chance.between(0, 100), () => this.#harm(this.#chance.pick(this.#group.nodes)))
    }
  }

  #fault(what: string, node?: SimNode): void {
    this.faults++
    this.trace.push(`${this.clock.now().toFixed(2)} FAULT ${what} ${node?.id ?? ''}`)
  }

  #slow(node: SimNode): void {
    this.#fault('slow', node)
    node.rate = this.#chance.pick(RATES)
    this.clock.quietly(this.#chance.between(1, 300), () => {
      node.rate = 1000
    })
  }

  /** A garbage collection, a snapshot, a busy neighbour: shorter than down-after. */
  #pause(node: SimNode): void {
    if (this.#group.nodes.some(other => other.stopped)) return
    this.#fault('pause', node)
    this.#group.stop(node)
    this.clock.after(this.#chance.between(1, 0.6 * DOWN_AFTER_MS), () => this.#group.resume(node))
  }

  /** Only a master that has been one for a moment: what comes back must have been noticed. */
  #crash(withData: boolean, backAfterMs: Millis): void {
    const master = this.#group.nodes.find(node => node.id === this.#observer.group.declared)
    if (master === undefined || this.#observer.diagnosis.name !== 'ok' || this.#agent.status().running) return
    const others = this.#group.nodes.filter(node => node !== master && node.link === 'up' && node.offset > 0)
    if (others.length === 0) return
    this.#fault(withData ? 'crash' : 'crash-empty', master)
    this.#group.kill(master)
    if (backAfterMs > RECOVERY_MS && this.weather !== 'promises') this.#checkLater(master, RECOVERY_MS)
    this.clock.after(backAfterMs, () => master.alive || master.restart(withData))
  }

  #freeze(): void {
    const master = this.#group.nodes.find(node => node.id === this.#observer.group.declared)
    if (master === undefined || this.#group.nodes.some(node => node.stopped)) return
    this.#fault('freeze', master)
    this.#group.stop(master)
    const stoppedMs = this.#chance.between(0.5, 4) * DOWN_AFTER_MS
    const noticedMs = DOWN_AFTER_MS + RECOVERY_MS
    const hasHeir = this.#group.nodes.some(node => node !== master && node.link === 'up')
    if (stoppedMs > noticedMs && hasHeir && this.#antiFlapMs === 0) this.#checkLater(master, noticedMs)
    this.clock.after(stoppedMs, () => this.#group.resume(master))
  }

  /** For a while, another group's replica answers at this address. */
  #estrange(node: SimNode): void {
    if (!node.alive || node.role === 'master' || this.#group.nodes.length < 3) return
    if (this.#group.nodes.some(other => other.isStranger)) return
    this.#fault('stranger', node)
    this.#group.kill(node)
    node.becomeStranger()
    this.#harmed.set(node.id, this.clock.now())
  }

  /** The network between us and an instance; its own links go on. */
  #leave(): void {
    const master = this.#group.nodes.find(node => node.id === this.#observer.group.declared)
    if (master === undefined || this.#group.isCut(0, master.port)) return
    this.#fault('leave', master)
    this.#group.cut(0, master.port, true)
    this.clock.after(this.#chance.between(20, 4 * DOWN_AFTER_MS), () => this.#group.cut(0, master.port, false))
  }

  /** Our own process is away: a suspended machine, a debugger, a clock that jumps. */
  #stall(): void {
    this.#fault('stall')
    this.clock.jump(this.#chance.between(DOWN_AFTER_MS, 10 * DOWN_AFTER_MS))
    this.#awayAt = this.clock.now()
  }

  /** A transition of one of the machines: the worst moments are right after these. */
  #atStep(): void {
    if (this.weather === 'island' || this.weather === 'amnesia' || !this.#chance.is(0.15)) return
    const node = this.#chance.pick(this.#group.nodes)
    this.clock.after(this.#chance.between(0, 1.5), () => {
      if (this.#phase !== 'faults') return
      if (this.weather === 'storm' || this.weather === 'promises') this.#harm(node)
      else this.#slow(node)
    })
  }

  #harm(node: SimNode): void {
    if (this.#phase !== 'faults') return
    const { clock } = this
    const soon = this.#chance.between(5, 800)
    clock.quietly(soon, () => this.#harmed.set(node.id, clock.now()))
    const kinds = ['kill', 'kill', 'stop', 'cut', 'split', 'lines', 'impostor'] as const
    const what = this.#chance.pick(this.weather === 'promises' ? kinds.slice(0, -1) : kinds)
    this.#harmed.set(node.id, clock.now())
    this.#fault(what, node)
    switch (what) {
      case 'kill': {
        if (!node.alive) return
        const withData = this.weather === 'promises' || this.#chance.is(0.8)
        this.#group.kill(node)
        return clock.quietly(soon, () => node.alive || node.restart(withData))
      }
      case 'stop':
        this.#group.stop(node)
        clock.after(soon, () => this.#group.resume(node))
        return
      case 'cut':
        this.#group.cut(0, node.port, true)
        return clock.quietly(soon, () => this.#group.cut(0, node.port, false))
      case 'split': {
        const other = this.#chance.pick(this.#group.nodes)
        this.#group.cut(other.port, node.port, true)
        this.#harmed.set(other.id, clock.now())
        return clock.quietly(soon, () => this.#group.cut(other.port, node.port, false))
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
    const refusedBefore = this.#refusedWrites
    this.#running++
    const answer = this.#chance.is(0.85)
      ? this.#agent.switchover({ to, timeoutMs: 500 })
      : this.#agent.failover({
          to,
          acceptDataLoss: this.weather === 'storm' || (this.#confirming && this.#chance.is(0.3)),
        })
    void answer.then(report => {
      this.#running--
      const limitMs = Math.max(longestMs(switchoverDefaults), longestFailoverMs(failoverDefaults)) + 500
      // Approach, and what nobody waits for: replicas being linked, counters being read.
      const besides = 500 + switchoverDefaults.reconfTimeoutMs + 1000
      const tookMs = this.clock.now() - startedAt
      this.#must(this.#awayAt > startedAt || tookMs <= limitMs + besides, `an operation took ${tookMs} ms`)
      if ('refused' in report || report.kind !== 'switchover') return
      const isAstray = this.weather === 'gentle' && report.result === 'failed'
      this.#must(!isAstray, `a planned switch failed: ${report.reason}`)
      if (report.result === 'rolled-back') this.#checkRolledBack(report.from)
      if (report.result !== 'ok') return
      this.#checkNothingLost('after a switch')
      if (this.weather !== 'gentle' || this.#breaks > 0) return
      // Demoting first: nothing slips into the old stream, and everybody continues. A lost reply costs a name, at most.
      this.#must(report.fullResyncs === 0, `${report.fullResyncs} full resyncs for a planned switch`)
      const refused = this.#refusedWrites - refusedBefore
      this.#must(refused === 0, `${refused} writes met a master that refuses them`)
    })
  }

  /** Clients: a write is on its way for a moment, and is acknowledged by whoever the view said was master. */
  #write(): void {
    const { clock } = this
    if (this.#phase === 'over') return
    clock.quietly(WRITE_EVERY_MS, () => this.#write())
    const master = this.#observer.view.groups[0]?.master
    const epoch = this.#observer.group.masterEpoch
    if (this.#heldSince !== undefined || master === undefined) return
    const node = this.#group.node(master.port) as SimNode
    const { generation } = node
    const write = this.#confirming?.send()
    this.#inFlight++
    const arrive = (): void => {
      this.#inFlight--
      if (node.generation !== generation || this.#group.isCut(0, node.port)) return
      if (!node.isWritable(clock.now())) {
        this.#refusedWrites++
        return
      }
      const id = this.#nextWrite++
      node.data.push(id)
      // Connections to the master of another epoch are closed: what it answers then nobody hears.
      if (epoch !== this.#observer.group.masterEpoch) return
      this.#acked.push(id)
      if (write !== undefined) clock.quietly(this.#group.delayMs(), () => this.#answer(write, epoch, id, node.offset))
    }
    clock.quietly(this.#group.delayMs(), () => (node.stopped ? node.inbox.push(arrive) : arrive()))
  }

  /** The answer reaches the proxy, unless its connection has been closed meanwhile. */
  #answer(write: Write, epoch: number, id: number, offset: number): void {
    if (epoch === this.#observer.group.masterEpoch) this.#confirming?.answer(write, id, offset)
    else this.#confirming?.lose(write)
  }

  async hold(request: HoldRequest): Promise<HoldReport> {
    const since = this.clock.now()
    this.#heldSince = since
    this.clock.after(request.timeoutMs, () => {
      if (this.#heldSince !== since) return
      this.#heldSince = undefined
      this.#must(this.#awayAt > since, 'a hold was never released')
    })
    while (this.#inFlight > 0 && this.#heldSince === since) {
      await new Promise<void>(resume => this.clock.after(0.2, resume))
    }
    return { drained: this.#inFlight === 0, inFlight: this.#inFlight }
  }

  async release(): Promise<ReleaseReport> {
    const heldMs = this.clock.now() - (this.#heldSince ?? this.clock.now())
    this.#heldSince = undefined
    return { heldCommands: 0, stallMs: heldMs }
  }

  // ── What must hold ────────────────────────────────────────────────────────────────────────────────────────────────

  #must(holds: boolean, otherwise: string): void {
    if (holds) return
    const tail = this.trace.slice(-40).join('\n')
    this.#violations.push(new Violation(`${this.clock.now().toFixed(1)} ms: ${otherwise}\n${tail}`))
  }

  /** An epoch has one master, and epochs only grow; who is shown as master was one when it was declared. */
  #checkView(view: TopologyView): void {
    const [group] = view.groups
    if (group === undefined) return
    const newest = Math.max(0, ...this.#masters.keys())
    this.#must(group.masterEpoch >= newest, `epoch ${group.masterEpoch} after ${newest}`)
    if (group.master === undefined) return
    const { id, port, runId } = group.master
    const known = this.#masters.get(group.masterEpoch)
    const now = `${id} ${runId}`
    this.#must(known === undefined || known === now, `epoch ${group.masterEpoch} has two masters: ${known}, ${now}`)
    this.#masters.set(group.masterEpoch, now)
    if (known !== undefined) return
    const node = this.#group.node(port)
    const isOne = node?.runId !== runId || node?.role === 'master' || this.weather === 'storm'
    this.#must(isOne, `${id} is shown as master, and is none`)
    if (node !== undefined) this.#checkPromises(node)
    if (node?.isStranger === true) this.#must(false, `${id} has another group's data`)
  }

  /** S5: a master is chosen, and has every write that was confirmed, unless an operator wanted one whatever it has. */
  #checkPromises(master: SimNode): void {
    if (this.#confirming === undefined) return
    const has = new Set(master.data)
    const lost = this.#confirming.confirmed.filter(id => !has.has(id))
    if (lost.length === 0) return
    this.#must(this.#isForced, `${master.id} lacks ${lost.length} confirmed writes, ${lost[0]} the first`)
    this.#confirming.confirmed.splice(
      0,
      Number.POSITIVE_INFINITY,
      ...this.#confirming.confirmed.filter(id => has.has(id)),
    )
  }

  /** Broken lines, slow replicas, a lost network or our own absence are no reason to replace a master that lives. */
  #checkCause(cause: string): void {
    const now = this.clock.now()
    if (this.weather === 'gentle' || this.weather === 'island') {
      this.#must(cause === 'operator' || cause === 'no-master', `failover because of ${cause}`)
    }
    if (this.#phase === 'calm') {
      this.#must(now - this.#calmAt < CONVERGED_MS, `failover because of ${cause} in calm weather`)
    }
    if (cause === 'operator') return
    const awayMs = now - this.#awayAt
    this.#must(awayMs > 200, `failover ${awayMs} ms after we were away`)
    this.#isForSilence = this.#observer.diagnosis.evidence === 'silence'
    const sinceMs = now - this.#silentFailoverAt
    const isHeeded = !this.#isForSilence || sinceMs >= this.#antiFlapMs
    this.#must(isHeeded, `a failover for silence ${sinceMs} ms after another`)
  }

  /** When it has been gone for so long, somebody else is master. */
  #checkLater(gone: SimNode, afterMs: Millis): void {
    this.clock.quietly(afterMs, () => {
      const master = this.#observer.view.groups[0]?.master
      if (this.#phase !== 'faults') return
      this.#must(master !== undefined && master.id !== gone.id, `${gone.id} is gone, and the view has ${master?.id}`)
    })
  }

  /** After a death whoever was asked and has more data is the one to be promoted, and never a stranger. */
  #checkPromotion(id: string): void {
    const promoted = this.#group.nodes.find(node => node.id === id) as SimNode
    this.#must(!promoted.isStranger, `${id} was promoted, and has another group's data`)
    const running = this.#agent.status().running
    const from = this.#group.nodes.find(node => node.id === this.#observer.group.declared)
    if (running?.kind !== 'failover' || this.#group.breaks > 0 || from === undefined || from.alive) return
    // An operator may want the one that has less.
    if (this.#chosen === 'requested') return
    for (const node of this.#group.nodes) {
      const asked = node.alive && !node.stopped && !this.#group.isCut(0, node.port) && node.role === 'slave'
      // One that lost its own master a moment ago by another fault may have been down when it was asked.
      if (!asked || node.replid !== promoted.replid2) continue
      // What it has beyond the point where the dead master's history began is of a master that had been replaced.
      if (node.replid === from.replid2 && node.offset >= from.second) continue
      if (this.weather === 'storm' && !this.#isSteady(node)) continue
      this.#must(node.offset <= promoted.offset, `${id} has ${promoted.offset}, ${node.id} has ${node.offset}`)
    }
  }

  /** Nothing has happened to it for a while. */
  #isSteady(node: SimNode): boolean {
    return (this.#harmed.get(node.id) ?? 0) < this.clock.now() - 500
  }

  /** Rolled back means that the old master goes on. */
  #checkRolledBack(from: string | undefined): void {
    if (this.weather !== 'gentle') return
    const node = this.#group.nodes.find(each => each.id === from)
    this.#must(node?.role === 'master', `rolled back, and ${from} is no master`)
  }

  #checkNothingLost(when: string): void {
    if (this.weather !== 'gentle' && this.weather !== 'amnesia') return
    const master = this.#observer.view.groups[0]?.master
    const has = new Set(this.#group.node(master?.port ?? 0)?.data)
    const lost = this.#acked.filter(id => !has.has(id))
    // In a crash, what no replica had received is lost with the master, and no more than that.
    const allowed = this.weather === 'amnesia' ? LOST_PER_CRASH_MAX * this.faults : 0
    this.#must(lost.length <= allowed, `${lost.length} of ${this.#acked.length} writes lost ${when}`)
  }

  #checkCalm(): void {
    const { diagnosis, view } = this.#observer
    const [group] = view.groups
    this.#must(diagnosis.name === 'ok', `in the end: ${diagnosis.name} ${diagnosis.about.join(' ')}`)
    this.#must(this.#running === 0, `${this.#running} operations were not answered`)
    this.#must(this.#heldSince === undefined, 'writes are still held')
    const masters = this.#group.nodes.filter(node => node.role === 'master').map(node => node.id)
    this.#must(masters.join() === group?.master?.id, `masters: ${masters.join()}, in the view: ${group?.master?.id}`)
    const master = this.#group.node(group?.master?.port ?? 0)
    if (master === undefined) return
    for (const replica of this.#group.nodes) {
      if (replica === master) continue
      this.#must(replica.link === 'up', `${replica.id}: link ${replica.link}`)
      const shared = master.offset - DATA_SLACK
      let same = Math.min(replica.offset, shared)
      while (same > 0 && replica.data[same - 1] === master.data[same - 1]) same--
      this.#must(replica.offset >= shared && same === 0, `${replica.id} has other data than its master`)
    }
    const excluded = group?.replicas.filter(replica => replica.excluded !== undefined) ?? []
    this.#must(excluded.length === 0, `${excluded[0]?.id} is excluded: ${excluded[0]?.excluded}`)
    this.#must(this.#acked.length > 50, `only ${this.#acked.length} writes`)
    this.#checkNothingLost('at the end')
    this.#checkPromises(master)
    if (this.#confirming !== undefined) {
      this.#must(this.#confirming.confirmed.length > 20, `only ${this.#confirming.confirmed.length} confirmed writes`)
    }
    if (this.weather === 'gentle' && this.#breaks === 0) {
      const full = this.#group.fullResyncs - this.#fullResyncs
      this.#must(full === 0, `${full} full resyncs although nobody died`)
    }
  }
}
