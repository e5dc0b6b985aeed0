/**
 * Consumer groups: their making, and the entries that were delivered and not acknowledged.
 *
 * Replicas do not claim by themselves: whatever changes a pending entry is passed on as the XCLAIM that leads to it.
 */
import type { Bytes, UnixMillis } from '../../base/units.js'
import { untilNul } from '../../command/table.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { int64Arg, intArg, isWord } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import { Refusal, refuse, SYNTAX } from '../refusal.js'
import { idText, MAX_ID, MIN_ID, type StreamId } from '../types/id-map.js'
import {
  addConsumer,
  type Consumer,
  type ConsumerGroup,
  deletePending,
  type Pending,
  StreamValue,
  setPending,
} from '../types/stream.js'
import { advanceGroup, endArg, idArg, needGroup, parseId, replyEntry, replyId, startArg } from './stream-ids.js'

export const streamGroupCommands: Readonly<Record<string, Handler>> = {
  'xgroup|create'(call, args, reply) {
    const [, , key, name, from] = args as [Bytes, Bytes, Bytes, Bytes, Bytes]
    const { makeStream, entriesRead } = readGroupOptions(args, 'CREATE')
    let stream = call.writeStream(key)
    if (stream === undefined && !makeStream) refuse(KEY_MUST_EXIST)
    const lastId = from === '$' ? (stream?.lastId ?? MIN_ID) : idArg(from)
    if (stream?.groups.has(name)) return reply.error('BUSYGROUP Consumer Group name already exists')
    if (stream === undefined) {
      stream = call.add(key, new StreamValue())
      call.host.changed(call.db.index, key)
    }
    stream.addGroup(name, lastId, entriesRead)
    call.dirty++
    call.notify('t', 'xgroup-create', key)
    reply.ok()
  },

  'xgroup|setid'(call, args, reply) {
    const [, , key, name, from] = args as [Bytes, Bytes, Bytes, Bytes, Bytes]
    const { entriesRead } = readGroupOptions(args, 'SETID')
    const { stream, group } = existingGroup(call, key, name)
    // Unlike XGROUP CREATE it takes the ends of all ids, too.
    group.lastId = from === '$' ? stream.lastId : from === '-' ? MIN_ID : from === '+' ? MAX_ID : idArg(from)
    group.entriesRead = entriesRead
    call.dirty++
    call.notify('t', 'xgroup-setid', key)
    reply.ok()
  },

  'xgroup|destroy'(call, args, reply) {
    const [, , key, name] = args as [Bytes, Bytes, Bytes, Bytes]
    const stream = call.writeStream(key)
    if (stream === undefined) refuse(KEY_MUST_EXIST)
    if (!stream.groups.delete(name)) return reply.integer(0)
    call.dirty++
    call.notify('t', 'xgroup-destroy', key)
    // Who waits for this group must hear that it is gone.
    call.host.ready(call.db.index, key)
    reply.integer(1)
  },

  'xgroup|createconsumer'(call, args, reply) {
    const [, , key, name, consumer] = args as [Bytes, Bytes, Bytes, Bytes, Bytes]
    const { group } = existingGroup(call, key, name)
    if (group.consumers.has(consumer)) return reply.integer(0)
    newConsumer(call, key, group, consumer)
    reply.integer(1)
  },

  'xgroup|delconsumer'(call, args, reply) {
    const [, , key, name, consumerName] = args as [Bytes, Bytes, Bytes, Bytes, Bytes]
    const { group } = existingGroup(call, key, name)
    const consumer = group.consumers.get(consumerName)
    if (consumer === undefined) return reply.integer(0)
    consumer.pending.forEach(id => void group.pending.delete(id))
    group.consumers.delete(consumerName)
    call.dirty++
    call.notify('t', 'xgroup-delconsumer', key)
    reply.integer(consumer.pending.size)
  },

  xack(call, args, reply) {
    const group = call.writeStream(args[1] as Bytes)?.groups.get(args[2] as Bytes)
    if (group === undefined) return reply.integer(0)
    const ids = args.slice(3).map(text => idArg(text))
    let acknowledged = 0
    for (const id of ids) if (deletePending(group, id)) acknowledged++
    call.dirty += acknowledged
    reply.integer(acknowledged)
  },

  xpending,
  xclaim,
  xautoclaim,
}

