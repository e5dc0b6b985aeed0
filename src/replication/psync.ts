/**
 * The master's answer to PSYNC and SYNC.
 *
 * A replica says which history it was following and the first byte it is missing. We can continue only if that history
 * is ours (or was ours until we were promoted) and the backlog still holds that byte. Everything else is a full resync,
 * and the reason is part of the answer so that the log line, the metric label and the test all name the same thing.
 */
import type { Millis, Offset } from '../base/units.js'
import type { BacklogRange } from './backlog.js'
import type { HistoryView } from './history.js'

export interface PsyncRequest {
  /** `?` from a replica that wants everything. */
  readonly replid: string
  /** The first byte that the replica is missing. */
  readonly offset: Offset
}

export type FullResyncReason =
  | 'requested' // PSYNC ? -1
  | 'old-protocol' // SYNC
  | 'unknown-history'
  | 'diverged-after-promotion'
  | 'no-backlog'
  | 'backlog-too-short'
  | 'offset-ahead-of-master'

export type PsyncDecision =
  | { readonly kind: 'continue'; readonly replid: string; readonly from: Offset }
  | { readonly kind: 'fullresync'; readonly reason: FullResyncReason }

export function decidePsync(
  request: PsyncRequest,
  history: HistoryView,
  backlog: BacklogRange | undefined,
): PsyncDecision {
  if (request.replid.startsWith('?')) return fullResync('requested')

  const replid = request.replid.toLowerCase()
  if (replid !== history.replid.toLowerCase()) {
    if (replid !== history.replid2?.toLowerCase()) return fullResync('unknown-history')
    if (request.offset > history.secondOffset) return fullResync('diverged-after-promotion')
  }

  if (backlog === undefined) return fullResync('no-backlog')
  if (request.offset < backlog.firstOffset) return fullResync('backlog-too-short')
  // Equal is fine: the replica is up to date and waits for the next byte.
  if (request.offset > backlog.nextOffset) return fullResync('offset-ahead-of-master')

  return { kind: 'continue', replid: history.replid, from: request.offset }
}

/** So long a replica that names an unknown history is asked to come again: as many seconds as a chain has links, or so. */
const UNHEARD_MS = 3000
/** Names that are remembered; the oldest goes first. */
const UNHEARD_MAX = 16

/**
 * Who has to wait for us, where a full copy could be spared. Both only happen while we follow a master ourselves; the error
 * has replicas ask again, and when our own link breaks, or we are promoted, they hear so.
 *
 * Whoever is ahead of us in our history: what it has is on its way to us. A master that was just demoted behind its
 * successor asks like that while its last bytes travel.
 *
 * Whoever names a history that we have not heard of, at a place that we could serve: when a replica far above us is
 * promoted, those next to it know the new name at once, and we only when it has come down to us. After a while it is a
 * stranger, and gets its copy.
 */
export class WaitingRoom {
  readonly #firstAskedAt = new Map<string, Millis>()

  mustWait(
    request: PsyncRequest,
    decision: PsyncDecision,
    role: SyncFacts['role'],
    backlog: BacklogRange | undefined,
    now: Millis,
  ): boolean {
    if (role !== 'connected' || decision.kind !== 'fullresync') return false
    if (decision.reason === 'offset-ahead-of-master') return true
    // One that has never had a byte has nothing to continue.
    const servable = backlog !== undefined && request.offset > 1 && request.offset >= backlog.firstOffset
    return decision.reason === 'unknown-history' && servable && this.#isNew(request.replid, now)
  }

  #isNew(replid: string, now: Millis): boolean {
    const firstAskedAt = this.#firstAskedAt.get(replid)
    if (firstAskedAt !== undefined) return now - firstAskedAt < UNHEARD_MS
    const [oldest] = this.#firstAskedAt.keys()
    if (oldest !== undefined && this.#firstAskedAt.size >= UNHEARD_MAX) this.#firstAskedAt.delete(oldest)
    this.#firstAskedAt.set(replid, now)
    return true
  }
}

export const NOT_THERE_YET = "NOMASTERLINK Can't SYNC while I have not received what you have"

/** What we are, as far as it decides whether anybody may sync from us. */
export interface SyncFacts {
  /** `connected`: we are a replica whose link to its master is up; `broken`: one whose link is not. */
  readonly role: 'master' | 'connected' | 'broken'
  /** A FAILOVER of ours is under way. */
  readonly failingOver: boolean
  readonly replid: string
}

/** What the connection that asks has told us before. */
export interface SyncCaller {
  readonly hasPendingOutput: boolean
  readonly wantsFilteredSnapshot: boolean
  readonly understandsEof: boolean
}

export type SyncRefusal =
  | 'failover-to-master'
  | 'failover-of-other-history'
  | 'failing-over'
  | 'link-down'
  | 'pending-output'
  | 'filter-without-eof'

export type SyncAdmission =
  | { readonly kind: 'admit' }
  /** PSYNC … FAILOVER: become a master first, then serve the request. */
  | { readonly kind: 'promote-then-admit' }
  | { readonly kind: 'refuse'; readonly reason: SyncRefusal; readonly error: string }

/** Whether SYNC or PSYNC may be served at all. The errors are protocol: replicas compare their beginnings. */
export function admitSync(
  request: { readonly replid: string; readonly failover: boolean } | 'sync',
  facts: SyncFacts,
  caller: SyncCaller,
): SyncAdmission {
  const takeover = request !== 'sync' && request.failover
  if (takeover && facts.role === 'master') {
    return refuse('failover-to-master', "ERR PSYNC FAILOVER can't be sent to a master.")
  }
  if (takeover && request.replid.toLowerCase() !== facts.replid.toLowerCase()) {
    return refuse('failover-of-other-history', 'ERR PSYNC FAILOVER replid must match my replid.')
  }
  if (facts.failingOver) return refuse('failing-over', "NOMASTERLINK Can't SYNC while failing over")
  // Whoever takes over has just become a master: the state of its link does not matter any more.
  if (!takeover && facts.role === 'broken') {
    return refuse('link-down', "NOMASTERLINK Can't SYNC while not connected with my master")
  }
  if (caller.hasPendingOutput) return refuse('pending-output', 'ERR SYNC and PSYNC are invalid with pending output')
  if (caller.wantsFilteredSnapshot && !caller.understandsEof) {
    return refuse('filter-without-eof', 'ERR Filtered replica requires EOF capability')
  }
  return { kind: takeover ? 'promote-then-admit' : 'admit' }
}

function fullResync(reason: FullResyncReason): PsyncDecision {
  return { kind: 'fullresync', reason }
}

function refuse(reason: SyncRefusal, error: string): SyncAdmission {
  return { kind: 'refuse', reason, error }
}
