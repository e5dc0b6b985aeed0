/**
 * Who shall be the next master?
 *
 * Data first: of the replicas that share our history, the one with the most of it. Priority only breaks ties (and 0
 * means never), the run id breaks what is left, so that every agent that sees the same facts names the same instance.
 * (Sentinel lets priority win over data, and loses acknowledged writes by it.)
 *
 * Everybody who is passed over is passed over for a reason that has a name.
 */
import type { Millis } from '../base/units.js'
import type { InstanceFacts } from './facts.js'
import { type Group, healthOf, type JudgeOptions } from './group.js'
import { kinship } from './lineage.js'

export const candidateRefusals = [
  'unknown-node',
  'already-master',
  'unreachable',
  'not-a-replica',
  'loading',
  'syncing',
  'never-synced',
  'wrong-lineage',
  'priority-zero',
  'no-fresh-facts',
  'link-down',
  'lagging',
] as const

export type CandidateRefusal = (typeof candidateRefusals)[number]

export interface CandidateRules {
  /** A planned switch asks more: the replica must be linked to the master, and close behind it. */
  readonly planned: boolean
  /** Planned: refuse a replica further behind than this. */
  readonly lagBytesMax: number
  /** Facts must have been read at or after this time: after the old master was given up. */
  readonly since?: Millis
  /** Only this one will do. */
  readonly to?: string | undefined
}

export interface Selection {
  readonly candidate: string | undefined
  readonly because: 'requested' | 'only-one' | 'most-data' | 'priority' | 'run-id' | 'no-candidate'
  readonly refused: readonly { readonly id: string; readonly reason: CandidateRefusal }[]
  /** Those that would do as well, and why they are not the one. */
  readonly outranked: readonly { readonly id: string; readonly reason: Outranked }[]
}

/** What the chosen one has over another that is fit. */
export type Outranked = 'less-data' | 'lower-priority' | 'later-run-id'

export function selectCandidate(group: Group, rules: CandidateRules, options: JudgeOptions, now: Millis): Selection {
  const { to } = rules
  if (to !== undefined && !group.instances.some(instance => instance.id === to)) {
    return {
      candidate: undefined,
      because: 'no-candidate',
      refused: [{ id: to, reason: 'unknown-node' }],
      outranked: [],
    }
  }
  const refused: { id: string; reason: CandidateRefusal }[] = []
  const fit: InstanceFacts[] = []
  for (const instance of group.instances) {
    if (to !== undefined && instance.id !== to) continue
    // The declared master is nobody's candidate, unless it is one replica among others by now.
    if (instance.id === group.declared && instance.role !== 'replica' && to === undefined) continue
    const reason = refuse(instance, group, rules, options, now)
    if (reason === undefined) fit.push(instance)
    else refused.push({ id: instance.id, reason })
  }
  fit.sort(compareCandidates)
  const [best, second] = fit
  if (best === undefined) return { candidate: undefined, because: 'no-candidate', refused, outranked: [] }
  const outranked = fit.slice(1).map(other => ({ id: other.id, reason: outrankedBy(best, other) }))
  return { candidate: best.id, because: to === undefined ? reasonFor(best, second) : 'requested', refused, outranked }
}

/** Why this instance cannot become the master; undefined when it can. */
export function refuse(
  instance: InstanceFacts,
  group: Group,
  rules: CandidateRules,
  options: JudgeOptions,
  now: Millis,
): CandidateRefusal | undefined {
  if (instance.id === group.declared && instance.role !== 'replica') return 'already-master'
  if (healthOf(instance, options, now).health !== 'up') return 'unreachable'
  if (instance.role !== 'replica') return 'not-a-replica'
  if (instance.loading) return 'loading'
  if (instance.priority === 0) return 'priority-zero'
  if (rules.since !== undefined && (instance.infoAt === undefined || instance.infoAt < rules.since)) {
    return 'no-fresh-facts'
  }
  if (instance.master?.syncing === true) return 'syncing'
  return refuseHistory(instance, group) ?? (rules.planned ? refuseDistance(instance, group, rules) : undefined)
}

function refuseHistory(instance: InstanceFacts, group: Group): CandidateRefusal | undefined {
  if (group.lineage === undefined) return (instance.offset ?? 0) <= 0 ? 'never-synced' : undefined
  const kin = kinship(instance, group.lineage, group.past)
  if (kin === 'unsynced') return 'never-synced'
  return kin === 'same' || kin === 'ancestor' ? undefined : 'wrong-lineage'
}

function refuseDistance(instance: InstanceFacts, group: Group, rules: CandidateRules): CandidateRefusal | undefined {
  if (instance.master?.up !== true) return 'link-down'
  const head = group.instances.find(other => other.id === group.declared)?.offset ?? 0
  return head - (instance.offset ?? 0) > rules.lagBytesMax ? 'lagging' : undefined
}

/**
 * Replicas that were passed over only because they have not answered yet, although they are known to have more than the
 * one that was chosen, or it is known to lack something, which they may have: a busy moment of theirs must not cost it.
 */
export function worthWaitingFor(selection: Selection, group: Group): readonly string[] {
  const find = (id: string | undefined): InstanceFacts | undefined => group.instances.find(each => each.id === id)
  const chosen = find(selection.candidate)
  const has = chosen?.offset ?? -1
  const old = find(group.declared)
  const isLacking = old?.replid === chosen?.replid && (old?.offset ?? -1) > has
  return selection.refused
    .filter(({ reason }) => reason === 'no-fresh-facts' || reason === 'unreachable')
    .map(({ id }) => id)
    .filter(id => {
      const late = find(id)
      if ((late?.offset ?? -1) > has) return true
      return isLacking && late?.role === 'replica' && late.replid === chosen?.replid
    })
}

/** Best first: more data, then lower priority, then the smaller run id. */
export function compareCandidates(a: InstanceFacts, b: InstanceFacts): number {
  const data = (b.offset ?? 0) - (a.offset ?? 0)
  if (data !== 0) return data
  if (a.priority !== b.priority) return a.priority - b.priority
  return (a.runId ?? '~') < (b.runId ?? '~') ? -1 : 1
}

function outrankedBy(best: InstanceFacts, other: InstanceFacts): Outranked {
  if (best.offset !== other.offset) return 'less-data'
  return best.priority === other.priority ? 'later-run-id' : 'lower-priority'
}

function reasonFor(best: InstanceFacts, second: InstanceFacts | undefined): Selection['because'] {
  if (second === undefined) return 'only-one'
  if (best.offset !== second.offset) return 'most-data'
  return best.priority === second.priority ? 'run-id' : 'priority'
}
