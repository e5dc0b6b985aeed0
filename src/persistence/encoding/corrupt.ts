/**
 * What is wrong with bytes that should be a snapshot. The peer's or the disk's fault, never ours: it is caught where the
 * bytes came in, and refuses them whole.
 */
export type CorruptReason =
  | 'not-a-snapshot' // no magic
  | 'unsupported-version'
  | 'truncated'
  | 'bad-checksum'
  | 'unknown-opcode'
  | 'unknown-type'
  | 'module-data' // values of modules, which we have none of
  | 'unsupported-function' // functions in the form of an unreleased version
  | 'bad-length'
  | 'bad-string'
  | 'bad-lzf'
  | 'bad-database'
  | 'bad-aux'
  | 'bad-score'
  | 'bad-listpack'
  | 'bad-ziplist'
  | 'bad-intset'
  | 'bad-zipmap'
  | 'bad-quicklist'
  | 'bad-stream'
  | 'bad-function'
  | 'duplicate-element'
  | 'duplicate-key'
  | 'trailing-bytes'
  | 'bad-aof'

export class CorruptError extends Error {
  override readonly name = 'CorruptError'
  /** Where it was noticed, in bytes from the beginning of the file; undefined inside a value whose place is not known. */
  readonly offset: number | undefined

  constructor(
    readonly reason: CorruptReason,
    readonly detail: string,
    offset?: number,
  ) {
    super(`${reason}${offset === undefined ? '' : ` at offset ${offset}`}: ${detail}`)
    this.offset = offset
  }

  /** The same mistake, with the place where the value that holds it begins. */
  at(offset: number): CorruptError {
    return this.offset === undefined ? new CorruptError(this.reason, this.detail, offset) : this
  }
}
