/**
 * The acting half of a tap: two connections to one instance, and the machine of topology/tap.ts between them.
 *
 *     watcher ──INFO──▶ instance        before, to know where to begin; then four times a second: does it want to end?
 *     stream  ──PSYNC─▶ instance        bytes, counted here and handed over as they come
 *
 * The stream's offset is simply where it began and how many bytes have come since. On a replica they come as they are
 * applied, so whatever has come has been applied there.
 */
import type { Address } from '../base/address.js'
import { type Clock, every } from '../base/clock.js'
import { unreachable } from '../base/invariant.js'
import type { Millis, Offset } from '../base/units.js'
import { Client, type Credentials } from '../net/client.js'
import { connect, type Peer } from '../net/peer.js'
import { Decoder } from '../resp/decoder.js'
import { ProtocolError, textOf } from '../resp/protocol.js'
import { type InfoReply, parseInfo } from '../topology/facts.js'
import {
  beginTap,
  type StreamStart,
  stepTap,
  type Tap,
  type TapEffect,
  type TapEvent,
  type TapPause,
  type TapTarget,
} from '../topology/tap.js'

export interface StreamTapOptions {
  readonly target: TapTarget
  readonly credentials: Credentials
  /**
   * The port it says it listens on, given the address it comes from; undefined: none. Masters tell their sentinels who is
   * attached, so there it must be one that answers.
   */
  readonly announce: ((localHost: string) => Promise<number>) | undefined
  /** After a loss the stream goes on behind this, where the instance still has it. */
  readonly resume: (() => StreamStart | undefined) | undefined
}

export interface TapHandler {
  /** The stream begins with the byte behind `start`. */
  onStart(start: StreamStart): void
  /** The next bytes; valid during the call. `position` has moved already. */
  onBytes(chunk: Buffer): void
  onRest(because: TapPause): void
}

const TICK_MS: Millis = 250
const CONNECT_MS: Millis = 1000
/** The instance has said that it has more, and nothing has come for so long. */
const STALLED_MS: Millis = 2000

export class StreamTap {
  tap: Tap
  readonly #stopTicking: () => void
  #peer: Peer | undefined
  #watcher: Client | undefined
  #decoder = new Decoder()
  /** Answers to the introduction that are still to come. */
  #awaited = 0
  #asking = false
  #offset: Offset = -1
  /** What the instance said it had, and since when we have known that it did not come. */
  #promised: Offset = -1
  #behindSince: Millis | undefined
  #stopped = false

  constructor(
    private readonly clock: Clock,
    private readonly address: Address,
    private readonly options: StreamTapOptions,
    private readonly handler: TapHandler,
  ) {
    this.tap = beginTap(clock.now())
    this.#stopTicking = every(clock, TICK_MS, () => this.#handle({ type: 'tick' }))
    this.#handle({ type: 'tick' })
  }

  /** Everything up to here has come; undefined while it is not streaming. */
  get position(): StreamStart | undefined {
    return this.tap.status === 'streaming' ? { replid: this.tap.start.replid, offset: this.#offset } : undefined
  }

  get streaming(): boolean {
    return this.tap.status === 'streaming'
  }

  get replid(): string | undefined {
    return this.tap.status === 'streaming' ? this.tap.start.replid : undefined
  }

  /** The last byte that came; meaningful while streaming. */
  get offset(): Offset {
    return this.#offset
  }

  /** Something in the stream says that the instance may want to end: ask at once. */
  look(): void {
    if (this.streaming) this.#ask()
  }

  /** What comes stays with the system until `resume`, and is read at once then. */
  pause(): void {
    if (this.streaming) this.#peer?.pause()
  }

  resume(): void {
    this.#peer?.resume()
  }

  stop(): void {
    this.#stopped = true
    this.#stopTicking()
    this.#close()
    this.#watcher?.close('stopped')
  }

  /** Every timer, byte and answer ends up here. */
  #handle(event: TapEvent): void {
    if (this.#stopped) return
    const { target, resume } = this.options
    const before = this.tap
    const rules = { target, resume: resume?.() }
    const { tap, effects } = stepTap(before, event, rules, this.clock.now())
    this.tap = tap
    if (before.status !== 'streaming' && tap.status === 'streaming') this.#begin(tap.start)
    for (const effect of effects) this.#perform(effect)
  }

  #begin(start: StreamStart): void {
    this.#offset = start.offset
    this.#promised = -1
    this.#behindSince = undefined
    this.handler.onStart(start)
  }

