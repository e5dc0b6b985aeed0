/**
 * The same commands to our engine and to redis-server, and the same replies expected.
 *
 * Commands are made from a grammar: a row names a command and what its arguments are; each argument is drawn valid, at an
 * edge, or wrong. `SEED=7 COUNT=100000 npx vitest run --config test/vitest.config.ts test/interop/differential.test.ts`
 * repeats a run or makes it longer; a failure prints its seed and the commands that led to it.
 */
import { expect, onTestFinished } from 'vitest'
import { digestOf, digestOfKey } from '../../src/engine/digest.js'
import { SortedSetValue } from '../../src/engine/types/sorted-set.js'
import { type Frame, itemsOf, textOf } from '../../src/resp/protocol.js'
import { EngineDouble, seededRandom } from '../support/engine-double.js'
import { requireReal } from '../support/real.js'
import { type RedisProcess, startRedis } from '../support/redis-process.js'
import { acceptedDifference, commandMaker, isDamagedSketch, isUnordered } from './differential-grammar.js'

const SEED = Number(process.env.SEED ?? 1)
const COUNT = Number(process.env.COUNT ?? 6000)
/** What comes before it has been seen: a failure says where to begin. */
const FROM = Number(process.env.FROM ?? 0)
/** Commands per round trip. After each batch the data sets are compared too. */
const BATCH = 200
/** After so many commands both sides start afresh, so that the way to a difference stays short. */
const EPISODE = 1000

const redis = requireReal('redis-server')

redis.test(
  `${COUNT} commands of seed ${SEED} get the replies of redis-server`,
  async () => {
    const server = await startRedis('--enable-debug-command', 'yes')
    onTestFinished(() => server.stop())
    // Keys whose time was over when they were set are removed when somebody asks for them, on both sides.
    await server.call([['DEBUG', 'SET-ACTIVE-EXPIRE', '0']])
    for (let done = FROM; done < COUNT; done += EPISODE) {
      const episode = SEED * 1_000_003 + done
      await play(server, episode, done, (done / EPISODE) % 2 === 0 ? 2 : 3)
    }
  },
  // A millisecond each, and many times that on a busy machine.
  Math.max(60_000, COUNT * 20),
)

/** A fresh start, then commands in batches; replies and, after each batch, the digests of all data must be equal. */
async function play(server: RedisProcess, seed: number, from: number, resp: 2 | 3): Promise<void> {
  const ours = new EngineDouble(seed)
  ours.resp = resp
  const make = commandMaker(seededRandom(Math.imul(seed, 0x9e3779b1)))
  const history: string[] = []
  const fail = (what: string) =>
    expect.fail(`${what}\nSEED=${SEED} FROM=${from}, in RESP${resp}, after:\n${history.slice(-30).join('\n')}`)

  await server.call([['HELLO', String(resp)], ['SELECT', '0'], ['FLUSHALL']])
  for (let done = 0; done < EPISODE; done += BATCH) {
    const commands = Array.from({ length: BATCH }, make)
    const theirs = await server.call([...commands, ['DEBUG', 'DIGEST']])
    ours.now = Date.now()
    for (const [index, command] of commands.entries()) {
      history.push(command.map(word => JSON.stringify(word)).join(' '))
      const answer = answerOf(ours, command)
      const expected = theirs[index] as Frame
      if (isDamagedSketch(command, answer)) return
      const difference = compare(command, answer, expected)
      if (difference !== undefined && acceptedDifference(command, answer, expected) === undefined) fail(difference)
    }
    const digest = digestOf(ours.engine.databases)
    if (digest === textOf(theirs[BATCH])) continue
    const difference = await explain(server, ours)
    if (difference !== undefined) fail(difference)
    return
  }
}

/**
 * Which key makes the digests differ. Stored distances may do so in their last bit, which is the mathematical library's:
 * that ends the episode, as later ranges may differ by it.
 */
async function explain(server: RedisProcess, ours: EngineDouble): Promise<string | undefined> {
  let distances = 0
  for (const db of ours.engine.databases) {
    const [, listed] = await server.call([
      ['SELECT', String(db.index)],
      ['KEYS', '*'],
    ])
    const names = new Set([...itemsOf(listed).map(item => textOf(item) as string), ...db.table.keys()])
    for (const name of names) {
      const [value] = await server.call([['DEBUG', 'DIGEST-VALUE', name]])
      const theirs = textOf(itemsOf(value)[0])
      if (theirs === digestOfKey(db, name)) continue
      const [entries] = await server.call([['ZRANGE', name, '0', '-1', 'WITHSCORES']])
      const held = db.get(name)
      if (held instanceof SortedSetValue && sameButLastBits(held, entries)) distances++
      else return `the data differ at ${JSON.stringify(name)} of database ${db.index}`
    }
  }
  return distances > 0 ? undefined : 'the data differ, but no key does'
}

function sameButLastBits(ours: SortedSetValue, theirs: Frame | undefined): boolean {
  const expected = itemsOf(theirs)
    .flatMap(item => ('items' in item ? item.items : [item]))
    .map(item => ('value' in item ? item.value : undefined))
  let same = expected.length === ours.size * 2
  let at = 0
  ours.forEach((member, score) => {
    const other = Number(expected[at + 1])
    same &&= expected[at] === member && Math.abs(score - other) <= Math.abs(score) * 4 * Number.EPSILON
    at += 2
  })
  return same
}

function answerOf(ours: EngineDouble, command: readonly string[]): Frame {
  const answer = ours.run(...command)
  if ('type' in answer) return answer
  throw new Error(`${command.join(' ')} waits`)
}

function compare(command: readonly string[], ours: Frame, theirs: Frame): string | undefined {
  const unordered = isUnordered(command)
  const a = show(ours, unordered)
  const b = show(theirs, unordered)
  return a === b ? undefined : `${JSON.stringify(command)}\n  ours:   ${a}\n  theirs: ${b}`
}

function show(frame: Frame, unordered: number): string {
  if (!('items' in frame)) return `${frame.type}:${'value' in frame ? JSON.stringify(String(frame.value)) : ''}`
  if (unordered === 3)
    return `page[${itemsOf(frame.items[1])
      .map(item => show(item, 0))
      .sort()
      .join(' ')}]`
  let items = frame.items.map(item => show(item, 0))
  if (unordered === 2)
    items = Array.from({ length: items.length / 2 }, (_, at) => `${items[at * 2]}=${items[at * 2 + 1]}`)
  if (unordered > 0) items.sort()
  return `${frame.type}[${items.join(' ')}]`
}
