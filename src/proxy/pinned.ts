/**
 * Commands that need a connection of their own, or one that the session has already: WATCH and MULTI, subscriptions, MONITOR,
 * what may wait, what replicas ask.
 */
import type { Bytes } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import type { Call } from '../routing/calls.js'
import { answerLocally } from './local.js'
import { beginMonitor } from './monitor.js'
import { relay } from './relay.js'
import type { Request } from './request.js'
import type { Session } from './session.js'
import { Subscription } from './subscription.js'
import { callAsAsked } from './taking.js'
import { Transaction } from './transaction.js'
import type { Upstream } from './upstream.js'

export function dispatchPinned(session: Session, request: Request, decoder: Decoder): void {
  const call = request.call as Call
  const begins = call.name === 'multi' && request.effect === 'none'
  if (session.lost && !begins) return session.tellLost(request)
  if (request.effect === 'tracking') return answerLocally(session, request, call, decoder)
  if (request.effect === 'tracked') {
    if (session.tracking !== undefined) return session.tracking.send(request, call, decoder)
    request.effect = 'none'
    return session.group.dispatch(session, request, call, decoder)
  }
  if (session.transaction?.owns(request)) {
    return session.transaction.dispatch(request, call, decoder)
  }
  const asked = callAsAsked(call, decoder)
  if (asked !== call) {
    request.call = asked
    return session.group.dispatch(session, request, asked, decoder)
  }
  if (decoder.argc < call.argcMin || decoder.argc > call.argcMax) {
    return session.group.toMaster(session, request, call, decoder)
  }
  if (begins) request.effect = 'multi'
  if (session.lost) return session.tellLost(request)
  const follows = call.handling === 'subscribe' && session.subscription?.isAwaiting === true
  if (!session.isFirst(request) && !follows) return session.stall(request, decoder)
  switch (call.handling) {
    case 'transaction':
      return Transaction.begin(session, request, call, decoder)
    case 'subscribe':
      session.subscription ??= new Subscription(session)
      return session.subscription.request(request, call, decoder)
    case 'monitor':
      session.monitor = beginMonitor(session, request, decoder)
      if (session.monitor !== undefined) session.complete(request)
      return
    case 'relay':
      return relay(session, request, decoder)
    default:
      return session.sendAlone(request, call, decoder)
  }
}

/** It is not done. The connection that it may have been waiting for is others' again. */
export function turnAway(session: Session, request: Request, text: Bytes): void {
  session.alone.free()
  if (!beginsInVain(session, request, text)) session.fail(request, text)
}

/**
 * Where MULTI cannot be sent, what was sent behind it in the belief that it would be is not to be executed by itself. So a
 * transaction begins all the same, nothing of which will be: as in Redis, where MULTI is answered even by who has no master.
 * False: the request is another one.
 */
function beginsInVain(session: Session, request: Request, why: Bytes): boolean {
  if (request.effect !== 'multi') return false
  session.transaction ??= new Transaction(session)
  session.transaction.beginInVain(why)
  session.begin(request).ok()
  session.finish(request)
  return true
}

/** One of them is gone. `pending` are the requests on it that were not answered. */
export function losePinned(session: Session, upstream: Upstream, pending: readonly Request[]): void {
  const { subscription, tracking, transaction, alone, group } = session
  if (upstream === session.monitor) {
    session.monitor = undefined
    return session.peer.end()
  }
  if (session.listening.lost(upstream)) return
  if (subscription?.upstream === upstream) return subscription.onLost()
  if (alone.upstream === upstream) alone.upstream = undefined
  if (tracking?.upstream === upstream) {
    tracking.onLost()
    for (const request of pending) if (request.effect === 'tracked') group.lost(request)
    return (transaction ?? alone).onLost(pending.filter(request => request.effect !== 'tracked'))
  }
  if (transaction?.upstream === upstream) return transaction.onLost(pending)
  alone.onLost(pending)
}
