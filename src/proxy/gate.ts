/**
 * Writes are held while the control plane switches masters.
 *
 *     open ──hold()──▶ held ──release(), or its time is over──▶ open
 *
 * It answers `hold` as soon as nothing is in flight on the master any more, and `release` when everything that was kept
 * meanwhile has been sent.
 */
import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import type { Millis } from '../base/units.js'
import type { HoldReport, HoldRequest, ReleaseReport } from '../topology/planes.js'

interface Hold {
  readonly report: (report: HoldReport) => void
  readonly cancel: () => void
  reported: boolean
}

export class Gate {
  #hold: Hold | undefined
  #releases: ((report: ReleaseReport) => void)[] = []
  /** Since the last hold began: what was kept, and the longest wait. */
  #kept = 0
  #longestMs: Millis = 0

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    /** Commands on the master that may change data and are not answered. */
    private readonly inFlight: () => number,
    private readonly onOpen: () => void,
  ) {}

  get held(): boolean {
    return this.#hold !== undefined
  }

  hold({ group, timeoutMs }: HoldRequest): Promise<HoldReport> {
    this.#end()
    this.#kept = 0
    this.#longestMs = 0
    return new Promise(resolve => {
      const cancel = this.clock.after(timeoutMs, () => {
        this.events.event('warn', '-hold-expired', { group, timeoutMs })
        this.expire()
      })
      this.#hold = { report: resolve, cancel, reported: false }
      if (this.inFlight() === 0) this.noteDrained()
    })
  }

  release(): Promise<ReleaseReport> {
    return new Promise(resolve => {
      this.#releases.push(resolve)
      this.#end()
      this.onOpen()
    })
  }

  /** Its time is over: nobody is stuck because a supervisor died. */
  expire(): void {
    this.#end()
    this.onOpen()
  }

  /** Nothing is in flight on the master. */
  noteDrained(): void {
    const hold = this.#hold
    if (hold === undefined || hold.reported) return
    hold.reported = true
    hold.report({ drained: true, inFlight: 0 })
  }

  noteKept(): void {
    this.#kept++
  }

  noteSent(waitedMs: Millis): void {
    if (waitedMs > this.#longestMs) this.#longestMs = waitedMs
  }

  /** Nothing is kept any more. */
  noteEmpty(): void {
    if (this.#hold !== undefined || this.#releases.length === 0) return
    const report = { heldCommands: this.#kept, stallMs: this.#longestMs }
    for (const resolve of this.#releases.splice(0)) resolve(report)
  }

  #end(): void {
    const hold = this.#hold
    if (hold === undefined) return
    this.#hold = undefined
    hold.cancel()
    const inFlight = this.inFlight()
    if (!hold.reported) hold.report({ drained: inFlight === 0, inFlight })
  }
}
