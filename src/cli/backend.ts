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
  HistoryEntry,
  OptionList,
  ReloadReport,
  RuleList,
  SwitchPlan,
  TopologyDescription,
} from '../admin/model.js'
import { formatAddress } from '../base/address.js'
import type { EventBus } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import { Ring } from '../base/ring.js'
import type { MetricsFormat } from '../metrics/render.js'
import type { Observer } from '../observer/observer.js'
import type { Stakes } from '../proxy/stakes.js'
import type { RestartRefusal } from '../proxy/supervision/workers.js'
import type { Agent } from '../sentinel/agent.js'
import { describeTopology, type MemberDescription } from '../sentinel/describe.js'
import type { Refusal, RefusalReason, SwitchReport } from '../topology/operation.js'
import { Losses, rescuesOf } from './losses.js'
import type { RescueBackend } from './rescue.js'
import type { TrafficBackend } from './traffic.js'

export interface BackendParts {
  readonly clock: Clock
  readonly bus: EventBus
  readonly observer: Observer
  readonly agent: Agent
  /** Who carries switches out, where that is not the agent. */
  readonly switches?: Pick<Agent, 'switchover' | 'failover'> | undefined
  readonly events: EventFeed
  /** Workers that accept clients, and how many there should be. */
  readonly workers: () => { readonly serving: number; readonly wanted: number }
  /** What the workers know of their clients. */
  readonly traffic: TrafficBackend
  readonly rescue: RescueBackend
  readonly metrics: (format: MetricsFormat) => Promise<string>
  readonly config: () => ConfigDescription
  readonly options: () => OptionList
  readonly rules: () => RuleList
  readonly reload: () => ReloadReport | { readonly errors: readonly string[] }
  readonly restartWorkers: () => Promise<RestartRefusal | undefined>
  /** Members whose links `/readyz` waits for (`up` knows its nodes); undefined: a writable master is enough. */
  readonly members: number | undefined
}

const whyNotRestarted: Readonly<Record<RestartRefusal, string>> = {
  busy: 'a restart is under way, or the proxy stops',
  adopted: 'the workers were started by an earlier supervisor: restart this process as a whole',
  'not-serving': 'a new worker did not come up, see the log; those that were not replaced go on',
}

/** Changes of master that are remembered. */
const HISTORY = 100

export function makeBackend(parts: BackendParts): AdminBackend {
  const { clock, observer, agent, traffic } = parts
  const switches = parts.switches ?? agent
  const history = new Ring<SwitchReport>(HISTORY)
  const losses = new Losses(parts.bus)
  parts.bus.listen(({ name }) => {
    if (name !== '+switchover-end' && name !== '+failover-end') return
    const { lastSwitch } = agent.status()
    if (lastSwitch !== undefined) history.push(lastSwitch)
  })
  return {
    events: parts.events,
    // Who answers this runs the control loop: both live on one event loop, and a probe that times out is the bad news.
    health: () => ({ ok: true, reasons: [] }),
    ready: () => readiness(parts),
    topology: () => topology(parts),
    metrics: parts.metrics,
    config: parts.config,
    options: parts.options,
    rules: parts.rules,
    reload: parts.reload,
    async restartWorkers() {
      const refusal = await parts.restartWorkers()
      return refusal && whyNotRestarted[refusal]
    },
    async switchover(request) {
      const answer = await switches.switchover(request)
      if ('refused' in answer || answer.result !== 'dry-run') return resultOf(answer)
      const stakes = await traffic.stakes(answer.to ?? '')
      return { kind: 'planned', plan: planOf(answer, stakes, clock, observer) }
    },
    async failover(request) {
      return resultOf(await switches.failover(request))
    },
    pause: paused => agent.pause(paused),
    acknowledge: () => agent.acknowledge(),
    ...parts.rescue,
    drain(id, drained) {
      if (observer.instance(id) === undefined) return false
      observer.drain(id, drained)
      return true
    },
    history() {
      const changes = [...history].reverse()
      const rescues = parts.rescue.rescues()
      return changes.map(report => ({
        ...historyEntryOf(report),
        lost: losses.of(report, rescuesOf(report, changes, rescues)),
      }))
    },
    sessions: limit => traffic.sessions(limit),
    killSession: id => traffic.killSession(id),
    traffic: () => traffic.traffic(),
    slowlog: limit => traffic.slowlog(limit),
    resetSlowlog: () => traffic.resetSlowlog(),
    keys: limit => traffic.keys(limit),
    explain: request => traffic.explain(request),
  }
}

