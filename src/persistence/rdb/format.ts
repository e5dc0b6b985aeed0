/**
 * The words of the snapshot format.
 *
 *     "REDIS" version │ aux … │ functions … │ [database │ sizes │ entry …] … │ EOF │ checksum
 *     entry           [expiry] [idle or frequency] type key value
 */
import { CorruptError } from '../encoding/corrupt.js'

/** What we write: Redis 7.0's version. */
export const RDB_VERSION = 10
/** What we read: up to Redis 7.2 and Valkey 8. */
export const RDB_VERSION_MAX = 11

export const Opcode = {
  slotInfo: 244,
  function: 245,
  functionPreGa: 246,
  moduleAux: 247,
  idle: 248,
  frequency: 249,
  aux: 250,
  resizeDb: 251,
  expireMs: 252,
  expireSeconds: 253,
  selectDb: 254,
  eof: 255,
} as const

export const TypeCode = {
  string: 0,
  list: 1,
  set: 2,
  zset: 3,
  hash: 4,
  zset2: 5,
  modulePreGa: 6,
  module2: 7,
  hashZipmap: 9,
  listZiplist: 10,
  setIntset: 11,
  zsetZiplist: 12,
  hashZiplist: 13,
  listQuicklist: 14,
  streamListpacks: 15,
  hashListpack: 16,
  zsetListpack: 17,
  listQuicklist2: 18,
  streamListpacks2: 19,
  setListpack: 20,
  streamListpacks3: 21,
} as const

/** Quicklist nodes: one large element as it is, or a listpack. */
export const PLAIN_NODE = 1
export const PACKED_NODE = 2

/** Flags of a stream entry. */
export const ENTRY_DELETED = 1
export const ENTRY_SAME_FIELDS = 2

export function isValueType(code: number): boolean {
  return code <= 7 || (code >= 9 && code <= 21)
}

/** What a value of the type is packed in, in Redis' words for its log. */
const structures: ReadonlyMap<number | undefined, string> = new Map([
  [TypeCode.hashZipmap, 'Zipmap'],
  [TypeCode.listZiplist, 'List ziplist'],
  [TypeCode.setIntset, 'Intset'],
  [TypeCode.zsetZiplist, 'Zset ziplist'],
  [TypeCode.hashZiplist, 'Hash ziplist'],
  [TypeCode.listQuicklist, 'Quicklist ziplist'],
  [TypeCode.listQuicklist2, 'Quicklist listpack'],
  [TypeCode.hashListpack, 'Hash listpack'],
  [TypeCode.zsetListpack, 'Zset listpack'],
  [TypeCode.setListpack, 'Set listpack'],
  [TypeCode.streamListpacks, 'Stream listpack'],
  [TypeCode.streamListpacks2, 'Stream listpack'],
  [TypeCode.streamListpacks3, 'Stream listpack'],
])

/** The same mistake, told as one in a value of this type. */
export function within(type: number | undefined, error: CorruptError): CorruptError {
  const structure = structures.get(type)
  if (structure === undefined) return error
  return new CorruptError(error.reason, `${structure} integrity check failed: ${error.detail}`, error.offset)
}
