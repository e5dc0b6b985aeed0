/**
 * A planned change of master that nobody notices.
 *
 *     approach ──close enough──▶ hold ──held──▶ pause ──paused──▶ catch_up ──caught up──▶ demote
 *      │ (writes still flow)         │               │                  │                   │ demoted
 *      │                             │               │                  │                   ▼
 *      │                             │               │                  │              final_offset
 *      │                             │               │                  │                   │ applied
 *      │                             │               │                  │                   ▼
 *      │                             │               │                  │     send_slaveof_noone ⇄ wait_promotion
 *      ▼                             ▼               ▼                  ▼                   │ promoted
 *      └──────── anything that fails before the promotion: rollback ◀──────────────────────┤ refused, or never confirmed
 *                          │                                                           ▼
 *                          └──────────────▶ done ◀──────────────── reconf_slaves (writes flow already)
 *
 * The order matters. Writes are held and what is in flight finishes, so that the pause (for writers that bypass us)
 * freezes no connection of ours. The old master is demoted *before* the candidate is promoted: from then on nothing can
 * enter the old history, its final offset is final, and a candidate that has it has everything. Promoting first would let
 * a PING slip into the old stream, and the old master would need a full resync.
 *
 * Going back is a promotion, too (`REPLICAOF NO ONE` gives the old master a new history that keeps the old one as
 * replid2), and gets an epoch of its own: there are never two promotions in one epoch.
 */
import { unreachable } from '../base/invariant.js'
import type { Millis, Offset } from '../base/units.js'
import type { Promotion } from './operation.js'
import type { Role } from './view.js'

export interface SwitchPlan {
  readonly from: string
  readonly to: string
  /** To be pointed to the new master; those behind a relay are not among them. */
  readonly siblings: readonly string[]
  /** Of the promotion; a rollback uses the next one. */
  readonly epoch: number
}

export interface SwitchoverOptions {
  /** For the candidate to come close, while writes still flow. */
  readonly approachTimeoutMs: Millis
  /** How close: the time it would need for the rest is part of the stall. */
  readonly approachLagMsMax: Millis
  /** From the hold to the order to promote; longer, and it is rolled back. */
  readonly stallMaxMs: Millis
  /** From the order to promote to its confirmation. */
  readonly promoteTimeoutMs: Millis
  /** For the replicas to be linked to the new master; the report waits for that, and so does the repair of any other. */
  readonly reconfTimeoutMs: Millis
  readonly rollbackTimeoutMs: Millis
}

export const switchoverDefaults: SwitchoverOptions = {
  approachTimeoutMs: 5000,
  approachLagMsMax: 100,
  stallMaxMs: 500,
  promoteTimeoutMs: 1000,
  reconfTimeoutMs: 1500,
  rollbackTimeoutMs: 1500,
}

export type SwitchState =
  /** `target`: what the master had when it was asked; a candidate that reaches it does receive the stream. */
  | { readonly step: 'approach'; readonly until: Millis; readonly target: Offset | undefined }
  | { readonly step: 'hold'; readonly until: Millis }
  | { readonly step: 'pause'; readonly until: Millis }
  /** The candidate shall have what the old master had when it was paused. */
  | { readonly step: 'catch_up'; readonly until: Millis; readonly target: Offset }
  | { readonly step: 'demote'; readonly until: Millis }
  | { readonly step: 'final_offset'; readonly until: Millis; readonly target: Offset }
  | { readonly step: 'send_slaveof_noone'; readonly until: Millis }
  /** The order was sent, its reply got lost: it may have happened. */
  | { readonly step: 'wait_promotion'; readonly until: Millis }
  | { readonly step: 'reconf_slaves'; readonly until: Millis; readonly waiting: readonly string[] }
  | { readonly step: 'rollback'; readonly until: Millis; readonly reason: string }
  | { readonly step: 'done'; readonly result: 'ok' | 'rolled-back' | 'failed'; readonly reason: string | undefined }

export interface Switchover {
  readonly plan: SwitchPlan
  readonly state: SwitchState
  /** From the hold on. */
  readonly stallUntil: Millis
  /** The order to pause left: it must be taken back. */
  readonly paused: boolean
  /** The order to demote left: it may have happened. */
  readonly demoted: boolean
  readonly finalOffset: Offset | undefined
  readonly promotion: Promotion | undefined
}

