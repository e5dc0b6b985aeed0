/**
 * Values of every type and encoding up to Redis 7.2's, read as their bytes arrive.
 *
 * What is packed into one string is read when that string is there. What is written element by element is read so, and can
 * pause after each element: `read` goes on where it stopped when it is called again.
 */
import { parseDouble } from '../../engine/numbers.js'
import type { EngineSettings } from '../../engine/settings.js'
import { HashValue } from '../../engine/types/hash.js'
import { ListValue } from '../../engine/types/list.js'
import { SetValue } from '../../engine/types/set.js'
import { SortedSetValue } from '../../engine/types/sorted-set.js'
import type { Value } from '../../engine/value.js'
import { CorruptError } from '../encoding/corrupt.js'
import { type Packed, textOfPacked } from '../encoding/integer.js'
import { readListpack } from '../encoding/listpack.js'
import { readIntset, readZiplist, readZipmap } from '../encoding/ziplist.js'
import { PACKED_NODE, PLAIN_NODE, TypeCode } from './format.js'
import type { RdbInput } from './input.js'
import { StreamReader } from './stream-reader.js'

export interface ValueReader {
  /**
   * The value, once it is there; throws MORE until then, with everything settled that could be. `empty`: a collection
   * without elements, which old versions could leave behind; there is no such key.
   */
  read(input: RdbInput): Value | typeof EMPTY
}

export const EMPTY = Symbol('empty')

const stringReader: ValueReader = { read: input => input.string() }

/** A reader for the type, or a CorruptError when it is none of ours. */
export function readerOf(type: number, settings: EngineSettings): ValueReader {
  switch (type) {
    case TypeCode.string:
      return stringReader
    case TypeCode.list:
      return new ListReader(input => [input.string()])
    case TypeCode.listQuicklist:
      return new ListReader(input => readZiplist(input.blob()))
    case TypeCode.listQuicklist2:
      return new ListReader(readQuicklistNode)
    case TypeCode.listZiplist:
      return packed(readZiplist, listOf)
    case TypeCode.set:
      return new SetReader(settings)
    case TypeCode.setIntset:
      return packed(readIntset, entries => setOf(entries, settings))
    case TypeCode.setListpack:
      return packed(readListpack, entries => setOf(entries, settings))
    case TypeCode.hash:
      return new HashReader(settings)
    case TypeCode.hashZipmap:
      return packed(readZipmap, entries => hashOf(entries, settings))
    case TypeCode.hashZiplist:
      return packed(readZiplist, entries => hashOf(entries, settings))
    case TypeCode.hashListpack:
      return packed(readListpack, entries => hashOf(entries, settings))
    case TypeCode.zset:
      return new ZsetReader(readTextScore, settings)
    case TypeCode.zset2:
      return new ZsetReader(input => input.doubleLE(), settings)
    case TypeCode.zsetZiplist:
      return packed(readZiplist, entries => zsetOf(entries, settings))
    case TypeCode.zsetListpack:
      return packed(readListpack, entries => zsetOf(entries, settings))
    case TypeCode.streamListpacks:
      return new StreamReader(1)
    case TypeCode.streamListpacks2:
      return new StreamReader(2)
    case TypeCode.streamListpacks3:
      return new StreamReader(3)
    case TypeCode.modulePreGa:
    case TypeCode.module2:
      throw new CorruptError('module-data', 'a value of a module')
    default:
      throw new CorruptError('unknown-type', `type ${type}`)
  }
}

/** Everything in one string. */
function packed(
  unpack: (bytes: Buffer) => readonly Packed[],
  build: (entries: readonly Packed[]) => Value,
): ValueReader {
  return {
    read(input) {
      const entries = unpack(input.blob())
      return entries.length === 0 ? EMPTY : build(entries)
    },
  }
}

function listOf(entries: readonly Packed[]): ListValue {
  const list = new ListValue()
  for (const entry of entries) list.pushTail(textOfPacked(entry))
  return list
}

function setOf(entries: readonly Packed[], settings: EngineSettings): SetValue {
  const set = new SetValue()
  for (const entry of entries) if (!set.add(textOfPacked(entry), settings)) throw duplicate()
  return set
}

