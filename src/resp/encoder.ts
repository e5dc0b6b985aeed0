/**
 * The one encoder: replies in RESP2 or RESP3, and requests. Bytes gather in one growing block that the owner takes when
 * it flushes, so that a turn of the event loop ends in one write however many commands it served.
 */
import { writeLatin1 } from '../base/latin1.js'
import type { Bytes } from '../base/units.js'
import type { ReplyWriter } from './reply.js'

const CR = 13
const LF = 10
const INITIAL_BYTES = 16 * 1024
/** A block that grew beyond this is given back after the flush rather than kept for the next one. */
const KEPT_BYTES = 256 * 1024
/** Up to this length a loop over characters beats the call into the engine's own copy. */
const SHORT_TEXT = 24

/** No reply is worth more memory: what asks for it is answered by nobody. */
const MAX_BYTES = 2 ** 31

export class Encoder implements ReplyWriter {
  resp: 2 | 3
  /** At so many bytes the owner has to be given up: nothing is kept from there on, and `full` says so. */
  maxBytes = MAX_BYTES
  full = false
  #block: Buffer
  #length = 0
  /** Of the block, the view that was asked for last: replies are often as long as the ones before. */
  #view: Buffer

  constructor(resp: 2 | 3 = 2, initialBytes = INITIAL_BYTES) {
    this.resp = resp
    this.#block = this.#view = Buffer.allocUnsafeSlow(initialBytes)
  }

  /** Bytes written and not taken. */
  get length(): number {
    return this.#length
  }

  /** Bytes of memory held, written or not. */
  get capacity(): number {
    return this.#block.length
  }

  /** Nothing waits, and the owner has been idle: only a small block is kept. */
  shrink(bytes: number): void {
    if (this.#length === 0 && this.#block.length > bytes) this.#begin(Buffer.allocUnsafeSlow(bytes))
  }

  /** What was written so far, as a view of the block: valid until the next write, `reset` or `take`. */
  view(): Buffer {
    if (this.#view.length !== this.#length) this.#view = this.#block.subarray(0, this.#length)
    return this.#view
  }

  /** One byte of what was written: the first of a reply tells its type. */
  byteAt(index: number): number {
    return this.#block[index] as number
  }

  /** The owner has passed the bytes on and nobody else reads them: the block is used again. */
  reset(): void {
    this.#length = 0
    if (this.#block.length > KEPT_BYTES) this.#begin(Buffer.allocUnsafeSlow(INITIAL_BYTES))
  }

  /** Gives the bytes away; the next write begins a new block. */
  take(): Buffer {
    const bytes = this.view()
    this.#begin(Buffer.allocUnsafeSlow(INITIAL_BYTES))
    this.#length = 0
    return bytes
  }

  /** Forgets everything written after `length`: a reply that is not to be sent. */
  truncate(length: number): void {
    this.#length = length
  }

  /** Bytes that are RESP already. */
  raw(source: Uint8Array, start = 0, end = source.length): void {
    const count = end - start
    this.#reserve(count)
    const block = this.#block
    let at = this.#length
    if (count <= SHORT_TEXT) for (let index = start; index < end; index++) block[at++] = source[index] as number
    else if (start === 0 && end === source.length) block.set(source, at)
    else block.set(source.subarray(start, end), at)
    this.#length += count
  }

  // ── Requests ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** One request, as an array of bulks. */
  command(args: readonly (Bytes | Buffer)[]): void {
    this.#header(0x2a, args.length)
    for (const arg of args) this.bulk(arg)
  }

  // ── Replies ───────────────────────────────────────────────────────────────────────────────────────────────────────

  ok(): void {
    this.#literal('+OK\r\n')
  }

  simple(text: Bytes): void {
    this.#line(0x2b, text)
  }

  error(text: Bytes): void {
    this.#line(0x2d, text)
  }

  integer(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0) this.#header(0x3a, value)
    else this.#literal(`:${value}\r\n`)
  }

  bulk(value: Bytes | Buffer): void {
    const count = value.length
    this.#header(0x24, count)
    this.#reserve(count + 2)
    const block = this.#block
    let at = this.#length
    if (typeof value !== 'string') block.set(value, at)
    else writeLatin1(block, value, at)
    at += count
    block[at] = CR
    block[at + 1] = LF
    this.#length = at + 2
  }

  null(): void {
    this.#literal(this.resp === 2 ? '$-1\r\n' : '_\r\n')
  }

  nullArray(): void {
    this.#literal(this.resp === 2 ? '*-1\r\n' : '_\r\n')
  }

  array(count: number): void {
    this.#header(0x2a, count)
  }

  map(pairs: number): void {
    if (this.resp === 2) this.#header(0x2a, pairs * 2)
    else this.#header(0x25, pairs)
  }

  set(count: number): void {
    this.#header(this.resp === 2 ? 0x2a : 0x7e, count)
  }

  push(count: number): void {
    this.#header(this.resp === 2 ? 0x2a : 0x3e, count)
  }

  double(value: number): void {
    const text = formatDouble(value)
    if (this.resp === 2) this.bulk(text)
    else this.#literal(`,${text}\r\n`)
  }

  boolean(value: boolean): void {
    if (this.resp === 2) this.integer(value ? 1 : 0)
    else this.#literal(value ? '#t\r\n' : '#f\r\n')
  }

  bignum(value: bigint): void {
    if (this.resp === 2) this.bulk(String(value))
    else this.#literal(`(${value}\r\n`)
  }

  verbatim(format: 'txt' | 'mkd', value: Bytes): void {
    if (this.resp === 2) this.bulk(value)
    else {
      this.#header(0x3d, value.length + 4)
      this.#literal(`${format}:`)
      this.#literal(value)
      this.#literal('\r\n')
    }
  }

  /** A type byte, a number that is not negative, CR LF. */
  #header(type: number, value: number): void {
    this.#reserve(24)
    const block = this.#block
    let at = this.#length
    block[at++] = type
    if (value < 10) block[at++] = 48 + value
    else if (value < 0x7fffffff) {
      let digits = 10
      let power = 1_000_000_000
      while (power > value) {
        power = (power / 10) | 0
        digits--
      }
      let rest = value | 0
      for (let place = at + digits - 1; place >= at; place--) {
        const next = (rest / 10) | 0
        block[place] = 48 + (rest - next * 10)
        rest = next
      }
      at += digits
    } else at += writeLatin1(block, String(value), at)
    block[at] = CR
    block[at + 1] = LF
    this.#length = at + 2
  }

  #line(type: number, text: Bytes): void {
    this.#reserve(text.length + 3)
    const block = this.#block
    let at = this.#length
    block[at++] = type
    for (let index = 0; index < text.length; index++) {
      const byte = text.charCodeAt(index)
      block[at++] = byte === CR || byte === LF ? 0x20 : byte
    }
    block[at] = CR
    block[at + 1] = LF
    this.#length = at + 2
  }

