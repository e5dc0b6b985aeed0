/**
 * The group as plain JSON, for the admin API and the CLI.
 */
import type { Millis, Offset } from '../base/units.js'
import type { Observer } from '../observer/observer.js'
import type { DiagnosisName } from '../topology/diagnose.js'
import { healthOf, isMember } from '../topology/group.js'
import { excludedBecause } from '../topology/make-view.js'
import type { SwitchReport } from '../topology/operation.js'
import type { Exclusion, Lineage, Role } from '../topology/view.js'
import type { Agent, AgentStatus } from './agent.js'

export interface MemberDescription {
  readonly id: string
  readonly host: string
  readonly port: number
  readonly role: Role
  /** `up`, `suspect`, `down` or `unknown`. */
  readonly state: string
  /** Whether this is the master that writes go to. */
  readonly isMaster: boolean
  readonly offset: Offset | undefined
  readonly lagBytes: number | undefined
  readonly lagMs: Millis | undefined
  /** Of a replica: how we know what it has applied, and why it is not tapped. */
  readonly freshness: 'tap' | 'poll' | undefined
  readonly untapped: string | undefined
  readonly linkUp: boolean | undefined
  readonly syncing: boolean
  readonly runId: string | undefined
  readonly replid: string | undefined
  readonly version: string | undefined
  readonly priority: number
  readonly zone: string | undefined
  readonly seed: boolean
  /** Why it serves no reads; undefined when it does. */
  readonly excluded: Exclusion | undefined
  /** An operator has taken it out of reading. */
  readonly drained: boolean
}

export interface GroupDescription {
  readonly name: string
  readonly master: string | undefined
  readonly masterEpoch: number
  readonly lineage: Lineage | undefined
  readonly diagnosis: DiagnosisName
  readonly about: readonly string[]
  readonly diagnosisForMs: Millis
  readonly members: readonly MemberDescription[]
  readonly lastSwitch: SwitchReport | undefined
  readonly agent: Omit<AgentStatus, 'lastSwitch'> | undefined
}

export interface TopologyDescription {
  readonly epoch: number
  readonly groups: readonly GroupDescription[]
}

export function describeTopology(observer: Observer, agent: Agent | undefined, now: Millis): TopologyDescription {
  const { group, view, diagnosis } = observer
  const [groupView] = view.groups
  const status = agent?.status()
  return {
    epoch: view.epoch,
    groups: [
      {
        name: group.name,
        master: groupView?.master?.id,
        masterEpoch: group.masterEpoch,
        lineage: group.lineage,
        diagnosis: diagnosis.name,
        about: diagnosis.about,
        diagnosisForMs: Math.round(now - observer.diagnosisSince),
        members: describeMembers(observer, now),
        lastSwitch: status?.lastSwitch,
        agent: status && {
          failover: status.failover,
          paused: status.paused,
          running: status.running,
          heldBackMs: status.heldBackMs,
        },
      },
    ],
  }
}

function describeMembers(observer: Observer, now: Millis): readonly MemberDescription[] {
  const { group, judgeOptions, view } = observer
  const masterId = view.groups[0]?.master?.id
  return group.instances.filter(isMember).map(instance => {
    const { id, address, role, offset, runId, replid, version, priority, zone, seed, master, drained } = instance
    const isMaster = id === masterId
    const { source, because } = observer.freshnessOf(id)
    const known = observer.lagOf(instance)
    const lag = isMaster ? undefined : known
    // Workers sample the head with every flush of writes; what the master was last asked itself may be older.
    const newest = isMaster && offset !== undefined && known !== undefined ? offset + known.bytes : offset
    return {
      id,
      host: address.host,
      port: address.port,
      role,
      state: healthOf(instance, judgeOptions, now).health,
      isMaster,
      offset: newest,
      lagBytes: lag?.bytes,
      lagMs: lag && Math.round(lag.ms * 10) / 10,
      freshness: isMaster ? undefined : source,
      untapped: isMaster ? undefined : because,
      linkUp: master?.up,
      syncing: master?.syncing ?? false,
      runId,
      replid,
      version,
      priority,
      zone,
      seed,
      excluded: isMaster ? undefined : excludedBecause(instance, group, judgeOptions, now),
      drained,
    }
  })
}
