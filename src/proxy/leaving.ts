/**
 * A client that has said all it will: it has closed its half of the connection, or all of it, or is lost.
 *
 * Redis executes what it has read of such a client, and so its session takes what has come to the end, in its windows, and
 * answers as long as anybody reads it. What is read after that is at most what a session may be ahead.
 *
 *     open ──eof, reset──▶ leaving ──everything taken and answered──▶ gone
 *                             └──waits for data, is paused, or nothing goes on──▶ gone, the rest dropped
 *
 * A command that waits for data is given up, as it would take what nobody gets; with it goes what stands behind it.
 */
import type { Millis } from '../base/units.js'
import type { Peer } from '../net/peer.js'
import type { Request } from './request.js'

/** What is looked at. */
export interface Leaver {
  readonly peer: Peer
  readonly closed: boolean
  readonly lastAt: Millis
  readonly held: Request | undefined
  readonly oldest: Request | undefined
  readonly outstanding: number
  readonly takenBytes: number
  /** Read and not taken. */
  readonly aheadBytes: number
  readonly kept: number
  readonly stalled: number
  readonly hub: {
    readonly clock: { now(): Millis; after(delay: Millis, task: () => void): () => void }
    readonly options: { readonly holdTimeoutMs: Millis }
  }
}

/** A command that may wait and was sent so long ago does wait: what could be answered at once has been. */
const WAITING_MS: Millis = 10
/** After so long without anything taken, answered or read by the client nothing will come of the rest. */
const STILL_MS: Millis = 10_000
/** When all of it is sent, only answers are waited for, which probably nobody reads. */
const ANSWERS_MS: Millis = 1000

export class Leaving {
  #stopLooking: () => void = () => undefined
  #movedAt: Millis
  #taken = -1
  #outstanding = -1
  #queuedBytes = -1

  constructor(
    private readonly leaver: Leaver,
    private readonly reason: string,
  ) {
    this.#movedAt = leaver.hub.clock.now()
  }

  begin(): void {
    const { leaver } = this
    if (leaver.closed) return
    const now = leaver.hub.clock.now()
    const askedAt = Math.max(leaver.lastAt, leaver.oldest?.sentAt ?? 0)
    this.#look(now, this.#waits && now - askedAt > WAITING_MS)
  }

  over(): void {
    this.#stopLooking()
  }

  #look(now: Millis, isGivenUp: boolean): void {
    const { leaver } = this
    const { clock, options } = leaver.hub
    this.#noteMoves(now)
    const isSent = leaver.aheadBytes === 0 && leaver.kept === 0 && leaver.stalled === 0
    const patienceMs = isSent ? ANSWERS_MS : Math.max(STILL_MS, 2 * options.holdTimeoutMs)
    // What is relayed to a replica has no end.
    const isReplica = leaver.oldest?.call?.handling === 'relay'
    if (isGivenUp || isReplica || now - this.#movedAt > patienceMs) return leaver.peer.destroy(this.reason)
    this.#stopLooking = clock.after(WAITING_MS, () => {
      const then = clock.now()
      this.#look(then, !this.#noteMoves(then) && this.#waits)
    })
  }

  /** Answers whether anything has moved since it was asked last. */
  #noteMoves(now: Millis): boolean {
    const { takenBytes, outstanding, peer } = this.leaver
    const { queuedBytes } = peer
    if (takenBytes === this.#taken && outstanding === this.#outstanding && queuedBytes === this.#queuedBytes)
      return false
    this.#taken = takenBytes
    this.#outstanding = outstanding
    this.#queuedBytes = queuedBytes
    this.#movedAt = now
    return true
  }

  /** For data, for replicas, or for the end of CLIENT PAUSE: Redis does not wait for these on behalf of one who is gone. */
  get #waits(): boolean {
    const { held, oldest } = this.leaver
    return held !== undefined || oldest?.call?.handling === 'blocking' || oldest?.call?.name === 'wait'
  }
}
