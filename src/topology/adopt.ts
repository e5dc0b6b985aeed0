/**
 * Which instance do we believe to be the master? Three occasions: the first time, when the master we believe in came
 * back as another process, and when somebody else (an operator, a sentinel) has promoted one of our replicas.
 *
 * Whatever we promote ourselves is declared by the agent at the moment the promotion is confirmed, not here.
 */
import type { Millis } from '../base/units.js'
import { diagnose, hasLostHistory } from './diagnose.js'
import type { InstanceFacts } from './facts.js'
import { declaredMaster, type Group, healthOf, instanceAt, isUp, type JudgeOptions, othersOf } from './group.js'
import { follows, kinship, lineageOf, sameLineage } from './lineage.js'

export type Adoption =
  | {
      readonly adopt: string
      readonly because:
        | 'only-master'
        | 'preferred'
        | 'most-replicas'
        | 'restarted'
        | 'promoted-elsewhere'
        | 'follows-it'
        | 'new-history'
    }
  | { readonly adopt: undefined; readonly because: 'settled' | 'waiting' | 'several-masters' | 'none' }

export interface AdoptOptions extends JudgeOptions {
  /** The last known master of an earlier run. */
  readonly prefer: string | undefined
  /** An agent of ours acts on this group: it, not adoption, answers a master that lost its history. */
  readonly acting: boolean
  /** Whether it has every write that was promised to be safe. One that says master may have come back as such by itself. */
  readonly mayAdopt?: (instance: InstanceFacts) => boolean
}

export function chooseMaster(group: Group, options: AdoptOptions, now: Millis): Adoption {
  const master = declaredMaster(group)
  return master === undefined ? chooseFirst(group, options, now) : reconsider(group, master, options, now)
}

function chooseFirst(group: Group, options: AdoptOptions, now: Millis): Adoption {
  const unheard = group.instances.some(instance => {
    const { health } = healthOf(instance, options, now)
    return health === 'unknown' || (health === 'suspect' && instance.role === 'unknown')
  })
  if (unheard) return none('waiting')
  const masters = group.instances.filter(instance => isMaster(instance, options, now))
  const [first, second] = masters
  if (first === undefined) return none('none')
  if (second === undefined) return { adopt: first.id, because: 'only-master' }

  const preferred = masters.find(instance => instance.id === options.prefer)
  const counted = masters.map(instance => ({ instance, replicas: countFollowers(group, instance) }))
  counted.sort((a, b) => b.replicas - a.replicas)
  const [most, next] = counted
  if (most !== undefined && next !== undefined && most.replicas > next.replicas) {
    return { adopt: most.instance.id, because: 'most-replicas' }
  }
  return preferred === undefined ? none('several-masters') : { adopt: preferred.id, because: 'preferred' }
}

function reconsider(group: Group, master: InstanceFacts, options: AdoptOptions, now: Millis): Adoption {
  if (isMaster(master, options, now)) {
    if (master.runId === group.declaredRunId) {
      // The same process with another history: its backlog expired, or it was demoted and promoted between two looks.
      const moved = group.lineage !== undefined && !sameLineage(lineageOf(master), group.lineage)
      return moved ? { adopt: master.id, because: 'new-history' } : none('settled')
    }
    if (options.acting && hasLostHistory(group, master)) return none('waiting')
    return { adopt: master.id, because: 'restarted' }
  }
  // As long as it answers and says master, whoever else says so is an impostor. (That case has returned above.)
  if (isUp(master, options, now) && master.role !== 'replica') return none('waiting')
  if (healthOf(master, options, now).health === 'suspect') return none('waiting')
  // Its replicas say that it lives: it is we who cannot reach it, and whoever else says master is an impostor.
  if (diagnose(group, options, now).name === 'master-unreachable-replicas-linked') return none('waiting')
  const promoted = othersOf(group).filter(
    instance =>
      isMaster(instance, options, now) &&
      group.lineage !== undefined &&
      kinship(instance, group.lineage, group.past) === 'descendant',
  )
  const [only, another] = promoted
  if (only === undefined) return followed(group, master, options, now)
  if (options.mayAdopt?.(only) === false) return none('waiting')
  return another === undefined ? { adopt: only.id, because: 'promoted-elsewhere' } : none('several-masters')
}

/**
 * The declared master was made a replica of another member, and has taken over that one's data: what it alone had is gone
 * already, and everybody is where that other one is.
 */
function followed(group: Group, master: InstanceFacts, options: AdoptOptions, now: Millis): Adoption {
  if (group.lineage === undefined || master.role !== 'replica' || master.master?.up !== true) return none('none')
  const at = instanceAt(group, master.master.address)
  if (at === undefined || !isMaster(at, options, now)) return none('none')
  const kin = kinship(at, group.lineage, group.past)
  const isOurs = (kin !== 'foreign' && kin !== 'unsynced') || isAllThereIs(group, at, options, now)
  return isOurs ? { adopt: at.id, because: 'follows-it' } : none('none')
}

/** A member that came back empty, and everybody who lives has taken over what it has: of our history nothing is left. */
function isAllThereIs(group: Group, at: InstanceFacts, options: AdoptOptions, now: Millis): boolean {
  const living = group.instances.filter(instance => instance.id !== at.id && isUp(instance, options, now))
  return (
    at.seed &&
    living.every(each => (each.replid === at.replid && each.master?.up === true) || hasNothingOfOurs(each, group))
  )
}

/** It came back as a master with data that were never ours: it will be a replica of whoever is master. */
function hasNothingOfOurs(instance: InstanceFacts, group: Group): boolean {
  const kin = group.lineage && kinship(instance, group.lineage, group.past)
  return instance.role === 'master' && (kin === 'foreign' || kin === 'unsynced')
}

/** It answers, says master, and we have read its INFO, so that run id and history are known. */
function isMaster(instance: InstanceFacts, options: JudgeOptions, now: Millis): boolean {
  return (
    instance.role === 'master' &&
    instance.infoAt !== undefined &&
    instance.infoAt >= instance.roleSince &&
    !instance.loading &&
    !instance.denied &&
    isUp(instance, options, now)
  )
}

function countFollowers(group: Group, master: InstanceFacts): number {
  return group.instances.filter(instance => follows(instance, lineageOf(master))).length
}

function none(because: 'settled' | 'waiting' | 'several-masters' | 'none'): Adoption {
  return { adopt: undefined, because }
}
