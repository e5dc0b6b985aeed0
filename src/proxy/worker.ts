/**
 * The data plane of one process: it accepts clients, and knows the group that serves them. What is master, who is fresh
 * and when writes are held it is told; it decides nothing of that.
 *
 *     client ─▶ Session ─▶ Group ─▶ Instance ─▶ Upstream ─▶ Redis
 *                 │          └─ marks, choose (src/routing)
 *                 └─ Transaction, Subscription, local commands
 */
import type net from 'node:net'
import type { EventSink } from '../base/bus.js'
import { type Clock, every } from '../base/clock.js'
import type { Millis, Offset } from '../base/units.js'
import { builtinTable, tableFromCommandReply } from '../command/table.js'
import type { MetricSnapshot, MetricStore } from '../metrics/store.js'
import type { Arrival, ProxyProtocol } from '../net/lobby.js'
import { type Listener, listen, type Peer, type PeerHandler, type PeerOptions } from '../net/peer.js'
import { TlsClient, TlsServer, type TlsServerOptions } from '../net/tls.js'
import { Decoder } from '../resp/decoder.js'
import { Encoder, encodeCommand } from '../resp/encoder.js'
import { itemsOf, requestLimits, textOf } from '../resp/protocol.js'
import { type Call, CallTable, type UserSource } from '../routing/calls.js'
import type { Level } from '../routing/choose.js'
import type { Rule } from '../routing/rules.js'
import type { PauseRequest } from '../topology/pauses.js'
import type { ControlPlane, DataPlane, HoldReport, HoldRequest, ReleaseReport } from '../topology/planes.js'
import type { FreshnessUpdate, Lineage, TopologyView } from '../topology/view.js'
import { Admission } from './admission.js'
import { describe } from './client-command.js'
import { GroupCounters } from './counters.js'
import { ForeignUsers } from './foreign-users.js'
import { Group } from './group.js'
import type { Admitted } from './guard.js'
import { type Access, type Entrance, entranceCounters, type Hub } from './hub.js'
import { Insight, show } from './insight.js'
import { ACL_LOG_ENTRIES } from './local.js'
import { BlockPool } from './log.js'
import { announceMove } from './maintenance.js'
import { defaultWorkerOptions, type Rates, type WorkerOptions } from './options.js'
import type { Pause } from './pause.js'
import { Pausing } from './pausing.js'
import { Policy } from './policy.js'
import { RequestPool } from './request.js'
import { Session } from './session.js'
import { type Standing, Standings, type Trail } from './standing.js'
import { Instant, type Introduction, type Upstream, type UpstreamTools } from './upstream.js'
import { DEFAULT_USER, type Users } from './users.js'

export { defaultWorkerOptions, type WorkerOptions } from './options.js'

const COMMAND = encodeCommand(['COMMAND'])
const DATABASES = encodeCommand(['CONFIG', 'GET', 'databases'])
/** Reasons for which a client is closed that are counted like those for which none is let in. */
const ENDED_BY_US = new Set(['output-limit', 'killed', 'acl', 'auth-timeout', 'idle', 'web'])
/** How often a draining worker looks whether everybody has gone. */
const DRAIN_STEP_MS = 10
/** How much of the time of a drain those have who were told to move. */
const MOVING_SHARE = 0.8
/** A client that has just been accepted gets its first answer before it is ended. */
const FIRST_WORD_MS = 1000
/** How often it looks for clients that have been there for too long. */
const SWEEP_MS = 500
/** Of those that a failover made lose something, in one event. */
const NAMED_MAX = 20

export interface ListenerOptions {
  /** Its label in metrics. */
  readonly name: string
  /** The level of connections it accepts; undefined: that of the options. */
  readonly level: Level | undefined
  readonly access?: Access
  readonly tls?: TlsServerOptions | undefined
  readonly proxyProtocol?: ProxyProtocol | undefined
}

/** What can change while it runs. */
export interface LiveOptions {
  readonly rules: readonly Rule[]
  readonly rates: Rates
}

interface Confirmation {
  readonly count: number
  readonly offset: Offset
  readonly done: (confirmed: number) => void
}

