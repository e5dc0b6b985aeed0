/**
 * What is wrong with a group, by name, from facts alone.
 *
 * A master is not down because we cannot reach it: its replicas are asked, too.
 *
 *     we            replicas' links           diagnosis
 *     ────────────  ────────────────────────  ──────────────────────────────────
 *     dead          all down                  master-down (at once)
 *     dead          one still up              master-unreachable-replicas-linked, until it says down or, after 11 s, as silent
 *     silent        all down                  master-down
 *     silent        up, a byte came since     master-unreachable-replicas-linked (the veto)
 *     silent        up, nothing came since    master-silent
 *     dead, silent  no replica answers        all-down
 *
 * The gravest diagnosis that applies is the answer; the same literal is the log field, the metric label and the value in
 * the admin API.
 */
import type { Millis } from '../base/units.js'
import type { InstanceFacts } from './facts.js'
import {
  declaredMaster,
  type Group,
  healthOf,
  isMember,
  isUp,
  type JudgeOptions,
  othersOf,
  witnessesOf,
} from './group.js'
import { kinship } from './lineage.js'

export const diagnoses = [
  'ok',
  'starting', // not everybody has answered yet
  'master-suspect', // a first sign: we look closer
  'master-down',
  'master-unreachable-replicas-linked',
  'master-silent',
  'all-down',
  'master-lost-history', // it restarted without the data that its replicas have
  'master-loading',
  'master-denied', // it refuses our credentials
  'access-denied', // no master is known, and those we asked refuse our credentials
  'no-master', // nobody we believe in says that it is a master
  'two-masters',
  'replication-stalled',
  'replica-link-down',
  'replica-down',
  'replica-foreign', // an instance with somebody else's data: it gets no traffic and no commands
] as const

export type DiagnosisName = (typeof diagnoses)[number]

export interface Diagnosis {
  readonly name: DiagnosisName
  /** The instances it is about. */
  readonly about: readonly string[]
  /** When the evidence began; undefined where that means nothing. */
  readonly since: Millis | undefined
  /** What a failover would stand on; undefined where none is called for. */
  readonly evidence: 'death' | 'silence' | 'lost-history' | 'no-master' | undefined
}

const IN_FLIGHT_MS: Millis = 50

export function diagnose(group: Group, options: JudgeOptions, now: Millis): Diagnosis {
  const master = declaredMaster(group)
  if (master === undefined) return diagnoseWithout(group, options, now)
  return (
    diagnoseAbsence(group, master, options, now) ??
    diagnoseMaster(group, master, options, now) ??
    diagnoseReplicas(group, master, options, now) ??
    found('ok', [])
  )
}

function diagnoseWithout(group: Group, options: JudgeOptions, now: Millis): Diagnosis {
  const masters = group.instances.filter(instance => instance.role === 'master' && isUp(instance, options, now))
  if (masters.length > 1) return found('two-masters', masters)
  const denied = group.instances.filter(instance => instance.denied)
  if (masters.length === 0 && denied.length > 0) return found('access-denied', denied)
  const waiting = group.instances.filter(instance => healthOf(instance, options, now).health === 'unknown')
  if (waiting.length > 0 || masters.length === 1) return found('starting', waiting)
  const anyUp = group.instances.some(instance => isUp(instance, options, now))
  return anyUp ? found('no-master', []) : found('all-down', group.instances)
}