export type SwitchEvent =
  | { readonly type: 'tick' }
  /** How far the candidate is behind, while writes still flow; undefined where nobody can tell. */
  | {
      readonly type: 'distance'
      readonly lagMs: Millis | undefined
      readonly applied: Offset | undefined
    }
  | { readonly type: 'measured'; readonly offset: Offset | undefined }
  | { readonly type: 'held'; readonly drained: boolean }
  /** CLIENT PAUSE was answered; servers that do not know it are switched without. */
  | { readonly type: 'paused'; readonly offset: Offset | undefined }
  | { readonly type: 'demoted'; readonly offset: Offset | undefined }
  /** The candidate was asked: what it has applied, and what it is. */
  | { readonly type: 'answered'; readonly role: Role; readonly offset: Offset | undefined }
  | { readonly type: 'promoted'; readonly promotion: Promotion }
  | { readonly type: 'restored'; readonly promotion: Promotion }
  /** A replica is linked to the new master. */
  | { readonly type: 'linked'; readonly id: string }
  /** It died, or came back as something else: the repairs see to it, and they wait for the end of the switch. */
  | { readonly type: 'gone'; readonly id: string }
  /** An order or a question failed. `certain`: the instance refused, so it did not happen. */
  | { readonly type: 'failed'; readonly order: Order; readonly certain: boolean; readonly reason: string }
  | { readonly type: 'abort'; readonly reason: string }

export type Order = 'measure' | 'hold' | 'pause' | 'demote' | 'ask' | 'promote' | 'restore'

export type SwitchEffect =
  /** Ask the master for its offset. */
  | { readonly do: 'measure'; readonly id: string }
  | { readonly do: 'hold'; readonly timeoutMs: Millis }
  | { readonly do: 'pause'; readonly id: string; readonly timeoutMs: Millis }
  | { readonly do: 'unpause'; readonly id: string }
  | { readonly do: 'demote'; readonly id: string; readonly to: string }
  /** `again`: it was asked a moment ago, and is still behind. */
  | { readonly do: 'ask'; readonly id: string; readonly again: boolean }
  | { readonly do: 'promote'; readonly id: string; readonly epoch: number }
  /** Promote the old master again. */
  | { readonly do: 'restore'; readonly id: string; readonly epoch: number }
  | { readonly do: 'point'; readonly id: string; readonly to: string }
  | { readonly do: 'publish'; readonly id: string; readonly epoch: number; readonly promotion: Promotion }
  /** Nobody knows who is master: the view shall name none until facts tell. */
  | { readonly do: 'disown' }
  | { readonly do: 'release' }

export interface SwitchoverStep {
  readonly switchover: Switchover
  readonly effects: readonly SwitchEffect[]
}

export function beginSwitchover(plan: SwitchPlan, options: SwitchoverOptions, now: Millis): SwitchoverStep {
  return {
    switchover: {
      plan,
      state: { step: 'approach', until: now + options.approachTimeoutMs, target: undefined },
      stallUntil: Number.POSITIVE_INFINITY,
      paused: false,
      demoted: false,
      finalOffset: undefined,
      promotion: undefined,
    },
    effects: [{ do: 'measure', id: plan.from }],
  }
}

/** From the hold to the release, in the worst case: so long must the hold last by itself. */
export function longestMs(options: SwitchoverOptions): Millis {
  return options.stallMaxMs + options.promoteTimeoutMs + options.rollbackTimeoutMs
}

/** The only function that moves a switch on. Time arrives as the event `tick`. */
export function stepSwitchover(
  switchover: Switchover,
  event: SwitchEvent,
  options: SwitchoverOptions,
  now: Millis,
): SwitchoverStep {
  const { state } = switchover
  switch (state.step) {
    case 'approach':
      return stepApproach(switchover, state, event, options, now)
    case 'hold':
    case 'pause':
    case 'catch_up':
    case 'demote':
    case 'final_offset':
      return stepBefore(switchover, event, options, now)
    case 'send_slaveof_noone':
    case 'wait_promotion':
      return stepPromotion(switchover, state, event, options, now)
    case 'reconf_slaves':
      return stepReconf(switchover, state, event, now)
    case 'rollback':
      return stepRollback(switchover, state, event, now)
    case 'done':
      return stay(switchover)
    default:
      return unreachable(state)
  }
}

