/**
 * Never all to the master by accident. When lag rises everywhere, reads of level `bounded` leave the replicas for the
 * master, all at once, and what made the lag rise gets worse. Two rails, both off unless they are set, as both break the
 * bound to spare the master; every read they touch is counted by their name.
 *
 *     minServing 2        within the bound: A        B 80 ms, C 300 ms behind     A and B serve
 *     masterShareMax 0.2  within the bound: nobody   a fifth goes to the master   the rest to the freshest
 */
import type { Millis } from '../base/units.js'
import type { Candidate, Choice } from './choose.js'

export interface RailOptions {
  /** So many replicas serve at least, the freshest, whatever their lag; 0: only those within the bound. */
  readonly minServing: number
  /** The part of the reads that the master may answer; 1: all of them. */
  readonly masterShareMax: number
}

/** How much one read weighs in the smoothed share: the last few hundred count. */
const WEIGHT = 1 / 256
/** Reads go to the master again when its share has fallen to this part of what it may be. */
const RELEASE = 0.8

export class GuardRails<C extends Candidate> {
  #share = 0
  #capping = false

  constructor(private readonly options: RailOptions) {}

  /** The part of the reads of level `bounded` that went to the master lately. */
  get share(): number {
    return this.#share
  }

  /** Looks at a choice that was made by the bound alone, and makes another where a rail says so. */
  apply(choice: Choice<C>, candidates: readonly C[], boundMs: Millis, now: Millis): void {
    const { minServing } = this.options
    if (minServing > 0 && this.#countWithin(candidates, boundMs, now) < minServing) {
      this.#chooseAmongFreshest(choice, candidates, minServing, now)
    }
    if (choice.to === undefined && this.#isTooMuch()) {
      this.#chooseAmongFreshest(choice, candidates, 1, now)
      if (choice.to !== undefined) choice.because = 'master-spared'
    }
    this.#share += ((choice.to === undefined ? 1 : 0) - this.#share) * WEIGHT
  }

  /** Once it is too much it is until it has fallen well below, so that it does not change with every read. */
  #isTooMuch(): boolean {
    const { masterShareMax } = this.options
    if (this.#share > masterShareMax) this.#capping = true
    else if (this.#share < masterShareMax * RELEASE) this.#capping = false
    return this.#capping
  }

  #countWithin(candidates: readonly C[], boundMs: Millis, now: Millis): number {
    return candidates.filter(one => one.usable && ageOf(one, now) <= boundMs).length
  }

  /** Among the `count` freshest, the one with the least to do. */
  #chooseAmongFreshest(choice: Choice<C>, candidates: readonly C[], count: number, now: Millis): void {
    const freshest = candidates
      .filter(one => one.usable)
      .sort((a, b) => compare(ageOf(a, now), ageOf(b, now)))
      .slice(0, count)
    let best: C | undefined
    for (const one of freshest) if (best === undefined || loadOf(one) < loadOf(best)) best = one
    if (best === undefined) return
    if (choice.to !== best) choice.because = 'min-serving'
    choice.to = best
  }
}

/** How old its data may be; those nobody knows anything of come last. */
function ageOf({ lagMs, lagAt }: Candidate, now: Millis): Millis {
  return lagMs === undefined ? Number.POSITIVE_INFINITY : lagMs + Math.max(0, now - lagAt)
}

function loadOf({ pending, latencyMs }: Candidate): number {
  return (pending + 1) * latencyMs
}

/** Two that are both unknown are alike. */
function compare(a: number, b: number): number {
  return a === b ? 0 : a - b
}
