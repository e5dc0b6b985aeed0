/**
 * A sorted set: members by score, and the score of a member.
 *
 * Small ones are the one leaf of the tree, two ordered arrays and nothing else; a member's score is found by looking along
 * them. Bigger ones have a table for the scores beside the tree.
 */
import type { Bytes } from '../../base/units.js'
import type { EngineSettings } from '../settings.js'
import { Members } from './members.js'
import { type Before, LEAF_MAX, ScoreTree } from './score-tree.js'

export class SortedSetValue {
  readonly type = 'zset'
  encoding: 'listpack' | 'skiplist' = 'listpack'
  readonly tree = new ScoreTree()
  /** undefined while the tree is one leaf. */
  #scores: Members<number> | undefined

  get size(): number {
    return this.tree.size
  }

  score(member: Bytes): number | undefined {
    return this.#scores === undefined ? this.tree.scoreInLeaf(member) : this.#scores.get(member)
  }

  /** Adds the member or moves it; answers true when it is new. */
  set(member: Bytes, score: number, settings: EngineSettings): boolean {
    const before = this.score(member)
    if (before === undefined && this.encoding === 'listpack' && outgrows(this.size + 1, member, settings))
      this.encoding = 'skiplist'
    // Redis' small sorted sets keep whole scores as integers, which have no negative zero.
    if (score === 0 && this.encoding === 'listpack') score = 0
    if (before === score) return false
    if (before !== undefined) this.tree.delete(before, member)
    else if (this.#scores === undefined && this.size === LEAF_MAX) this.#scores = this.#allScores()
    this.tree.insert(score, member)
    this.#scores?.set(member, score)
    return before === undefined
  }

  delete(member: Bytes): boolean {
    const score = this.score(member)
    if (score === undefined) return false
    this.#scores?.delete(member)
    return this.tree.delete(score, member)
  }

  /** From the lowest on, 0-based; undefined when it is no member. */
  rank(member: Bytes): number | undefined {
    const score = this.score(member)
    return score === undefined ? undefined : this.tree.rankOf(score, member)
  }

  countWhile(before: Before): number {
    return this.tree.countWhile(before)
  }

  /** Visits all in order. */
  forEach(visit: (member: Bytes, score: number) => void): void {
    this.tree.forRange(0, this.size, visit)
  }

  /** Visits `count` entries from `rank` on; `reverse` counts ranks from the highest. */
  forRange(rank: number, count: number, reverse: boolean, visit: (member: Bytes, score: number) => void): void {
    if (reverse) this.tree.forRangeBackwards(this.size - 1 - rank, count, visit)
    else this.tree.forRange(rank, count, visit)
  }

  /** Any member, each as likely as the others. There must be one. */
  random(random: () => number): [Bytes, number] {
    let drawn: [Bytes, number] = ['', 0]
    this.tree.forRange(Math.floor(random() * this.size), 1, (member, score) => {
      drawn = [member, score]
    })
    return drawn
  }

  scan(cursor: number, visit: (member: Bytes, score: number) => void): number {
    if (this.#scores !== undefined) return this.#scores.scan(cursor, visit)
    this.forEach(visit)
    return 0
  }

  copy(settings: EngineSettings): SortedSetValue {
    const twin = new SortedSetValue()
    twin.encoding = this.encoding
    this.forEach((member, score) => twin.set(member, score, settings))
    return twin
  }

  #allScores(): Members<number> {
    const scores = new Members<number>()
    this.forEach((member, score) => scores.set(member, score))
    return scores
  }
}

function outgrows(size: number, member: Bytes, settings: EngineSettings): boolean {
  return size > settings.zsetMaxListpackEntries || member.length > settings.zsetMaxListpackValue
}
