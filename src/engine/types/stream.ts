/**
 * A stream: entries in the order of their ids, and the groups that read them.
 *
 * A group hands every entry to one of its consumers and notes it as pending until it is acknowledged. The same note is
 * reachable from the group and from the consumer.
 */
import type { Bytes, UnixMillis } from '../../base/units.js'
import { IdMap, MIN_ID, type StreamId } from './id-map.js'
import { COLLECTION, POINTER, textBytes } from './weight.js'

/** The array of an entry's fields, its id, the pointers to both, and what their arrays have to spare. */
const STREAM_ENTRY = 104
/** A note about a delivery, reachable from two sides. */
const PENDING = 96
const CONSUMER = 192
const GROUP = 256

/** An entry that was delivered and not acknowledged. */
export interface Pending {
  consumer: Consumer
  deliveredAt: UnixMillis
  deliveries: number
}

export interface Consumer {
  readonly name: Bytes
  seenAt: UnixMillis
  readonly pending: IdMap<Pending>
}

export interface ConsumerGroup {
  lastId: StreamId
  /** How many entries were ever read; undefined when that cannot be known. */
  entriesRead: number | undefined
  readonly pending: IdMap<Pending>
  readonly consumers: Map<Bytes, Consumer>
}

export class StreamValue {
  readonly type = 'stream'
  readonly encoding = 'stream'
  /** Fields and values in turn; changed only by the methods below. */
  readonly entries = new IdMap<readonly Bytes[]>()
  #entryBytes = 0
  lastId: StreamId = MIN_ID
  maxDeletedId: StreamId = MIN_ID
  entriesAdded = 0
  readonly groups = new Map<Bytes, ConsumerGroup>()

  get length(): number {
    return this.entries.size
  }

  get weight(): number {
    let weight = COLLECTION + this.#entryBytes
    for (const { pending, consumers } of this.groups.values())
      weight += GROUP + pending.size * PENDING + consumers.size * CONSUMER
    return weight
  }

  /** The first id there is, or the lowest when the stream is empty. */
  get firstId(): StreamId {
    return this.entries.firstId ?? MIN_ID
  }

  /** Adds an entry whose id is above all others. */
  append(id: StreamId, fields: readonly Bytes[]): void {
    this.restore(id, fields)
    this.lastId = id
    this.entriesAdded++
  }

  /** An entry as it was in another stream: nothing but the entry comes in. */
  restore(id: StreamId, fields: readonly Bytes[]): void {
    this.entries.set(id, fields)
    this.#entryBytes += entryBytes(fields)
  }

  delete(id: StreamId): boolean {
    if (!this.trim(id)) return false
    if (id > this.maxDeletedId) this.maxDeletedId = id
    return true
  }

  /** Removes an entry as trimming does, which is no deletion to those who count what they have read. */
  trim(id: StreamId): boolean {
    const fields = this.entries.take(id)
    if (fields === undefined) return false
    this.#entryBytes -= entryBytes(fields)
    return true
  }

  addGroup(name: Bytes, lastId: StreamId, entriesRead: number | undefined): ConsumerGroup {
    const group: ConsumerGroup = { lastId, entriesRead, pending: new IdMap(), consumers: new Map() }
    this.groups.set(name, group)
    return group
  }

  copy(): StreamValue {
    const twin = new StreamValue()
    this.entries.forEach((id, fields) => twin.restore(id, fields))
    twin.lastId = this.lastId
    twin.maxDeletedId = this.maxDeletedId
    twin.entriesAdded = this.entriesAdded
    for (const [name, group] of this.groups) copyGroup(group, twin.addGroup(name, group.lastId, group.entriesRead))
    return twin
  }
}

function entryBytes(fields: readonly Bytes[]): number {
  let bytes = STREAM_ENTRY
  for (const field of fields) bytes += POINTER + textBytes(field)
  return bytes
}

export function addConsumer(group: ConsumerGroup, name: Bytes, now: UnixMillis): Consumer {
  const consumer: Consumer = { name, seenAt: now, pending: new IdMap() }
  group.consumers.set(name, consumer)
  return consumer
}

/** Notes an entry as pending at a consumer, taking it from whoever had it. */
export function setPending(group: ConsumerGroup, id: StreamId, pending: Pending): void {
  group.pending.get(id)?.consumer.pending.delete(id)
  group.pending.set(id, pending)
  pending.consumer.pending.set(id, pending)
}

export function deletePending(group: ConsumerGroup, id: StreamId): boolean {
  const pending = group.pending.get(id)
  if (pending === undefined) return false
  pending.consumer.pending.delete(id)
  return group.pending.delete(id)
}

function copyGroup(from: ConsumerGroup, to: ConsumerGroup): void {
  for (const consumer of from.consumers.values()) {
    const twin = addConsumer(to, consumer.name, consumer.seenAt)
    consumer.pending.forEach((id, pending) => setPending(to, id, { ...pending, consumer: twin }))
  }
}
