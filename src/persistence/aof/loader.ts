/**
 * Reads one file of an AOF as its bytes arrive: perhaps a snapshot first, then commands.
 *
 *     loader.feed(chunk)
 *     while ((unit = loader.next()) !== undefined) …   a snapshot, or a command, or a whole transaction
 *     loader.finish()                                  whole, or torn, and where to cut
 *
 * A server that died in the middle of a write leaves a torn tail: half a command, a transaction without its EXEC, or
 * zeros that the file system had room for and no data. The tail is cut behind the last whole unit; anything wrong before
 * that is no torn tail but damage, and refused. Checksums (`aof-checksum`) are verified where there are some; a file that
 * ends with one was not torn.
 */
import type { Bytes } from '../../base/units.js'
import type { EngineSettings } from '../../engine/settings.js'
import { Decoder } from '../../resp/decoder.js'
import { ProtocolError, requestLimits } from '../../resp/protocol.js'
import { CorruptError } from '../encoding/corrupt.js'
import { Crc64 } from '../encoding/crc64.js'
import { type LoadedSnapshot, SnapshotLoader } from '../load.js'
import type { StreamPlace } from './encoder.js'

export type AofUnit =
  | { readonly kind: 'snapshot'; readonly loaded: LoadedSnapshot }
  /** One command, or those between MULTI and EXEC; `end` is the offset behind them. */
  | { readonly kind: 'commands'; readonly commands: readonly (readonly Bytes[])[]; readonly end: number }

export type AofEnd =
  | { readonly kind: 'whole'; readonly bytes: number }
  | {
      readonly kind: 'torn'
      /** Cut the file to this length. */
      readonly validBytes: number
      readonly lostBytes: number
      readonly because: 'half-command' | 'open-transaction' | 'half-snapshot' | 'zeros'
    }

export interface AofLoadOptions {
  /** One per database. */
  readonly seeds: readonly number[]
  readonly verifyChecksum: boolean
}

const STAR = 0x2a
const HASH = 0x23
const MAGIC = 'REDIS'
const PLACE = '#REPL:'
const SUM = '#SUM:'
/** A whole note of a checksum is shorter. */
const SUM_BYTES_MAX = 48
const ZEROS = Buffer.alloc(64 * 1024)

export class AofLoader {
  readonly #settings: EngineSettings
  readonly #options: AofLoadOptions
  readonly #decoder = new Decoder({ ...requestLimits })
  /** undefined: it is not known yet whether the file begins with a snapshot. */
  #part: 'snapshot' | 'commands' | undefined
  #head: Buffer = Buffer.alloc(0)
  #snapshot: SnapshotLoader | undefined
  #loaded: LoadedSnapshot | undefined
  #snapshotBytes = 0
  /** Behind the last whole unit. */
  #validBytes = 0
  #transaction: Bytes[][] | undefined
  #place: StreamPlace | undefined
  #lineage: { readonly replid: string; readonly streamDb: number } | undefined
  /** Zeros at the end of the commands that were fed: perhaps part of a value, perhaps nothing. */
  #zeros = 0
  #fed = 0
  /** The last bytes fed: a note of a checksum, if the file was written to its end. */
  #tail: Buffer = Buffer.alloc(0)
  /** Of what was read behind the last note of a checksum; undefined: there was none yet. */
  #sum: Crc64 | undefined
  #summedFrom = 0

  constructor(settings: EngineSettings, options: AofLoadOptions) {
    this.#settings = settings
    this.#options = options
  }

  /** Bytes understood so far. */
  get offset(): number {
    return this.#snapshotBytes + this.#decoder.consumed
  }

  /** Where the data of the file stands in the replication stream; undefined: what was read last says nothing of it. */
  get place(): StreamPlace | undefined {
    return this.#place
  }

  /** `chunk` may be memory that is used again after `release`. */
  feed(chunk: Buffer): void {
    this.#fed += chunk.length
    const end = chunk.subarray(-SUM_BYTES_MAX)
    this.#tail = Buffer.concat([this.#tail, end]).subarray(-SUM_BYTES_MAX)
    this.#pass(chunk)
  }

  release(): void {
    this.#decoder.release()
    this.#head = Buffer.from(this.#head)
  }

