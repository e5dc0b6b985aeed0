/**
 * The supervisor's side of the workers: it starts them, hands them the listening socket, tells them the view and what
 * is fresh, and asks all of them at once to hold and release writes. To the control plane they look like one.
 *
 *     spawned ──hello──▶ configured ──ready──▶ serving ──exit──▶ spawned again after a pause that grows when it
 *        └──── hello from a worker of an earlier supervisor: adopted ──▲             dies young, 50 ms … 5 s
 *
 * A restart replaces one worker after the other: the next one serves on the same socket before the last one is drained, so
 * nobody who connects is refused or waits.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { rmSync } from 'node:fs'
import type { EventSink } from '../../base/bus.js'
import { type Clock, every } from '../../base/clock.js'
import type { Bytes, Millis } from '../../base/units.js'
import type { Counter, MetricSnapshot, MetricStore } from '../../metrics/store.js'
import type { Pace } from '../../topology/pace.js'
import { combine, type PauseMode, type PauseRequest } from '../../topology/pauses.js'
import type { HoldReport, HoldRequest, ReleaseReport } from '../../topology/planes.js'
import { emptyView, type FreshnessSample, type FreshnessUpdate, type TopologyView } from '../../topology/view.js'
import type { Answers, Question } from '../inspect.js'
import type { LiveOptions } from '../worker.js'
import type { Bound } from './bound.js'
import { type Channel, type ChannelHandler, listenForWorkers } from './channel.js'
import {
  BEAT_MS,
  CONTROL_ENV,
  type EventNotice,
  type FreshnessNotice,
  type Hello,
  INDEX_ENV,
  machineNow,
  type SampleNotice,
  type SuspectNotice,
  type WorkerSetup,
} from './messages.js'

/** Who listens to what the data path finds out. */
export interface Evidence {
  sample(group: string, sample: FreshnessSample): void
  suspect(instanceId: string, evidence: SuspectNotice['evidence']): void
  /** What the most demanding worker asks for. */
  pace(pace: Pace): void
}

export interface WorkersOptions {
  readonly count: number
  /** The program a worker runs: this executable with the argument `worker`. */
  readonly program: string
  readonly controlPath: string
  readonly setup: WorkerSetup
  /** How long a worker that is asked to drain may take before it is ended. */
  readonly drainMs: Millis
}

interface Member {
  readonly index: number
  child: ChildProcess | undefined
  pid: number | undefined
  channel: Channel | undefined
  serving: boolean
  pace: Pace
  startedAt: Millis
  restartDelayMs: Millis
}

/** Why workers are not restarted. */
export type RestartRefusal =
  | 'busy' // a restart is under way, or the proxy stops
  | 'adopted' // the workers are those of an earlier supervisor, which alone could hand over its sockets
  | 'not-serving' // a new worker did not come up

/** A worker that lived this long did not die of what it was told at its start. */
const SETTLED_MS = 10_000
const RESTART_MIN_MS = 50
const RESTART_MAX_MS = 5_000
const RESTART_START_MS = 20_000
const ANSWER_MS = 250
/** For what a worker has in flight when clients are paused. */
const PAUSE_MS = 1_500
/** For reading files. */
const RELOAD_MS = 5_000
/** Ten thousand sessions take a while to be put in order and into words. */
const INSPECT_MS = 1000
/** How long workers of an earlier supervisor get to say hello before new ones are started in their place. */
const ADOPTION_MS = 400

