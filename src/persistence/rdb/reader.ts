/**
 * Reads a snapshot as its bytes arrive.
 *
 *     reader.feed(chunk)
 *     while ((item = reader.next()) !== undefined) …      header data, entries one by one, at last `end`
 *     reader.release()                                    before the chunk's memory is used again
 *     reader.finish()                                     no more bytes will come
 *
 * The bytes may come from anybody: every mistake is a CorruptError that names its reason and its place. Whoever builds a
 * data set from the items throws it away then; only after `end`, with the checksum verified, is it worth anything.
 */
import type { Bytes, UnixMillis } from '../../base/units.js'
import type { EngineSettings } from '../../engine/settings.js'
import type { Value } from '../../engine/value.js'
import { CorruptError } from '../encoding/corrupt.js'
import { isValueType, Opcode, RDB_VERSION_MAX, within } from './format.js'
import { MORE, RdbInput } from './input.js'
import { EMPTY, readerOf, type ValueReader } from './value-reader.js'

export type RdbItem =
  /** Before anything else: the version of the file. */
  | { readonly kind: 'version'; readonly version: number }
  | { readonly kind: 'aux'; readonly name: Bytes; readonly value: Bytes }
  | { readonly kind: 'function'; readonly code: Bytes }
  /** How many keys, and how many of them with an expiry, are to come: a hint that nobody must believe. */
  | { readonly kind: 'resize'; readonly db: number; readonly keys: number; readonly expires: number }
  | RdbEntry
  /** A collection without elements, which old versions could leave behind: there is no such key. */
  | { readonly kind: 'empty'; readonly key: Bytes }
  /** The whole file was read and its checksum is right (or it has none). */
  | { readonly kind: 'end'; readonly bytes: number; readonly hasChecksum: boolean }

export interface RdbEntry {
  readonly kind: 'entry'
  readonly db: number
  readonly key: Bytes
  readonly value: Value
  /** undefined: never. */
  readonly expireAt: UnixMillis | undefined
  /** Seconds since the last access, and Redis' counter of accesses: at most one of them is there. */
  readonly idleSeconds: number | undefined
  readonly frequency: number | undefined
}

const MAGIC_BYTES = 9

export interface RdbReaderOptions {
  readonly databases: number
  /** `rdbchecksum no`: the sum is there, and nobody looks at it. */
  readonly verifyChecksum: boolean
}

export class RdbReader {
  readonly #input = new RdbInput()
  #version = 0
  #db = 0
  #ended = false
  /** What was said about the entry to come. */
  #expireAt: UnixMillis | undefined
  #idleSeconds: number | undefined
  #frequency: number | undefined
  /** The entry whose value has not arrived whole. */
  #key: Bytes | undefined
  #value: ValueReader | undefined
  #valueFrom = 0
  #type = 0

  constructor(
    private readonly settings: EngineSettings,
    private readonly options: RdbReaderOptions = { databases: 16, verifyChecksum: true },
  ) {}

  /** Bytes read and settled so far. */
  get offset(): number {
    return this.#input.offset
  }

  get ended(): boolean {
    return this.#ended
  }

  feed(chunk: Buffer): void {
    this.#input.feed(chunk)
  }

  release(): void {
    this.#input.release()
  }

  /** Bytes behind the end of the snapshot; only after `end`. */
  get rest(): number {
    return this.#input.pending
  }

