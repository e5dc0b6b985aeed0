/**
 * Where does a read go, and why?
 *
 * First who may answer at all (the view says: up, linked, ours), then who is fresh enough for the level, then who has the
 * least to do. Nothing is allocated: the answer is written into a Choice that its owner uses again.
 */
import type { Millis, Offset } from '../base/units.js'
import type { Acks } from './acks.js'
import { IN_FLIGHT } from './marks.js'

/**
 * What a read may be promised.
 *
 * `strong` is asked with the master's offset, sampled after the read came; `session` with an offset that covers what this
 * session was answered, its own writes among it; `causal` with what the marks of the keys say.
 */
export type Level = 'strong' | 'causal' | 'session' | 'bounded' | 'eventual'

export const levels: readonly Level[] = ['strong', 'causal', 'session', 'bounded', 'eventual']

/** Why a read went to a replica. */
export type ReplicaBecause =
  | 'fresh-replica' // it has applied everything that was acknowledged for these keys
  | 'read-index' // it has applied what the master had after the read came
  | 'within-bound' // its lag is known to be below the bound
  | 'healthy-replica' // the level asks for no more
  | 'min-serving' // beyond the bound, but among the freshest that shall serve whatever happens
  | 'master-spared' // beyond the bound, but the master answers too many reads already

/** Why a read went to the master. */
export type MasterBecause =
  | 'strong' // no replica is near enough to be worth a question to the master
  | 'node-local' // the answer belongs to one node: cursors, sampling, key counts
  | 'write-in-flight' // a write to its keys, or a barrier, is not settled yet
  | 'no-fresh-replica'
  | 'no-replica-within-bound'
  | 'no-replica' // none is up, linked and ours
  | 'waited-in-vain' // a replica was about to qualify and did not in time
  | 'transaction' // part of MULTI or WATCH, on their connection
  | 'tracking' // the client caches what it reads: its connection remembers that
  | 'blocking'
  | 'in-order' // its session's last read of these keys is being answered there

/** Why a read is kept for a moment. */
export type WaitBecause = 'replica-about-to-qualify'

export type ReadBecause = ReplicaBecause | MasterBecause | WaitBecause

export type ReadDecision = 'replica' | 'master' | 'wait'

export const decisionOf: Readonly<Record<ReadBecause, ReadDecision>> = {
  'fresh-replica': 'replica',
  'read-index': 'replica',
  'within-bound': 'replica',
  'healthy-replica': 'replica',
  'min-serving': 'replica',
  'master-spared': 'replica',
  strong: 'master',
  'node-local': 'master',
  'write-in-flight': 'master',
  'no-fresh-replica': 'master',
  'no-replica-within-bound': 'master',
  'no-replica': 'master',
  'waited-in-vain': 'master',
  transaction: 'master',
  tracking: 'master',
  blocking: 'master',
  'in-order': 'master',
  'replica-about-to-qualify': 'wait',
}

/** What the choice needs to know of a replica. */
export interface Candidate {
  /** Up, linked, of our lineage as the view says, and with a connection that stands or may be opened. */
  readonly usable: boolean
  /** The offset it has applied in the lineage of the master; -1 when it is of another one, or nothing is known. */
  readonly applied: Offset
  /** An upper bound of how old its data was at `lagAt`; undefined when unknown. */
  readonly lagMs: Millis | undefined
  readonly lagAt: Millis
  /** Commands sent to it and not answered. */
  readonly pending: number
  /** Those of them that may take long. */
  readonly slow: number
  /** When it answered last, or was asked after it had had nothing to do. */
  readonly workingSince: Millis
  /** Smoothed time to a reply. */
  readonly latencyMs: Millis
}

export interface ReadRules {
  readonly level: Level
  /** For `bounded`. */
  readonly boundMs: Millis
  /** A replica whose lag is known to be below this is worth waiting for; 0: never wait. */
  readonly waitMs: Millis
  /** Who answers when no replica qualifies in time: the master, or nobody, so that it is spared. */
  readonly noReplica: NoReplica
  /** Of writes: who must have them before they are acknowledged. */
  readonly acks?: Acks | undefined
}

export type NoReplica = 'master' | 'error'

/** What a read is refused for where the master is spared; for any other reason it is the master's own. */
export const refusable: ReadonlySet<ReadBecause> = new Set<ReadBecause>([
  'strong',
  'write-in-flight',
  'no-fresh-replica',
  'no-replica-within-bound',
  'no-replica',
  'waited-in-vain',
])

/** The answer, to be used before the next question. */
export interface Choice<C extends Candidate> {
  to: C | undefined
  because: ReadBecause
}

/**
 * `need` is the offset that a replica must have applied, 0 when any will do; `last` the replica that served this session's
 * last read, kept while it is no worse than others, so that what a session sees does not go back; `fast`: the command is over
 * in a moment, wherever it goes.
 */
