/**
 * Where somebody stands in the history of the data: what must be shown to them at least, at level `session`, and what they
 * have written, at every level.
 *
 * Mostly it is one connection's. Connections of one client name or one user may share a standing, so that a pool reads
 * its own writes whichever of its connections it takes: then all of them read from one replica, leave it together, and
 * come back when a replica has what any of them has seen.
 */
import type { Offset } from '../base/units.js'
import { fateOf } from '../routing/floors.js'
import type { Flight, Follower } from '../routing/marks.js'
import type { Lineage } from '../topology/view.js'
import type { Instance } from './instance.js'

/** Tells the history that offsets are of now. */
export interface Historian {
  readonly replid: string | undefined
  readonly lineage: Lineage | undefined
  /** It was answered something that the history of now may not have. */
  onLost(who: Standing | Trail): void
}

/** Where `offset` of the history `of` is now; undefined: nowhere that anybody knows. */
function placeOf(offset: Offset | undefined, of: string | undefined, now: Historian | undefined): Offset | undefined {
  const { lineage } = now ?? {}
  if (offset === undefined || lineage === undefined) return undefined
  return fateOf(offset, of, lineage) === 'kept' ? offset : undefined
}

export class Standing implements Follower {
  /** Nothing older than this offset of the history `floorOf` is shown. */
  floor: Offset = 0
  floorOf: string | undefined = undefined
  /** Commands at the master, at level `session`, that no sample covers yet. */
  unsettled = 0
  /** The replica that served the last read, at level `session`. */
  replica: Instance | undefined = undefined
  /** Reads at that replica that are not answered. */
  reading = 0
  /** The master has answered something since a sample came. */
  answered = false
  /** Connections that share it. */
  members = 0

  constructor(
    private readonly historian: () => Historian | undefined,
    /** Some who share it may be at other workers: what those are shown is known to the master only. */
    readonly wide = false,
  ) {}

  raise(replid: string | undefined, offset: Offset): void {
    this.floor = this.floorOf === replid ? Math.max(this.floor, offset) : offset
    this.floorOf = replid
  }

  /** A history has ended: what is left of it ends at `offset` of the new one. */
  move(replid: string, offset: Offset): void {
    this.floor = offset
    this.floorOf = replid
  }

  /** Whether the new master has all that was shown. */
  survives(lineage: Lineage): boolean {
    return this.floor === 0 || fateOf(this.floor, this.floorOf, lineage) === 'kept'
  }

  /** What survived has the same offset in the new history; for what did not, its beginning stands. */
  translate(lineage: Lineage, anchor: Offset): void {
    if (this.floor > 0) this.move(lineage.replid, this.survives(lineage) ? this.floor : anchor)
  }

  covered(offset: Offset | undefined, of: string | undefined): void {
    this.unsettled--
    const historian = this.historian()
    const place = placeOf(offset, of, historian)
    if (place !== undefined) this.raise(historian?.replid, place)
    else if (this.answered) historian?.onLost(this)
    this.answered = false
  }
}

/**
 * What a connection has written and had acknowledged, and what the master has shown it, at levels that follow nothing else
 * of it.
 */
export class Trail implements Follower {
  /** The last of it is covered by this offset of the history `of`. */
  offset: Offset = 0
  of: string | undefined = undefined
  /** The master has answered something since a sample came. */
  answered = false
  #flight: Flight | undefined

  constructor(private readonly historian: () => Historian | undefined) {}

  /** The connection asks the master, and the sample behind the flight will cover it. */
  follow(flight: Flight): void {
    if (this.#flight === flight) return
    this.#flight = flight
    flight.followers.push(this)
  }

  survives(lineage: Lineage): boolean {
    return this.offset === 0 || fateOf(this.offset, this.of, lineage) === 'kept'
  }

  translate(lineage: Lineage): void {
    if (!this.survives(lineage)) this.offset = 0
    this.of = lineage.replid
  }

  covered(offset: Offset | undefined, of: string | undefined): void {
    this.#flight = undefined
    const historian = this.historian()
    const place = placeOf(offset, of, historian)
    if (place !== undefined) {
      this.offset = place
      this.of = historian?.replid
    } else if (this.answered) historian?.onLost(this)
    this.answered = false
  }
}

/** So that a session can be told when what it wrote, or was shown by the master, is lost. */
export function followTrail(session: { trail: Trail | undefined }, historian: Historian, flight: Flight): void {
  session.trail ??= new Trail(() => historian)
  session.trail.follow(flight)
}

/** Standings that are shared, by the name of the client or user. */
export class Standings {
  readonly #byName = new Map<string, Standing>()

  constructor(
    private readonly historian: () => Historian | undefined,
    private readonly wide: boolean,
    /** More names than this are not remembered, but for those whose clients are connected. */
    private readonly max = 10_000,
  ) {}

  /** Everybody who comes by this name gets the same, as long as it is remembered: a pool may be gone for a while. */
  of(name: string): Standing {
    const known = this.#byName.get(name)
    const standing = known ?? new Standing(this.historian, this.wide)
    // The last to be asked for is the last to be forgotten.
    this.#byName.delete(name)
    this.#byName.set(name, standing)
    if (known === undefined && this.#byName.size > this.max) this.#forgetOne()
    return standing
  }

  *[Symbol.iterator](): Iterator<Standing> {
    yield* this.#byName.values()
  }

  get size(): number {
    return this.#byName.size
  }

  #forgetOne(): void {
    for (const [name, { members }] of this.#byName) {
      if (members > 0) continue
      this.#byName.delete(name)
      return
    }
  }
}
