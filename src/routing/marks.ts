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
  /**
   * The sample came, of the history that was written to; undefined: it never will, as that history is over. Called once for
   * each flight it follows.
   */
  covered(offset: Offset | undefined, of: string | undefined): void
}

/** The writes of one flush, to be settled by the sample behind them. */
export class Flight {
  slots = new Int32Array(16)
  count = 0
  barriers = 0
  generation = 0
  /** The history it was written to. */
  history: string | undefined = undefined
  /** Mostly nobody. */
  readonly followers: Follower[] = []

  get empty(): boolean {
    return this.count === 0 && this.barriers === 0
  }
}

/** Flights are used again; more than this are left to the collector. */
const SPARE_FLIGHTS = 64

/** The offset (8 bytes), the number in flight (4), the writer (4). */
const SLOT_BYTES = 16
const OFFSETS = SLOT_BYTES / 8
const WORDS = SLOT_BYTES / 4
const IN_FLIGHT_WORD = 2
const WRITER_WORD = 3

export class Marks {
  readonly #mask: number
  /** Slots of 16 bytes: a slot is one line of the processor's cache, whatever is asked about it. */
  readonly #offsets: Float64Array
  /** The same memory: how many are in flight, and the hash of the key that was written last. */
  readonly #words: Int32Array
  readonly #spare: Flight[] = []
  /** Grows with every lineage; flights of an older one are forgotten. */
  #generation = 0
  #history: string | undefined
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

  /** `slots` is rounded up to a power of two; a slot costs 16 bytes. */
  constructor(slots: number) {
    let size = 16
    while (size < slots) size *= 2
    this.#mask = size - 1
    const memory = new ArrayBuffer(size * SLOT_BYTES)
    this.#offsets = new Float64Array(memory)
    this.#words = new Int32Array(memory)
  }

  /** False from the start of a lineage until `anchor`: only the master may be asked. */
  get anchored(): boolean {
    return this.#anchored
  }

  /** Writes raised and not settled. */
  get inFlight(): number {
    return this.#totalInFlight
  }

  slotOf(bytes: Uint8Array, start: number, end: number): number {
    return this.slotOfHash(this.hashOf(bytes, start, end))
  }

  slotOfHash(hash: number): number {
    return hash & this.#mask
  }

  // FNV-1a, with the high bits folded in: keys that differ in their last digits must not share slots.
  hashOf(bytes: Uint8Array, start: number, end: number): number {
    let hash = 0x811c9dc5
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193)
    return hash ^ (hash >>> 15)
  }

  /** A flight to raise marks with; it must come back by `settle`. */
  open(): Flight {
    const flight = this.#spare.pop() ?? new Flight()
    flight.generation = this.#generation
    flight.history = this.#history
    return flight
  }

  /** A write to a key of `slot` is about to be sent. */
  raise(flight: Flight, slot: number): void {
    if (flight.generation !== this.#generation) return
    if (flight.count === flight.slots.length) flight.slots = grown(flight.slots)
    flight.slots[flight.count++] = slot
    ;(this.#words[slot * WORDS + IN_FLIGHT_WORD] as number)++
    this.#totalInFlight++
  }

  /** The key of this hash is the last of its slot to be written. */
  sign(hash: number): void {
    this.#words[(hash & this.#mask) * WORDS + WRITER_WORD] = hash
  }

  /**
   * Why the key of this hash may not be asked of whoever has applied `applied`: a write to it, or a write to another one of
   * its slot, which is what a small table costs. undefined: its slot does not keep it.
   */
  keptBy(hash: number, applied: Offset): 'itself' | 'another' | undefined {
    if (!this.#anchored || this.#barriersInFlight > 0) return undefined
    const slot = hash & this.#mask
    const offset = this.#offsets[slot * OFFSETS] as number
    if (this.#words[slot * WORDS + IN_FLIGHT_WORD] === 0 && (offset <= applied || offset <= this.#barrierOffset))
      return undefined
    return this.#words[slot * WORDS + WRITER_WORD] === hash ? 'itself' : 'another'
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
    if (flight.followers.length > 0) this.#tell(flight, offset)
    if (flight.generation === this.#generation) {
      for (let index = 0; index < flight.count; index++) {
        const slot = flight.slots[index] as number
        const left = --(this.#words[slot * WORDS + IN_FLIGHT_WORD] as number)
        invariant(left >= 0, 'a mark was settled twice')
        const at = slot * OFFSETS
        if ((this.#offsets[at] as number) < offset) this.#offsets[at] = offset
      }
      if (flight.barriers > 0) {
        this.#barriersInFlight -= flight.barriers
        if (this.#namelessBarrier < offset && this.#streamed < offset) this.#namelessBarrier = offset
        this.#judgeBarriers()
      }
      this.#totalInFlight -= flight.count + flight.barriers
      if (this.#highestOffset < offset) this.#highestOffset = offset
    }
    this.#close(flight)
  }

  /**
   * The connection of a flight died before its sample; `offset` was sampled on another one. When its history is over, no
   * sample of that will ever come: what was only read in it is taken to lie within what was known of it (`past`); of what
   * was written nobody can say. The flight must not be used any more.
   */
  resolve(flight: Flight, offset: Offset, past: { readonly replid: string | undefined; readonly head: Offset }): void {
    if (flight.generation === this.#generation) return this.settle(flight, offset)
    this.#tell(flight, flight.empty && flight.history === past.replid ? past.head : undefined)
    this.#close(flight)
  }

  #tell(flight: Flight, offset: Offset | undefined): void {
    for (const follower of flight.followers.splice(0)) follower.covered(offset, flight.history)
  }

  #close(flight: Flight): void {
    flight.count = 0
    flight.barriers = 0
    if (this.#spare.length < SPARE_FLIGHTS) this.#spare.push(flight)
  }

  /** What a replica must have applied to answer for a key of `slot`; IN_FLIGHT when only the master can. */
  need(slot: number): Offset {
    if (!this.#anchored || this.#barriersInFlight > 0) return IN_FLIGHT
    if ((this.#words[slot * WORDS + IN_FLIGHT_WORD] as number) > 0) return IN_FLIGHT
    const offset = this.#offsets[slot * OFFSETS] as number
    return offset > this.#barrierOffset ? offset : this.#barrierOffset
  }

  /** The same for a read whose keys are not known: it depends on all of them. */
  needAll(): Offset {
    return !this.#anchored || this.#totalInFlight > 0 ? IN_FLIGHT : Math.max(this.#highestOffset, this.#barrierOffset)
  }

  /** Whether somebody tells the keys of all writers. */
  get isStreamed(): boolean {
    return this.#streamed >= 0
  }

  /**
   * How many slots have finished writes that whoever has applied `applied` lacks: so many keys at least. undefined: it may
   * be any key. What is in flight is left out, a BLPOP may be so for hours. Reads the whole table.
   */
  beyond(applied: Offset): number | undefined {
    if (!this.#anchored || this.#barrierOffset > applied) return undefined
    let count = 0
    for (let slot = 0; slot <= this.#mask; slot++) {
      if ((this.#offsets[slot * OFFSETS] as number) > applied) count++
    }
    return count
  }

  /** A new lineage: no offset of the old one means anything. Until `anchor` only the master may be asked. */
  restart(history?: string): void {
    this.#generation++
    this.#history = history
    this.#anchored = false
    this.#words.fill(0)
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
    const at = slot * OFFSETS
    if ((this.#offsets[at] as number) < offset) this.#offsets[at] = offset
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
