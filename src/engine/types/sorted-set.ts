/**
 * A sorted set: members by score, and the score of a member.
 *
 * Small ones are one packed text of members and scores in their order, and are looked along. Bigger ones have a tree for
 * the order and a table for the scores beside it.
 */
import type { Bytes } from '../../base/units.js'
import type { EngineSettings } from '../settings.js'
import { Members } from './members.js'
import {
  doubleAt,
  doubleItem,
  findPair,
  hasRoom,
  ITEM_MAX,
  itemAt,
  nextItem,
  nextPair,
  pairAt,
  unpackItems,
  withItems,
} from './packed.js'
import { type Before, ScoreTree } from './score-tree.js'

/** Beyond this many members looking along a text is slower than a tree. */
const PACKED_MEMBERS = 128

interface Table {
  readonly tree: ScoreTree
  readonly scores: Members<number>
}

export class SortedSetValue {
  readonly type = 'zset'
  encoding: 'listpack' | 'skiplist' = 'listpack'
  #pairs: Bytes = ''
  #count = 0
  /** Once there was too much for one text. */
  #table: Table | undefined

  get size(): number {
    return this.#table === undefined ? this.#count : this.#table.tree.size
  }

  score(member: Bytes): number | undefined {
    if (this.#table !== undefined) return this.#table.scores.get(member)
    const at = findPair(this.#pairs, member)
    return at < 0 ? undefined : scoreOf(this.#pairs, at)
  }

  /** Adds the member or moves it; answers true when it is new. */
  set(member: Bytes, score: number, settings: EngineSettings): boolean {
    const before = this.score(member)
    if (before === undefined && this.encoding === 'listpack' && outgrows(this.size + 1, member, settings))
      this.encoding = 'skiplist'
    // Redis' small sorted sets keep whole scores as integers, which have no negative zero.
    if (score === 0 && this.encoding === 'listpack') score = 0
    if (before === score) return false
    if (this.#table === undefined && !this.#setPacked(member, score, before !== undefined)) this.#becomeTable()
    if (this.#table !== undefined) setInTable(this.#table, member, before, score)
    return before === undefined
  }

  delete(member: Bytes): boolean {
    if (this.#table !== undefined) {
      const score = this.#table.scores.get(member)
      if (score === undefined) return false
      this.#table.scores.delete(member)
      return this.#table.tree.delete(score, member)
    }
    const at = findPair(this.#pairs, member)
    if (at < 0) return false
    this.#pairs = withItems(this.#pairs, at, nextPair(this.#pairs, at))
    this.#count--
    return true
  }

  /** From the lowest on, 0-based; undefined when it is no member. */
  rank(member: Bytes): number | undefined {
    if (this.#table !== undefined) {
      const score = this.#table.scores.get(member)
      return score === undefined ? undefined : this.#table.tree.rankOf(score, member)
    }
    const place = findPair(this.#pairs, member)
    if (place < 0) return undefined
    let rank = 0
    for (let at = 0; at < place; at = nextPair(this.#pairs, at)) rank++
    return rank
  }

  /** How many entries come before: the rank of the first that does not. */
  countWhile(before: Before): number {
    if (this.#table !== undefined) return this.#table.tree.countWhile(before)
    const pairs = this.#pairs
    let count = 0
    for (let at = 0; at < pairs.length && before(scoreOf(pairs, at), itemAt(pairs, at)); at = nextPair(pairs, at))
      count++
    return count
  }

  /** Visits all in order. */
  forEach(visit: (member: Bytes, score: number) => void): void {
    this.forRange(0, this.size, false, visit)
  }

  /** Visits `count` entries from `rank` on; `reverse` counts ranks from the highest. */
  forRange(rank: number, count: number, reverse: boolean, visit: (member: Bytes, score: number) => void): void {
    if (this.#table !== undefined) {
      const { tree } = this.#table
      if (reverse) tree.forRangeBackwards(tree.size - 1 - rank, count, visit)
      else tree.forRange(rank, count, visit)
      return
    }
    const pairs = this.#pairs
    const taken = Math.min(count, this.#count - rank)
    if (taken <= 0) return
    let at = pairAt(pairs, reverse ? this.#count - rank - taken : rank)
    const backwards: number[] = []
    for (let left = taken; left > 0; left--, at = nextPair(pairs, at))
      if (reverse) backwards.push(at)
      else visit(itemAt(pairs, at), scoreOf(pairs, at))
    for (const place of backwards.reverse()) visit(itemAt(pairs, place), scoreOf(pairs, place))
  }

  /** Any member, each as likely as the others. There must be one. */
  random(random: () => number): [Bytes, number] {
    let drawn: [Bytes, number] = ['', 0]
    this.forRange(Math.floor(random() * this.size), 1, false, (member, score) => {
      drawn = [member, score]
    })
    return drawn
  }

  scan(cursor: number, visit: (member: Bytes, score: number) => void): number {
    if (this.#table !== undefined) return this.#table.scores.scan(cursor, visit)
    this.forEach(visit)
    return 0
  }

  copy(settings: EngineSettings): SortedSetValue {
    const twin = new SortedSetValue()
    twin.encoding = this.encoding
    if (this.#table === undefined) {
      twin.#pairs = this.#pairs
      twin.#count = this.#count
    } else this.forEach((member, score) => twin.set(member, score, settings))
    return twin
  }

  /** False when it is too much for one text; nothing is changed then. */
  #setPacked(member: Bytes, score: number, present: boolean): boolean {
    if (!present && this.#count >= PACKED_MEMBERS) return false
    if (member.length > ITEM_MAX || !hasRoom(this.#pairs, 2, member.length + 8)) return false
    if (present) this.delete(member)
    const at = placeOf(this.#pairs, score, member)
    this.#pairs = withItems(this.#pairs, at, at, member, doubleItem(score))
    this.#count++
    return true
  }

  #becomeTable(): void {
    const table: Table = { tree: new ScoreTree(), scores: new Members<number>() }
    const pairs = this.#pairs
    const items = unpackItems(pairs, 0)
    for (let at = 0, index = 0; at < pairs.length; at = nextPair(pairs, at), index += 2)
      setInTable(table, items[index] as Bytes, undefined, scoreOf(pairs, at))
    this.#table = table
    this.#pairs = ''
  }
}

/** The score of the pair at `at`. */
function scoreOf(pairs: Bytes, at: number): number {
  return doubleAt(pairs, nextItem(pairs, at))
}

/** Where a pair belongs that is not there yet. */
function placeOf(pairs: Bytes, score: number, member: Bytes): number {
  let at = 0
  while (at < pairs.length) {
    const other = scoreOf(pairs, at)
    if (other > score || (other === score && itemAt(pairs, at) > member)) return at
    at = nextPair(pairs, at)
  }
  return at
}

function setInTable({ tree, scores }: Table, member: Bytes, before: number | undefined, score: number): void {
  if (before !== undefined) tree.delete(before, member)
  tree.insert(score, member)
  scores.set(member, score)
}

function outgrows(size: number, member: Bytes, settings: EngineSettings): boolean {
  return size > settings.zsetMaxListpackEntries || member.length > settings.zsetMaxListpackValue
}
