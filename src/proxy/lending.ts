/**
 * Connections to the master that one session has for itself for a while: for MULTI and WATCH, commands that wait,
 * subscriptions. They come from a stock and go back to it; how many are out at once is bounded.
 */
import type { Asker } from './asker.js'
import type { Instance } from './instance.js'
import type { Upstream, UpstreamTools } from './upstream.js'

/** What lending needs to know of the group. */
export interface Lender {
  readonly master: Instance | undefined
  /** The instance a connection leads to, while it is a member. */
  instanceOf(upstream: Upstream): Instance | undefined
}

export class Lending {
  constructor(
    private readonly lender: Lender,
    private readonly tools: UpstreamTools,
    private readonly max: number,
  ) {}

  /** True when every connection that may be lent is. */
  get exhausted(): boolean {
    return (this.lender.master?.lent ?? 0) >= this.max
  }

  /** A connection to the master for one session; undefined when there is none now, or no more may be lent. */
  borrow(session: Asker): Upstream | undefined {
    const { master } = this.lender
    if (master === undefined || master.lent >= this.max) return undefined
    const upstream = master.borrow(session.resp, session.db, this.tools.time.now)
    if (upstream !== undefined) upstream.lentTo = session
    return upstream
  }

  isOfMaster(upstream: Upstream): boolean {
    return this.lender.master !== undefined && this.lender.instanceOf(upstream) === this.lender.master
  }

  /** It comes back in a clean state: nothing watched, queued, subscribed or in flight. */
  giveBack(upstream: Upstream): void {
    const instance = this.lender.instanceOf(upstream)
    upstream.lentTo = undefined
    upstream.piped = false
    if (instance === undefined || instance !== this.lender.master) {
      if (instance !== undefined) instance.lent--
      upstream.close('master-changed')
    } else instance.giveBack(upstream)
  }

  /** The session is done with a connection whose state is not clean. */
  discard(upstream: Upstream): void {
    const instance = this.lender.instanceOf(upstream)
    if (instance !== undefined) instance.lent--
    upstream.lentTo = undefined
    upstream.close('client-gone')
  }
}
