/**
 * Commands with their effects as a stream of requests: what an AOF holds, and what replicas are sent.
 *
 * A stream has one selected database. A SELECT goes in front whenever a command belongs to another one, and anew where a
 * reader begins who has selected none: behind the cut of a snapshot, at the beginning of a file. Commands that belong
 * together travel inside MULTI and EXEC, so that no reader ever sees half of them.
 *
 * Lines that begin with # are notes between units; servers skip those they do not know.
 *
 *     #TS:1700000000          the time of what follows
 *     #REPL:4711:0:8de1787b…  where our data stands in the replication stream, which database it has selected, its history
 *     #REPL:4740              the same, when only the offset has changed
 *     #SUM:4a1c…09:812        the CRC-64 of the 812 bytes before it, which begin behind the #SUM before (:0: they begin here)
 */
import type { Bytes, Offset, UnixMillis } from '../../base/units.js'
import { Encoder } from '../../resp/encoder.js'
import { Crc64 } from '../encoding/crc64.js'

export interface PropagatedCommand {
  readonly db: number
  readonly args: readonly (Bytes | Buffer)[]
}

/** A place in the replication stream. */
export interface StreamPlace {
  readonly replid: string
  /** Bytes of that history that the data holds. */
  readonly offset: Offset
  /** The database that the stream has selected there. */
  readonly streamDb: number
}

const MULTI = Buffer.from('*1\r\n$5\r\nMULTI\r\n')
const EXEC = Buffer.from('*1\r\n$4\r\nEXEC\r\n')
const NONE = -1
/** The whole note is repeated so often that the end of a file tells it. */
const LINEAGE_EVERY_BYTES = 16 * 1024

/** Encodes into one growing block, which the owner empties once per turn or after each call. */
export class CommandEncoder {
  protected readonly out: Encoder
  #db = NONE
  #second = 0
  /** Lineage and database that were noted last, and how many bytes ago. */
  #noted = ''
  #notedAgo = 0
  /** Where the bytes begin that the next checksum covers; undefined: there was none yet. */
  #unsealedFrom: number | undefined

  constructor(out: Encoder = new Encoder(2, 4096)) {
    this.out = out
  }

  /** Bytes encoded and not taken. */
  get length(): number {
    return this.out.length
  }

  /** The database that a reader of the stream has selected by now; undefined when it must be told. */
  get selectedDb(): number | undefined {
    return this.#db === NONE ? undefined : this.#db
  }

  /** The commands of one call: one as it is, several as a transaction. */
  write(commands: readonly PropagatedCommand[]): void {
    const [first] = commands
    if (first === undefined) return
    if (commands.length === 1) return this.#command(first)
    this.#select(first.db)
    this.out.raw(MULTI)
    for (const command of commands) this.#command(command)
    this.out.raw(EXEC)
  }

  /** `aof-timestamp-enabled`: when what follows happened, at most once per second. */
  timestamp(now: UnixMillis): void {
    const second = Math.floor(now / 1000)
    if (second <= this.#second) return
    this.#second = second
    this.out.raw(Buffer.from(`#TS:${second}\r\n`))
  }

  /** Whoever reads this far holds the replication stream up to `place`. */
  place({ replid, offset, streamDb }: StreamPlace): void {
    const lineage = `:${streamDb}:${replid}`
    this.#notedAgo += this.out.length
    const again = lineage !== this.#noted || this.#notedAgo > LINEAGE_EVERY_BYTES
    this.out.raw(Buffer.from(`#REPL:${offset}${again ? lineage : ''}\r\n`))
    if (!again) return
    this.#noted = lineage
    this.#notedAgo = 0
  }

  /** `aof-checksum`: a flipped bit in what was encoded since the last call is found when it is read. */
  seal(): void {
    const end = this.out.length
    const from = this.#unsealedFrom ?? end
    if (from === end && this.#unsealedFrom !== undefined) return
    const sum = new Crc64().update(this.out.view(), from, end)
    this.out.raw(Buffer.from(`#SUM:${sum}:${end - from}\r\n`))
    this.#unsealedFrom = this.out.length
  }

  /** The next command says its database again: here somebody begins to read. */
  forgetDb(): void {
    this.#db = NONE
  }

  /** The stream goes on in a database that somebody else selected: after a promotion, or from `repl-stream-db`. */
  continueIn(db: number): void {
    this.#db = db
  }

  /** What was encoded, as a view that the next call overwrites. */
  view(): Buffer {
    return this.out.view()
  }

  /** What was encoded, for good. */
  take(): Buffer {
    this.#forgetBytes()
    return this.out.take()
  }

  reset(): void {
    this.#forgetBytes()
    this.out.reset()
  }

  #forgetBytes(): void {
    if (this.#unsealedFrom === undefined) return
    // What leaves unsealed is covered by no checksum: the next one begins anew.
    this.#unsealedFrom = this.#unsealedFrom === this.out.length ? 0 : undefined
  }

  #command(command: PropagatedCommand): void {
    this.#select(command.db)
    this.out.command(command.args)
  }

  #select(db: number): void {
    if (db === this.#db) return
    this.out.command(['SELECT', String(db)])
    this.#db = db
  }
}
