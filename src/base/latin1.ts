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

/** Calling out of JavaScript costs as much as writing so many bytes within it. */
const SHORT_TEXT = 16

const LONGEST_SPELLED = 16

/** The bytes from `start` up to `end` as text, which refers to no memory but its own. */
export function readLatin1(buffer: Buffer, start: number, end: number): string {
  return end - start <= LONGEST_SPELLED
    ? spell(buffer, start, end - start)
    : (buffer as unknown as Latin1Buffer).latin1Slice(start, end)
}

/**
 * The same for texts that come again and again, such as the names of commands: the last one that looked alike is given
 * out again when it is the same, and whoever looks it up in a Map finds its hash computed already.
 */
export function readName(buffer: Buffer, start: number, end: number): string {
  const length = end - start
  if (length === 0 || length > LONGEST_SPELLED) return readLatin1(buffer, start, end)
  const place = ((buffer[start] as number) * 7 + (buffer[end - 1] as number) * 31 + length * 13) & (NAMES - 1)
  const known = names[place] as string
  if (known.length === length) {
    let index = 0
    while (index < length && known.charCodeAt(index) === buffer[start + index]) index++
    if (index === length) return known
  }
  return (names[place] = spell(buffer, start, length))
}

const NAMES = 512
const names: string[] = new Array(NAMES).fill('')

/** Writes `text` at `offset`, for which the caller has made room; answers how many bytes that was. */
export function writeLatin1(buffer: Buffer, text: string, offset: number): number {
  const { length } = text
  if (length > SHORT_TEXT) return (buffer as unknown as Latin1Buffer).latin1Write(text, offset, length)
  for (let index = 0; index < length; index++) buffer[offset + index] = text.charCodeAt(index)
  return length
}

/** Inside the buffer there is always a byte. */
const text = String.fromCharCode as (...bytes: readonly (number | undefined)[]) => string

/**
 * `latin1Slice` for short texts, several times as fast: the engine has a way of its own for `fromCharCode` with its
 * arguments written out. Gathering them first, or putting parts together, would cost what is gained.
 */
// biome-ignore format: one length after the other
function spell(b: Uint8Array, start: number, length: number): string {
  let i = start
  switch (length) {
    case 0: return ''
    case 1: return text(b[i++])
    case 2: return text(b[i++], b[i++])
    case 3: return text(b[i++], b[i++], b[i++])
    case 4: return text(b[i++], b[i++], b[i++], b[i++])
    case 5: return text(b[i++], b[i++], b[i++], b[i++], b[i++])
    case 6: return text(b[i++], b[i++], b[i++], b[i++], b[i++], b[i++])
    case 7: return text(b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++])
    case 8: return text(b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++])
    case 9: return text(b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++])
    case 10: return text(b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++])
    case 11: return text(b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++])
    case 12: return text(b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++])
    case 13: return text(b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++],
      b[i++], b[i++], b[i++], b[i++], b[i++])
    case 14: return text(b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++],
      b[i++], b[i++], b[i++], b[i++], b[i++], b[i++])
    case 15: return text(b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++],
      b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++])
    default: return text(b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++],
      b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++], b[i++])
  }
}
