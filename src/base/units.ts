/**
 * The quantities everything else counts in. They are plain numbers; the name says the unit.
 */

/** A duration or an instant of a monotonic clock, in milliseconds (fractions allowed). */
export type Millis = number

/** An instant of the wall clock, in milliseconds since 1970 (Redis' `PEXPIREAT`). */
export type UnixMillis = number

/**
 * A position in a replication stream, in bytes since the history began.
 * A double counts 9 PB exactly: at 100 MB/s that is almost three years, so number is enough.
 */
export type Offset = number

/** Binary-safe text: one character per byte (latin1). Keys, members, fields and small values are kept like this. */
export type Bytes = string