export class Workers {
  readonly #members: Member[] = []
  /** During a restart: who is to take a worker's place, and the worker that finishes what it has begun. */
  #next: Member | undefined
  #leaving: Member | undefined
  readonly #restarts: Counter
  #server: { close(): Promise<void> } | undefined
  #bounds: readonly Bound[] = []
  #view: TopologyView = emptyView
  #holds = new Map<string, { readonly endsAt: Millis }>()
  /** CLIENT PAUSE, for workers that come later. */
  #pause: { readonly mode: PauseMode; readonly endsAt: Millis } | undefined
  #stopping = false
  /** What the last reload took over, for workers that start after it. */
  #live: LiveOptions | undefined
  #stopBeat: () => void = () => undefined
  #becameReady: (() => void)[] = []

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    metrics: MetricStore,
    private readonly evidence: Evidence,
    private readonly options: WorkersOptions,
  ) {
    this.#restarts = metrics.counter('lagrange_worker_restarts_total')
    const serving = metrics.gauge('lagrange_workers')
    metrics.beforeSnapshot(() => {
      serving.value = this.serving
    })
    for (let index = 0; index < options.count; index++) this.#members.push(newMember(index))
  }

  /** How many accept clients now. */
  get serving(): number {
    return this.#members.filter(member => member.serving).length
  }

  /** Process ids, for people and for tests that end one. */
  get pids(): readonly number[] {
    return this.#members.flatMap(member => (member.pid === undefined ? [] : [member.pid]))
  }

  /** Opens the control socket. Workers that an earlier supervisor left behind connect to it by themselves. */
  async open(): Promise<void> {
    rmSync(this.options.controlPath, { force: true })
    this.#server = await listenForWorkers(this.options.controlPath, channel => this.#accept(channel))
    this.#stopBeat = every(this.clock, BEAT_MS, () => this.#tellAll('beat', undefined))
  }

  /** Waits a moment for workers left behind; answers how many came. */
  async adopt(): Promise<number> {
    const deadline = this.clock.now() + ADOPTION_MS
    while (this.clock.now() < deadline && this.serving < this.#members.length) await pause(this.clock, 20)
    return this.serving
  }

  /** Starts the workers that are missing on `bounds` and waits until all serve. Throws when one cannot start in `timeoutMs`. */
  async start(bounds: readonly Bound[], timeoutMs: Millis): Promise<void> {
    this.#bounds = bounds
    for (const member of this.#members) if (!member.serving) this.#spawn(member)
    const deadline = this.clock.now() + timeoutMs
    while (this.serving < this.#members.length) {
      if (this.clock.now() > deadline) throw new Error('the workers did not start in time')
      await Promise.race([pause(this.clock, 50), new Promise<void>(resolve => this.#becameReady.push(resolve))])
    }
  }

  /**
   * Replaces every worker by a new one, one after the other; undefined: it is done. Otherwise why not: then those that have
   * not been replaced go on.
   */
  async restart(): Promise<RestartRefusal | undefined> {
    if (this.#next !== undefined || this.#leaving !== undefined || this.#stopping) return 'busy'
    // Sockets that an earlier supervisor has bound are known to its workers only.
    if (this.#bounds.length === 0) return 'adopted'
    for (const { index } of [...this.#members]) {
      const next = newMember(index)
      this.#next = next
      this.#spawn(next)
      const deadline = this.clock.now() + RESTART_START_MS
      while (!next.serving && next.child !== undefined && this.clock.now() < deadline) await pause(this.clock, 10)
      this.#next = undefined
      if (!next.serving) {
        next.child?.kill('SIGKILL')
        this.events.event('error', '-worker-restart', { worker: index, pid: next.pid })
        return 'not-serving'
      }
      await this.#replace(this.#members[index] as Member, next)
    }
    return undefined
  }

  async #replace(old: Member, next: Member): Promise<void> {
    const { index } = next
    this.#members[index] = next
    this.#leaving = old
    this.events.event('info', '+worker-replaced', { worker: index, pid: next.pid, before: old.pid })
    const { drainMs } = this.options
    await old.channel?.ask('drain', { deadlineMs: drainMs }, drainMs + ANSWER_MS).catch(() => undefined)
    await this.#end(old)
    this.#leaving = undefined
  }

  /** Everybody who may have clients. */
  get #all(): readonly Member[] {
    return [...this.#members, this.#next, this.#leaving].filter(member => member !== undefined)
  }

  // ── DataPlane, for all workers at once ────────────────────────────────────────────────────────────────────────────

  setView(view: TopologyView): void {
    this.#view = view
    this.#tellAll('view', view)
  }

  setFreshness(update: FreshnessUpdate): void {
    const notice: FreshnessNotice = { update, sentAt: machineNow() }
    this.#tellAll('freshness', notice)
  }

  /** Drained when every worker is. A worker that died has nothing in flight; one that stays silent is not drained. */
  async hold(request: HoldRequest): Promise<HoldReport> {
    this.#holds.set(request.group, { endsAt: this.clock.now() + request.timeoutMs })
    const asked = this.#all.flatMap(member => (member.channel === undefined ? [] : [member.channel]))
    const reports = await this.#askAll<HoldReport>('hold', request, request.timeoutMs + ANSWER_MS)
    return {
      drained: reports.every((report, index) => report?.drained ?? asked[index]?.closed ?? true),
      inFlight: reports.reduce((sum, report) => sum + (report?.inFlight ?? 0), 0),
    }
  }

  async release(group: string): Promise<ReleaseReport> {
    this.#holds.delete(group)
    const reports = await this.#askAll<ReleaseReport>('release', group, ANSWER_MS * 4)
    return {
      heldCommands: reports.reduce((sum, report) => sum + (report?.heldCommands ?? 0), 0),
      stallMs: Math.max(0, ...reports.map(report => report?.stallMs ?? 0)),
    }
  }

  /** Certificates, users and what is live are read and taken over by all workers; answers what went wrong, each once. */
  async reload(live: LiveOptions): Promise<readonly string[]> {
    this.#live = live
    const reports = await this.#askAll<readonly string[]>('reload', live, RELOAD_MS)
    return [...new Set(reports.flatMap(report => report ?? ['a worker did not answer']))]
  }

  get #setup(): WorkerSetup {
    const { setup } = this.options
    return this.#live === undefined ? setup : { ...setup, options: { ...setup.options, ...this.#live } }
  }

  /** One snapshot per worker that answered in time. */
  async snapshots(): Promise<MetricSnapshot[]> {
    const snapshots = await this.#askAll<MetricSnapshot>('metrics', undefined, ANSWER_MS)
    return snapshots.filter(snapshot => snapshot !== undefined)
  }

  /** What each worker that answered in time says, by its index. */
  async inspect<Q extends Question>(question: Q): Promise<readonly { worker: number; answer: Answers[Q['ask']] }[]> {
    // Who is leaving has sessions of the same numbers as who has taken its place.
    const among = question.ask === 'kill' ? this.#members : this.#all
    const asked = among.filter(
      member => member.channel !== undefined && (question.ask !== 'kill' || question.worker === member.index),
    )
    const answers = await Promise.all(
      asked.map(({ channel }) => channel?.ask('inspect', question, INSPECT_MS).catch(() => undefined)),
    )
    return answers.flatMap((answer, at) =>
      answer === undefined ? [] : [{ worker: asked[at]?.index ?? 0, answer: answer as Answers[Q['ask']] }],
    )
  }

  /** Lets every worker finish what it has begun, then ends it. Resolves when none is left. */
  async stop(): Promise<void> {
    this.#stopping = true
    // Whoever connects from here on is refused at once, or served by a next process, instead of waiting for nobody.
    for (const bound of this.#bounds) bound.close()
    this.#next?.child?.kill('SIGKILL')
    await this.#askAll('drain', { deadlineMs: this.options.drainMs }, this.options.drainMs + ANSWER_MS)
    await Promise.all(this.#all.map(member => this.#end(member)))
    this.#stopBeat()
    await this.#server?.close()
    rmSync(this.options.controlPath, { force: true })
  }

  // ── One worker ────────────────────────────────────────────────────────────────────────────────────────────────────

  #spawn(member: Member): void {
    const child = fork(this.options.program, ['worker'], {
      // A group of its own: a Ctrl-C in the terminal reaches the supervisor only, which lets the worker finish.
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, [CONTROL_ENV]: this.options.controlPath, [INDEX_ENV]: String(member.index) },
    })
    member.child = child
    member.pid = child.pid
    member.startedAt = this.clock.now()
    child.on('error', error => this.events.event('error', '-worker', { worker: member.index, reason: error.message }))
    child.once('exit', (code, signal) => this.#exited(member, child, signal ?? `code ${code}`))
    this.#bounds.forEach((bound, listener) => child.send({ kind: 'listen', listener }, bound.handle))
  }

  #exited(member: Member, child: ChildProcess, reason: string): void {
    if (member.child !== child) return
    member.child = undefined
    member.pid = undefined
    member.serving = false
    if (this.#stopping || !this.#isOurs(member)) return
    this.events.event('error', '-worker', { worker: member.index, reason })
    this.#restartLater(member)
  }

  /** False for a worker whose place another one has taken, or has not taken yet. */
  #isOurs(member: Member): boolean {
    return this.#members[member.index] === member
  }

  /** At once, unless it died young: then after a pause that doubles. */
  #restartLater(member: Member): void {
    if (this.clock.now() - member.startedAt > SETTLED_MS) member.restartDelayMs = 0
    this.#restarts.value++
    this.clock.after(member.restartDelayMs, () => {
      if (!this.#stopping && member.channel === undefined && member.child === undefined) this.#spawn(member)
    })
    member.restartDelayMs = Math.min(Math.max(member.restartDelayMs * 2, RESTART_MIN_MS), RESTART_MAX_MS)
  }

  #accept(channel: () => Channel): ChannelHandler {
    let member: Member | undefined
    return {
      onMessage: (kind, body) => {
        if (kind === 'hello') member = this.#welcome(body as Hello, channel())
        else if (kind === 'ready') this.#ready(member)
        else if (kind === 'sample') this.evidence.sample((body as SampleNotice).group, (body as SampleNotice).sample)
        else if (kind === 'suspect') this.evidence.suspect((body as SuspectNotice).id, (body as SuspectNotice).evidence)
        else if (kind === 'pace') this.#setPace(member, body as Pace)
        else if (kind === 'pause') return this.#pauseOthers(member, body as PauseRequest)
        else if (kind === 'unpause') this.#unpauseOthers(member)
        else if (kind === 'event')
          this.events.event((body as EventNotice).level, (body as EventNotice).name, (body as EventNotice).fields)
        return undefined
      },
      onClose: () => this.#lost(member, channel()),
    }
  }

  #welcome(hello: Hello, channel: Channel): Member | undefined {
    const isNext = this.#next !== undefined && hello.pid === this.#next.child?.pid
    const member = isNext ? this.#next : this.#members[hello.index]
    // Who is not ours and does not serve never will: only its own supervisor could have handed it the sockets.
    const useless = !hello.serving && hello.pid !== member?.child?.pid
    if (member === undefined || useless || (member.channel !== undefined && member.pid !== hello.pid)) {
      channel.tell('exit', undefined)
      return undefined
    }
    member.channel = channel
    member.pid = hello.pid
    channel.tell('configure', this.#setup)
    channel.tell('view', this.#view)
    for (const [group, { endsAt }] of this.#holds) {
      const timeoutMs = endsAt - this.clock.now()
      if (timeoutMs > 0) channel.tell('hold', { group, timeoutMs })
    }
    const pause = this.#pauseNow()
    if (pause !== undefined) channel.tell('pause', pause)
    if (hello.serving) {
      this.events.event('info', '+worker-adopted', { worker: member.index, pid: hello.pid })
      this.#ready(member)
    }
    return member
  }

  #setPace(member: Member | undefined, pace: Pace): void {
    if (member === undefined) return
    member.pace = pace
    this.#tellPace()
  }

  #tellPace(): void {
    const connected = this.#all.filter(({ channel }) => channel !== undefined)
    this.evidence.pace(connected.some(({ pace }) => pace === 'quick') ? 'quick' : 'calm')
  }

  // ── CLIENT PAUSE, which one worker was asked for ─────────────────────────────────────────────────────────────────────

  /** True when all others keep it, and have nothing in flight. */
  async #pauseOthers(asked: Member | undefined, request: PauseRequest): Promise<boolean> {
    const { mode, timeoutMs } = combine(this.#pauseNow(), request)
    this.#pause = { mode, endsAt: this.clock.now() + timeoutMs }
    const answers = await this.#askAll<boolean>('pause', { mode, timeoutMs }, PAUSE_MS, asked)
    return answers.every(answer => answer === true)
  }

  #unpauseOthers(asked: Member | undefined): void {
    this.#pause = undefined
    for (const member of this.#all) if (member !== asked) member.channel?.tell('unpause', undefined)
  }

  #pauseNow(): PauseRequest | undefined {
    if (this.#pause === undefined) return undefined
    const timeoutMs = this.#pause.endsAt - this.clock.now()
    return timeoutMs > 0 ? { mode: this.#pause.mode, timeoutMs } : undefined
  }

  #ready(member: Member | undefined): void {
    if (member === undefined || member.serving) return
    member.serving = true
    this.events.event('info', '+worker', { worker: member.index, pid: member.pid })
    for (const resolve of this.#becameReady.splice(0)) resolve()
  }

  #lost(member: Member | undefined, channel: Channel): void {
    if (member === undefined || member.channel !== channel) return
    member.channel = undefined
    member.serving = false
    member.pace = 'quick'
    this.#tellPace()
    // An adopted worker is nobody's child: that its channel ended is all we will hear of its death.
    if (member.child === undefined && !this.#stopping && this.#isOurs(member)) {
      member.pid = undefined
      this.events.event('error', '-worker', { worker: member.index, reason: 'channel closed' })
      this.#restartLater(member)
    }
  }

  async #end(member: Member): Promise<void> {
    const { child, channel } = member
    channel?.tell('exit', undefined)
    if (child === undefined) return
    const exited = new Promise<void>(resolve => {
      if (child.exitCode !== null || child.signalCode !== null) resolve()
      else child.once('exit', () => resolve())
    })
    const cancel = this.clock.after(1000, () => child.kill('SIGKILL'))
    await exited
    cancel()
  }

  #tellAll(kind: Bytes, body: unknown): void {
    for (const member of this.#all) member.channel?.tell(kind, body)
  }

  /** One answer per connected worker; undefined for those that did not answer. */
  #askAll<T>(kind: Bytes, body: unknown, timeoutMs: Millis, except?: Member): Promise<(T | undefined)[]> {
    const channels = this.#all.flatMap(member =>
      member.channel === undefined || member === except ? [] : [member.channel],
    )
    return Promise.all(
      channels.map(channel =>
        channel.ask(kind, body, timeoutMs).then(
          answer => answer as T,
          () => undefined,
        ),
      ),
    )
  }
}

function newMember(index: number): Member {
  return {
    index,
    child: undefined,
    pid: undefined,
    channel: undefined,
    serving: false,
    pace: 'quick',
    startedAt: 0,
    restartDelayMs: 0,
  }
}

function pause(clock: Clock, delay: Millis): Promise<void> {
  return new Promise(resolve => clock.after(delay, resolve))
}
