/**
 * What a planned switch would meet in this worker: clients that are in the middle of something, and what the candidate does
 * not have yet. For a dry run; nothing is lost by a switch that goes well, whatever these numbers are.
 */
import type { Session } from './session.js'
import type { Worker } from './worker.js'

export interface Stakes {
  /** Between MULTI and EXEC: what is queued is queued again at the new master. */
  readonly transactions: number
  /** Between WATCH and MULTI: what was watched is lost, and their EXEC answers nil, as if it had changed. */
  readonly watching: number
  readonly subscribed: number
  /** They wait for data (BLPOP …), and wait on at the new master for the rest of their time. */
  readonly blocked: number
  readonly monitoring: number
  /** Writes that the master has not answered: they are answered before it is demoted. */
  readonly writesInFlight: number
  /** Commands that wait already. */
  readonly held: number
  /** Keys written that the candidate has not applied; null when that cannot be told. */
  readonly keys: number | null
  /** Those are the keys of all writers, not of this worker's clients only. */
  readonly ofEverybody: boolean
}

export function stakesOf(worker: Worker, candidate: string): Stakes {
  const counts = { transactions: 0, watching: 0, subscribed: 0, blocked: 0, monitoring: 0 }
  for (const session of worker.sessions.values()) {
    const busy = busyWith(session)
    if (busy !== undefined) counts[busy]++
  }
  const { group } = worker
  const applied = group?.replicas.find(({ id }) => id === candidate)?.applied ?? -1
  return {
    ...counts,
    writesInFlight: group?.inFlight ?? 0,
    held: group?.keptCommands ?? 0,
    keys: (applied < 0 ? undefined : group?.marks.beyond(applied)) ?? null,
    ofEverybody: group?.marks.isStreamed ?? false,
  }
}

function busyWith({ transaction, subscription, monitor, alone }: Session) {
  if (transaction !== undefined) return transaction.queueing ? 'transactions' : 'watching'
  if (subscription !== undefined) return 'subscribed'
  if (monitor !== undefined) return 'monitoring'
  return alone.upstream === undefined ? undefined : 'blocked'
}

/** Of all workers. Where each reads what everybody writes, they tell the same keys; otherwise each its own. */
export function sumOfStakes(all: readonly Stakes[]): Stakes {
  const sum = (pick: (stakes: Stakes) => number): number => all.reduce((total, stakes) => total + pick(stakes), 0)
  const ofEverybody = all.some(stakes => stakes.ofEverybody)
  const known = all.flatMap(({ keys }) => (keys === null ? [] : [keys]))
  const isKnown = all.length > 0 && known.length === all.length
  return {
    transactions: sum(stakes => stakes.transactions),
    watching: sum(stakes => stakes.watching),
    subscribed: sum(stakes => stakes.subscribed),
    blocked: sum(stakes => stakes.blocked),
    monitoring: sum(stakes => stakes.monitoring),
    writesInFlight: sum(stakes => stakes.writesInFlight),
    held: sum(stakes => stakes.held),
    keys: isKnown ? (ofEverybody ? Math.max(...known) : known.reduce((total, keys) => total + keys, 0)) : null,
    ofEverybody,
  }
}
