/**
 * The one decoder. Clients, upstreams, replication streams, sentinels, the CLI and the tests all read with it.
 *
 * It is fed chunks and asked what they hold. It looks at every byte once, however the bytes are cut: the scan of an
 * unfinished frame resumes where it stopped. It reports where a frame lies (`start`, `end` in `buffer`), so that a proxy
 * forwards the slice without decoding it, and how many bytes of the connection were used (`consumed`), because
 * replication offsets *are* this number.
 *
 *     decoder.feed(chunk)                    chunk may be a shared read buffer …
 *     while (decoder.nextRequest()) …        buffer, start, end, argc, arg(i)
 *     decoder.release()                      … because what is unfinished is copied here, and only that
 *
 * A slice of `buffer` is valid until `release`. Errors are ProtocolErrors; after one the decoder is of no further use.
 */
import { readLatin1, readName } from '../base/latin1.js'
import type { Bytes } from '../base/units.js'
import { type Frame, type Limits, ProtocolError, replyLimits } from './protocol.js'

const CR = 13
const LF = 10
const EMPTY = Buffer.alloc(0)
/** So much is allocated at once for an argument of that length, though a client has only announced it. */
const KNOWN_ROOM = 1024 * 1024
/** Where the scan of a frame stands. */
const HEADER = 0
const BODY = 1
/** A count that is not known in advance: a streamed aggregate of RESP3, ended by `.`. */
const STREAMED = -1

export class Decoder {
  limits: Limits
  /** Where the last frame lies. */
  buffer: Buffer = EMPTY
  start = 0
  end = 0
  /** Arguments of the last request; `argStart[i]` … `argEnd[i]` in `buffer`. */
  argc = 0
  readonly argStart: number[] = []
  readonly argEnd: number[] = []

  /** Next unread byte of the input, and its end. */
  #input: Buffer = EMPTY
  #at = 0
  #limit = 0
  /** The input is our own memory, so `release` only has to move what is left. */
  #owned = false
  #consumed = 0

  // The unfinished frame: where its scan stands, relative to #at so that moving the bytes changes nothing.
  #scanned = 0
  #state = HEADER
  #bodyLeft = 0
  readonly #stack: number[] = []
  /** Arguments of the unfinished request that are still to come; 0 when its count line has not been read. */
  #argsLeft = 0
  #argsFound = 0
  /** How many bytes from #at on the unfinished argument will have brought; 0 when that is not known. */
  #wanted = 0

  constructor(limits: Limits = replyLimits) {
    this.limits = limits
  }

  /** Bytes of this connection that belong to frames handed out, lines read and payload taken so far. */
  get consumed(): number {
    return this.#consumed
  }

  /** Bytes fed and not yet handed out. */
  get pending(): number {
    return this.#limit - this.#at
  }

