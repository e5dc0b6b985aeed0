/**
 * Does the simulation see anything at all? Mistakes that somebody might make are planted into the machines, one at a
 * time; each must be seen within some lives. A mistake that is not seen means that a check is missing.
 */
import { afterEach, expect, test, vi } from 'vitest'
import { Observer } from '../../src/observer/observer.js'
import type * as Acks from '../../src/routing/acks.js'
import type * as Adopt from '../../src/topology/adopt.js'
import type * as Candidate from '../../src/topology/candidate.js'
import type * as Detector from '../../src/topology/detector.js'
import type * as Diagnose from '../../src/topology/diagnose.js'
import type * as Failover from '../../src/topology/failover.js'
import type * as Lineage from '../../src/topology/lineage.js'
import type * as Operation from '../../src/topology/operation.js'
import type * as Promises from '../../src/topology/promises.js'
import type * as Repair from '../../src/topology/repair.js'
import type * as Switchover from '../../src/topology/switchover.js'
import { SimConfirming } from '../support/sim-acks.js'
import { Simulation, Violation, type Weather } from '../support/simulation.js'

type Mistake = (typeof mistakes)[number][0]

/** Each with the weather in which it does harm. */
const mistakes = [
  ['promote-least-data', 'crash'],
  ['forget-lineage', 'crash'],
  ['believe-first-answer', 'gentle'],
  ['hold-nothing', 'gentle'],
  ['promote-before-demoting', 'gentle'],
  ['never-restore', 'gentle'],
  ['release-too-early', 'gentle'],
  ['never-dead', 'crash'],
  ['never-silent', 'freeze'],
  ['down-after-a-moment', 'gentle'],
  ['no-veto', 'island'],
  ['act-when-just-back', 'island'],
  ['no-anti-flapping', 'freeze'],
  ['never-demote-the-returned', 'crash'],
  ['publish-before-confirmed', 'storm'],
  ['adopt-the-empty', 'amnesia'],
  ['forget-promises', 'promises'],
  ['confirm-by-one-less', 'promises'],
  ['confirm-while-replaced', 'promises'],
  ['dead-are-harmless', 'promises'],
  ['adopt-who-returns', 'promises'],
] as const satisfies readonly (readonly [string, Weather])[]

let mistake: Mistake | undefined
afterEach(() => {
  mistake = undefined
  vi.restoreAllMocks()
})

test.each(mistakes)('%s is seen (%s)', { timeout: 120_000 }, async (name, weather) => {
  mistake = name
  if (name === 'confirm-while-replaced') vi.spyOn(SimConfirming.prototype, 'metMaster', 'get').mockReturnValue(true)
  if (name === 'act-when-just-back') vi.spyOn(Observer.prototype, 'tilted', 'get').mockReturnValue(false)
  expect(await livesUntilSeen(weather)).toBeLessThanOrEqual(LIVES_MAX)
})

const LIVES_MAX = 300

async function livesUntilSeen(weather: Weather): Promise<number> {
  for (let seed = 1; seed <= LIVES_MAX; seed++) {
    try {
      await new Simulation(seed, weather).run()
    } catch (error) {
      // An invariant of the code itself, or a check of the simulation: seen is seen.
      if (error instanceof Violation || (error as Error).name === 'InvariantError') return seed
      throw error
    }
  }
  return Number.POSITIVE_INFINITY
}

vi.mock('../../src/topology/candidate.js', async importOriginal => {
  const actual = await importOriginal<typeof Candidate>()
  const selectCandidate: typeof actual.selectCandidate = (group, rules, options, now) => {
    const selection = actual.selectCandidate(group, rules, options, now)
    if (mistake !== 'promote-least-data' || rules.planned) return selection
    const fit = group.instances.filter(each => actual.refuse(each, group, rules, options, now) === undefined)
    return { ...selection, candidate: fit.sort(actual.compareCandidates).at(-1)?.id }
  }
  return { ...actual, selectCandidate }
})

vi.mock('../../src/topology/lineage.js', async importOriginal => {
  const actual = await importOriginal<typeof Lineage>()
  return { ...actual, kinship: forget('forget-lineage', actual.kinship, 'same') }
})

vi.mock('../../src/topology/detector.js', async importOriginal => {
  const actual = await importOriginal<typeof Detector>()
  const judge: typeof actual.judge = (liveness, options, now) => {
    const deaths = mistake === 'never-dead' ? 0 : liveness.deaths
    const silentSince = mistake === 'never-silent' ? undefined : liveness.silentSince
    const downAfterMs = mistake === 'down-after-a-moment' ? options.downAfterMs / 10 : options.downAfterMs
    return actual.judge({ ...liveness, deaths, silentSince }, { downAfterMs }, now)
  }
  const forgive: typeof actual.forgive = (liveness, now) =>
    mistake === 'act-when-just-back' ? liveness : actual.forgive(liveness, now)
  return { ...actual, judge, forgive }
})

