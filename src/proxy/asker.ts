/**
 * What the group needs to know of a session, and what it tells it.
 */
import type { Bytes } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import type { Call } from '../routing/calls.js'
import type { ReadBecause, ReadRules } from '../routing/choose.js'
import type { Instance } from './instance.js'
import type { Recipient, Request } from './request.js'
import type { Standing, Trail } from './standing.js'
import type { Resp, Upstream } from './upstream.js'

/** Why a command that is no read went where it went. */
export type Because = ReadBecause | 'write' | 'master-only' | 'local' | 'retry' | 'held' | 'subscription'

export interface Asker extends Recipient {
  readonly closed: boolean
  /** `host:port` of the client. */
  readonly address: string
  readonly resp: Resp
  readonly db: number
  /** What its reads are promised: those of the command at hand. */
  rules: ReadRules
  /** What must be shown to it at least. */
  readonly standing: Standing
  /** What it has written; undefined before the first write. */
  trail: Trail | undefined
  /** What it was acknowledged may be lost: it is told before anything else is done for it. */
  readonly lost: boolean
  tellLost(request: Request): void
  /** It has seen more than its floor covers: its next read is the master's. */
  ahead: boolean
  /** The replica that served its last read. */
  lastReplica: Instance | undefined
  /** Where its last command went, and why: for LAGRANGE WHY. */
  lastTo: string
  lastBecause: Because
  /** Its requests that the group keeps; while there are any it dispatches nothing. */
  kept: number
  /** Its requests that wait for all before them: whatever stands behind one of them does so as well. */
  readonly stalled: number
  /** Its reads at replicas that are not answered, and which slots they may touch (a 32-bit filter). */
  replicaReads: number
  readFilter: number
  /** Those reads are not all at `lastReplica`. */
  spread: boolean
  /** The same of its reads at the master, at level `causal`. */
  masterReads: number
  masterFilter: number
  /** Its open transaction holds commands that the instance refused: whatever EXEC answers, nothing was executed. */
  readonly poisoned: boolean
  /** Sends a command on a connection of its own: the group found that it may be sent now. */
  dispatchPinned(request: Request, decoder: Decoder): void
  /** Sends a command on a connection that is lent for it alone. */
  sendAlone(request: Request, call: Call, decoder: Decoder): void
  /** Its own connection is gone. `pending` are its requests on it, first to last, some handed over and some not. */
  onPinnedClosed(upstream: Upstream, reason: string, pending: readonly Request[]): void
  /** An answer on its own connection says that the request was not executed. True when the session has dealt with it. */
  onPinnedRefused(upstream: Upstream, request: Request, meaning: 'not-master' | 'not-serving' | 'unblocked'): boolean
  /** The request will not be executed, or nobody knows: the client gets this error. */
  fail(request: Request, text: Bytes): void
  /** The same of one that there is nobody for now, or that is not done for the sake of its client. */
  turnAway(request: Request, text: Bytes): void
  /** The reply that was kept back may leave now. */
  confirmed(request: Request): void
  /** Nothing was asked before this request that is not answered. */
  isFirst(request: Request): boolean
  /** The request, which is not the first, waits until everything that the session asked before has been answered. */
  stall(request: Request, decoder: Decoder): void
  /** Something it waited for is there. */
  proceed(): void
}

/** What it writes, or is shown by the master and must not be shown without later, is followed to tell whether it was lost. */
export function isFollowed({ rules }: Asker, call: Call): boolean {
  return call.marking !== 'none' && (call.writes || rules.level === 'causal' || rules.level === 'strong')
}

/** The master has answered it something. */
export function noteAnswered({ standing, trail }: Asker): void {
  standing.answered = true
  if (trail !== undefined) trail.answered = true
}

/** A read of its session at the master is answered, or sent elsewhere. */
export function noLongerAtMaster(request: Request): void {
  const session = request.session as Asker
  request.readsMaster = false
  if (--session.masterReads === 0) session.masterFilter = 0
}
