/**
 * XREAD and XREADGROUP: what came after an id, at once or when it comes.
 */
import type { Bytes, UnixMillis } from '../../base/units.js'
import { untilNul } from '../../command/table.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { intArg, isWord } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import type { Blocked } from '../host.js'
import { Refusal, refuse, SYNTAX } from '../refusal.js'
import { idAfter, MAX_ID, MIN_ID, type StreamId } from '../types/id-map.js'
import { type ConsumerGroup, StreamValue, setPending } from '../types/stream.js'
import { activeConsumer, propagateClaim, propagateGroupId } from './stream-groups.js'
import { advanceGroup, idArg, replyEntry } from './stream-ids.js'

export const streamReadCommands: Readonly<Record<string, Handler>> = {
  xread: (call, args, reply) => read(call, args, 'xread', reply),
  xreadgroup: (call, args, reply) => read(call, args, 'xreadgroup', reply),
}

interface ReadQuery {
  readonly keys: readonly Bytes[]
  /** Read what follows these; `>` what the group has not delivered. */
  readonly after: (StreamId | '>')[]
  readonly count: number
  /** undefined: do not wait; 'ever' or an instant otherwise. */
  readonly until: UnixMillis | 'ever' | undefined
  readonly group: { readonly name: Bytes; readonly consumer: Bytes; readonly noAck: boolean } | undefined
}

function read(call: Call, args: readonly Bytes[], command: 'xread' | 'xreadgroup', reply: ReplyWriter): Blocked | void {
  const query = readQuery(call, args, command)
  const served: number[] = []
  for (const [index, key] of query.keys.entries())
    if (hasSomething(call, query, index, call.readStream(key))) served.push(index)
  if (query.group !== undefined) call.propagateNothing()
  if (served.length > 0) return replyStreams(call, query, served, reply)
  if (query.until === undefined || !call.caller.mayBlock) return reply.nullArray()
  const deadline = query.until === 'ever' ? undefined : query.until
  return call.block(
    query.keys,
    deadline,
    (again, to) => serveWaiting(again, query, to),
    to => to.nullArray(),
  )
}

const TIMEOUT_NOT_INTEGER = new Refusal('ERR timeout is not an integer or out of range')

