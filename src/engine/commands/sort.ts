/**
 * SORT and SORT_RO: elements in an order that may come from other keys (BY), shown as other keys' values (GET).
 */
import type { Bytes } from '../../base/units.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { intArg, isWord } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import { parseBound } from '../numbers.js'
import { refuse, SYNTAX, WRONG_TYPE } from '../refusal.js'
import { textOfString } from '../string-bytes.js'
import { HashValue } from '../types/hash.js'
import { ListValue } from '../types/list.js'
import { SetValue } from '../types/set.js'
import { SortedSetValue } from '../types/sorted-set.js'
import { isString, type Value } from '../value.js'

export const sortCommands: Readonly<Record<string, Handler>> = {
  sort: (call, args, reply) => sort(call, args, true, reply),
  sort_ro: (call, args, reply) => sort(call, args, false, reply),
}

interface SortQuery {
  descending: boolean
  alpha: boolean
  by: Bytes | undefined
  offset: number
  limit: number
  readonly gets: Bytes[]
  store: Bytes | undefined
}

function sort(call: Call, args: readonly Bytes[], mayStore: boolean, reply: ReplyWriter): void {
  const query = readQuery(args, mayStore)
  const value = call.read(args[1] as Bytes)
  const elements = arranged(call, elementsIn(value, query), value, query)
  const [first, end] = window(query, elements.length)
  const shown: (Bytes | undefined)[] = []
  for (const element of elements.slice(first, end)) {
    if (query.gets.length === 0) shown.push(element)
    else for (const pattern of query.gets) shown.push(valueBehind(call, pattern, element))
  }
  if (query.store !== undefined) return store(call, query.store, shown, reply)
  reply.array(shown.length)
  for (const item of shown) {
    if (item === undefined) reply.null()
    else reply.bulk(item)
  }
}

function readQuery(args: readonly Bytes[], mayStore: boolean): SortQuery {
  const query: SortQuery = {
    descending: false,
    alpha: false,
    by: undefined,
    offset: 0,
    limit: -1,
    gets: [],
    store: undefined,
  }
  for (let at = 2; at < args.length; at++) {
    const left = args.length - at - 1
    if (isWord(args[at], 'ASC')) query.descending = false
    else if (isWord(args[at], 'DESC')) query.descending = true
    else if (isWord(args[at], 'ALPHA')) query.alpha = true
    else if (isWord(args[at], 'LIMIT') && left >= 2) {
      query.offset = intArg(args[++at])
      query.limit = intArg(args[++at])
    } else if (mayStore && isWord(args[at], 'STORE') && left >= 1) query.store = args[++at]
    else if (isWord(args[at], 'BY') && left >= 1) query.by = args[++at]
    else if (isWord(args[at], 'GET') && left >= 1) query.gets.push(args[++at] as Bytes)
    else throw SYNTAX
  }
  return query
}

function elementsIn(value: Value | undefined, query: SortQuery): Bytes[] {
  if (value === undefined) return []
  if (value instanceof ListValue) return [...value]
  if (value instanceof SetValue) return value.toArray()
  if (!(value instanceof SortedSetValue)) throw WRONG_TYPE
  // Redis unpacks a sorted set to sort it, and OBJECT ENCODING tells.
  value.encoding = 'skiplist'
  const members: Bytes[] = []
  const backwards = isUnsorted(query) && query.descending
  value.forRange(0, value.size, backwards, member => members.push(member))
  return members
}

/** A BY without `*` names no other keys: leave the order as it is. */
function isUnsorted(query: SortQuery): boolean {
  return query.by !== undefined && !query.by.includes('*')
}

function arranged(call: Call, elements: Bytes[], value: Value | undefined, query: SortQuery): Bytes[] {
  let { alpha, by } = query
  if (isUnsorted(query)) {
    // A set has no order: what is stored must not differ between master and replica.
    const matters = value instanceof SetValue && (query.store !== undefined || call.caller.origin === 'script')
    if (!matters) return elements
    alpha = true
    by = undefined
  }
  const sign = query.descending ? -1 : 1
  const weights = elements.map(element => (by === undefined ? element : valueBehind(call, by, element)))
  const order = elements.map((_, index) => index)
  if (alpha) {
    // What is only shown is compared as C compares texts, up to a NUL.
    const texts = query.store === undefined ? weights.map(weight => weight?.split('\0', 1)[0]) : weights
    order.sort((a, b) => sign * compareTexts(texts[a], texts[b]))
  } else {
    const scores = weights.map(scoreOf)
    order.sort((a, b) => {
      const difference = compareNumbers(scores[a] as number, scores[b] as number)
      return sign * (difference !== 0 ? difference : compareTexts(elements[a], elements[b]))
    })
  }
  return order.map(index => elements[index] as Bytes)
}

function scoreOf(weight: Bytes | undefined): number {
  if (weight === undefined) return 0
  const score = parseBound(weight)
  if (score === undefined || (!Number.isFinite(score) && !/inf/i.test(weight)))
    refuse("ERR One or more scores can't be converted into double")
  return score
}

function compareNumbers(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** What is missing comes before everything. */
function compareTexts(a: Bytes | undefined, b: Bytes | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}

/** `weight_*` or `object_*->field` with the element in place of `*`; `#` is the element itself. */
function valueBehind(call: Call, pattern: Bytes, element: Bytes): Bytes | undefined {
  if (pattern === '#') return element
  const star = pattern.indexOf('*')
  if (star < 0) return undefined
  const arrow = pattern.indexOf('->', star + 1)
  const hasField = arrow >= 0 && arrow + 2 < pattern.length
  const key = pattern.slice(0, star) + element + pattern.slice(star + 1, hasField ? arrow : undefined)
  const value = call.read(key)
  if (value === undefined) return undefined
  if (hasField) return value instanceof HashValue ? value.get(pattern.slice(arrow + 2)) : undefined
  return isString(value) ? textOfString(value) : undefined
}

/** From and up to which element LIMIT shows. */
function window({ offset, limit }: SortQuery, length: number): readonly [number, number] {
  const first = Math.max(0, offset)
  if (first >= length) return [0, 0]
  return [first, limit < 0 ? length : Math.min(length, first + limit)]
}

function store(call: Call, key: Bytes, items: readonly (Bytes | undefined)[], reply: ReplyWriter): void {
  if (items.length > 0) {
    const list = new ListValue()
    for (const item of items) list.pushTail(item ?? '')
    call.put(key, list)
    call.modified(key, 'l', 'sortstore', items.length)
  } else if (call.remove(key)) call.modified(key, 'g', 'del')
  reply.integer(items.length)
}
