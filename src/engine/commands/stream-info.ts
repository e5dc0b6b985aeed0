/**
 * XINFO: what a stream, its groups and their consumers are like.
 */
import type { Bytes } from '../../base/units.js'
import { untilNul } from '../../command/table.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { intArg, isWord } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import { NO_SUCH_KEY, refuse } from '../refusal.js'
import { MAX_ID, MIN_ID, type StreamId } from '../types/id-map.js'
import type { Consumer, ConsumerGroup, Pending, StreamValue } from '../types/stream.js'
import { entriesUpTo, hasGapsFrom, replyEntry, replyId } from './stream-ids.js'

const DEFAULT_FULL_COUNT = 10

export const streamInfoCommands: Readonly<Record<string, Handler>> = {
  'xinfo|stream'(call, args, reply) {
    const full = args.length > 3
    if (full && (!isWord(args[3], 'FULL') || (args.length > 4 && (args.length !== 6 || !isWord(args[4], 'COUNT')))))
      refuse(`ERR unknown subcommand or wrong number of arguments for '${args[1]}'. Try XINFO HELP.`)
    const stream = needStream(call, args[2] as Bytes)
    if (!full) return replyStream(call, stream, reply)
    const count = args.length === 6 ? intArg(args[5]) : DEFAULT_FULL_COUNT
    replyFull(call, stream, count < 0 ? DEFAULT_FULL_COUNT : count, reply)
  },

  'xinfo|groups'(call, args, reply) {
    const stream = needStream(call, args[2] as Bytes)
    const groups = sorted(stream.groups)
    reply.array(groups.length)
    for (const [name, group] of groups) {
      reply.map(6)
      pair('name', () => reply.bulk(name), reply)
      pair('consumers', () => reply.integer(group.consumers.size), reply)
      pair('pending', () => reply.integer(group.pending.size), reply)
      replyProgress(stream, group, reply)
    }
  },

  'xinfo|consumers'(call, args, reply) {
    const [, , key, name] = args as [Bytes, Bytes, Bytes, Bytes]
    const group = needStream(call, key).groups.get(name)
    if (group === undefined)
      refuse(`NOGROUP No such consumer group '${untilNul(name)}' for key name '${untilNul(key)}'`)
    const consumers = sorted(group.consumers)
    reply.array(consumers.length)
    for (const [consumerName, consumer] of consumers) {
      reply.map(3)
      pair('name', () => reply.bulk(consumerName), reply)
      pair('pending', () => reply.integer(consumer.pending.size), reply)
      pair('idle', () => reply.integer(Math.max(0, call.now - consumer.seenAt)), reply)
    }
  },
}

function needStream(call: Call, key: Bytes): StreamValue {
  const stream = call.readStream(key)
  if (stream === undefined) throw NO_SUCH_KEY
  return stream
}

function pair(name: string, value: () => void, reply: ReplyWriter): void {
  reply.bulk(name)
  value()
}

/** Redis keeps names in a radix tree, which lists them in order. */
function sorted<V>(byName: ReadonlyMap<Bytes, V>): (readonly [Bytes, V])[] {
  return [...byName].sort(([a], [b]) => (a < b ? -1 : 1))
}

function replyStream(call: Call, stream: StreamValue, reply: ReplyWriter): void {
  reply.map(10)
  replyHead(call, stream, reply)
  pair('groups', () => reply.integer(stream.groups.size), reply)
  pair('first-entry', () => replyEdge(stream, stream.entries.firstId, reply), reply)
  pair('last-entry', () => replyEdge(stream, stream.entries.lastId, reply), reply)
}

function replyEdge(stream: StreamValue, id: StreamId | undefined, reply: ReplyWriter): void {
  if (id === undefined) reply.null()
  else replyEntry(id, stream.entries.get(id), reply)
}

