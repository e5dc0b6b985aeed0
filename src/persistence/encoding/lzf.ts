/**
 * LZF, the compression of strings in snapshots.
 *
 *     000LLLLL                        L + 1 literal bytes follow
 *     LLLooooo oooooooo               copy L + 2 bytes (1 ≤ L ≤ 6) from offset + 1 bytes back
 *     111ooooo LLLLLLLL oooooooo      copy L + 9 bytes
 *
 * A copy may overlap what it writes: that is how runs are compressed.
 */
import { readLatin1 } from '../../base/latin1.js'
import { CorruptError } from './corrupt.js'

const LITERALS_MAX = 32
const DISTANCE_MAX = 8192
const COPY_MAX = 264
const HASH_BITS = 14
/** Three bytes can stand for 264: nothing honest expands more, so nothing larger is ever allocated. */
const EXPANSION_MAX = 88

/**
 * Where three bytes with a given hash were last seen, counted on through all inputs: what lies before `base` belongs to
 * an earlier one. So the table need not be cleared for every short string.
 */
const seen = new Int32Array(1 << HASH_BITS)
let base = 1

/** Where short strings are put that are decompressed. */
const expanded = Buffer.allocUnsafeSlow(64 * 1024)

/**
 * Compresses the bytes of `input` from `start` to `end` into `output`, which is as long as they are. Answers how many bytes
 * that made, or -1 when they would not be at least four fewer (Redis' rule for snapshots).
 */
export function compress(input: Uint8Array, start: number, end: number, output: Uint8Array): number {
  const room = end - start - 4
  if (room <= 0) return -1
  const from = takePlaces(end - start) - start
  let at = start
  let out = 0
  let literalFrom = start
  const last = end - 2

  while (at < last) {
    const hash = hashOf(input, at)
    const candidate = (seen[hash] as number) - from
    seen[hash] = from + at
    if (candidate < start || at - candidate > DISTANCE_MAX || !sameThree(input, candidate, at)) {
      at++
      continue
    }
    out = putLiterals(input, literalFrom, at, output, out, room)
    if (out < 0) return -1
    const length = matchLength(input, end, candidate, at)
    out = putCopy(at - candidate - 1, length, output, out, room)
    if (out < 0) return -1
    at += length
    literalFrom = at
  }
  return putLiterals(input, literalFrom, end, output, out, room)
}

/**
 * The bytes of `input` from `start` to `end` become exactly `length` bytes, or a CorruptError. The answer is a view that the
 * next call overwrites, unless it is large.
 */
export function decompress(input: Uint8Array, length: number, start = 0, end: number = input.length): Buffer {
  return expand(input, length, start, end).subarray(0, length)
}

/** The same as text. */
export function decompressText(input: Uint8Array, length: number, start: number, end: number): string {
  return readLatin1(expand(input, length, start, end), 0, length)
}

/** Answers a buffer that begins with what they become. */
function expand(input: Uint8Array, length: number, start: number, end: number): Buffer {
  if (length > (end - start) * EXPANSION_MAX || length <= 0) {
    throw new CorruptError('bad-lzf', `${end - start} bytes cannot become ${length}`)
  }
  const output = length <= expanded.length ? expanded : Buffer.allocUnsafeSlow(length)
  let at = start
  let out = 0
  while (at < end) {
    const control = input[at++] as number
    if (control < LITERALS_MAX) {
      const count = control + 1
      if (at + count > end || out + count > length) throw overrun()
      for (let index = 0; index < count; index++) output[out++] = input[at++] as number
      continue
    }
    let count = (control >> 5) + 2
    // A control byte or an offset that is missing is noticed below: then `at` is behind the end.
    if (count === 9) count += input[at++] as number
    const from = out - ((control & 31) << 8) - (input[at++] as number) - 1
    if (at > end || from < 0 || out + count > length) throw overrun()
    for (let index = 0; index < count; index++) output[out++] = output[from + index] as number
  }
  if (out !== length) throw new CorruptError('bad-lzf', `${out} bytes instead of ${length}`)
  return output
}

/** Places for `count` bytes that no earlier input has used. */
function takePlaces(count: number): number {
  if (base + count > 0x7fffffff) {
    seen.fill(0)
    base = 1
  }
  const from = base
  base += count
  return from
}

function overrun(): CorruptError {
  return new CorruptError('bad-lzf', 'a run leaves its bounds')
}

function hashOf(input: Uint8Array, at: number): number {
  const three = ((input[at] as number) << 16) | ((input[at + 1] as number) << 8) | (input[at + 2] as number)
  return Math.imul(three, 0x9e3779b1) >>> (32 - HASH_BITS)
}

function sameThree(input: Uint8Array, one: number, other: number): boolean {
  return input[one] === input[other] && input[one + 1] === input[other + 1] && input[one + 2] === input[other + 2]
}

function matchLength(input: Uint8Array, end: number, from: number, at: number): number {
  const bound = Math.min(COPY_MAX, end - at)
  let length = 3
  while (length < bound && input[from + length] === input[at + length]) length++
  return length
}

/** Answers the next free place of `output`, or -1 when it would be beyond `room`. */
function putLiterals(
  input: Uint8Array,
  from: number,
  end: number,
  output: Uint8Array,
  out: number,
  room: number,
): number {
  while (from < end) {
    const count = Math.min(LITERALS_MAX, end - from)
    if (out + 1 + count > room) return -1
    output[out++] = count - 1
    for (let index = 0; index < count; index++) output[out++] = input[from++] as number
  }
  return out
}

function putCopy(offset: number, length: number, output: Uint8Array, out: number, room: number): number {
  if (out + 3 > room) return -1
  const rest = length - 2
  if (rest < 7) output[out++] = (rest << 5) | (offset >> 8)
  else {
    output[out++] = 0xe0 | (offset >> 8)
    output[out++] = rest - 7
  }
  output[out++] = offset & 255
  return out
}
