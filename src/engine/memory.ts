/**
 * What a key weighs, as an estimate: the texts with V8's head of 16 bytes, and what stands around them. For MEMORY USAGE and
 * for those who want to know what grew; the process' own figures are the truth.
 */
import type { Bytes } from '../base/units.js'
import { HashValue } from './types/hash.js'
import { ListValue } from './types/list.js'
import { SetValue } from './types/set.js'
import { SortedSetValue } from './types/sorted-set.js'
import { elementsOf, isString, type Value } from './value.js'

const TEXT_HEAD = 16
const BUFFER_HEAD = 96
/** Slot, hash and chain of an entry in a table, and its share of the buckets. */
const ENTRY = 32
const COLLECTION = 160
const STREAM_ENTRY = 64

/** Bytes of a key and its value; `samples` elements are weighed and stand for the others, 0 weighs all. */
export function memoryUsage(key: Bytes, value: Value, samples: number): number {
  const own = ENTRY + textBytes(key)
  if (typeof value === 'string') return own + textBytes(value)
  if (isString(value)) return own + BUFFER_HEAD + value.buffer.byteLength
  const weights = elementWeights(value, samples === 0 ? Number.POSITIVE_INFINITY : samples)
  const mean = weights.length === 0 ? 0 : weights.reduce((sum, weight) => sum + weight, 0) / weights.length
  return own + COLLECTION + Math.ceil(mean * elementsOf(value))
}

function elementWeights(value: Exclude<Value, string | Buffer>, limit: number): number[] {
  const weights: number[] = []
  const weigh = (...texts: readonly Bytes[]) => {
    if (weights.length < limit) weights.push(texts.reduce((sum, text) => sum + textBytes(text) + 8, 0))
  }
  if (value instanceof ListValue) value.forRange(0, Math.min(value.length, limit), item => weigh(item))
  else if (value instanceof SetValue) value.forEach(member => weigh(member))
  else if (value instanceof HashValue) value.forEach((field, text) => weigh(field, text))
  else if (value instanceof SortedSetValue)
    value.forRange(0, Math.min(value.size, limit), false, member => weigh(member, ''))
  else
    value.entries.forEach((id, fields) => {
      weigh(id, ...fields)
      weights[weights.length - 1] = (weights[weights.length - 1] as number) + STREAM_ENTRY
      return weights.length < limit
    })
  return weights
}

function textBytes(text: Bytes): number {
  return TEXT_HEAD + ((text.length + 7) & ~7)
}
