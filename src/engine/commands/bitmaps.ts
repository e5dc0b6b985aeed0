/**
 * Strings as rows of bits; bit 0 is the highest of the first byte.
 */
import type { Bytes } from '../../base/units.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { intArg, isWord } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import { parseInt64 } from '../numbers.js'
import { Refusal, refuse, SYNTAX } from '../refusal.js'
import { byteAt, growString } from '../string-bytes.js'
import type { StringValue } from '../value.js'

const BAD_OFFSET = new Refusal('ERR bit offset is not an integer or out of range')
const BAD_BIT = new Refusal('ERR bit is not an integer or out of range')

export const bitmapCommands: Readonly<Record<string, Handler>> = {
  setbit(call, args, reply) {
    const key = args[1] as Bytes
    const offset = bitOffsetArg(call, args[2] as Bytes)
    if (args[3] !== '0' && args[3] !== '1') throw BAD_BIT
    const value = call.writeString(key)
    const bytes = bytesToChange(call, key, value, (offset >> 3) + 1)
    const mask = 0x80 >> (offset & 7)
    const before = (bytes[offset >> 3] as number) & mask ? 1 : 0
    const after = Number(args[3])
    if (before !== after) bytes[offset >> 3] = (bytes[offset >> 3] as number) ^ mask
    if (before !== after || bytes.length !== value?.length) call.modified(key, '$', 'setbit')
    reply.integer(before)
  },

  getbit(call, args, reply) {
    const offset = bitOffsetArg(call, args[2] as Bytes)
    const value = call.readString(args[1] as Bytes)
    const at = offset >> 3
    reply.integer(value !== undefined && at < value.length && byteAt(value, at) & (0x80 >> (offset & 7)) ? 1 : 0)
  },

  bitcount(call, args, reply) {
    const value = call.readString(args[1] as Bytes)
    if (value === undefined) return reply.integer(0)
    if (args.length === 3 || args.length > 5) throw SYNTAX
    const range = args.length === 2 ? wholeOf(value) : bitRange(args, 2, value, args[4])
    reply.integer(range === undefined ? 0 : countBits(value, range[0], range[1]))
  },

  bitpos(call, args, reply) {
    const bit = intArg(args[2])
    if (bit !== 0 && bit !== 1) refuse('ERR The bit argument must be 1 or 0.')
    const value = call.readString(args[1] as Bytes)
    if (value === undefined) return reply.integer(bit === 1 ? -1 : 0)
    if (args.length > 6) throw SYNTAX
    const range = args.length === 3 ? wholeOf(value) : bitRange(args, 3, value, args[5])
    if (range === undefined) return reply.integer(-1)
    const found = findBit(value, bit, range[0], range[1])
    // Behind the end of a string all bits are clear, unless an end was given.
    const beyond = bit === 0 && args.length <= 4
    reply.integer(found < 0 && beyond ? value.length * 8 : found)
  },

  bitop(call, args, reply) {
    const operation = (args[1] as Bytes).toUpperCase()
    if (!isOperation(operation)) throw SYNTAX
    if (operation === 'NOT' && args.length !== 4) refuse('ERR BITOP NOT must be called with a single source key.')
    const sources = args.slice(3).map(key => call.readString(key) ?? '')
    const result = combine(operation, sources)
    const key = args[2] as Bytes
    if (result.length > 0) {
      call.put(key, result)
      call.modified(key, '$', 'set')
    } else if (call.remove(key)) call.modified(key, 'g', 'del')
    reply.integer(result.length)
  },

  bitfield: (call, args, reply) => bitfield(call, args, true, reply),
  bitfield_ro: (call, args, reply) => bitfield(call, args, false, reply),
}

function bitOffsetArg(call: Call, text: Bytes, bits = 0): number {
  const relative = bits > 0 && text.startsWith('#')
  const number = parseInt64(relative ? text.slice(1) : text)
  if (number === undefined || number < 0) throw BAD_OFFSET
  const offset = Number(number) * (relative ? bits : 1)
  if (offset / 8 >= call.settings.protoMaxBulkLen) throw BAD_OFFSET
  return offset
}

/** The bytes of a string, long enough to be changed, in place under the key. */
function bytesToChange(call: Call, key: Bytes, value: StringValue | undefined, length: number): Buffer {
  const bytes = growString(value, length)
  if (value === undefined) call.add(key, bytes)
  else if (bytes !== value) call.replace(key, bytes)
  return bytes
}

/** First and last bit. */
type BitRange = readonly [first: number, last: number]

