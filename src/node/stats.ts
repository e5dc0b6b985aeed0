/**
 * What INFO counts: per command, per error code, and in all. Plain fields and typed arrays: this is the hot path.
 */
import type { Millis } from '../base/units.js'
import { builtinTable } from '../command/table.js'

/** More different codes than this come from clients that make them up. */
const MAX_ERROR_CODES = 128
/** Instantaneous figures are means of so many samples, taken ten times a second. */
const RATE_SAMPLES = 16

export class Stats {
  readonly calls = new Float64Array(builtinTable.specs.length)
  readonly micros = new Float64Array(builtinTable.specs.length)
  readonly rejected = new Float64Array(builtinTable.specs.length)
  readonly failed = new Float64Array(builtinTable.specs.length)
  readonly errors = new Map<string, number>()
  totalCommands = 0
  totalErrors = 0
  connectionsReceived = 0
  connectionsRejected = 0
  inputBytes = 0
  outputBytes = 0
  replicationInputBytes = 0
  replicationOutputBytes = 0
  syncFull = 0
  syncPartialOk = 0
  syncPartialErr = 0
  expiredKeys = 0
  evictedKeys = 0
  forks = 0
  unexpectedErrorReplies = 0
  querybufLimitDisconnections = 0
  outputLimitDisconnections = 0
  readonly opsPerSec = new Rate()
  readonly inputPerSec = new Rate()
  readonly outputPerSec = new Rate()

  error(code: string): void {
    this.totalErrors++
    const count = this.errors.get(code)
    if (count !== undefined || this.errors.size < MAX_ERROR_CODES) this.errors.set(code, (count ?? 0) + 1)
  }

  /** CONFIG RESETSTAT. */
  reset(): void {
    for (const counts of [this.calls, this.micros, this.rejected, this.failed]) counts.fill(0)
    this.errors.clear()
    this.totalCommands = this.totalErrors = this.connectionsReceived = this.connectionsRejected = 0
    this.inputBytes = this.outputBytes = this.replicationInputBytes = this.replicationOutputBytes = 0
    this.syncFull = this.syncPartialOk = this.syncPartialErr = this.expiredKeys = this.evictedKeys = this.forks = 0
    this.unexpectedErrorReplies = this.querybufLimitDisconnections = this.outputLimitDisconnections = 0
    for (const rate of [this.opsPerSec, this.inputPerSec, this.outputPerSec]) rate.reset()
  }

  sample(now: Millis): void {
    this.opsPerSec.sample(this.totalCommands, now)
    this.inputPerSec.sample(this.inputBytes, now)
    this.outputPerSec.sample(this.outputBytes, now)
  }
}

/** How fast a counter grows, over the last second and a half. */
export class Rate {
  readonly #samples: number[] = []
  #at = 0
  #lastCount = 0
  #lastTime: Millis | undefined

  get perSecond(): number {
    if (this.#samples.length === 0) return 0
    return Math.floor(this.#samples.reduce((sum, sample) => sum + sample, 0) / this.#samples.length)
  }

  sample(count: number, now: Millis): void {
    if (this.#lastTime !== undefined && now > this.#lastTime) {
      this.#samples[this.#at] = (Math.max(0, count - this.#lastCount) * 1000) / (now - this.#lastTime)
      this.#at = (this.#at + 1) % RATE_SAMPLES
    }
    this.#lastCount = count
    this.#lastTime = now
  }

  reset(): void {
    this.#samples.length = 0
    this.#at = this.#lastCount = 0
    this.#lastTime = undefined
  }
}
