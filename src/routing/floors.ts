/**
 * Floors: nothing older than an offset may be shown to somebody. And what becomes of one when its history is over.
 *
 *     history A ───────────── 500 ──▶ B          the new master says: I am B, and was A up to 500 (`secondOffset`)
 *                    floor 480 of A               all of it is in B: the floor moves, nobody is told
 *                    floor 510 of A               bytes 500 … 510 are not: what was seen or written may be lost
 *                    floor of another history     nobody can say: as bad as lost
 */
import type { Offset } from '../base/units.js'
import type { Lineage } from '../topology/view.js'

export type Fate = 'kept' | 'lost' | 'unknown'

/** What became of everything up to `offset` of the history `of`, now that the master's is `lineage`. */
export function fateOf(offset: Offset, of: string | undefined, lineage: Lineage): Fate {
  if (of === lineage.replid) return 'kept'
  if (of === undefined || of !== lineage.replid2) return 'unknown'
  return offset < lineage.secondOffset ? 'kept' : 'lost'
}

/** What a session is told, or whether it is told at all, when what it wrote or saw may be lost. */
export type LostWrites = 'tell' | 'close' | 'ignore'
