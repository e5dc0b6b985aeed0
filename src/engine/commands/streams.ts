/**
 * Streams as logs: adding, reading ranges, deleting, trimming.
 */
import type { Bytes } from '../../base/units.js'
import { arityError } from '../../command/table.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { int64Arg, intArg, isWord } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import { NO_SUCH_KEY, refuse, SYNTAX } from '../refusal.js'
import { idAfter, idMs, idSeq, idText, MAX_ID, MIN_ID, makeId, type StreamId } from '../types/id-map.js'
import { StreamValue } from '../types/stream.js'
import { endArg, idArg, replyEntry, replyId, startArg } from './stream-ids.js'

export const streamCommands: Readonly<Record<string, Handler>> = {
  xadd,

  xlen: (call, args, reply) => reply.integer(call.readStream(args[1] as Bytes)?.length ?? 0),

  xrange: (call, args, reply) => range(call, args, startArg(args[2] as Bytes), endArg(args[3] as Bytes), false, reply),
  xrevrange(call, args, reply) {
    range(call, args, startArg(args[3] as Bytes), endArg(args[2] as Bytes), true, reply)
  },

  xdel(call, args, reply) {
    const key = args[1] as Bytes
    const stream = call.writeStream(key)
    if (stream === undefined) return reply.integer(0)
    const ids = args.slice(2).map(text => idArg(text))
    let deleted = 0
    for (const id of ids) if (stream.delete(id)) deleted++
    if (deleted > 0) call.modified(key, 't', 'xdel', deleted)
    reply.integer(deleted)
  },

  xtrim(call, args, reply) {
    const key = args[1] as Bytes
    const { trim } = readOptions(call, args, false)
    const stream = call.writeStream(key)
    if (stream === undefined || trim === undefined) return reply.integer(0)
    const deleted = trimStream(call, stream, trim)
    if (deleted > 0) {
      call.modified(key, 't', 'xtrim', deleted)
      if (trim.approximate) call.propagateAs(...exactTrim(args, trim, stream))
    }
    reply.integer(deleted)
  },

  xsetid(call, args, reply) {
    const id = idArg(args[2])
    const { entriesAdded, maxDeletedId } = readSetIdOptions(args, id)
    const key = args[1] as Bytes
    const stream = call.writeStream(key)
    if (stream === undefined) throw NO_SUCH_KEY
    if (stream.length > 0) {
      if (id < (stream.entries.lastId ?? MIN_ID))
        refuse('ERR The ID specified in XSETID is smaller than the target stream top item')
      if (entriesAdded !== undefined && stream.length > entriesAdded)
        refuse('ERR The entries_added specified in XSETID is smaller than the target stream length')
    }
    stream.lastId = id
    if (entriesAdded !== undefined) stream.entriesAdded = entriesAdded
    if (maxDeletedId !== MIN_ID) stream.maxDeletedId = maxDeletedId
    call.modified(key, 't', 'xsetid')
    reply.ok()
  },
}

// ── XADD ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function xadd(call: Call, args: readonly Bytes[], reply: ReplyWriter): void {
  const key = args[1] as Bytes
  const { trim, noMakeStream, idAt } = readOptions(call, args, true)
  const fields = args.slice(idAt + 1)
  if (fields.length < 2 || fields.length % 2 !== 0) return reply.error(arityError(call.spec))
  const wanted = readNewId(args[idAt] as Bytes)
  if (typeof wanted === 'string' && wanted === MIN_ID) refuse('ERR The ID specified in XADD must be greater than 0-0')

  const found = call.writeStream(key)
  if (found === undefined && noMakeStream) return reply.null()
  if (found?.lastId === MAX_ID) refuse('ERR The stream has exhausted the last possible ID, unable to add more items')
  const id = newId(wanted, found?.lastId ?? MIN_ID, BigInt(call.now))
  if (id === undefined) refuse('ERR The ID specified in XADD is equal or smaller than the target stream top item')

  const stream = found ?? call.add(key, new StreamValue())
  stream.append(id, fields)
  call.modified(key, 't', 'xadd')
  const complete = typeof wanted === 'string' && wanted !== '*'
  let effect: readonly Bytes[] = complete ? args : args.with(idAt, idText(id))
  if (trim !== undefined) {
    if (trimStream(call, stream, trim) > 0) call.notify('t', 'xtrim', key)
    if (trim.approximate) effect = exactTrim(effect, trim, stream)
  }
  call.propagateAs(...effect)
  if (found !== undefined) call.host.ready(call.db.index, key)
  replyId(id, reply)
}