export class Worker implements DataPlane, Hub {
  readonly options: WorkerOptions
  readonly tools: UpstreamTools
  readonly insight: Insight
  readonly sessions = new Map<number, Session>()
  readonly scratch = new Encoder(2)
  readonly reader = new Decoder({ ...requestLimits, count: 2 ** 31 })
  group: Group | undefined
  calls: CallTable
  readonly policy: Policy
  readonly foreignUsers: ForeignUsers | undefined
  readonly admission: Admission
  readonly pause: Pause
  about = { version: '7.0.15', databases: 16 }
  draining = false
  readonly #listeners: Listener[] = []
  readonly #entrances: Entrance[] = []
  readonly #secured: TlsServer[] = []
  readonly #stopSweeping: () => void
  #nextId = 1
  #tableOf: string | undefined
  readonly #standings: Standings
  readonly #pausing: Pausing
  readonly #awaitingMaster = new Set<Session>()
  readonly #confirmations = new Set<Confirmation>()

  constructor(
    readonly clock: Clock,
    readonly events: EventSink,
    private readonly store: MetricStore,
    private readonly control: ControlPlane,
    options: Partial<WorkerOptions> = {},
  ) {
    this.options = { ...defaultWorkerOptions, ...options }
    this.insight = new Insight(clock, this.options.insight)
    const { upstreamTls } = this.options
    const tls = upstreamTls && new TlsClient(upstreamTls)
    const { insight } = this
    const time = new Instant(clock)
    this.tools = { time, requests: new RequestPool(), blocks: new BlockPool(), insight, tls }
    this.policy = new Policy(this.options)
    this.admission = new Admission(this.options)
    const { users } = this.policy
    if (users !== undefined && options.foreignUsers === true) {
      const changed = (before: ReadonlyMap<string, string>): void => this.#applyForeignUsers(users, before)
      this.foreignUsers = new ForeignUsers(users, () => this.group, events, changed)
    }
    this.calls = new CallTable(builtinTable, this.#userSource)
    this.#standings = new Standings(() => this.group, this.options.workers > 1)
    this.#pausing = new Pausing(clock, events, control, () => this.group)
    this.pause = this.#pausing.pause
    this.#stopSweeping = every(clock, SWEEP_MS, () => this.#sweep())
    store.beforeSnapshot(() => this.#measure())
  }

  // ── DataPlane ─────────────────────────────────────────────────────────────────────────────────────────────────────

  setView(view: TopologyView): void {
    const group = view.groups[0]
    if (group === undefined) return
    this.tools.time.update()
    if (this.group?.name === group.name) this.group.setView(group)
    else {
      this.group?.close()
      const counters = new GroupCounters(this.store, group.name)
      const { clock, events, control, tools, options } = this
      const met = (upstream: Upstream, introduction: Introduction): void => this.#meetMaster(upstream, introduction)
      const lineage = (begun: Lineage, anchor: Offset): void => this.#judgeSessions(begun, anchor, counters)
      const lost = (who: Standing | Trail): void => this.#tellLater(who, counters)
      this.group = new Group(
        group,
        clock,
        events,
        control,
        tools,
        options,
        counters,
        met,
        lineage,
        lost,
        () => this.calls,
      )
      for (const session of this.sessions.values()) session.proceed()
    }
    this.#checkConfirmations()
  }

  setFreshness(update: FreshnessUpdate): void {
    this.group?.setFreshness(update)
    if (this.#confirmations.size > 0) this.#checkConfirmations()
  }

  async hold(request: HoldRequest): Promise<HoldReport> {
    if (this.group?.name !== request.group) return { drained: true, inFlight: 0 }
    return this.group.hold(request)
  }

  async release(group: string): Promise<ReleaseReport> {
    if (this.group?.name !== group) return { heldCommands: 0, stallMs: 0 }
    return this.group.release()
  }

  async metrics(): Promise<MetricSnapshot> {
    return this.store.snapshot()
  }

  pauseClients(request: PauseRequest, then: () => void): void {
    void this.#pausing.begin(request).then(then)
  }

  unpauseClients(then: () => void): void {
    void this.#pausing.end().then(then)
  }

  keepPause(request: PauseRequest): Promise<boolean> {
    return this.#pausing.keep(request)
  }

  endPause(): void {
    this.#pausing.release()
  }

  // ── Clients ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Throws what `listen` throws. Answers where it listens. */
  async listen(
    where:
      | { readonly host: string; readonly port: number }
      | { readonly path: string }
      | { readonly server: net.Server },
    { name, level, access = 'all', ...door }: ListenerOptions = { name: this.options.listener, level: undefined },
  ): Promise<{ readonly host: string; readonly port: number }> {
    const { boundMs, waitMs, noReplica, acks } = this.options
    const rules = { level: level ?? this.options.level, boundMs, waitMs, noReplica, acks }
    const entrance: Entrance = { name, rules, access, ...entranceCounters(this.store, name) }
    this.#entrances.push(entrance)
    const tls = door.tls && new TlsServer(door.tls)
    if (tls !== undefined) this.#secured.push(tls)
    const onTurnedAway = (reason: string): void => this.#reject(entrance, reason)
    const accept: Parameters<typeof listen>[1] = (adopt, socket, arrival) => {
      this.#accept(entrance, adopt, socket, arrival)
    }
    const listener = await listen(where, accept, { tls, proxyProtocol: door.proxyProtocol, onTurnedAway })
    this.#listeners.push(listener)
    return { host: listener.host, port: listener.port }
  }

  #accept(
    entrance: Entrance,
    adopt: (handler: PeerHandler, options?: PeerOptions) => Peer,
    socket: net.Socket,
    { from }: Arrival,
  ): void {
    this.tools.time.update()
    const { open } = this.policy
    // While it drains, whoever comes had come before: a handshake takes a moment. It is served, and then ended as the others.
    const refused = this.admission.refuse(from.host, open)
    if (refused !== undefined) {
      this.#reject(entrance, refused.reason)
      socket.on('error', () => undefined)
      socket.end(`-${refused.text}\r\n`)
      socket.resume()
      return
    }
    const session = new Session(this.#nextId++, this, entrance)
    session.peer = adopt(session, { keepAliveMs: this.options.keepAliveMs })
    this.admission.entered(from.host, session.authenticated)
    this.sessions.set(session.id, session)
    entrance.opened.value++
    entrance.connections.value++
  }

  #sweep(): void {
    const now = this.tools.time.update()
    this.foreignUsers?.refresh()
    for (const session of this.sessions.values()) {
      const reason = this.admission.overdue(session, now)
      if (reason !== undefined) session.peer.destroy(reason)
    }
  }

  // ── Users and rules ───────────────────────────────────────────────────────────────────────────────────────────────

  get #userSource(): UserSource {
    if (this.policy.users === undefined) return 'none'
    return this.foreignUsers === undefined ? 'file' : 'instances'
  }

  /** As Redis has it: what a user may do changes under his connections, and those of one who is gone are closed. */
  #applyForeignUsers(users: Users, before: ReadonlyMap<string, string>): void {
    const after = users.described
    for (const session of [...this.sessions.values()]) {
      const { user } = session
      if (!session.authenticated && users.open) session.authenticate(DEFAULT_USER)
      session.regard()
      if (before.get(user) === after.get(user) || before.get(user) === undefined) continue
      // What is heard on channels was allowed once: it has to be asked for again.
      if (!after.has(user) || session.subscription !== undefined) session.peer.destroy('acl')
    }
  }

