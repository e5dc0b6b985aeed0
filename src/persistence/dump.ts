/**
 * DUMP and RESTORE: one value outside of any snapshot.
 *
 *     type │ value │ version, 2 bytes │ checksum, 8 bytes
 */
import type { Bytes } from '../base/units.js'
import type { EngineSettings } from '../engine/settings.js'
import type { Value } from '../engine/value.js'
import { CorruptError } from './encoding/corrupt.js'
import { Crc64 } from './encoding/crc64.js'
import { RDB_VERSION, RDB_VERSION_MAX, within } from './rdb/format.js'
import { MORE, RdbInput } from './rdb/input.js'
import { RdbOutput } from './rdb/output.js'
import { EMPTY, readerOf } from './rdb/value-reader.js'
import { typeCodeOf, writeValue } from './rdb/value-writer.js'

export const FOOTER_BYTES = 10

export function dump(value: Value, settings: EngineSettings): Buffer {
  const out = new RdbOutput(true)
  out.byte(typeCodeOf(value))
  writeValue(out, value, settings)
  out.byte(RDB_VERSION & 0xff)
  out.byte(RDB_VERSION >> 8)
  out.checksum()
  return out.take()
}

export type Restored =
  | { readonly value: Value }
  /** The first is what Redis answers when the footer is wrong, the second when the value is. */
  | { readonly refused: 'bad-footer' }
  | { readonly refused: 'bad-format'; readonly detail: string }

/** `verify` false: the checksum may be anything, as in tests of what lies behind it. */
export function restore(payload: Bytes | Buffer, settings: EngineSettings, verify = true): Restored {
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload
  if (!hasGoodFooter(bytes, 1, verify)) return { refused: 'bad-footer' }
  const input = new RdbInput()
  input.feed(bytes.subarray(0, bytes.length - FOOTER_BYTES))
  try {
    const value = readerOf(input.byte(), settings).read(input)
    if (value === EMPTY) throw new CorruptError('bad-length', 'the value is empty')
    return input.pending > 0 ? { refused: 'bad-format', detail: 'bytes behind the value' } : { value }
  } catch (error) {
    if (error instanceof CorruptError) return { refused: 'bad-format', detail: within(bytes[0], error).message }
    if (error === MORE) return { refused: 'bad-format', detail: 'the value has no end' }
    throw error
  }
}

/** `bodyMin`: bytes that there must be in front of it. */
export function hasGoodFooter(bytes: Buffer, bodyMin: number, verify = true): boolean {
  const version = bytes.length - FOOTER_BYTES
  if (version < bodyMin || bytes.readUInt16LE(version) > RDB_VERSION_MAX) return false
  if (!verify) return true
  const sum = version + 2
  // All zeros: the sum was left out, as in snapshots without one.
  if (bytes.readBigUInt64LE(sum) === 0n) return true
  return new Crc64().update(bytes, 0, sum).equals(bytes, sum)
}
