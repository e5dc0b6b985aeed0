/**
 * The commands that make a data set: the base of an AOF where `aof-use-rdb-preamble` is off.
 *
 *     RPUSH key item …   SADD key member …   ZADD key score member …   HMSET key field value …   64 elements at a time
 *     XADD … XSETID … XGROUP … XCLAIM        a stream with its counters, its groups and what is pending in them
 *     PEXPIREAT key ms                       behind the value
 */
import type { Bytes, UnixMillis } from '../../base/units.js'
import { type IdMap, idAfter, idText, MAX_ID, MIN_ID, type StreamId } from '../../engine/types/id-map.js'
import type { ConsumerGroup, Pending, StreamValue } from '../../engine/types/stream.js'
import { isString, type Value } from '../../engine/value.js'
import { formatDouble } from '../../resp/encoder.js'
import type { RdbOutput } from '../rdb/output.js'
import { isBig, type Steps } from '../rdb/value-writer.js'
import type { SnapshotForm } from '../snapshot-form.js'

/** Elements per command, as Redis has it: a reader runs each command at once. */
const ELEMENTS_PER_COMMAND = 64
/** Elements between two pauses of a big value. */
const STEP_ELEMENTS = 256

export interface CommandEntriesOptions {
  readonly functions: readonly Bytes[]
  /** The time to begin with; undefined: none. */
  readonly timestamp: UnixMillis | undefined
}

export class CommandEntries implements SnapshotForm {
  constructor(private readonly options: CommandEntriesOptions) {}

  header(out: RdbOutput): void {
    const { functions, timestamp } = this.options
    if (timestamp !== undefined) out.latin1(`#TS:${Math.floor(timestamp / 1000)}\r\n`)
    for (const code of functions) writeCommand(out, ['FUNCTION', 'LOAD', code])
  }

  select(out: RdbOutput, db: number): void {
    writeCommand(out, ['SELECT', String(db)])
  }

  entry(out: RdbOutput, key: Bytes, value: Value, expireAt: UnixMillis): void {
    if (isString(value)) writeCommand(out, ['SET', key, value])
    else for (const _ of commandsOf(out, key, value));
    expiry(out, key, expireAt)
  }

  *bigEntry(out: RdbOutput, key: Bytes, value: Value, expireAt: UnixMillis): Steps {
    if (!isString(value)) yield* commandsOf(out, key, value)
    expiry(out, key, expireAt)
  }

  end(): void {}
}

function expiry(out: RdbOutput, key: Bytes, expireAt: UnixMillis): void {
  if (expireAt !== 0) writeCommand(out, ['PEXPIREAT', key, String(expireAt)])
}

function* commandsOf(out: RdbOutput, key: Bytes, value: Exclude<Value, string | Buffer>): Steps {
  switch (value.type) {
    case 'list': {
      const push = new Batch(out, ['RPUSH', key])
      for (let at = 0; at < value.length; at += STEP_ELEMENTS) {
        if (at > 0) yield
        value.forRange(at, STEP_ELEMENTS, item => push.add(item))
      }
      return push.end()
    }
    case 'set': {
      const add = new Batch(out, ['SADD', key])
      if (!isBig(value)) value.forEach(member => add.add(member))
      else yield* inSteps(value.names(), member => add.add(member))
      return add.end()
    }
    case 'hash': {
      const set = new Batch(out, ['HMSET', key])
      if (!isBig(value)) value.forEach((field, content) => set.add(field, content))
      else yield* inSteps(value.names(), field => set.add(field, value.get(field) ?? ''))
      return set.end()
    }
    case 'zset': {
      const add = new Batch(out, ['ZADD', key])
      for (let rank = 0; rank < value.size; rank += STEP_ELEMENTS) {
        if (rank > 0) yield
        value.forRange(rank, STEP_ELEMENTS, false, (member, score) => add.add(formatDouble(score), member))
      }
      return add.end()
    }
    case 'stream':
      yield* streamCommands(out, key, value)
  }
}

function* inSteps(names: Iterable<Bytes>, write: (name: Bytes) => void): Steps {
  let count = 0
  for (const name of names) {
    write(name)
    if (++count % STEP_ELEMENTS === 0) yield
  }
}

/** A stream that is empty is made by adding an entry and trimming it away. */
function* streamCommands(out: RdbOutput, key: Bytes, stream: StreamValue): Steps {
  for (const [id, fields] of inBatches(stream.entries)) {
    if (id === undefined) yield
    else writeCommand(out, ['XADD', key, idText(id), ...fields])
  }
  if (stream.length === 0) writeCommand(out, ['XADD', key, 'MAXLEN', '0', '0-1', 'x', 'y'])
  writeCommand(out, [
    'XSETID',
    key,
    idText(stream.lastId),
    'ENTRIESADDED',
    String(stream.entriesAdded),
    'MAXDELETEDID',
    idText(stream.maxDeletedId),
  ])
  for (const [name, group] of stream.groups) yield* groupCommands(out, key, name, group)
}

function* groupCommands(out: RdbOutput, key: Bytes, name: Bytes, group: ConsumerGroup): Steps {
  const read = group.entriesRead === undefined ? '-1' : String(group.entriesRead)
  writeCommand(out, ['XGROUP', 'CREATE', key, name, idText(group.lastId), 'ENTRIESREAD', read])
  for (const consumer of group.consumers.values()) {
    writeCommand(out, ['XGROUP', 'CREATECONSUMER', key, name, consumer.name])
    const claim = ['XCLAIM', key, name, consumer.name, '0']
    for (const [id, pending] of inBatches(consumer.pending)) {
      if (id === undefined) yield
      else writeCommand(out, [...claim, idText(id), ...detailsOf(pending), 'JUSTID', 'FORCE'])
    }
  }
}

function detailsOf({ deliveredAt, deliveries }: Pending): Bytes[] {
  return ['TIME', String(deliveredAt), 'RETRYCOUNT', String(deliveries)]
}

/** All entries in order; without an id between two steps. */
function* inBatches<V>(map: IdMap<V>): Generator<readonly [StreamId, V] | readonly [undefined]> {
  for (let from: StreamId | undefined = MIN_ID; from !== undefined; ) {
    const batch: (readonly [StreamId, V])[] = []
    map.forRange(from, MAX_ID, (id, value) => batch.push([id, value]) < STEP_ELEMENTS)
    yield* batch
    const last: StreamId | undefined = batch.length < STEP_ELEMENTS ? undefined : batch.at(-1)?.[0]
    from = last === undefined ? undefined : idAfter(last)
    if (from !== undefined) yield [undefined]
  }
}

/** Commands of the same beginning, with so many elements each. */
class Batch {
  #words: Bytes[] = []
  #elements = 0

  constructor(
    private readonly out: RdbOutput,
    private readonly begin: readonly Bytes[],
  ) {}

  add(...words: readonly Bytes[]): void {
    this.#words.push(...words)
    if (++this.#elements === ELEMENTS_PER_COMMAND) this.end()
  }

  end(): void {
    if (this.#elements > 0) writeCommand(this.out, [...this.begin, ...this.#words])
    this.#words = []
    this.#elements = 0
  }
}

function writeCommand(out: RdbOutput, words: readonly (Bytes | Buffer)[]): void {
  out.latin1(`*${words.length}\r\n`)
  for (const word of words) {
    out.latin1(`$${word.length}\r\n`)
    if (typeof word === 'string') out.latin1(word)
    else out.raw(word)
    out.latin1('\r\n')
  }
}
