/**
 * Time comes from outside: whoever decides gets `now`, whoever acts gets a Clock.
 */
import { performance } from 'node:perf_hooks'
import type { Millis, UnixMillis } from './units.js'

export interface Clock {
  /** Monotonic milliseconds; only differences mean something. */
  now(): Millis
  /** Wall clock, for what people and Redis' expiry read. */
  wall(): UnixMillis
  /** Run `task` once, `delay` from now. The returned function cancels it. */
  after(delay: Millis, task: () => void): () => void
}

/** The clock of the machine. Its timers do not keep a process alive that has nothing else to do. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(delay, task) {
    const timer = setTimeout(task, delay)
    return () => clearTimeout(timer)
  },
}

/** Repeats `task` every `period`, measured from the end of the last run, until the returned function is called. */
export function every(clock: Clock, period: Millis, task: () => void): () => void {
  let cancel = clock.after(period, run)
  let stopped = false
  function run(): void {
    task()
    if (!stopped) cancel = clock.after(period, run)
  }
  return () => {
    stopped = true
    cancel()
  }
}
