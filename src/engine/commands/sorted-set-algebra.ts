/**
 * Unions, intersections and differences of sorted sets. Plain sets may take part: their members score 1.
 */
import type { Bytes } from '../../base/units.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { doubleArg, intArg, isWord } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import { Refusal, refuse, SYNTAX, WRONG_TYPE } from '../refusal.js'
import type { EngineSettings } from '../settings.js'
import { SetValue } from '../types/set.js'
import { SortedSetValue } from '../types/sorted-set.js'
import { limitArg } from './sets.js'
import { storeSortedSet } from './sorted-set-ranges.js'
import { replyMembers } from './sorted-sets.js'

const NOT_A_WEIGHT = new Refusal('ERR weight value is not a float')

type Operation = 'union' | 'inter' | 'diff'
type Aggregate = 'SUM' | 'MIN' | 'MAX'
type Scores = ReadonlyMap<Bytes, number>

export const sortedSetAlgebraCommands: Readonly<Record<string, Handler>> = {
  zunion: (call, args, reply) => show(call, args, 'union', reply),
  zinter: (call, args, reply) => show(call, args, 'inter', reply),
  zdiff: (call, args, reply) => show(call, args, 'diff', reply),

  zunionstore: (call, args, reply) => store(call, args, 'union', reply),
  zinterstore: (call, args, reply) => store(call, args, 'inter', reply),
  zdiffstore: (call, args, reply) => store(call, args, 'diff', reply),

  zintercard(call, args, reply) {
    const { sources, optionsAt } = readSources(call, args, 1)
    let limit = 0
    for (let at = optionsAt; at < args.length; at += 2) {
      if (!isWord(args[at], 'LIMIT') || at + 1 >= args.length) throw SYNTAX
      limit = limitArg(args[at + 1] as Bytes)
    }
    const { size } = intersect(
      sources,
      sources.map(() => 1),
      'SUM',
    )
    reply.integer(limit === 0 ? size : Math.min(limit, size))
  },
}

function show(call: Call, args: readonly Bytes[], operation: Operation, reply: ReplyWriter): void {
  const { sources, optionsAt } = readSources(call, args, 1)
  const options = readOptions(args, optionsAt, sources.length, operation, true)
  const scores = combine(operation, sources, options.weights, options.aggregate)
  replyMembers([...scores].sort(byScore), options.withScores, reply)
}

function store(call: Call, args: readonly Bytes[], operation: Operation, reply: ReplyWriter): void {
  const { sources, optionsAt } = readSources(call, args, 2)
  const { weights, aggregate } = readOptions(args, optionsAt, sources.length, operation, false)
  const result = new SortedSetValue()
  const scores = combine(operation, sources, weights, aggregate)
  // Redis builds the result large and makes it small at the end; it matters to what becomes of a negative zero.
  if (!fitsListpack(scores, call.settings)) result.encoding = 'skiplist'
  for (const [member, score] of scores) result.set(member, score, call.settings)
  storeSortedSet(call, args[1] as Bytes, result, call.spec.name)
  reply.integer(result.size)
}

function fitsListpack(scores: Scores, settings: EngineSettings): boolean {
  if (scores.size > settings.zsetMaxListpackEntries) return false
  for (const member of scores.keys()) if (member.length > settings.zsetMaxListpackValue) return false
  return true
}

type Source = SetValue | SortedSetValue | undefined

function readSources(call: Call, args: readonly Bytes[], at: number): { sources: Source[]; optionsAt: number } {
  const count = intArg(args[at])
  if (count < 1) refuse(`ERR at least 1 input key is needed for '${call.spec.name}' command`)
  if (count > args.length - at - 1) throw SYNTAX
  const sources: Source[] = []
  for (const key of args.slice(at + 1, at + 1 + count)) {
    const value = call.read(key)
    if (value !== undefined && !(value instanceof SetValue) && !(value instanceof SortedSetValue)) throw WRONG_TYPE
    sources.push(value)
  }
  return { sources, optionsAt: at + 1 + count }
}

