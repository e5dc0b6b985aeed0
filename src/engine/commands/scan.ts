/**
 * SCAN, HSCAN, SSCAN, ZSCAN: a cursor that returns everything that was there from the first call to the last.
 */
import type { Bytes } from '../../base/units.js'
import { matchesGlob } from '../../command/glob.js'
import { formatDouble } from '../../resp/encoder.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { int64Arg, isWord } from '../arguments.js'
import { asHash, asSet, asSortedSet, type Handler } from '../call.js'
import { refuse, SYNTAX } from '../refusal.js'
import { typeOf } from '../value.js'

interface ScanOptions {
  readonly cursor: number
  readonly count: number
  readonly pattern: Bytes | undefined
  readonly type: Bytes | undefined
}

/** Redis' own bound: with few entries among many empty buckets one call ends all the same. */
const STEPS_PER_ENTRY = 10

export const scanCommands: Readonly<Record<string, Handler>> = {
  scan(call, args, reply) {
    const options = readOptions(args, 1, true)
    const { table } = call.db
    const keys: Bytes[] = []
    const next = steps(options, keys, cursor => table.scan(cursor, key => keys.push(key)))
    const shown = keys.filter(key => {
      if (options.pattern !== undefined && !matchesGlob(options.pattern, key)) return false
      const value = call.peek(key)
      return value !== undefined && (options.type === undefined || typeOf(value) === options.type)
    })
    replyPage(next, shown, reply)
  },

  hscan(call, args, reply) {
    const options = readOptions(args, 2, false)
    const hash = asHash(call.read(args[1] as Bytes))
    scanPairs(options, (cursor, add) => hash?.fields.scan(cursor, add) ?? 0, reply)
  },

  sscan(call, args, reply) {
    const options = readOptions(args, 2, false)
    const set = asSet(call.read(args[1] as Bytes))
    const members: Bytes[] = []
    const next = steps(options, members, cursor => set?.scan(cursor, member => members.push(member)) ?? 0)
    const { pattern } = options
    replyPage(next, pattern === undefined ? members : members.filter(member => matchesGlob(pattern, member)), reply)
  },

  zscan(call, args, reply) {
    const options = readOptions(args, 2, false)
    const zset = asSortedSet(call.read(args[1] as Bytes))
    const scan = (cursor: number, add: (member: Bytes, score: Bytes) => void) =>
      zset?.scan(cursor, (member, score) => add(member, formatDouble(score))) ?? 0
    scanPairs(options, scan, reply)
  },
}

function readOptions(args: readonly Bytes[], from: number, types: boolean): ScanOptions {
  const cursor = args[from] as Bytes
  if (!/^\d{1,20}$/.test(cursor) || BigInt(cursor) > 0xffffffffffffffffn) refuse('ERR invalid cursor')
  let count = 10
  let pattern: Bytes | undefined
  let type: Bytes | undefined
  for (let at = from + 1; at < args.length; at += 2) {
    const value = args[at + 1]
    if (value === undefined) throw SYNTAX
    if (isWord(args[at], 'COUNT')) {
      count = Number(int64Arg(value))
      if (count < 1) throw SYNTAX
    } else if (isWord(args[at], 'MATCH')) pattern = value === '*' ? undefined : value
    else if (types && isWord(args[at], 'TYPE')) type = value.toLowerCase()
    else throw SYNTAX
  }
  return { cursor: Number(BigInt(cursor) & 0xffffffffn), count, pattern, type }
}

/** Takes steps until enough was found, or enough was looked at. */
function steps(options: ScanOptions, found: readonly unknown[], step: (cursor: number) => number): number {
  let { cursor } = options
  let left = options.count * STEPS_PER_ENTRY
  do cursor = step(cursor)
  while (cursor !== 0 && found.length < options.count && --left > 0)
  return cursor
}

function scanPairs(
  options: ScanOptions,
  scan: (cursor: number, add: (name: Bytes, value: Bytes) => void) => number,
  reply: ReplyWriter,
): void {
  const names: Bytes[] = []
  const values: Bytes[] = []
  const next = steps(options, names, cursor =>
    scan(cursor, (name, value) => {
      names.push(name)
      values.push(value)
    }),
  )
  const shown: Bytes[] = []
  for (let at = 0; at < names.length; at++) {
    const name = names[at] as Bytes
    if (options.pattern === undefined || matchesGlob(options.pattern, name)) shown.push(name, values[at] as Bytes)
  }
  replyPage(next, shown, reply)
}

function replyPage(next: number, items: readonly Bytes[], reply: ReplyWriter): void {
  reply.array(2)
  reply.bulk(String(next))
  reply.array(items.length)
  for (const item of items) reply.bulk(item)
}
