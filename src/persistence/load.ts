/**
 * Builds databases from a snapshot. They are new ones: whatever the bytes turn out to be, the data in use is not touched,
 * and the caller puts the new tables in place only after `finish` has answered.
 *
 *     loader.feed(chunk) …                 throws CorruptError at the first mistake
 *     const loaded = loader.finish()
 *     for (const fresh of loaded.databases) engine.database(fresh.index).table = fresh.table
 */
import type { Bytes, Offset, UnixMillis } from '../base/units.js'
import { Database } from '../engine/database.js'
import type { EngineSettings } from '../engine/settings.js'
import { CorruptError } from './encoding/corrupt.js'
import { type RdbEntry, type RdbItem, RdbReader } from './rdb/reader.js'

export interface LoadOptions {
  /** One seed per database, made by chance. */
  readonly seeds: readonly number[]
  /** A master leaves out what has expired; a replica keeps it until its master says DEL. */
  readonly role: 'master' | 'replica'
  readonly now: UnixMillis
  readonly verifyChecksum: boolean
}

export interface LoadedSnapshot {
  readonly databases: readonly Database[]
  readonly functions: readonly Bytes[]
  /** What the snapshot says about the replication stream at its cut. */
  readonly replication: { readonly replid: string; readonly offset: Offset; readonly streamDb: number } | undefined
  /** `redis-ver`, `ctime`, … as they are written. */
  readonly aux: ReadonlyMap<Bytes, Bytes>
  readonly keys: number
  readonly expiredKeys: number
  /** Collections without elements, which there cannot be: how many, and the first of their names. */
  readonly emptyCount: number
  readonly emptyKeys: readonly Bytes[]
  readonly bytes: number
}

/** Room is made in advance for no more keys than this: the file's own hint may be a lie. */
const RESERVE_MAX = 1 << 20

/** Names of empty keys that are told. */
const EMPTY_NAMES_MAX = 10

export class SnapshotLoader {
  readonly #reader: RdbReader
  readonly #options: LoadOptions
  readonly #databases: Database[]
  readonly #functions: Bytes[] = []
  readonly #aux = new Map<Bytes, Bytes>()
  #keys = 0
  #expiredKeys = 0
  #emptyCount = 0
  readonly #emptyKeys: Bytes[] = []
  #bytes = 0

  constructor(settings: EngineSettings, options: LoadOptions) {
    this.#options = options
    this.#databases = options.seeds.map((seed, index) => new Database(index, seed))
    this.#reader = new RdbReader(settings, {
      databases: options.seeds.length,
      verifyChecksum: options.verifyChecksum,
    })
  }

  /** Keys in place so far. */
  get keys(): number {
    return this.#keys
  }

  /** Bytes read and understood so far. */
  get bytes(): number {
    return this.#reader.offset
  }

  /** True when the snapshot has ended. The rest of the chunk, if any, is not part of it. */
  get ended(): boolean {
    return this.#reader.ended
  }

  /** Bytes fed after the end of the snapshot: an AOF goes on behind its preamble. */
  get rest(): number {
    return this.#reader.rest
  }

  /** Uses all of `chunk`, which may be memory that is used again afterwards. Nothing is kept that comes after the end. */
  feed(chunk: Buffer): void {
    if (this.ended && chunk.length > 0) throw new CorruptError('trailing-bytes', 'bytes behind the end', this.bytes)
    this.#reader.feed(chunk)
    for (let item = this.#reader.next(); item !== undefined; item = this.#reader.next()) this.#take(item)
    this.#reader.release()
  }

  /** No more bytes will come. Answers what was built, or throws CorruptError. */
  finish(): LoadedSnapshot {
    this.#reader.finish()
    return this.preamble()
  }

  /** What was built, when the snapshot has ended and other bytes may follow it. */
  preamble(): LoadedSnapshot {
    if (!this.ended) throw new CorruptError('truncated', 'the snapshot has no end', this.bytes)
    return {
      databases: this.#databases,
      functions: this.#functions,
      replication: this.#replication(),
      aux: this.#aux,
      keys: this.#keys,
      expiredKeys: this.#expiredKeys,
      emptyCount: this.#emptyCount,
      emptyKeys: this.#emptyKeys,
      bytes: this.#bytes,
    }
  }

  #take(item: RdbItem): void {
    switch (item.kind) {
      case 'aux':
        this.#aux.set(item.name, item.value)
        break
      case 'function':
        this.#functions.push(item.code)
        break
      case 'resize':
        this.#databases[item.db]?.table.reserve(Math.min(item.keys, RESERVE_MAX))
        break
      case 'entry':
        this.#put(item)
        break
      case 'empty':
        if (++this.#emptyCount <= EMPTY_NAMES_MAX) this.#emptyKeys.push(item.key)
        break
      case 'end':
        this.#bytes = item.bytes
        break
      default:
    }
  }

  #put(entry: RdbEntry): void {
    const { role, now } = this.#options
    if (role === 'master' && entry.expireAt !== undefined && entry.expireAt < now) {
      this.#expiredKeys++
      return
    }
    const { table } = this.#databases[entry.db] as Database
    const slot = table.addNew(entry.key, entry.value)
    if (slot < 0) throw new CorruptError('duplicate-key', `database ${entry.db} has it twice`, this.#reader.offset)
    // A time before 1970 has come; 0 would mean never.
    if (entry.expireAt !== undefined) table.setExpireAt(slot, entry.expireAt || -1)
    this.#keys++
  }

  #replication(): LoadedSnapshot['replication'] {
    const replid = this.#aux.get('repl-id')
    const offset = Number(this.#aux.get('repl-offset') ?? Number.NaN)
    if (replid === undefined || !/^[0-9a-fA-F]{40}$/.test(replid) || !Number.isSafeInteger(offset) || offset < 0) {
      return undefined
    }
    const streamDb = Number(this.#aux.get('repl-stream-db') ?? -1)
    return { replid, offset, streamDb: Number.isSafeInteger(streamDb) ? streamDb : -1 }
  }
}
