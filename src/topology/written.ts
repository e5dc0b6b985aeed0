/**
 * What a piece of a replication stream does: which commands, in which database, to which keys. Pure reading; the stream
 * of a master is commands and nothing else.
 */

import type { Bytes } from '../base/units.js'
import { findCommand, keysOf, resolveCommand } from '../command/table.js'
import { Decoder } from '../resp/decoder.js'
import { requestLimits } from '../resp/protocol.js'

/** What masters send may be larger than what clients may. */
export const STREAM_LIMITS = { ...requestLimits, count: 2 ** 31, bulk: 2 ** 31 }

/** One command, or all those of a transaction: they belong together. */
export interface Write {
  readonly db: number
  readonly commands: readonly (readonly Bytes[])[]
  /** `undefined`: what it changes cannot be told from its words (FLUSHALL, SWAPDB, a script). */
  readonly keys: readonly Bytes[] | undefined
}

/** Signs of life, and talk between master and replica. */
const NO_WRITES = new Set(['ping', 'replconf', 'select', 'multi', 'exec', 'publish', 'spublish'])

export class WriteReader {
  readonly #decoder = new Decoder(STREAM_LIMITS)
  #open: (readonly Bytes[])[] | undefined

  /** `db`: where the stream stands when it begins. */
  constructor(private db: number) {}

  /** Bytes of the stream so far that made whole commands. */
  get consumed(): number {
    return this.#decoder.consumed
  }

  get database(): number {
    return this.db
  }

  /** The writes that `chunk` completes, in order. Throws ProtocolError when this is no stream of commands. */
  feed(chunk: Buffer): Write[] {
    const writes: Write[] = []
    this.#decoder.feed(chunk)
    while (this.#decoder.nextRequest()) {
      const write = this.#take(this.#decoder.args())
      if (write !== undefined) writes.push(write)
    }
    this.#decoder.release()
    return writes
  }

  #take(args: readonly Bytes[]): Write | undefined {
    const name = args[0]?.toLowerCase()
    if (name === undefined) return undefined
    if (name === 'select') this.db = Number(args[1])
    if (name === 'multi') this.#open = []
    if (name === 'exec') {
      const commands = this.#open ?? []
      this.#open = undefined
      return commands.length === 0 ? undefined : this.#write(commands)
    }
    if (NO_WRITES.has(name)) return undefined
    if (this.#open === undefined) return this.#write([args])
    this.#open.push(args)
    return undefined
  }

  #write(commands: readonly (readonly Bytes[])[]): Write {
    const keys = new Set<Bytes>()
    for (const args of commands) {
      const named = keysOfWrite(args)
      if (named === undefined) return { db: this.db, commands, keys: undefined }
      for (const key of named) keys.add(key)
    }
    return { db: this.db, commands, keys: [...keys] }
  }
}

/** undefined: it may change more than it names. */
export function keysOfWrite(args: readonly Bytes[]): readonly Bytes[] | undefined {
  const spec = resolveCommand(args) ?? findCommand(args[0] ?? '')
  if (spec === undefined || spec.group === 'scripting') return undefined
  const keys = keysOf(spec, args).map(at => args[at] as Bytes)
  return keys.length === 0 ? undefined : keys
}
