/**
 * Streams, in the three forms that Redis 5, 7.0 and 7.2 write.
 */
import type { Bytes } from '../../base/units.js'
import { entriesUpTo } from '../../engine/commands/stream-ids.js'
import { MIN_ID, makeId, type StreamId } from '../../engine/types/id-map.js'
import { addConsumer, type Consumer, type ConsumerGroup, StreamValue, setPending } from '../../engine/types/stream.js'
import type { Value } from '../../engine/value.js'
import { CorruptError } from '../encoding/corrupt.js'
import { type Packed, textOfPacked } from '../encoding/integer.js'
import { readListpack } from '../encoding/listpack.js'
import { ENTRY_DELETED, ENTRY_SAME_FIELDS } from './format.js'
import type { RdbInput } from './input.js'

const UINT64_MAX = 0xffffffffffffffffn
const ID_BYTES = 16

/** An entry of a group's list that no consumer has claimed yet. */
interface Unclaimed {
  readonly deliveredAt: number
  readonly deliveries: number
}

type Phase = 'nodes' | 'counters' | 'groups' | 'done'

export class StreamReader {
  readonly #stream = new StreamValue()
  #phase: Phase = 'nodes'
  #left: number | undefined
  #group: GroupReader | undefined

  /** `form` 1: no counters beyond the length. 2: with them. 3: consumers also tell when they last got something. */
  constructor(private readonly form: 1 | 2 | 3) {}

  read(input: RdbInput): Value {
    if (this.#phase === 'nodes') this.#readAll(input, 'counters', () => this.#readNode(input))
    if (this.#phase === 'counters') {
      this.#readCounters(input)
      input.commit()
      this.#phase = 'groups'
    }
    if (this.#phase === 'groups') this.#readAll(input, 'done', () => this.#readGroup(input))
    return this.#stream
  }

  #readAll(input: RdbInput, next: Phase, readOne: () => void): void {
    if (this.#left === undefined) {
      this.#left = input.length()
      input.commit()
    }
    while (this.#left > 0) {
      readOne()
      this.#left--
      input.commit()
    }
    this.#left = undefined
    this.#phase = next
  }

  #readNode(input: RdbInput): void {
    const key = input.string()
    if (key.length !== ID_BYTES) throw bad('a node whose key is no id')
    const entries = readListpack(input.blob())
    new NodeReader(key, entries).readInto(this.#stream)
  }

  #readCounters(input: RdbInput): void {
    const stream = this.#stream
    const length = input.length()
    if (length !== stream.length) throw bad(`says ${length} entries and has ${stream.length}`)
    const lastId = readId(input)
    if (stream.length > 0 && lastId < (stream.entries.lastId ?? MIN_ID))
      throw bad('its last id is before its last entry')
    stream.lastId = lastId
    stream.entriesAdded = length
    if (this.form === 1) return
    const firstId = readId(input)
    if (stream.length > 0 && firstId !== stream.firstId) throw bad('its first id is not that of its first entry')
    stream.maxDeletedId = readId(input)
    stream.entriesAdded = Number(input.uint64())
  }

