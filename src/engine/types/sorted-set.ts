/**
 * A sorted set: members by score, and the score of a member.
 *
 * Small ones are one packed text of members and the row of their scores, both in order, and are looked along. Bigger ones have a tree for
 * the order and a table for the scores beside it.
 */
import type { Bytes } from '../../base/units.js'
import type { EngineSettings } from '../settings.js'
import { Members } from './members.js'
import { hasRoom, ITEM_MAX, isItemAt, itemAt, nextItem, unpackItems, withItems } from './packed.js'
import { type Before, ScoreTree } from './score-tree.js'
import { COLLECTION, POINTER, textBytes } from './weight.js'

/** Beyond this many members looking along a text is slower than a tree. */
const PACKED_MEMBERS = 128
/** A score in a row of them, which grows by halves. */
const SCORE = 10
/** A member's place in the tree: its score, the pointer to its text, its share of the nodes. */
const PLACE = 20

interface Table {
  readonly tree: ScoreTree
  readonly scores: Members<number>
}

export class SortedSetValue {
  readonly type = 'zset'
  encoding: 'listpack' | 'skiplist' = 'listpack'
  #members: Bytes = ''
  #scores: number[] = []
  /** Once there was too much for one text. */
  #table: Table | undefined

  get size(): number {
    return this.#table === undefined ? this.#scores.length : this.#table.tree.size
  }

  get weight(): number {
    if (this.#table === undefined) return COLLECTION + textBytes(this.#members) + this.#scores.length * SCORE
    return COLLECTION + this.#table.scores.weight + this.#table.tree.size * PLACE
  }

  score(member: Bytes): number | undefined {
    if (this.#table !== undefined) return this.#table.scores.get(member)
    const rank = this.#rankOf(member)
    return rank < 0 ? undefined : this.#scores[rank]
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
    const rank = this.#rankOf(member)
    if (rank < 0) return false
    const at = itemStart(this.#members, rank)
    this.#members = withItems(this.#members, at, nextItem(this.#members, at))
    this.#scores.splice(rank, 1)
    return true
  }

  /** From the lowest on, 0-based; undefined when it is no member. */
  rank(member: Bytes): number | undefined {
    if (this.#table !== undefined) {
      const score = this.#table.scores.get(member)
      return score === undefined ? undefined : this.#table.tree.rankOf(score, member)
    }
    const rank = this.#rankOf(member)
    return rank < 0 ? undefined : rank
  }

  /** How many entries come before: the rank of the first that does not. */
  countWhile(before: Before): number {
    if (this.#table !== undefined) return this.#table.tree.countWhile(before)
    let low = 0
    let high = this.#scores.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const member = itemAt(this.#members, itemStart(this.#members, middle))
      if (before(this.#scores[middle] as number, member)) low = middle + 1
      else high = middle
    }
    return low
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
    const members = this.#members
    // The visitor may change the set; what it is shown are the members of the moment it began.
    const taken = Math.min(count, this.#scores.length - rank)
    if (taken <= 0) return
    const first = reverse ? this.#scores.length - rank - taken : rank
    const scores = this.#scores.slice(first, first + taken)
    let at = itemStart(members, first)
    const backwards: number[] = []
    for (let index = 0; index < taken; index++, at = nextItem(members, at))
      if (reverse) backwards.push(at)
      else visit(itemAt(members, at), scores[index] as number)
    for (let index = backwards.length - 1; index >= 0; index--)
      visit(itemAt(members, backwards[index] as number), scores[index] as number)
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
      twin.#members = this.#members
      twin.#scores = this.#scores.slice()
    } else this.forEach((member, score) => twin.set(member, score, settings))
    return twin
  }

  /** False when it is too much for one text; nothing is changed then. */
  #setPacked(member: Bytes, score: number, present: boolean): boolean {
    if (!present && this.#scores.length >= PACKED_MEMBERS) return false
    if (member.length > ITEM_MAX || !hasRoom(this.#members, 1, member.length)) return false
    if (present) this.delete(member)
    const rank = this.#placeOf(score, member)
    const at = rank === this.#scores.length ? this.#members.length : itemStart(this.#members, rank)
    this.#members = withItems(this.#members, at, at, member)
    if (rank === this.#scores.length) this.#scores.push(score)
    else this.#scores.splice(rank, 0, score)
    return true
  }

  /** The rank of a packed member, or -1. */
  #rankOf(member: Bytes): number {
    const members = this.#members
    let rank = 0
    for (let at = 0; at < members.length; at = nextItem(members, at), rank++)
      if (isItemAt(members, at, member)) return rank
    return -1
  }

  /** The rank of an entry that is not there yet. */
  #placeOf(score: number, member: Bytes): number {
    const scores = this.#scores
    let low = 0
    let high = scores.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const other = scores[middle] as number
      if (other < score || (other === score && itemAt(this.#members, itemStart(this.#members, middle)) < member))
        low = middle + 1
      else high = middle
    }
    return low
  }

  #becomeTable(): void {
    const table: Table = { tree: new ScoreTree(), scores: new Members(numberBytes) }
    for (const [rank, member] of unpackItems(this.#members, 0).entries())
      setInTable(table, member, undefined, this.#scores[rank] as number)
    this.#table = table
    this.#members = ''
    this.#scores = []
  }
}

/** Beyond small integers a number is an object of its own. */
function numberBytes(score: number): number {
  return Number.isInteger(score) && Math.abs(score) < 2 ** 31 ? 0 : 2 * POINTER
}

/** Where the member of that rank begins. */
function itemStart(members: Bytes, rank: number): number {
  let at = 0
  for (let left = rank; left > 0; left--) at = nextItem(members, at)
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