vi.mock('../../src/topology/diagnose.js', async importOriginal => {
  const actual = await importOriginal<typeof Diagnose>()
  const diagnose: typeof actual.diagnose = (group, options, now) => {
    const found = actual.diagnose(group, options, now)
    if (mistake !== 'no-veto' || found.name !== 'master-unreachable-replicas-linked') return found
    return { ...found, name: 'master-silent', evidence: 'silence' }
  }
  return { ...actual, diagnose, hasLostHistory: forget('adopt-the-empty', actual.hasLostHistory, false) }
})

vi.mock('../../src/topology/operation.js', async importOriginal => {
  const actual = await importOriginal<typeof Operation>()
  return { ...actual, heldBackMs: forget('no-anti-flapping', actual.heldBackMs, 0) }
})

vi.mock('../../src/topology/promises.js', async importOriginal => {
  const actual = await importOriginal<typeof Promises>()
  const callRoll: typeof actual.callRoll = (before, group) => {
    const roll = actual.callRoll(before, group)
    if (mistake !== 'dead-are-harmless') return roll
    return { ...roll, absent: new Map([...roll.absent].map(([id, { since }]) => [id, { since, offset: 0 }])) }
  }
  return { ...actual, callRoll, honours: forget('forget-promises', actual.honours, true) }
})

vi.mock('../../src/topology/adopt.js', async importOriginal => {
  const actual = await importOriginal<typeof Adopt>()
  const chooseMaster: typeof actual.chooseMaster = (group, options, now) =>
    actual.chooseMaster(group, mistake === 'adopt-who-returns' ? { ...options, mayAdopt: () => true } : options, now)
  return { ...actual, chooseMaster }
})

vi.mock('../../src/routing/acks.js', async importOriginal => {
  const actual = await importOriginal<typeof Acks>()
  const confirmedUpTo: typeof actual.confirmedUpTo = (applied, count) => {
    if (mistake !== 'confirm-by-one-less') return actual.confirmedUpTo(applied, count)
    return count === 1 ? Number.POSITIVE_INFINITY : actual.confirmedUpTo(applied, count - 1)
  }
  return { ...actual, confirmedUpTo }
})

vi.mock('../../src/topology/repair.js', async importOriginal => {
  const actual = await importOriginal<typeof Repair>()
  const planRepairs: typeof actual.planRepairs = (group, options, now) =>
    actual
      .planRepairs(group, options, now)
      .filter(repair => repair.do !== (mistake === 'never-demote-the-returned' ? 'demote' : undefined))
  return { ...actual, planRepairs }
})

vi.mock('../../src/topology/failover.js', async importOriginal => {
  const actual = await importOriginal<typeof Failover>()
  const stepFailover: typeof actual.stepFailover = (failover, event, options, now) => {
    const stepped = actual.stepFailover(failover, event, options, now)
    if (mistake !== 'publish-before-confirmed') return stepped
    const effects = stepped.effects.map(effect =>
      effect.do === 'promote'
        ? ({ do: 'publish', id: effect.id, epoch: effect.epoch, promotion: NO_PROMOTION } as const)
        : effect,
    )
    return { ...stepped, effects }
  }
  return { ...actual, stepFailover }
})

const NO_PROMOTION = { lineage: { replid: '', replid2: undefined, secondOffset: 0 }, runId: undefined, offset: 0 }

vi.mock('../../src/topology/switchover.js', async importOriginal => {
  const actual = await importOriginal<typeof Switchover>()
  const stepSwitchover: typeof actual.stepSwitchover = (before, event, options, now) => {
    const { state } = before
    // What it was told is not what it hears.
    let heard = event
    const asks = state.step === 'catch_up' || state.step === 'final_offset'
    if (mistake === 'believe-first-answer' && event.type === 'answered' && asks) {
      heard = { ...event, offset: Number.MAX_SAFE_INTEGER }
    }
    const stepped = actual.stepSwitchover(before, heard, options, now)
    if (mistake === 'hold-nothing' && stepped.effects[0]?.do === 'hold') {
      return actual.stepSwitchover(stepped.switchover, { type: 'held', drained: true }, options, now)
    }
    const demotes = stepped.effects.some(effect => effect.do === 'demote')
    if (mistake === 'promote-before-demoting' && demotes) {
      const { plan } = before
      const until = now + options.promoteTimeoutMs
      const switchover = { ...stepped.switchover, state: { step: 'send_slaveof_noone', until } as const }
      return { switchover, effects: [{ do: 'promote', id: plan.to, epoch: plan.epoch }] }
    }
    if (mistake === 'release-too-early' && demotes) {
      return { ...stepped, effects: [{ do: 'release' }, ...stepped.effects] }
    }
    const isKept = (effect: Switchover.SwitchEffect): boolean => mistake !== 'never-restore' || effect.do !== 'restore'
    return { ...stepped, effects: stepped.effects.filter(isKept) }
  }
  return { ...actual, stepSwitchover }
})

/** The function, which answers `instead` while this mistake is made. */
function forget<Given extends readonly never[], Answer>(
  name: Mistake,
  actual: (...given: Given) => Answer,
  instead: Answer,
): (...given: Given) => Answer {
  return (...given) => (mistake === name ? instead : actual(...given))
}
