/**
 * What things weigh in V8's memory, to a few bytes: the units of the account that `maxmemory` is held against.
 *
 * Every value knows its weight at any time, kept up to date by what changes it, so that asking costs nothing however big
 * it is. What it is made of is counted as it lies in memory: a text with its head and padding, an entry of a table with its
 * share of pages and buckets. Beside what V8's heap grows by, for a hundred thousand of each kind, that is right to fifteen
 * percent. What the collector has not yet found is not counted: `mem_fragmentation_ratio` shows it.
 */
import type { Bytes } from '../../base/units.js'

/** Map and length of a one-byte text. */
const TEXT_HEAD = 16
/** What an array points with. */
export const POINTER = 8
/** An entry of a hash table: key and value, hash and chain, its share of buckets, its stamp. */
export const ENTRY = 40
/** The objects an empty collection consists of. */
export const COLLECTION = 96

/** A text of its own. */
export function textBytes(text: Bytes): number {
  return TEXT_HEAD + ((text.length + 7) & ~7)
}
