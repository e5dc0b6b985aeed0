/**
 * The commands that took long, newest first. Bounded by `slowlog-max-len`; long arguments are cut as Redis cuts them.
 */
import type { Bytes } from '../base/units.js'

export interface SlowEntry {
  readonly id: number
  readonly unixSeconds: number
  readonly micros: number
  readonly args: readonly Bytes[]
  readonly address: string
  readonly name: Bytes
}

const MAX_ARGS = 32
const MAX_ARG_BYTES = 128

export class Slowlog {
  readonly #entries: SlowEntry[] = []
  #nextId = 0

  get length(): number {
    return this.#entries.length
  }

  add(entry: Omit<SlowEntry, 'id' | 'args'> & { readonly args: readonly Bytes[] }, maxLength: number): void {
    this.#entries.unshift({ ...entry, id: this.#nextId++, args: shorten(entry.args) })
    this.trim(maxLength)
  }

  trim(maxLength: number): void {
    if (this.#entries.length > maxLength) this.#entries.length = maxLength
  }

  /** The newest `count`; all of them for -1. */
  newest(count: number): readonly SlowEntry[] {
    return count < 0 ? this.#entries : this.#entries.slice(0, count)
  }

  clear(): void {
    this.#entries.length = 0
  }
}

function shorten(args: readonly Bytes[]): Bytes[] {
  const shown = args.length > MAX_ARGS ? args.slice(0, MAX_ARGS - 1) : args
  const short = shown.map(arg =>
    arg.length > MAX_ARG_BYTES ? `${arg.slice(0, MAX_ARG_BYTES)}... (${arg.length - MAX_ARG_BYTES} more bytes)` : arg,
  )
  if (args.length > MAX_ARGS) short.push(`... (${args.length - MAX_ARGS + 1} more arguments)`)
  return short
}
