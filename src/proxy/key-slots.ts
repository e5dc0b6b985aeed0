/**
 * The slots of the keys of the call at hand, found without making strings of them.
 */
import type { Offset } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import { type Call, movingKeys } from '../routing/calls.js'
import { type Flight, IN_FLIGHT, type Marks } from '../routing/marks.js'

/** What `find` answers for a call whose keys nobody can tell: it may touch any. */
const ANY_KEY = -1

export class KeySlots {
  /** Those of the last call that `find` looked at. */
  #slots = new Int32Array(64)
  /** The whole hashes of the same keys. */
  #hashes = new Int32Array(64)

  constructor(private readonly marks: Marks) {}

  /** Looks at a call; answers how many keys it has, or -1 for "any". The others take this number. */
  find(call: Call, decoder: Decoder): number {
    const { argc, buffer, argStart, argEnd } = decoder
    if (call.marking === 'all') return ANY_KEY
    // The instance will refuse it: it reads and writes nothing.
    if (argc < call.argcMin || argc > call.argcMax) return 0
    if (call.marking === 'moving-keys') return this.#findMoving(call, decoder)
    const last = call.lastKey < 0 ? argc + call.lastKey : call.lastKey
    let count = 0
    for (let at = call.firstKey; at <= last && at < argc; at += call.keyStep) {
      if (count === this.#slots.length) this.#makeRoom(count + 1)
      this.#put(count++, this.marks.hashOf(buffer, argStart[at] as number, argEnd[at] as number))
    }
    return count
  }

  #findMoving(call: Call, decoder: Decoder): number {
    const { buffer, argStart, argEnd } = decoder
    const positions = movingKeys(call, decoder.args())
    if (positions === undefined) return ANY_KEY
    this.#makeRoom(positions.length)
    for (const [index, at] of positions.entries()) {
      this.#put(index, this.marks.hashOf(buffer, argStart[at] as number, argEnd[at] as number))
    }
    return positions.length
  }

  #makeRoom(count: number): void {
    if (count <= this.#slots.length) return
    const larger = new Int32Array(Math.max(count, this.#slots.length * 2))
    larger.set(this.#slots)
    this.#slots = larger
    const hashes = new Int32Array(larger.length)
    hashes.set(this.#hashes)
    this.#hashes = hashes
  }

  #put(index: number, hash: number): void {
    this.#hashes[index] = hash
    this.#slots[index] = this.marks.slotOfHash(hash)
  }

  /** True when nothing keeps the call from replicas that have applied `applied` but writes to other keys of its slots. */
  isCollision(count: number, applied: Offset): boolean {
    let others = 0
    for (let index = 0; index < count; index++) {
      const kept = this.marks.keptBy(this.#hashes[index] as number, applied)
      if (kept === 'itself') return false
      if (kept === 'another') others++
    }
    return others > 0
  }

  /** What a replica must have applied to answer the call. */
  need(count: number): Offset {
    if (count < 0) return this.marks.needAll()
    if (!this.marks.anchored) return IN_FLIGHT
    let need = 0
    for (let index = 0; index < count; index++) {
      const one = this.marks.need(this.#slots[index] as number)
      if (one > need) need = one
    }
    return need
  }

  raise(flight: Flight, count: number): void {
    if (count < 0) return this.marks.raiseAll(flight)
    for (let index = 0; index < count; index++) {
      this.marks.raise(flight, this.#slots[index] as number)
      this.marks.sign(this.#hashes[index] as number)
    }
  }

  /** The stream says that the call, which ends at `offset`, wrote its keys. */
  note(count: number, offset: Offset): void {
    for (let index = 0; index < count; index++) {
      this.marks.note(this.#slots[index] as number, offset)
      this.marks.sign(this.#hashes[index] as number)
    }
  }

  /** A set of 32 bits: calls whose filters have none in common have no key in common. */
  filter(count: number): number {
    if (count < 0) return -1
    let filter = 0
    for (let index = 0; index < count; index++) filter |= 1 << ((this.#slots[index] as number) & 31)
    return filter
  }

  /** To be kept; undefined: any key. */
  list(count: number): readonly number[] | undefined {
    return count < 0 ? undefined : Array.from(this.#slots.subarray(0, count))
  }
}