  /** The next item, or undefined until more has arrived. */
  next(): RdbItem | undefined {
    if (this.#ended || !this.#input.ready) return undefined
    try {
      for (;;) {
        const item = this.#read()
        this.#input.commit()
        if (item !== undefined) return item
      }
    } catch (error) {
      if (error === MORE) {
        this.#input.rewind()
        return undefined
      }
      if (!(error instanceof CorruptError)) throw error
      throw this.#value === undefined ? error.at(this.offset) : within(this.#type, error).at(this.#valueFrom)
    }
  }

  /** No more bytes will come: the snapshot must have ended. */
  finish(): void {
    if (!this.#ended) throw new CorruptError('truncated', 'the snapshot has no end', this.offset)
    if (this.#input.pending > 0) throw new CorruptError('trailing-bytes', 'bytes behind the end', this.offset)
  }

  /** One unit; undefined when it tells only about what follows. */
  #read(): RdbItem | undefined {
    if (this.#value !== undefined) return this.#entry(this.#value)
    if (this.#version === 0) return this.#header()
    const code = this.#input.byte()
    if (isValueType(code)) return this.#beginEntry(code)
    return this.#opcode(code)
  }

  #header(): RdbItem {
    const magic = this.#input.latin1(MAGIC_BYTES)
    const match = /^REDIS(\d{4})$/.exec(magic)
    if (match === null) throw new CorruptError('not-a-snapshot', 'it does not begin with REDIS and a version', 0)
    const version = Number(match[1])
    if (version < 1 || version > RDB_VERSION_MAX) {
      throw new CorruptError('unsupported-version', `version ${version}`, 5)
    }
    this.#version = version
    return { kind: 'version', version }
  }

  #opcode(code: number): RdbItem | undefined {
    const input = this.#input
    switch (code) {
      case Opcode.aux:
        return { kind: 'aux', name: input.string(), value: input.string() }
      case Opcode.selectDb:
        return this.#select(input.length())
      case Opcode.resizeDb:
        return { kind: 'resize', db: this.#db, keys: input.length(), expires: input.length() }
      case Opcode.expireMs:
        this.#expireAt = input.millis()
        return undefined
      case Opcode.expireSeconds:
        this.#expireAt = input.bytes(4).readInt32LE(0) * 1000
        return undefined
      case Opcode.idle:
        this.#idleSeconds = input.length()
        return undefined
      case Opcode.frequency:
        this.#frequency = input.byte()
        return undefined
      case Opcode.function:
        return this.#function()
      case Opcode.slotInfo:
        // Valkey's hint how large each slot is. It needs none of us to be read.
        for (let index = 0; index < 3; index++) input.length()
        return undefined
      case Opcode.functionPreGa:
        throw new CorruptError('unsupported-function', 'functions of a release candidate')
      case Opcode.moduleAux:
        throw new CorruptError('module-data', `data of the module ${moduleName(input.uint64())}`)
      case Opcode.eof:
        return this.#end()
      default:
        throw new CorruptError('unknown-opcode', `opcode ${code}`)
    }
  }

  #select(db: number): undefined {
    if (db >= this.options.databases) throw new CorruptError('bad-database', `database ${db}`)
    this.#db = db
  }

  #function(): RdbItem {
    return { kind: 'function', code: this.#input.string() }
  }

  #beginEntry(type: number): undefined {
    const reader = readerOf(type, this.settings)
    this.#key = this.#input.string()
    this.#valueFrom = this.#input.offset
    this.#value = reader
    this.#type = type
  }

  #entry(reader: ValueReader): RdbItem | undefined {
    const value = reader.read(this.#input)
    if (value === EMPTY) {
      this.#forgetEntry()
      return { kind: 'empty', key: this.#key ?? '' }
    }
    const entry: RdbEntry = {
      kind: 'entry',
      db: this.#db,
      key: this.#key ?? '',
      value,
      expireAt: this.#expireAt,
      idleSeconds: this.#idleSeconds,
      frequency: this.#frequency,
    }
    this.#forgetEntry()
    return entry
  }

  #forgetEntry(): undefined {
    this.#value = undefined
    this.#expireAt = this.#idleSeconds = this.#frequency = undefined
  }

  #end(): RdbItem {
    let hasChecksum = false
    if (this.#version >= 5) {
      const stored = this.#input.bytes(8)
      const sum = this.#input.checksumBefore(8)
      // All zeros: it was written with `rdbchecksum no`.
      hasChecksum = stored.readBigUInt64LE(0) !== 0n
      if (this.options.verifyChecksum && hasChecksum && !sum.equals(stored, 0)) {
        throw new CorruptError('bad-checksum', `CRC error: the bytes sum up to ${sum}`)
      }
    }
    this.#ended = true
    return { kind: 'end', bytes: this.#input.offset, hasChecksum }
  }
}

const MODULE_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** Nine letters of six bits each, above ten bits of version. */
function moduleName(id: bigint): string {
  let name = ''
  for (let shift = 58n; shift >= 10n; shift -= 6n) name += MODULE_LETTERS[Number((id >> shift) & 63n)]
  return name
}