  #perform(effect: TapEffect): void {
    switch (effect.do) {
      case 'prepare':
        return this.#prepare()
      case 'ask':
        return this.#ask()
      case 'psync':
        // The byte after the last one that we count as had.
        return this.#send('PSYNC', effect.start.replid, String(effect.start.offset + 1))
      case 'say-alive':
        return this.#send('REPLCONF', 'ACK', '0')
      case 'close':
        this.#close()
        return this.handler.onRest(effect.because)
      default:
        return unreachable(effect)
    }
  }

  #send(...command: readonly string[]): void {
    this.#peer?.out.command(command)
    this.#peer?.flushSoon()
  }

  // ── The stream ────────────────────────────────────────────────────────────────────────────────────────────────────

  #prepare(): void {
    const { tls } = this.options.credentials
    this.#decoder = new Decoder()
    const peer: Peer = connect(
      this.address,
      {
        onOpen: () => this.#introduce(peer),
        onData: chunk => {
          if (this.#peer === peer) this.#receive(chunk)
        },
        onClose: () => {
          if (this.#peer !== peer) return
          this.#peer = undefined
          this.#handle({ type: 'closed' })
        },
      },
      { early: true, timeoutMs: CONNECT_MS, tls },
    )
    this.#peer = peer
  }

  #introduce(peer: Peer, port?: number): void {
    if (this.#peer !== peer) return
    const { credentials, announce } = this.options
    if (announce !== undefined && port === undefined) {
      // Without a port it is refused less politely by sentinels, but not by the instance.
      announce(peer.localHost).then(
        found => this.#introduce(peer, found),
        () => this.#introduce(peer, 0),
      )
      return
    }
    const { username, password } = credentials
    this.#awaited = 1
    if (password !== undefined && password !== '') {
      this.#awaited++
      this.#send('AUTH', ...(username ? [username, password] : [password]))
    }
    if (port !== undefined && port > 0) {
      this.#awaited++
      this.#send('REPLCONF', 'listening-port', String(port))
    }
    this.#send('REPLCONF', 'capa', 'eof', 'capa', 'psync2')
  }

  #receive(chunk: Buffer): void {
    if (this.streaming) return this.#count(chunk)
    const decoder = this.#decoder
    decoder.feed(chunk)
    try {
      while (this.tap.status === 'preparing' && decoder.next() !== undefined) {
        // Whether REPLCONF or AUTH was refused, PSYNC's answer will tell.
        if (--this.#awaited === 0) this.#handle({ type: 'prepared' })
      }
      while (this.tap.status === 'attaching') {
        const line = decoder.nextLine()
        if (line === undefined) break
        this.#handle({ type: 'answer', line })
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#peer?.destroy('protocol-error')
      return
    }
    if (this.streaming && decoder.pending > 0) this.#count(decoder.take(decoder.pending) as Buffer)
    else decoder.release()
  }

  #count(chunk: Buffer): void {
    this.#offset += chunk.length
    this.handler.onBytes(chunk)
  }

  #close(): void {
    const peer = this.#peer
    this.#peer = undefined
    peer?.destroy('untapped')
  }

  // ── The watcher ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** One question at a time; one that is not answered in time closes the watcher, which is dialled again for the next. */
  #ask(): void {
    if (this.#asking) return
    this.#asking = true
    if (this.#watcher === undefined || this.#watcher.closed) {
      const { credentials } = this.options
      const timeouts = { connectTimeoutMs: CONNECT_MS, replyTimeoutMs: CONNECT_MS }
      this.#watcher = new Client(this.address, { ...credentials, ...timeouts, name: 'lagrange-tap' })
    }
    const sections = ['server', 'replication'].map(section => (this.#watcher as Client).send(['INFO', section]))
    Promise.all(sections).then(
      frames => {
        this.#asking = false
        const info = parseInfo(frames.map(frame => textOf(frame) ?? '').join('\r\n'))
        if (info !== undefined) this.#informed(info)
      },
      () => {
        this.#asking = false
      },
    )
  }

  #informed(info: InfoReply): void {
    if (this.streaming && this.#isStalled(info.offset ?? -1)) return this.#handle({ type: 'stalled' })
    this.#handle({ type: 'info', info })
  }

  /** It had what it promised the last time, and that has not come. */
  #isStalled(offset: Offset): boolean {
    const now = this.clock.now()
    if (this.#offset >= this.#promised) this.#behindSince = undefined
    else this.#behindSince ??= now
    this.#promised = offset
    return this.#behindSince !== undefined && now - this.#behindSince > STALLED_MS
  }
}