/** A full id, `ms-*` as its milliseconds, or `*`. */
type NewId = StreamId | bigint | '*'

function readNewId(text: Bytes): NewId {
  if (text === '*') return '*'
  return text.endsWith('-*') ? idMs(idArg(text.slice(0, -2))) : idArg(text)
}

/** The id of the entry to be added; undefined when it would not be above the last. */
function newId(wanted: NewId, lastId: StreamId, now: bigint): StreamId | undefined {
  if (wanted === '*') return now > idMs(lastId) ? makeId(now, 0n) : idAfter(lastId)
  if (typeof wanted === 'string') return wanted > lastId ? wanted : undefined
  if (wanted > idMs(lastId)) return makeId(wanted, 0n)
  if (wanted < idMs(lastId) || idSeq(lastId) === 0xffffffffffffffffn) return undefined
  return makeId(wanted, idSeq(lastId) + 1n)
}

// ── Options of XADD and XTRIM ───────────────────────────────────────────────────────────────────────────────────────

interface Trim {
  /** Keep at most so many, or nothing below this id. */
  readonly maxLength: number | undefined
  readonly minId: StreamId
  readonly approximate: boolean
  /** At most so many are removed; 0: no bound. */
  limit: number
  /** Where the threshold stands among the arguments; `~` or `=` before it when there is one. */
  readonly at: number
}

interface AddOptions {
  readonly trim: Trim | undefined
  readonly noMakeStream: boolean
  readonly idAt: number
}

function readOptions(call: Call, args: readonly Bytes[], adding: boolean): AddOptions {
  let trim: Trim | undefined
  let limit: number | undefined
  let noMakeStream = false
  let at = 2
  for (; at < args.length; at++) {
    const more = args.length - 1 - at
    if (adding && args[at] === '*') break
    if ((isWord(args[at], 'MAXLEN') || isWord(args[at], 'MINID')) && more > 0) {
      if (trim !== undefined) refuse('ERR syntax error, MAXLEN and MINID options at the same time are not compatible')
      trim = readTrim(args, at)
      at = trim.at
    } else if (isWord(args[at], 'LIMIT') && more > 0) {
      limit = Number(int64Arg(args[++at]))
      if (limit < 0) refuse('ERR The LIMIT argument must be >= 0.')
    } else if (adding && isWord(args[at], 'NOMKSTREAM')) noMakeStream = true
    else if (!adding) throw SYNTAX
    else {
      readNewId(args[at] as Bytes)
      break
    }
  }
  if (trim === undefined) {
    if (limit !== undefined) refuse('ERR syntax error, LIMIT cannot be used without specifying a trimming strategy')
    if (!adding) refuse('ERR syntax error, XTRIM must be called with a trimming strategy')
  } else if (call.caller.origin === 'master') trim.limit = limit ?? 0
  else {
    if (limit !== undefined && !trim.approximate)
      refuse('ERR syntax error, LIMIT cannot be used without the special ~ option')
    trim.limit = limit ?? (trim.approximate ? defaultLimit(call) : 0)
  }
  return { trim, noMakeStream, idAt: at }
}

function defaultLimit(call: Call): number {
  const limit = 100 * call.settings.streamNodeMaxEntries
  return limit <= 0 ? 10_000 : Math.min(limit, 1_000_000)
}