  next(): AofUnit | undefined {
    if (this.#loaded !== undefined) {
      const loaded = this.#loaded
      this.#loaded = undefined
      return { kind: 'snapshot', loaded }
    }
    if (this.#part !== 'commands') return undefined
    try {
      return this.#nextUnit()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      throw bad(error.message, this.offset)
    }
  }

  /** No more bytes will come, and all units were taken. */
  finish(): AofEnd {
    const bytes = this.#fed
    if (this.#validBytes === bytes) return { kind: 'whole', bytes }
    if (/\n#SUM:[0-9a-f]{16}:\d+\r\n$/.test(this.#tail.toString('latin1'))) {
      throw bad('the file is whole, and something in it is not', this.#validBytes)
    }
    return { kind: 'torn', validBytes: this.#validBytes, lostBytes: bytes - this.#validBytes, because: this.#tear() }
  }

  #tear(): (AofEnd & { kind: 'torn' })['because'] {
    if (this.#part === 'snapshot') return 'half-snapshot'
    if (this.#zeros > 0) return 'zeros'
    return this.#transaction === undefined || this.#decoder.pending > 0 ? 'half-command' : 'open-transaction'
  }

  #pass(bytes: Buffer): void {
    if (this.#part === 'commands') return this.#feedCommands(bytes)
    if (this.#part === 'snapshot') return this.#feedSnapshot(bytes)
    this.#head = this.#head.length === 0 ? bytes : Buffer.concat([this.#head, bytes])
    const head = this.#head.toString('latin1', 0, MAGIC.length)
    if (head.length < MAGIC.length && MAGIC.startsWith(head)) return
    const whole = this.#head
    this.#head = Buffer.alloc(0)
    if (head !== MAGIC) {
      this.#part = 'commands'
      return this.#feedCommands(whole)
    }
    this.#part = 'snapshot'
    // Expired keys stay: the commands that follow may say something about them.
    this.#snapshot = new SnapshotLoader(this.#settings, { ...this.#options, role: 'replica', now: 0 })
    this.#feedSnapshot(whole)
  }

  #feedSnapshot(bytes: Buffer): void {
    const snapshot = this.#snapshot as SnapshotLoader
    snapshot.feed(bytes)
    if (!snapshot.ended) return
    this.#part = 'commands'
    this.#snapshot = undefined
    this.#loaded = snapshot.preamble()
    this.#place = this.#loaded.replication
    this.#snapshotBytes = this.#validBytes = snapshot.bytes
    if (snapshot.rest > 0) this.#feedCommands(bytes.subarray(bytes.length - snapshot.rest))
  }

  /** Zeros at the end wait until something else follows: a torn tail must not look like damage. */
  #feedCommands(bytes: Buffer): void {
    let end = bytes.length
    while (end > 0 && bytes[end - 1] === 0) end--
    if (end > 0) {
      while (this.#zeros > 0) {
        const count = Math.min(this.#zeros, ZEROS.length)
        this.#decoder.feed(ZEROS.subarray(0, count))
        this.#zeros -= count
      }
      this.#decoder.feed(bytes.subarray(0, end))
    }
    this.#zeros += bytes.length - end
  }

  #nextUnit(): AofUnit | undefined {
    for (;;) {
      const command = this.#nextCommand()
      if (command === undefined) return undefined
      const name = command.length === 1 ? command[0]?.toLowerCase() : undefined
      if (name === 'multi') {
        if (this.#transaction !== undefined) throw bad('MULTI inside MULTI', this.offset)
        this.#transaction = []
      } else if (this.#transaction === undefined) return this.#unit([command])
      else if (name === 'exec') {
        const commands = this.#transaction
        this.#transaction = undefined
        return this.#unit(commands)
      } else this.#transaction.push(command)
    }
  }

  #unit(commands: readonly (readonly Bytes[])[]): AofUnit {
    this.#validBytes = this.offset
    this.#place = undefined
    return { kind: 'commands', commands, end: this.#validBytes }
  }

  #nextCommand(): Bytes[] | undefined {
    const decoder = this.#decoder
    while (decoder.peekByte() === HASH) {
      const before = decoder.consumed
      const note = decoder.nextLine()
      if (note === undefined) return undefined
      if (note.startsWith(SUM)) this.#checkSum(note.slice(SUM.length).split(':'), before)
      else this.#sum?.update(Buffer.from(`${note}\r\n`, 'latin1'))
      if (note.startsWith(PLACE)) this.#notePlace(note.slice(PLACE.length).split(':'))
      if (this.#transaction === undefined) this.#validBytes = this.offset
    }
    const first = decoder.peekByte()
    if (first === undefined) return undefined
    if (first !== STAR) throw bad(`a command begins with byte ${first}`, this.offset)
    const before = decoder.consumed
    const whole = decoder.nextRequest()
    // To clients `*0` and `*-1` mean nothing; in a file they are damage.
    if (decoder.consumed - before !== (whole ? decoder.end - decoder.start : 0))
      throw bad('a command is empty', this.offset)
    if (!whole) return undefined
    this.#checkLineEnds()
    this.#sum?.update(decoder.buffer, decoder.start, decoder.end)
    return decoder.args()
  }

  /** `#SUM:<crc>:<bytes>`: of the bytes behind the note before, up to `before`; no bytes: a new writer begins here. */
  #checkSum([sumText, bytesText]: readonly string[], before: number): void {
    const bytes = Number(bytesText)
    if (!Number.isSafeInteger(bytes) || sumText?.length !== 16) throw bad('no checksum', this.offset)
    if (bytes > 0 && this.#sum !== undefined) {
      if (before - this.#summedFrom !== bytes)
        throw bad(`a checksum of ${bytes} bytes is not in its place`, this.offset)
      if (this.#sum.toString() !== sumText) throw bad(`the checksum of ${bytes} bytes is wrong`, this.offset)
    }
    this.#sum = new Crc64()
    this.#summedFrom = this.#decoder.consumed
  }

  /** `#REPL:<offset>[:<database>:<replid>]`, see encoder.ts. What is left out is as in the note before. */
  #notePlace([offsetText, dbText, replid]: readonly string[]): void {
    if (replid !== undefined && /^[0-9a-f]{40}$/.test(replid)) this.#lineage = { replid, streamDb: Number(dbText) }
    const offset = Number(offsetText)
    this.#place =
      this.#lineage === undefined || !Number.isSafeInteger(offset) ? undefined : { ...this.#lineage, offset }
  }

  /** The decoder trusts lengths; a file is old enough to have been damaged. */
  #checkLineEnds(): void {
    const { buffer, argc, argEnd } = this.#decoder
    for (let index = 0; index < argc; index++) {
      const end = argEnd[index] as number
      if (buffer[end] !== 13 || buffer[end + 1] !== 10) throw bad('an argument is longer than it says', this.offset)
    }
  }
}

function bad(detail: string, offset: number): CorruptError {
  return new CorruptError('bad-aof', detail, offset)
}
