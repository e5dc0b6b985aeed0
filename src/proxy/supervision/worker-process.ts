/**
 * A worker process: the data plane, an end of the control socket, and nothing else.
 *
 * It is told everything over the control socket, except for the listening socket, which only its parent can hand it.
 * When the supervisor goes away the worker keeps serving on the last view and knocks until a supervisor answers.
 */
import type net from 'node:net'
import type { EventSink } from '../../base/bus.js'
import { systemClock } from '../../base/clock.js'
import { MetricStore } from '../../metrics/store.js'
import type { ControlPlane, HoldRequest } from '../../topology/planes.js'
import type { FreshnessUpdate, TopologyView } from '../../topology/view.js'
import { Worker, type WorkerOptions } from '../worker.js'
import { type Channel, connectToSupervisor } from './channel.js'
import { CONTROL_ENV, type Hello, INDEX_ENV, RECONNECT_MS } from './messages.js'

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

class WorkerProcess implements ControlPlane {
  readonly #metrics = new MetricStore()
  #channel: Channel | undefined
  #worker: Worker | undefined
  #listening: Promise<net.Server> | undefined
  #serving = false
  #lastHeard = systemClock.now()
  #exit: (code: number) => void = () => undefined

  constructor(
    private readonly controlPath: string,
    private readonly index: number,
  ) {
    const age = this.#metrics.gauge('lagrange_worker_view_age_seconds', { worker: String(index) })
    this.#metrics.beforeSnapshot(() => {
      age.value = (systemClock.now() - this.#lastHeard) / 1000
    })
  }

  run(): Promise<number> {
    this.#listening = new Promise(resolve => {
      process.on('message', (message: { kind?: string }, handle) => {
        if (message.kind === 'listen') resolve(handle as unknown as net.Server)
      })
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

  // ── The control socket ────────────────────────────────────────────────────────────────────────────────────────────

  #connect(): void {
    const channel = connectToSupervisor(this.controlPath, {
      onOpen: () => {
        const hello: Hello = { index: this.index, pid: process.pid, serving: this.#serving }
        channel.tell('hello', hello)
      },
      onMessage: (kind, body) => this.#onMessage(kind, body),
      onClose: () => {
        this.#channel = undefined
        systemClock.after(RECONNECT_MS, () => this.#connect())
      },
    })
    this.#channel = channel
  }

  #onMessage(kind: string, body: unknown): unknown {
    this.#lastHeard = systemClock.now()
    switch (kind) {
      case 'configure':
        return this.#configure(body as WorkerOptions)
      case 'view':
        return this.#worker?.setView(body as TopologyView)
      case 'freshness':
        return this.#worker?.setFreshness(body as FreshnessUpdate)
      case 'hold':
        return this.#worker?.hold(body as HoldRequest)
      case 'release':
        return this.#worker?.release(body as string)
      case 'metrics':
        return this.#worker?.metrics() ?? this.#metrics.snapshot()
      case 'drain':
        return this.#drain((body as { deadlineMs: number }).deadlineMs)
      case 'exit':
        return this.#exit(0)
      default:
        return undefined
    }
  }

  /** An adopted worker keeps the options it runs with: a restart is what changes them. */
  #configure(options: WorkerOptions): void {
    if (this.#worker !== undefined) return
    const events: EventSink = { event: this.event }
    const worker = new Worker(systemClock, events, this.#metrics, this, options)
    this.#worker = worker
    void this.#listening?.then(async server => {
      await worker.listen({ server })
      this.#serving = true
      this.#channel?.tell('ready', undefined)
    })
  }

  async #drain(deadlineMs: number): Promise<void> {
    this.#serving = false
    await this.#worker?.drain(deadlineMs)
  }
}
