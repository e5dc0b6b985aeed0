/**
 * A master that says nothing any more, and in whose place there is none. It may be dead; it may as well be busy with one long
 * command, as KEYS, DEBUG RELOAD or a script can be. So nothing more is sent to it, and what it has been sent may be answered
 * for as long as nobody is master instead, as it would be without us.
 *
 *     master ──silent──▶ silent ──heard again──▶ master, by the connections it had: commands keep their order
 *                          └──another is master, or its time is over──▶ retired
 */
import type { Millis } from '../base/units.js'
import type { Instance } from './instance.js'

/** Then nobody waits for it any more. */
const PATIENCE_MS: Millis = 60_000

export class Silent {
  #instance: Instance | undefined
  #until: Millis = 0

  begins(instance: Instance, now: Millis): void {
    this.#instance = instance
    this.#until = now + PATIENCE_MS
    for (const upstream of instance.connections) upstream.confirmed = false
  }

  /** It stands among the replicas meanwhile, and may be silent for longer than they may. */
  is(instance: Instance): boolean {
    return this.#instance === instance
  }

  /** There is a master. Answers who is none any more; undefined: it is the one that was silent, or there was none. */
  ends(master: Instance, isSucceeded: boolean): Instance | undefined {
    const instance = this.#instance
    this.#instance = undefined
    return instance === master && !isSucceeded ? undefined : instance
  }

  expire(now: Millis, retire: (instance: Instance) => void): void {
    if (this.#instance === undefined || now < this.#until) return
    retire(this.#instance)
    this.#instance = undefined
  }
}
