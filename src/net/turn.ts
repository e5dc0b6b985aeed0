/**
 * The end of an event-loop turn. Whoever has bytes to send says so; when all sockets that were readable in this turn have
 * been served, everything goes out, one write per peer: first to peers marked `early` (replicas, upstreams), then to
 * clients. A client therefore never sees an answer before its write is on the way to the replicas.
 */
export interface Flushable {
  readonly early: boolean
  flush(): void
}

export class Turn {
  #early: Flushable[] = []
  #late: Flushable[] = []
  #scheduled = false

  /** `flushable.flush()` runs once, at the end of this turn. Callers ask at most once per turn. */
  add(flushable: Flushable): void {
    if (flushable.early) this.#early.push(flushable)
    else this.#late.push(flushable)
    if (!this.#scheduled) {
      this.#scheduled = true
      setImmediate(this.#run)
    }
  }

  readonly #run = (): void => {
    this.#scheduled = false
    const early = this.#early
    const late = this.#late
    this.#early = []
    this.#late = []
    for (const flushable of early) flushable.flush()
    for (const flushable of late) flushable.flush()
  }
}

/** One per process, as there is one event loop. */
export const turn = new Turn()
