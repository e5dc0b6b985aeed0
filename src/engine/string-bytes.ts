/**
 * Reading and changing string values, which are texts or, once changed in place, Buffers.
 */
import { readLatin1, writeLatin1 } from '../base/latin1.js'
import type { Bytes } from '../base/units.js'
import { refuse } from './refusal.js'
import type { EngineSettings } from './settings.js'
import type { StringValue } from './value.js'

/** The whole value as text. */
export function textOfString(value: StringValue): Bytes {
  return typeof value === 'string' ? value : readLatin1(value, 0, value.length)
}

/** The bytes from `start` up to `end`, or as many as there are. */
export function sliceOfString(value: StringValue, start: number, end: number): Bytes {
  return typeof value === 'string'
    ? value.slice(start, end)
    : readLatin1(value, Math.min(start, value.length), Math.min(end, value.length))
}

export function byteAt(value: StringValue, at: number): number {
  return typeof value === 'string' ? value.charCodeAt(at) : (value[at] as number)
}

/**
 * The value as bytes that may be changed, at least `length` long, zeros where nothing was. A Buffer with room behind it is
 * extended in place, so that appending piece by piece costs what it adds; the value before must not be used any more.
 */
export function growString(value: StringValue | undefined, length: number): Buffer {
  if (value === undefined) return Buffer.alloc(length)
  if (typeof value === 'string') {
    const bytes = Buffer.alloc(Math.max(length, value.length))
    writeLatin1(bytes, value, 0)
    return bytes
  }
  if (value.length >= length) return value
  if (value.byteOffset + length <= value.buffer.byteLength && value.buffer.byteLength > Buffer.poolSize) {
    return Buffer.from(value.buffer, value.byteOffset, length)
  }
  const room = Buffer.alloc(length < 1024 * 1024 ? Math.max(length * 2, Buffer.poolSize + 1) : length + 1024 * 1024)
  value.copy(room)
  return room.subarray(0, length)
}

export function checkStringLength(length: number, settings: EngineSettings): void {
  if (length > settings.protoMaxBulkLen) refuse('ERR string exceeds maximum allowed size (proto-max-bulk-len)')
}

/** The first and last index that GETRANGE, BITCOUNT and the like mean, within `length`; undefined when nothing is meant. */
export function clampRange(start: number, end: number, length: number): readonly [number, number] | undefined {
  if (start < 0 && end < 0 && start > end) return undefined
  const first = Math.max(0, start < 0 ? start + length : start)
  const last = Math.min(length - 1, Math.max(0, end < 0 ? end + length : end))
  return first > last || length === 0 ? undefined : [first, last]
}
