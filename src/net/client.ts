/**
 * A client of one instance, for everything that is not the hot path: probes, the failover agent, replication handshakes,
 * the CLI, tests. Commands are pipelined; replies are matched in order; every call ends, in a reply or in an error.
 */
import type { Address } from '../base/address.js'
import { Fifo } from '../base/fifo.js'
import type { Bytes, Millis } from '../base/units.js'
import { Decoder } from '../resp/decoder.js'
import { type Frame, ProtocolError, replyLimits } from '../resp/protocol.js'
import { connect, type Peer } from './peer.js'
import type { TlsClient } from './tls.js'

/** The connection failed, was closed, or did not answer in time. `reason` is a short name (`ECONNREFUSED`, `timeout`, `eof`). */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError'
  constructor(readonly reason: string) {
    super(`connection failed: ${reason}`)
  }
}

/** The instance answered with an error; `message` is its text, code first. */
export class ReplyError extends Error {
  override readonly name = 'ReplyError'
  /** The first word: `READONLY`, `ERR`, … */
  get code(): string {
    return this.message.split(' ', 1)[0] as string
  }
}

export interface Credentials {
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** How the connection is secured; undefined: not at all. */
  readonly tls?: TlsClient | undefined
}

export interface ClientOptions extends Credentials {
  readonly connectTimeoutMs: Millis
  /** A reply that takes longer closes the connection, as the ones behind it could not be trusted. */
  readonly replyTimeoutMs: Millis
  /** Told to the instance by CLIENT SETNAME. */
  readonly name?: string
  /** RESP3 push frames, and everything that arrives unasked after SUBSCRIBE or MONITOR. */
  readonly onPush?: (frame: Frame) => void
  readonly onClose?: (reason: string) => void
}

interface Call {
  readonly settle: (frame: Frame) => void
  readonly fail: (error: Error) => void
  readonly deadline: NodeJS.Timeout | undefined
}

/** More calls than this wait for an answer: a caller that never waits. Further ones fail with `too-many-calls`. */
const MAX_PENDING = 10_000

export class Client {
  readonly address: Address
  readonly #options: ClientOptions
  readonly #decoder = new Decoder({ ...replyLimits })
  readonly #calls = new Fifo<Call>()
  readonly #peer: Peer
  readonly #opened: Promise<void>
  #closedBecause: string | undefined

  /** Connects at once; `opened()` tells when, and calls made before are sent then. */
  constructor(address: Address, options: ClientOptions) {
    this.address = address
    this.#options = options
    let open: () => void = () => undefined
    let fail: (error: Error) => void = () => undefined
    this.#opened = new Promise((resolve, reject) => {
      open = resolve
      fail = reject
    })
    this.#opened.catch(() => undefined)
    this.#peer = connect(
      address,
      {
        onOpen: () => open(),
        onData: chunk => this.#receive(chunk),
        onClose: reason => {
          fail(new ConnectionError(reason))
          this.#closed(reason)
        },
      },
      { early: true, timeoutMs: options.connectTimeoutMs, tls: options.tls },
    )
    this.#introduce()
  }

  get closed(): boolean {
    return this.#closedBecause !== undefined
  }

  /** Our end, as the instance sees it. */
  get localPort(): number {
    return this.#peer.localPort
  }

  get localHost(): string {
    return this.#peer.localHost
  }

  /** Resolves when the connection stands; throws ConnectionError. */
  opened(): Promise<void> {
    return this.#opened
  }

  /** Sends one command; throws ReplyError for an error reply and ConnectionError when no reply comes. */
  async call(...args: readonly Bytes[]): Promise<Frame> {
    const frame = await this.send(args)
    if (frame.type === 'error') throw new ReplyError(frame.value)
    return frame
  }

  /** Sends one command; error replies are frames. Throws ConnectionError. `timeoutMs` 0 waits for ever. */
  send(args: readonly Bytes[], timeoutMs: Millis = this.#options.replyTimeoutMs): Promise<Frame> {
    return new Promise((settle, fail) => {
      if (this.#closedBecause !== undefined) return fail(new ConnectionError(this.#closedBecause))
      if (this.#calls.length >= MAX_PENDING) return fail(new ConnectionError('too-many-calls'))
      const deadline = timeoutMs > 0 ? setTimeout(() => this.#peer.destroy('timeout'), timeoutMs) : undefined
      this.#calls.push({ settle, fail, deadline })
      this.#peer.out.command(args)
      this.#peer.flushSoon()
    })
  }

  /** Sends bytes that get no reply (`REPLCONF ACK`). */
  tell(args: readonly Bytes[]): void {
    this.#peer.out.command(args)
    this.#peer.flushSoon()
  }

  close(reason = 'closed'): void {
    this.#peer.destroy(reason)
  }

  #introduce(): void {
    const { username, password, name } = this.#options
    if (password !== undefined && password !== '') {
      const login = username === undefined || username === '' ? ['AUTH', password] : ['AUTH', username, password]
      this.send(login).then(
        frame => {
          if (frame.type === 'error') this.#peer.destroy(frame.value)
        },
        () => undefined,
      )
    }
    if (name !== undefined) this.send(['CLIENT', 'SETNAME', name]).catch(() => undefined)
  }

  #receive(chunk: Buffer): void {
    this.#decoder.feed(chunk)
    try {
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next()) this.#deliver(frame)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#peer.destroy(`protocol-error: ${error.message}`)
    }
    this.#decoder.release()
  }

  #deliver(frame: Frame): void {
    if (frame.type === 'push') return this.#options.onPush?.(frame)
    const call = this.#calls.shift()
    if (call === undefined) {
      if (this.#options.onPush === undefined) this.#peer.destroy('unsolicited-reply')
      else this.#options.onPush(frame)
      return
    }
    clearTimeout(call.deadline)
    call.settle(frame)
  }

  #closed(reason: string): void {
    this.#closedBecause = reason
    for (let call = this.#calls.shift(); call !== undefined; call = this.#calls.shift()) {
      clearTimeout(call.deadline)
      call.fail(new ConnectionError(reason))
    }
    this.#options.onClose?.(reason)
  }
}
