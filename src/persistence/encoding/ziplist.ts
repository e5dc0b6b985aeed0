/**
 * The packed encodings of older snapshots, which are read and never written.
 *
 *     ziplist   total bytes u32 │ offset of the last entry u32 │ count u16 │ entry … │ 0xff
 *               entry: length of the one before (1 byte, or 0xfe and 4) │ encoding │ data
 *     zipmap    count u8 │ length key length free value … │ 0xff                  (hashes before Redis 2.6)
 *     intset    bytes per integer u32 │ count u32 │ integers, ascending
 */
import { readLatin1 } from '../../base/latin1.js'
import type { Bytes } from '../../base/units.js'
import { CorruptError } from './corrupt.js'
import { type Packed, readInt64 } from './integer.js'

const ZIPLIST_HEADER = 10
const END = 0xff
const COUNT_UNKNOWN = 0xffff

export function readZiplist(bytes: Buffer): Packed[] {
  if (bytes.length < ZIPLIST_HEADER + 1) throw badZiplist('shorter than its header')
  if (bytes.readUInt32LE(0) !== bytes.length) throw badZiplist('disagrees about its length')
  const end = bytes.length - 1
  if (bytes[end] !== END) throw badZiplist('has no end')
  const entries: Packed[] = []
  let at = ZIPLIST_HEADER
  let previous = at
  let previousBytes = 0
  while (at < end) {
    previous = at
    at = readZiplistEntry(bytes, at, end, previousBytes, entries)
    previousBytes = at - previous
  }
  if (bytes.readUInt32LE(4) !== previous) throw badZiplist('its last entry is elsewhere')
  const count = bytes.readUInt16LE(8)
  if (count !== COUNT_UNKNOWN && count !== entries.length) throw badZiplist('disagrees about its count')
  return entries
}

function readZiplistEntry(bytes: Buffer, from: number, end: number, previousBytes: number, entries: Packed[]): number {
  let at = from + 1
  let claimed = bytes[from] as number
  if (claimed === 0xfe) {
    if (at + 4 > end) throw badZiplist('an entry leaves its bounds')
    claimed = bytes.readUInt32LE(at)
    at += 4
  }
  if (claimed !== previousBytes || at >= end) throw badZiplist('an entry disagrees about the one before')
  const encoding = bytes[at] as number
  if (encoding < 0xc0) return readZiplistText(bytes, at, encoding, end, entries)
  return readZiplistInteger(bytes, at, encoding, end, entries)
}

function readZiplistText(bytes: Buffer, at: number, encoding: number, end: number, entries: Packed[]): number {
  const header = encoding < 0x40 ? 1 : encoding < 0x80 ? 2 : 5
  if (at + header > end || (header === 5 && encoding !== 0x80)) throw badZiplist('a length leaves its bounds')
  const length =
    header === 1
      ? encoding
      : header === 2
        ? ((encoding & 0x3f) << 8) | (bytes[at + 1] as number)
        : bytes.readUInt32BE(at + 1)
  const from = at + header
  if (from + length > end) throw badZiplist('an entry leaves its bounds')
  entries.push(readLatin1(bytes, from, from + length))
  return from + length
}

const INTEGER_BYTES: ReadonlyMap<number, number> = new Map([
  [0xc0, 2],
  [0xd0, 4],
  [0xe0, 8],
  [0xf0, 3],
  [0xfe, 1],
])

function readZiplistInteger(bytes: Buffer, at: number, encoding: number, end: number, entries: Packed[]): number {
  if (encoding >= 0xf1 && encoding <= 0xfd) {
    entries.push(encoding - 0xf1)
    return at + 1
  }
  const size = INTEGER_BYTES.get(encoding)
  if (size === undefined) throw badZiplist(`unknown encoding ${encoding}`)
  if (at + 1 + size > end) throw badZiplist('an entry leaves its bounds')
  entries.push(size === 8 ? readInt64(bytes, at + 1) : bytes.readIntLE(at + 1, size))
  return at + 1 + size
}

/** Fields and values in turn. */
export function readZipmap(bytes: Buffer): Bytes[] {
  const end = bytes.length - 1
  if (end < 1 || bytes[end] !== END) throw badZipmap('has no end')
  const pairs: Bytes[] = []
  let at = 1
  const take = (hasFree: boolean): void => {
    let length = bytes[at++] as number
    if (length === 254) {
      if (at + 4 > end) throw badZipmap('a length leaves its bounds')
      length = bytes.readUInt32LE(at)
      at += 4
    } else if (length > 254) throw badZipmap('ends in the middle of a pair')
    const free = hasFree ? (bytes[at++] as number) : 0
    if (at + length + free > end) throw badZipmap('an element leaves its bounds')
    pairs.push(readLatin1(bytes, at, at + length))
    at += length + free
  }
  while (at < end) {
    take(false)
    if (at >= end) throw badZipmap('ends in the middle of a pair')
    take(true)
  }
  const count = bytes[0] as number
  if (count < 254 && count !== pairs.length / 2) throw badZipmap('disagrees about its count')
  return pairs
}

/** The integers, ascending. */
export function readIntset(bytes: Buffer): Packed[] {
  if (bytes.length < 8) throw badIntset('shorter than its header')
  const size = bytes.readUInt32LE(0)
  const count = bytes.readUInt32LE(4)
  if (size !== 2 && size !== 4 && size !== 8) throw badIntset(`integers of ${size} bytes`)
  if (bytes.length !== 8 + count * size) throw badIntset('disagrees about its length')
  const members: Packed[] = []
  let before: bigint | number | undefined
  for (let at = 8; at < bytes.length; at += size) {
    const value = size === 8 ? bytes.readBigInt64LE(at) : bytes.readIntLE(at, size)
    if (before !== undefined && value <= before) throw badIntset('is not in order')
    before = value
    members.push(size === 8 ? readInt64(bytes, at) : (value as number))
  }
  return members
}

/** Safe integers, ascending and all different. */
export function writeIntset(members: readonly number[]): Buffer {
  const first = members[0] ?? 0
  const last = members.at(-1) ?? 0
  const size = first >= -32768 && last <= 32767 ? 2 : first >= -2147483648 && last <= 2147483647 ? 4 : 8
  const bytes = Buffer.allocUnsafe(8 + members.length * size)
  bytes.writeUInt32LE(size, 0)
  bytes.writeUInt32LE(members.length, 4)
  let at = 8
  for (const member of members) {
    if (size === 8) bytes.writeBigInt64LE(BigInt(member), at)
    else bytes.writeIntLE(member, at, size)
    at += size
  }
  return bytes
}

function badZiplist(detail: string): CorruptError {
  return new CorruptError('bad-ziplist', detail)
}

function badZipmap(detail: string): CorruptError {
  return new CorruptError('bad-zipmap', detail)
}

function badIntset(detail: string): CorruptError {
  return new CorruptError('bad-intset', detail)
}
