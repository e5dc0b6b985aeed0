/**
 * What connections end of, and what does not announce itself: a replica that says nothing any more, and one that answers much later than the others.
 */
import type { EventSink } from '../base/bus.js'
import type { Millis } from '../base/units.js'
import { Outliers } from '../routing/outliers.js'
import type { ControlPlane } from '../topology/planes.js'
import type { GroupCounters } from './counters.js'
import type { Instance } from './instance.js'
import type { WorkerOptions } from './options.js'
import type { Upstream } from './upstream.js'

/** How often the latencies of replicas are compared. */
const OUTLIERS_MS = 500

export class Watch {
  readonly #outliers = new Outliers<Instance>()
  #lookedAt: Millis = 0

  constructor(
    private readonly group: string,
    private readonly events: EventSink,
    private readonly counters: GroupCounters,
    private readonly options: Pick<WorkerOptions, 'ejectOutliers' | 'readTimeoutMs'>,
  ) {}

  /** `mayBeSilent`: those that are waited for. */
  look(replicas: readonly Instance[], mayBeSilent: (replica: Instance) => boolean, now: Millis): void {
    for (const replica of replicas) if (!mayBeSilent(replica)) this.#closeSilent(replica, now)
    if (!this.options.ejectOutliers || now - this.#lookedAt < OUTLIERS_MS) return
    this.#lookedAt = now
    for (const { replica, forMs } of this.#outliers.look(replicas)) {
      const { id: node, latencyMs } = replica
      this.events.event('warn', '+outlier', { group: this.group, node, latencyMs: Math.round(latencyMs), forMs })
      this.counters.ejected(node)
      replica.eject(forMs, now)
    }
  }

  /** A connection is gone: that is counted, told, and evidence. */
  closed({ instanceId: node }: Upstream, reason: string, failed: boolean, control: ControlPlane): void {
    const result = reason === 'ECONNREFUSED' ? 'refused' : 'failed'
    if (failed) this.counters.connect(node, result)
    this.counters.disconnect(node, reason)
    this.events.event('info', '-upstream', { group: this.group, node, reason })
    // It is there, and says no.
    if (reason === 'auth-failed') return
    control.suspect(node, result === 'refused' ? 'refused' : 'reset')
  }

  /** A replica that has answered nothing for too long loses its connection; its reads go elsewhere. */
  #closeSilent(replica: Instance, now: Millis): void {
    for (const resp of [2, 3] as const) {
      const lane = replica.existingLane(resp)
      const oldest = lane?.oldest
      // A ghost is the read of a client that has its answer from elsewhere: it waits none the less.
      const isOfClient = oldest?.kind === 'client' || oldest?.kind === 'ghost'
      if (lane === undefined || oldest === undefined || !isOfClient) continue
      if (now - Math.max(oldest.sentAt, lane.heardAt) <= this.options.readTimeoutMs) continue
      replica.rest(now)
      lane.close('read-timeout')
    }
  }
}