function readTrim(args: readonly Bytes[], wordAt: number): Trim {
  let at = wordAt + 1
  const sign = args[at]
  if (args.length - at > 1 && (sign === '~' || sign === '=')) at++
  const approximate = at > wordAt + 1 && sign === '~'
  if (!isWord(args[wordAt], 'MAXLEN'))
    return { maxLength: undefined, minId: idArg(args[at]), approximate, limit: 0, at }
  const maxLength = intArg(args[at])
  if (maxLength < 0) refuse('ERR The MAXLEN argument must be >= 0.')
  return { maxLength, minId: MIN_ID, approximate, limit: 0, at }
}

/** Removes from the front. Approximately means in whole runs of the size that Redis' nodes have. */
function trimStream(call: Call, stream: StreamValue, { maxLength, minId, approximate, limit }: Trim): number {
  const doomed: StreamId[] = []
  const most = maxLength === undefined ? stream.length : Math.max(0, stream.length - maxLength)
  stream.entries.forEach(id => {
    if (doomed.length >= most || (maxLength === undefined && id >= minId)) return false
    doomed.push(id)
    return true
  })
  let count = doomed.length
  if (approximate) {
    const run = Math.max(1, call.settings.streamNodeMaxEntries)
    if (limit > 0) count = Math.min(count, limit)
    // Redis' nodes are full after so many additions, whatever has been taken from the front since.
    const first = stream.entriesAdded - stream.length
    if (count < stream.length) count = Math.max(0, count - ((first + count) % run))
  }
  for (let index = 0; index < count; index++) stream.trim(doomed[index] as StreamId)
  return count
}

/** The same call with the exact threshold that leads to what an approximate one has left. */
function exactTrim(args: readonly Bytes[], { maxLength, at }: Trim, stream: StreamValue): readonly Bytes[] {
  const threshold = maxLength === undefined ? idText(stream.firstId) : String(stream.length)
  return args.with(at - 1, '=').with(at, threshold)
}

function readSetIdOptions(
  args: readonly Bytes[],
  id: StreamId,
): { entriesAdded: number | undefined; maxDeletedId: StreamId } {
  let entriesAdded: number | undefined
  let maxDeletedId = MIN_ID
  for (let at = 3; at < args.length; at += 2) {
    if (at + 1 >= args.length) throw SYNTAX
    if (isWord(args[at], 'ENTRIESADDED')) {
      entriesAdded = intArg(args[at + 1])
      if (entriesAdded < 0) refuse('ERR entries_added must be positive')
    } else if (isWord(args[at], 'MAXDELETEDID')) {
      maxDeletedId = idArg(args[at + 1])
      if (id < maxDeletedId) refuse('ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id')
    } else throw SYNTAX
  }
  return { entriesAdded, maxDeletedId }
}

function range(
  call: Call,
  args: readonly Bytes[],
  start: StreamId,
  end: StreamId,
  reverse: boolean,
  reply: ReplyWriter,
): void {
  let limit = Number.POSITIVE_INFINITY
  for (let at = 4; at < args.length; at += 2) {
    if (!isWord(args[at], 'COUNT') || at + 1 >= args.length) throw SYNTAX
    limit = Math.max(0, intArg(args[at + 1]))
  }
  const stream = call.readStream(args[1] as Bytes)
  if (stream === undefined) return reply.array(0)
  if (limit === 0) return reply.nullArray()
  const found: (readonly [StreamId, readonly Bytes[]])[] = []
  const visit = (id: StreamId, fields: readonly Bytes[]) => found.push([id, fields]) < limit
  if (reverse) stream.entries.forRangeBackwards(start, end, visit)
  else stream.entries.forRange(start, end, visit)
  reply.array(found.length)
  for (const [id, fields] of found) replyEntry(id, fields, reply)
}
