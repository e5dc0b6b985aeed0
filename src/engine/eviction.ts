/**
 * Which key to give up when memory is short. As in Redis, not the best of all keys but the best of a few drawn by chance:
 * with five per database the difference does not show, and it costs nothing to keep.
 */
import type { Bytes, UnixMillis } from '../base/units.js'
import type { Database } from './database.js'
import type { Engine } from './engine.js'

export type EvictionPolicy =
  | 'volatile-lru'
  | 'volatile-lfu'
  | 'volatile-random'
  | 'volatile-ttl'
  | 'allkeys-lru'
  | 'allkeys-lfu'
  | 'allkeys-random'

export interface Victim {
  readonly db: Database
  readonly key: Bytes
}

export function findVictim(
  engine: Engine,
  policy: EvictionPolicy,
  samples: number,
  now: UnixMillis,
): Victim | undefined {
  let victim: Victim | undefined
  let highest = Number.NEGATIVE_INFINITY
  const volatile = policy.startsWith('volatile')
  for (const db of engine.databases) {
    if ((volatile ? db.volatileSize : db.size) === 0) continue
    for (let drawn = policy.endsWith('random') ? 1 : samples; drawn > 0; drawn--) {
      const slot = volatile ? db.table.randomVolatileSlot(engine.random) : db.table.randomSlot(engine.random)
      const score = dispensability(engine, db, slot, policy, now)
      if (score <= highest) continue
      highest = score
      victim = { db, key: db.table.keyAt(slot) as Bytes }
    }
  }
  return victim
}

function dispensability(
  engine: Engine,
  { table }: Database,
  slot: number,
  policy: EvictionPolicy,
  now: UnixMillis,
): number {
  if (policy.endsWith('lru')) return engine.idleSeconds(table, slot, now)
  if (policy.endsWith('lfu')) return 255 - engine.frequency(table, slot, now)
  return policy === 'volatile-ttl' ? -table.expireAt(slot) : engine.random()
}