const KEY_MUST_EXIST =
  'ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.'

function readGroupOptions(
  args: readonly Bytes[],
  subcommand: 'CREATE' | 'SETID',
): { makeStream: boolean; entriesRead: number | undefined } {
  let makeStream = false
  let entriesRead = -1
  for (let at = 5; at < args.length; at++) {
    if (subcommand === 'CREATE' && isWord(args[at], 'MKSTREAM')) makeStream = true
    else if (isWord(args[at], 'ENTRIESREAD') && at + 1 < args.length) {
      entriesRead = intArg(args[++at])
      if (entriesRead < -1) refuse('ERR value for ENTRIESREAD must be positive or -1')
    } else refuse(`ERR unknown subcommand or wrong number of arguments for '${args[1]}'. Try XGROUP HELP.`)
  }
  return { makeStream, entriesRead: entriesRead < 0 ? undefined : entriesRead }
}

function existingGroup(call: Call, key: Bytes, name: Bytes): { stream: StreamValue; group: ConsumerGroup } {
  const stream = call.writeStream(key)
  if (stream === undefined) refuse(KEY_MUST_EXIST)
  const group = stream.groups.get(name)
  if (group === undefined) refuse(`NOGROUP No such consumer group '${untilNul(name)}' for key name '${untilNul(key)}'`)
  return { stream, group }
}

/** Makes a consumer and says so; it must not be there. */
function newConsumer(call: Call, key: Bytes, group: ConsumerGroup, name: Bytes): Consumer {
  call.dirty++
  call.notify('t', 'xgroup-createconsumer', key)
  return addConsumer(group, name, call.now)
}

/** The consumer of this name, made when it is not there; it has just been seen. */
export function activeConsumer(call: Call, key: Bytes, group: ConsumerGroup, name: Bytes): Consumer {
  const consumer = group.consumers.get(name) ?? newConsumer(call, key, group, name)
  consumer.seenAt = call.now
  return consumer
}

export function propagateClaim(
  call: Call,
  key: Bytes,
  groupName: Bytes,
  group: ConsumerGroup,
  id: StreamId,
  pending: Pending,
): void {
  const text = idText(id)
  const time = String(pending.deliveredAt)
  const count = String(pending.deliveries)
  const last = idText(group.lastId)
  const options = ['TIME', time, 'RETRYCOUNT', count, 'FORCE', 'JUSTID', 'LASTID', last]
  call.propagateAs('XCLAIM', key, groupName, pending.consumer.name, '0', text, ...options)
}

export function propagateGroupId(call: Call, key: Bytes, groupName: Bytes, group: ConsumerGroup): void {
  const read = String(group.entriesRead ?? -1)
  call.propagateAs('XGROUP', 'SETID', key, groupName, idText(group.lastId), 'ENTRIESREAD', read)
}

// ── XPENDING ────────────────────────────────────────────────────────────────────────────────────────────────────────

function xpending(call: Call, args: readonly Bytes[], reply: ReplyWriter): void {
  if (args.length !== 3 && (args.length < 6 || args.length > 9)) throw SYNTAX
  const [, key, name] = args as [Bytes, Bytes, Bytes]
  const query = args.length === 3 ? undefined : readPendingQuery(args)
  const group = call.readStream(key)?.groups.get(name)
  if (group === undefined) refuse(`NOGROUP No such key '${untilNul(key)}' or consumer group '${untilNul(name)}'`)
  if (query === undefined) replySummary(group, reply)
  else replyPending(call, group, query, reply)
}

interface PendingQuery {
  readonly minIdleMs: number
  readonly start: StreamId
  readonly end: StreamId
  readonly count: number
  readonly consumer: Bytes | undefined
}

function readPendingQuery(args: readonly Bytes[]): PendingQuery {
  let at = 3
  let minIdleMs = 0
  if (isWord(args[3], 'IDLE')) {
    minIdleMs = intArg(args[4])
    if (args.length < 8) throw SYNTAX
    at = 5
  }
  const count = Math.max(0, intArg(args[at + 2]))
  const start = startArg(args[at] as Bytes)
  return { minIdleMs, start, end: endArg(args[at + 1] as Bytes), count, consumer: args[at + 3] }
}

