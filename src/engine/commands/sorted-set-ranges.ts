/**
 * Ranges of sorted sets, by rank, score or member: to read, to count, to store, to remove.
 */
import type { Bytes } from '../../base/units.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { intArg, isWord } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import { refuse, SYNTAX } from '../refusal.js'
import { SortedSetValue } from '../types/sorted-set.js'
import { lexRangeArg, type RankRange, ranksByIndex, ranksByLex, ranksByScore, scoreRangeArg } from './score-ranges.js'

type By = 'rank' | 'score' | 'lex'

export const sortedSetRangeCommands: Readonly<Record<string, Handler>> = {
  zrange: (call, args, reply) => range(call, args, 1, {}, reply),
  zrevrange: (call, args, reply) => range(call, args, 1, { by: 'rank', reverse: true }, reply),
  zrangebyscore: (call, args, reply) => range(call, args, 1, { by: 'score', reverse: false }, reply),
  zrevrangebyscore: (call, args, reply) => range(call, args, 1, { by: 'score', reverse: true }, reply),
  zrangebylex: (call, args, reply) => range(call, args, 1, { by: 'lex', reverse: false }, reply),
  zrevrangebylex: (call, args, reply) => range(call, args, 1, { by: 'lex', reverse: true }, reply),

  zrangestore(call, args, reply) {
    const query = readQuery(args, 2, {}, false)
    const source = call.readSortedSet(args[2] as Bytes)
    const [first, count] = source === undefined ? [0, 0] : query.ranks(source)
    const result = new SortedSetValue()
    source?.forRange(first, count, query.reverse, (member, score) => result.set(member, score, call.settings))
    storeSortedSet(call, args[1] as Bytes, result, 'zrangestore')
    reply.integer(result.size)
  },

  zcount(call, args, reply) {
    const bounds = scoreRangeArg(args[2] as Bytes, args[3] as Bytes)
    const zset = call.readSortedSet(args[1] as Bytes)
    reply.integer(zset === undefined ? 0 : ranksByScore(zset, bounds)[1])
  },

  zlexcount(call, args, reply) {
    const bounds = lexRangeArg(args[2] as Bytes, args[3] as Bytes)
    const zset = call.readSortedSet(args[1] as Bytes)
    reply.integer(zset === undefined ? 0 : ranksByLex(zset, bounds)[1])
  },

  zremrangebyrank(call, args, reply) {
    const start = intArg(args[2])
    const end = intArg(args[3])
    removeRange(call, args, zset => ranksByIndex(zset.size, start, end), reply)
  },

  zremrangebyscore(call, args, reply) {
    const bounds = scoreRangeArg(args[2] as Bytes, args[3] as Bytes)
    removeRange(call, args, zset => ranksByScore(zset, bounds), reply)
  },

  zremrangebylex(call, args, reply) {
    const bounds = lexRangeArg(args[2] as Bytes, args[3] as Bytes)
    removeRange(call, args, zset => ranksByLex(zset, bounds), reply)
  },
}

/** Puts a result in place, or removes the key when it is empty. */
export function storeSortedSet(call: Call, key: Bytes, result: SortedSetValue, event: string): void {
  if (result.size > 0) {
    call.put(key, result)
    call.modified(key, 'z', event)
  } else if (call.remove(key)) call.modified(key, 'g', 'del')
}

/** What the older names have fixed; ZRANGE and ZRANGESTORE let options say it. */
interface Fixed {
  readonly by?: By
  readonly reverse?: boolean
}

interface RangeQuery {
  readonly reverse: boolean
  readonly withScores: boolean
  /** First rank and count, seen from the end where the walk begins. */
  ranks(zset: SortedSetValue): RankRange
}

function range(call: Call, args: readonly Bytes[], keyAt: number, fixed: Fixed, reply: ReplyWriter): void {
  const query = readQuery(args, keyAt, fixed, true)
  const zset = call.readSortedSet(args[keyAt] as Bytes)
  if (zset === undefined) return reply.array(0)
  const [first, count] = query.ranks(zset)
  const { withScores, reverse } = query
  const pairs = withScores && reply.resp === 3
  reply.array(withScores && !pairs ? count * 2 : count)
  zset.forRange(first, count, reverse, (member, score) => {
    if (pairs) reply.array(2)
    reply.bulk(member)
    if (withScores) reply.double(score)
  })
}

function readQuery(args: readonly Bytes[], keyAt: number, fixed: Fixed, scores: boolean): RangeQuery {
  let { by, reverse } = fixed
  let withScores = false
  let offset = 0
  let limit = -1
  for (let at = keyAt + 3; at < args.length; at++) {
    if (scores && isWord(args[at], 'WITHSCORES')) withScores = true
    else if (isWord(args[at], 'LIMIT') && at + 2 < args.length) {
      offset = intArg(args[at + 1])
      limit = intArg(args[at + 2])
      at += 2
    } else if (reverse === undefined && isWord(args[at], 'REV')) reverse = true
    else if (by === undefined && isWord(args[at], 'BYLEX')) by = 'lex'
    else if (by === undefined && isWord(args[at], 'BYSCORE')) by = 'score'
    else throw SYNTAX
  }
  by ??= 'rank'
  if (limit !== -1 && by === 'rank')
    refuse('ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX')
  if (withScores && by === 'lex') refuse('ERR syntax error, WITHSCORES not supported in combination with BYLEX')
  const backwards = reverse === true
  const ranks = ranksFor(by, backwards, args[keyAt + 1] as Bytes, args[keyAt + 2] as Bytes)
  return { reverse: backwards, withScores, ranks: by === 'rank' ? ranks : zset => limited(ranks(zset), offset, limit) }
}

function ranksFor(by: By, reverse: boolean, from: Bytes, to: Bytes): (zset: SortedSetValue) => RankRange {
  if (by === 'rank') {
    const start = intArg(from)
    const end = intArg(to)
    return zset => ranksByIndex(zset.size, start, end)
  }
  // Backwards, the higher bound comes first.
  const [min, max] = reverse ? [to, from] : [from, to]
  const scoreRange = by === 'score' ? scoreRangeArg(min, max) : undefined
  const lexRange = by === 'lex' ? lexRangeArg(min, max) : undefined
  return zset => {
    const [first, count] =
      scoreRange !== undefined
        ? ranksByScore(zset, scoreRange)
        : lexRange !== undefined
          ? ranksByLex(zset, lexRange)
          : [0, 0]
    return reverse ? [zset.size - first - count, count] : [first, count]
  }
}

function limited([first, count]: RankRange, offset: number, limit: number): RankRange {
  if (offset < 0 || offset >= count) return [0, 0]
  return [first + offset, limit < 0 ? count - offset : Math.min(limit, count - offset)]
}

function removeRange(
  call: Call,
  args: readonly Bytes[],
  ranks: (zset: SortedSetValue) => RankRange,
  reply: ReplyWriter,
): void {
  const key = args[1] as Bytes
  const zset = call.writeSortedSet(key)
  if (zset === undefined) return reply.integer(0)
  const [first, count] = ranks(zset)
  const members: Bytes[] = []
  zset.forRange(first, count, false, member => members.push(member))
  for (const member of members) zset.delete(member)
  if (count > 0) {
    call.modified(key, 'z', call.spec.name, count)
    if (zset.size === 0) call.removeEmpty(key)
  }
  reply.integer(count)
}
