/**
 * LCS: the longest common subsequence of two strings.
 */
import type { Bytes } from '../../base/units.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { intArg, isWord } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import { refuse, SYNTAX } from '../refusal.js'
import { textOfString } from '../string-bytes.js'
import { isString } from '../value.js'

/** The table of lengths has a cell for every pair of characters: 256 MB of it are refused, as Redis refuses what it cannot allocate. */
const MAX_CELLS = 64 * 1024 * 1024

export const lcsCommands: Readonly<Record<string, Handler>> = {
  lcs(call, args, reply) {
    const a = stringAt(call, args[1] as Bytes)
    const b = stringAt(call, args[2] as Bytes)
    const options = readOptions(args)
    if ((a.length + 1) * (b.length + 1) > MAX_CELLS)
      refuse('ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len')
    const lengths = lengthsOf(a, b)
    const total = lengths[lengths.length - 1] as number
    if (options.lengthOnly) return reply.integer(total)
    const walk = walkBack(a, b, lengths)
    if (!options.ranges) return reply.bulk(walk.text)
    const shown = walk.ranges.filter(range => range.length >= options.minLength)
    reply.map(2)
    reply.bulk('matches')
    reply.array(shown.length)
    for (const range of shown) replyRange(range, options.withLengths, reply)
    reply.bulk('len')
    reply.integer(total)
  },
}

interface LcsOptions {
  lengthOnly: boolean
  ranges: boolean
  withLengths: boolean
  minLength: number
}

function stringAt(call: Call, key: Bytes): Bytes {
  const value = call.read(key)
  if (value !== undefined && !isString(value)) refuse('ERR The specified keys must contain string values')
  return value === undefined ? '' : textOfString(value)
}

function readOptions(args: readonly Bytes[]): LcsOptions {
  const options = { lengthOnly: false, ranges: false, withLengths: false, minLength: 0 }
  for (let at = 3; at < args.length; at++) {
    if (isWord(args[at], 'IDX')) options.ranges = true
    else if (isWord(args[at], 'LEN')) options.lengthOnly = true
    else if (isWord(args[at], 'WITHMATCHLEN')) options.withLengths = true
    else if (isWord(args[at], 'MINMATCHLEN') && at + 1 < args.length)
      options.minLength = Math.max(0, intArg(args[++at]))
    else throw SYNTAX
  }
  if (options.ranges && options.lengthOnly) refuse('ERR If you want both the length and indexes, please just use IDX.')
  return options
}

/** Row by row, how long the longest common subsequence of both beginnings is. */
function lengthsOf(a: Bytes, b: Bytes): Uint32Array {
  const width = b.length + 1
  const lengths = new Uint32Array((a.length + 1) * width)
  for (let row = 1; row <= a.length; row++)
    for (let column = 1; column <= b.length; column++) {
      const at = row * width + column
      if (a.charCodeAt(row - 1) === b.charCodeAt(column - 1)) lengths[at] = (lengths[at - width - 1] as number) + 1
      else lengths[at] = Math.max(lengths[at - width] as number, lengths[at - 1] as number)
    }
  return lengths
}

/** A run of equal characters: where it begins in both texts. */
interface Match {
  a: number
  b: number
  length: number
}

/** From the end to the beginning, so the last run comes first: as Redis replies them. */
function walkBack(a: Bytes, b: Bytes, lengths: Uint32Array): { text: Bytes; ranges: Match[] } {
  const width = b.length + 1
  const picked: string[] = []
  const ranges: Match[] = []
  let row = a.length
  let column = b.length
  while (row > 0 && column > 0) {
    if (a.charCodeAt(row - 1) === b.charCodeAt(column - 1)) {
      row--
      column--
      picked.push(a[row] as string)
      const last = ranges[ranges.length - 1]
      if (last !== undefined && last.a === row + 1 && last.b === column + 1) {
        last.a--
        last.b--
        last.length++
      } else ranges.push({ a: row, b: column, length: 1 })
    } else if ((lengths[(row - 1) * width + column] as number) > (lengths[row * width + column - 1] as number)) row--
    else column--
  }
  return { text: picked.reverse().join(''), ranges }
}

function replyRange({ a, b, length }: Match, withLength: boolean, reply: ReplyWriter): void {
  reply.array(withLength ? 3 : 2)
  for (const start of [a, b]) {
    reply.array(2)
    reply.integer(start)
    reply.integer(start + length - 1)
  }
  if (withLength) reply.integer(length)
}
