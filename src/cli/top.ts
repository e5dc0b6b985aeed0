/**
 * `lagrange top`: who is master, who lags, and what is going on, drawn again and again. Rates are the difference of two
 * answers, so that nobody has to keep them on the other side.
 */
import { type TopologyDescription, type Traffic, topologyDescription, traffic } from '../admin/model.js'
import type { Io } from './io.js'
import { type OperatorOptions, speak } from './operator.js'
import { millis, topologyTable } from './tables.js'

export interface TopOptions extends OperatorOptions {
  readonly intervalMs: number
  /** Ends after so many pictures; 0: when interrupted. */
  readonly count: number
}

/** The other screen of a terminal, and home; what was there before comes back at the end. */
const ENTER = '\u001b[?1049h\u001b[?25l'
const LEAVE = '\u001b[?25h\u001b[?1049l'
const HOME_AND_CLEAR = '\u001b[H\u001b[J'

export function top(io: Io, options: TopOptions): Promise<number> {
  return speak(io, options, async client => {
    const signal = io.interrupted()
    let before: Traffic | undefined
    if (io.interactive) io.out(ENTER)
    try {
      for (let drawn = 0; !signal.aborted && (options.count === 0 || drawn < options.count); drawn++) {
        if (drawn > 0) await pause(options.intervalMs, signal)
        if (signal.aborted) break
        const [topology, now] = [
          await client.read('/api/v1/topology', topologyDescription),
          await client.read('/api/v1/traffic', traffic),
        ]
        if (options.json) io.out(`${JSON.stringify({ topology, rates: ratesOf(before, now) })}\n`)
        else io.out(`${io.interactive ? HOME_AND_CLEAR : ''}${picture(topology, ratesOf(before, now), io)}`)
        before = now
      }
    } finally {
      if (io.interactive) io.out(LEAVE)
    }
    return 0
  })
}

interface Rates {
  readonly clients: number
  readonly inFlight: number
  readonly held: number
  readonly commandsPerSecond: number | null
  readonly replicaShare: number | null
  readonly errorsPerSecond: number | null
  readonly readP99Ms: number | null
  readonly writeP99Ms: number | null
}

function ratesOf(before: Traffic | undefined, now: Traffic): Rates {
  const { clients, inFlight, held } = now
  if (before === undefined || now.at <= before.at) {
    const unknown = { commandsPerSecond: null, replicaShare: null, errorsPerSecond: null }
    return { clients, inFlight, held, ...unknown, readP99Ms: null, writeP99Ms: null }
  }
  const seconds = (now.at - before.at) / 1000
  const replica = now.commands.replica - before.commands.replica
  const reads = sum(now.durations.read) - sum(before.durations.read)
  return {
    clients,
    inFlight,
    held,
    commandsPerSecond: Math.max(0, (now.commands.master - before.commands.master + replica) / seconds),
    replicaShare: reads > 0 ? Math.min(1, replica / reads) : null,
    errorsPerSecond: Math.max(0, (now.errors - before.errors) / seconds),
    readP99Ms: quantileMs(now.durations.bounds, before.durations.read, now.durations.read, 0.99),
    writeP99Ms: quantileMs(now.durations.bounds, before.durations.write, now.durations.write, 0.99),
  }
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}

/** The upper bound of the bucket that holds the quantile; null when nothing was counted. */
function quantileMs(
  bounds: readonly number[],
  before: readonly number[],
  after: readonly number[],
  q: number,
): number | null {
  const counts = after.map((count, at) => count - (before[at] ?? 0))
  const total = sum(counts)
  if (total <= 0) return null
  let seen = 0
  const at = counts.findIndex(count => (seen += count) >= q * total)
  return 1000 * (bounds[at] ?? bounds.at(-1) ?? 0)
}

function picture(topology: TopologyDescription, rates: Rates, io: Io): string {
  const number = (value: number | null, digits = 0): string => (value === null ? '-' : value.toFixed(digits))
  const share = rates.replicaShare === null ? '-' : `${Math.round(100 * rates.replicaShare)} %`
  const p99 = (value: number | null): string => (value === null ? '-' : `<= ${millis(value)} ms`)
  return [
    `lagrange top  ${new Date(topology.at).toISOString()}  ${topology.workers} worker(s)`,
    `commands/s ${number(rates.commandsPerSecond)}   reads on replicas ${share}   errors/s ${number(rates.errorsPerSecond, 1)}   clients ${rates.clients}   in flight ${rates.inFlight}   held ${rates.held}`,
    `p99 reads ${p99(rates.readP99Ms)}   writes ${p99(rates.writeP99Ms)}`,
    '',
    topologyTable(topology, io.colour),
  ].join('\n')
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
  })
}
