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

/** Node's timers count in 31 bits, and fire at once when they are given more. */
const LONGEST_MS: Millis = 2 ** 31 - 1

/** The clock of the machine. Its timers do not keep a process alive that has nothing else to do. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(delay, task) {
    if (delay > LONGEST_MS) {
      let cancel = systemClock.after(LONGEST_MS, () => {
        cancel = systemClock.after(delay - LONGEST_MS, task)
      })
      return () => cancel()
    }
    const timer = setTimeout(task, delay)
    return () => clearTimeout(timer)
  },
}

/** The wall clock may be off by so much; Redis' expiry counts in milliseconds. */
const WALL_AGE: Millis = 0.5

/**
 * Time for a loop that needs it at every step: reading the machine's clocks costs as much as a small command. One
 * reading ends a step and begins the next, and the wall clock is read again only when it may have moved on.
 */
export class Stopwatch {
  /** When the present step began, by the monotonic clock. */
  startedAt: Millis
  #wall: UnixMillis
  #wallReadAt: Millis

  constructor(private readonly clock: Clock) {
    this.startedAt = this.#wallReadAt = clock.now()
    this.#wall = clock.wall()
  }

  /** The loop begins, and its first step, at a time that was read just now. */
  start(now: Millis): void {
    this.startedAt = now
  }

  /** The present step is over and the next one begins; answers when. */
  lap(): Millis {
    return (this.startedAt = this.clock.now())
  }

  /** The wall clock when the present step began. */
  wall(): UnixMillis {
    if (this.startedAt - this.#wallReadAt >= WALL_AGE) {
      this.#wall = this.clock.wall()
      this.#wallReadAt = this.startedAt
    }
    return this.#wall
  }
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
