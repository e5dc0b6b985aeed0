/**
 * Whom a follower of sentinels believes. Each of them says which address is master and since which configuration; the newest
 * configuration counts, as among themselves. A sentinel that was cut off says something old, and may say it for long: its
 * smaller epoch gives it away. At equal epochs most of them are right, since they learn it from each other.
 */
import { type Address, formatAddress } from '../../base/address.js'
import type { Millis } from '../../base/units.js'

export interface SentinelWord {
  readonly sentinel: string
  readonly master: Address
  readonly configEpoch: number
  readonly at: Millis
}

/** Who was heard of longer ago than this is not asked for an opinion. */
const WORD_MS: Millis = 10_000

export function believe(words: readonly SentinelWord[], now: Millis): SentinelWord | undefined {
  const fresh = words.filter(word => now - word.at <= WORD_MS)
  const newest = Math.max(...fresh.map(word => word.configEpoch))
  const candidates = fresh.filter(word => word.configEpoch === newest)
  const votes = (word: SentinelWord): number => {
    return candidates.filter(other => formatAddress(other.master) === formatAddress(word.master)).length
  }
  return [...candidates].sort((one, other) => votes(other) - votes(one) || other.at - one.at)[0]
}
