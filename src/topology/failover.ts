/**
 * A change of master because there is none any more. The states have Sentinel's names:
 *
 *     wait_start ──elected──▶ select_slave ──everybody asked──▶ send_slaveof_noone ⇄ wait_promotion
 *         │                        │   └─▶ feed_slaves ──fed──────────▲    │              │ never confirmed
 *         │ the master is back     │ nobody fit                            │ promoted     ▼
 *         └──────────▶ aborted ◀───┘                                       ▼            failed
 *                                        replay_client ◀─fed in vain─┤
 *                                              └─replayed─▶ reconf_slaves ──▶ update_config: ok
 *
 * The old master is given up first (it gets no more traffic), and only then the replicas are asked what they have: a
 * candidate chosen by older offsets could miss bytes that arrived in between. Where a witness has read more of the
 * master's stream than the candidate, it is fed the rest before it is promoted; if it cannot reach the witness, a client
 * executes the rest there when it is promoted, before anybody else is let in. One attempt promotes one instance, in an epoch
 * of its own; if that cannot be confirmed the attempt has failed, and the next one has another epoch.
 */
import { unreachable } from '../base/invariant.js'
import type { Millis } from '../base/units.js'
import type { Promotion } from './operation.js'

export interface FailoverPlan {
  /** The master that is gone; undefined when there was none. */
  readonly from: string | undefined
  /** Everybody who may have the data. */
  readonly replicas: readonly string[]
  readonly epoch: number
  /** Writes were acknowledged because the witness had them: nobody is promoted without what it has. */
  readonly mustFeed?: boolean
  /** What nobody could be fed may be replayed. */
  readonly mayReplay?: boolean
}

export interface FailoverOptions {
  readonly electTimeoutMs: Millis
  /** For the replicas' answers; those that are late are not candidates. */
  readonly askTimeoutMs: Millis
  /** For those that are late although they are known to have more than all the others. */
  readonly patienceMs: Millis
  /** For the bytes that only the witness has; then the candidate is promoted with what it has. */
  readonly feedTimeoutMs: Millis
  /** For what is replayed to who could not be fed. */
  readonly replayTimeoutMs: Millis
  readonly promoteTimeoutMs: Millis
  readonly reconfTimeoutMs: Millis
}

export const failoverDefaults: FailoverOptions = {
  electTimeoutMs: 1000,
  askTimeoutMs: 200,
  patienceMs: 500,
  feedTimeoutMs: 2000,
  replayTimeoutMs: 2000,
  promoteTimeoutMs: 1000,
  reconfTimeoutMs: 1000,
}

/** The replay ends by itself. */
const GRACE_MS: Millis = 500

export type FailoverState =
  | { readonly step: 'wait_start'; readonly until: Millis }
  | {
      readonly step: 'select_slave'
      readonly until: Millis
      readonly since: Millis
      readonly waiting: readonly string[]
    }
  | { readonly step: 'feed_slaves'; readonly until: Millis; readonly candidate: string }
  | { readonly step: 'send_slaveof_noone'; readonly until: Millis; readonly candidate: string }
  | { readonly step: 'wait_promotion'; readonly until: Millis; readonly candidate: string }
  | { readonly step: 'replay_client'; readonly until: Millis; readonly candidate: string }
  | {
      readonly step: 'reconf_slaves'
      readonly until: Millis
      readonly candidate: string
      readonly waiting: readonly string[]
    }
  | { readonly step: 'update_config'; readonly candidate: string }
  | { readonly step: 'aborted'; readonly reason: string }
  | { readonly step: 'failed'; readonly reason: string }

export interface Failover {
  readonly plan: FailoverPlan
  readonly state: FailoverState
  /** To be pointed to the new master; those chained behind another replica are not among them. */
  readonly siblings: readonly string[]
  readonly promotion: Promotion | undefined
  /** The candidate lacks what the witness has. */
  readonly hungry: boolean
}

export type FailoverEvent =
  | { readonly type: 'tick' }
  /** This agent leads: alone, or by votes. */
  | { readonly type: 'elected' }
  /** A replica was asked (its facts are with whoever selects), or could not be. */
  | { readonly type: 'answered'; readonly id: string }
  /** The answer to `select`. */
  | {
      readonly type: 'selected'
      readonly candidate: string | undefined
      readonly siblings: readonly string[]
      /** Those who miss bytes that the witness has. */
      readonly hungry?: readonly string[]
    }
  /** They have everything that the witness has, or cannot get it. */
  | { readonly type: 'fed'; readonly hungry?: readonly string[] }
  /** Whether all of it was executed. */
  | { readonly type: 'replayed'; readonly whole: boolean }
  | { readonly type: 'promoted'; readonly id: string; readonly promotion: Promotion }
  | { readonly type: 'promote-failed'; readonly id: string; readonly certain: boolean; readonly reason: string }
  | { readonly type: 'pointed'; readonly id: string }
  | { readonly type: 'master-back' }
  | { readonly type: 'abort'; readonly reason: string }