  #literal(text: Bytes): void {
    this.#reserve(text.length)
    this.#length += writeLatin1(this.#block, text, this.#length)
  }

  #reserve(count: number): void {
    const needed = this.#length + count
    if (needed <= this.#block.length) return
    if (needed > this.maxBytes) return this.#overflow(count)
    let size = this.#block.length * 2
    while (size < needed) size *= 2
    const block = Buffer.allocUnsafeSlow(size)
    this.#block.copy(block, 0, 0, this.#length)
    this.#begin(block)
  }

  #begin(block: Buffer): void {
    this.#block = this.#view = block
  }

  /** What comes overwrites what nobody will see. */
  #overflow(count: number): void {
    this.full = true
    this.#length = 0
    if (count > this.#block.length) this.#begin(Buffer.allocUnsafeSlow(count))
  }
}

/** One request as bytes of its own. */
export function encodeCommand(args: readonly (Bytes | Buffer)[]): Buffer {
  const encoder = new Encoder(2, 64 + args.length * 48)
  encoder.command(args)
  return encoder.take()
}

/** Redis' spelling of a double (`addReplyDouble`, `%.17g` shortened): `inf`, `-inf`, `nan`, else the shortest that reads back equal. */
export function formatDouble(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (value === Number.POSITIVE_INFINITY) return 'inf'
  if (value === Number.NEGATIVE_INFINITY) return '-inf'
  if (Object.is(value, -0)) return '-0'
  return formatSeventeenDigits(value)
}

/** C's `%.17g`. Redis prints scores so; integers below 1e17 come out without exponent or fraction. */
function formatSeventeenDigits(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e17) return String(BigInt(value))
  const [mantissa, exponentText] = seventeenDigits(value).split('e') as [string, string]
  const exponent = Number(exponentText)
  if (exponent < -4 || exponent >= 17) {
    const sign = exponent < 0 ? '-' : '+'
    return `${mantissa.replace(/\.?0+$/, '')}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`
  }
  const sign = value < 0 ? '-' : ''
  const digits = mantissa.replace(/[-.]/g, '').padStart(17 - Math.min(0, exponent), '0')
  const whole = Math.max(0, exponent) + 1
  return `${sign}${digits.slice(0, whole)}.${digits.slice(whole)}`.replace(/\.?0+$/, '')
}

/** As `%.16e` rounds: what lies exactly between two goes to the even digit, where `toExponential` takes the larger. */
function seventeenDigits(value: number): string {
  const rounded = value.toExponential(16)
  const [more, exponent] = value.toExponential(17).split('e') as [string, string]
  if (!more.endsWith('5') || !'02468'.includes(more.at(-2) as string)) return rounded
  const isTie = /^-?\d\.\d{17}0*e/.test(value.toExponential(100))
  return isTie ? `${more.slice(0, -1)}e${exponent}` : rounded
}