interface Options {
  readonly weights: readonly number[]
  readonly aggregate: Aggregate
  readonly withScores: boolean
}

function readOptions(
  args: readonly Bytes[],
  from: number,
  count: number,
  operation: Operation,
  mayShowScores: boolean,
): Options {
  let weights = new Array<number>(count).fill(1)
  let aggregate: Aggregate = 'SUM'
  let withScores = false
  for (let at = from; at < args.length; at++) {
    if (operation !== 'diff' && isWord(args[at], 'WEIGHTS') && at + count < args.length) {
      weights = args.slice(at + 1, at + 1 + count).map(text => doubleArg(text, NOT_A_WEIGHT))
      at += count
    } else if (operation !== 'diff' && isWord(args[at], 'AGGREGATE') && at + 1 < args.length) {
      aggregate = aggregateArg(args[++at] as Bytes)
    } else if (mayShowScores && isWord(args[at], 'WITHSCORES')) withScores = true
    else throw SYNTAX
  }
  return { weights, aggregate, withScores }
}

function aggregateArg(text: Bytes): Aggregate {
  const word = text.toUpperCase()
  if (word === 'SUM' || word === 'MIN' || word === 'MAX') return word
  throw SYNTAX
}

function combine(
  operation: Operation,
  sources: readonly Source[],
  weights: readonly number[],
  aggregate: Aggregate,
): Scores {
  if (operation === 'union') return unite(sources, weights, aggregate)
  if (operation === 'inter') return intersect(sources, weights, aggregate)
  const [first, ...others] = sources
  const found = new Map<Bytes, number>()
  forEachOf(first, 1, (member, score) => {
    if (!others.some(other => scoreIn(other, member) !== undefined)) found.set(member, score)
  })
  return found
}

function unite(sources: readonly Source[], weights: readonly number[], aggregate: Aggregate): Scores {
  const found = new Map<Bytes, number>()
  // Sums of doubles depend on the order: Redis begins with the smallest.
  for (const { source, weight } of bySize(sources, weights))
    forEachOf(source, weight, (member, score) => {
      const before = found.get(member)
      found.set(member, before === undefined ? score : join(before, score, aggregate))
    })
  return found
}

function intersect(sources: readonly Source[], weights: readonly number[], aggregate: Aggregate): Scores {
  const found = new Map<Bytes, number>()
  if (sources.includes(undefined)) return found
  const [smallest, ...others] = bySize(sources, weights)
  forEachOf(smallest?.source, smallest?.weight ?? 1, (member, start) => {
    let score = start
    for (const { source, weight } of others) {
      const other = scoreIn(source, member)
      if (other === undefined) return
      score = join(score, weighted(other, weight), aggregate)
    }
    found.set(member, score)
  })
  return found
}

function bySize(sources: readonly Source[], weights: readonly number[]): { source: Source; weight: number }[] {
  const order = sources.map((source, index) => ({ source, weight: weights[index] as number }))
  return order.sort((a, b) => (a.source?.size ?? 0) - (b.source?.size ?? 0))
}

function forEachOf(source: Source, weight: number, visit: (member: Bytes, score: number) => void): void {
  if (source instanceof SetValue) source.forEach(member => visit(member, weighted(1, weight)))
  else source?.forEach((member, score) => visit(member, weighted(score, weight)))
}

function scoreIn(source: Source, member: Bytes): number | undefined {
  if (source instanceof SetValue) return source.has(member) ? 1 : undefined
  return source?.score(member)
}

/** Zero times infinity counts as zero, and so does the sum of both infinities. */
function weighted(score: number, weight: number): number {
  const product = score * weight
  return Number.isNaN(product) ? 0 : product
}

function join(a: number, b: number, aggregate: Aggregate): number {
  if (aggregate === 'MIN') return Math.min(a, b)
  if (aggregate === 'MAX') return Math.max(a, b)
  const sum = a + b
  return Number.isNaN(sum) ? 0 : sum
}

function byScore([a, aScore]: readonly [Bytes, number], [b, bScore]: readonly [Bytes, number]): number {
  if (aScore !== bScore) return aScore < bScore ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}
