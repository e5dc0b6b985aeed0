/**
 * What a supervisor may ask a worker about its clients and its traffic. Questions and answers are plain data: they cross the
 * control socket.
 */
import type { Offset } from '../base/units.js'
import { keysOf } from '../command/table.js'
import { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import { requestLimits } from '../resp/protocol.js'
import type { Call } from '../routing/calls.js'
import { type Level, type ReadRules, refusable } from '../routing/choose.js'
import type { Group } from './group.js'
import { type KeyReport, type SlowCommand, show } from './insight.js'
import type { Session } from './session.js'
import { type Stakes, stakesOf } from './stakes.js'
import type { Worker } from './worker.js'

export type Question =
  | { readonly ask: 'sessions'; readonly limit: number }
  /** Of the worker with this index; the others have no such session. */
  | { readonly ask: 'kill'; readonly worker: number; readonly id: number }
  | { readonly ask: 'slow'; readonly limit: number }
  | { readonly ask: 'reset-slow' }
  | { readonly ask: 'keys'; readonly limit: number }
  /** Of a switch to this instance. */
  | { readonly ask: 'stakes'; readonly candidate: string }
  | { readonly ask: 'explain'; readonly command: readonly string[]; readonly level: Level | undefined }

export interface SessionReport {
  readonly id: number
  readonly address: string
  readonly listener: string
  readonly name: string
  readonly user: string
  readonly library: string
  readonly db: number
  readonly resp: number
  readonly level: Level
  readonly ageSeconds: number
  readonly idleSeconds: number
  readonly lastCommand: string
  readonly lastTo: string
  readonly lastBecause: string
  readonly pinned: string | null
  readonly inFlight: number
  readonly queuedBytes: number
}

export interface Explanation {
  readonly command: string
  readonly handling: string
  readonly keys: readonly string[]
  readonly to: string | null
  readonly because: string
  readonly level: Level
  readonly neededOffset: Offset | null
  readonly candidates: readonly {
    readonly id: string
    readonly usable: boolean
    readonly applied: Offset | null
    readonly pending: number
    readonly lagMs: number | null
  }[]
}

export interface Answers {
  readonly sessions: { readonly sessions: readonly SessionReport[]; readonly total: number }
  readonly kill: boolean
  readonly slow: readonly SlowCommand[]
  readonly 'reset-slow': true
  readonly keys: KeyReport
  readonly stakes: Stakes
  readonly explain: Explanation | undefined
}

export function inspect(worker: Worker, question: Question): Answers[Question['ask']] {
  switch (question.ask) {
    case 'sessions':
      return { sessions: recentSessions(worker, question.limit), total: worker.sessions.size }
    case 'kill':
      return kill(worker, question.id)
    case 'slow':
      return worker.insight.slow(question.limit)
    case 'reset-slow':
      worker.insight.resetSlow()
      return true
    case 'keys':
      return worker.insight.keys(question.limit)
    case 'stakes':
      return stakesOf(worker, question.candidate)
    default:
      return explain(worker, question.command, question.level)
  }
}

/** The most recently active first. Sorting ten thousand takes a few milliseconds, and nobody asks often. */
function recentSessions(worker: Worker, limit: number): readonly SessionReport[] {
  const now = worker.tools.time.update()
  const sorted = [...worker.sessions.values()].sort((a, b) => b.lastAt - a.lastAt)
  return sorted.slice(0, limit).map(session => report(session, now))
}

function report(session: Session, now: number): SessionReport {
  const { peer, rules } = session
  return {
    id: session.id,
    address: session.address,
    listener: session.entrance.name,
    name: show(session.name),
    user: show(session.user),
    library: show(`${session.libName} ${session.libVersion}`.trim()),
    db: session.db,
    resp: session.resp,
    level: rules.level,
    ageSeconds: Math.round((now - session.since) / 100) / 10,
    idleSeconds: Math.round((now - session.lastAt) / 100) / 10,
    lastCommand: session.lastCommand,
    lastTo: session.lastTo,
    lastBecause: session.lastBecause,
    pinned: pinnedBy(session),
    inFlight: session.outstanding,
    queuedBytes: peer.queuedBytes,
  }
}

function pinnedBy(session: Session): string | null {
  if (session.transaction !== undefined) return 'transaction'
  if (session.subscription !== undefined) return 'subscription'
  if (session.monitor !== undefined) return 'monitor'
  return session.alone.upstream === undefined ? null : 'blocking'
}

function kill(worker: Worker, id: number): boolean {
  const session = worker.sessions.get(id)
  session?.peer.destroy('killed')
  return session !== undefined
}

/** The same questions as for a real command, in the same order, and nothing is sent. undefined: there is no group yet. */
function explain(worker: Worker, command: readonly string[], level: Level | undefined): Explanation | undefined {
  const { group, calls, options } = worker
  if (group === undefined) return undefined
  const decoder = new Decoder({ ...requestLimits })
  decoder.feed(encodeCommand(command.map(part => Buffer.from(part, 'utf8'))))
  if (!decoder.nextRequest()) return undefined
  const { buffer, argStart, argEnd } = decoder
  let call: Call = calls.find(buffer, argStart[0] as number, argEnd[0] as number)
  if (call.subcommands !== undefined && decoder.argc > 1) {
    call = call.subcommands.find(buffer, argStart[1] as number, argEnd[1] as number) ?? call
  }
  const rules: ReadRules = {
    level: level ?? options.level,
    boundMs: options.boundMs,
    waitMs: options.waitMs,
    noReplica: options.noReplica,
  }
  const args = decoder.args()
  const keys = call.spec === undefined ? [] : keysOf(call.spec, args).map(at => show(args[at] ?? ''))
  const { to, because, need } = planOf(group, call, decoder, rules)
  return {
    command: call.name,
    handling: call.handling,
    keys,
    to,
    because,
    level: rules.level,
    neededOffset: Number.isSafeInteger(need) ? need : null,
    candidates: group.replicas.map(({ id, usable, applied, pending, lagMs }) => ({
      id,
      usable,
      applied: applied < 0 ? null : applied,
      pending,
      lagMs: lagMs ?? null,
    })),
  }
}

interface Plan {
  readonly to: string | null
  readonly because: string
  readonly need: Offset
}

function planOf(group: Group, call: Call, decoder: Decoder, rules: ReadRules): Plan {
  const { master, holding } = group
  const writable = master?.sharedIsConfirmed === true && !(call.writes && holding)
  const toMaster = writable && master !== undefined ? master.id : null
  switch (call.handling) {
    case 'local':
      return { to: 'proxy', because: 'local', need: 0 }
    case 'refused':
      return { to: 'proxy', because: 'refused', need: 0 }
    case 'read': {
      const { to, because, need } = group.planRead(call, decoder, rules)
      const isRefused = to === undefined && rules.noReplica === 'error' && refusable.has(because)
      if (isRefused) return { to: 'proxy', because, need }
      return { to: to ?? toMaster, because, need }
    }
    default:
      return { to: toMaster, because: toMaster === null ? 'held' : call.writes ? 'write' : 'master-only', need: 0 }
  }
}
