/**
 * Feeding: replicas that miss bytes which the witness has are pointed to it, and waited for.
 */
import type { Clock } from '../base/clock.js'
import type { Millis } from '../base/units.js'
import type { Observer } from '../observer/observer.js'
import { explain, type Orders } from './orders.js'
import type { Testimony, Witness } from './witness.js'

/** A replica is asked how far it is when it may be there, and not so often that the questions hold up the answer. */
const BYTES_PER_MS = 200_000
const ASK_MS_MIN: Millis = 0.5
const ASK_MS_MAX: Millis = 20

/** Who can reach the witness has come by then. */
const KNOCK_MS: Millis = 500

export interface Fed {
  /** How far the first of them, the candidate, got. */
  readonly bytes: number
  /** Those that did not get everything in time. */
  readonly hungry: readonly string[]
  readonly durationMs: Millis
}

/** Who of these is behind the witness, on the same history, and not too far behind. */
export function hungryOf(
  testimony: Testimony | undefined,
  observer: Observer,
  ids: readonly string[],
): readonly string[] {
  if (testimony === undefined) return []
  const hungry = ids.filter(id => {
    const { replid, offset } = observer.instance(id) ?? {}
    if (replid !== testimony.replid || offset === undefined) return false
    return offset + 1 >= testimony.firstOffset && offset + 1 < testimony.nextOffset
  })
  // When the candidate, which has most, misses nothing, its siblings get the rest from it.
  return hungry[0] === ids[0] ? hungry : []
}

/** Never throws: whom nobody can feed stays hungry. */
export async function feed(
  clock: Clock,
  observer: Observer,
  orders: Orders,
  witness: Witness,
  ids: readonly string[],
  timeoutMs: Millis,
): Promise<Fed> {
  const startedAt = clock.now()
  const target = (witness.testimony?.nextOffset ?? 1) - 1
  const before = observer.instance(ids[0] ?? '')?.offset ?? 0
  const until = startedAt + timeoutMs
  const address = await witness.address()
  const fedAll = await Promise.all(
    ids.map(async id => {
      try {
        await orders.replicaOfAddress(id, address)
        return await hasReached(id)
      } catch (error) {
        explain(error)
        return false
      }
    }),
  )
  const after = observer.instance(ids[0] ?? '')?.offset ?? before
  return {
    bytes: Math.max(0, after - before),
    hungry: ids.filter((_, index) => fedAll[index] !== true),
    durationMs: clock.now() - startedAt,
  }

  async function hasReached(id: string): Promise<boolean> {
    const unheard = startedAt + KNOCK_MS
    for (let info = await orders.ask(id); ; ) {
      const missing = target - (info.offset ?? -1)
      if (missing <= 0) return true
      const now = clock.now()
      if (now >= until || (now >= unheard && witness.readers === 0)) return false
      info = await orders.askAgain(id, Math.min(Math.max(missing / BYTES_PER_MS, ASK_MS_MIN), ASK_MS_MAX))
    }
  }
}
