/**
 * The observing half of the control plane: probes → observations → facts → diagnosis and view.
 *
 *     Probe (one per instance) ──observation──▶ observe() ──facts──┬─▶ chooseMaster ─▶ diagnose ─▶ makeView ─▶ listeners
 *     workers' samples ─────────────────────▶ OffsetTimeline ──────┴─▶ FreshnessUpdate (one per millisecond at most)
 *
 * It sees and says; it never sends a command that changes anything. The agent (sentinel/) does, and tells the observer
 * what it has done: `declareMaster` the moment a promotion is confirmed, `disown` when the master is given up.
 *
 * Pace. Everybody is pinged every 100 ms and asked for INFO every second. A replica that is behind is asked for its ROLE
 * again at once (a millisecond apart), an idle one every 100 ms; a first sign of trouble makes all of this faster. Where the
 * workers are calm (pace.ts) freshness is told every five milliseconds, and taps are not read in between.
 */
import { type Address, formatAddress } from '../base/address.js'
import type { EventSink } from '../base/bus.js'
import { type Clock, every } from '../base/clock.js'
import { invariant } from '../base/invariant.js'
import type { Millis } from '../base/units.js'
import type { MetricStore } from '../metrics/store.js'
import type { Credentials } from '../net/client.js'
import { type AdoptOptions, chooseMaster } from '../topology/adopt.js'
import { type Diagnosis, diagnose } from '../topology/diagnose.js'
import { type InstanceFacts, newInstance, type Observation, observe } from '../topology/facts.js'
import {
  emptyGroup,
  type Group,
  healthOf,
  instanceAt,
  isUp,
  type JudgeOptions,
  judgeDefaults,
  othersOf,
} from '../topology/group.js'
import { OffsetTimeline } from '../topology/lag.js'
import { addToPast, kinship, lineageOf } from '../topology/lineage.js'
import { makeView } from '../topology/make-view.js'
import type { Pace } from '../topology/pace.js'
import { emptyView, type FreshnessSample, type FreshnessUpdate, type TopologyView } from '../topology/view.js'
import { Freshness } from './freshness.js'
import { type Dial, dialClient } from './line.js'
import { exportFacts } from './metrics.js'
import { Probe, type ProbeOptions } from './probe.js'
import { type FreshnessSource, Taps } from './taps.js'

export interface ObserverOptions extends Partial<JudgeOptions> {
  readonly group: string
  /** Any members; the rest is discovered. */
  readonly seeds: readonly Address[]
  readonly credentials?: Credentials
  readonly pingPeriodMs?: Millis
  readonly infoPeriodMs?: Millis
  /** How often the head of an idle master is looked at: the age of a `bounded` proof. */
  readonly headPeriodMs?: Millis
  /** The master of an earlier run: believed when several instances claim to be it. */
  readonly lastMaster?: string | undefined
  readonly zones?: ReadonlyMap<string, string>
  readonly dial?: Dial
  /** How soon a replica that is behind is asked again. */
  readonly roleGapMs?: Millis
  /** Whether replicas are tapped, to be told what they have applied instead of asking. */
  readonly taps?: boolean
  /** Sleeps, and this process with it; see freshness.ts. */
  readonly nap?: ((length: Millis) => void) | undefined
}

/** What another name leads to, and when we saw that. */
interface Alias {
  readonly id: string
  readonly since: Millis
}

interface Watched {
  readonly probe: Probe
  cancelRole: () => void
  roleAskedAt: Millis
  /** When it last answered an order: what was asked before that may have been said before it. */
  orderedAt: Millis
  infoAskedAt: Millis
  /** The same for the whole of it, with run id, counters and keyspace. */
  wholeAskedAt: Millis
  /** The last time another instance named this address: found ones nobody names any more are forgotten. */
  namedAt: Millis
  /** What was last said about it on the bus. */
  health: string
}

