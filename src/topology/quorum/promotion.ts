/**
 * The failover of a leader, step by step; the picture is in watched.ts. Steps that need nobody's answer follow each other
 * at once. What an order did is read from the next INFO, and that is asked for together with the order.
 *
 * An ordered failover (SENTINEL FAILOVER) of a master that is alive loses nothing: its writers are paused, and the
 * replica is promoted when it has the last byte; then the old master is made a replica at once, not by the repair.
 */
import type { Millis } from '../../base/units.js'
import { chooseReplica } from './choice.js'
import type { Council } from './council.js'
import { tally } from './election.js'
import { announceSwitch, runReconfigScript } from './hello.js'
import { isForeign } from './lineage.js'
import { switchMaster } from './roster.js'
import { REELECTION_MS, URGENT_MS, VOTED_DESYNC_MS } from './timing.js'
import {
  arePaused,
  type FailoverState,
  failing,
  type MasterWatch,
  promotedOf,
  type ReplicaWatch,
  type Writers,
} from './watched.js'

/** An operator's order does not wait longer for the consent of the others: that is what makes it an order. */
const FORCED_ELECTION_MS: Millis = 1000
/** Whoever cannot say within this that its writers are paused is replaced as it is. */
const PAUSED_WITHIN_MS: Millis = 500
/** A pause ends by itself, should we die; longer ones would look like silence to other sentinels. */
const PAUSE_MS_MAX: Millis = 1500
/** Replicas are asked once more how much they have before one is chosen; who does not answer has what it had. */
const LAST_LOOK_MS: Millis = 200
/** How often a replica that lacks the last bytes is asked. */
const CAUGHT_UP_LOOK_MS: Millis = 5

/** odown, and nothing that speaks against standing for election now. */
export function mayStand(council: Council, master: MasterWatch, now: Millis): boolean {
  if (!master.odown || failing(master) || now < master.standAt) return false
  const nextAt = master.attemptAt + 2 * master.failoverTimeoutMs
  if (now >= nextAt) return true
  if (master.delayToldFor !== master.attemptAt) {
    master.delayToldFor = master.attemptAt
    const seconds = Math.ceil((nextAt - now) / 1000)
    const text = `Next failover delay: I will not start a failover of '${master.name}' for ${seconds} seconds`
    council.emit({ do: 'log', level: 'warning', text })
  }
  return false
}

/** Stands for election: from now on the others are asked for their vote. */
export function standForElection(council: Council, master: MasterWatch, forced: boolean, now: Millis): void {
  council.epoch++
  master.failover = { state: 'wait_start', epoch: council.epoch, forced, at: now }
  master.attemptAt = now + council.ports.chance() * VOTED_DESYNC_MS
  council.say('warning', '+new-epoch', master, String(council.epoch))
  council.event('warning', '+try-failover', master)
}

/** Goes on as far as is possible now. */
export function stepFailover(council: Council, master: MasterWatch, now: Millis): void {
  for (let before: FailoverState | undefined; before !== master.failover; ) {
    before = master.failover
    stepOnce(council, master, before, now)
  }
}

function stepOnce(council: Council, master: MasterWatch, failover: FailoverState, now: Millis): void {
  switch (failover.state) {
    case 'none':
      return
    case 'wait_start':
      return stepWaitStart(council, master, failover, now)
    case 'select_slave':
      return stepSelect(council, master, failover, now)
    case 'send_slaveof_noone':
      return stepSend(council, master, failover, now)
    case 'wait_promotion':
      if (now - failover.at > master.failoverTimeoutMs) abort(council, master, '-failover-abort-slave-timeout')
      return
    case 'reconf_slaves':
      return stepReconf(council, master, failover, now)
    case 'update_config':
      return finish(council, master, failover.promoted, now)
  }
}

type Running = Exclude<FailoverState, { state: 'none' }>
type Promoting = Extract<FailoverState, { promoted: ReplicaWatch }>

function stepWaitStart(council: Council, master: MasterWatch, failover: Running, now: Millis): void {
  const waitedMs = now - failover.at
  // The others are asked first, and write their votes while we write ours.
  if (waitedMs === 0) return
  const { winner, split, unwritable } = tally(council, master, failover.epoch, now)
  // Votes of the others or an order do not help: two failovers of ours in one epoch could promote two masters.
  if (unwritable) return abort(council, master, '-failover-abort-not-elected')
  const ordered = failover.forced && waitedMs >= FORCED_ELECTION_MS
  if (winner !== council.myid && !ordered) {
    const timeoutMs = Math.min(council.timing['election-timeout'], master.failoverTimeoutMs)
    if (!failover.forced && (split || waitedMs > timeoutMs)) {
      abort(council, master, '-failover-abort-not-elected')
      if (split) tryAgainSoon(council, master, now)
    }
    return
  }
  council.event('warning', '+elected-leader', master)
  if (council.simulate.crashAfterElection) council.emit({ do: 'crash' })
  master.failover = { ...failover, state: 'select_slave', at: now }
  council.event('warning', '+failover-state-select-slave', master)
}

