/**
 * Values as Redis 7.0 writes them: the small ones packed, the others element by element.
 *
 * A big value is written in steps, so that a snapshot can pause in the middle of it. Between two steps the value must not
 * change: who is about to change it runs the remaining steps first.
 */
import type { Bytes } from '../../base/units.js'
import type { EngineSettings } from '../../engine/settings.js'
import type { HashValue } from '../../engine/types/hash.js'
import type { ListValue } from '../../engine/types/list.js'
import type { SetValue } from '../../engine/types/set.js'
import type { SortedSetValue } from '../../engine/types/sorted-set.js'
import { elementsOf, isString, type Value } from '../../engine/value.js'
import { formatDouble } from '../../resp/encoder.js'
import { integerOf } from '../encoding/integer.js'
import { ListpackWriter } from '../encoding/listpack.js'
import { writeIntset } from '../encoding/ziplist.js'
import { PACKED_NODE, TypeCode } from './format.js'
import type { RdbOutput } from './output.js'
import { writeStream } from './stream-writer.js'

/** Elements per step. Some 50 µs of work. */
const STEP_ELEMENTS = 256
/** Values with more elements than this are worth pausing in. */
const BIG_ELEMENTS = 1024
/** A quicklist node holds about this many bytes, Redis' default. */
const NODE_BYTES = 8192
const NODE_ITEMS_MAX = 4096
/** Encoding and back length of an element, at most. */
const ELEMENT_OVERHEAD = 11

export type Steps = Generator<void, void>

/** Type, key and value, all at once. */
export function writeEntry(out: RdbOutput, key: Bytes, value: Value, settings: EngineSettings): void {
  out.byte(typeCodeOf(value))
  out.string(key)
  writeValue(out, value, settings)
}

export function writeValue(out: RdbOutput, value: Value, settings: EngineSettings): void {
  const steps = stepsOf(out, value, settings)
  if (steps !== undefined) for (const _ of steps);
}

/** Whether writing the value takes long enough to be done in steps. */
export function isBig(value: Value): boolean {
  return elementsOf(value) > BIG_ELEMENTS
}

export function typeCodeOf(value: Value): number {
  if (isString(value)) return TypeCode.string
  switch (value.type) {
    case 'list':
      return TypeCode.listQuicklist2
    case 'set':
      return isPackedSet(value) ? TypeCode.setIntset : TypeCode.set
    case 'hash':
      return value.encoding === 'listpack' ? TypeCode.hashListpack : TypeCode.hash
    case 'zset':
      return value.encoding === 'listpack' ? TypeCode.zsetListpack : TypeCode.zset2
    case 'stream':
      return TypeCode.streamListpacks2
  }
}

/** Writes what can be written at once; answers the steps of everything else. */
export function stepsOf(out: RdbOutput, value: Value, settings: EngineSettings): Steps | undefined {
  if (isString(value)) {
    out.string(value)
    return undefined
  }
  switch (value.type) {
    case 'list':
      return writeList(out, value)
    case 'set':
      return isPackedSet(value) ? writePackedSet(out, value) : writeSet(out, value)
    case 'hash':
      return value.encoding === 'listpack' ? writePackedHash(out, value) : writeHash(out, value)
    case 'zset':
      return value.encoding === 'listpack' ? writePackedZset(out, value) : writeZset(out, value)
    case 'stream':
      return writeStream(out, value, settings)
  }
}

/** An intset whose members a double counts exactly; others are rare enough to be written one by one. */
function isPackedSet(value: SetValue): boolean {
  if (value.encoding !== 'intset') return false
  let exact = true
  value.forEach(member => {
    exact &&= member.length <= 15 || integerOf(member) !== undefined
  })
  return exact
}

function writePackedSet(out: RdbOutput, value: SetValue): undefined {
  const members: number[] = []
  value.forEach(member => members.push(Number(member)))
  out.string(writeIntset(members))
}

function* writeSet(out: RdbOutput, value: SetValue): Steps {
  out.length(value.size)
  if (value.size <= BIG_ELEMENTS) return value.forEach(member => out.string(member))
  let count = 0
  for (const member of value.names()) {
    out.string(member)
    if (++count % STEP_ELEMENTS === 0) yield
  }
}

function writePackedHash(out: RdbOutput, value: HashValue): undefined {
  const pack = new ListpackWriter(value.size * 32)
  value.forEach((field, content) => {
    pack.text(field)
    pack.text(content)
  })
  out.string(pack.finish())
}

function* writeHash(out: RdbOutput, value: HashValue): Steps {
  out.length(value.size)
  if (value.size <= BIG_ELEMENTS) {
    return value.forEach((field, content) => {
      out.string(field)
      out.string(content)
    })
  }
  let count = 0
  for (const field of value.names()) {
    out.string(field)
    out.string(value.get(field) ?? '')
    if (++count % STEP_ELEMENTS === 0) yield
  }
}

function writePackedZset(out: RdbOutput, value: SortedSetValue): undefined {
  const pack = new ListpackWriter(value.size * 32)
  value.forEach((member, score) => {
    pack.text(member)
    packScore(pack, score)
  })
  out.string(pack.finish())
}

/** Scores in listpacks are text, unless they are integers. */
function packScore(pack: ListpackWriter, score: number): void {
  if (Number.isSafeInteger(score) && !Object.is(score, -0)) pack.integer(score)
  else pack.text(formatDouble(score))
}

function* writeZset(out: RdbOutput, value: SortedSetValue): Steps {
  out.length(value.size)
  // From the highest down, as Redis does: its skip list then always inserts at the front.
  for (let rank = 0; rank < value.size; rank += STEP_ELEMENTS) {
    if (rank > 0) yield
    value.forRange(rank, STEP_ELEMENTS, true, (member, score) => {
      out.string(member)
      out.double(score)
    })
  }
}

function* writeList(out: RdbOutput, value: ListValue): Steps {
  const nodes = nodesOf(value)
  out.length(nodes.length)
  let index = 0
  for (const count of nodes) {
    const pack = new ListpackWriter(NODE_BYTES)
    value.forRange(index, count, item => pack.text(item))
    index += count
    out.length(PACKED_NODE)
    out.string(pack.finish())
    if (value.length > BIG_ELEMENTS) yield
  }
}

/** How many items each node gets: their number must be written before the first of them. */
function nodesOf(value: ListValue): number[] {
  const nodes: number[] = []
  let count = 0
  let bytes = 0
  value.forRange(0, value.length, item => {
    const size = item.length + ELEMENT_OVERHEAD
    if (count > 0 && (bytes + size > NODE_BYTES || count === NODE_ITEMS_MAX)) {
      nodes.push(count)
      count = bytes = 0
    }
    count++
    bytes += size
  })
  if (count > 0) nodes.push(count)
  return nodes
}