/** More instances than this are not discovered: a master's table is somebody else's input. */
const INSTANCES_MAX = 64
/** A found address that never answered is dropped when nobody has named it for this long. */
const UNNAMED_MS: Millis = 10_000
/** What an alias led to may change. */
const ALIAS_MS: Millis = 60_000
const ROLE_GAP_MS: Millis = 1
const SUSPECT_GAP_MS: Millis = 4
const TROUBLE_INFO_MS: Millis = 100
/** After we have been away, observe this long before acting again. */
const TILT_MS: Millis = 300

export class Observer {
  readonly #judge: JudgeOptions
  readonly #pingPeriodMs: Millis
  readonly #infoPeriodMs: Millis
  readonly #headPeriodMs: Millis
  readonly #roleGapMs: Millis
  readonly #watched = new Map<string, Watched>()
  readonly #aliases = new Map<string, Alias>()
  readonly #timeline = new OffsetTimeline()
  readonly #viewListeners = new Set<(view: TopologyView) => void>()
  readonly #changeListeners = new Set<() => void>()
  readonly #freshness: Freshness
  readonly #taps: Taps | undefined
  #cancelTick: () => void = () => undefined
  #cancelHead: () => void = () => undefined
  #group: Group
  #view: TopologyView = emptyView
  #diagnosis: Diagnosis = { name: 'starting', about: [], since: undefined, evidence: undefined }
  #diagnosisSince: Millis
  #declaredAt: Millis = 0
  #frozen = false
  #acting = false
  #mayAdopt: AdoptOptions['mayAdopt']
  #stopped = false
  #tickAt: Millis
  #tiltUntil: Millis = Number.NEGATIVE_INFINITY
  #hurryInfoMs: Millis | undefined
  #evaluating = false
  #evaluateAgain = false

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    metrics: MetricStore | undefined,
    private readonly options: ObserverOptions,
  ) {
    this.#judge = {
      downAfterMs: options.downAfterMs ?? judgeDefaults.downAfterMs,
      vetoMs: options.vetoMs ?? 3 * (options.downAfterMs ?? judgeDefaults.downAfterMs),
      stalledAfterMs: options.stalledAfterMs ?? judgeDefaults.stalledAfterMs,
      linkedAfterDeathMs: judgeDefaults.linkedAfterDeathMs,
    }
    this.#pingPeriodMs = options.pingPeriodMs ?? 100
    this.#infoPeriodMs = options.infoPeriodMs ?? 1000
    this.#headPeriodMs = options.headPeriodMs ?? 20
    this.#roleGapMs = options.roleGapMs ?? ROLE_GAP_MS
    this.#group = emptyGroup(options.group)
    this.#diagnosisSince = clock.now()
    this.#tickAt = clock.now()
    const { credentials = {} } = options
    this.#freshness = new Freshness(clock, {
      update: (moved, now) => this.#freshnessNow(moved, now),
      isCalm: () => this.#diagnosis.name === 'ok' && !this.#frozen,
      pause: () => this.#taps?.pause() === true,
      resume: () => this.#taps?.resume(),
      nap: length => this.#taps !== undefined && options.nap?.(length),
    })
    if (options.taps)
      this.#taps = new Taps(clock, events, metrics, options.group, credentials, id => this.#freshness.noteTap(id))
    if (metrics !== undefined) metrics.beforeSnapshot(exportFacts(this, metrics, clock))
  }

  start(): void {
    for (const seed of this.options.seeds) this.addSeed(seed)
    this.#tickAt = this.clock.now()
    this.#cancelTick = every(this.clock, this.#pingPeriodMs / 2, () => this.#tick())
    this.#cancelHead = every(this.clock, this.#headPeriodMs, () => this.#askHead())
    this.#evaluate()
  }

  stop(): void {
    this.#stopped = true
    this.#cancelTick()
    this.#cancelHead()
    this.#freshness.close()
    this.#taps?.stop()
    for (const watched of this.#watched.values()) this.#unwatch(watched)
    this.#watched.clear()
  }

  // ── What is known ─────────────────────────────────────────────────────────────────────────────────────────────────

  get name(): string {
    return this.options.group
  }

  get group(): Group {
    return this.#group
  }

  get facts(): readonly InstanceFacts[] {
    return this.#group.instances
  }

  get view(): TopologyView {
    return this.#view
  }

  get diagnosis(): Diagnosis {
    return this.#diagnosis
  }

  /** Since when the diagnosis has had this name. */
  get diagnosisSince(): Millis {
    return this.#diagnosisSince
  }

  get judgeOptions(): JudgeOptions {
    return this.#judge
  }

  /** True for a moment after the event loop stalled or the clock jumped: observe, do not act. */
  get tilted(): boolean {
    this.#noticeAbsence(this.clock.now())
    return this.clock.now() < this.#tiltUntil
  }

  instance(id: string): InstanceFacts | undefined {
    return this.#group.instances.find(instance => instance.id === id)
  }

  /** The instance somebody means by an address, under whatever name. */
  find(address: Address): InstanceFacts | undefined {
    return instanceAt(this.#group, address)
  }

  /** Behind the newest known head; undefined when histories differ or nothing is known. */
  lagOf(instance: InstanceFacts): { readonly bytes: number; readonly ms: Millis } | undefined {
    const { offset } = instance
    const head = this.#timeline.head
    if (offset === undefined || head === undefined || !this.#isComparable(instance)) return undefined
    return { bytes: Math.max(0, head - offset), ms: this.#timeline.lagMs(offset, this.clock.now()) }
  }

  /** How we know what it has applied; `because` says why it is not tapped. */
  freshnessOf(id: string): { readonly source: FreshnessSource; readonly because: string | undefined } {
    return this.#taps?.sourceOf(id) ?? { source: 'poll', because: 'off' }
  }

  onView(listener: (view: TopologyView) => void): () => void {
    this.#viewListeners.add(listener)
    return () => this.#viewListeners.delete(listener)
  }

  onFreshness(listener: (update: FreshnessUpdate) => void): () => void {
    return this.#freshness.listen(listener)
  }

  /** After every change that is more than an offset, and with every tick: for whoever acts. */
  onChange(listener: () => void): () => void {
    this.#changeListeners.add(listener)
    return () => this.#changeListeners.delete(listener)
  }

  // ── What others tell ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Evidence from the data path. It is not believed, it makes us look at once. */
  suspect(id: string, _evidence: 'reset' | 'refused' | 'not-master'): void {
    const watched = this.#watched.get(id)
    if (watched === undefined) return
    watched.probe.hurry()
    watched.probe.ping()
    watched.probe.role()
  }

  /** An offset that a worker found on the master while it sent writes. */
  sample(group: string, sample: FreshnessSample): void {
    if (group !== this.options.group || sample.id !== this.#group.declared) return
    if (sample.replid !== this.#group.lineage?.replid) return
    this.#headSeen(sample.offset, this.clock.now(), undefined)
  }

  /** Facts from an instance's own words after an order, which the agent got on a connection of its own. */
  observe(id: string, observation: Observation): void {
    const now = this.clock.now()
    const watched = this.#watched.get(id)
    if (watched !== undefined) watched.orderedAt = now
    this.#apply(id, observation, now)
  }

  addSeed(address: Address): void {
    const id = formatAddress(address)
    const known = this.instance(id)
    if (known === undefined) this.#watch(address, true)
    else if (!known.seed) this.#replace({ ...known, seed: true })
  }

  forget(id: string): void {
    const watched = this.#watched.get(id)
    if (watched === undefined || id === this.#group.declared) return
    this.#unwatch(watched)
    this.#watched.delete(id)
    this.#group = { ...this.#group, instances: this.#group.instances.filter(instance => instance.id !== id) }
    this.events.event('info', '-monitor', { group: this.name, node: id })
    this.#evaluate()
  }

  /** An operator takes an instance out of reading, or back. */
  drain(id: string, drained: boolean): void {
    const known = this.instance(id)
    if (known === undefined || known.drained === drained) return
    this.#replace({ ...known, drained })
    this.#evaluate()
  }

  // ── What the agent tells ──────────────────────────────────────────────────────────────────────────────────────────

  /** An agent acts on this group; see AdoptOptions.acting. */
  setActing(acting: boolean, mayAdopt?: AdoptOptions['mayAdopt']): void {
    this.#acting = acting
    this.#mayAdopt = acting ? mayAdopt : undefined
  }

  /** A switch is running: what looks like somebody else's promotion is ours, and everybody is asked more often. */
  setFrozen(frozen: boolean): void {
    this.#frozen = frozen
    this.#hurryInfoMs = frozen ? 20 : undefined
    this.#evaluate()
  }

  /** The master is given up (or not any more): the view names none until somebody is declared. */
  disown(disowned: boolean): void {
    if (this.#group.disowned === disowned) return
    this.#group = { ...this.#group, disowned }
    this.#evaluate()
  }

  /** This instance is the master from now on; its facts must say so already. */
  declareMaster(id: string, epoch: number, because: string): void {
    const master = this.instance(id)
    const lineage = master && lineageOf(master)
    invariant(master !== undefined && lineage !== undefined, `declared ${id} whose history is unknown`)
    const before = this.#group
    const masterEpoch = Math.max(before.masterEpoch + 1, epoch)
    this.#group = {
      ...before,
      declared: id,
      declaredRunId: master.runId,
      masterEpoch,
      lineage,
      past: addToPast(before.past, before.lineage, lineage),
      disowned: false,
    }
    this.#declaredAt = this.clock.now()
    this.#timeline.clear()
    const fields = { group: this.name, from: before.declared, to: id, epoch: masterEpoch, because }
    this.events.event('info', before.declared === id ? '+master-epoch' : '+switch-master', fields)
    this.#evaluate()
    for (const instance of this.#group.instances) this.#askInfo(instance.id)
  }

  /** Ask everybody (or these) again at once. */
  look(ids: readonly string[] = [...this.#watched.keys()]): void {
    for (const id of ids) this.#askInfo(id)
  }

  /** The same, of those on whose answer a decision waits. */
  insist(ids: readonly string[]): void {
    for (const id of ids) this.#watched.get(id)?.probe.insist()
  }

  // ── Instances ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #watch(address: Address, seed: boolean): void {
    if (this.#watched.size >= INSTANCES_MAX) return
    const id = formatAddress(address)
    const options: ProbeOptions = {
      ...this.options.credentials,
      connectTimeoutMs: this.#judge.downAfterMs,
      replyTimeoutMs: 2 * this.#judge.downAfterMs,
      name: 'lagrange-observer',
    }
    const probe = new Probe(this.clock, this.options.dial ?? dialClient, address, options, (observation, askedAt) =>
      this.#hear(id, observation, askedAt),
    )
    const now = this.clock.now()
    this.#watched.set(id, {
      probe,
      cancelRole: () => undefined,
      roleAskedAt: 0,
      orderedAt: 0,
      infoAskedAt: now,
      wholeAskedAt: now,
      namedAt: now,
      health: 'unknown',
    })
    const zone = this.options.zones?.get(id)
    this.#group = { ...this.#group, instances: [...this.#group.instances, newInstance(id, address, { seed, zone })] }
    this.events.event('info', '+monitor', { group: this.name, node: id, seed })
    probe.start()
  }

  #unwatch(watched: Watched): void {
    watched.cancelRole()
    watched.probe.stop()
  }

  #replace(facts: InstanceFacts): void {
    const instances = this.#group.instances.map(instance => (instance.id === facts.id ? facts : instance))
    this.#group = { ...this.#group, instances }
  }

  /** What the answer to an order has overtaken is a sign of life and nothing more: it is asked again. */
  #hear(id: string, observation: Observation, askedAt: Millis): void {
    const { type } = observation
    const orderedAt = this.#watched.get(id)?.orderedAt ?? 0
    if (askedAt > orderedAt || (type !== 'info' && type !== 'role')) return this.#apply(id, observation, askedAt)
    this.#apply(id, { type: 'ping', reply: 'pong' }, askedAt)
    if (type === 'role') this.#askRole(id)
    else this.#askInfo(id)
  }

  /** Every answer, and every lack of one, ends up here. */
  #apply(id: string, observation: Observation, askedAt: Millis): void {
    const before = this.instance(id)
    if (before === undefined || this.#stopped) return
    const now = this.clock.now()
    if (observation.type === 'info' && observation.info.standsIn) return this.#ignore(id, now)
    const after = observe(before, observation, now)
    this.#replace(after)
    this.#tellChange(before, after)
    if (observation.type === 'info') {
      if (this.#resolveAlias(before, after)) return
      this.#discover(after, now)
    }
    if (observation.type === 'info' || observation.type === 'role') this.#offsetSeen(before, after, askedAt, now)
    if (observation.type === 'role') this.#scheduleRole(after)
    if (observation.type === 'died' && id === this.#group.declared) this.#askRoles()
    if (isShapeChanged(before, after)) {
      if (needsInfo(before, after)) this.#askInfo(id)
      this.#evaluate()
    }
  }

  /** A relay or another name of an instance we know already, by its run id: one instance, under its first name. */
  #resolveAlias(before: InstanceFacts, after: InstanceFacts): boolean {
    const { runId } = after
    if (runId === undefined || before.runId === runId) return false
    const twin = this.#group.instances.find(other => other.id !== after.id && other.runId === runId)
    if (twin === undefined) return false
    const original = after.seed && !twin.seed ? after : twin
    const alias = original === twin ? after : twin
    if (alias.id === this.#group.declared) return false
    this.#aliases.set(alias.id, { id: original.id, since: this.clock.now() })
    this.events.event('info', '+alias', { group: this.name, node: original.id, alias: alias.id })
    const watched = this.#watched.get(alias.id)
    if (watched !== undefined) this.#unwatch(watched)
    this.#watched.delete(alias.id)
    this.#group = {
      ...this.#group,
      instances: this.#group.instances.filter(instance => instance.id !== alias.id),
    }
    this.#publishAliases()
    this.#evaluate()
    return alias === after
  }

  /** Not an instance, but what some proxy's tap on the master is called; it is not looked at again for a while. */
  #ignore(id: string, now: Millis): void {
    this.#aliases.set(id, { id, since: now })
    this.forget(id)
  }

  /** Members name other members: a master its replicas, a replica its master. Strangers are not believed. */
  #discover(facts: InstanceFacts, now: Millis): void {
    const { lineage } = this.#group
    if (lineage !== undefined && !facts.seed && kinship(facts, lineage, this.#group.past) === 'foreign') return
    const named = facts.replicas.map(replica => replica.address)
    if (facts.master !== undefined) named.push(facts.master.address)
    for (const address of named) {
      const id = formatAddress(address)
      const alias = this.#aliases.get(id)
      // It stands for whom it stood for until we have seen better, unless that is hardly so.
      if (alias !== undefined && this.#leadsElsewhere(id, alias, facts)) {
        this.#aliases.delete(id)
        this.#publishAliases()
      } else if (alias !== undefined && now - alias.since < ALIAS_MS) continue
      const watched = this.#watched.get(id)
      if (watched === undefined) this.#watch(address, false)
      else watched.namedAt = now
    }
  }

  /** A replica has come anew through what led to somebody who is not master: it may lead to the master by now. */
  #leadsElsewhere(id: string, alias: Alias, { master }: InstanceFacts): boolean {
    if (master === undefined || formatAddress(master.address) !== id) return false
    return alias.id !== this.#group.declared && alias.id !== id && master.since > alias.since
  }

  #publishAliases(): void {
    this.#group = { ...this.#group, aliases: new Map([...this.#aliases].map(([name, { id }]) => [name, id])) }
  }

  // ── Asking ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    const now = this.clock.now()
    this.#noticeAbsence(now)
    this.#tickAt = now
    const infoPeriodMs = this.#hurryInfoMs ?? (this.#diagnosis.name === 'ok' ? this.#infoPeriodMs : TROUBLE_INFO_MS)
    for (const [id, watched] of this.#watched) {
      watched.probe.ping()
      // Timers are late, never early: without the margin every other tick would miss its period.
      if (now - watched.infoAskedAt >= Math.min(infoPeriodMs, this.#infoPeriodMs) - 5) this.#askInfo(id)
      if (now - watched.roleAskedAt >= this.#pingPeriodMs - 5) this.#askRole(id)
    }
    this.#forgetUnnamed(now)
    this.#evaluate()
  }

  /**
   * Asked before every judgement, not only when the tick comes: after we were away other timers may fire first, and what
   * they would see is a silence of everybody.
   */
  #noticeAbsence(now: Millis): void {
    const awayMs = now - this.#tickAt - this.#pingPeriodMs / 2
    // A timer may fire a hair early; a clock that goes back further than that has jumped.
    const isLate = awayMs > Math.max(2 * this.#pingPeriodMs, this.#judge.downAfterMs / 4)
    if (!isLate && awayMs >= -TILT_MS) return
    this.#tickAt = now
    this.#wasAway(awayMs, now)
  }

  /** We were not listening: nobody else's silence counts, and we do not act until we have seen things again. */
  #wasAway(awayMs: Millis, now: Millis): void {
    this.events.event('warn', '+tilt', { group: this.name, awayMs: Math.round(awayMs) })
    this.#tiltUntil = now + TILT_MS
    for (const instance of this.#group.instances) this.#replace(observe(instance, { type: 'stalled' }, now))
  }

  #forgetUnnamed(now: Millis): void {
    for (const instance of this.#group.instances) {
      const watched = this.#watched.get(instance.id)
      const isRumour = !instance.seed && instance.role === 'unknown'
      if (isRumour && watched !== undefined && now - watched.namedAt > UNNAMED_MS) this.forget(instance.id)
    }
  }

  #askInfo(id: string): void {
    const watched = this.#watched.get(id)
    if (watched === undefined) return
    const now = this.clock.now()
    // The whole INFO once in a period, for run id, counters and the keyspace; in between the section that matters.
    const whole = now - watched.wholeAskedAt >= this.#infoPeriodMs - 5
    watched.infoAskedAt = now
    if (whole) watched.wholeAskedAt = now
    watched.probe.info(whole ? undefined : 'replication')
  }

  #askRole(id: string): void {
    const watched = this.#watched.get(id)
    if (watched === undefined) return
    watched.cancelRole()
    watched.roleAskedAt = this.clock.now()
    watched.probe.role()
  }

  #askRoles(): void {
    for (const id of this.#watched.keys()) this.#askRole(id)
  }

  /** The head of the master; writes carry samples of their own, this is for idle times and for proofs of age. */
  #askHead(): void {
    const { declared } = this.#group
    if (declared !== undefined) this.#askRole(declared)
  }

  /** A replica that is behind is asked again at once: this is what makes applied offsets live. */
  #scheduleRole(facts: InstanceFacts): void {
    const watched = this.#watched.get(facts.id)
    if (watched === undefined || facts.role !== 'replica') return
    const head = this.#timeline.head
    const isBehind = head !== undefined && this.#isComparable(facts) && (facts.offset ?? 0) < head
    // Somebody has to say whether its link is down.
    const isWitness =
      this.#diagnosis.name === 'master-suspect' || this.#diagnosis.name === 'master-unreachable-replicas-linked'
    if ((!isBehind || this.#taps?.isStreaming(facts.id)) && !isWitness) return
    watched.cancelRole()
    watched.cancelRole = this.clock.after(isBehind ? this.#roleGapMs : SUSPECT_GAP_MS, () => this.#askRole(facts.id))
  }

  // ── Offsets ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #offsetSeen(before: InstanceFacts, after: InstanceFacts, askedAt: Millis, now: Millis): void {
    if (after.offset === undefined) return
    if (after.id === this.#group.declared) {
      if (after.role === 'master' && this.#isComparable(after)) this.#headSeen(after.offset, now, askedAt)
    } else if (after.offset !== before.offset && this.#isComparable(after)) this.#freshness.note(after.id)
  }

  #headSeen(offset: number, heardAt: Millis, askedAt: Millis | undefined): void {
    const grew = offset > (this.#timeline.head ?? -1)
    this.#timeline.add(offset, heardAt, askedAt)
    if (this.#group.declared !== undefined) this.#freshness.note(this.#group.declared)
    if (!grew) return
    for (const replica of othersOf(this.#group)) {
      const watched = this.#watched.get(replica.id)
      if (watched === undefined || replica.role !== 'replica' || (replica.offset ?? 0) >= offset) continue
      if (this.#taps?.isStreaming(replica.id)) continue
      if (heardAt - watched.roleAskedAt >= this.#roleGapMs) this.#askRole(replica.id)
    }
  }

  /**
   * Whether its offsets can be compared with the head. ROLE names no history, so the INFO that named it must be younger
   * than the link it speaks of and than the master we believe in.
   */
  #isComparable(facts: InstanceFacts): boolean {
    const { lineage } = this.#group
    if (lineage === undefined || facts.replid !== lineage.replid || facts.infoAt === undefined) return false
    if (facts.id === this.#group.declared) return facts.runId === this.#group.declaredRunId
    return facts.master?.up === true && facts.infoAt >= Math.max(this.#declaredAt, facts.master.since)
  }

  /** What the workers ask for. */
  pace(pace: Pace): void {
    this.#freshness.pace = pace
  }

  /** Facts take a tap's position when it is told: it moves with every command that is applied. */
  #takePositions(moved: ReadonlySet<string>, now: Millis): void {
    if (this.#taps === undefined) return
    for (const id of moved) {
      const facts = this.instance(id)
      const position = this.#taps.positionOf(id)
      if (facts?.role !== 'replica' || position === undefined || position.replid !== facts.replid) continue
      const { offset } = position
      if (offset > (facts.offset ?? 0)) this.#replace(observe(facts, { type: 'applied', offset }, now))
    }
  }

  #freshnessNow(moved: ReadonlySet<string>, now: Millis): FreshnessUpdate {
    this.#takePositions(moved, now)
    const samples: FreshnessSample[] = []
    const lagMs: [string, Millis][] = []
    for (const instance of this.#group.instances) {
      const { id, offset, replid, runId } = instance
      if (!this.#isComparable(instance) || offset === undefined || replid === undefined) continue
      const isMaster = id === this.#group.declared
      const known = isMaster ? Math.max(offset, this.#timeline.head ?? 0) : offset
      if (moved.has(id)) samples.push({ id, replid, offset: known, runId })
      const proven = isMaster ? undefined : this.#timeline.provenMs(offset, now)
      if (proven !== undefined) lagMs.push([id, proven])
    }
    return { samples, lagMs }
  }

  // ── Judging ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Runs to the end before it runs again, however its listeners call back. */
  #evaluate(): void {
    if (this.#stopped) return
    this.#evaluateAgain = true
    if (this.#evaluating) return
    this.#evaluating = true
    try {
      while (this.#evaluateAgain) {
        this.#evaluateAgain = false
        this.#evaluateOnce(this.clock.now())
      }
    } finally {
      this.#evaluating = false
    }
  }

  #evaluateOnce(now: Millis): void {
    this.#noticeAbsence(now)
    this.#tellHealth(now)
    if (!this.#frozen) {
      const adoption = chooseMaster(
        this.#group,
        { ...this.#judge, prefer: this.options.lastMaster, acting: this.#acting, mayAdopt: this.#mayAdopt },
        now,
      )
      if (adoption.adopt !== undefined) this.declareMaster(adoption.adopt, 0, adoption.because)
    }
    const diagnosis = diagnose(this.#group, this.#judge, now)
    if (diagnosis.name !== this.#diagnosis.name) {
      // During a switch of ours the names are those of its steps.
      const level = diagnosis.name === 'ok' || this.#frozen ? 'info' : 'warn'
      this.#diagnosisSince = now
      this.events.event(level, '+diagnosis', {
        group: this.name,
        diagnosis: diagnosis.name,
        before: this.#diagnosis.name,
        about: diagnosis.about.join(' '),
      })
      // The replicas' word is needed now, not at their next turn.
      if (diagnosis.name === 'master-suspect') this.#askRoles()
    }
    this.#diagnosis = diagnosis
    this.#taps?.follow(
      othersOf(this.#group).filter(other => other.role === 'replica' && !other.denied && isUp(other, this.#judge, now)),
    )

    const view = makeView(this.#view, [this.#group], this.#judge, now)
    if (view !== this.#view) {
      this.#view = view
      for (const listener of this.#viewListeners) listener(view)
    }
    for (const listener of this.#changeListeners) listener()
  }

  // ── Telling ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #tellHealth(now: Millis): void {
    for (const instance of this.#group.instances) {
      const watched = this.#watched.get(instance.id)
      const verdict = healthOf(instance, this.#judge, now)
      const { health } = verdict
      if (watched === undefined || watched.health === health) continue
      const wasDown = watched.health === 'down'
      watched.health = health
      const because = 'because' in verdict ? verdict.because : undefined
      const fields = { group: this.name, node: instance.id, role: instance.role, because }
      if (health === 'down') this.events.event('warn', '+sdown', fields)
      else if (wasDown && isUp(instance, this.#judge, now)) this.events.event('info', '-sdown', fields)
    }
  }

  #tellChange(before: InstanceFacts, after: InstanceFacts): void {
    const fields = { group: this.name, node: after.id }
    if (before.runId !== undefined && before.runId !== after.runId) this.events.event('warn', '+reboot', fields)
    if (before.role !== after.role) {
      if (before.role === 'unknown') this.events.event('info', `+${after.role}`, fields)
      else this.events.event('info', '+role-change', { ...fields, from: before.role, to: after.role })
    }
    if (before.denied !== after.denied) {
      const reason = 'the instance refuses our user or password: see upstreamAuth'
      this.events.event(after.denied ? 'error' : 'info', after.denied ? '+denied' : '-denied', {
        ...fields,
        reason: after.denied ? reason : undefined,
      })
    }
    const wasUp = before.master?.up
    const up = after.master?.up
    if (wasUp === up || up === undefined) return
    const master = after.master && formatAddress(after.master.address)
    this.events.event(up ? 'info' : 'warn', up ? '+link-up' : '+link-down', { ...fields, master })
  }
}

/** Everything but offsets and times of answers. */
function isShapeChanged(before: InstanceFacts, after: InstanceFacts): boolean {
  return (
    before.role !== after.role ||
    before.runId !== after.runId ||
    before.replid !== after.replid ||
    before.replid2 !== after.replid2 ||
    before.loading !== after.loading ||
    before.denied !== after.denied ||
    before.priority !== after.priority ||
    before.master?.since !== after.master?.since ||
    before.master?.syncing !== after.master?.syncing ||
    before.liveness.deaths !== after.liveness.deaths ||
    (before.infoAt === undefined) !== (after.infoAt === undefined)
  )
}

/** ROLE told that something moved: the INFO that names the history must follow at once. */
function needsInfo(before: InstanceFacts, after: InstanceFacts): boolean {
  return before.role !== after.role || before.master?.since !== after.master?.since
}