function replyHead(call: Call, stream: StreamValue, reply: ReplyWriter): void {
  // We have no radix tree: as many nodes as Redis would have filled.
  const nodes = Math.ceil(stream.length / Math.max(1, call.settings.streamNodeMaxEntries))
  pair('length', () => reply.integer(stream.length), reply)
  pair('radix-tree-keys', () => reply.integer(nodes), reply)
  pair('radix-tree-nodes', () => reply.integer(nodes + 1), reply)
  pair('last-generated-id', () => replyId(stream.lastId, reply), reply)
  pair('max-deleted-entry-id', () => replyId(stream.maxDeletedId, reply), reply)
  pair('entries-added', () => reply.integer(stream.entriesAdded), reply)
  pair('recorded-first-entry-id', () => replyId(stream.firstId, reply), reply)
}

function replyFull(call: Call, stream: StreamValue, count: number, reply: ReplyWriter): void {
  const limit = count === 0 ? Number.POSITIVE_INFINITY : count
  const entries: (readonly [StreamId, readonly Bytes[]])[] = []
  stream.entries.forRange(MIN_ID, MAX_ID, (id, fields) => entries.push([id, fields]) < limit)
  reply.map(9)
  replyHead(call, stream, reply)
  reply.bulk('entries')
  reply.array(entries.length)
  for (const [id, fields] of entries) replyEntry(id, fields, reply)
  reply.bulk('groups')
  reply.array(stream.groups.size)
  for (const [name, group] of sorted(stream.groups)) replyFullGroup(stream, name, group, limit, reply)
}

function replyFullGroup(
  stream: StreamValue,
  name: Bytes,
  group: ConsumerGroup,
  limit: number,
  reply: ReplyWriter,
): void {
  reply.map(7)
  pair('name', () => reply.bulk(name), reply)
  replyProgress(stream, group, reply)
  pair('pel-count', () => reply.integer(group.pending.size), reply)
  reply.bulk('pending')
  replyPending(group, limit, true, reply)
  reply.bulk('consumers')
  reply.array(group.consumers.size)
  for (const [consumerName, consumer] of sorted(group.consumers)) {
    reply.map(4)
    pair('name', () => reply.bulk(consumerName), reply)
    pair('seen-time', () => reply.integer(consumer.seenAt), reply)
    pair('pel-count', () => reply.integer(consumer.pending.size), reply)
    reply.bulk('pending')
    replyPending(consumer, limit, false, reply)
  }
}

function replyPending(of: ConsumerGroup | Consumer, limit: number, withConsumer: boolean, reply: ReplyWriter): void {
  const found: (readonly [StreamId, Pending])[] = []
  of.pending.forEach((id, pending) => found.push([id, pending]) < limit)
  reply.array(found.length)
  for (const [id, pending] of found) {
    reply.array(withConsumer ? 4 : 3)
    replyId(id, reply)
    if (withConsumer) reply.bulk(pending.consumer.name)
    reply.integer(pending.deliveredAt)
    reply.integer(pending.deliveries)
  }
}

/** How far a group has come, and how far it is behind. */
function replyProgress(stream: StreamValue, group: ConsumerGroup, reply: ReplyWriter): void {
  pair('last-delivered-id', () => replyId(group.lastId, reply), reply)
  pair('entries-read', () => integerOrNull(group.entriesRead, reply), reply)
  pair('lag', () => integerOrNull(lagOf(stream, group), reply), reply)
}

function integerOrNull(value: number | undefined, reply: ReplyWriter): void {
  if (value === undefined) reply.null()
  else reply.integer(value)
}

function lagOf(stream: StreamValue, group: ConsumerGroup): number | undefined {
  if (stream.entriesAdded === 0) return 0
  const known = group.entriesRead !== undefined && !hasGapsFrom(stream, group.lastId)
  const read = known ? group.entriesRead : entriesUpTo(stream, group.lastId)
  return read === undefined ? undefined : stream.entriesAdded - read
}