function replySummary(group: ConsumerGroup, reply: ReplyWriter): void {
  const { firstId, lastId, size } = group.pending
  reply.array(4)
  reply.integer(size)
  if (firstId === undefined || lastId === undefined) {
    reply.null()
    reply.null()
    return reply.nullArray()
  }
  replyId(firstId, reply)
  replyId(lastId, reply)
  const busy = [...group.consumers.values()].filter(consumer => consumer.pending.size > 0)
  busy.sort((a, b) => (a.name < b.name ? -1 : 1))
  reply.array(busy.length)
  for (const consumer of busy) {
    reply.array(2)
    reply.bulk(consumer.name)
    reply.bulk(String(consumer.pending.size))
  }
}

function replyPending(call: Call, group: ConsumerGroup, query: PendingQuery, reply: ReplyWriter): void {
  const consumer = query.consumer === undefined ? undefined : group.consumers.get(query.consumer)
  if (query.consumer !== undefined && consumer === undefined) return reply.array(0)
  const found: (readonly [StreamId, Pending])[] = []
  ;(consumer?.pending ?? group.pending).forRange(query.start, query.end, (id, pending) => {
    if (found.length >= query.count) return false
    if (query.minIdleMs === 0 || call.now - pending.deliveredAt >= query.minIdleMs) found.push([id, pending])
    return true
  })
  reply.array(found.length)
  for (const [id, pending] of found) {
    reply.array(4)
    replyId(id, reply)
    reply.bulk(pending.consumer.name)
    reply.integer(Math.max(0, call.now - pending.deliveredAt))
    reply.integer(pending.deliveries)
  }
}

// ── Claiming ────────────────────────────────────────────────────────────────────────────────────────────────────────

interface ClaimOptions {
  deliveredAt: UnixMillis
  retryCount: number | undefined
  force: boolean
  justId: boolean
  lastId: StreamId
}

function xclaim(call: Call, args: readonly Bytes[], reply: ReplyWriter): void {
  const [, key, groupName, consumerName] = args as [Bytes, Bytes, Bytes, Bytes]
  const { stream, group } = needGroup(call, key, groupName)
  const minIdleMs = intArg(args[4], badArgument('min-idle-time argument', 'XCLAIM'))
  const ids: StreamId[] = []
  let at = 5
  for (; at < args.length; at++) {
    const id = parseId(args[at] as Bytes)
    if (id === undefined) break
    ids.push(id)
  }
  const options = readClaimOptions(call, args, at)
  call.propagateNothing()
  const claimed: StreamId[] = []
  let heard = true
  if (options.lastId > group.lastId) {
    // From our master this is the delivery of one entry.
    if (call.caller.origin === 'master' && ids[0] === options.lastId) advanceGroup(stream, group, options.lastId)
    else group.lastId = options.lastId
    heard = false
  }
  for (const id of ids) {
    let pending = group.pending.get(id)
    if (!stream.entries.has(id)) {
      if (pending === undefined) continue
      propagateClaim(call, key, groupName, group, id, pending)
      deletePending(group, id)
      call.dirty++
      heard = true
      continue
    }
    if (pending === undefined && !options.force) continue
    if (pending !== undefined && minIdleMs > 0 && call.now - pending.deliveredAt < minIdleMs) continue
    const consumer = activeConsumer(call, key, group, consumerName)
    pending = {
      consumer,
      deliveredAt: options.deliveredAt,
      deliveries: options.retryCount ?? (pending?.deliveries ?? 1) + (options.justId ? 0 : 1),
    }
    setPending(group, id, pending)
    claimed.push(id)
    propagateClaim(call, key, groupName, group, id, pending)
    call.dirty++
    heard = true
  }
  if (!heard) {
    propagateGroupId(call, key, groupName, group)
    call.dirty++
  }
  reply.array(claimed.length)
  for (const id of claimed) replyClaimed(stream, id, options.justId, reply)
}

function badArgument(what: string, command: string): Refusal {
  return new Refusal(`ERR Invalid ${what} for ${command}`)
}

