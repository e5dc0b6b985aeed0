/**
 * The data plane's numbers, as handles that were looked up once. Per command that is an array access and an increment.
 */
import { latencyBuckets } from '../metrics/catalog.js'
import { type Counter, type Histogram, type MetricStore, makeHistogram } from '../metrics/store.js'
import type { AckResult } from '../routing/acks.js'
import type { Call } from '../routing/calls.js'
import { decisionOf, type ReadBecause } from '../routing/choose.js'
import { errorCode } from '../routing/errors.js'
import type { CloseReason } from './upstream.js'

export type Target = 'master' | 'replica' | 'local'

/** What the master's stream brings. */
export interface StreamCounters {
  /** 1 while the stream is read, by a tap on the master of the history that the marks are of. */
  readonly following: Counter
  readonly keys: Counter
  readonly barriers: Counter
  /** From an acknowledgement to the stream's word of the same write. */
  readonly window: Histogram
}

/** Of writes that wait to be confirmed. */
export interface AckCounters {
  readonly results: Readonly<Record<AckResult, Counter>>
  readonly wait: Histogram
  readonly waiting: Counter
}

/** How reads have been decided so far. */
export interface RoutedReads {
  readonly all: number
  /** No replica was known to be fresh enough; it may have been. */
  readonly letDown: number
  /** Their level asks how old a replica's data is, or how far the master. */
  readonly byAge: number
}

const REASONS = Object.keys(decisionOf) as readonly ReadBecause[]
const LET_DOWN: readonly ReadBecause[] = [
  'no-fresh-replica',
  'no-replica-within-bound',
  'replica-about-to-qualify',
  'waited-in-vain',
]
const BY_AGE: readonly ReadBecause[] = ['within-bound', 'read-index', 'strong']

/** Why we end a connection to an instance. */
const UPSTREAM_ENDS: ReadonlySet<string> = new Set<CloseReason>([
  'unsolicited-reply',
  'protocol-error',
  'reply-too-large',
  'out-of-step',
  'auth-failed',
  'read-timeout',
  'not-master',
])

/** How long one command takes at one target, and the two series that it is rendered in. */
interface Duration {
  readonly measured: Histogram
  readonly kind: Histogram
  readonly command: Histogram
}

export class GroupCounters {
  readonly #byCall: Record<Target, (Counter | undefined)[]> = { master: [], replica: [], local: [] }
  readonly #durations: Record<'master' | 'replica', (Histogram | undefined)[]> = { master: [], replica: [] }
  /** All that were ever used, by command and target. */
  readonly #measured = new Map<string, Duration>()
  readonly #routing: Readonly<Record<ReadBecause, Counter>>
  readonly readReplica: Histogram
  readonly readMaster: Histogram
  readonly write: Histogram
  readonly other: Histogram
  readonly staleness: Histogram
  readonly stalenessBytes: Histogram
  readonly lostWrites: Counter
  /** Reads that were kept from replicas by a write to another key of their slot. */
  readonly collisions: Counter
  readonly inFlight: Counter
  readonly held: Counter
  readonly #errors = new Map<string, Counter>()