  /** Whoever is not what he was has to come in again, as Redis has it. */
  loadUsers(asking: Session | undefined): string | undefined {
    const { users } = this.policy
    if (users === undefined) return undefined
    const before = users.described
    const errors = users.load()
    if (errors !== undefined) return errors
    const after = users.described
    for (const session of [...this.sessions.values()]) {
      session.regard()
      if (session.user === DEFAULT_USER || before.get(session.user) === after.get(session.user)) continue
      if (session === asking) session.endWhenAnswered()
      else session.peer.destroy('acl')
    }
    return undefined
  }

  /** Reads certificates and users again, and takes over what is live; answers what is wrong, each with the old kept. */
  reload(live: LiveOptions): readonly string[] {
    const errors: string[] = []
    const attempt = (what: string, act: () => string | undefined): void => {
      try {
        const wrong = act()
        if (wrong !== undefined) errors.push(`${what}: ${wrong}`)
      } catch (error) {
        errors.push(`${what}: ${(error as Error).message}`)
      }
    }
    for (const tls of this.#secured) {
      attempt('tls', () => {
        tls.reload()
        return undefined
      })
    }
    attempt('upstreamTls', () => {
      this.tools.tls?.reload()
      return undefined
    })
    this.policy.change(live.rules, live.rates)
    attempt('aclFile', () => this.loadUsers(undefined))
    for (const session of this.sessions.values()) session.regard()
    return errors
  }

