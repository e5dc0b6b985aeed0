/**
 * (P|S)SUBSCRIBE on a connection lent for as long as anything is subscribed.
 *
 * Messages are passed on as they come. Confirmations are read, so that we know what is subscribed: when the connection is
 * lost or the master changes, the same is subscribed at the new master, and those confirmations are swallowed.
 *
 * Nothing else of the session is taken until a subscribe command has all its confirmations: with RESP3 clients count them
 * among the replies, in order.
 */
import type { Bytes } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import { decodeFrame } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import { itemsOf, textOf } from '../resp/protocol.js'
import type { Call } from '../routing/calls.js'
import type { Request } from './request.js'
import type { Session } from './session.js'
import type { Resp, Upstream } from './upstream.js'

type Kind = 'channels' | 'patterns' | 'shards'

const DASH = 0x2d
const COMMANDS: Readonly<Record<Kind, string>> = { channels: 'SUBSCRIBE', patterns: 'PSUBSCRIBE', shards: 'SSUBSCRIBE' }

interface Asked {
  readonly request: Request
  readonly bytes: Buffer
  /** How many confirmations it has, and how many of them are still to come. */
  readonly all: number
  expected: number
}

/** More than these are not sent before the first is answered. */
const ASKED_MAX = 64
const FOLLOWS = /^\*(?:[2-9]|\d\d+)\r\n\$\d+\r\n[ps]?(?:un)?subscribe\r\n/i
const FOLLOWS_BYTES = 48

export class Subscription {
  upstream: Upstream | undefined
  readonly channels = new Set<Bytes>()
  readonly patterns = new Set<Bytes>()
  readonly shards = new Set<Bytes>()
  /** Commands that wait for their confirmations, first to last. */
  readonly #asked: Asked[] = []
  /** Confirmations of our own subscribing again. */
  #swallow = 0
  /** Answers to our own HELLO that have not come. */
  #greetings = 0

  constructor(private readonly session: Session) {}

  get size(): number {
    return this.channels.size + this.patterns.size + this.shards.size
  }

  /** Commands of it are not answered yet, and nothing else is in flight. */
  get isAwaiting(): boolean {
    return this.#asked.length > 0
  }

  /**
   * Whether what comes next is sent behind them: a client that does not wait for one answer before it subscribes again must
   * hear what is published right after that. One that names nothing waits, as how many answers it has depends on those before.
   */
  mayFollow(decoder: Decoder): boolean {
    const { length } = this.#asked
    return (
      this.upstream !== undefined && length > 0 && length < ASKED_MAX && FOLLOWS.test(decoder.peekText(FOLLOWS_BYTES))
    )
  }

  /** A subscribe command; the session has nothing else in flight but others. */
  request(request: Request, call: Call, decoder: Decoder): void {
    const { session } = this
    this.upstream ??= session.listening.take() ?? session.group.lent.borrow(session)
    if (this.upstream === undefined) {
      if (this.size === 0) session.subscription = undefined
      return session.group.keep(session, request, decoder)
    }
    const kind = kindOf(call.name)
    const unsubscribesAll = call.name.includes('unsubscribe') && decoder.argc === 1
    const all = unsubscribesAll ? Math.max(1, this[kind].size) : decoder.argc - 1
    const bytes = Buffer.from(decoder.buffer.subarray(decoder.start, decoder.end))
    this.#asked.push({ request, bytes, all, expected: all })
    session.awaitAnswers()
    session.lastBecause = 'subscription'
    session.lastTo = this.upstream.instanceId
    session.group.counters.command(call, 'master')
    this.upstream.piped = true
    this.upstream.pipe(bytes)
  }

  /** True when the frame was dealt with; false: it is to be passed on. */
  receive(buffer: Buffer, start: number, end: number): boolean {
    if (!isConfirmation(buffer, start)) {
      if (this.#greetings > 0 && isGreeting(buffer, start)) {
        this.#greetings--
        return true
      }
      // Refused: one error stands for all confirmations.
      if (buffer[start] !== DASH || this.#asked.length === 0) return false
      this.session.passThrough(buffer, start, end)
      this.#finish()
      return true
    }
    this.#note(buffer, start, end)
    if (this.#swallow > 0) {
      this.#swallow--
      return true
    }
    this.session.passThrough(buffer, start, end)
    const [first] = this.#asked
    if (first !== undefined && --first.expected <= 0) this.#finish()
    return true
  }

  #note(buffer: Buffer, start: number, end: number): void {
    const [verb, name] = itemsOf(decodeFrame(buffer, start, end)).map(textOf)
    if (verb === undefined || name === undefined) return
    const names = this[kindOf(verb)]
    if (verb.includes('unsubscribe')) names.delete(name)
    else names.add(name)
  }

  #finish(): void {
    const { session } = this
    const done = this.#asked.shift()
    if (this.size === 0 && this.#swallow === 0 && this.#asked.length === 0) this.#giveBack()
    if (done !== undefined) session.complete(done.request)
  }

  #giveBack(): void {
    const { upstream, session } = this
    this.upstream = undefined
    session.subscription = undefined
    if (upstream !== undefined) session.listening.keep(upstream)
  }

  /** The session has said HELLO: messages are written in another way from now on. */
  speak(resp: Resp): void {
    const { upstream } = this
    if (upstream === undefined || upstream.resp === resp) return
    upstream.resp = resp
    this.#greetings++
    upstream.pipe(encodeCommand(['HELLO', String(resp)]))
  }

  /** The connection is gone: subscribe again where the master is, now or as soon as there is one. */
  onLost(): void {
    this.upstream = undefined
    if (this.session.closed) return
    this.resubscribe()
    this.session.listening.changed()
  }

  resubscribe(): void {
    const { session } = this
    if (session.closed || this.upstream !== undefined) return
    const upstream = session.group.lent.borrow(session)
    if (upstream === undefined) return session.hub.awaitMaster(session)
    this.upstream = upstream
    this.#greetings = 0
    upstream.piped = true
    this.#swallow = this.size
    for (const kind of ['channels', 'patterns', 'shards'] as const) {
      if (this[kind].size > 0) upstream.pipe(encodeCommand([COMMANDS[kind], ...this[kind]]))
    }
    for (const asked of this.#asked) {
      asked.expected = asked.all
      upstream.pipe(asked.bytes)
    }
  }

  abandon(): void {
    const { upstream } = this
    this.upstream = undefined
    if (upstream !== undefined) this.session.group.lent.discard(upstream)
  }
}

function kindOf(verb: string): Kind {
  const first = verb[0]
  return first === 'p' ? 'patterns' : verb.startsWith('ss') || verb.startsWith('sun') ? 'shards' : 'channels'
}

/** What HELLO answers: a map of seven, or the same as an array. Messages and confirmations have less than ten items. */
function isGreeting(buffer: Buffer, start: number): boolean {
  return buffer[start] === 0x25 || (buffer[start] === 0x2a && buffer[start + 2] !== 0x0d)
}

// Messages are `message`, `pmessage`, `smessage`; everything longer is a confirmation: `>3\r\n$9\r\nsubscribe…`.
function isConfirmation(buffer: Buffer, start: number): boolean {
  const type = buffer[start]
  if ((type !== 0x2a && type !== 0x3e) || buffer[start + 4] !== 0x24) return false
  return buffer[start + 5] === 0x39 || buffer[start + 6] !== 0x0d
}
