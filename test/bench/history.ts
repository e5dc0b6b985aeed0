/**
 * What clients saw, for as long as one likes: `npm run bench:history -- [reads] [seed]`.
 *
 * Twenty-four clients at four levels write keys of several kinds in every way they can be written, and read what they and
 * others wrote (history-clients.ts), while replicas, links, connections and processes suffer (history-world.ts). Every
 * round has keys of its own and is checked when it ends. It ends with exit code 1 at the first round that no single Redis
 * could have shown.
 *
 * MINUTES ends it earlier; OURS=1 has our own nodes instead of redis-server; BUILD names another build than `dist`; CALM=1
 * leaves the faults out; SWITCHES=1 switches the master and kills it as well; TAPS=all reads its stream; WORKERS has several
 * workers: then `causal` holds but for a window, which is reported.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  ages,
  bounded,
  causal,
  explained,
  linearizable,
  type Operation,
  type Sight,
  session,
  unknownVersions,
  type Violation,
  withoutLost,
} from '../support/history.js'
import { seeded } from '../support/random.js'
import { CLIENTS, type Round, use } from './history-clients.js'
import { World } from './history-world.js'

const READS = Number(process.argv[2] ?? 100_000)
const SEED = Number(process.argv[3] ?? 1)
const WORKERS = Number(process.env.WORKERS ?? 1)
const SWITCHES = process.env.SWITCHES === '1'
const CALM = process.env.CALM === '1'
const ROUND_MS = SWITCHES ? 15_000 : 10_000
const BOUND_MS = 50
/** What `bounded` may be off by here: proofs carry their age, so it is only how long a command is on its way to the proxy's clock. */
const STEP_MS = 2

interface Level {
  readonly name: string
  check(history: readonly Operation[], kept: readonly Operation[]): Violation[]
  /** How old what is shown of a key that comes and goes may be. */
  readonly ageMs: number | 'never'
}

/** `kept` is the history without what failovers lost; whoever saw any of that must have been told. */
const levels: readonly Level[] = [
  {
    name: 'causal',
    check: (history, kept) => (WORKERS > 1 ? [] : [...causal(kept), ...session(history)]),
    ageMs: WORKERS > 1 ? 'never' : 0,
  },
  { name: 'session', check: history => session(history), ageMs: 'never' },
  { name: 'strong', check: (_, kept) => linearizable(kept), ageMs: 0 },
  { name: `bounded ${BOUND_MS}`, check: (_, kept) => bounded(BOUND_MS + STEP_MS)(kept), ageMs: BOUND_MS + STEP_MS },
]

const chance = seeded(SEED)
const counts = { reads: 0, writes: 0, doubtful: 0, told: 0, heard: 0, rounds: 0, violations: 0, refused: 0 }
const readsAt = new Map<string, number>()
/** How much older than `causal` allows its reads were, with several workers. */
const late: number[] = []

async function main(): Promise<void> {
  const world = await World.start(
    {
      build: process.env.BUILD ?? 'dist',
      ours: process.env.OURS === '1',
      taps: process.env.TAPS ?? 'replicas',
      workers: WORKERS,
      switches: SWITCHES,
    },
    chance,
  )
  const began = performance.now()
  try {
    const endsAt = began + Number(process.env.MINUTES ?? 1e6) * 60_000
    while (counts.reads < READS && counts.violations === 0 && performance.now() < endsAt) await run(world)
  } finally {
    const share =
      (await world.proxy.count('lagrange_read_routing_total', 'decision="replica"')) /
      ((await world.proxy.count('lagrange_read_routing_total', 'decision="replica"')) +
        (await world.proxy.count('lagrange_read_routing_total', 'decision="master"')))
    report((performance.now() - began) / 1000, share, world)
    await world.stop()
  }
  process.exitCode = counts.violations === 0 ? 0 : 1
}

async function run(world: World): Promise<void> {
  const number = counts.rounds++
  const until = performance.now() + ROUND_MS
  const round: Round = {
    port: world.proxy.port,
    name: `r${number}`,
    until,
    barriers: number % 2 === 1,
    switches: SWITCHES,
    history: [],
    sights: [],
    gaps: [],
    unsure: new Map(),
    refused: 0,
    heard: 0,
    wrong: [],
  }
  const trouble = CALM ? Promise.resolve() : world.disturb(until)
  const clients = Array.from({ length: CLIENTS }, (_, client) =>
    use(round, client, levelOf(client).name, seeded(SEED * 1_000_003 + number * 101 + client)),
  )
  await Promise.all([trouble, ...clients])
  check(round, world.deaths)
  counts.refused += round.refused
  counts.heard += round.heard
  if (counts.rounds % 6 === 0)
    console.log(
      `${counts.rounds} rounds, ${counts.reads} reads, ${counts.writes} writes, ${counts.violations} violations`,
    )
  await sleep(10)
}

