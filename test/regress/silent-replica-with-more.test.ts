/**
 * The master dies while the replica that has most is silent: cut off, or slow to be heard again. It was left out as down, or
 * its answer was waited for on a connection that had lost the question, and another one with less was promoted.
 * Found by 100,000 lives of the simulation.
 */
import { test } from 'vitest'
import { Simulation } from '../support/simulation.js'

for (const [seed, weather] of [
  [2885, 'promises'],
  [2271, 'storm'],
] as const) {
  test(`${weather}, seed ${seed}`, () => new Simulation(seed, weather).run())
}
