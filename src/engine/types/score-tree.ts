/**
 * Members in the order of their scores, with ranks: a B+ tree whose inner nodes count what is below them.
 *
 *     inner   children …            counts …        up to 64
 *     leaf    scores …  members …                   up to 128, plain arrays
 *
 * Everything ZRANGE and its relatives ask is "the ranks from here to there": a bound is turned into a rank by
 * `countWhile`, a range is walked from a rank.
 */
import type { Bytes } from '../../base/units.js'

/** Entries of a leaf. */
const LEAF_MAX = 128
const INNER_MAX = 64

interface Leaf {
  readonly children: undefined
  scores: number[]
  members: Bytes[]
}

interface Inner {
  children: Node[]
  counts: number[]
}

type Node = Leaf | Inner

/** True for all entries before some place in the order, false from there on. */
export type Before = (score: number, member: Bytes) => boolean

export class ScoreTree {
  size = 0
  #root: Node = leaf([], [])

  /** Adds an entry that is not there. */
  insert(score: number, member: Bytes): void {
    const right = insertInto(this.#root, score, member)
    this.size++
    if (right !== undefined)
      this.#root = { children: [this.#root, right], counts: [countOf(this.#root), countOf(right)] }
  }

  delete(score: number, member: Bytes): boolean {
    if (!deleteFrom(this.#root, score, member)) return false
    this.size--
    while (this.#root.children !== undefined && this.#root.children.length === 1)
      this.#root = this.#root.children[0] as Node
    return true
  }

  /** How many entries come before: the rank of the first that does not. */
  countWhile(before: Before): number {
    let node = this.#root
    let rank = 0
    while (node.children !== undefined) {
      let at = node.children.length - 1
      let low = 0
      // The last child whose first entry is before; what lies to its left is before as a whole.
      while (low < at) {
        const middle = (low + at + 1) >>> 1
        const first = firstLeaf(node.children[middle] as Node)
        if (before(first.scores[0] as number, first.members[0] as Bytes)) low = middle
        else at = middle - 1
      }
      for (let left = 0; left < at; left++) rank += node.counts[left] as number
      node = node.children[at] as Node
    }
    let low = 0
    let high = node.scores.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (before(node.scores[middle] as number, node.members[middle] as Bytes)) low = middle + 1
      else high = middle
    }
    return rank + low
  }

  rankOf(score: number, member: Bytes): number {
    return this.countWhile((s, m) => s < score || (s === score && m < member))
  }

  /** Visits `count` entries from `rank` on upwards. */
  forRange(rank: number, count: number, visit: (member: Bytes, score: number) => void): void {
    if (count > 0) walkUp(this.#root, rank, count, visit)
  }

  /** Visits `count` entries from `rank` on downwards. */
  forRangeBackwards(rank: number, count: number, visit: (member: Bytes, score: number) => void): void {
    if (count > 0) walkDown(this.#root, rank, count, visit)
  }
}

function leaf(scores: number[], members: Bytes[]): Leaf {
  return { children: undefined, scores, members }
}

function countOf(node: Node): number {
  if (node.children === undefined) return node.scores.length
  let sum = 0
  for (const count of node.counts) sum += count
  return sum
}

function firstLeaf(node: Node): Leaf {
  while (node.children !== undefined) node = node.children[0] as Node
  return node
}

/** The child an entry belongs into: the last one that does not begin behind it. */
function childFor(inner: Inner, score: number, member: Bytes): number {
  let low = 0
  let high = inner.children.length - 1
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    const first = firstLeaf(inner.children[middle] as Node)
    const firstScore = first.scores[0] as number
    if (firstScore < score || (firstScore === score && (first.members[0] as Bytes) <= member)) low = middle
    else high = middle - 1
  }
  return low
}

function placeInLeaf({ scores, members }: Leaf, score: number, member: Bytes): number {
  let low = 0
  let high = scores.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const other = scores[middle] as number
    if (other < score || (other === score && (members[middle] as Bytes) < member)) low = middle + 1
    else high = middle
  }
  return low
}

/** Answers the new right half when the node had to be split. */
function insertInto(node: Node, score: number, member: Bytes): Node | undefined {
  if (node.children === undefined) {
    const at = placeInLeaf(node, score, member)
    if (at === node.scores.length) {
      node.scores.push(score)
      node.members.push(member)
    } else {
      node.scores.splice(at, 0, score)
      node.members.splice(at, 0, member)
    }
    if (node.scores.length <= LEAF_MAX) return undefined
    // Appending is common (timelines): leave the left half fuller then.
    const cut = at > LEAF_MAX - 4 ? LEAF_MAX - 16 : LEAF_MAX / 2
    return leaf(node.scores.splice(cut), node.members.splice(cut))
  }
  const at = childFor(node, score, member)
  const child = node.children[at] as Node
  const right = insertInto(child, score, member)
  if (right === undefined) {
    node.counts[at] = (node.counts[at] as number) + 1
    return undefined
  }
  node.counts[at] = countOf(child)
  node.children.splice(at + 1, 0, right)
  node.counts.splice(at + 1, 0, countOf(right))
  if (node.children.length <= INNER_MAX) return undefined
  return { children: node.children.splice(INNER_MAX / 2), counts: node.counts.splice(INNER_MAX / 2) }
}

function deleteFrom(node: Node, score: number, member: Bytes): boolean {
  if (node.children === undefined) {
    const at = placeInLeaf(node, score, member)
    if (node.members[at] !== member || node.scores[at] !== score) return false
    node.scores.splice(at, 1)
    node.members.splice(at, 1)
    return true
  }
  const at = childFor(node, score, member)
  if (!deleteFrom(node.children[at] as Node, score, member)) return false
  node.counts[at] = (node.counts[at] as number) - 1
  if (node.counts[at] === 0 && node.children.length > 1) {
    node.children.splice(at, 1)
    node.counts.splice(at, 1)
  } else mergeWithNeighbour(node, at)
  return true
}

/** Joins a node that has become thin with the one to its right or left, when both fit well into one. */
function mergeWithNeighbour(parent: Inner, at: number): void {
  const width = widthOf(parent.children[at] as Node)
  const max = (parent.children[at] as Node).children === undefined ? LEAF_MAX : INNER_MAX
  if (width > max / 4 || parent.children.length < 2) return
  const left = at + 1 < parent.children.length ? at : at - 1
  const a = parent.children[left] as Node
  const b = parent.children[left + 1] as Node
  if (widthOf(a) + widthOf(b) > (max * 3) / 4) return
  if (a.children === undefined && b.children === undefined) {
    for (const score of b.scores) a.scores.push(score)
    for (const member of b.members) a.members.push(member)
  } else if (a.children !== undefined && b.children !== undefined) {
    for (const child of b.children) a.children.push(child)
    for (const count of b.counts) a.counts.push(count)
  }
  parent.counts[left] = (parent.counts[left] as number) + (parent.counts[left + 1] as number)
  parent.children.splice(left + 1, 1)
  parent.counts.splice(left + 1, 1)
}

function widthOf(node: Node): number {
  return node.children === undefined ? node.scores.length : node.children.length
}

type Visit = (member: Bytes, score: number) => void

/** Answers how many are still to be visited. */
function walkUp(node: Node, rank: number, count: number, visit: Visit): number {
  if (node.children === undefined) {
    for (let at = rank; at < node.scores.length && count > 0; at++, count--)
      visit(node.members[at] as Bytes, node.scores[at] as number)
    return count
  }
  for (let at = 0; at < node.children.length && count > 0; at++) {
    const below = node.counts[at] as number
    if (rank >= below) rank -= below
    else {
      count = walkUp(node.children[at] as Node, rank, count, visit)
      rank = 0
    }
  }
  return count
}

function walkDown(node: Node, rank: number, count: number, visit: Visit): number {
  if (node.children === undefined) {
    for (let at = Math.min(rank, node.scores.length - 1); at >= 0 && count > 0; at--, count--)
      visit(node.members[at] as Bytes, node.scores[at] as number)
    return count
  }
  let at = 0
  while (at < node.children.length - 1 && rank >= (node.counts[at] as number)) rank -= node.counts[at++] as number
  for (; at >= 0 && count > 0; at--) {
    count = walkDown(node.children[at] as Node, rank, count, visit)
    rank = Number.POSITIVE_INFINITY
  }
  return count
}
