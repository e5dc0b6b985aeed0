/**
 * One connection to one instance, kept open and asked again and again. It decides nothing: whatever is heard, or not
 * heard, goes to its handler as an observation.
 *
 *     closed ──connect──▶ connecting ──opened──▶ open ──▶ closed ──at once, then 2, 4, 8 … 500 ms──▶ connecting
 *
 * After a death the first attempts follow each other at once: a kernel that refuses says within a millisecond what a
 * time-out would say within a second.
 */
import type { Address } from '../base/address.js'
import type { Clock } from '../base/clock.js'
import type { Millis } from '../base/units.js'
import type { Credentials } from '../net/client.js'
import { type Frame, textOf } from '../resp/protocol.js'
import { type InfoReply, type Observation, parseInfo, parsePing, parseRole } from '../topology/facts.js'
import type { Dial, Line } from './line.js'

export interface ProbeOptions extends Credentials {
  readonly connectTimeoutMs: Millis
  readonly replyTimeoutMs: Millis
  readonly name: string
}

/** `askedAt`: when the question left, for what an answer proves. */
export type ProbeHandler = (observation: Observation, askedAt: Millis) => void

const RETRY_MS_MIN: Millis = 2
const RETRY_MS_MAX: Millis = 500

/** Between two tries to have an answer that somebody waits for. */
const INSIST_MS: Millis = 100

/** How connections end when there is a kernel that says so. Everything else (time-outs, unreachable hosts) is silence. */
const RESETS = new Set(['eof', 'closed', 'ECONNRESET', 'EPIPE'])
const DENIALS = /^(WRONGPASS|NOAUTH|NOPERM|ERR) /

export class Probe {
  #client: Line | undefined
  #cancelRetry: () => void = () => undefined
  #retries = 0
  #stopped = false
  #infoAskedAt: Millis = 0
  readonly #waiting = { ping: false, role: false, info: false }

  constructor(
    private readonly clock: Clock,
    private readonly dial: Dial,
    readonly address: Address,
    private readonly options: ProbeOptions,
    private readonly handler: ProbeHandler,
  ) {}

  start(): void {
    this.#connect()
  }

  stop(): void {
    this.#stopped = true
    this.#cancelRetry()
    this.#client?.close('stopped')
  }

  /** Each question is asked once at a time: one that is not answered yet is not repeated. */
  ping(): void {
    this.#ask('ping', ['PING'], frame => ({ type: 'ping', reply: parsePing(frame) }))
  }

  role(): void {
    this.#ask('role', ['ROLE'], frame => {
      const role = parseRole(frame)
      return role === undefined ? { type: 'ping', reply: parsePing(frame) } : { type: 'role', role }
    })
  }

  /** The whole INFO, or only its replication section. */
  info(section?: 'replication'): void {
    this.#ask('info', section === undefined ? ['INFO'] : ['INFO', section], frame => {
      const info = infoOf(frame)
      return info === undefined ? { type: 'ping', reply: parsePing(frame) } : { type: 'info', info }
    })
  }

  /** Connect at once instead of waiting for the next attempt: somebody has reason to believe that it is there. */
  hurry(): void {
    if (this.#client !== undefined || this.#stopped) return
    this.#cancelRetry()
    this.#connect()
  }

  /**
   * What it has matters now: if it owes an answer it is asked on a new connection. The old one may be waiting for
   * retransmissions that come later and later, although the way is open again.
   */
  insist(): void {
    const client = this.#client
    if (client === undefined) return this.hurry()
    if (!this.#waiting.info) return this.info()
    if (this.#stopped || this.clock.now() - this.#infoAskedAt < INSIST_MS) return
    this.#client = undefined
    client.close('insisted')
    this.#connect()
  }

  #ask(kind: 'ping' | 'role' | 'info', args: readonly string[], read: (frame: Frame) => Observation): void {
    const client = this.#client
    if (client === undefined || this.#waiting[kind]) return
    this.#waiting[kind] = true
    const askedAt = this.clock.now()
    if (kind === 'info') this.#infoAskedAt = askedAt
    this.handler({ type: 'asked' }, askedAt)
    client.send(args).then(
      frame => {
        if (this.#client !== client) return
        this.#waiting[kind] = false
        this.#retries = 0
        this.handler(read(frame), askedAt)
      },
      // onClose tells, once for all questions.
      () => undefined,
    )
  }

  #connect(): void {
    const client = this.dial(this.address, {
      ...this.options,
      onClose: reason => this.#closed(client, reason),
    })
    this.#client = client
    // A connection that neither opens nor fails is silence, too.
    this.handler({ type: 'asked' }, this.clock.now())
    this.#waiting.ping = this.#waiting.role = this.#waiting.info = false
    this.info()
    this.ping()
  }

  #closed(client: Line, reason: string): void {
    if (this.#client !== client || this.#stopped) return
    this.#client = undefined
    this.#waiting.ping = this.#waiting.role = this.#waiting.info = false
    const now = this.clock.now()
    if (reason === 'ECONNREFUSED') this.handler({ type: 'died', sign: 'refused' }, now)
    else if (RESETS.has(reason)) this.handler({ type: 'died', sign: 'reset' }, now)
    // The instance refused our password: that is an answer.
    else if (DENIALS.test(reason)) this.handler({ type: 'ping', reply: 'denied' }, now)
    if (this.#stopped) return
    const delay = this.#retries === 0 ? 0 : Math.min(RETRY_MS_MIN * 2 ** (this.#retries - 1), RETRY_MS_MAX)
    this.#retries++
    this.#cancelRetry = this.clock.after(delay, () => this.#connect())
  }
}

export function infoOf(frame: Frame): InfoReply | undefined {
  const text = textOf(frame)
  return text === undefined ? undefined : parseInfo(text)
}