function readClaimOptions(call: Call, args: readonly Bytes[], from: number): ClaimOptions {
  const found: ClaimOptions = {
    deliveredAt: call.now,
    retryCount: undefined,
    force: false,
    justId: false,
    lastId: MIN_ID,
  }
  const numberAfter = (at: number) =>
    intArg(args[at + 1], badArgument(`${args[at]?.toUpperCase()} option argument`, 'XCLAIM'))
  for (let at = from; at < args.length; at++) {
    const more = at + 1 < args.length
    if (isWord(args[at], 'FORCE')) found.force = true
    else if (isWord(args[at], 'JUSTID')) found.justId = true
    else if (isWord(args[at], 'IDLE') && more) found.deliveredAt = call.now - numberAfter(at++)
    else if (isWord(args[at], 'TIME') && more) found.deliveredAt = numberAfter(at++)
    else if (isWord(args[at], 'RETRYCOUNT') && more) found.retryCount = numberAfter(at++)
    else if (isWord(args[at], 'LASTID') && more) found.lastId = idArg(args[++at])
    else refuse(`ERR Unrecognized XCLAIM option '${untilNul(args[at] as Bytes)}'`)
  }
  if (found.deliveredAt < 0 || found.deliveredAt > call.now) found.deliveredAt = call.now
  if (found.retryCount !== undefined && found.retryCount < 0) found.retryCount = undefined
  return found
}

const COUNT_TOO_SMALL = new Refusal('ERR COUNT must be > 0')
/** Entries XAUTOCLAIM looks at for each that it may claim. */
const ATTEMPTS_PER_CLAIM = 10

function xautoclaim(call: Call, args: readonly Bytes[], reply: ReplyWriter): void {
  const [, key, groupName, consumerName] = args as [Bytes, Bytes, Bytes, Bytes]
  const minIdleMs = intArg(args[4], badArgument('min-idle-time argument', 'XAUTOCLAIM'))
  const start = startArg(args[5] as Bytes)
  let count = 100
  let justId = false
  for (let at = 6; at < args.length; at++) {
    if (isWord(args[at], 'COUNT') && at + 1 < args.length) {
      const exact = int64Arg(args[++at], COUNT_TOO_SMALL)
      if (exact < 1 || exact > 0x7fffffffffffffffn / 16n) throw COUNT_TOO_SMALL
      count = Number(exact)
    } else if (isWord(args[at], 'JUSTID')) justId = true
    else throw SYNTAX
  }
  const { stream, group } = needGroup(call, key, groupName)
  call.propagateNothing()

  const looked: StreamId[] = []
  let next: StreamId | undefined
  const most = count * ATTEMPTS_PER_CLAIM
  const claimed: StreamId[] = []
  const deleted: StreamId[] = []
  const verdicts: ('claim' | 'delete' | 'leave')[] = []
  let left = count
  group.pending.forRange(start, MAX_ID, (id, pending) => {
    if (looked.length >= most || left === 0) {
      next = id
      return false
    }
    const exists = stream.entries.has(id)
    const idle = minIdleMs <= 0 || call.now - pending.deliveredAt >= minIdleMs
    looked.push(id)
    verdicts.push(!exists ? 'delete' : idle ? 'claim' : 'leave')
    if (!exists || idle) left--
    return true
  })
  for (const [index, id] of looked.entries()) {
    const before = group.pending.get(id) as Pending
    if (verdicts[index] === 'leave') continue
    call.dirty++
    if (verdicts[index] === 'delete') {
      propagateClaim(call, key, groupName, group, id, before)
      deletePending(group, id)
      deleted.push(id)
      continue
    }
    const consumer = activeConsumer(call, key, group, consumerName)
    const pending = { consumer, deliveredAt: call.now, deliveries: before.deliveries + (justId ? 0 : 1) }
    setPending(group, id, pending)
    claimed.push(id)
    propagateClaim(call, key, groupName, group, id, pending)
  }
  reply.array(3)
  replyId(next ?? MIN_ID, reply)
  reply.array(claimed.length)
  for (const id of claimed) replyClaimed(stream, id, justId, reply)
  reply.array(deleted.length)
  for (const id of deleted) replyId(id, reply)
}

function replyClaimed(stream: StreamValue, id: StreamId, justId: boolean, reply: ReplyWriter): void {
  if (justId) replyId(id, reply)
  else replyEntry(id, stream.entries.get(id), reply)
}
