/**
 * What a worker remembers of the traffic: commands that took long, keys that are asked for most, values that are large.
 *
 * It stands beside the path of commands, not in it: one comparison per reply (was it slow?) and one count-down to the next
 * sample. Only slow and sampled commands are read a second time, from the bytes that are kept until they are answered.
 *
 * Bounds: `slowEntries` slow commands, of which `SLOW_PER_WINDOW` may come in a tenth of a second; `KEYS` hot keys per
 * window, `KEYS` big ones; keys and arguments are cut.
 */
import type { Clock } from '../base/clock.js'
import { Ring } from '../base/ring.js'
import { TopK } from '../base/top-k.js'
import type { Bytes, Millis, UnixMillis } from '../base/units.js'
import { keysOf } from '../command/table.js'
import { Decoder } from '../resp/decoder.js'
import { requestLimits } from '../resp/protocol.js'
import type { Call } from '../routing/calls.js'
import type { Asker } from './asker.js'
import { type Request, reread } from './request.js'

export interface InsightOptions {
  /** A command that took at least so long is remembered; 0: none is. */
  readonly slowMs: Millis
  readonly slowEntries: number
  /** One in so many commands is looked at, on average; 0: none is. */
  readonly sampleEvery: number
}

export interface SlowCommand {
  readonly at: UnixMillis
  readonly ms: Millis
  readonly heldMs: Millis
  readonly command: readonly string[]
  readonly node: string
  readonly client: string
}

export interface KeyReport {
  readonly sampleEvery: number
  /** What the counts were gathered in. */
  readonly windowMs: Millis
  readonly sampled: number
  readonly hot: readonly { readonly key: string; readonly count: number; readonly error: number }[]
  readonly big: readonly BigValue[]
}

export interface BigValue {
  readonly key: string
  readonly bytes: number
  readonly command: string
}

/** Counted at once. */
const KEYS = 128
const WINDOW_MS: Millis = 30_000
const BIG_BYTES = 16 * 1024
/** No key is worth sampling of a command that names more than this. */
const KEYS_PER_COMMAND = 16
const MAX_ARGS = 32
const MAX_ARG_BYTES = 128
/** Where everything is slow, so many are written down per window; the rest is measured like all others. */
const SLOW_PER_WINDOW = 128
const SLOW_WINDOW_MS: Millis = 100
/** Their arguments are secrets, or hold some. */
const SECRETIVE = /^(auth|hello|migrate|acl|acl\|.*|config|config\|.*|sentinel|sentinel\|.*|other)$/

export class Insight {
  /** Commands until the next one is looked at. */
  #countdown: number
  readonly #slowMs: Millis
  readonly #slow: Ring<SlowCommand>
  #slowSince: Millis = Number.NEGATIVE_INFINITY
  #slowInWindow = 0
  #current = new TopK(KEYS)
  #previous = new TopK(KEYS)
  #currentSince: Millis
  #previousSince: Millis
  readonly #big = new Map<string, BigValue>()
  readonly #reader = new Decoder({ ...requestLimits, count: 2 ** 31 })

  constructor(
    private readonly clock: Clock,
    private readonly options: InsightOptions,
    private readonly chance: () => number = Math.random,
  ) {
    this.#slowMs = options.slowMs === 0 ? Number.POSITIVE_INFINITY : options.slowMs
    this.#slow = new Ring(options.slowEntries)
    this.#currentSince = this.#previousSince = clock.now()
    this.#countdown = this.#nextSample()
  }

