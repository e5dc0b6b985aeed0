/**
 * What an old master alone has, and how to get it before it is demoted.
 *
 *     A ────────────────┬─ 500 ──────▶ B        the group now: replid B, replid2 A, secondOffset 500
 *                       └─ 500 ─ 520  (old master)   PSYNC A 500 answers exactly the bytes 500 … 519
 *
 * One that was started again has a history of its own, which keeps the old one as replid2 up to where its file ended:
 *
 *     A ────────────────┬─ 500 ──────▶ B
 *                  └─ 480 ───▶ C  (restarted, its file ended at 479)   what it wrote since begins at 480 of C
 *                       └─ 520 ───▶ C  (its file ended at 519)         500 … 519 are in its data, and in no stream
 *
 * In the last case, and where the backlog is too short, the whole data set is all that can be had.
 */
import type { Offset } from '../base/units.js'
import type { InfoReply } from './facts.js'
import type { Lineage } from './view.js'

export type RescuePlan =
  | { readonly take: 'nothing'; readonly because: 'no-divergence' | 'not-a-master' | 'no-data' }
  /** The bytes from `from` up to, not including, `until`. */
  | { readonly take: 'stream'; readonly replid: string; readonly from: Offset; readonly until: Offset }
  | { readonly take: 'snapshot'; readonly because: SnapshotReason; readonly from: Offset }

/** Why the writes themselves cannot be had, only the data they led to. */
export type SnapshotReason =
  | 'no-backlog'
  | 'backlog-too-short'
  | 'restarted' // its stream ended with the process, its file goes beyond the fork
  | 'other-history' // it names none that we know, and has data
  | 'psync-refused' // it answered +FULLRESYNC although it should not have

/** `old`: what the instance says of itself, with its keyspace if possible. `lineage`: the group's. */
export function planRescue(old: InfoReply, lineage: Lineage): RescuePlan {
  const { replid, offset } = old
  if (old.role !== 'master') return nothing('not-a-master')
  if (old.keys === 0 || offset === undefined || replid === undefined) return nothing('no-data')
  if (replid === lineage.replid2) {
    return offset < lineage.secondOffset
      ? nothing('no-divergence')
      : fromStream(old, replid, offset, lineage.secondOffset)
  }
  if (lineage.replid2 === undefined || old.replid2 !== lineage.replid2) {
    return { take: 'snapshot', because: 'other-history', from: lineage.secondOffset }
  }
  if (old.secondOffset > lineage.secondOffset) {
    return { take: 'snapshot', because: 'restarted', from: lineage.secondOffset }
  }
  return offset < old.secondOffset ? nothing('no-divergence') : fromStream(old, replid, offset, old.secondOffset)
}

function fromStream({ backlog }: InfoReply, replid: string, offset: Offset, from: Offset): RescuePlan {
  // Without a backlog PSYNC would begin a snapshot, which is what is asked for then anyway.
  if (!backlog.active) return { take: 'snapshot', because: 'no-backlog', from }
  if (from < offset + 1 - backlog.historyBytes) return { take: 'snapshot', because: 'backlog-too-short', from }
  return { take: 'stream', replid, from, until: offset + 1 }
}

function nothing(because: Extract<RescuePlan, { take: 'nothing' }>['because']): RescuePlan {
  return { take: 'nothing', because }
}
