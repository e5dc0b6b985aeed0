/**
 * Notification and reconfiguration scripts: programs of the operator, run one after the other with what happened as their
 * arguments. They are off unless the configuration file names them (or allows clients to: `deny-scripts-reconfig no`).
 *
 *     scheduled ──▶ running ──exit 0 or ≥ 2──▶ gone
 *         ▲            └──exit 1, or killed──▶ scheduled again, later and later, ten times at most
 *
 * At most 256 wait: the oldest that does not run is dropped. At most 16 run at once, none longer than a minute.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { resolve } from 'node:path'
import type { Clock } from '../../base/clock.js'
import type { Millis } from '../../base/units.js'
import type { EventLevel } from '../../topology/quorum/effects.js'
import type { Timing } from '../../topology/quorum/timing.js'

const MAX_QUEUE = 256
const MAX_RUNNING = 16
const MAX_TRIES = 10

export interface ScriptJob {
  readonly argv: readonly string[]
  tries: number
  child: ChildProcess | undefined
  startedAt: Millis
  notBefore: Millis
}

export class Scripts {
  #jobs: ScriptJob[] = []

  constructor(
    private readonly clock: Clock,
    private readonly timing: Timing,
    /** Where they are found by relative names, and where they run. */
    private readonly dir: string,
    private readonly say: (level: EventLevel, name: string, text: string) => void,
  ) {}

  get jobs(): readonly ScriptJob[] {
    return this.#jobs
  }

  get running(): number {
    return this.#jobs.filter(job => job.child !== undefined).length
  }

  schedule(path: string, args: readonly string[]): void {
    this.#jobs.push({ argv: [path, ...args], tries: 0, child: undefined, startedAt: 0, notBefore: 0 })
    if (this.#jobs.length > MAX_QUEUE) this.#remove(this.#jobs.find(job => job.child === undefined))
  }

  tick(): void {
    const now = this.clock.now()
    for (const job of this.#jobs) {
      if (job.child !== undefined) {
        if (now - job.startedAt > this.timing['script-max-runtime']) {
          this.say('warning', '-script-timeout', `${job.argv[0]} ${job.child.pid}`)
          job.child.kill('SIGKILL')
        }
      } else if (this.running < MAX_RUNNING && now >= job.notBefore) this.#start(job, now)
    }
  }

  /** Ends what runs. */
  stop(): void {
    for (const job of this.#jobs) job.child?.kill('SIGKILL')
    this.#jobs = []
  }

  #start(job: ScriptJob, now: Millis): void {
    job.tries++
    job.startedAt = now
    const child = spawn(resolve(this.dir, job.argv[0] as string), job.argv.slice(1), { cwd: this.dir, stdio: 'ignore' })
    job.child = child
    child.once('error', () => this.#ended(job, child, 2, undefined))
    child.once('exit', (code, signal) => this.#ended(job, child, code ?? 0, signal ?? undefined))
    if (child.pid !== undefined) this.say('debug', '+script-child', String(child.pid))
  }

  #ended(job: ScriptJob, child: ChildProcess, code: number, signal: NodeJS.Signals | undefined): void {
    if (job.child !== child) return
    job.child = undefined
    const killed = signal === undefined ? 0 : 9
    this.say('debug', '-script-child', `${child.pid ?? 0} ${code} ${killed}`)
    if ((signal !== undefined || code === 1) && job.tries < MAX_TRIES) {
      job.notBefore = this.clock.now() + this.timing['script-retry-delay'] * 2 ** (job.tries - 1)
      return
    }
    if (signal !== undefined || code !== 0) this.say('warning', '-script-error', `${job.argv[0]} ${killed} ${code}`)
    this.#remove(job)
  }

  #remove(job: ScriptJob | undefined): void {
    this.#jobs = this.#jobs.filter(other => other !== job)
  }
}