/** Every reason why clients, or writes, would not be served as they should. */
function readiness(parts: BackendParts): Condition {
  const { observer, clock } = parts
  const [group] = describeTopology(observer, undefined, clock.now()).groups
  const { serving, wanted } = parts.workers()
  const reasons: string[] = []
  if (serving === 0) reasons.push(`none of ${wanted} workers accepts clients`)
  if (group?.diagnosis === 'access-denied') {
    const { about } = group
    const who = `${about.join(', ')} ${about.length === 1 ? 'refuses' : 'refuse'}`
    reasons.push(`no master: ${who} our user or password (access-denied; see upstreamAuth)`)
  } else if (group?.master === undefined) reasons.push(`no master: ${group?.diagnosis ?? 'starting'}`)
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
  const status = agent.status()
  const { running } = status
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
        about: group.about,
        diagnosisForMs: group.diagnosisForMs,
        failover: status.failover ? (status.paused ? 'paused' : 'on') : 'off',
        heldBackMs: Math.round(status.heldBackMs),
        running: running === undefined ? null : { kind: running.kind, step: running.step, forMs: running.sinceMs },
        writesPaused: running !== undefined,
        replid: group.lineage?.replid ?? null,
        members: group.members.map(member => memberOf(member, observer, clock)),
        lastSwitch: lastSwitchOf(group.lastSwitch),
      }),
    ),
  }
}

function lastSwitchOf(report: SwitchReport | undefined): GroupDescription['lastSwitch'] {
  if (report?.to === undefined) return null
  const { startedAt, kind, from, to, stallMs } = report
  return { at: startedAt, cause: kind, from: from ?? null, to, stallMs }
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
    freshness: member.freshness ?? null,
    untapped: member.untapped ?? null,
    // What a dead instance last said of its link is no news.
    linkUp: member.state === 'down' ? null : (link?.up ?? null),
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
    drained: member.drained,
  }
}

function historyEntryOf(report: SwitchReport): Omit<HistoryEntry, 'lost'> {
  return {
    at: report.startedAt,
    kind: report.kind,
    cause: report.cause,
    result: report.result,
    reason: report.reason ?? null,
    from: report.from ?? null,
    to: report.to ?? null,
    masterEpoch: report.masterEpoch,
    stallMs: report.stallMs,
    durationMs: report.durationMs,
    heldCommands: report.heldCommands,
    finalOffset: report.finalOffset ?? null,
    promotedOffset: report.promotedOffset ?? null,
    unread: [...(report.unread ?? [])],
    steps: report.steps.map(step => ({ step: step.name, ms: step.durationMs })),
  }
}

function resultOf(answer: SwitchReport | Refusal): SwitchResult {
  if ('refused' in answer) {
    return { kind: 'refused', refusal: refusalOf(answer.refused), reason: answer.refused, detail: answer.detail }
  }
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
    unread: [...(report.unread ?? [])],
    steps: report.steps.map(step => ({ step: step.name, ms: step.durationMs })),
  }
}

function planOf(
  report: SwitchReport,
  stakes: Stakes | undefined,
  clock: Clock,
  observer: Observer,
): Extract<SwitchResult, { kind: 'planned' }>['plan'] {
  const [group] = describeTopology(observer, undefined, clock.now()).groups
  const others = group?.members.filter(member => !member.isMaster && member.id !== report.to) ?? []
  const { forecast } = report
  const reasons = new Map(forecast?.passedOver.map(({ id, reason }) => [id, reason]))
  return {
    group: report.group,
    from: report.from ?? null,
    to: report.to ?? '',
    because: forecast?.because ?? 'most-data',
    lagBytes: report.lagBytes ?? null,
    lagMs: forecast?.lagMs ?? null,
    expectedStallMs: forecast?.expectedStallMs ?? null,
    stallMaxMs: forecast?.stallMaxMs ?? null,
    clients: stakes === undefined ? null : clientsOf(stakes),
    keysAtRisk: stakes?.keys ?? null,
    passedOver: others.map(({ id, excluded }) => ({ id, reason: reasons.get(id) ?? excluded ?? 'not-requested' })),
    steps: report.steps.map(step => step.name),
  }
}

function clientsOf(stakes: Stakes): NonNullable<SwitchPlan['clients']> {
  const { transactions, watching, subscribed, blocked, monitoring, writesInFlight, held } = stakes
  return { transactions, watching, subscribed, blocked, monitoring, writesInFlight, held }
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
    case 'sentinel-chooses':
      return 'not-permitted'
    default:
      return 'candidate-unfit'
  }
}
