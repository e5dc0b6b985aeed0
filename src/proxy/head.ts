/**
 * The newest offset of the master that its answers have told, and when the control plane is told of it: at the end of the
 * turn, and no more often than freshness is told, however many answers there were.
 */
import type { Clock } from '../base/clock.js'
import type { Millis, Offset } from '../base/units.js'
import { type Flushable, turn } from '../net/turn.js'
import type { Instant } from './upstream.js'
import type { Urgency } from './urgency.js'

export class Head implements Flushable {
  readonly early = true
  /** -1: nobody has said. */
  offset: Offset = -1
  #due = false
  #toldAt: Millis = Number.NEGATIVE_INFINITY
  #cancelLater: (() => void) | undefined

  constructor(
    private readonly clock: Clock,
    private readonly time: Instant,
    private readonly urgency: Urgency,
    private readonly tell: () => void,
  ) {}

  /** An answer of the master of this history. */
  note(offset: Offset): void {
    this.raise(offset)
    if (this.#due) return
    const { gapMs } = this.urgency
    if (this.time.now - this.#toldAt < gapMs) {
      this.#cancelLater ??= this.clock.after(gapMs, () => {
        this.time.update()
        this.flush()
      })
      return
    }
    this.#due = true
    turn.add(this)
  }

  /** What others told. */
  raise(offset: Offset): void {
    if (offset > this.offset) this.offset = offset
  }

  /** Another history begins, of which nothing is known. */
  forget(): void {
    this.offset = -1
  }

  flush(): void {
    this.#due = false
    this.#toldAt = this.time.now
    this.close()
    if (this.offset >= 0) this.tell()
  }

  close(): void {
    this.#cancelLater?.()
    this.#cancelLater = undefined
  }
}
