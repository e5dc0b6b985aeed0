/**
 * What operators ask about clients and traffic: the answers of all workers put together.
 */
import type { AdminBackend } from '../admin/backend.js'
import type { Explanation, HotKeys, SessionList, SlowLog, Traffic } from '../admin/model.js'
import type { Clock } from '../base/clock.js'
import { latencyBuckets } from '../metrics/catalog.js'
import { type MetricSnapshot, mergeSnapshots, type SnapshotSeries } from '../metrics/store.js'
import type { KeyReport } from '../proxy/insight.js'
import type { Answers, Question } from '../proxy/inspect.js'
import { type Stakes, sumOfStakes } from '../proxy/stakes.js'

export interface TrafficBackend
  extends Pick<AdminBackend, 'sessions' | 'killSession' | 'traffic' | 'slowlog' | 'resetSlowlog' | 'keys' | 'explain'> {
  /** What a switch to this instance would meet; undefined: no worker could be asked. */
  stakes(candidate: string): Promise<Stakes | undefined>
}

/** What we need of the workers. */
export interface Inspected {
  inspect<Q extends Question>(question: Q): Promise<readonly { worker: number; answer: Answers[Q['ask']] }[]>
  snapshots(): Promise<readonly MetricSnapshot[]>
}

export function makeTrafficBackend(clock: Clock, workers: Inspected): TrafficBackend {
  return {
    async sessions(limit): Promise<SessionList> {
      const answers = await workers.inspect({ ask: 'sessions', limit })
      const sessions = answers.flatMap(({ worker, answer }) =>
        answer.sessions.map(session => ({ ...session, id: `${worker}-${session.id}` })),
      )
      sessions.sort((a, b) => a.idleSeconds - b.idleSeconds)
      return { sessions: sessions.slice(0, limit), total: answers.reduce((sum, { answer }) => sum + answer.total, 0) }
    },

    /** `worker-number`. */
    async killSession(id) {
      const [worker, number] = (/^(\d{1,3})-(\d{1,15})$/.exec(id) ?? []).slice(1).map(Number)
      if (worker === undefined || number === undefined) return false
      const answers = await workers.inspect({ ask: 'kill', worker, id: number })
      return answers.some(({ answer }) => answer)
    },

    async traffic() {
      return trafficOf(mergeSnapshots(await workers.snapshots()), clock.wall())
    },

    async slowlog(limit): Promise<SlowLog> {
      const answers = await workers.inspect({ ask: 'slow', limit })
      const entries = answers.flatMap(({ answer }) => answer).sort((a, b) => b.at - a.at)
      return { entries: entries.slice(0, limit) }
    },

    async resetSlowlog() {
      await workers.inspect({ ask: 'reset-slow' })
    },

    async keys(limit) {
      const answers = await workers.inspect({ ask: 'keys', limit })
      return hotKeysOf(
        answers.map(({ answer }) => answer),
        limit,
      )
    },

    async stakes(candidate) {
      const answers = await workers.inspect({ ask: 'stakes', candidate })
      return answers.length === 0 ? undefined : sumOfStakes(answers.map(({ answer }) => answer))
    },

    async explain(request): Promise<Explanation | undefined> {
      // Workers know the same; one answer will do.
      const answers = await workers.inspect({ ask: 'explain', command: request.command, level: request.level })
      return answers.map(({ answer }) => answer).find(answer => answer !== undefined)
    },
  }
}

function hotKeysOf(reports: readonly KeyReport[], limit: number): HotKeys {
  const sampled = Math.max(
    1,
    reports.reduce((sum, report) => sum + report.sampled, 0),
  )
  const found = new Map<string, { perSecond: number; count: number; error: number }>()
  for (const { hot, sampleEvery, windowMs } of reports) {
    for (const { key, count, error } of hot) {
      const known = found.get(key) ?? { perSecond: 0, count: 0, error: 0 }
      found.set(key, {
        perSecond: known.perSecond + (count * sampleEvery * 1000) / windowMs,
        count: known.count + count,
        error: known.error + error,
      })
    }
  }
  const hot = [...found].map(([key, { perSecond, count, error }]) => ({
    key,
    perSecond: Math.round(perSecond * 10) / 10,
    share: count / sampled,
    errorShare: error / sampled,
  }))
  const big = reports.flatMap(report => report.big).sort((a, b) => b.bytes - a.bytes)
  const once = big.filter((value, index) => big.findIndex(other => other.key === value.key) === index)
  return {
    sampledPer: reports[0]?.sampleEvery ?? 0,
    hot: hot.sort((a, b) => b.perSecond - a.perSecond).slice(0, limit),
    big: once.slice(0, limit),
  }
}

function trafficOf(snapshot: MetricSnapshot, at: number): Traffic {
  const series = (name: SnapshotSeries['name'], labels: Readonly<Record<string, string>> = {}) =>
    snapshot.filter(
      one => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value),
    )
  const sum = (found: readonly SnapshotSeries[]): number => found.reduce((total, one) => total + (one.value ?? 0), 0)
  const durations = (kind: string): number[] =>
    [...latencyBuckets, Number.POSITIVE_INFINITY].map((_, bucket) =>
      series('lagrange_command_duration_seconds', { kind }).reduce(
        (total, one) => total + (one.counts?.[bucket] ?? 0),
        0,
      ),
    )
  const commands = (target: string): number => sum(series('lagrange_commands_total', { target }))
  return {
    at,
    clients: sum(series('lagrange_client_connections')),
    inFlight: sum(series('lagrange_commands_in_flight')),
    held: sum(series('lagrange_held_commands')),
    commands: { master: commands('master'), replica: commands('replica'), local: commands('local') },
    errors: sum(series('lagrange_command_errors_total')),
    durations: { bounds: [...latencyBuckets], read: durations('read'), write: durations('write') },
  }
}
