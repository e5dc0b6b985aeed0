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
import type { SortedSetValue } from '../types/sorted-set.js'
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
    const options = readOptions(args, 2, cursorArg(args[1] as Bytes), true)
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
    const cursor = cursorArg(args[2] as Bytes)
    const hash = asHash(call.read(args[1] as Bytes))
    if (hash === undefined) return replyPage(0, [], reply)
    const options = readOptions(args, 3, cursor, false)
    scanPairs(options, (cursor, add) => hash.scan(cursor, add), reply)
  },

  sscan(call, args, reply) {
    const cursor = cursorArg(args[2] as Bytes)
    const set = asSet(call.read(args[1] as Bytes))
    if (set === undefined) return replyPage(0, [], reply)
    const options = readOptions(args, 3, cursor, false)
    const members: Bytes[] = []
    const next = steps(options, members, cursor => set.scan(cursor, member => members.push(member)))
    const { pattern } = options
    replyPage(next, pattern === undefined ? members : members.filter(member => matchesGlob(pattern, member)), reply)
  },

  zscan(call, args, reply) {
    const cursor = cursorArg(args[2] as Bytes)
    const zset = asSortedSet(call.read(args[1] as Bytes))
    if (zset === undefined) return replyPage(0, [], reply)
    const options = readOptions(args, 3, cursor, false)
    const scan = (cursor: number, add: (member: Bytes, score: Bytes) => void) =>
      zset.scan(cursor, (member, score) => add(member, scoreText(zset, score)))
    scanPairs(options, scan, reply)
  },
}

/** Any unsigned number, read as C's `strtoul` does (up to a NUL); ours fit into 32 bits. */
function cursorArg(text: Bytes): number {
  const [digits = ''] = text.split('\0', 1)
  const match = /^([+-]?)(\d{0,20})$/.exec(digits)
  const value = BigInt(match?.[2] || '0')
  const bare = match?.[2] === '' && digits !== ''
  if (match === null || bare || value > 0xffffffffffffffffn) refuse('ERR invalid cursor')
  return Number(BigInt.asUintN(32, match[1] === '-' ? -value : value))
}

function readOptions(args: readonly Bytes[], from: number, cursor: number, types: boolean): ScanOptions {
  let count = 10
  let pattern: Bytes | undefined
  let type: Bytes | undefined
  for (let at = from; at < args.length; at += 2) {
    const value = args[at + 1]
    if (value === undefined) throw SYNTAX
    if (isWord(args[at], 'COUNT')) {
      count = Number(int64Arg(value))
      if (count < 1) throw SYNTAX
    } else if (isWord(args[at], 'MATCH')) pattern = value === '*' ? undefined : value
    else if (types && isWord(args[at], 'TYPE')) type = value.toLowerCase()
    else throw SYNTAX
  }
  return { cursor, count, pattern, type }
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

/** Small sorted sets keep whole scores as integers and show them so, however large. */
function scoreText(zset: SortedSetValue, score: number): Bytes {
  const whole = zset.encoding === 'listpack' && Number.isInteger(score) && Math.abs(score) < 2 ** 62
  return whole ? String(BigInt(score)) : formatDouble(score)
}

function replyPage(next: number, items: readonly Bytes[], reply: ReplyWriter): void {
  reply.array(2)
  reply.bulk(String(next))
  reply.array(items.length)
  for (const item of items) reply.bulk(item)
}