function levelOf(client: number): Level {
  return levels[Math.floor(client) % levels.length] as Level
}

function check({ name, history, sights, gaps, wrong, unsure }: Round, deaths: readonly number[]): void {
  const kept = withoutLost(history, deaths)
  for (const level of levels) {
    const of = (operations: readonly Operation[]): readonly Operation[] =>
      operations.filter(({ does, client }) => does === 'write' || levelOf(client) === level)
    const seen = of(history)
    const those = sightsOf(level, sights, deaths).filter(
      ({ key, to }) => to < (unsure.get(key) ?? Number.POSITIVE_INFINITY),
    )
    const reads =
      seen.filter(({ does }) => does === 'read').length + those.filter(({ does }) => does === 'sight').length
    readsAt.set(level.name, (readsAt.get(level.name) ?? 0) + reads)
    counts.reads += reads
    const violations = [
      ...level.check(seen, of(kept)),
      ...unknownVersions(seen),
      ...explained(those, level.ageMs, !level.name.startsWith('bounded')),
    ]
    if (WORKERS > 1 && level.name === 'causal') late.push(...ages(of(kept)))
    const [first] = violations
    if (first !== undefined && 'version' in first.operation) explain(history, first.operation)
    else if (first !== undefined) explainSight(sights, first.operation as Sight)
    note(
      violations.length,
      violations.slice(0, 5).map(violation => `${level.name} ${JSON.stringify(violation)}`),
      name,
    )
  }
  const acknowledged = new Set<string>()
  for (const { does, key, version, to } of kept) {
    if (does === 'write' && to !== Number.POSITIVE_INFINITY) acknowledged.add(`${key} ${version}`)
  }
  const missing = gaps.filter(({ key, version }) => acknowledged.has(`${key} ${version}`))
  note(
    missing.length,
    missing.slice(0, 5).map(gap => `acknowledged and missing: ${JSON.stringify(gap)}`),
    name,
  )
  note(wrong.length, wrong.slice(0, 5), name)
  counts.writes += history.filter(({ does }) => does === 'write').length
  counts.doubtful += history.filter(({ does, to }) => does === 'write' && to === Number.POSITIVE_INFINITY).length
  counts.told += history.filter(({ does }) => does === 'told').length
}

/** How the key came to what it was shown to be, and what came after. */
function explain(history: readonly Operation[], { key, version }: Operation): void {
  for (const one of history) {
    if (one.key === key && one.does === 'write' && Math.abs(one.version - version) <= 2) console.log(one)
  }
}

function explainSight(sights: readonly Sight[], { key, from, to }: Sight): void {
  const steps = sights.filter(one => one.key === key && one.does === 'step')
  for (const one of steps) if (one.from < to + 100 && one.to > from - 2000) console.log(JSON.stringify(one))
}

/** What a failover loses of these cannot be told from the values: their history ends with the first death. */
function sightsOf(level: Level, sights: readonly Sight[], deaths: readonly number[]): readonly Sight[] {
  const first = sights[0]?.from ?? 0
  const ends = Math.min(...deaths.filter(death => death > first), Number.POSITIVE_INFINITY)
  return sights.filter(({ does, client, to }) => does === 'step' || (levelOf(client) === level && to < ends))
}

function note(violations: number, texts: readonly string[], round: string): void {
  counts.violations += violations
  for (const text of texts) console.log(round, text)
}

function report(seconds: number, share: number, { faults, deaths }: World): void {
  const levelsSeen = [...readsAt].map(([level, reads]) => `${level} ${reads}`).join(', ')
  console.log(`${counts.reads} reads (${levelsSeen}) in ${Math.round(seconds)} s, ${counts.rounds} rounds`)
  console.log(
    `${counts.writes} writes, ${counts.doubtful} in doubt; ${counts.heard} messages; at replicas ${(share * 100).toFixed(1)} %`,
  )
  console.log([...faults].map(fault => fault.join(' ')).join(', '))
  console.log(
    `${counts.refused} reads got no answer; ${counts.told} connections told of lost writes, ${deaths.length} deaths`,
  )
  if (late.length > 0) {
    late.sort((a, b) => a - b)
    const at = (part: number): string => (late[Math.floor(late.length * part)] ?? 0).toFixed(1)
    console.log(
      `older than causal by what another worker wrote: ${late.length}, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(1 - 1e-9)} ms`,
    )
  }
  console.log(`${counts.violations} violations, SEED ${SEED}`)
}

await main()
