/**
 * When the workers are told what has been applied.
 *
 *     tap moved, first after a gap ─▶ end of this turn ─┐
 *     anything else ─▶ the gap is over ─────────────────┴─▶ told ──┬─ quick ─▶ a nap
 *                                                                  └─ calm ──▶ taps are not read until the gap is over
 *
 * A busy stream wakes us for every few commands, and waking is most of what it costs. What comes right after freshness was
 * told cannot be told before the gap is over anyway, and is read at once then.
 */
import type { Clock } from '../base/clock.js'
import type { Millis } from '../base/units.js'
import { type Flushable, turn } from '../net/turn.js'
import { gapOf, type Pace } from '../topology/pace.js'
import type { FreshnessUpdate } from '../topology/view.js'

/** Most of the shorter gap. */
const NAP_MS: Millis = 0.8

export interface FreshnessOwner {
  /** What to say; `moved` are those of whom there is something new. */
  update(moved: ReadonlySet<string>, now: Millis): FreshnessUpdate
  /** Nothing that is heard in a gap is urgent: all is well, and no switch is under way. */
  isCalm(): boolean
  /** Stops and goes on reading the taps. Answers whether there are any. */
  pause(): boolean
  resume(): void
  /** Sleeps, and this process with it. */
  nap(length: Millis): void
}

export class Freshness implements Flushable {
  readonly early = true
  readonly #listeners = new Set<(update: FreshnessUpdate) => void>()
  readonly #moved = new Set<string>()
  readonly #nap: Flushable = { early: false, flush: () => this.owner.nap(NAP_MS) }
  #pace: Pace = 'quick'
  #toldAt: Millis = Number.NEGATIVE_INFINITY
  /** It is told at the end of this turn. */
  #due = false
  #cancelTelling: (() => void) | undefined
  #cancelResuming: (() => void) | undefined
  #closed = false

  constructor(
    private readonly clock: Clock,
    private readonly owner: FreshnessOwner,
  ) {}

  listen(listener: (update: FreshnessUpdate) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** What the workers ask for. Whoever waits does not wait for the rest of a longer gap. */
  set pace(pace: Pace) {
    this.#pace = pace
    if (pace === 'calm') return
    this.#resume()
    if (this.#cancelTelling !== undefined) this.flush()
  }

  get #gapMs(): Millis {
    return gapOf[this.owner.isCalm() ? this.#pace : 'quick']
  }

  /** There is something new about an instance. */
  note(id: string): void {
    if (this.#listeners.size === 0 || this.#closed) return
    this.#moved.add(id)
    // While taps are not read it is told with what they bring.
    if (this.#cancelTelling === undefined && this.#cancelResuming === undefined) this.#tellLater(this.clock.now())
  }

  /** When the gap is over; with nothing told before, after one, as more may come. */
  #tellLater(now: Millis): void {
    const leftMs = this.#toldAt + this.#gapMs - now
    this.#cancelTelling = this.clock.after(leftMs > 0 ? leftMs : this.#gapMs, () => this.flush())
  }

  /** A tap has moved. */
  noteTap(id: string): void {
    if (this.clock.now() - this.#toldAt < this.#gapMs) return this.note(id)
    if (this.#listeners.size === 0 || this.#closed) return
    this.#moved.add(id)
    if (!this.#due) turn.add(this)
    this.#due = true
  }

  /** The end of a turn in which a tap has moved, or of a gap. */
  flush(): void {
    this.#due = false
    this.#cancelTelling?.()
    this.#cancelTelling = undefined
    if (this.#closed) return
    const now = this.clock.now()
    // A timer counts from the beginning of its turn and may come early by most of a millisecond.
    if (now - this.#toldAt < this.#gapMs) return this.#tellLater(now)
    this.#toldAt = now
    const update = this.owner.update(this.#moved, now)
    this.#moved.clear()
    for (const listener of this.#listeners) listener(update)
    if (update.samples.length > 0 && this.owner.isCalm()) this.#rest()
  }

  #rest(): void {
    if (this.#pace === 'calm') {
      if (this.owner.pause()) this.#cancelResuming ??= this.clock.after(gapOf.calm, () => this.#resume())
    } else turn.add(this.#nap) // behind those who have been told something just now
  }

  #resume(): void {
    this.#cancelResuming?.()
    this.#cancelResuming = undefined
    this.owner.resume()
    // For taps that have nothing; one that has tells by itself.
    if (this.#moved.size > 0) this.#cancelTelling ??= this.clock.after(gapOf.quick, () => this.flush())
  }

  close(): void {
    this.#closed = true
    this.#cancelTelling?.()
    this.#cancelResuming?.()
  }
}
