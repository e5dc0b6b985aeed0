/**
 * Connections to masters that are none any more. Nothing new goes there; what is in flight may still be answered for a
 * moment, and then they are closed. There are at most as many as the master had.
 */
import type { Millis } from '../base/units.js'
import type { Upstream } from './upstream.js'

interface Retiring {
  readonly upstream: Upstream
  readonly until: Millis
}

export class Retired {
  #retiring: Retiring[] = []

  add(upstreams: readonly Upstream[], until: Millis): void {
    for (const upstream of upstreams) {
      // A subscriber gains nothing by waiting: the sooner it subscribes elsewhere, the less it misses.
      if (upstream.pending === 0 || upstream.piped) upstream.close('master-changed')
      else this.#retiring.push({ upstream, until })
    }
  }

  has(upstream: Upstream): boolean {
    return this.#retiring.some(retiring => retiring.upstream === upstream)
  }

  /** Closes those that have been answered, and those whose time is over. */
  closeDone(now: Millis): void {
    if (this.#retiring.length === 0) return
    const retiring = this.#retiring
    this.#retiring = retiring.filter(({ upstream, until }) => !upstream.closed && upstream.pending > 0 && now < until)
    for (const one of retiring) if (!this.#retiring.includes(one)) one.upstream.close('master-changed')
  }

  closeAll(): void {
    for (const { upstream } of this.#retiring) upstream.close('shutdown')
  }
}
