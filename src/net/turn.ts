/**
 * The end of an event-loop turn. Whoever has bytes to send says so; when all sockets that were readable in this turn have
 * been served, everything goes out, one write per peer: first to peers marked `early` (replicas), then to clients. A client
 * of a node therefore never sees an answer before its write is on the way to the replicas.
 *
 * Last come those marked `patient` (instances, for a proxy). A packet that wakes somebody up costs as much as four commands,
 * and clients that were sent something have often said by then what they want next. So after replies the sockets are looked
 * at once more before they go out, with what that has brought; where nobody was sent anything, nobody is waited for.
 */
export interface Flushable {
  readonly early: boolean
  readonly patient?: boolean
  flush(): void
}

export class Turn {
  #early: Flushable[] = []
  #late: Flushable[] = []
  #patient: Flushable[] = []
  /** The patient have waited for one look at the sockets, and do not wait for another. */
  #looked = false
  #scheduled = false

  /** `flushable.flush()` runs once, at the end of this turn or the next. Callers ask at most once before it has. */
  add(flushable: Flushable): void {
    if (flushable.early) this.#early.push(flushable)
    else if (flushable.patient) this.#patient.push(flushable)
    else this.#late.push(flushable)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#run)
  }

  readonly #run = (): void => {
    this.#scheduled = false
    const early = this.#early
    const late = this.#late
    this.#early = []
    this.#late = []
    for (const flushable of early) flushable.flush()
    if (this.#looked) this.#flushPatient()
    for (const flushable of late) flushable.flush()
    if (this.#patient.length === 0) return
    if (late.length === 0) return this.#flushPatient()
    this.#looked = true
    this.#schedule()
  }

  #flushPatient(): void {
    this.#looked = false
    const patient = this.#patient
    this.#patient = []
    for (const flushable of patient) flushable.flush()
  }
}

/** One per process, as there is one event loop. */
export const turn = new Turn()