/** Nobody won and nobody can: the next epoch has new votes. Only who stood tries again, and not all at once. */
function tryAgainSoon(council: Council, master: MasterWatch, now: Millis): void {
  master.attemptAt = Number.NEGATIVE_INFINITY
  master.standAt = now + REELECTION_MS * (0.2 + 1.8 * council.ports.chance())
}

function stepSelect(council: Council, master: MasterWatch, failover: Running, now: Millis): void {
  const askable = [...master.replicas.values()].filter(replica => replica.link.whole && !replica.sdown)
  const unheard = askable.filter(replica => replica.infoAt < failover.at && !hasEverything(replica, master))
  if (unheard.length > 0 && now - failover.at < LAST_LOOK_MS) {
    for (const replica of unheard) lookAt(council, replica, failover.at, now)
    return
  }
  for (const replica of askable) if (isForeign(council, replica)) leaveAlone(council, replica)
  const promoted = chooseReplica(council, master, now)
  if (promoted === undefined) return abort(council, master, '-failover-abort-no-good-slave')
  council.event('warning', '+selected-slave', promoted)
  master.failover = {
    ...failover,
    state: 'send_slaveof_noone',
    at: now,
    promoted,
    writers: holdWriters(council, master),
  }
  council.event('notice', '+failover-state-send-slaveof-noone', promoted)
}

function leaveAlone(council: Council, replica: ReplicaWatch): void {
  council.ignore('foreign-replica')
  const text = `${council.describe(replica)} has the history of another group: it is not promoted, nor told to follow`
  council.emit({ do: 'log', level: 'warning', text })
}

/** Only an order replaces a master that is alive. */
function holdWriters(council: Council, master: MasterWatch): Writers {
  if (master.sdown || !master.link.whole || master.role !== 'master') return { are: 'free' }
  council.emit({ do: 'pause', to: master, forMs: pauseMs(master) })
  return { are: 'asked' }
}

function pauseMs(master: MasterWatch): Millis {
  return Math.ceil(Math.min(PAUSE_MS_MAX, master.downAfterMs / 2))
}

/** What the master answered to the pause; its offset is that of the INFO behind it. */
export function writersHeld(council: Council, master: MasterWatch, paused: boolean, now: Millis): void {
  const { failover } = master
  if (failover.state !== 'send_slaveof_noone' || failover.writers.are !== 'asked') {
    // Too late: nobody waits for it any more.
    if (paused) council.emit({ do: 'unpause', to: master })
    return
  }
  master.failover = { ...failover, writers: paused ? { are: 'paused', offset: master.offset } : { are: 'free' } }
  stepFailover(council, master, now)
}

/** It lost a master that is proven dead, and was asked after that: there is nothing more for it to get. */
function hasEverything(replica: ReplicaWatch, master: MasterWatch): boolean {
  const { link } = master
  return link.refusals > 0 && replica.role === 'slave' && !replica.linkUp && replica.infoAt > link.refusedAt
}

function lookAt(council: Council, replica: ReplicaWatch, since: Millis, now: Millis): void {
  if (replica.infoAskedAt >= since && now - replica.infoAskedAt < URGENT_MS) return
  replica.infoAskedAt = now
  council.emit({ do: 'info', to: replica })
}

function stepSend(council: Council, master: MasterWatch, failover: Promoting, now: Millis): void {
  const { promoted, writers } = failover
  const waitedMs = now - failover.at
  if (!promoted.link.whole) {
    if (waitedMs > master.failoverTimeoutMs) abort(council, master, '-failover-abort-slave-timeout')
    return
  }
  if (writers.are === 'asked') {
    if (waitedMs > PAUSED_WITHIN_MS) master.failover = { ...failover, writers: { are: 'free' } }
    return
  }
  if (writers.are === 'paused' && promoted.offset < writers.offset) {
    // It has less than was acknowledged, and the pause is over soon.
    if (waitedMs > pauseMs(master) / 2) abort(council, master, '-failover-abort-slave-timeout')
    else if (now - promoted.infoAskedAt >= CAUGHT_UP_LOOK_MS) {
      promoted.infoAskedAt = now
      council.emit({ do: 'info', to: promoted })
    }
    return
  }
  council.emit({ do: 'slaveof', to: promoted, place: undefined })
  council.event('notice', '+failover-state-wait-promotion', promoted)
  master.failover = { ...failover, state: 'wait_promotion', at: now }
}

