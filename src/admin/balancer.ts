/**
 * What load balancers ask, in Patroni's manner: may traffic of this kind be sent here?
 *
 *     /master                        a master is writable          /master?node=10.0.0.1:6379   and it is this one
 *     /replica?lag=50ms              some replica serves reads     /replica?node=…&lag=1MB      this one does
 *     /read-only?lag=                as /replica, or the master
 */
import type { BalancerQuery, Condition, GroupDescription, MemberDescription, TopologyDescription } from './model.js'

export type BalancerQuestion = 'master' | 'replica' | 'read-only'

/** 200 when `ok`: at least one instance (or the one that is asked about) is of the kind that is wanted. */
export function judgeForBalancer(
  question: BalancerQuestion,
  topology: TopologyDescription,
  query: BalancerQuery,
): Condition {
  const asked = topology.groups.flatMap(group =>
    group.members.map(member => ({ id: member.id, reason: refuse(question, group, member, query.lag) })),
  )
  const about = query.node === undefined ? asked : asked.filter(({ id }) => id === query.node)
  if (about.some(({ reason }) => reason === undefined)) return { ok: true, reasons: [] }
  const reasons = about.map(({ id, reason }) => `${id}: ${reason}`)
  return { ok: false, reasons: reasons.length > 0 ? reasons : [`${query.node ?? 'nobody'}: unknown`] }
}

/** Why this instance is not of the kind; undefined when it is. */
function refuse(
  question: BalancerQuestion,
  group: GroupDescription,
  member: MemberDescription,
  lag: string | undefined,
): string | undefined {
  const isMaster = member.id === group.master
  if (isMaster && question !== 'replica') return refuseMaster(group, member)
  if (question === 'master') return 'not-master'
  if (isMaster) return 'not-replica'
  return refuseReplica(member, lag)
}

function refuseMaster(group: GroupDescription, member: MemberDescription): string | undefined {
  if (member.health === 'down') return 'down'
  return group.diagnosis === 'master-denied' ? group.diagnosis : undefined
}

function refuseReplica(member: MemberDescription, lag: string | undefined): string | undefined {
  if (member.excluded !== null) return member.excluded
  if (lag === undefined) return undefined
  const { value, kind } = readLag(lag)
  const known = kind === 'ms' ? member.lagMs : member.lagBytes
  // What nobody knows is no promise.
  if (known === null) return 'lag-unknown'
  return known > value ? `lagging by ${Math.ceil(known)} ${kind === 'ms' ? 'ms' : 'bytes'}` : undefined
}

const factors: Readonly<Record<string, number>> = { ms: 1, s: 1000, b: 1, kb: 2 ** 10, mb: 2 ** 20, gb: 2 ** 30 }

/** The schema has checked its form. */
function readLag(text: string): { readonly value: number; readonly kind: 'ms' | 'bytes' } {
  const unit = text.replace(/^\d+/, '').toLowerCase()
  return { value: Number.parseInt(text, 10) * (factors[unit] ?? 1), kind: unit.endsWith('s') ? 'ms' : 'bytes' }
}
