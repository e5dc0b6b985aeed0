/**
 * How a command answers. Handlers say what they mean; the writer knows which RESP the client speaks, and turns a map
 * into a flat array, a double into a bulk, and so on for RESP2. Aggregates announce their size first, then their items.
 */
import type { Bytes } from '../base/units.js'

export interface ReplyWriter {
  /** 2 or 3: for the few replies whose very shape differs. */
  readonly resp: 2 | 3
  /** Nobody will read this reply, it is too large: whoever writes very much may stop. */
  readonly full: boolean
  ok(): void
  /** A status line; CR and LF become spaces, so that no text can forge a second frame. */
  simple(text: Bytes): void
  /** An error line with its code first: `ERR syntax error`. CR and LF become spaces. */
  error(text: Bytes): void
  integer(value: number | bigint): void
  bulk(value: Bytes | Buffer): void
  /** The absent value: `$-1` or `_`. */
  null(): void
  /** The absent aggregate: `*-1` or `_`. */
  nullArray(): void
  array(count: number): void
  /** `pairs` keys with their values: 2 × pairs items follow. */
  map(pairs: number): void
  set(count: number): void
  /** Out-of-band data: an array in RESP2. */
  push(count: number): void
  double(value: number): void
  boolean(value: boolean): void
  bignum(value: bigint): void
  /** Text for people, such as INFO: a bulk in RESP2. */
  verbatim(format: 'txt' | 'mkd', value: Bytes): void
}