// approach => (hold | done)
function stepApproach(
  s: Switchover,
  state: SwitchState & { step: 'approach' },
  event: SwitchEvent,
  options: SwitchoverOptions,
  now: Millis,
): SwitchoverStep {
  if (event.type === 'abort') return tooFar(s, event.reason)
  if (event.type === 'failed') return tooFar(s, `${event.order}: ${event.reason}`)
  if (event.type === 'measured') return go(s, { ...state, target: event.offset })
  // Redis streams to a fresh replica only after its first ACK, up to a second later: looking close is not enough.
  const { target } = state
  const isClose = event.type === 'distance' && event.lagMs !== undefined && event.lagMs <= options.approachLagMsMax
  if (isClose && target !== undefined && (event.applied ?? -1) >= target) {
    const stallUntil = now + options.stallMaxMs
    return go({ ...s, stallUntil }, { step: 'hold', until: stallUntil }, [
      { do: 'hold', timeoutMs: longestMs(options) },
    ])
  }
  return now < state.until ? stay(s) : tooFar(s, 'the candidate stays behind')
}

/** Nothing has been ordered yet, so there is nothing to take back. */
function tooFar(s: Switchover, reason: string): SwitchoverStep {
  return go(s, { step: 'done', result: 'rolled-back', reason: `approach: ${reason}` })
}

// Everything before the promotion: one failure, one way back.
function stepBefore(s: Switchover, event: SwitchEvent, options: SwitchoverOptions, now: Millis): SwitchoverStep {
  const { plan, state } = s
  if (event.type === 'abort') return rollBack(s, event.reason, options, now)
  if (event.type === 'failed') return rollBack(s, `${event.order}: ${event.reason}`, options, now)
  if (event.type === 'tick') {
    return now >= s.stallUntil ? rollBack(s, `${state.step}: took too long`, options, now) : stay(s)
  }
  if (state.step === 'hold' && event.type === 'held') {
    if (!event.drained) return rollBack(s, 'hold: writes in flight were not answered in time', options, now)
    const pauseMs = s.stallUntil - now + options.promoteTimeoutMs
    return go({ ...s, paused: true }, { step: 'pause', until: s.stallUntil }, [
      { do: 'pause', id: plan.from, timeoutMs: pauseMs },
    ])
  }
  if (state.step === 'pause' && event.type === 'paused') {
    if (event.offset === undefined) return rollBack(s, 'pause: the master told no offset', options, now)
    return go(s, { step: 'catch_up', until: s.stallUntil, target: event.offset }, [
      { do: 'ask', id: plan.to, again: false },
    ])
  }
  if (state.step === 'catch_up' && event.type === 'answered') {
    if (event.role !== 'replica') return rollBack(s, 'catch_up: the candidate is no replica any more', options, now)
    if ((event.offset ?? -1) < state.target) return stay(s, [{ do: 'ask', id: plan.to, again: true }])
    return go({ ...s, demoted: true }, { step: 'demote', until: s.stallUntil }, [
      { do: 'demote', id: plan.from, to: plan.to },
    ])
  }
  if (state.step === 'demote' && event.type === 'demoted') {
    if (event.offset === undefined) return rollBack(s, 'demote: the old master told no offset', options, now)
    const next = { ...s, finalOffset: event.offset }
    return go(next, { step: 'final_offset', until: s.stallUntil, target: event.offset }, [
      { do: 'ask', id: plan.to, again: false },
    ])
  }
  if (state.step === 'final_offset' && event.type === 'answered') {
    if (event.role !== 'replica') return rollBack(s, 'final_offset: the candidate is no replica any more', options, now)
    if ((event.offset ?? -1) < state.target) return stay(s, [{ do: 'ask', id: plan.to, again: true }])
    return go(s, { step: 'send_slaveof_noone', until: now + options.promoteTimeoutMs }, [
      { do: 'promote', id: plan.to, epoch: plan.epoch },
    ])
  }
  return stay(s)
}