  /** Of these, what is not part of a complete argument: Redis' query buffer. For showing only. */
  get unparsed(): number {
    const from = this.#at + this.#scanned
    if (from >= this.#limit || this.#input[from] !== 0x24) return this.#limit - from
    const line = this.#input.subarray(from, Math.min(this.#limit, from + 32)).indexOf(LF)
    return line < 0 ? this.#limit - from : this.#limit - from - line - 1
  }

  /** Bytes of memory held for what is pending. */
  get heldBytes(): number {
    return this.#owned ? this.#input.length : 0
  }

  feed(chunk: Buffer): void {
    if (this.#at === this.#limit) {
      this.#input = chunk
      this.#at = 0
      this.#limit = chunk.length
      this.#owned = false
      return
    }
    if (!this.#owned) this.release()
    this.#append(chunk)
  }

  /** The caller is about to reuse the memory of its chunk: keep what is unread. */
  release(): void {
    if (this.#at === this.#limit) {
      this.#input = this.buffer = EMPTY
      this.#at = this.#limit = 0
      this.#owned = false
      return
    }
    if (this.#owned) return
    const rest = this.#limit - this.#at
    const own = Buffer.allocUnsafeSlow(this.#roomFor(rest))
    this.#input.copy(own, 0, this.#at, this.#limit)
    this.#input = own
    this.#at = 0
    this.#limit = rest
    this.#owned = true
  }

  /** Exactly what the unfinished argument needs, once a good part of it is there or it is not large; else twice what is. */
  #roomFor(bytes: number): number {
    const wanted = this.#wanted
    if (wanted > bytes && wanted <= Math.max(KNOWN_ROOM, bytes * 4)) return wanted
    return Math.max(1024, bytes * 2)
  }

  #append(chunk: Buffer): void {
    const rest = this.#limit - this.#at
    if (this.#limit + chunk.length > this.#input.length) {
      const fits = rest + chunk.length <= this.#input.length && rest < this.#input.length / 2
      const own = fits ? this.#input : Buffer.allocUnsafeSlow(this.#roomFor(rest + chunk.length))
      this.#input.copy(own, 0, this.#at, this.#limit)
      this.#input = own
      this.#at = 0
      this.#limit = rest
    }
    chunk.copy(this.#input, this.#limit)
    this.#limit += chunk.length
  }

  // ── Requests ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Reads one request, an array of bulks or an inline line, into `argc`, `argStart`, `argEnd`. An inline request is
   * rewritten as an array of bulks, so that `buffer`, `start`, `end` can always be forwarded. Empty requests are skipped.
   */
  nextRequest(): boolean {
    while (this.#at < this.#limit) {
      if (this.#argsLeft === 0 && this.#input[this.#at] !== 0x2a) {
        const found = this.#nextInline()
        if (found === undefined) return false
        if (found) return true
        continue
      }
      if (this.#argsLeft === 0) {
        const count = this.#number(this.#at + 1, 'invalid multibulk length', 'too big mbulk count string')
        if (count === undefined) return false
        if (count > this.limits.count) {
          throw new ProtocolError(
            this.limits.count < 1024 ? 'unauthenticated multibulk length' : 'invalid multibulk length',
          )
        }
        if (count <= 0) {
          this.#use(this.#afterNumber - this.#at)
          continue
        }
        this.#argsLeft = count
        this.#argsFound = 0
        this.#scanned = this.#afterNumber - this.#at
      }
      return this.#arguments()
    }
    return false
  }

  /** The bytes of argument `index` as text. */
  arg(index: number): Bytes {
    return readLatin1(this.buffer, this.argStart[index] as number, this.argEnd[index] as number)
  }

  /** The same, cut behind `bytes`. */
  argStartingWith(index: number, bytes: number): Bytes {
    const start = this.argStart[index] as number
    return readLatin1(this.buffer, start, Math.min(this.argEnd[index] as number, start + bytes))
  }

  argLength(index: number): number {
    return (this.argEnd[index] as number) - (this.argStart[index] as number)
  }

  /** All arguments as text. */
  args(): Bytes[] {
    const all = new Array<Bytes>(this.argc)
    all[0] = readName(this.buffer, this.argStart[0] as number, this.argEnd[0] as number)
    for (let index = 1; index < this.argc; index++) all[index] = this.arg(index)
    return all
  }

  #arguments(): boolean {
    const input = this.#input
    const base = this.#at
    let at = base + this.#scanned
    this.#wanted = 0
    while (this.#argsLeft > 0) {
      if (at >= this.#limit) break
      if (input[at] !== 0x24) throw new ProtocolError(`expected '$', got '${printable(input[at] as number)}'`)
      const length = this.#number(at + 1, 'invalid bulk length', 'too big bulk count string')
      if (length === undefined) break
      if (length < 0) throw new ProtocolError('invalid bulk length')
      if (length > this.limits.bulk) {
        throw new ProtocolError(this.limits.count < 1024 ? 'unauthenticated bulk length' : 'invalid bulk length')
      }
      const from = this.#afterNumber
      if (from + length + 2 > this.#limit) {
        this.#wanted = from + length + 2 - base
        break
      }
      this.argStart[this.#argsFound] = from - base
      this.argEnd[this.#argsFound] = from - base + length
      this.#argsFound++
      this.#argsLeft--
      at = from + length + 2
    }
    this.#scanned = at - base
    if (this.#argsLeft > 0) return false

    this.argc = this.#argsFound
    for (let index = 0; index < this.argc; index++) {
      ;(this.argStart[index] as number) += base
      ;(this.argEnd[index] as number) += base
    }
    this.#found(at)
    return true
  }

  /** The arguments of a request that has not ended, as far as they are there; none when nothing of one is. */
  openArguments(): Buffer[] {
    if (this.#argsLeft === 0) return []
    const at = (index: number, edge: readonly number[]): number => this.#at + (edge[index] as number)
    return Array.from({ length: this.#argsFound }, (_, index) =>
      this.#input.subarray(at(index, this.argStart), at(index, this.argEnd)),
    )
  }

  /** How many arguments that request will have. */
  get openArgc(): number {
    return this.#argsFound + this.#argsLeft
  }

  /** From here on `nextPart` hands it out as it comes; `argc` and the arguments that are there can be looked at until then. */
  startParts(): void {
    this.argc = this.openArgc
    for (let index = 0; index < this.#argsFound; index++) {
      ;(this.argStart[index] as number) += this.#at
      ;(this.argEnd[index] as number) += this.#at
    }
    this.#argsLeft = this.#argsFound = this.#scanned = this.#wanted = 0
  }

  /** true: a request; false: an empty line was skipped; undefined: the line is not complete. */
  #nextInline(): boolean | undefined {
    const from = this.#at + this.#scanned
    const feed = this.#input.subarray(from, this.#limit).indexOf(LF)
    const length = feed < 0 ? this.#limit - this.#at : from + feed - this.#at
    if (length > this.limits.line) throw new ProtocolError('too big inline request')
    if (feed < 0) {
      this.#scanned = this.#limit - this.#at
      return undefined
    }
    let end = this.#at + length
    if (end > this.#at && this.#input[end - 1] === CR) end--
    const words = splitWords(readLatin1(this.#input, this.#at, end))
    if (words === undefined) throw new ProtocolError('unbalanced quotes in request')
    this.#scanned = 0
    this.#use(length + 1)
    if (words.length === 0) return false
    this.#rewrite(words)
    return true
  }

  #rewrite(words: readonly Bytes[]): void {
    const parts = [`*${words.length}\r\n`]
    let at = (parts[0] as string).length
    for (const [index, word] of words.entries()) {
      const header = `$${word.length}\r\n`
      this.argStart[index] = at + header.length
      this.argEnd[index] = at + header.length + word.length
      at += header.length + word.length + 2
      parts.push(header, word, '\r\n')
    }
    this.argc = words.length
    this.buffer = Buffer.from(parts.join(''), 'latin1')
    this.start = 0
    this.end = at
  }

  // ── Frames of any type ────────────────────────────────────────────────────────────────────────────────────────────

  /** Finds the end of the next frame; `buffer`, `start`, `end` are its bytes, attributes in front of it included. */
  nextFrame(): boolean {
    if (this.#at === this.#limit) return false
    const end = this.#scan()
    if (end === undefined) return false
    this.#found(end)
    return true
  }

  /**
   * For replies too large to wait for: hands out what has arrived of the current frame (`buffer`, `start`, `end`).
   * Answers 'whole' with its last part, 'part' when more follows, undefined when nothing can be handed out yet.
   */
  nextPart(): 'part' | 'whole' | undefined {
    if (this.#at === this.#limit) return undefined
    const end = this.#scan()
    if (end !== undefined) {
      this.#found(end)
      return 'whole'
    }
    if (this.#scanned === 0) return undefined
    const scanned = this.#scanned
    this.#scanned = 0
    this.#handOut(this.#at + scanned)
    return 'part'
  }

  /** The first byte of the frame that comes next: `-` for an error. undefined when nothing has arrived. */
  peekByte(): number | undefined {
    return this.#at < this.#limit ? this.#input[this.#at] : undefined
  }

  /** So many bytes at most of what comes next, as Latin-1. */
  peekText(count: number): Bytes {
    return readLatin1(this.#input, this.#at, Math.min(this.#limit, this.#at + count))
  }

  /** Decodes the frame that `nextFrame` found. */
  value(): Frame {
    return decodeFrame(this.buffer, this.start, this.end)
  }

  /** `nextFrame` and `value` in one. */
  next(): Frame | undefined {
    return this.nextFrame() ? this.value() : undefined
  }

  /** Answers where the current frame ends, or undefined when it is not complete; keeps its place in #scanned. */
  #scan(): number | undefined {
    const input = this.#input
    const stack = this.#stack
    let at = this.#at + this.#scanned
    for (;;) {
      if (this.#state === BODY) {
        const step = Math.min(this.#bodyLeft, this.#limit - at)
        at += step
        this.#bodyLeft -= step
        if (this.#bodyLeft > 0) break
        // Whoever is shown a body that ends elsewhere than it says is out of step from there on.
        if (input[at - 1] !== LF || (at - 2 >= this.#at && input[at - 2] !== CR))
          throw new ProtocolError('no CR LF behind a bulk')
        this.#state = HEADER
      } else {
        if (at >= this.#limit) break
        const type = input[at] as number
        const next = this.#header(type, at)
        if (next === undefined) break
        at = next
        // A header that opens something (items or a body) is not yet the end of a value.
        if (this.#opened) continue
      }
      // One value is complete, and with it every aggregate whose last item it was.
      let depth = stack.length
      while (depth > 0) {
        const left = stack[depth - 1] as number
        if (left === STREAMED) break
        if (left > 1) {
          stack[depth - 1] = left - 1
          break
        }
        depth--
      }
      stack.length = depth
      if (depth === 0) {
        this.#scanned = 0
        return at
      }
    }
    this.#scanned = at - this.#at
    return undefined
  }

  /** Set by #header: items or a body follow, the value is not complete. */
  #opened = false

  /** Reads the line at `at`; answers where it ends, or undefined when it is not complete. */
  #header(type: number, at: number): number | undefined {
    this.#opened = false
    switch (type) {
      case 0x2b: // +
      case 0x2d: // -
      case 0x3a: // :
      case 0x28: // ( big number
      case 0x2c: // , double
      case 0x5f: // _ null
      case 0x23: // # boolean
        return this.#line(at)
      case 0x24: // $
      case 0x3d: // = verbatim
      case 0x21: // ! error
        return this.#bulkHeader(at)
      case 0x2a: // *
      case 0x7e: // ~ set
      case 0x3e: // > push
        return this.#aggregateHeader(at, 1, 0)
      case 0x25: // % map
        return this.#aggregateHeader(at, 2, 0)
      case 0x7c: // | attribute: its pairs, then the value it belongs to
        return this.#aggregateHeader(at, 2, 1)
      case 0x2e: // . end of a streamed aggregate
        if (this.#stack.at(-1) !== STREAMED) throw new ProtocolError("unexpected '.'")
        return this.#closeStreamed(at)
      default:
        throw new ProtocolError(`unknown type '${printable(type)}'`)
    }
  }

  #bulkHeader(at: number): number | undefined {
    const length = this.#number(at + 1, 'invalid bulk length', 'too big bulk count string')
    if (length === undefined) return undefined
    if (length > this.limits.bulk || length < -1) throw new ProtocolError('invalid bulk length')
    if (length >= 0) {
      this.#state = BODY
      this.#bodyLeft = length + 2
      this.#opened = true
    }
    return this.#afterNumber
  }

  #aggregateHeader(at: number, each: 1 | 2, more: 0 | 1): number | undefined {
    if (this.#limit - at < 4) return undefined
    if (this.#input[at + 1] === 0x3f) {
      // `*?`: streamed. An attribute is not: nobody could tell where its value begins.
      if (more === 1 || this.#input[at + 2] !== CR) throw new ProtocolError('invalid multibulk length')
      const end = this.#line(at)
      if (end !== undefined) this.#open(STREAMED)
      return end
    }
    const count = this.#number(at + 1, 'invalid multibulk length', 'too big mbulk count string')
    if (count === undefined) return undefined
    if (count > this.limits.count || count < -1) throw new ProtocolError('invalid multibulk length')
    const items = count * each + more
    if (items > 0) this.#open(items)
    return this.#afterNumber
  }

  #closeStreamed(at: number): number | undefined {
    const end = this.#line(at)
    if (end !== undefined) this.#stack.pop()
    return end
  }

  #open(items: number): void {
    if (this.#stack.length >= this.limits.depth) throw new ProtocolError('nested too deep')
    this.#stack.push(items)
    this.#opened = true
  }

  /** Where the line that begins at `at` ends, CR LF included. */
  #line(at: number): number | undefined {
    const input = this.#input
    const limit = this.#limit
    let place = at + 1
    for (; place < limit && input[place] !== CR; place++) {
      // Readers that end lines at LF would take what follows for another reply.
      if (input[place] === LF) throw new ProtocolError('LF within a line')
    }
    if (place - at > this.limits.line) throw new ProtocolError('too long line')
    if (place + 1 >= limit) return undefined
    if (input[place + 1] !== LF) throw new ProtocolError('CR without LF')
    return place + 2
  }

  /** Set by #number: the byte after its CR LF. */
  #afterNumber = 0

  /** Reads a decimal number and CR LF; undefined when they have not arrived. Strict, as Redis is. */
  #number(at: number, invalid: string, tooBig: string): number | undefined {
    const input = this.#input
    const limit = this.#limit
    let place = at
    let value = 0
    let digits = 0
    const negative = input[place] === 0x2d && place < limit
    if (negative) place++
    for (; place < limit; place++) {
      const digit = (input[place] as number) - 48
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
      digits++
      if (digits > 20) throw new ProtocolError(invalid)
    }
    if (place + 1 >= limit) {
      if (place < limit && input[place] !== CR) throw new ProtocolError(invalid)
      if (limit - at > 64 * 1024) throw new ProtocolError(tooBig)
      return undefined
    }
    if (digits === 0 || input[place] !== CR || input[place + 1] !== LF) throw new ProtocolError(invalid)
    // No leading zeros, and no minus in front of none.
    if (input[place - digits] === 0x30 && (digits > 1 || negative)) throw new ProtocolError(invalid)
    this.#afterNumber = place + 2
    return negative ? -value : value
  }

  // ── Lines and payload outside of frames ───────────────────────────────────────────────────────────────────────────

  /** One line without its ending: what precedes a snapshot (`$<length>`, `$EOF:<mark>`, or an empty keepalive). */
  nextLine(): Bytes | undefined {
    const feed = this.#input.subarray(this.#at, this.#limit).indexOf(LF)
    const length = feed < 0 ? this.#limit - this.#at : feed
    if (length > this.limits.line) throw new ProtocolError('too long line')
    if (feed < 0) return undefined
    const end = this.#at + feed
    const text = readLatin1(this.#input, this.#at, feed > 0 && this.#input[end - 1] === CR ? end - 1 : end)
    this.#use(feed + 1)
    return text
  }

  /** At most `count` bytes of payload that is not RESP; undefined when none has arrived. Valid until `release`. */
  take(count: number): Buffer | undefined {
    const size = Math.min(count, this.#limit - this.#at)
    if (size <= 0) return undefined
    const payload = this.#input.subarray(this.#at, this.#at + size)
    this.#use(size)
    return payload
  }

  /** The last `count` bytes of what was taken are wanted again: they were not payload. */
  giveBack(count: number): void {
    this.#use(-count)
  }

  #found(end: number): void {
    this.#scanned = 0
    this.#handOut(end)
  }

  #handOut(end: number): void {
    this.buffer = this.#input
    this.start = this.#at
    this.end = end
    this.#use(end - this.#at)
  }

  #use(count: number): void {
    this.#at += count
    this.#consumed += count
  }
}

/** Builds the value of one complete frame, without recursion. Attributes are read over. */
export function decodeFrame(buffer: Buffer, start: number, end: number): Frame {
  let at = start
  const open: { frame: { type: 'array'; items: Frame[] }; left: number }[] = []
  for (;;) {
    const type = buffer[at] as number
    const lineEnd = buffer.indexOf('\r\n', at, 'latin1')
    const line = readLatin1(buffer, at + 1, lineEnd)
    at = lineEnd + 2
    let frame: Frame | undefined
    switch (type) {
      case 0x2b:
        frame = { type: 'simple', value: line }
        break
      case 0x2d:
        frame = { type: 'error', value: line }
        break
      case 0x3a:
        frame = { type: 'integer', value: integerOf(line) }
        break
      case 0x5f:
        frame = { type: 'null' }
        break
      case 0x23:
        frame = { type: 'boolean', value: line === 't' }
        break
      case 0x2c:
        frame = { type: 'double', value: doubleOf(line) }
        break
      case 0x28:
        frame = { type: 'bignum', value: bigintOf(line) }
        break
      case 0x24:
      case 0x21:
      case 0x3d: {
        const length = Number(line)
        if (length < 0) {
          frame = { type: 'null' }
          break
        }
        const text = readLatin1(buffer, at, at + length)
        at += length + 2
        if (type === 0x24) frame = { type: 'bulk', value: text }
        else if (type === 0x21) frame = { type: 'error', value: text }
        else frame = { type: 'verbatim', format: text.slice(0, 3), value: text.slice(4) }
        break
      }
      case 0x2e: {
        const streamed = open.pop()
        frame = streamed?.frame
        break
      }
      default: {
        const streamed = line === '?'
        const count = streamed ? Number.POSITIVE_INFINITY : Number(line) * (type === 0x25 || type === 0x7c ? 2 : 1)
        if (count < 0) {
          frame = { type: 'null' }
          break
        }
        const kind = type === 0x25 ? 'map' : type === 0x7e ? 'set' : type === 0x3e ? 'push' : 'array'
        // An attribute's pairs are read into a frame that nobody keeps; the value behind it takes its place.
        const aggregate = { type: kind, items: [] as Frame[] } as { type: 'array'; items: Frame[] }
        if (type === 0x7c) {
          if (count > 0) open.push({ frame: Object.assign(aggregate, { attribute: true }), left: count })
          continue
        }
        if (count === 0) frame = aggregate
        else {
          open.push({ frame: aggregate, left: count })
          continue
        }
      }
    }
    // Close every aggregate that this value completes.
    let closed: Frame | undefined = frame
    while (closed !== undefined) {
      const parent = open.at(-1)
      if (parent === undefined) return closed
      parent.frame.items.push(closed)
      parent.left--
      if (parent.left > 0) break
      open.pop()
      closed = 'attribute' in parent.frame ? undefined : parent.frame
    }
    if (at >= end && open.length === 0 && closed !== undefined) return closed
  }
}

function integerOf(line: Bytes): number | bigint {
  const value = Number(line)
  if (Number.isSafeInteger(value)) return value
  return bigintOf(line)
}

function bigintOf(line: Bytes): bigint {
  if (!/^[+-]?\d{1,4096}$/.test(line)) throw new ProtocolError('invalid number')
  return BigInt(line.replace(/^\+/, ''))
}

function doubleOf(line: Bytes): number {
  if (line === 'inf') return Number.POSITIVE_INFINITY
  if (line === '-inf') return Number.NEGATIVE_INFINITY
  return Number(line)
}

function printable(byte: number): string {
  return byte >= 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
}

/**
 * Splits a line into words as Redis does (`sdssplitargs`): white space between them, "…" with \n \r \t \b \a \xHH
 * escapes, '…' with \' only. undefined when quotes are not balanced or are followed by something else than a space.
 */
export function splitWords(line: Bytes): Bytes[] | undefined {
  const words: Bytes[] = []
  let at = 0
  for (;;) {
    while (at < line.length && isSpace(line.charCodeAt(at))) at++
    if (at >= line.length) return words
    let word = ''
    while (at < line.length && !isSpace(line.charCodeAt(at))) {
      const quote = line[at] as string
      if (quote !== '"' && quote !== "'") {
        word += quote
        at++
        continue
      }
      const quoted = readQuoted(line, at)
      if (quoted === undefined) return undefined
      word += quoted.text
      at = quoted.end
      if (at < line.length && !isSpace(line.charCodeAt(at))) return undefined
    }
    words.push(word)
  }
}

function readQuoted(line: Bytes, start: number): { text: Bytes; end: number } | undefined {
  const quote = line[start]
  let text = ''
  for (let at = start + 1; at < line.length; at++) {
    const char = line[at] as string
    if (char === quote) return { text, end: at + 1 }
    if (char !== '\\') {
      text += char
      continue
    }
    const next = line[at + 1]
    if (quote === "'") {
      if (next === "'") {
        text += "'"
        at++
      } else text += char
      continue
    }
    const hex = /^x([0-9a-fA-F]{2})/.exec(line.slice(at + 1, at + 4))
    if (hex !== null) {
      text += String.fromCharCode(Number.parseInt(hex[1] as string, 16))
      at += 3
    } else if (next !== undefined) {
      text += escapes[next] ?? next
      at++
    }
  }
  return undefined
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\x07' }

function isSpace(byte: number): boolean {
  return byte === 32 || (byte >= 9 && byte <= 13) || byte === 0
}
