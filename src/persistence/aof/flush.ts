/**
 * When what was appended goes to the disk, and what a write that failed means.
 *
 *     always     before the replies of the same turn leave: a reply means that it is on the disk
 *     everysec   once a second, beside everything else: when the machine dies about a second is lost, more when the disk is slow
 *     no         when the system likes
 *
 * Whatever the policy, it is written at once, even while a slow disk is still busy with an fsync (Redis puts that off for up to two
 * seconds): what the system has outlives the process, what only our memory has does not.
 *
 * A failed write is taken back to the last whole unit (the file is cut there), and until one succeeds writes are
 * refused with -MISCONF; what was refused was not acknowledged. With `always` there is nothing to take back to: what
 * could not be made durable must not be answered, so the server stops.
 */
import type { Millis } from '../../base/units.js'

export type FsyncPolicy = 'always' | 'everysec' | 'no'

/** What the driver knows. */
export interface FlushFacts {
  readonly policy: FsyncPolicy
  /** Bytes that wait to be written. */
  readonly bufferedBytes: number
  /** Bytes written and not known to be on the disk. */
  readonly unsyncedBytes: number
  readonly fsyncRunning: boolean
  readonly lastFsyncAt: Millis
  /** `no-appendfsync-on-rewrite` is on, and a rewrite or a save is under way. */
  readonly sparingDisk: boolean
}

export interface FlushDecision {
  readonly write: 'nothing' | 'now'
  /** `wait`: replies of this turn leave after it. `background`: beside everything else. `late`: due, but the one before still runs. */
  readonly fsync: 'none' | 'wait' | 'background' | 'late'
}

const EVERY_MS = 1000

export function decideFlush(facts: FlushFacts, now: Millis): FlushDecision {
  const write = facts.bufferedBytes === 0 ? 'nothing' : 'now'
  const dirty = facts.unsyncedBytes > 0 || facts.bufferedBytes > 0
  if (!dirty || facts.policy === 'no' || facts.sparingDisk) return { write, fsync: 'none' }
  if (facts.policy === 'always') return { write, fsync: 'wait' }
  if (now - facts.lastFsyncAt < EVERY_MS) return { write, fsync: 'none' }
  return { write, fsync: facts.fsyncRunning ? 'late' : 'background' }
}

/** What to do about a write that failed. */
export type WriteFailure =
  /** Cut the file back to `bytes`, refuse writes, and try again with every flush. */
  | { readonly do: 'cut-and-refuse-writes'; readonly bytes: number }
  /** The rest is tried again; what was written stays, since cutting it failed as well. */
  | { readonly do: 'keep-and-refuse-writes' }
  | { readonly do: 'stop'; readonly reason: 'cannot-keep-promise' }

export function decideFailure(policy: FsyncPolicy, writtenBefore: number, canCut: boolean): WriteFailure {
  if (policy === 'always') return { do: 'stop', reason: 'cannot-keep-promise' }
  return canCut ? { do: 'cut-and-refuse-writes', bytes: writtenBefore } : { do: 'keep-and-refuse-writes' }
}

export interface RewriteFacts {
  /** One was asked for, or is owed, and could not begin yet. */
  readonly scheduled: boolean
  /** Size of base and increments now, and after the last rewrite (or at the start). */
  readonly bytes: number
  readonly bytesAtRewrite: number
  /** `auto-aof-rewrite-percentage` (0: never) and `auto-aof-rewrite-min-size`. */
  readonly growthPercent: number
  readonly bytesMin: number
  readonly busy: boolean
  /** Rewrites that failed in a row, and when the last of them did. */
  readonly failures: number
  readonly failedAt: Millis
}

const FAILURES_BEFORE_DELAY = 3
const DELAY_MS_FIRST = 60_000
const DELAY_MS_MAX = 3_600_000

export type RewriteDecision =
  | { readonly rewrite: true; readonly because: 'grown'; readonly percent: number }
  | { readonly rewrite: true; readonly because: 'scheduled' }
  | { readonly rewrite: false; readonly because: 'off' | 'busy' | 'small' | 'not-grown' }
  /** Tried often enough for now; so long to go. */
  | { readonly rewrite: false; readonly because: 'failing'; readonly forMs: Millis }

/** Whether the AOF is to be written anew: it has grown enough, or a rewrite is owed. */
export function decideRewrite(facts: RewriteFacts, now: Millis): RewriteDecision {
  if (!facts.scheduled && facts.growthPercent === 0) return { rewrite: false, because: 'off' }
  if (facts.busy) return { rewrite: false, because: 'busy' }
  const percent = Math.floor((facts.bytes * 100) / Math.max(1, facts.bytesAtRewrite)) - 100
  if (!facts.scheduled) {
    if (facts.bytes < facts.bytesMin) return { rewrite: false, because: 'small' }
    if (percent < facts.growthPercent) return { rewrite: false, because: 'not-grown' }
  }
  // A disk that is full does not become emptier by trying every tenth of a second.
  if (facts.failures >= FAILURES_BEFORE_DELAY) {
    const delay = Math.min(DELAY_MS_MAX, DELAY_MS_FIRST * 2 ** (facts.failures - FAILURES_BEFORE_DELAY))
    const forMs = facts.failedAt + delay - now
    if (forMs > 0) return { rewrite: false, because: 'failing', forMs }
  }
  return facts.scheduled ? { rewrite: true, because: 'scheduled' } : { rewrite: true, because: 'grown', percent }
}