export type FailoverEffect =
  | { readonly do: 'elect'; readonly epoch: number }
  /** The old master gets no more traffic. */
  | { readonly do: 'disown' }
  /** It does again: nothing was promoted. */
  | { readonly do: 'own' }
  | { readonly do: 'ask'; readonly id: string }
  /** Choose among those whose facts are younger than `since`. */
  | { readonly do: 'select'; readonly since: Millis }
  | { readonly do: 'feed'; readonly ids: readonly string[]; readonly timeoutMs: Millis }
  | { readonly do: 'promote'; readonly id: string; readonly epoch: number }
  | { readonly do: 'replay'; readonly id: string; readonly promotion: Promotion; readonly timeoutMs: Millis }
  | { readonly do: 'publish'; readonly id: string; readonly epoch: number; readonly promotion: Promotion }
  | { readonly do: 'point'; readonly id: string; readonly to: string }

export interface FailoverStep {
  readonly failover: Failover
  readonly effects: readonly FailoverEffect[]
}

export function beginFailover(plan: FailoverPlan, options: FailoverOptions, now: Millis): FailoverStep {
  return {
    failover: {
      plan,
      state: { step: 'wait_start', until: now + options.electTimeoutMs },
      siblings: [],
      promotion: undefined,
      hungry: false,
    },
    effects: [{ do: 'elect', epoch: plan.epoch }],
  }
}

/** The longest a failover can last. */
export function longestFailoverMs(options: FailoverOptions): Millis {
  const { electTimeoutMs, askTimeoutMs, patienceMs, feedTimeoutMs, replayTimeoutMs } = options
  const before = electTimeoutMs + askTimeoutMs + patienceMs + feedTimeoutMs
  return before + options.promoteTimeoutMs + replayTimeoutMs + GRACE_MS + options.reconfTimeoutMs
}

export function isOver(failover: Failover): boolean {
  const { step } = failover.state
  return step === 'update_config' || step === 'aborted' || step === 'failed'
}

/** The only function that moves a failover on. Time arrives as the event `tick`. */
export function stepFailover(f: Failover, event: FailoverEvent, options: FailoverOptions, now: Millis): FailoverStep {
  const { state } = f
  switch (state.step) {
    case 'wait_start':
      return stepWaitStart(f, state, event, options, now)
    case 'select_slave':
      return stepSelect(f, state, event, options, now)
    case 'feed_slaves':
      return stepFeed(f, state, event, options, now)
    case 'send_slaveof_noone':
    case 'wait_promotion':
      return stepPromotion(f, state, event, options, now)
    case 'replay_client':
      return stepReplay(f, state, event, options, now)
    case 'reconf_slaves':
      return stepReconf(f, state, event, now)
    case 'update_config':
    case 'aborted':
    case 'failed':
      return stay(f)
    default:
      return unreachable(state)
  }
}

// wait_start => (select_slave | aborted)
function stepWaitStart(
  f: Failover,
  state: FailoverState & { step: 'wait_start' },
  event: FailoverEvent,
  options: FailoverOptions,
  now: Millis,
): FailoverStep {
  if (event.type === 'master-back') return abort(f, 'master-back')
  if (event.type === 'abort') return abort(f, event.reason)
  if (event.type === 'tick' && now >= state.until) return abort(f, 'not-elected')
  if (event.type !== 'elected') return stay(f)
  const { replicas } = f.plan
  if (replicas.length === 0) return abort(f, 'no-candidate')
  return go(f, { step: 'select_slave', until: now + options.askTimeoutMs, since: now, waiting: replicas }, [
    { do: 'disown' },
    ...replicas.map(id => ({ do: 'ask', id }) as const),
  ])
}

// select_slave => (feed_slaves | send_slaveof_noone | aborted)
function stepSelect(
  f: Failover,
  state: FailoverState & { step: 'select_slave' },
  event: FailoverEvent,
  options: FailoverOptions,
  now: Millis,
): FailoverStep {
  if (event.type === 'master-back') return abort(f, 'master-back')
  if (event.type === 'abort') return abort(f, event.reason)
  if (event.type === 'answered' && state.waiting.includes(event.id)) {
    const waiting = state.waiting.filter(id => id !== event.id)
    return go(f, { ...state, waiting }, waiting.length === 0 ? [{ do: 'select', since: state.since }] : [])
  }
  if (event.type === 'tick' && now >= state.until && state.waiting.length > 0) {
    return go(f, { ...state, waiting: [] }, [{ do: 'select', since: state.since }])
  }
  if (event.type !== 'selected') return stay(f)
  const { candidate, hungry = [] } = event
  if (candidate === undefined) return abort(f, 'no-candidate')
  const next = { ...f, siblings: event.siblings }
  if (hungry.length === 0) return promote(next, candidate, options, now)
  // Those who are fed follow the old master no more.
  return go(next, { step: 'feed_slaves', until: now + options.feedTimeoutMs, candidate }, [
    { do: 'feed', ids: hungry, timeoutMs: options.feedTimeoutMs },
  ])
}