  /** A group can be large, so what has been read of it is kept when the rest has not arrived. */
  #readGroup(input: RdbInput): void {
    this.#group ??= this.#beginGroup(input)
    this.#group.read(input)
    this.#group = undefined
  }

  #beginGroup(input: RdbInput): GroupReader {
    const name = input.string()
    if (this.#stream.groups.has(name)) throw bad('a group twice')
    const lastId = readId(input)
    const count = this.form > 1 ? input.uint64() : undefined
    const pending = input.length()
    input.commit()
    // Before version 10 nobody counted: what the ids say is the best there is.
    const known = count === undefined ? entriesUpTo(this.#stream, lastId) : Number(count)
    const entriesRead = count === UINT64_MAX ? undefined : known
    return new GroupReader(this.#stream.addGroup(name, lastId, entriesRead), pending, this.form === 3)
  }
}

/** A group's pending entries, then its consumers, each with those of them that are its own. */
class GroupReader {
  readonly #unclaimed = new Map<StreamId, Unclaimed>()
  #consumersLeft: number | undefined
  #consumer: Consumer | undefined
  #claimsLeft = 0

  constructor(
    private readonly group: ConsumerGroup,
    private pendingLeft: number,
    private readonly hasActiveTime: boolean,
  ) {}

  read(input: RdbInput): void {
    for (; this.pendingLeft > 0; this.pendingLeft--, input.commit()) this.#readPending(input)
    this.#consumersLeft ??= settled(input, input.length())
    for (; this.#consumersLeft > 0; this.#consumersLeft--, input.commit()) this.#readConsumer(input)
    if (this.#unclaimed.size > 0) throw bad('a pending entry of no consumer')
  }

  #readPending(input: RdbInput): void {
    const id = input.latin1(ID_BYTES)
    const pending = { deliveredAt: input.millis(), deliveries: input.length() }
    if (this.#unclaimed.has(id)) throw bad('an entry is pending twice')
    this.#unclaimed.set(id, pending)
  }

  #readConsumer(input: RdbInput): void {
    this.#consumer ??= this.#beginConsumer(input)
    for (; this.#claimsLeft > 0; this.#claimsLeft--, input.commit()) this.#readClaim(input, this.#consumer)
    this.#consumer = undefined
  }

  #beginConsumer(input: RdbInput): Consumer {
    const name = input.string()
    if (this.group.consumers.has(name)) throw bad('Duplicate stream consumer detected')
    const seenAt = input.millis()
    if (this.hasActiveTime) input.millis()
    this.#claimsLeft = settled(input, input.length())
    return addConsumer(this.group, name, seenAt)
  }

  #readClaim(input: RdbInput, consumer: Consumer): void {
    const id = input.latin1(ID_BYTES)
    const pending = this.#unclaimed.get(id)
    if (pending === undefined) throw bad('a consumer claims what is not pending')
    this.#unclaimed.delete(id)
    setPending(this.group, id, { consumer, ...pending })
  }
}

function settled(input: RdbInput, value: number): number {
  input.commit()
  return value
}

/** The entries of one node. */
class NodeReader {
  #at = 0

  constructor(
    private readonly key: StreamId,
    private readonly packed: readonly Packed[],
  ) {}

  readInto(stream: StreamValue): void {
    const count = this.#number()
    const deleted = this.#number()
    const names = this.#take(this.#number())
    if (this.#number() !== 0) throw bad('a node without the end of its names')
    const [keyMs, keySeq] = splitId(this.key)
    let seen = 0
    let seenDeleted = 0
    while (this.#at < this.packed.length) {
      const from = this.#at
      const flags = this.#number()
      const id = makeId(BigInt.asUintN(64, keyMs + this.#bigint()), BigInt.asUintN(64, keySeq + this.#bigint()))
      const fields = (flags & ENTRY_SAME_FIELDS) !== 0 ? this.#values(names) : this.#take(this.#number() * 2)
      if (this.#number() !== this.#at - 1 - from) throw bad('an entry disagrees about its length')
      if (flags & ENTRY_DELETED) seenDeleted++
      else {
        seen++
        append(stream, id, fields)
      }
    }
    if (seen !== count || seenDeleted !== deleted) throw bad('a node disagrees about its entries')
    if (seen === 0) throw bad('a node without entries')
  }

  #values(names: readonly Bytes[]): Bytes[] {
    const fields: Bytes[] = []
    for (const name of names) fields.push(name, this.#text())
    return fields
  }

  #take(count: number): Bytes[] {
    if (count < 0 || count > this.packed.length - this.#at) throw bad('more fields than there are')
    const taken: Bytes[] = []
    for (let left = count; left > 0; left--) taken.push(this.#text())
    return taken
  }

  #text(): Bytes {
    return textOfPacked(this.#next())
  }

  #number(): number {
    const entry = this.#next()
    if (typeof entry !== 'number') throw bad('text where a number belongs')
    return entry
  }

  #bigint(): bigint {
    const entry = this.#next()
    if (typeof entry !== 'number' && !/^-?\d{16,20}$/.test(entry)) throw bad('text where a number belongs')
    return BigInt(entry)
  }

  #next(): Packed {
    const entry = this.packed[this.#at++]
    if (entry === undefined) throw bad('a node ends in the middle of an entry')
    return entry
  }
}

function append(stream: StreamValue, id: StreamId, fields: readonly Bytes[]): void {
  const before = stream.entries.lastId
  if (before !== undefined && id <= before) throw bad('entries are not in order')
  if (fields.length === 0) throw bad('an entry without fields')
  stream.restore(id, fields)
}

function splitId(id: StreamId): [bigint, bigint] {
  const bytes = Buffer.from(id, 'latin1')
  return [bytes.readBigUInt64BE(0), bytes.readBigUInt64BE(8)]
}

function readId(input: RdbInput): StreamId {
  const ms = input.uint64()
  return makeId(ms, input.uint64())
}

function bad(detail: string): CorruptError {
  return new CorruptError('bad-stream', detail)
}