  onRefused(session: Session, call: Call, admitted: Admitted): void {
    if (admitted.refused === undefined) return
    this.#deny(session, admitted.refused)
    const { users } = this.policy
    if (users === undefined || admitted.denial === undefined) return
    const { reason, object } = admitted.denial
    const context = session.transaction?.queueing === true ? 'multi' : 'toplevel'
    const entry = { reason, context, object: object === '' ? call.name : object, username: session.user } as const
    users.log.add(entry, describe(session), this.clock.wall(), ACL_LOG_ENTRIES)
  }

  onWrongLogin(session: Session): void {
    this.#deny(session, 'auth')
  }

  #deny({ entrance }: Session, reason: string): void {
    this.store.counter('lagrange_client_denials_total', { listener: entrance.name, reason }).value++
  }

  // ── Leaving ───────────────────────────────────────────────────────────────────────────────────────────────────────

  onSessionClosed(session: Session, reason: string): void {
    this.sessions.delete(session.id)
    this.#awaitingMaster.delete(session)
    this.admission.left(session.peer.remoteHost, session.authenticated)
    session.entrance.connections.value--
    if (ENDED_BY_US.has(reason)) this.#reject(session.entrance, reason)
  }

  #reject({ name }: Entrance, reason: string): void {
    this.store.counter('lagrange_client_connections_rejected_total', { listener: name, reason }).value++
  }

  /**
   * Accepts nobody, and lets everybody finish what they asked; whoever is there at the deadline is closed. Clients that
   * asked for it are told, and have most of the time to move before they are ended as the others are at once.
   */
  async drain(deadlineMs: Millis): Promise<void> {
    this.draining = true
    for (const listener of this.#listeners) void listener.close()
    const begun = this.clock.now()
    const sequence = Math.floor(this.clock.wall() / 1000)
    const patience = begun + deadlineMs * MOVING_SHARE
    const told = new Set<Session>()
    const seconds = Math.max(1, Math.floor((deadlineMs * MOVING_SHARE) / 1000))
    for (const session of this.sessions.values()) if (announceMove(session, sequence, seconds)) told.add(session)
    for (let now = begun; this.sessions.size > 0 && now < begun + deadlineMs; now = this.clock.now()) {
      for (const session of [...this.sessions.values()]) {
        const hasAsked = session.lastCommand !== 'NULL'
        const maySpeak = told.has(session) ? now < patience : !hasAsked && now < session.since + FIRST_WORD_MS
        if (session.idle && !maySpeak) session.endWhenAnswered()
      }
      await new Promise<void>(resolve => void this.clock.after(DRAIN_STEP_MS, resolve))
    }
    await this.close()
  }

  async close(): Promise<void> {
    this.draining = true
    this.#stopSweeping()
    const closed = Promise.all(this.#listeners.splice(0).map(listener => listener.close()))
    for (const session of [...this.sessions.values()]) session.peer.destroy('shutdown')
    this.group?.close()
    await closed
  }

  // ── The master ────────────────────────────────────────────────────────────────────────────────────────────────────

  #meetMaster(upstream: Upstream, introduction: Introduction): void {
    for (const session of this.#awaitingMaster) {
      this.#awaitingMaster.delete(session)
      session.subscription?.resubscribe()
    }
    this.foreignUsers?.refresh()
    if (introduction.version !== undefined) this.about = { ...this.about, version: introduction.version }
    const known = `${introduction.runId} ${introduction.version}`
    if (this.#tableOf === known) return
    this.#tableOf = known
    upstream.ask(COMMAND, decoder => this.#learnCommands(decoder))
    upstream.ask(DATABASES, decoder => {
      const databases = Number(textOf(itemsOf(decoder.value())[1]))
      if (Number.isInteger(databases) && databases > 0) this.about = { ...this.about, databases }
    })
  }

  /** The upstream knows its own commands better than we do: newer ones, and those of modules. */
  #learnCommands(decoder: Decoder): void {
    const reply = decoder.value()
    if (reply.type !== 'array') return
    const table = tableFromCommandReply(reply)
    this.policy.useTable(table)
    this.calls = new CallTable(table, this.#userSource)
    this.group?.counters.forgetCalls()
  }

  /** Everybody who was shown or promised what the new master does not have will be told, each once. */
  #judgeSessions(lineage: Lineage, anchor: Offset, counters: GroupCounters): void {
    const lost = [...this.sessions.values()].filter(session => session.judge(lineage) && this.#lose(session))
    for (const { standing, trail } of this.sessions.values()) {
      standing.translate(lineage, anchor)
      trail?.translate(lineage)
    }
    for (const standing of this.#standings) standing.translate(lineage, anchor)
    this.#tellLost(lineage.replid, lost, counters)
  }

  /** What was answered by a master that is none any more, and is not in the history of the next one. */
  #tellLater(who: Standing | Trail, counters: GroupCounters): void {
    if (this.options.lostWrites === 'ignore') return
    const lost = [...this.sessions.values()].filter(
      session => (session.standing === who || session.trail === who) && this.#lose(session),
    )
    this.#tellLost(this.group?.replid, lost, counters)
  }

  /** `replid`: the history that began. All are counted, some are named. */
  #tellLost(replid: string | undefined, lost: readonly Session[], counters: GroupCounters): void {
    counters.lostWrites.value += lost.length
    if (lost.length === 0) return
    const named = lost
      .slice(0, NAMED_MAX)
      .map(({ address, name }) => (name === '' ? address : `${address}(${show(name)})`))
    const fields = { group: this.group?.name, replid, sessions: lost.length, clients: named.join(' ') }
    this.events.event('warn', '+lost-writes', fields)
  }

  /** It will be told, once. Answers whether that is news. */
  #lose(session: Session): boolean {
    const isNews = !session.lost
    session.lost = true
    return isNews
  }

  standingFor(session: Session): Standing | undefined {
    const { sessionBy } = this.options
    if (sessionBy === 'connection') return undefined
    const name = sessionBy === 'user' ? session.user : session.name
    return name === '' ? undefined : this.#standings.of(name)
  }

  awaitMaster(session: Session): void {
    this.#awaitingMaster.add(session)
  }

  // ── WAIT ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  confirmations(count: number, offset: Offset, timeoutMs: Millis, then: (confirmed: number) => void): () => void {
    let cancel = (): void => undefined
    const confirmation: Confirmation = {
      count,
      offset,
      done: confirmed => {
        cancel()
        this.#confirmations.delete(confirmation)
        then(confirmed)
      },
    }
    const already = this.#confirmed(offset)
    if (already >= count) {
      then(already)
      return cancel
    }
    this.#confirmations.add(confirmation)
    this.group?.urgency.hurry()
    if (timeoutMs > 0) cancel = this.clock.after(timeoutMs, () => confirmation.done(this.#confirmed(offset)))
    return () => {
      cancel()
      this.#confirmations.delete(confirmation)
    }
  }

  #confirmed(offset: Offset): number {
    return this.group?.replicas.filter(replica => replica.applied >= offset).length ?? 0
  }

  #checkConfirmations(): void {
    for (const one of this.#confirmations) {
      const confirmed = this.#confirmed(one.offset)
      if (confirmed >= one.count) one.done(confirmed)
    }
  }

  // ── Gauges ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #measure(): void {
    const { group } = this
    if (group === undefined) return
    let inFlight = 0
    for (const entrance of this.#entrances) entrance.bufferedBytes.value = 0
    for (const session of this.sessions.values()) {
      inFlight += session.outstanding
      session.entrance.bufferedBytes.value += session.peer.queuedBytes
    }
    group.counters.inFlight.value = inFlight
    group.counters.held.value = group.keptCommands
    for (const one of group.master === undefined ? group.replicas : [group.master, ...group.replicas]) {
      group.counters.upstreams(one.id, one.sharedCount, one.lent, one.idleCount, one.pending)
    }
  }
}
