/**
 * Taps on the replicas of a group: they push what has been applied. Where one is not to be had, ROLE is asked instead, and
 * which of the two it is can be seen in metrics and topology.
 */
import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import type { MetricStore } from '../metrics/store.js'
import type { Credentials } from '../net/client.js'
import type { InstanceFacts } from '../topology/facts.js'
import type { StreamStart, TapPause } from '../topology/tap.js'
import { StreamTap } from './tap.js'

/** Where applied offsets come from: pushed by a tap, or asked for again and again. */
export type FreshnessSource = 'tap' | 'poll'

interface Tapped {
  readonly stream: StreamTap
  /** What was last said about it on the bus. */
  said: 'streaming' | TapPause
}

export class Taps {
  readonly #tapped = new Map<string, Tapped>()

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    private readonly metrics: MetricStore | undefined,
    private readonly group: string,
    private readonly credentials: Credentials,
    /** Its position has moved. */
    private readonly onMoved: (id: string) => void,
  ) {}

  /** These shall have one, and no others. */
  follow(replicas: readonly InstanceFacts[]): void {
    const wanted = new Set(replicas.map(replica => replica.id))
    for (const [id, tapped] of this.#tapped) {
      if (wanted.has(id)) continue
      tapped.stream.stop()
      this.#tapped.delete(id)
      if (tapped.said === 'streaming')
        this.events.event('info', '-tap', { group: this.group, node: id, because: 'unwanted' })
    }
    for (const { id, address } of replicas) if (!this.#tapped.has(id)) this.#begin(id, address)
  }

  /** Everything up to here has been applied; undefined while there is no stream. */
  positionOf(id: string): StreamStart | undefined {
    return this.#tapped.get(id)?.stream.position
  }

  isStreaming(id: string): boolean {
    return this.#tapped.get(id)?.stream.streaming === true
  }

  sourceOf(id: string): { readonly source: FreshnessSource; readonly because: TapPause | 'off' | undefined } {
    const tap = this.#tapped.get(id)?.stream.tap
    if (tap?.status === 'streaming') return { source: 'tap', because: undefined }
    if (tap === undefined) return { source: 'poll', because: 'off' }
    return { source: 'poll', because: tap.status === 'resting' ? tap.because : 'starting' }
  }

  /** What comes stays with the system until `resume`, and is read at once then. Answers whether there are any. */
  pause(): boolean {
    for (const { stream } of this.#tapped.values()) stream.pause()
    return this.#tapped.size > 0
  }

  resume(): void {
    for (const { stream } of this.#tapped.values()) stream.resume()
  }

  stop(): void {
    for (const { stream } of this.#tapped.values()) stream.stop()
    this.#tapped.clear()
  }

  #begin(id: string, address: InstanceFacts['address']): void {
    // Replicas do not tell anybody who is attached to them, so there is nothing to announce.
    const options = {
      target: 'replica',
      credentials: this.credentials,
      announce: undefined,
      resume: undefined,
    } as const
    const stream = new StreamTap(this.clock, address, options, {
      onStart: start => {
        this.#say(id, 'streaming', start.replid)
        this.onMoved(id)
      },
      onBytes: () => this.onMoved(id),
      onRest: because => this.#say(id, because, undefined),
    })
    this.#tapped.set(id, { stream, said: 'starting' })
  }

  #say(id: string, what: 'streaming' | TapPause, replid: string | undefined): void {
    const { group } = this
    const result = what === 'streaming' ? 'attached' : what
    if (this.metrics !== undefined) {
      this.metrics.counter('lagrange_tap_attempts_total', { group, node: id, result }).value++
    }
    const tapped = this.#tapped.get(id)
    if (tapped === undefined || tapped.said === what) return
    tapped.said = what
    if (what === 'streaming') this.events.event('info', '+tap', { group, node: id, replid })
    else this.events.event(what === 'full-resync' ? 'warn' : 'info', '-tap', { group, node: id, because: what })
  }
}
