/**
 * The periods that sentinels agree on. They are no options but constants of the protocol: a sentinel that publishes or
 * asks at another pace than its peers is taken for dead, or takes them for dead. SENTINEL DEBUG changes them for tests.
 */
import type { Millis } from '../../base/units.js'

export interface Timing {
  'info-period': Millis
  'ping-period': Millis
  'ask-period': Millis
  'publish-period': Millis
  'default-down-after': Millis
  'default-failover-timeout': Millis
  /** Two ticks further apart than this mean that we stood still: what we believe is old. */
  'tilt-trigger': Millis
  'tilt-period': Millis
  /** A replica that does not show its new master after this long is left to the repair. */
  'slave-reconf-timeout': Millis
  'min-link-reconnect-period': Millis
  'election-timeout': Millis
  'script-max-runtime': Millis
  'script-retry-delay': Millis
}

export type TimingName = keyof Timing

/** In the order in which SENTINEL DEBUG lists them. */
export const timingDefaults: Readonly<Timing> = {
  'info-period': 10_000,
  'ping-period': 1000,
  'ask-period': 1000,
  'publish-period': 2000,
  'default-down-after': 30_000,
  'default-failover-timeout': 180_000,
  'tilt-trigger': 2000,
  'tilt-period': 30_000,
  'slave-reconf-timeout': 10_000,
  'min-link-reconnect-period': 15_000,
  'election-timeout': 10_000,
  'script-max-runtime': 60_000,
  'script-retry-delay': 30_000,
}

export function isTimingName(word: string): word is TimingName {
  return Object.hasOwn(timingDefaults, word)
}

/**
 * Silence lasts for down-after when that much has passed since a PING was sent that nobody answered. It is noticed sooner
 * the less time there is between PINGs, and for that nobody has to be silent any less long.
 */
export const PINGS_IN_DOWN_AFTER = 4
/** While a death is proven or a failover runs, nobody waits for the next period. */
export const URGENT_MS: Millis = 50
/** A replica that was asked a moment ago, and did not know yet what everybody sees, is asked again this soon. */
export const RELOOK_MS: Millis = 20
/**
 * Sentinels that saw the same death at the same moment must not all stand for election. The one with the smallest id does
 * at once; each of the others gives every one before it so long. Who is asked for its vote meanwhile gives it. Nobody waits
 * for a redis-sentinel: it goes by silence only, looks ten times in a second, and sees a promotion a second later than we.
 */
export const RANK_MS: Millis = 60
/**
 * A tick that comes so late was held up with everything else that waited for this process, answers to its PINGs among it:
 * those are read first. Far shorter than what tilt means.
 */
export const LATE_MS: Millis = 150
/** After an election that nobody could win: the next attempt, in a new epoch, comes after up to twice this. */
export const REELECTION_MS: Millis = 300
/** What a vote for somebody else adds to the time until we try ourselves. */
export const VOTED_DESYNC_MS: Millis = 1000
/** At most so many commands wait for an answer on one link; further ones are left out, not queued. */
export const MAX_PENDING = 100