// send_slaveof_noone => (reconf_slaves | wait_promotion | rollback)
function stepPromotion(
  s: Switchover,
  state: SwitchState & { step: 'send_slaveof_noone' | 'wait_promotion' },
  event: SwitchEvent,
  options: SwitchoverOptions,
  now: Millis,
): SwitchoverStep {
  const { plan } = s
  if (event.type === 'promoted') return promoted(s, event.promotion, options, now)
  // The candidate died. Should it have been promoted before, it comes back as an old master and is demoted.
  if (event.type === 'abort') return rollBack(s, event.reason, options, now)
  if (event.type === 'failed' && event.order === 'promote') {
    if (event.certain) return rollBack(s, `promote: ${event.reason}`, options, now)
    return go(s, { step: 'wait_promotion', until: state.until }, [{ do: 'ask', id: plan.to, again: false }])
  }
  if (now >= state.until) return rollBack(s, `${state.step}: never confirmed`, options, now)
  if (state.step === 'wait_promotion') {
    // Whatever it answers, the order is given again: it changes nothing on a master, and its reply tells the new history.
    if (event.type === 'answered') {
      return go(s, { step: 'send_slaveof_noone', until: state.until }, [
        { do: 'promote', id: plan.to, epoch: plan.epoch },
      ])
    }
    if (event.type === 'tick') return stay(s, [{ do: 'ask', id: plan.to, again: true }])
  }
  return stay(s)
}

/** The point of no return has been passed: writes flow first, the rest is tidying up. */
function promoted(s: Switchover, promotion: Promotion, options: SwitchoverOptions, now: Millis): SwitchoverStep {
  const { plan } = s
  const waiting = [plan.from, ...plan.siblings]
  return go({ ...s, promotion }, { step: 'reconf_slaves', until: now + options.reconfTimeoutMs, waiting }, [
    ...plan.siblings.map(id => ({ do: 'point', id, to: plan.to }) as const),
    { do: 'publish', id: plan.to, epoch: plan.epoch, promotion },
    { do: 'release' },
    { do: 'unpause', id: plan.from },
  ])
}

// reconf_slaves => done
function stepReconf(
  s: Switchover,
  state: SwitchState & { step: 'reconf_slaves' },
  event: SwitchEvent,
  now: Millis,
): SwitchoverStep {
  const isSettled = event.type === 'linked' || event.type === 'gone'
  const waiting = isSettled ? state.waiting.filter(id => id !== event.id) : state.waiting
  // A replica that is late is brought home by the repairs.
  const over = waiting.length === 0 || event.type === 'abort' || (event.type === 'tick' && now >= state.until)
  if (over) return go(s, { step: 'done', result: 'ok', reason: undefined })
  return go(s, { ...state, waiting })
}

/** Takes back what was ordered, in reverse. */
function rollBack(s: Switchover, reason: string, options: SwitchoverOptions, now: Millis): SwitchoverStep {
  const { plan } = s
  if (s.demoted) {
    return go(s, { step: 'rollback', until: now + options.rollbackTimeoutMs, reason }, [
      { do: 'restore', id: plan.from, epoch: plan.epoch + 1 },
    ])
  }
  return go(s, { step: 'done', result: 'rolled-back', reason }, [
    ...(s.paused ? [{ do: 'unpause', id: plan.from } as const] : []),
    { do: 'release' },
  ])
}

// rollback => done
function stepRollback(
  s: Switchover,
  state: SwitchState & { step: 'rollback' },
  event: SwitchEvent,
  now: Millis,
): SwitchoverStep {
  const { plan } = s
  if (event.type === 'restored') {
    return go(s, { step: 'done', result: 'rolled-back', reason: state.reason }, [
      { do: 'publish', id: plan.from, epoch: plan.epoch + 1, promotion: event.promotion },
      { do: 'unpause', id: plan.from },
      { do: 'release' },
    ])
  }
  if (now >= state.until || event.type === 'abort') {
    const reason = `${state.reason}; and the old master could not be restored`
    return go(s, { step: 'done', result: 'failed', reason }, [
      { do: 'disown' },
      { do: 'unpause', id: plan.from },
      { do: 'release' },
    ])
  }
  // Paced by ticks, and harmless when it has happened already.
  return event.type === 'tick' ? stay(s, [{ do: 'restore', id: plan.from, epoch: plan.epoch + 1 }]) : stay(s)
}

function stay(switchover: Switchover, effects: readonly SwitchEffect[] = []): SwitchoverStep {
  return { switchover, effects }
}

function go(switchover: Switchover, state: SwitchState, effects: readonly SwitchEffect[] = []): SwitchoverStep {
  return { switchover: { ...switchover, state }, effects }
}