export function chooseRead<C extends Candidate>(
  choice: Choice<C>,
  candidates: readonly C[],
  need: Offset,
  rules: ReadRules,
  last: C | undefined,
  now: Millis,
  fast = false,
): void {
  choice.to = undefined
  switch (rules.level) {
    case 'strong':
      if (need === IN_FLIGHT) choice.because = 'strong'
      else chooseFresh(choice, candidates, need, rules, last, now, fast)
      if (choice.to !== undefined) choice.because = 'read-index'
      return
    case 'eventual':
      choice.to = leastLoaded(candidates, atLeast(need), Number.POSITIVE_INFINITY, last)
      choice.because = choice.to === undefined ? 'no-replica' : 'healthy-replica'
      if (choice.to === undefined && need > 0) chooseFresh(choice, candidates, need, rules, last, now, fast)
      return
    case 'bounded':
      choice.to = leastLoaded(candidates, atLeast(need), rules.boundMs, last, now)
      choice.because =
        choice.to !== undefined ? 'within-bound' : anyUsable(candidates) ? 'no-replica-within-bound' : 'no-replica'
      return
    default:
      chooseFresh(choice, candidates, need, rules, last, now, fast)
  }
}

/** A floor, or none: then even what nobody knows the offset of will do. */
function atLeast(need: Offset): Offset {
  return need > 0 ? need : -1
}

function chooseFresh<C extends Candidate>(
  choice: Choice<C>,
  candidates: readonly C[],
  need: Offset,
  rules: ReadRules,
  last: C | undefined,
  now: Millis,
  fast: boolean,
): void {
  if (need === IN_FLIGHT) {
    choice.because = 'write-in-flight'
    return
  }
  // A history that has not produced a byte is a history none the less: an unknown offset (-1) never qualifies.
  choice.to = leastLoaded(candidates, Math.max(need, 0), Number.POSITIVE_INFINITY, last, now, fast)
  if (choice.to !== undefined) choice.because = 'fresh-replica'
  else if (!anyUsable(candidates)) choice.because = 'no-replica'
  else choice.because = isNear(candidates, rules.waitMs) ? 'replica-about-to-qualify' : 'no-fresh-replica'
}

/** Whether an offset that is known, or none, lets it answer: never while a write to the key is in flight. */
export function hasApplied({ usable, applied }: Candidate, need: Offset): boolean {
  return usable && applied >= Math.max(need, 0)
}

/**
 * A session stays where it is until another replica has less than half of the work: all that keeps its view from going back
 * where no offset does.
 */
const STICKY = 0.5
/**
 * To wake an instance up costs us as much as four commands, and costs it as well. So one that is fast joins others that are,
 * where an instance is at work on them already: that counts as a quarter of a command, until there are so many that it would
 * wait for them. Where answers take long, something slow is among them, or nothing has come for a moment, work is shared.
 */
const JOINS = 0.25
const COMPANY = 64
const QUICK_MS = 1

/** `joins`: a fast command for which an offset proves what may be shown; it may go where others go. */
function leastLoaded<C extends Candidate>(
  candidates: readonly C[],
  appliedMin: Offset,
  lagMsMax: Millis,
  last: C | undefined,
  now: Millis = 0,
  joins = false,
): C | undefined {
  let best: C | undefined
  let bestLoad = Number.POSITIVE_INFINITY
  for (let index = 0; index < candidates.length; index++) {
    const candidate = candidates[index] as C
    if (!candidate.usable || candidate.applied < appliedMin) continue
    if (lagMsMax !== Number.POSITIVE_INFINITY && !isWithin(candidate, lagMsMax, now)) continue
    let load = (candidate.pending + 1) * candidate.latencyMs
    if (joins && isCompany(candidate, now)) load = candidate.latencyMs * JOINS
    else if (candidate === last) load *= STICKY
    if (load < bestLoad) {
      best = candidate
      bestLoad = load
    }
  }
  return best
}

function isCompany({ pending, slow, latencyMs, workingSince }: Candidate, now: Millis): boolean {
  if (pending === 0 || pending >= COMPANY || slow > 0) return false
  return latencyMs < QUICK_MS && now - workingSince < QUICK_MS
}

/** A proof grows old: what was 3 ms behind 10 ms ago, and has not been heard of since, may be 13 ms behind. */
function isWithin({ lagMs, lagAt }: Candidate, lagMsMax: Millis, now: Millis): boolean {
  return lagMs !== undefined && lagMs + Math.max(0, now - lagAt) <= lagMsMax
}

function anyUsable(candidates: readonly Candidate[]): boolean {
  for (let index = 0; index < candidates.length; index++) if ((candidates[index] as Candidate).usable) return true
  return false
}

/** True when a replica is so close behind that it is worth waiting for, or asking the master for its offset. */
export function isNear(candidates: readonly Candidate[], waitMs: Millis): boolean {
  if (waitMs <= 0) return false
  for (let index = 0; index < candidates.length; index++) {
    const { usable, applied, lagMs } = candidates[index] as Candidate
    if (usable && applied >= 0 && lagMs !== undefined && lagMs < waitMs) return true
  }
  return false
}
