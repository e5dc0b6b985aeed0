/**
 * Reads that wait, each until its own deadline, for a replica that is about to be fresh enough.
 */
import type { Clock } from '../base/clock.js'
import type { Millis } from '../base/units.js'
import type { Request } from './request.js'

export class Waiting {
  #requests: Request[] = []
  /** When the first of them gives up, and how to call that off. */
  #ends: Millis = Number.POSITIVE_INFINITY
  #cancel: () => void = () => undefined

  constructor(
    private readonly clock: Clock,
    private readonly onTime: () => void,
  ) {}

  add(request: Request): void {
    this.#requests.push(request)
    this.#arm()
  }

  /** Tries all of them: `settle` answers whether the request has gone its way. */
  retry(settle: (request: Request) => boolean): void {
    if (this.#requests.length === 0) return
    const requests = this.#requests
    this.#requests = []
    for (const request of requests) if (!settle(request)) this.#requests.push(request)
  }

  close(): void {
    this.#cancel()
  }

  #arm(): void {
    let soonest = Number.POSITIVE_INFINITY
    for (const { waitsUntil } of this.#requests) if (waitsUntil < soonest) soonest = waitsUntil
    if (soonest >= this.#ends) return
    this.#cancel()
    this.#ends = soonest
    this.#cancel = this.clock.after(Math.max(0, soonest - this.clock.now()), () => {
      this.#ends = Number.POSITIVE_INFINITY
      this.onTime()
      this.#arm()
    })
  }
}