/** The declared master does not answer us. */
function diagnoseAbsence(
  group: Group,
  master: InstanceFacts,
  options: JudgeOptions,
  now: Millis,
): Diagnosis | undefined {
  const health = healthOf(master, options, now)
  if (health.health === 'up' || health.health === 'unknown') return undefined
  if (health.health === 'suspect') return found('master-suspect', [master], health.since)

  const { since } = health
  const others = othersOf(group).filter(isMember)
  const witnesses = witnessesOf(group, options, now)
  if (witnesses.length === 0) {
    const anyUp = others.some(instance => isUp(instance, options, now))
    if (!anyUp) return found('all-down', [master, ...others], since)
    // Whoever is there is no replica of this master: there is nobody to ask, and nobody to promote.
    return found('master-down', [master], since)
  }
  const linked = witnesses.filter(instance => instance.master?.up === true)
  // Nobody whom we can ask right now: a network that is shaking says nothing about a process.
  const askable = witnesses.filter(instance => healthOf(instance, options, now).health === 'up')
  if (askable.length === 0) return found('master-suspect', [master], since)
  if (linked.length === 0) return found('master-down', [master], since, health.because === 'dead' ? 'death' : 'silence')
  if (health.because === 'dead' && now - since <= options.linkedAfterDeathMs) {
    return found('master-unreachable-replicas-linked', [master], since)
  }

  // What was on its way when the silence began is no sign of life.
  const after = since + IN_FLIGHT_MS
  const vetoed = linked.some(
    ({ lastByteAt }) => lastByteAt !== undefined && lastByteAt > after && now - lastByteAt < options.vetoMs,
  )
  return vetoed
    ? found('master-unreachable-replicas-linked', [master], since)
    : found('master-silent', [master], since, health.because === 'dead' ? 'death' : 'silence')
}

/** It answers, but is it still our master? */
function diagnoseMaster(
  group: Group,
  master: InstanceFacts,
  options: JudgeOptions,
  now: Millis,
): Diagnosis | undefined {
  if (master.denied) return found('master-denied', [master])
  if (master.loading) return found('master-loading', [master])
  if (master.role === 'replica') return found('no-master', [master], master.roleSince, 'no-master')
  if (hasLostHistory(group, master)) return found('master-lost-history', [master], master.roleSince, 'lost-history')
  const impostors = othersOf(group).filter(
    instance => instance.role === 'master' && isUp(instance, options, now) && !isForeign(group, instance),
  )
  return impostors.length > 0 ? found('two-masters', [master, ...impostors]) : undefined
}

/** Another process at its address, with less than its replicas have or with nothing to do with them. */
export function hasLostHistory(group: Group, master: InstanceFacts): boolean {
  const { lineage } = group
  if (lineage === undefined || master.runId === group.declaredRunId || master.infoAt === undefined) return false
  const kin = kinship(master, lineage, group.past)
  const kept = othersOf(group).filter(
    instance => kinship(instance, lineage, group.past) === 'same' && instance.role === 'replica',
  )
  if (kin === 'foreign' || kin === 'unsynced' || kin === 'past') return kept.length > 0
  return kept.some(instance => (instance.offset ?? 0) > (master.offset ?? 0))
}

function diagnoseReplicas(
  group: Group,
  master: InstanceFacts,
  options: JudgeOptions,
  now: Millis,
): Diagnosis | undefined {
  const others = othersOf(group).filter(isMember)
  const replicas = others.filter(instance => instance.role === 'replica')
  const linked = replicas.filter(instance => isUp(instance, options, now) && instance.master?.up === true)
  const stalled = linked.filter(
    instance =>
      group.lineage?.replid === instance.replid &&
      (instance.offset ?? 0) < (master.offset ?? 0) &&
      now - instance.movedAt > options.stalledAfterMs,
  )
  if (stalled.length > 0) return found('replication-stalled', stalled)

  const unlinked = replicas.filter(instance => isUp(instance, options, now) && instance.master?.up !== true)
  if (unlinked.length > 0) return found('replica-link-down', unlinked)

  const down = others.filter(instance => healthOf(instance, options, now).health === 'down')
  if (down.length > 0) return found('replica-down', down)

  const foreign = others.filter(instance => isUp(instance, options, now) && isForeign(group, instance))
  return foreign.length > 0 ? found('replica-foreign', foreign) : undefined
}

function isForeign(group: Group, instance: InstanceFacts): boolean {
  if (group.lineage === undefined || instance.infoAt === undefined) return false
  // The history it named before its last change of link or role says nothing about the one it is on now.
  if (instance.infoAt < Math.max(instance.roleSince, instance.master?.since ?? 0)) return false
  return kinship(instance, group.lineage, group.past) === 'foreign'
}

function found(
  name: DiagnosisName,
  about: readonly InstanceFacts[],
  since?: Millis,
  evidence?: Diagnosis['evidence'],
): Diagnosis {
  return { name, about: about.map(instance => instance.id), since, evidence }
}