function wholeOf(value: StringValue): BitRange | undefined {
  return value.length === 0 ? undefined : [0, value.length * 8 - 1]
}

/** `start [end]` at `args[at]`, counted in the unit given behind them; undefined when the range is empty. */
function bitRange(
  args: readonly Bytes[],
  at: number,
  value: StringValue,
  unit: Bytes | undefined,
): BitRange | undefined {
  const start = intArg(args[at])
  // BITCOUNT looks at the unit last, BITPOS before the end; which mistake is told depends on it.
  const bits = at === 3 ? isBits(unit) : false
  const end = args.length > at + 1 ? intArg(args[at + 1]) : -1
  if (at === 2 && start < 0 && end < 0 && start > end) return undefined
  const inBits = at === 2 ? isBits(unit) : bits
  const length = value.length * (inBits ? 8 : 1)
  const first = Math.max(0, start < 0 ? start + length : start)
  const last = Math.min(length - 1, Math.max(0, end < 0 ? end + length : end))
  if (first > last) return undefined
  return inBits ? [first, last] : [first * 8, last * 8 + 7]
}

function isBits(unit: Bytes | undefined): boolean {
  if (unit === undefined || isWord(unit, 'BYTE')) return false
  if (isWord(unit, 'BIT')) return true
  throw SYNTAX
}

const BITS_IN_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length)

function countBits(value: StringValue, first: number, last: number): number {
  let count = 0
  for (let at = first >> 3; at <= last >> 3; at++) count += BITS_IN_BYTE[maskedByte(value, at, first, last)] as number
  return count
}

/** The byte at `at` without the bits outside of the range. */
function maskedByte(value: StringValue, at: number, first: number, last: number): number {
  let byte = byteAt(value, at)
  if (at === first >> 3) byte &= 0xff >> (first & 7)
  if (at === last >> 3) byte &= 0xff << (7 - (last & 7))
  return byte
}

function findBit(value: StringValue, bit: number, first: number, last: number): number {
  const skipped = bit === 1 ? 0x00 : 0xff
  for (let place = first; place <= last; ) {
    const byte = byteAt(value, place >> 3)
    if ((place & 7) === 0 && byte === skipped) place += 8
    else if (((byte >> (7 - (place & 7))) & 1) === bit) return place
    else place++
  }
  return -1
}

// ── BITOP ───────────────────────────────────────────────────────────────────────────────────────────────────────────

type Operation = 'AND' | 'OR' | 'XOR' | 'NOT'

function isOperation(word: string): word is Operation {
  return word === 'AND' || word === 'OR' || word === 'XOR' || word === 'NOT'
}

function combine(operation: Operation, sources: readonly StringValue[]): Buffer {
  const length = Math.max(...sources.map(source => source.length))
  const result = Buffer.alloc(length)
  const [first = '', ...others] = sources
  for (let at = 0; at < first.length; at++) result[at] = byteAt(first, at)
  if (operation === 'NOT') for (let at = 0; at < length; at++) result[at] = ~(result[at] as number)
  for (const other of others)
    for (let at = 0; at < length; at++) {
      const byte = at < other.length ? byteAt(other, at) : 0
      const before = result[at] as number
      result[at] = operation === 'AND' ? before & byte : operation === 'OR' ? before | byte : before ^ byte
    }
  return result
}

// ── BITFIELD ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Overflow = 'WRAP' | 'SAT' | 'FAIL'

interface FieldOperation {
  readonly act: 'GET' | 'SET' | 'INCRBY'
  readonly signed: boolean
  readonly bits: number
  readonly offset: number
  readonly amount: bigint
  readonly overflow: Overflow
}

function bitfield(call: Call, args: readonly Bytes[], mayWrite: boolean, reply: ReplyWriter): void {
  const key = args[1] as Bytes
  const operations = readFieldOperations(call, args)
  const writes = operations.filter(operation => operation.act !== 'GET')
  if (!mayWrite && writes.length > 0) refuse('ERR BITFIELD_RO only supports the GET subcommand')
  if (writes.length === 0) {
    const value = call.readString(key) ?? ''
    reply.array(operations.length)
    for (const operation of operations) replyInteger(readField(value, operation), reply)
    return
  }
  const value = call.writeString(key)
  const needed = Math.max(...writes.map(({ offset, bits }) => Math.floor((offset + bits - 1) / 8) + 1))
  const bytes = bytesToChange(call, key, value, needed)
  let changes = 0
  reply.array(operations.length)
  for (const operation of operations) {
    const before = readField(bytes, operation)
    const after = operation.act === 'GET' ? before : newFieldValue(before, operation)
    if (after === undefined) {
      reply.null()
      continue
    }
    if (operation.act !== 'GET') {
      writeField(bytes, operation, after)
      if (after !== before || bytes.length !== value?.length) changes++
    }
    replyInteger(operation.act === 'INCRBY' ? after : before, reply)
  }
  if (changes > 0) call.modified(key, '$', 'setbit', changes)
}

