/**
 * The pace that this worker asks of the control plane. It is quick from the first that waits for what replicas have applied
 * until a while after the last; a supervisor that has not been told otherwise is quick, too.
 */
import type { Millis } from '../base/units.js'
import { asksForQuick, gapOf, type Pace } from '../topology/pace.js'
import type { RoutedReads } from './counters.js'
import type { Instant } from './upstream.js'

/** What was needed a moment ago will be needed again. */
const LINGER_MS: Millis = 200

export class Urgency {
  pace: Pace = 'quick'
  #until: Millis
  #seen: RoutedReads = { all: 0, letDown: 0, byAge: 0 }

  constructor(
    private readonly time: Instant,
    /** undefined: whom it is asked of has one pace, and looks whenever it is told something. */
    private readonly tell: ((pace: Pace) => void) | undefined,
  ) {
    this.#until = time.now + LINGER_MS
    // Another group of this worker may have been calm.
    tell?.(this.pace)
  }

  /** So often the control plane looks at what it is told. */
  get gapMs(): Millis {
    return this.tell === undefined ? 0 : gapOf[this.pace]
  }

  /** Somebody waits for a replica: a confirmation, a strong read. */
  hurry(): void {
    this.#until = this.time.now + LINGER_MS
    this.#become('quick')
  }

  /** With what has been decided so far. */
  tick(now: RoutedReads): void {
    const { all, letDown, byAge } = this.#seen
    this.#seen = now
    if (asksForQuick(this.pace, now.all - all, now.letDown - letDown, now.byAge - byAge)) this.hurry()
    else if (this.time.now >= this.#until) this.#become('calm')
  }

  #become(pace: Pace): void {
    if (pace === this.pace || this.tell === undefined) return
    this.pace = pace
    this.tell(pace)
  }
}
