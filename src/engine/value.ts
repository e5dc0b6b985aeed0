/**
 * What can stand under a key.
 *
 * A string is the text itself, with nothing around it; only what is changed in place (SETBIT, SETRANGE, APPEND,
 * BITFIELD) becomes a Buffer.
 */
import type { Bytes } from '../base/units.js'
import { isInt64Text } from './numbers.js'
import type { EngineSettings } from './settings.js'
import type { HashValue } from './types/hash.js'
import type { ListValue } from './types/list.js'
import type { SetValue } from './types/set.js'
import type { SortedSetValue } from './types/sorted-set.js'
import type { StreamValue } from './types/stream.js'

export type StringValue = Bytes | Buffer
export type Collection = ListValue | HashValue | SetValue | SortedSetValue | StreamValue
export type Value = StringValue | Collection
/** Redis' names, as TYPE answers them. */
export type TypeName = 'string' | Collection['type']

/** A node of Redis' lists, by default. */
const LIST_NODE_BYTES = 8192
/** Up to this length Redis puts a string and its object into one allocation. */
const EMBSTR_BYTES = 44

export function isString(value: Value): value is StringValue {
  return typeof value === 'string' || Buffer.isBuffer(value)
}

export function typeOf(value: Value): TypeName {
  return isString(value) ? 'string' : value.type
}

export function encodingOf(value: Value): string {
  if (typeof value === 'string') {
    return value.length <= 20 && isInt64Text(value) ? 'int' : value.length <= EMBSTR_BYTES ? 'embstr' : 'raw'
  }
  return Buffer.isBuffer(value) ? 'raw' : value.encoding
}

/** A value of its own that shares nothing changeable with this one. */
export function copyOf(value: Value, settings: EngineSettings): Value {
  if (typeof value === 'string') return value
  if (Buffer.isBuffer(value)) return Buffer.from(value)
  return value.type === 'set' || value.type === 'zset' ? value.copy(settings) : value.copy()
}

/** Elements of a collection, 1 for a string. */
export function elementsOf(value: Value): number {
  if (isString(value)) return 1
  return value.type === 'list' || value.type === 'stream' ? value.length : value.size
}

/** How many allocations Redis would have to free: packed collections are one. */
export function freeingEffort(value: Value, settings: EngineSettings): number {
  if (isString(value)) return 1
  switch (value.type) {
    case 'list':
      return Math.ceil(value.weight / LIST_NODE_BYTES)
    case 'stream': {
      const nodes = Math.ceil(value.length / Math.max(1, settings.streamNodeMaxEntries))
      const [group] = value.groups.values()
      return group === undefined ? nodes : nodes + value.groups.size * (1 + group.pending.size)
    }
    default:
      return value.encoding === 'listpack' || value.encoding === 'intset' ? 1 : value.size
  }
}
