/**
 * Every handler by the full name of its command; one file per group.
 */
import type { Handler } from '../call.js'
import { bitmapCommands } from './bitmaps.js'
import { blockingListCommands } from './blocking-lists.js'
import { blockingSortedSetCommands } from './blocking-sorted-sets.js'
import { expiryCommands } from './expiry.js'
import { geoCommands } from './geo.js'
import { geoSearchCommands } from './geo-search.js'
import { hashCommands } from './hashes.js'
import { hyperLogLogCommands } from './hyperloglogs.js'
import { introspectionCommands } from './introspection.js'
import { keyCommands } from './keys.js'
import { lcsCommands } from './lcs.js'
import { listCommands } from './lists.js'
import { scanCommands } from './scan.js'
import { setCommands } from './sets.js'
import { sortCommands } from './sort.js'
import { sortedSetAlgebraCommands } from './sorted-set-algebra.js'
import { sortedSetRangeCommands } from './sorted-set-ranges.js'
import { sortedSetCommands } from './sorted-sets.js'
import { streamGroupCommands } from './stream-groups.js'
import { streamInfoCommands } from './stream-info.js'
import { streamReadCommands } from './stream-reads.js'
import { streamCommands } from './streams.js'
import { stringCommands } from './strings.js'

const groups: readonly Readonly<Record<string, Handler>>[] = [
  stringCommands,
  keyCommands,
  introspectionCommands,
  expiryCommands,
  scanCommands,
  hashCommands,
  listCommands,
  blockingListCommands,
  setCommands,
  sortedSetCommands,
  sortedSetRangeCommands,
  sortedSetAlgebraCommands,
  blockingSortedSetCommands,
  sortCommands,
  bitmapCommands,
  lcsCommands,
  hyperLogLogCommands,
  geoCommands,
  geoSearchCommands,
  streamCommands,
  streamGroupCommands,
  streamReadCommands,
  streamInfoCommands,
]

export const handlers: ReadonlyMap<string, Handler> = new Map(groups.flatMap(group => Object.entries(group)))