function hashOf(entries: readonly Packed[], settings: EngineSettings): HashValue {
  if (entries.length % 2 !== 0) throw new CorruptError('bad-length', 'a field without a value')
  const hash = new HashValue()
  for (let index = 0; index < entries.length; index += 2) {
    const added = hash.set(textOfPacked(entries[index] as Packed), textOfPacked(entries[index + 1] as Packed), settings)
    if (!added) throw duplicate()
  }
  return hash
}

function zsetOf(entries: readonly Packed[], settings: EngineSettings): SortedSetValue {
  if (entries.length % 2 !== 0) throw new CorruptError('bad-length', 'a member without a score')
  const zset = new SortedSetValue()
  for (let index = 0; index < entries.length; index += 2) {
    const score = checkScore(parseDouble(textOfPacked(entries[index + 1] as Packed)))
    if (!zset.set(textOfPacked(entries[index] as Packed), score, settings)) throw duplicate()
  }
  return zset
}

/** Nodes of a list: how many, then one after another. */
class ListReader implements ValueReader {
  readonly #list = new ListValue()
  #left: number | undefined

  constructor(private readonly readNode: (input: RdbInput) => readonly Packed[]) {}

  read(input: RdbInput): Value | typeof EMPTY {
    this.#left ??= countOf(input)
    while (this.#left > 0) {
      for (const item of this.readNode(input)) this.#list.pushTail(textOfPacked(item))
      this.#left--
      input.commit()
    }
    return this.#list.length === 0 ? EMPTY : this.#list
  }
}

function readQuicklistNode(input: RdbInput): readonly Packed[] {
  const container = input.length()
  if (container === PLAIN_NODE) {
    // Only what is too large for a packed node has one of its own.
    const item = input.string()
    if (item.length === 0) throw new CorruptError('bad-quicklist', 'a node of its own for an empty item')
    return [item]
  }
  if (container !== PACKED_NODE) throw new CorruptError('bad-quicklist', `unknown container ${container}`)
  return readListpack(input.blob())
}

class SetReader implements ValueReader {
  readonly #set = new SetValue()
  #left: number | undefined

  constructor(private readonly settings: EngineSettings) {}

  read(input: RdbInput): Value | typeof EMPTY {
    this.#left ??= countOf(input)
    while (this.#left > 0) {
      if (!this.#set.add(input.string(), this.settings)) throw duplicate()
      this.#left--
      input.commit()
    }
    return this.#set.size === 0 ? EMPTY : this.#set
  }
}

class HashReader implements ValueReader {
  readonly #hash = new HashValue()
  #left: number | undefined

  constructor(private readonly settings: EngineSettings) {}

  read(input: RdbInput): Value | typeof EMPTY {
    this.#left ??= countOf(input)
    while (this.#left > 0) {
      const field = input.string()
      if (!this.#hash.set(field, input.string(), this.settings)) throw duplicate()
      this.#left--
      input.commit()
    }
    return this.#hash.size === 0 ? EMPTY : this.#hash
  }
}

class ZsetReader implements ValueReader {
  readonly #zset = new SortedSetValue()
  #left: number | undefined

  constructor(
    private readonly readScore: (input: RdbInput) => number | undefined,
    private readonly settings: EngineSettings,
  ) {}

  read(input: RdbInput): Value | typeof EMPTY {
    this.#left ??= countOf(input)
    while (this.#left > 0) {
      const member = input.string()
      if (!this.#zset.set(member, checkScore(this.readScore(input)), this.settings)) throw duplicate()
      this.#left--
      input.commit()
    }
    return this.#zset.size === 0 ? EMPTY : this.#zset
  }
}

/** Scores before Redis 4: a length and that many characters, with three lengths that mean something else. */
function readTextScore(input: RdbInput): number | undefined {
  const length = input.byte()
  if (length === 253) return Number.NaN
  if (length === 254) return Number.POSITIVE_INFINITY
  if (length === 255) return Number.NEGATIVE_INFINITY
  return parseDouble(input.latin1(length))
}

function countOf(input: RdbInput): number {
  const count = input.length()
  input.commit()
  return count
}

function checkScore(score: number | undefined): number {
  if (score === undefined || Number.isNaN(score)) throw new CorruptError('bad-score', 'a score that is no number')
  return score
}

function duplicate(): CorruptError {
  return new CorruptError('duplicate-element', 'an element that was there before')
}
