/**
 * A piece of an instance's replication stream, or its whole data set, taken once: the handshake of a replica that goes
 * away when it has what it came for.
 */
import type { Address } from '../base/address.js'
import type { Clock } from '../base/clock.js'
import type { Millis, Offset } from '../base/units.js'
import { ConnectionError, type Credentials } from '../net/client.js'
import { connect, type Peer } from '../net/peer.js'
import { PayloadReader, parsePreamble } from '../replication/payload.js'
import { Decoder } from '../resp/decoder.js'
import { ProtocolError } from '../resp/protocol.js'

export type ExcerptRequest =
  /** The bytes from `from` up to, not including, `until`. */
  | { readonly what: 'stream'; readonly replid: string; readonly from: Offset; readonly until: Offset }
  | { readonly what: 'snapshot' }

/** Chunks are valid during the call only. What throws here ends the excerpt, and is thrown to the caller. */
export interface ExcerptSink {
  onStream(chunk: Buffer): void
  /** Bytes of an RDB: asked for, or sent because the stream could not be had. */
  onSnapshot(chunk: Buffer): void
}

/** `refused`: the error that the instance answered. */
export type ExcerptResult =
  | { readonly got: 'stream' | 'snapshot' }
  | { readonly got: 'nothing'; readonly refused: string }

export interface ExcerptOptions {
  readonly credentials: Credentials
  readonly connectTimeoutMs: Millis
  /** Nothing comes for so long: given up. */
  readonly idleTimeoutMs: Millis
}

/** Throws ConnectionError when the connection is lost or silent before the end. */
export function takeExcerpt(
  clock: Clock,
  address: Address,
  request: ExcerptRequest,
  sink: ExcerptSink,
  options: ExcerptOptions,
): Promise<ExcerptResult> {
  return new Promise((resolve, reject) => new Taking(clock, address, request, sink, options, resolve, reject))
}

class Taking {
  readonly #decoder = new Decoder()
  readonly #peer: Peer
  /** Answers to the introduction that are still to come. */
  #awaited = 1
  #state: 'introduced' | 'asked' | 'preamble' | 'stream' | 'payload' | 'over' = 'introduced'
  #payload: PayloadReader | undefined
  #missing: number
  #cancelIdle: () => void = () => undefined

  constructor(
    private readonly clock: Clock,
    address: Address,
    private readonly request: ExcerptRequest,
    private readonly sink: ExcerptSink,
    private readonly options: ExcerptOptions,
    private readonly resolve: (result: ExcerptResult) => void,
    private readonly reject: (error: unknown) => void,
  ) {
    this.#missing = request.what === 'stream' ? request.until - request.from : 0
    const { credentials } = options
    this.#peer = connect(
      address,
      {
        onOpen: () => undefined,
        onData: chunk => this.#receive(chunk),
        onClose: reason => this.#finish(() => this.reject(new ConnectionError(reason))),
      },
      { timeoutMs: options.connectTimeoutMs, tls: credentials.tls },
    )
    const { username, password } = credentials
    if (password !== undefined && password !== '') {
      this.#awaited++
      this.#send('AUTH', ...(username ? [username, password] : [password]))
    }
    this.#send('REPLCONF', 'capa', 'eof', 'capa', 'psync2')
    this.#rearm()
  }

  #send(...command: readonly string[]): void {
    this.#peer.out.command(command)
    this.#peer.flushSoon()
  }

  #receive(chunk: Buffer): void {
    this.#rearm()
    try {
      if (this.#state === 'stream') return this.#takeStream(chunk)
      if (this.#state === 'payload') return this.#takePayload(chunk)
      this.#decoder.feed(chunk)
      this.#shakeHands()
      const { pending } = this.#decoder
      const rest = pending > 0 ? this.#restOf(pending) : undefined
      if (rest === undefined) this.#decoder.release()
      else this.#takeAny(rest)
    } catch (error) {
      this.#finish(() => this.reject(error instanceof ProtocolError ? new ConnectionError(error.message) : error))
    }
  }

  /** What came behind the last line of the handshake. */
  #restOf(pending: number): Buffer | undefined {
    return this.#state === 'stream' || this.#state === 'payload' ? this.#decoder.take(pending) : undefined
  }

  #takeAny(chunk: Buffer): void {
    if (this.#state === 'stream') this.#takeStream(chunk)
    else this.#takePayload(chunk)
  }

  #shakeHands(): void {
    const decoder = this.#decoder
    // Whether AUTH or REPLCONF was refused, PSYNC's answer will tell.
    while (this.#state === 'introduced' && decoder.next() !== undefined) {
      if (--this.#awaited > 0) continue
      const { request } = this
      this.#state = 'asked'
      if (request.what === 'snapshot') this.#send('PSYNC', '?', '-1')
      else this.#send('PSYNC', request.replid, String(request.from))
    }
    while (this.#state === 'asked' || this.#state === 'preamble') {
      const line = decoder.nextLine()
      if (line === undefined) return
      // A line feed keeps the connection alive while something is prepared.
      if (line !== '') this.#answered(line)
    }
  }

  #answered(line: string): void {
    if (this.#state === 'preamble') {
      const form = parsePreamble(line)
      if (form === undefined) return this.#finish(() => this.resolve({ got: 'nothing', refused: line }))
      this.#payload = new PayloadReader(form)
      this.#state = 'payload'
      if (this.#payload.done) this.#finish(() => this.resolve({ got: 'snapshot' }))
    } else if (line.startsWith('+CONTINUE')) {
      this.#state = 'stream'
      if (this.#missing === 0) this.#finish(() => this.resolve({ got: 'stream' }))
    } else if (line.startsWith('+FULLRESYNC')) this.#state = 'preamble'
    else this.#finish(() => this.resolve({ got: 'nothing', refused: line }))
  }

  #takeStream(chunk: Buffer): void {
    const mine = chunk.subarray(0, this.#missing)
    this.#missing -= mine.length
    this.sink.onStream(mine)
    if (this.#missing === 0) this.#finish(() => this.resolve({ got: 'stream' }))
  }

  #takePayload(chunk: Buffer): void {
    const part = (this.#payload as PayloadReader).feed(chunk)
    for (const bytes of part.payload) this.sink.onSnapshot(bytes)
    if (part.done) this.#finish(() => this.resolve({ got: 'snapshot' }))
  }

  #rearm(): void {
    this.#cancelIdle()
    if (this.#state !== 'over') {
      this.#cancelIdle = this.clock.after(this.options.idleTimeoutMs, () => this.#peer.destroy('timeout'))
    }
  }

  #finish(tell: () => void): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#cancelIdle()
    tell()
    this.#peer.destroy('done')
  }
}
