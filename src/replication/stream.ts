/**
 * What a master's stream looks like: commands with their effects, one after another, as requests.
 *
 * The stream has one selected database. A SELECT goes in front whenever a command belongs to another one, and anew after
 * every cut of a snapshot, since a replica that begins there has selected none. Commands that belong together travel
 * inside MULTI and EXEC, so that no replica, and no reader of it, ever sees half of them.
 */
import type { Bytes } from '../base/units.js'
import { Encoder } from '../resp/encoder.js'

export interface PropagatedCommand {
  readonly db: number
  readonly args: readonly (Bytes | Buffer)[]
}

const PING = Buffer.from('*1\r\n$4\r\nPING\r\n')
const GETACK = Buffer.from('*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n')
const MULTI = Buffer.from('*1\r\n$5\r\nMULTI\r\n')
const EXEC = Buffer.from('*1\r\n$4\r\nEXEC\r\n')
const NONE = -1

/** Encodes into one growing block; the owner takes what is there once per turn (`take` of the encoder) or after each call. */
export class StreamEncoder {
  readonly #out: Encoder
  #db = NONE

  constructor(out: Encoder = new Encoder(2, 4096)) {
    this.#out = out
  }

  /** Bytes encoded and not taken. */
  get length(): number {
    return this.#out.length
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
    this.#out.raw(MULTI)
    for (const command of commands) this.#command(command)
    this.#out.raw(EXEC)
  }

  ping(): void {
    this.#out.raw(PING)
  }

  /** Asks all replicas to acknowledge now: WAIT and FAILOVER need it. */
  getack(): void {
    this.#out.raw(GETACK)
  }

  /** The next command says its database again: a snapshot was cut here, or the stream was taken over from a master. */
  forgetDb(): void {
    this.#db = NONE
  }

  /** The stream goes on in a database that somebody else selected: after a promotion, or from `repl-stream-db`. */
  continueIn(db: number): void {
    this.#db = db
  }

  /** What was encoded, as a view that the next call overwrites. */
  view(): Buffer {
    return this.#out.view()
  }

  reset(): void {
    this.#out.reset()
  }

  #command(command: PropagatedCommand): void {
    this.#select(command.db)
    this.#out.command(command.args)
  }

  #select(db: number): void {
    if (db === this.#db) return
    this.#out.command(['SELECT', String(db)])
    this.#db = db
  }
}
