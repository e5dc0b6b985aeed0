/**
 * Stream ids as arguments, and the pieces that all stream commands share.
 */
import type { Bytes } from '../../base/units.js'
import { untilNul } from '../../command/table.js'
import type { ReplyWriter } from '../../resp/reply.js'
import type { Call } from '../call.js'
import { Refusal, refuse } from '../refusal.js'
import { idAfter, idBefore, idText, MAX_ID, MIN_ID, makeId, type StreamId } from '../types/id-map.js'
import type { ConsumerGroup, StreamValue } from '../types/stream.js'

const INVALID_ID = new Refusal('ERR Invalid stream ID specified as stream command argument')
const MAX_64 = 0xffffffffffffffffn

/** What follows an id that was given without a sequence: the first or the last of its millisecond. */
export type MissingSeq = 0n | 0xffffffffffffffffn

/** `ms` or `ms-seq`; undefined when it is neither. */
export function parseId(text: Bytes, missingSeq: bigint = 0n): StreamId | undefined {
  if (text.length > 127) return undefined
  const match = /^[ \t\n\v\f\r]*\+?(\d+)(?:-[ \t\n\v\f\r]*\+?(\d+))?$/.exec(text)
  if (match === null) return undefined
  const ms = BigInt(match[1] as string)
  const seq = match[2] === undefined ? missingSeq : BigInt(match[2])
  return ms > MAX_64 || seq > MAX_64 ? undefined : makeId(ms, seq)
}

export function idArg(text: Bytes | undefined, missingSeq: bigint = 0n): StreamId {
  const id = text === undefined ? undefined : parseId(text, missingSeq)
  if (id === undefined) throw INVALID_ID
  return id
}

/** The bound where a range starts: `-`, an id, or `(id` for what follows it. */
export function startArg(text: Bytes): StreamId {
  if (text.startsWith('(')) return idAfter(idArg(text.slice(1))) ?? refuse('ERR invalid start ID for the interval')
  return text === '-' ? MIN_ID : text === '+' ? MAX_ID : idArg(text)
}

/** The bound where a range ends. */
export function endArg(text: Bytes): StreamId {
  if (text.startsWith('('))
    return idBefore(idArg(text.slice(1), MAX_64)) ?? refuse('ERR invalid end ID for the interval')
  return text === '-' ? MIN_ID : text === '+' ? MAX_ID : idArg(text, MAX_64)
}

export function replyId(id: StreamId, reply: ReplyWriter): void {
  reply.bulk(idText(id))
}

/** An entry, or for one that was deleted, its id and nothing. */
export function replyEntry(id: StreamId, fields: readonly Bytes[] | undefined, reply: ReplyWriter): void {
  reply.array(2)
  replyId(id, reply)
  if (fields === undefined) return reply.nullArray()
  reply.array(fields.length)
  for (const text of fields) reply.bulk(text)
}

/** The group a command needs; `NOGROUP` when key or group are missing. */
export function needGroup(
  call: Call,
  key: Bytes,
  name: Bytes,
  suffix = '',
): { stream: StreamValue; group: ConsumerGroup } {
  const stream = call.writeStream(key)
  const group = stream?.groups.get(name)
  if (stream === undefined || group === undefined)
    refuse(`NOGROUP No such key '${untilNul(key)}' or consumer group '${untilNul(name)}'${suffix}`)
  return { stream, group }
}

/** How many entries were ever added up to `id`; undefined when deletions make that unknowable. */
export function entriesUpTo(stream: StreamValue, id: StreamId): number | undefined {
  if (stream.entriesAdded === 0) return 0
  if (stream.length === 0 && id <= stream.lastId) return stream.entriesAdded
  if (id >= stream.lastId) return id === stream.lastId ? stream.entriesAdded : undefined
  const { firstId, maxDeletedId } = stream
  if (maxDeletedId !== MIN_ID && maxDeletedId >= firstId) return undefined
  if (id < firstId) return stream.entriesAdded - stream.length
  return id === firstId ? stream.entriesAdded - stream.length + 1 : undefined
}

/** True when something between `from` and the end was deleted, as far as is known. */
export function hasGapsFrom(stream: StreamValue, from: StreamId): boolean {
  const { maxDeletedId } = stream
  return stream.length > 0 && maxDeletedId !== MIN_ID && maxDeletedId >= stream.firstId && from <= maxDeletedId
}

/** The group has been given the entry `id`, the next one for it; how many it has read is known, guessed or unknown from now on. */
export function advanceGroup(stream: StreamValue, group: ConsumerGroup, id: StreamId): void {
  if (group.entriesRead !== undefined && !hasGapsFrom(stream, id)) group.entriesRead++
  else if (stream.entriesAdded > 0) group.entriesRead = entriesUpTo(stream, id)
  group.lastId = id
}
