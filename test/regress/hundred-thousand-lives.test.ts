/**
 * What 100,000 lives of the simulation found:
 *
 * - The master dies while the replica that has most is silent: cut off, or slow to be heard again. It was left out as down, or
 *   its answer was waited for on a connection that had lost the question, and another one with less was promoted.
 * - A switch waited three seconds for its report, and nobody else who came back was demoted meanwhile.
 * - A master was believed in that an order of ours, late, made a replica of one that came back empty: no way out, as a third
 *   one that had nothing of the group's either was not following yet.
 * - Somebody was believed to be the new master who had just been ordered to follow another one.
 * - A replica that had died, and was back and had confirmed a write, was still taken for harmless.
 */
import { test } from 'vitest'
import { Simulation } from '../support/simulation.js'

for (const [seed, weather] of [
  [2885, 'promises'],
  [2271, 'storm'],
  [4798, 'promises'],
  [5323, 'storm'],
  [6213, 'storm'],
  [11277, 'promises'],
  [11657, 'storm'],
] as const) {
  test(`${weather}, seed ${seed}`, () => new Simulation(seed, weather).run())
}
