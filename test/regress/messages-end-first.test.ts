/**
 * When a master dies, both connections of a sentinel end, in any order. Where the one for messages was first, it was opened
 * again at once, and the one for commands, a millisecond later, was held to have been tried already: no refusal was counted,
 * and the death was seen by silence, after most of down-after, instead of by evidence.
 */
import { expect, test } from 'vitest'
import { QuorumSim } from '../support/sim-quorum.js'

for (const first of ['commands', 'messages'] as const) {
  test(`a dead master is replaced by evidence when its connection for ${first} ends first`, () => {
    const sim = new QuorumSim({ seed: 7 })
    const met = (): boolean => sim.sentinels.every(({ council }) => council.masters.get('m')?.peers.size === 2)
    expect(sim.runUntil(met, 20_000)).toBe(true)
    const from = sim.now
    const [master] = sim.servers
    if (master !== undefined) master.alive = false
    sim.reset(6001, first)
    expect(sim.runUntil(() => sim.agreed(), 20_000)).toBe(true)
    // Of virtual time; down-after is a second.
    expect(sim.now - from).toBeLessThanOrEqual(300)
  })
}