/** The promoted replica says that it is master: from here on it is. Answers whether that was it. */
export function promotionSeen(council: Council, replica: ReplicaWatch, now: Millis): boolean {
  const { master } = replica
  const { failover } = master
  if (failover.state !== 'wait_promotion' || failover.promoted !== replica) return false
  master.configEpoch = failover.epoch
  master.failover = { ...failover, state: 'reconf_slaves', at: now }
  // Clients and sentinels wait for the news; that this epoch is spent is on the disk since we voted in it.
  council.saveSoon()
  council.event('warning', '+promoted-slave', replica)
  if (council.simulate.crashAfterPromotion) council.emit({ do: 'crash' })
  council.event('warning', '+failover-state-reconf-slaves', master)
  runReconfigScript(council, master, 'leader', master.place, replica.place)
  tellEverybody(council, master)
  // An old master that is alive would go on taking writes until somebody repairs it.
  if (arePaused(master)) council.emit({ do: 'step-down', to: master, place: replica.place })
  else if (!master.sdown && master.link.whole) council.emit({ do: 'slaveof', to: master, place: replica.place })
  stepFailover(council, master, now)
  return true
}

/** A hello to everybody, now. */
export function tellEverybody(council: Council, master: MasterWatch): void {
  for (const to of [...master.peers.values(), master, ...master.replicas.values()]) {
    if (to === master && arePaused(master)) continue
    if (to.link.whole) council.emit({ do: 'hello', to })
  }
}

function stepReconf(council: Council, master: MasterWatch, failover: Promoting, now: Millis): void {
  const replicas = followersOf(council, master)
  const busy = (): number => replicas.filter(({ reconf }) => reconf === 'sent' || reconf === 'inprog').length
  for (const replica of replicas) {
    if (replica === failover.promoted) continue
    if (replica.reconf === 'sent' && now - replica.reconfSentAt > council.timing['slave-reconf-timeout']) {
      // The repair will see it.
      council.event('notice', '-slave-reconf-sent-timeout', replica)
      replica.reconf = 'done'
    }
    if (busy() >= master.parallelSyncs) continue
    if (replica.reconf === 'none' && replica.link.whole) reconf(council, replica, failover.promoted, now, false)
  }
  detectEnd(council, master, failover, now)
}

/** Who is told to follow, and waited for. The old master that came back without its data is met by the repair. */
function followersOf(council: Council, master: MasterWatch): ReplicaWatch[] {
  return [...master.replicas.values()].filter(replica => replica.role === 'master' || !isForeign(council, replica))
}

function reconf(council: Council, replica: ReplicaWatch, to: ReplicaWatch, now: Millis, bestEffort: boolean): void {
  council.emit({ do: 'slaveof', to: replica, place: to.place })
  replica.reconf = 'sent'
  replica.reconfSentAt = now
  council.event('notice', bestEffort ? '+slave-reconf-sent-be' : '+slave-reconf-sent', replica)
}

/** It is over when all replicas that can be reached follow the new master, or when the time is up. */
function detectEnd(council: Council, master: MasterWatch, failover: Promoting, now: Millis): void {
  const { promoted } = failover
  if (promoted.sdown) return
  const others = followersOf(council, master).filter(replica => replica !== promoted)
  const open = others.filter(replica => replica.reconf !== 'done' && !replica.sdown)
  const timedOut = now - failover.at > master.failoverTimeoutMs
  if (open.length > 0 && !timedOut) return
  if (timedOut) {
    council.event('warning', '+failover-end-for-timeout', master)
    for (const replica of others) {
      if (replica.reconf !== 'done' && replica.reconf !== 'sent' && replica.link.whole) {
        reconf(council, replica, promoted, now, true)
      }
    }
  }
  council.event('warning', '+failover-end', master)
  master.failover = { ...failover, state: 'update_config', at: now }
}

function finish(council: Council, master: MasterWatch, promoted: ReplicaWatch, now: Millis): void {
  announceSwitch(council, master, master.place, promoted.place)
  switchMaster(council, master, promoted.place, now)
}

/** Only before the promotion. */
function abort(council: Council, master: MasterWatch, name: string): void {
  if (arePaused(master)) council.emit({ do: 'unpause', to: master })
  council.event('warning', name, master)
  master.failover = { state: 'none' }
}

/** SENTINEL FAILOVER's question: is there anybody to promote? */
export function couldPromote(council: Council, master: MasterWatch, now: Millis): boolean {
  return promotedOf(master) === undefined && chooseReplica(council, master, now) !== undefined
}
