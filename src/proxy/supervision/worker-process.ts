/**
 * A worker process: the data plane, an end of the control socket, and nothing else.
 *
 * It is told everything over the control socket, except for the listening socket, which only its parent can hand it.
 * When the supervisor goes away the worker keeps serving on the last view and knocks until a supervisor answers.
 */
import type net from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { systemClock } from '../../base/clock.js'
import { reportEventLoop } from '../../metrics/event-loop.js'
import { seedMetrics } from '../../metrics/seed.js'
import { MetricStore } from '../../metrics/store.js'
import type { Pace } from '../../topology/pace.js'
import type { PauseRequest } from '../../topology/pauses.js'
import type { ControlPlane, HoldRequest } from '../../topology/planes.js'
import type { TopologyView } from '../../topology/view.js'
import { inspect, type Question } from '../inspect.js'
import { type LiveOptions, Worker } from '../worker.js'
import { type Channel, connectToSupervisor } from './channel.js'
import {
  CONTROL_ENV,
  type FreshnessNotice,
  type Hello,
  INDEX_ENV,
  machineNow,
  RECONNECT_MS,
  type WorkerSetup,
} from './messages.js'

/** Runs until the supervisor says `exit`, or until it is ended. Answers the exit code. */
export function runWorker(): Promise<number> {
  const controlPath = process.env[CONTROL_ENV]
  if (controlPath === undefined) {
    process.stderr.write('lagrange worker is started by its supervisor, not by hand\n')
    return Promise.resolve(2)
  }
  // Ctrl-C is for the supervisor, which lets us finish; without one, the process is ended by SIGTERM.
  process.on('SIGINT', () => undefined)
  return new WorkerProcess(controlPath, Number(process.env[INDEX_ENV] ?? 0)).run()
}

/** For clients of a worker whose supervisor ended while it was draining. */
const ORPHAN_DRAIN_MS = 5_000
/** For the other workers to keep a pause, and to have nothing in flight. */
const PAUSE_MS = 2_000

class WorkerProcess implements ControlPlane {
  readonly #metrics = new MetricStore()
  #channel: Channel | undefined
  #worker: Worker | undefined
  /** Sockets arrive in any order with the setup that says what they are for. */
  readonly #handles = new Map<number, net.Server>()
  #setup: WorkerSetup | undefined
  #startedListening = false
  #serving = false
  #draining = false
  #pace: Pace = 'quick'
  #lastHeard = systemClock.now()
  #exit: (code: number) => void = () => undefined

  constructor(
    private readonly controlPath: string,
    private readonly index: number,
  ) {
    const age = this.#metrics.gauge('lagrange_worker_view_age_seconds', { worker: String(index) })
    const delay = monitorEventLoopDelay({ resolution: 10 })
    delay.enable()
    reportEventLoop(this.#metrics, `worker-${index}`, delay, { resolutionMs: 10 })
    this.#metrics.beforeSnapshot(() => {
      age.value = (systemClock.now() - this.#lastHeard) / 1000
    })
  }

  run(): Promise<number> {
    process.on('message', (message: { kind?: string; listener?: number }, handle) => {
      if (message.kind !== 'listen') return
      this.#handles.set(message.listener ?? 0, handle as unknown as net.Server)
      this.#serve()
    })
    process.on('SIGTERM', () => void this.#drain(10_000).then(() => this.#exit(0)))
    this.#connect()
    return new Promise(resolve => {
      this.#exit = resolve
    })
  }

  // ── ControlPlane: what the data plane says ────────────────────────────────────────────────────────────────────────

  sample: ControlPlane['sample'] = (group, sample) => this.#channel?.tell('sample', { group, sample })
  suspect: ControlPlane['suspect'] = (id, evidence) => this.#channel?.tell('suspect', { id, evidence })
  event: ControlPlane['event'] = (level, name, fields) => this.#channel?.tell('event', { level, name, fields })

  pace: ControlPlane['pace'] = pace => {
    this.#pace = pace
    this.#channel?.tell('pace', pace)
  }

  async pause(request: PauseRequest): Promise<boolean> {
    // Without a supervisor nobody can tell the others.
    return (await this.#channel?.ask('pause', request, PAUSE_MS).catch(() => false)) === true
  }

  unpause(): void {
    this.#channel?.tell('unpause', undefined)
  }

  // ── The control socket ────────────────────────────────────────────────────────────────────────────────────────────

  #connect(): void {
    const channel = connectToSupervisor(this.controlPath, {
      onOpen: () => {
        const hello: Hello = { index: this.index, pid: process.pid, serving: this.#serving }
        channel.tell('hello', hello)
        channel.tell('pace', this.#pace)
      },
      onMessage: (kind, body) => this.#onMessage(kind, body),
      onClose: () => {
        this.#channel = undefined
        // A worker that takes no more clients is of no use to the next supervisor.
        if (this.#draining) return void this.#worker?.drain(ORPHAN_DRAIN_MS).then(() => this.#exit(0))
        systemClock.after(RECONNECT_MS, () => this.#connect())
      },
    })
    this.#channel = channel
  }

  #onMessage(kind: string, body: unknown): unknown {
    this.#lastHeard = systemClock.now()
    switch (kind) {
      case 'configure':
        return this.#configure(body as WorkerSetup)
      case 'view':
        return this.#worker?.setView(body as TopologyView)
      case 'freshness':
        return this.#setFreshness(body as FreshnessNotice)
      case 'hold':
        return this.#worker?.hold(body as HoldRequest)
      case 'release':
        return this.#worker?.release(body as string)
      case 'pause':
        return this.#worker?.keepPause(body as PauseRequest)
      case 'unpause':
        return this.#worker?.endPause()
      case 'reload':
        return this.#worker?.reload(body as LiveOptions) ?? []
      case 'metrics':
        return this.#worker?.metrics() ?? this.#metrics.snapshot()
      case 'inspect':
        return this.#worker === undefined ? undefined : inspect(this.#worker, body as Question)
      case 'drain':
        return this.#drain((body as { deadlineMs: number }).deadlineMs)
      case 'exit':
        return this.#exit(0)
      default:
        return undefined
    }
  }

  #setFreshness({ update, sentAt }: FreshnessNotice): void {
    this.#worker?.setFreshness({ ...update, ageMs: Math.max(0, machineNow() - sentAt) })
  }

  /** An adopted worker keeps the options it runs with: a restart is what changes them. */
  #configure(setup: WorkerSetup): void {
    if (this.#worker !== undefined) return
    this.#setup = setup
    seedMetrics(this.#metrics, { group: [setup.group], listener: setup.listeners.map(listener => listener.name) })
    this.#worker = new Worker(systemClock, { event: this.event }, this.#metrics, this, setup.options)
    this.#serve()
  }

  /** Accepts clients once it knows how, and has the sockets. */
  #serve(): void {
    const [setup, worker] = [this.#setup, this.#worker]
    if (setup === undefined || worker === undefined || this.#startedListening) return
    if (this.#handles.size < setup.listeners.length) return
    this.#startedListening = true
    const listening = setup.listeners.map((listener, index) =>
      worker.listen({ server: this.#handles.get(index) as net.Server }, listener),
    )
    Promise.all(listening).then(
      () => {
        this.#serving = true
        this.#channel?.tell('ready', undefined)
      },
      (error: Error) => {
        this.event('error', '-listen', { reason: error.message })
        this.#exit(1)
      },
    )
  }

  async #drain(deadlineMs: number): Promise<void> {
    this.#draining = true
    this.#serving = false
    await this.#worker?.drain(deadlineMs)
  }
}
