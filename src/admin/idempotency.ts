/**
 * Idempotency-Key: a change that is asked for twice under one key happens once, and both askers get its one answer, even
 * while it is still running. So a client whose connection broke may simply ask again.
 *
 * Bound: `KEYS_MAX` keys, for a day; the oldest is forgotten first.
 */
import type { Clock } from '../base/clock.js'
import type { Millis } from '../base/units.js'
import type { HttpReply } from './http.js'
import { problemReply } from './problem.js'

const KEYS_MAX = 1000
const DAY_MS: Millis = 24 * 60 * 60 * 1000

interface Kept {
  /** Everything that makes the request what it is: who, what, with which body. */
  readonly request: string
  readonly since: Millis
  readonly reply: Promise<HttpReply>
}

export class Idempotency {
  readonly #kept = new Map<string, Kept>()

  constructor(private readonly clock: Clock) {}

  async once(key: string, request: string, perform: () => Promise<HttpReply>): Promise<HttpReply> {
    if (!/^[!-~]{1,255}$/.test(key)) {
      return problemReply('bad-request', 'Idempotency-Key: 1 to 255 printable characters')
    }
    const now = this.clock.now()
    this.#forgetOld(now)
    const known = this.#kept.get(key)
    if (known !== undefined) {
      if (known.request !== request) return problemReply('idempotency-conflict', 'use another key for another request')
      const reply = await known.reply
      return { ...reply, headers: { ...reply.headers, 'idempotent-replayed': 'true' } }
    }
    const reply = perform()
    this.#kept.set(key, { request, since: now, reply })
    return reply
  }

  /** A map keeps the order of insertion: the oldest are the first. */
  #forgetOld(now: Millis): void {
    for (const [key, { since }] of this.#kept) {
      if (this.#kept.size < KEYS_MAX && now - since < DAY_MS) return
      this.#kept.delete(key)
    }
  }
}
