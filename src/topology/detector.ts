/**
 * Is it alive? Two kinds of evidence, weighed differently.
 *
 * Death speaks: a connection that ends (RST, EOF) or is refused comes from a kernel that says "nobody is here". Two such
 * signs in a row, with no answer between them, count at once, if one of them is a refusal: connections that are accepted
 * and break may be the network's doing, and only many of them in a row, over some time, are a process (or a relay in front of
 * a dead one): all that break within a moment may have one cause. Silence says nothing by itself (a busy process, a slow link,
 * a stopped process, a dead host), so it counts only after `downAfterMs`. An answer of any kind, even an error,
 * proves life: a master that answers BUSY is not dead.
 *
 *     EOF 0 ms ─▶ refused 1 ms ─▶ down, 'dead'          the master was killed
 *     asked, asked, asked … 1000 ms ─▶ down, 'silent'   it was stopped, or the network was
 */
import type { Millis } from '../base/units.js'

export interface Liveness {
  /** When it last answered. */
  readonly heardAt: Millis | undefined
  /** Since when a question has been waiting for an answer: the beginning of the silence, if it is one. */
  readonly silentSince: Millis | undefined
  /** Signs of death since the last answer. */
  readonly deaths: number
  /** Connections that ended, among them; few of these count as one. */
  readonly resets?: number
  readonly diedAt: Millis | undefined
}

export type Sign = 'reset' | 'refused'

export type Health =
  | { readonly health: 'unknown' }
  | { readonly health: 'up' }
  | { readonly health: 'suspect'; readonly because: Sign | 'silent'; readonly since: Millis }
  | { readonly health: 'down'; readonly because: 'dead' | 'silent'; readonly since: Millis }

export interface DetectorOptions {
  readonly downAfterMs: Millis
}

/** One sign may be a client that was killed by an operator; two in a row are a process. */
const SIGNS_OF_DEATH = 2
/** So many in a row are another sign, the last of them so long after the first. */
const RESETS_OF_DEATH = 4
const RESETS_SPAN_MS: Millis = 50

export const unheard: Liveness = { heardAt: undefined, silentSince: undefined, deaths: 0, diedAt: undefined }

export function asked(liveness: Liveness, now: Millis): Liveness {
  return liveness.silentSince === undefined ? { ...liveness, silentSince: now } : liveness
}

export function heard(_liveness: Liveness, now: Millis): Liveness {
  return { heardAt: now, silentSince: undefined, deaths: 0, diedAt: undefined }
}

/** A connection to it ended or was refused. The silence begins here if it had not begun. */
export function died(liveness: Liveness, sign: Sign, now: Millis): Liveness {
  const resets = (liveness.resets ?? 0) + (sign === 'reset' ? 1 : 0)
  const lasts = now - (liveness.diedAt ?? now) >= RESETS_SPAN_MS
  const counts = sign === 'refused' || resets === 1 || (resets >= RESETS_OF_DEATH && lasts)
  return {
    ...liveness,
    silentSince: liveness.silentSince ?? now,
    deaths: liveness.deaths + (counts ? 1 : 0),
    resets,
    diedAt: liveness.diedAt ?? now,
  }
}

/** We were not listening ourselves (the event loop stalled, the clock jumped): silence is counted from now on. */
export function forgive(liveness: Liveness, now: Millis): Liveness {
  return liveness.silentSince === undefined ? liveness : { ...liveness, silentSince: now }
}

export function judge(liveness: Liveness, options: DetectorOptions, now: Millis): Health {
  const { heardAt, silentSince, deaths, diedAt } = liveness
  const deadSince = deathOf(liveness)
  if (deadSince !== undefined) return { health: 'down', because: 'dead', since: deadSince }

  const silentMs = silentSince === undefined ? 0 : now - silentSince
  if (silentSince !== undefined && silentMs > options.downAfterMs) {
    return { health: 'down', because: 'silent', since: silentSince }
  }
  if (deaths > 0 && diedAt !== undefined) return { health: 'suspect', because: 'reset', since: diedAt }
  if (heardAt === undefined) return { health: 'unknown' }
  // Half of the time is over: look closer, at this instance and at its replicas.
  if (silentSince !== undefined && silentMs > options.downAfterMs / 2) {
    return { health: 'suspect', because: 'silent', since: silentSince }
  }
  return { health: 'up' }
}

/** Since when it has been dead; undefined for one that lives or is only silent. */
export function deathOf({ deaths, diedAt }: Liveness): Millis | undefined {
  return deaths >= SIGNS_OF_DEATH ? diedAt : undefined
}
