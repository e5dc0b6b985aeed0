/**
 * Whatever happens: many lives of a group (test/support/simulation.ts), each from a seed.
 *
 *     SEED=42 npm run test:sim                 replays one, in every weather, and prints what happened
 *     SEED=42 npm run test:sim -- -t storm     in this one
 *     COUNT=100000 npm run test:sim            runs many (as many lives, all weathers together)
 *
 * By default a thousand lives, fewer only on a machine that is very slow; how many is printed.
 */
import { describe, expect, test } from 'vitest'
import { Simulation, type Weather, weathers } from '../support/simulation.js'

const { SEED, COUNT } = process.env
const LIVES = Number(COUNT ?? 1000) / weathers.length
const FIRST_SEED = Number(SEED ?? 1)
/** Of each weather, unless a number was asked for. */
const BUDGET_MS = COUNT === undefined ? 15_000 : Number.POSITIVE_INFINITY
const LIVES_MIN = 20

async function live(seed: number, weather: Weather): Promise<Simulation> {
  const simulation = new Simulation(seed, weather)
  await simulation.run().catch((error: Error) => {
    throw new Error(`SEED=${seed} npm run test:sim -- -t ${weather}\n${error.stack}`)
  })
  return simulation
}

describe('nothing that must not happen, and everything that must', () => {
  test.each(weathers)('in %s weather', { timeout: 86_400_000 }, async weather => {
    const lives = SEED === undefined ? LIVES : 1
    const startedAt = performance.now()
    let lived = 0
    let faults = 0
    while (lived < lives && (lived < LIVES_MIN || performance.now() - startedAt < BUDGET_MS)) {
      const simulation = await live(FIRST_SEED + lived, weather)
      faults += simulation.faults
      lived++
      if (SEED !== undefined) process.stdout.write(`${simulation.trace.join('\n')}\n`)
      // The runner wants a word now and then.
      if (lived % 20 === 0) await new Promise(setImmediate)
    }
    process.stdout.write(`${weather}: ${lived} lives, ${faults} faults\n`)
    expect(faults / lived).toBeGreaterThanOrEqual(20)
  })
})

test('the same seed gives the same history', async () => {
  for (const weather of weathers) {
    const [a, b] = [await live(7, weather), await live(7, weather)]
    expect(a.trace.length).toBeGreaterThan(20)
    expect(a.hash).toBe(b.hash)
  }
})
