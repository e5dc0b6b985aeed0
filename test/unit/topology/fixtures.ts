/** Facts of a group in a few words: the tables of this folder are about judgement, not about fields. */
import { type InstanceFacts, newInstance } from '../../../src/topology/facts.js'
import { emptyGroup, type Group, type JudgeOptions } from '../../../src/topology/group.js'

export const options: JudgeOptions = {
  downAfterMs: 1000,
  vetoMs: 3000,
  stalledAfterMs: 5000,
  linkedAfterDeathMs: 11_000,
}
export const NOW = 100_000
export const A = 'a'.repeat(40)
export const B = 'b'.repeat(40)
export const C = 'c'.repeat(40)

export function instance(port: number, change: Partial<InstanceFacts> = {}): InstanceFacts {
  const facts = newInstance(`h:${port}`, { host: 'h', port }, { seed: true })
  return {
    ...facts,
    liveness: { heardAt: NOW - 10, silentSince: undefined, deaths: 0, diedAt: undefined },
    runId: `run-${port}`,
    replid: A,
    offset: 1000,
    offsetAt: NOW - 10,
    movedAt: NOW - 10,
    infoAt: NOW - 10,
    ...change,
  }
}

export function master(port: number, change: Partial<InstanceFacts> = {}): InstanceFacts {
  return instance(port, { role: 'master', roleSince: 1, keys: 10, ...change })
}

export function replica(port: number, change: Partial<InstanceFacts> = {}): InstanceFacts {
  return instance(port, { role: 'replica', roleSince: 1, master: link(true), ...change })
}

export function link(up: boolean, change: Partial<NonNullable<InstanceFacts['master']>> = {}): InstanceFacts['master'] {
  return { address: { host: 'h', port: 1 }, up, syncing: false, since: NOW - 50_000, ...change }
}

/** How the liveness of an instance looks from here. */
export const seen = {
  dead: { liveness: { heardAt: NOW - 20, silentSince: NOW - 10, deaths: 2, diedAt: NOW - 10 } },
  deadForLong: { liveness: { heardAt: NOW - 12_020, silentSince: NOW - 12_010, deaths: 9, diedAt: NOW - 12_010 } },
  reset: { liveness: { heardAt: NOW - 20, silentSince: NOW - 10, deaths: 1, diedAt: NOW - 10 } },
  silent: { liveness: { heardAt: NOW - 1600, silentSince: NOW - 1500, deaths: 0, diedAt: undefined } },
  never: { liveness: { heardAt: undefined, silentSince: undefined, deaths: 0, diedAt: undefined } },
} as const

/** The first is the declared master of history A, inherited from B at 500. */
export function group(...instances: InstanceFacts[]): Group {
  const [given, ...others] = instances as [InstanceFacts]
  const first = given.replid === A ? { ...given, replid2: B, secondOffset: 500 } : given
  return {
    ...emptyGroup('main'),
    declared: first.id,
    declaredRunId: `run-${first.address.port}`,
    masterEpoch: 3,
    lineage: { replid: A, replid2: B, secondOffset: 500 },
    instances: [first, ...others],
  }
}