function readFieldOperations(call: Call, args: readonly Bytes[]): FieldOperation[] {
  const found: FieldOperation[] = []
  let overflow: Overflow = 'WRAP'
  for (let at = 2; at < args.length; ) {
    const word = (args[at] as Bytes).toUpperCase()
    const left = args.length - at - 1
    if (word === 'OVERFLOW' && left >= 1) {
      overflow = overflowArg(args[at + 1] as Bytes)
      at += 2
      continue
    }
    const act = word === 'GET' || word === 'SET' || word === 'INCRBY' ? word : undefined
    if (act === undefined || left < (act === 'GET' ? 2 : 3)) throw SYNTAX
    const { signed, bits } = fieldTypeArg(args[at + 1] as Bytes)
    const offset = bitOffsetArg(call, args[at + 2] as Bytes, bits)
    const number = act === 'GET' ? 0 : parseInt64(args[at + 3] as Bytes)
    if (number === undefined) refuse('ERR value is not an integer or out of range')
    found.push({ act, signed, bits, offset, amount: BigInt(number), overflow })
    at += act === 'GET' ? 3 : 4
  }
  return found
}

function overflowArg(text: Bytes): Overflow {
  const word = text.toUpperCase()
  if (word === 'WRAP' || word === 'SAT' || word === 'FAIL') return word
  refuse('ERR Invalid OVERFLOW type specified')
}

/** `u1` … `u63`, `i1` … `i64`. */
function fieldTypeArg(text: Bytes): { signed: boolean; bits: number } {
  const match = /^([iu])([1-9]\d?)$/.exec(text)
  const signed = match?.[1] === 'i'
  const bits = Number(match?.[2] ?? 0)
  if (match === null || bits > (signed ? 64 : 63))
    refuse('ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.')
  return { signed, bits }
}

function readField(value: StringValue, { offset, bits, signed }: FieldOperation): bigint {
  let number = 0n
  for (let place = offset; place < offset + bits; ) {
    const at = Math.floor(place / 8)
    const taken = Math.min(8 - (place % 8), offset + bits - place)
    const byte = at < value.length ? byteAt(value, at) : 0
    const part = (byte >> (8 - (place % 8) - taken)) & ((1 << taken) - 1)
    number = (number << BigInt(taken)) | BigInt(part)
    place += taken
  }
  return signed ? BigInt.asIntN(bits, number) : number
}

function writeField(bytes: Buffer, { offset, bits }: FieldOperation, value: bigint): void {
  const raw = BigInt.asUintN(bits, value)
  for (let index = 0; index < bits; index++) {
    const place = offset + index
    const at = Math.floor(place / 8)
    const mask = 0x80 >> (place % 8)
    const set = (raw >> BigInt(bits - 1 - index)) & 1n
    bytes[at] = set === 1n ? (bytes[at] as number) | mask : (bytes[at] as number) & ~mask
  }
}

/** undefined: it does not fit and was to fail then. */
function newFieldValue(before: bigint, { act, signed, bits, amount, overflow }: FieldOperation): bigint | undefined {
  const max = signed ? (1n << BigInt(bits - 1)) - 1n : (1n << BigInt(bits)) - 1n
  const min = signed ? -max - 1n : 0n
  // An unsigned field takes a negative number to be set for the huge one with the same bits.
  const start = act === 'SET' && !signed ? BigInt.asUintN(64, amount) : amount
  const wanted = act === 'INCRBY' ? before + amount : start
  if (wanted >= min && wanted <= max) return wanted
  if (overflow === 'FAIL') return undefined
  if (overflow === 'SAT') return wanted > max || (signed && act === 'SET' && isFarBelow(wanted, max)) ? max : min
  return signed ? BigInt.asIntN(bits, wanted) : BigInt.asUintN(bits, wanted)
}

/**
 * Redis subtracts in 64 bits whether a number is too large, and takes those next to -2⁶³ for such. BITFIELD is replicated as it
 * came, so a group of both kinds must agree on that too.
 */
function isFarBelow(wanted: bigint, max: bigint): boolean {
  return wanted < 0n && BigInt.asIntN(64, max - wanted) < 0n
}

function replyInteger(value: bigint, reply: ReplyWriter): void {
  reply.integer(value)
}
