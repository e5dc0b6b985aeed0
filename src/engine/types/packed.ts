/**
 * Many short items in one text: what small collections are kept in.
 *
 *     ┌───┬─────────┬───┬───────┬──
 *     │ 3 │ f o o   │ 2 │ 1 7   │ …       a character with the length before each item
 *     └───┴─────────┴───┴───────┴──
 *
 * A text of its own weighs 16 bytes before its first character and 8 more for whoever points to it, more than a typical
 * field of a hash. Packed it weighs one. The price is that a change writes the whole text anew, which for the few hundred
 * bytes this is meant for is one copy; and that what is taken out is a view which keeps its text alive: fine for a reply,
 * while what is kept for long is to be `owned`.
 */
import { readLatin1, writeLatin1 } from '../../base/latin1.js'
import type { Bytes } from '../../base/units.js'

/** Longer items cannot be packed. */
export const ITEM_MAX = 255
/** The highest number in front. */
const COUNT_MAX = 255
/** A text grows no longer than this: beyond it, copying would show. */
export const PACKED_MAX = 8192

/** Up to this length a loop is faster than a call out of the language. */
const LOOP_MAX = 24

/** Where every text is put together. Nobody else runs between filling it and reading it. */
const workbench = Buffer.alloc(PACKED_MAX + 4 * (ITEM_MAX + 1))

/** Where the item behind the one at `at` begins. */
export function nextItem(packed: Bytes, at: number): number {
  return at + 1 + packed.charCodeAt(at)
}

/** The item at `at`, as a view. */
export function itemAt(packed: Bytes, at: number): Bytes {
  const start = at + 1
  return packed.slice(start, start + packed.charCodeAt(at))
}

export function isItemAt(packed: Bytes, at: number, item: Bytes): boolean {
  const { length } = item
  if (packed.charCodeAt(at) !== length) return false
  // Names of one collection often begin alike and differ at their end.
  for (let index = length - 1; index >= 0; index--)
    if (packed.charCodeAt(at + 1 + index) !== item.charCodeAt(index)) return false
  return true
}

/** Whether `packed` has room for so many items with so many characters. */
export function hasRoom(packed: Bytes, items: number, characters: number): boolean {
  return packed.length + items + characters <= PACKED_MAX
}

/** `packed` with the bytes from `start` to `end` replaced by the items given, if any. */
export function withItems(packed: Bytes, start: number, end: number, first?: Bytes, second?: Bytes): Bytes {
  return readLatin1(workbench, 0, fill(packed, start, end, first, second))
}

/** The same for a text that has a character with the number of its items in front. */
export function withCountedItems(packed: Bytes, count: number, start: number, end: number, item?: Bytes): Bytes {
  const length = fill(packed, start, end, item, undefined)
  workbench[0] = count
  return readLatin1(workbench, 0, length)
}

/** All of them in one text, their number in front; undefined when one of them or all together are too long. */
export function packItems(items: readonly Bytes[]): Bytes | undefined {
  if (items.length > COUNT_MAX) return undefined
  workbench[0] = items.length
  let at = 1
  for (const item of items) {
    if (item.length > ITEM_MAX || at + item.length >= PACKED_MAX) return undefined
    at = writeItem(item, at)
  }
  return readLatin1(workbench, 0, at)
}

/** The items from the one at `start` on, each a text of its own. */
export function unpackItems(packed: Bytes, start: number): Bytes[] {
  const items: Bytes[] = []
  writeLatin1(workbench, packed, 0)
  for (let at = start; at < packed.length; ) {
    const first = at + 1
    at = nextItem(packed, at)
    items.push(readLatin1(workbench, first, at))
  }
  return items
}

/** A text of its own in the place of a view, for items that are kept. */
export function owned(item: Bytes): Bytes {
  writeLatin1(workbench, item, 0)
  return readLatin1(workbench, 0, item.length)
}

/** Puts `packed` on the workbench with the items in the place of `start` to `end`; answers how long it is. */
function fill(packed: Bytes, start: number, end: number, first: Bytes | undefined, second: Bytes | undefined): number {
  const behind = start + sizeOf(first) + sizeOf(second)
  writeLatin1(workbench, packed, 0)
  if (end < packed.length) workbench.copyWithin(behind, end, packed.length)
  let at = start
  if (first !== undefined) at = writeItem(first, at)
  if (second !== undefined) writeItem(second, at)
  return behind + packed.length - end
}

function sizeOf(item: Bytes | undefined): number {
  return item === undefined ? 0 : item.length + 1
}

function writeItem(item: Bytes, at: number): number {
  const { length } = item
  workbench[at] = length
  if (length > LOOP_MAX) writeLatin1(workbench, item, at + 1)
  else for (let index = 0; index < length; index++) workbench[at + 1 + index] = item.charCodeAt(index)
  return at + 1 + length
}

// ── Pairs: a name and what belongs to it, in turn ───────────────────────────────────────────────────────────────────

/** Where the pair of `name` begins, or -1. */
export function findPair(packed: Bytes, name: Bytes): number {
  for (let at = 0; at < packed.length; at = nextPair(packed, at)) if (isItemAt(packed, at, name)) return at
  return -1
}

export function nextPair(packed: Bytes, at: number): number {
  return nextItem(packed, nextItem(packed, at))
}

/** Where the pair number `index` begins. */
export function pairAt(packed: Bytes, index: number): number {
  let at = 0
  for (let left = index; left > 0; left--) at = nextPair(packed, at)
  return at
}