function readQuery(call: Call, args: readonly Bytes[], command: 'xread' | 'xreadgroup'): ReadQuery {
  const grouped = command === 'xreadgroup'
  let count = 0
  let until: ReadQuery['until']
  let noAck = false
  let group: { name: Bytes; consumer: Bytes } | undefined
  let streamsAt = 0
  for (let at = 1; at < args.length && streamsAt === 0; at++) {
    const more = args.length - at - 1
    if (isWord(args[at], 'BLOCK') && more > 0) until = waitArg(args[++at], call.now)
    else if (isWord(args[at], 'COUNT') && more > 0) count = Math.max(0, intArg(args[++at]))
    else if (isWord(args[at], 'STREAMS') && more > 0) streamsAt = at + 1
    else if (isWord(args[at], 'GROUP') && more >= 2) {
      if (!grouped) refuse('ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.')
      group = { name: args[at + 1] as Bytes, consumer: args[at + 2] as Bytes }
      at += 2
    } else if (isWord(args[at], 'NOACK')) {
      if (!grouped) refuse('ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.')
      noAck = true
    } else throw SYNTAX
  }
  const streams = args.length - streamsAt
  if (streamsAt > 0 && streams % 2 !== 0)
    refuse("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
  if (streamsAt === 0) throw SYNTAX
  if (grouped && group === undefined) refuse('ERR Missing GROUP option for XREADGROUP')
  const keys = args.slice(streamsAt, streamsAt + streams / 2)
  const after = keys.map((key, index) =>
    afterArg(call, key, args[streamsAt + streams / 2 + index] as Bytes, group?.name),
  )
  return { keys, after, count, until, group: group === undefined ? undefined : { ...group, noAck } }
}

function waitArg(text: Bytes | undefined, now: UnixMillis): UnixMillis | 'ever' {
  const millis = intArg(text, TIMEOUT_NOT_INTEGER)
  if (millis < 0) refuse('ERR timeout is negative')
  return millis === 0 ? 'ever' : now + millis
}

function afterArg(call: Call, key: Bytes, text: Bytes, groupName: Bytes | undefined): StreamId | '>' {
  const stream = call.readStream(key)
  if (groupName !== undefined && !stream?.groups.has(groupName))
    refuse(
      `NOGROUP No such key '${untilNul(key)}' or consumer group '${untilNul(groupName)}' in XREADGROUP with GROUP option`,
    )
  if (text === '$') {
    if (groupName !== undefined)
      refuse(
        'ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.',
      )
    return stream?.lastId ?? MIN_ID
  }
  if (text !== '>') return idArg(text)
  if (groupName === undefined)
    refuse('ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.')
  return '>'
}

/** True when reading this stream gives a reply now; the history of a consumer always does. */
function hasSomething(_call: Call, query: ReadQuery, index: number, stream: StreamValue | undefined): boolean {
  if (stream === undefined) return false
  const after = query.after[index] as StreamId | '>'
  if (query.group !== undefined && after !== '>') return true
  const from = after === '>' ? (groupOf(stream, query)?.lastId ?? MAX_ID) : after
  return stream.entries.lastId !== undefined && stream.entries.lastId > from
}

function groupOf(stream: StreamValue, query: ReadQuery): ConsumerGroup | undefined {
  return query.group === undefined ? undefined : stream.groups.get(query.group.name)
}

function replyStreams(call: Call, query: ReadQuery, served: readonly number[], reply: ReplyWriter): void {
  if (reply.resp === 3) reply.map(served.length)
  else reply.array(served.length)
  for (const index of served) {
    const key = query.keys[index] as Bytes
    if (reply.resp === 2) reply.array(2)
    reply.bulk(key)
    const stream = call.writeStream(key) as StreamValue
    const after = query.after[index] as StreamId | '>'
    if (query.group === undefined) replyEntriesAfter(stream, after, query.count, reply)
    else if (after === '>') deliver(call, key, stream, query, reply)
    else replyHistory(call, key, stream, after, query, reply)
  }
}

type Entry = readonly [StreamId, readonly Bytes[]]

function entriesAfter(stream: StreamValue, after: StreamId, count: number): Entry[] {
  const found: Entry[] = []
  const from = idAfter(after)
  const limit = count === 0 ? Number.POSITIVE_INFINITY : count
  if (from !== undefined) stream.entries.forRange(from, MAX_ID, (id, fields) => found.push([id, fields]) < limit)
  return found
}

function replyEntriesAfter(stream: StreamValue, after: StreamId, count: number, reply: ReplyWriter): void {
  const found = entriesAfter(stream, after, count)
  reply.array(found.length)
  for (const [id, fields] of found) replyEntry(id, fields, reply)
}

/** Hands new entries to a consumer and notes them as pending, unless nobody is to acknowledge them. */
function deliver(call: Call, key: Bytes, stream: StreamValue, query: ReadQuery, reply: ReplyWriter): void {
  const { name, consumer: consumerName, noAck } = query.group as NonNullable<ReadQuery['group']>
  const group = stream.groups.get(name) as ConsumerGroup
  const isNew = !group.consumers.has(consumerName)
  const consumer = activeConsumer(call, key, group, consumerName)
  if (noAck && isNew) call.propagateAs('XGROUP', 'CREATECONSUMER', key, name, consumerName)
  const found = entriesAfter(stream, group.lastId, query.count)
  reply.array(found.length)
  for (const [id, fields] of found) {
    replyEntry(id, fields, reply)
    advanceGroup(stream, group, id)
    if (noAck) continue
    const pending = { consumer, deliveredAt: call.now, deliveries: 1 }
    setPending(group, id, pending)
    propagateClaim(call, key, name, group, id, pending)
  }
  // Claims tell where the group is, and their reader counts what was read as we do: see advanceGroup.
  if (noAck && found.length > 0) propagateGroupId(call, key, name, group)
  call.dirty++
}

/** What was delivered to this consumer and not acknowledged, delivered again. */
function replyHistory(
  call: Call,
  key: Bytes,
  stream: StreamValue,
  after: StreamId,
  query: ReadQuery,
  reply: ReplyWriter,
): void {
  const { name, consumer: consumerName } = query.group as NonNullable<ReadQuery['group']>
  const group = stream.groups.get(name) as ConsumerGroup
  const isNew = !group.consumers.has(consumerName)
  const consumer = activeConsumer(call, key, group, consumerName)
  if (isNew) call.propagateAs('XGROUP', 'CREATECONSUMER', key, name, consumerName)
  const limit = query.count === 0 ? Number.POSITIVE_INFINITY : query.count
  const ids: StreamId[] = []
  const from = idAfter(after)
  if (from !== undefined) consumer.pending.forRange(from, MAX_ID, id => ids.push(id) < limit)
  reply.array(ids.length)
  for (const id of ids) {
    const fields = stream.entries.get(id)
    replyEntry(id, fields, reply)
    const pending = consumer.pending.get(id)
    if (fields === undefined || pending === undefined) continue
    pending.deliveredAt = call.now
    pending.deliveries++
  }
  call.dirty++
}

/** Something happened to one of the streams that a client waits for. */
function serveWaiting(call: Call, query: ReadQuery, reply: ReplyWriter): boolean {
  for (const [index, key] of query.keys.entries()) {
    const value = call.peek(key)
    const stream = value instanceof StreamValue ? value : undefined
    if (query.group !== undefined) {
      if (stream === undefined) refuse('UNBLOCKED the stream key no longer exists')
      if (groupOf(stream, query) === undefined)
        refuse('NOGROUP the consumer group this client was blocked on no longer exists')
    }
    if (!hasSomething(call, query, index, stream)) continue
    replyStreams(call, query, [index], reply)
    return true
  }
  return false
}