  /** A client's command was answered after `ms`, by `node`; true when that is slow. Its bytes are still kept. */
  answered(request: Request, ms: Millis, node: string): boolean {
    if (--this.#countdown === 0) this.#sample(request)
    if (request.end - request.start >= BIG_BYTES) this.large(request, request.end - request.start)
    return ms >= this.#slowMs && this.#noteSlow(request, ms, node)
  }

  /** Its request or reply is large. */
  large(request: Request, bytes: number): void {
    const { call } = request
    const [key] = this.#keysOf(request)
    if (call === undefined || key === undefined) return
    const known = this.#big.get(key)
    if (known !== undefined && known.bytes >= bytes) return
    this.#big.set(key, { key, bytes, command: call.name })
    if (this.#big.size > KEYS) this.#dropSmallest()
  }

  /** Newest first. */
  slow(limit: number): readonly SlowCommand[] {
    return [...this.#slow].reverse().slice(0, limit)
  }

  get slowCount(): number {
    return this.#slow.length
  }

  resetSlow(): void {
    this.#slow.clear()
  }

  keys(limit: number): KeyReport {
    const now = this.clock.now()
    this.#turn(now)
    const both = new Map<string, { count: number; error: number }>()
    for (const { item, weight, error } of [...this.#previous.list(), ...this.#current.list()]) {
      const known = both.get(item) ?? { count: 0, error: 0 }
      both.set(item, { count: known.count + weight, error: known.error + error })
    }
    const hot = [...both].map(([key, counted]) => ({ key, ...counted })).sort((a, b) => b.count - a.count)
    const big = [...this.#big.values()].sort((a, b) => b.bytes - a.bytes)
    return {
      sampleEvery: this.options.sampleEvery,
      windowMs: Math.max(1, now - this.#previousSince),
      sampled: this.#previous.total + this.#current.total,
      hot: hot.slice(0, limit),
      big: big.slice(0, limit),
    }
  }

  #sample(request: Request): void {
    this.#countdown = this.#nextSample()
    this.#turn(this.clock.now())
    for (const key of this.#keysOf(request)) this.#current.add(key)
  }

  /** The distance to the next sample varies, so that no rhythm of a client is followed. */
  #nextSample(): number {
    const { sampleEvery } = this.options
    if (sampleEvery === 0) return Number.POSITIVE_INFINITY
    return 1 + Math.floor(this.chance() * (2 * sampleEvery - 1))
  }

  /** Two windows are kept, so that there is always one that is whole. */
  #turn(now: Millis): void {
    if (now - this.#currentSince < WINDOW_MS) return
    const isStale = now - this.#currentSince >= 2 * WINDOW_MS
    this.#previous = isStale ? new TopK(KEYS) : this.#current
    this.#previousSince = isStale ? now : this.#currentSince
    this.#current = new TopK(KEYS)
    this.#currentSince = now
  }

  #noteSlow(request: Request, ms: Millis, node: string): boolean {
    const { call, keptAt, sentAt } = request
    // What waits by its nature is not slow.
    if (call === undefined || call.handling === 'blocking' || request.block === undefined) return false
    if (!this.#hasRoomForSlow()) return false
    this.#slow.push({
      at: this.clock.wall(),
      ms,
      heldMs: keptAt === 0 ? 0 : Math.max(0, sentAt - keptAt),
      command: this.#describe(request, call),
      node,
      client: (request.session as Asker | undefined)?.address ?? '',
    })
    return true
  }

  #hasRoomForSlow(): boolean {
    const now = this.clock.now()
    if (now - this.#slowSince >= SLOW_WINDOW_MS) {
      this.#slowSince = now
      this.#slowInWindow = 0
    }
    return ++this.#slowInWindow <= SLOW_PER_WINDOW
  }

  #describe(request: Request, call: Call): readonly string[] {
    const reader = reread(this.#reader, request)
    const { argc } = reader
    const isSecretive = SECRETIVE.test(call.name)
    const count = isSecretive ? (call.name.includes('|') ? 2 : 1) : argc > MAX_ARGS ? MAX_ARGS - 1 : argc
    const shown = Array.from({ length: Math.min(count, argc) }, (_, index) => showArgument(reader, index))
    if (isSecretive) shown.push('(left out)')
    else if (argc > MAX_ARGS) shown.push(`… (${argc - MAX_ARGS + 1} more arguments)`)
    return shown
  }

  #keysOf(request: Request): readonly string[] {
    const spec = request.call?.spec
    if (spec === undefined || request.block === undefined) return []
    const reader = reread(this.#reader, request)
    // Where keys stand is said by short words; values may be as large as they like.
    const args = Array.from({ length: reader.argc }, (_, index) => reader.argStartingWith(index, MAX_ARG_BYTES))
    const positions = keysOf(spec, args).slice(0, KEYS_PER_COMMAND)
    return positions.flatMap(at => (at < args.length ? [showArgument(reader, at)] : []))
  }

  #dropSmallest(): void {
    let smallest: BigValue | undefined
    for (const value of this.#big.values()) if (smallest === undefined || value.bytes < smallest.bytes) smallest = value
    if (smallest !== undefined) this.#big.delete(smallest.key)
  }
}

/** Bytes as people read them: UTF-8 where it is, other bytes as \xhh. */
export function show(bytes: Bytes): string {
  return showCut(bytes.length > MAX_ARG_BYTES ? bytes.slice(0, MAX_ARG_BYTES) : bytes, bytes.length)
}

function showArgument(reader: Decoder, index: number): string {
  return showCut(reader.argStartingWith(index, MAX_ARG_BYTES), reader.argLength(index))
}

/** The beginning of so many bytes. */
function showCut(cut: Bytes, length: number): string {
  const readable = /^[ -~]*$/.test(cut) ? cut : showBytes(cut)
  return cut.length < length ? `${readable}… (${length - cut.length} more bytes)` : readable
}

function showBytes(bytes: Bytes): string {
  const text = Buffer.from(bytes, 'latin1').toString('utf8')
  return /[\p{Cc}\ufffd]/u.test(text) ? escapeBytes(bytes) : text
}

function escapeBytes(bytes: Bytes): string {
  return bytes.replace(/[^ -~]/g, byte => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
