/**
 * What the admin API asks, answered by the running parts. Nothing is decided here: reports of the agent are put into the
 * words of the API.
 */

import type { AdminBackend, Refusal as ApiRefusal, SwitchResult } from '../admin/backend.js'
import type { EventFeed } from '../admin/feed.js'
import type {
  SwitchReport as ApiReport,
  Condition,
  ConfigDescription,
  GroupDescription,
  TopologyDescription,
} from '../admin/model.js'
import { formatAddress } from '../base/address.js'
import type { Clock } from '../base/clock.js'
import type { Observer } from '../observer/observer.js'
import type { Agent } from '../sentinel/agent.js'
import { describeTopology, type MemberDescription } from '../sentinel/describe.js'
import type { Refusal, RefusalReason, SwitchReport } from '../topology/operation.js'

export interface BackendParts {
  readonly clock: Clock
  readonly observer: Observer
  readonly agent: Agent
  readonly events: EventFeed
  /** Workers that accept clients, and how many there should be. */
  readonly workers: () => { readonly serving: number; readonly wanted: number }
  readonly metrics: () => Promise<string>
  readonly config: () => ConfigDescription
  /** Members whose links `/readyz` waits for (`up` knows its nodes); undefined: a writable master is enough. */
  readonly members: number | undefined
}

export function makeBackend(parts: BackendParts): AdminBackend {
  const { clock, observer, agent } = parts
  return {
    events: parts.events,
    // Who answers this runs the control loop: both live on one event loop, and a probe that times out is the bad news.
    health: () => ({ ok: true, reasons: [] }),
    ready: () => readiness(parts),
    topology: () => topology(parts),
    metrics: parts.metrics,
    config: parts.config,
    async switchover(request) {
      return resultOf(await agent.switchover(request), clock, observer)
    },
    async failover(request) {
      return resultOf(await agent.failover(request), clock, observer)
    },
  }
}

/** Every reason why clients, or writes, would not be served as they should. */
function readiness(parts: BackendParts): Condition {
  const { observer, clock } = parts
  const [group] = describeTopology(observer, undefined, clock.now()).groups
  const { serving, wanted } = parts.workers()
  const reasons: string[] = []
  if (serving === 0) reasons.push(`none of ${wanted} workers accepts clients`)
  if (group?.master === undefined) reasons.push(`no master: ${group?.diagnosis ?? 'starting'}`)
  else if (group.members.find(member => member.isMaster)?.state !== 'up')
    reasons.push(`${group.master} does not answer`)
  else if (group.diagnosis === 'master-denied') reasons.push(`${group.master} refuses our password: master-denied`)
  if (parts.members !== undefined && group !== undefined) {
    const linked = group.members.filter(
      member => member.isMaster || (member.linkUp === true && member.excluded === undefined),
    )
    if (linked.length < parts.members) reasons.push(`${linked.length} of ${parts.members} nodes are linked`)
  }
  return { ok: reasons.length === 0, reasons }
}

function topology(parts: BackendParts): TopologyDescription {
  const { observer, agent, clock } = parts
  const described = describeTopology(observer, agent, clock.now())
  return {
    epoch: described.epoch,
    at: clock.wall(),
    workers: parts.workers().serving,
    groups: described.groups.map(
      (group): GroupDescription => ({
        name: group.name,
        masterEpoch: group.masterEpoch,
        master: group.master ?? null,
        diagnosis: group.diagnosis,
        writesPaused: group.agent?.running !== undefined,
        replid: group.lineage?.replid ?? null,
        members: group.members.map(member => memberOf(member, observer, clock)),
        lastSwitch:
          group.lastSwitch?.to === undefined
            ? null
            : {
                at: group.lastSwitch.startedAt,
                cause: group.lastSwitch.kind,
                from: group.lastSwitch.from ?? null,
                to: group.lastSwitch.to,
                stallMs: group.lastSwitch.stallMs,
              },
      }),
    ),
  }
}

function memberOf(member: MemberDescription, observer: Observer, clock: Clock): GroupDescription['members'][number] {
  const facts = observer.instance(member.id)
  const link = member.isMaster ? undefined : facts?.master
  return {
    id: member.id,
    host: member.host,
    port: member.port,
    role: member.role,
    health: member.state as 'up',
    excluded: member.excluded ?? null,
    offset: member.offset ?? null,
    lagBytes: member.lagBytes ?? null,
    lagMs: member.lagMs ?? null,
    linkUp: link?.up ?? null,
    lastIoMs:
      link === undefined || facts?.lastByteAt === undefined
        ? null
        : Math.max(0, Math.round(clock.now() - facts.lastByteAt)),
    syncInProgress: member.syncing,
    masterId: link === undefined ? null : formatAddress(link.address),
    replid: member.replid ?? null,
    runId: member.runId ?? null,
    version: member.version ?? null,
    zone: member.zone ?? null,
    priority: member.priority ?? null,
  }
}

function resultOf(answer: SwitchReport | Refusal, clock: Clock, observer: Observer): SwitchResult {
  if ('refused' in answer) {
    return { kind: 'refused', refusal: refusalOf(answer.refused), reason: answer.refused, detail: answer.detail }
  }
  if (answer.result === 'dry-run') return { kind: 'planned', plan: planOf(answer, clock, observer) }
  if (answer.result === 'ok') return { kind: 'done', report: reportOf(answer) }
  const reason = answer.reason ?? answer.result
  const detail =
    answer.result === 'failed'
      ? `The change of master failed and needs a look: ${reason}.`
      : `Nothing was changed: ${reason}. The old master goes on.`
  return { kind: 'refused', refusal: answer.result === 'failed' ? 'failed' : 'rolled-back', reason, detail }
}

function reportOf(report: SwitchReport): ApiReport {
  const { finalOffset, promotedOffset } = report
  const known = finalOffset !== undefined && promotedOffset !== undefined
  return {
    group: report.group,
    from: report.from ?? null,
    to: report.to ?? '',
    masterEpoch: report.masterEpoch,
    stallMs: report.stallMs,
    heldCommands: report.heldCommands,
    durationMs: report.durationMs,
    lostBytes: known ? Math.max(0, finalOffset - (promotedOffset - 1)) : null,
    steps: report.steps.map(step => ({ step: step.name, ms: step.durationMs })),
  }
}

function planOf(
  report: SwitchReport,
  clock: Clock,
  observer: Observer,
): Extract<SwitchResult, { kind: 'planned' }>['plan'] {
  const [group] = describeTopology(observer, undefined, clock.now()).groups
  const others = group?.members.filter(member => !member.isMaster && member.id !== report.to) ?? []
  return {
    group: report.group,
    from: report.from ?? null,
    to: report.to ?? '',
    because: report.lagBytes === undefined ? 'best candidate' : `best candidate, ${report.lagBytes} bytes behind`,
    passedOver: others.map(member => ({
      id: member.id,
      reason: member.excluded ?? 'less data, priority or a later run id',
    })),
    steps: report.steps.map(step => step.name),
  }
}

function refusalOf(reason: RefusalReason): ApiRefusal {
  switch (reason) {
    case 'unknown-node':
    case 'in-progress':
    case 'no-candidate':
      return reason
    case 'no-master':
    case 'master-unhealthy':
    case 'master-healthy':
    case 'stalled':
    case 'stopped':
      return 'not-permitted'
    default:
      return 'candidate-unfit'
  }
}
