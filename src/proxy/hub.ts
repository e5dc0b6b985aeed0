/**
 * What all sessions of a worker share.
 */
import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import type { Offset } from '../base/units.js'
import type { Counter, MetricStore } from '../metrics/store.js'
import type { Decoder } from '../resp/decoder.js'
import type { Encoder } from '../resp/encoder.js'
import type { Call, CallTable } from '../routing/calls.js'
import type { ReadRules } from '../routing/choose.js'
import type { PauseRequest } from '../topology/pauses.js'
import type { Admission } from './admission.js'
import type { ForeignUsers } from './foreign-users.js'
import type { Group } from './group.js'
import type { Admitted } from './guard.js'
import type { WorkerOptions } from './options.js'
import type { Pause } from './pause.js'
import type { Policy } from './policy.js'
import type { Session } from './session.js'
import type { Standing } from './standing.js'
import type { UpstreamTools } from './upstream.js'

/** What may be asked at a listener: everything, nothing that changes something, or everything of the master only. */
export type Access = 'all' | 'read-only' | 'master-only'

/** The listener a client came in by. */
export interface Entrance {
  readonly name: string
  /** What its clients begin with. */
  readonly rules: ReadRules
  readonly access: Access
  readonly receivedBytes: Counter
  readonly sentBytes: Counter
  readonly bufferedBytes: Counter
  readonly connections: Counter
  readonly opened: Counter
  readonly throttled: Counter
}

export function entranceCounters(store: MetricStore, listener: string): Omit<Entrance, 'name' | 'rules' | 'access'> {
  return {
    receivedBytes: store.counter('lagrange_client_received_bytes_total', { listener }),
    sentBytes: store.counter('lagrange_client_sent_bytes_total', { listener }),
    bufferedBytes: store.gauge('lagrange_client_buffered_bytes', { listener }),
    connections: store.gauge('lagrange_client_connections', { listener }),
    opened: store.counter('lagrange_client_connections_opened_total', { listener }),
    throttled: store.counter('lagrange_client_throttles_total', { listener }),
  }
}

export interface Hub {
  readonly clock: Clock
  readonly events: EventSink
  readonly options: WorkerOptions
  readonly tools: UpstreamTools
  readonly policy: Policy
  /** Where users are those of the instances. */
  readonly foreignUsers: ForeignUsers | undefined
  readonly admission: Admission
  /** CLIENT PAUSE, as far as it concerns this worker. */
  readonly pause: Pause
  /** undefined until the first view: sessions wait for it. */
  readonly group: Group | undefined
  readonly calls: CallTable
  readonly sessions: ReadonlyMap<number, Session>
  /** What the master said of itself. */
  readonly about: { readonly version: string; readonly databases: number }
  /** For replies that cannot be written straight to the client. */
  readonly scratch: Encoder
  /** For requests whose bytes were kept. */
  readonly reader: Decoder
  readonly draining: boolean
  /** Reads the file of users again; answers what is wrong with it. `asking` may be one of those who have to go. */
  loadUsers(asking: Session | undefined): string | undefined
  onWrongLogin(session: Session): void
  /** A command was not let through. */
  onRefused(session: Session, call: Call, admitted: Admitted): void
  /** Where it stands together with others, by its name or user; undefined: by itself. */
  standingFor(session: Session): Standing | undefined
  onSessionClosed(session: Session, reason: string): void
  /** A subscriber has lost its connection: it is told when there is a master again. */
  awaitMaster(session: Session): void
  /** CLIENT PAUSE at all workers and the master; calls back when it is in force. */
  pauseClients(request: PauseRequest, then: () => void): void
  unpauseClients(then: () => void): void
  /** Answers WAIT: calls back when `count` replicas have applied `offset`, or the time is over. */
  confirmations(count: number, offset: Offset, timeoutMs: number, then: (confirmed: number) => void): () => void
}
