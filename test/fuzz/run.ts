/**
 * `npm run fuzz -- [inputs] [seed]`: feeds every target with so many inputs, the parsers, which are quick, with eight times as
 * many, and prints what came of it. An input that is not
 * done after ten seconds is a hang. Exits with 1 at the first that fails, with the command that repeats it.
 */
import { Chance } from './inputs.js'
import { nodeSession, proxySession, replyParser, requestParser } from './targets.js'

const HANG_MS = 10_000

const [inputsText = '50000', seedText = String(Date.now() & 0x7fffffff)] = process.argv.slice(2)
const inputs = Number(inputsText)
const firstSeed = Number(seedText)

let total = 0
for (const [make, times] of [
  [requestParser, 8],
  [replyParser, 8],
  [nodeSession, 1],
  [proxySession, 1],
] as const) {
  const target = await make()
  const wanted = inputs * times
  const began = performance.now()
  let slowestMs = 0
  for (let index = 0; index < wanted; index++) {
    const seed = (firstSeed + index) | 0
    const from = performance.now()
    try {
      await target.feed(new Chance(seed))
    } catch (error) {
      process.stderr.write(`${target.name}: ${(error as Error).stack}\nagain: npm run fuzz -- 1 ${seed}\n`)
      process.exit(1)
    }
    const tookMs = performance.now() - from
    if (tookMs > slowestMs) slowestMs = tookMs
    if (tookMs > HANG_MS) {
      process.stderr.write(`${target.name}: an input took ${Math.round(tookMs)} ms\nagain: npm run fuzz -- 1 ${seed}\n`)
      process.exit(1)
    }
  }
  await target.close()
  total += wanted
  const seconds = (performance.now() - began) / 1000
  const rate = Math.round(wanted / seconds)
  process.stdout.write(`${target.name}: ${wanted} inputs, ${rate}/s, the slowest ${slowestMs.toFixed(1)} ms\n`)
}
process.stdout.write(`${total} inputs from seed ${firstSeed}: no crash, no hang\n`)
process.exit(0)