  constructor(
    private readonly store: MetricStore,
    private readonly group: string,
  ) {
    const duration = 'lagrange_command_duration_seconds'
    this.readReplica = store.histogram(duration, { group, kind: 'read', target: 'replica' })
    this.readMaster = store.histogram(duration, { group, kind: 'read', target: 'master' })
    this.write = store.histogram(duration, { group, kind: 'write', target: 'master' })
    this.other = store.histogram(duration, { group, kind: 'other', target: 'master' })
    this.staleness = store.histogram('lagrange_read_staleness_seconds', { group })
    this.stalenessBytes = store.histogram('lagrange_read_staleness_bytes', { group })
    this.lostWrites = store.counter('lagrange_lost_write_sessions_total', { group })
    this.collisions = store.counter('lagrange_mark_collisions_total', { group })
    this.inFlight = store.gauge('lagrange_commands_in_flight', { group })
    this.held = store.gauge('lagrange_held_commands', { group })
    const routing: Partial<Record<ReadBecause, Counter>> = {}
    for (const [because, decision] of Object.entries(decisionOf)) {
      routing[because as ReadBecause] = store.counter('lagrange_read_routing_total', { group, decision, because })
    }
    this.#routing = routing as Record<ReadBecause, Counter>
    // What is measured is measured once, by command; kinds are their sums.
    store.beforeSnapshot(() => this.#sumUp())
  }

  stream(): StreamCounters {
    const { group, store } = this
    return {
      following: store.gauge('lagrange_stream_followed', { group }),
      keys: store.counter('lagrange_stream_marks_total', { group, kind: 'key' }),
      barriers: store.counter('lagrange_stream_marks_total', { group, kind: 'barrier' }),
      window: store.histogram('lagrange_stream_window_seconds', { group }),
    }
  }

  acks(): AckCounters {
    const { group, store } = this
    const counted = (result: AckResult): Counter => store.counter('lagrange_acks_total', { group, result })
    return {
      results: {
        confirmed: counted('confirmed'),
        unconfirmed: counted('unconfirmed'),
        degraded: counted('degraded'),
        refused: counted('refused'),
      },
      wait: store.histogram('lagrange_acks_wait_seconds', { group }),
      waiting: store.gauge('lagrange_acks_waiting', { group }),
    }
  }

  command(call: Call, target: Target): void {
    const counters = this.#byCall[target]
    const counter = counters[call.id]
    if (counter !== undefined) counter.value++
    else this.#first(call, target)
  }

  /** Table ids change when the upstream tells its own commands; the series stay. */
  forgetCalls(): void {
    for (const counters of Object.values(this.#byCall)) counters.length = 0
    for (const histograms of Object.values(this.#durations)) histograms.length = 0
  }

  duration(call: Call, target: 'master' | 'replica'): Histogram {
    return this.#durations[target][call.id] ?? this.#firstDuration(call, target)
  }

  /** The slow one that was just observed, by name. */
  nameSlow(call: Call, target: 'master' | 'replica', seconds: number, node: string, at: number): void {
    this.#kindOf(call, target).name(seconds, { command: call.name, node }, at)
  }

  route(because: ReadBecause): void {
    this.#routing[because].value++
  }

  get routed(): RoutedReads {
    const sum = (reasons: readonly ReadBecause[]): number =>
      reasons.reduce((total, because) => total + this.#routing[because].value, 0)
    return { all: sum(REASONS), letDown: sum(LET_DOWN), byAge: sum(BY_AGE) }
  }

  refuse(because: ReadBecause): void {
    this.store.counter('lagrange_reads_refused_total', { group: this.group, because }).value++
  }

  error(text: string, target: Target): void {
    const code = errorCode(text)
    const key = `${code} ${target}`
    let counter = this.#errors.get(key)
    if (counter === undefined) {
      counter = this.store.counter('lagrange_command_errors_total', { group: this.group, code, target })
      this.#errors.set(key, counter)
    }
    counter.value++
  }

  /** All reads at replicas until now. */
  measureReplicas(): Histogram {
    this.#sumUp()
    return this.readReplica
  }

  hedged(result: 'asked' | 'won' | 'late'): void {
    this.store.counter('lagrange_hedged_reads_total', { group: this.group, result }).value++
  }

  ejected(node: string): void {
    this.store.counter('lagrange_replica_ejections_total', { group: this.group, node }).value++
  }

  verified(node: string, result: string): void {
    this.store.counter('lagrange_verified_reads_total', { group: this.group, node, result }).value++
  }

  healed(code: string): void {
    this.store.counter('lagrange_healed_commands_total', { group: this.group, code }).value++
  }

  connect(node: string, result: 'ok' | 'refused' | 'failed'): void {
    this.store.counter('lagrange_upstream_connects_total', { group: this.group, node, result }).value++
  }

  /** `reason` is one of ours or, if it is the network's, `network`. */
  disconnect(node: string, reason: string): void {
    const known = UPSTREAM_ENDS.has(reason) ? reason : 'network'
    this.store.counter('lagrange_upstream_disconnects_total', { group: this.group, node, reason: known }).value++
  }

  roundTrip(node: string): Histogram {
    return this.store.histogram('lagrange_upstream_request_duration_seconds', { group: this.group, node })
  }

  upstreams(node: string, shared: number, pinned: number, idle: number, queued: number): void {
    const { group, store } = this
    store.gauge('lagrange_upstream_connections', { group, node, state: 'shared' }).value = shared
    store.gauge('lagrange_upstream_connections', { group, node, state: 'pinned' }).value = pinned
    store.gauge('lagrange_upstream_connections', { group, node, state: 'idle' }).value = idle
    store.gauge('lagrange_upstream_queue_commands', { group, node }).value = queued
  }

  forgetNode(node: string): void {
    const { group, store } = this
    for (const state of ['shared', 'pinned', 'idle']) {
      store.remove('lagrange_upstream_connections', { group, node, state })
    }
    store.remove('lagrange_upstream_queue_commands', { group, node })
    store.remove('lagrange_replica_ejections_total', { group, node })
    store.remove('lagrange_upstream_request_duration_seconds', { group, node })
  }

  #firstDuration(call: Call, target: 'master' | 'replica'): Histogram {
    const key = `${call.name} ${target}`
    let duration = this.#measured.get(key)
    if (duration === undefined) {
      const command = this.store.histogram('lagrange_command_latency_seconds', {
        group: this.group,
        command: call.name,
      })
      duration = { measured: makeHistogram(latencyBuckets), kind: this.#kindOf(call, target), command }
      this.#measured.set(key, duration)
    }
    this.#durations[target][call.id] = duration.measured
    return duration.measured
  }

  #kindOf({ handling, writes, marking }: Call, target: 'master' | 'replica'): Histogram {
    if (target === 'replica') return this.readReplica
    if (handling === 'read') return this.readMaster
    // What waits for data says nothing about how long a write takes.
    return writes && marking !== 'none' && handling !== 'blocking' ? this.write : this.other
  }

  #sumUp(): void {
    for (const { kind, command } of this.#measured.values()) {
      kind.counts.fill(0)
      command.counts.fill(0)
      kind.sum = command.sum = 0
    }
    for (const { measured, kind, command } of this.#measured.values()) {
      addUp(kind, measured)
      addUp(command, measured)
    }
  }

  #first(call: Call, target: Target): void {
    const labels = { group: this.group, command: call.name, target }
    const counter = this.store.counter('lagrange_commands_total', labels)
    this.#byCall[target][call.id] = counter
    counter.value++
  }
}

/** Every bound of `into` is one of `from`. */
function addUp(into: Histogram, from: Histogram): void {
  let to = 0
  for (let bucket = 0; bucket < from.counts.length; bucket++) {
    const bound = from.bounds[bucket] ?? Number.POSITIVE_INFINITY
    while (to < into.bounds.length && (into.bounds[to] as number) < bound) to++
    ;(into.counts[to] as number) += from.counts[bucket] as number
  }
  into.sum += from.sum
}