// feed_slaves => (send_slaveof_noone | aborted)
function stepFeed(
  f: Failover,
  state: FailoverState & { step: 'feed_slaves' },
  event: FailoverEvent,
  options: FailoverOptions,
  now: Millis,
): FailoverStep {
  const isLate = event.type === 'tick' && now >= state.until
  if (event.type !== 'fed' && !isLate) return stay(f)
  const isHungry = isLate || (event.type === 'fed' && event.hungry?.includes(state.candidate) === true)
  const { mustFeed, mayReplay } = f.plan
  if (isHungry && mustFeed === true && mayReplay !== true) {
    return abort(f, 'promised-writes: the candidate could not be fed')
  }
  return promote({ ...f, hungry: isHungry }, state.candidate, options, now)
}

function promote(f: Failover, candidate: string, options: FailoverOptions, now: Millis): FailoverStep {
  return go(f, { step: 'send_slaveof_noone', until: now + options.promoteTimeoutMs, candidate }, [
    { do: 'promote', id: candidate, epoch: f.plan.epoch },
  ])
}

// send_slaveof_noone => (replay_client | reconf_slaves | wait_promotion | failed)
function stepPromotion(
  f: Failover,
  state: FailoverState & { step: 'send_slaveof_noone' | 'wait_promotion' },
  event: FailoverEvent,
  options: FailoverOptions,
  now: Millis,
): FailoverStep {
  const { candidate } = state
  const { plan } = f
  if (event.type === 'promoted' && event.id === candidate) {
    const { promotion } = event
    if (!f.hungry || plan.mayReplay !== true) return publish(f, candidate, promotion, options, now)
    const timeoutMs = options.replayTimeoutMs
    return go({ ...f, promotion }, { step: 'replay_client', until: now + timeoutMs + GRACE_MS, candidate }, [
      { do: 'replay', id: candidate, promotion, timeoutMs },
    ])
  }
  if (event.type === 'promote-failed' && event.id === candidate) {
    if (event.certain) return go(f, { step: 'failed', reason: `promote: ${event.reason}` })
    return go(f, { step: 'wait_promotion', until: state.until, candidate })
  }
  if (event.type === 'tick' && now >= state.until) return go(f, { step: 'failed', reason: 'promotion-not-confirmed' })
  // The reply got lost: the same order to the same instance changes nothing if it has happened, and its reply tells.
  if (event.type === 'tick' && state.step === 'wait_promotion') {
    return go(f, { step: 'send_slaveof_noone', until: state.until, candidate }, [
      { do: 'promote', id: candidate, epoch: plan.epoch },
    ])
  }
  return stay(f)
}

// replay_client => (reconf_slaves | update_config | failed)
function stepReplay(
  f: Failover,
  { candidate, until }: FailoverState & { step: 'replay_client' },
  event: FailoverEvent,
  options: FailoverOptions,
  now: Millis,
): FailoverStep {
  const isLate = event.type === 'tick' && now >= until
  if (event.type !== 'replayed' && !isLate) return stay(f)
  const isWhole = event.type === 'replayed' && event.whole
  if (!isWhole && f.plan.mustFeed === true)
    return go(f, { step: 'failed', reason: 'promised-writes: replayed in part' })
  return publish(f, candidate, f.promotion as Promotion, options, now)
}

function publish(
  f: Failover,
  candidate: string,
  promotion: Promotion,
  options: FailoverOptions,
  now: Millis,
): FailoverStep {
  const waiting = f.siblings
  return go({ ...f, promotion }, afterPromotion(candidate, waiting, options, now), [
    { do: 'publish', id: candidate, epoch: f.plan.epoch, promotion },
    ...waiting.map(id => ({ do: 'point', id, to: candidate }) as const),
  ])
}

// reconf_slaves => update_config
function stepReconf(
  f: Failover,
  state: FailoverState & { step: 'reconf_slaves' },
  event: FailoverEvent,
  now: Millis,
): FailoverStep {
  const waiting = event.type === 'pointed' ? state.waiting.filter(id => id !== event.id) : state.waiting
  // Those that could not be told are brought home by the repairs.
  const over = waiting.length === 0 || event.type === 'abort' || (event.type === 'tick' && now >= state.until)
  return go(f, over ? { step: 'update_config', candidate: state.candidate } : { ...state, waiting })
}

function afterPromotion(
  candidate: string,
  waiting: readonly string[],
  options: FailoverOptions,
  now: Millis,
): FailoverState {
  if (waiting.length === 0) return { step: 'update_config', candidate }
  return { step: 'reconf_slaves', until: now + options.reconfTimeoutMs, candidate, waiting }
}

/** Nothing was promoted. */
function abort(f: Failover, reason: string): FailoverStep {
  return go(f, { step: 'aborted', reason }, [{ do: 'own' }])
}

function stay(failover: Failover): FailoverStep {
  return { failover, effects: [] }
}

function go(failover: Failover, state: FailoverState, effects: readonly FailoverEffect[] = []): FailoverStep {
  return { failover: { ...failover, state }, effects }
}
