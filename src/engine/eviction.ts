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

/** Drawing among all slots when few keys can expire: after so many misses per sample, take what was found. */
const TRIES_PER_SAMPLE = 64

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
    for (const slot of draw(engine, db, volatile, policy.endsWith('random') ? 1 : samples)) {
      const score = dispensability(engine, db, slot, policy, now)
      if (score <= highest) continue
      highest = score
      victim = { db, key: db.table.keyAt(slot) as Bytes }
    }
  }
  return victim
}

function draw(engine: Engine, { table }: Database, volatile: boolean, samples: number): number[] {
  const slots: number[] = []
  for (let tries = samples * TRIES_PER_SAMPLE; tries > 0 && slots.length < samples; tries--) {
    const slot = table.randomSlot(engine.random)
    if (!volatile || table.expireAt(slot) !== 0) slots.push(slot)
  }
  if (slots.length > 0 || !volatile) return slots
  // Too few can expire to be met by chance: take the first that does.
  for (let slot = 0; slot < table.slotEnd; slot++)
    if (table.keyAt(slot) !== undefined && table.expireAt(slot) !== 0) return [slot]
  return []
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
