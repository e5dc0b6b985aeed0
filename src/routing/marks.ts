/**
 * Which keys may a replica be asked for? Read-your-writes for everybody, kept per key and in constant memory.
 *
 * A direct-mapped table indexed by a hash of the key. A slot holds how many writes to its keys are in flight, and the
 * highest offset that is known to cover the finished ones:
 *
 *     SET a 1  dispatched           slot(a) in flight 1            reads of a go to the master
 *     SET a 2  dispatched           slot(a) in flight 2
 *     … ROLE at the end of the flush answers 1000, which covers both
 *     settled                       slot(a) in flight 0, offset 1000   a replica that applied 1000 may be asked
 *
 * All writes of one flush of one connection are a Flight: they are settled together by the sample behind them. One flush
 * number per slot would be wrong, because writes on two connections may be executed in the other order. A collision costs
 * freshness (a read goes to the master for nothing), never correctness. Which database a key is in is left out of the
 * hash: so MOVE and COPY … DB mark the key wherever it goes.
 *
 * What we cannot name by keys (scripts, FLUSHALL, SWAPDB, commands nobody told us about) raises a barrier: the same two
 * numbers for all keys at once. A lineage begins with one: nothing is known about a new master but that everything is
 * covered by the offset it had when we met it.
 *
 * Where the master's stream is read as well, it tells the keys that anybody wrote (`note`), other writers' and those of
 * our scripts. Then the barrier of a script ends when the stream has come as far: its keys have been named.
 */
import { invariant } from '../base/invariant.js'
import type { Offset } from '../base/units.js'

/** More than any replica will ever have applied: only the master will do. */
export const IN_FLIGHT: Offset = Number.POSITIVE_INFINITY

/** Somebody who must know what offset covers what it has been told on a connection. */
export interface Follower {
  /** The sample came; undefined: the history that it belonged to is over. Called once for each flight it follows. */
  covered(offset: Offset | undefined): void
}

/** The writes of one flush, to be settled by the sample behind them. */
export class Flight {
  slots = new Int32Array(16)
  count = 0
  barriers = 0
  generation = 0
  /** Mostly nobody. */
  readonly followers: Follower[] = []

  get empty(): boolean {
    return this.count === 0 && this.barriers === 0
  }
}

/** Flights are used again; more than this are left to the collector. */
const SPARE_FLIGHTS = 64

export class Marks {
  readonly #mask: number
  readonly #inFlight: Int32Array
  readonly #offsets: Float64Array
  readonly #spare: Flight[] = []
  /** Grows with every lineage; flights of an older one are forgotten. */
  #generation = 0
  #anchored = false
  #barriersInFlight = 0
  /** What all keys need: the two below, so that a look-up has one number to compare. */
  #barrierOffset: Offset = 0
  /** Covers what is in no slot and never will be. */
  #fixedBarrier: Offset = 0
  /** Covers writes of ours whose keys we could not name; the stream will. */
  #namelessBarrier: Offset = 0
  /** The stream has named every key up to here; -1 while nobody reads it. */
  #streamed: Offset = -1
  #totalInFlight = 0
  #highestOffset: Offset = 0

  /** `slots` is rounded up to a power of two; a slot costs 12 bytes. */
  constructor(slots: number) {
    let size = 16
    while (size < slots) size *= 2
    this.#mask = size - 1
    this.#inFlight = new Int32Array(size)
    this.#offsets = new Float64Array(size)
  }

  /** False from the start of a lineage until `anchor`: only the master may be asked. */
  get anchored(): boolean {
    return this.#anchored
  }

  /** Writes raised and not settled. */
  get inFlight(): number {
    return this.#totalInFlight
  }

