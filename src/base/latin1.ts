/**
 * Bytes to text and back, one character per byte.
 *
 * Every Buffer has these two methods, though its types do not name them; they skip the look-up of the encoding that
 * `toString` and `write` do.
 */
interface Latin1Buffer {
  latin1Slice(start: number, end: number): string
  latin1Write(text: string, offset: number, length: number): number
}

/** The bytes from `start` up to `end` as text. */
export function readLatin1(buffer: Buffer, start: number, end: number): string {
  return (buffer as unknown as Latin1Buffer).latin1Slice(start, end)
}

/** Writes `text` at `offset`, for which the caller has made room; answers how many bytes that was. */
export function writeLatin1(buffer: Buffer, text: string, offset: number): number {
  return (buffer as unknown as Latin1Buffer).latin1Write(text, offset, text.length)
}