  // FNV-1a, with the high bits folded in: keys that differ in their last digits must not share slots.
  slotOf(bytes: Uint8Array, start: number, end: number): number {
    let hash = 0x811c9dc5
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193)
    hash ^= hash >>> 15
    return hash & this.#mask
  }

  /** A flight to raise marks with; it must come back by `settle`. */
  open(): Flight {
    const flight = this.#spare.pop() ?? new Flight()
    flight.generation = this.#generation
    return flight
  }

  /** A write to a key of `slot` is about to be sent. */
  raise(flight: Flight, slot: number): void {
    if (flight.generation !== this.#generation) return
    if (flight.count === flight.slots.length) flight.slots = grown(flight.slots)
    flight.slots[flight.count++] = slot
    ;(this.#inFlight[slot] as number)++
    this.#totalInFlight++
  }

  /** Something is about to be sent that may write any key. */
  raiseAll(flight: Flight): void {
    if (flight.generation !== this.#generation) return
    flight.barriers++
    this.#barriersInFlight++
    this.#totalInFlight++
  }

  /** `offset` was sampled behind all writes of the flight, on the same connection. The flight must not be used any more. */
  settle(flight: Flight, offset: Offset): void {
    const current = flight.generation === this.#generation
    if (flight.followers.length > 0) {
      for (const follower of flight.followers.splice(0)) follower.covered(current ? offset : undefined)
    }
    if (current) {
      for (let index = 0; index < flight.count; index++) {
        const slot = flight.slots[index] as number
        const left = --(this.#inFlight[slot] as number)
        invariant(left >= 0, 'a mark was settled twice')
        if ((this.#offsets[slot] as number) < offset) this.#offsets[slot] = offset
      }
      if (flight.barriers > 0) {
        this.#barriersInFlight -= flight.barriers
        if (this.#namelessBarrier < offset && this.#streamed < offset) this.#namelessBarrier = offset
        this.#judgeBarriers()
      }
      this.#totalInFlight -= flight.count + flight.barriers
      if (this.#highestOffset < offset) this.#highestOffset = offset
    }
    flight.count = 0
    flight.barriers = 0
    if (this.#spare.length < SPARE_FLIGHTS) this.#spare.push(flight)
  }

  /** What a replica must have applied to answer for a key of `slot`; IN_FLIGHT when only the master can. */
  need(slot: number): Offset {
    if (!this.#anchored || this.#barriersInFlight > 0 || (this.#inFlight[slot] as number) > 0) return IN_FLIGHT
    const offset = this.#offsets[slot] as number
    return offset > this.#barrierOffset ? offset : this.#barrierOffset
  }

  /** The same for a read whose keys are not known: it depends on all of them. */
  needAll(): Offset {
    return !this.#anchored || this.#totalInFlight > 0 ? IN_FLIGHT : Math.max(this.#highestOffset, this.#barrierOffset)
  }

  /** A new lineage: no offset of the old one means anything. Until `anchor` only the master may be asked. */
  restart(): void {
    this.#generation++
    this.#anchored = false
    this.#inFlight.fill(0)
    this.#offsets.fill(0)
    this.#barriersInFlight = 0
    this.#barrierOffset = this.#fixedBarrier = this.#namelessBarrier = 0
    this.#streamed = -1
    this.#totalInFlight = 0
    this.#highestOffset = 0
  }

  /** The master of the lineage has produced `offset`: whatever was written before is covered by it. */
  anchor(offset: Offset): void {
    this.#anchored = true
    this.noteAll(offset)
  }

  // ── What the stream tells ─────────────────────────────────────────────────────────────────────────────────────────

  /** Somebody wrote a key of `slot`, by a command that ends at `offset` of the stream. */
  note(slot: number, offset: Offset): void {
    if ((this.#offsets[slot] as number) < offset) this.#offsets[slot] = offset
    if (this.#highestOffset < offset) this.#highestOffset = offset
  }

  /** The same, of keys that nobody can name. */
  noteAll(offset: Offset): void {
    if (this.#fixedBarrier < offset) this.#fixedBarrier = offset
    if (this.#highestOffset < offset) this.#highestOffset = offset
    this.#judgeBarriers()
  }

  /** The stream is read from here on: nobody has told us what was written before. */
  streamBegins(offset: Offset): void {
    this.noteAll(offset)
    this.streamed(offset)
  }

  /** Everything in the stream up to `offset` has been noted. */
  streamed(offset: Offset): void {
    this.#streamed = offset
    if (this.#namelessBarrier === 0 || this.#namelessBarrier > offset) return
    this.#namelessBarrier = 0
    this.#judgeBarriers()
  }

  /** Nobody reads it any more. What it has told stays true. */
  streamEnds(): void {
    this.#streamed = -1
  }

  #judgeBarriers(): void {
    this.#barrierOffset = Math.max(this.#fixedBarrier, this.#namelessBarrier)
  }
}

function grown(slots: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(slots.length * 2)
  larger.set(slots)
  return larger
}
