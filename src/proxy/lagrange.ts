/**
 * LAGRANGE: what only this proxy can be asked.
 */
import type { Bytes } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import { type Level, levels } from '../routing/choose.js'
import { fateOf } from '../routing/floors.js'
import type { Request } from './request.js'
import type { Session } from './session.js'
import { sampleMaster } from './wait.js'

const HELP = [
  'LAGRANGE <subcommand> [<arg> ...]. Subcommands are:',
  'CONSISTENCY [strong|causal|session|bounded <ms>|eventual]',
  '    What reads of this connection are promised. Without a level: which one it is.',
  'NODES',
  '    The instances of the group, and how fresh they are.',
  'WHY',
  '    Where the last command of this connection went, and why.',
  'TOKEN',
  '    A token that stands for everything this connection has seen written.',
  'AFTER <token> [<ms>]',
  '    Reads of this connection see what the token stands for; they wait up to <ms> for a replica that has it.',
  'SLOWLOG [GET [<count>]|LEN|RESET]',
  "    Commands that took long, as this worker of the proxy saw them. SLOWLOG itself is the master's.",
  'HOTKEYS [<count>]',
  '    The keys that are asked for most, found by sampling: key, commands per second, possible error.',
  'BIGKEYS [<count>]',
  '    Keys whose requests or replies were large: key, bytes, command.',
  'HELP',
  '    This text.',
]

/** No connection waits longer than this for a replica, whatever it asks for. */
const MAX_WAIT_MS = 10_000
const MAX_BOUND_MS = 86_400_000

type Answer = (session: Session, request: Request, args: readonly Bytes[]) => void

const subcommands: Readonly<Record<string, Answer>> = {
  CONSISTENCY: consistency,
  NODES: nodes,
  WHY: why,
  TOKEN: token,
  AFTER: after,
  SLOWLOG: slowlog,
  HOTKEYS: hotKeys,
  BIGKEYS: bigKeys,
  HELP: help,
}

export function answerLagrange(session: Session, request: Request, decoder: Decoder): void {
  const args = decoder.args()
  const answer = subcommands[(args[1] ?? 'HELP').toUpperCase()]
  if (answer !== undefined) return answer(session, request, args)
  session.fail(request, `ERR unknown subcommand '${(args[1] as Bytes).slice(0, 128)}'. Try LAGRANGE HELP.`)
}

function consistency(session: Session, request: Request, args: readonly Bytes[]): void {
  if (args.length === 2) {
    const { level, boundMs } = session.rules
    session.begin(request).bulk(level === 'bounded' ? `${level} ${boundMs}` : level)
    return session.finish(request)
  }
  const level = levels.find(known => known === (args[2] as Bytes).toLowerCase()) as Level | undefined
  if (level === undefined)
    return session.fail(request, `ERR unknown level '${args[2]}', known are ${levels.join(', ')}`)
  if (args.length > (level === 'bounded' ? 4 : 3)) return session.fail(request, 'ERR syntax error')
  const boundMs = args[3] === undefined ? session.rules.boundMs : wholeNumber(args[3], MAX_BOUND_MS)
  if (boundMs === undefined)
    return session.fail(request, 'ERR the bound is not a number of milliseconds or out of range')
  session.choose({ ...session.rules, level, boundMs })
  // What it has seen until here was not followed.
  session.ahead = true
  session.begin(request).ok()
  session.finish(request)
}

function nodes(session: Session, request: Request): void {
  const { group } = session
  const all = group.master === undefined ? group.replicas : [group.master, ...group.replicas]
  const out = session.begin(request)
  out.array(all.length)
  for (const instance of all) {
    const isMaster = instance === group.master
    out.map(6)
    for (const [key, value] of [
      ['id', instance.id],
      ['role', isMaster ? 'master' : 'replica'],
      ['state', isMaster || instance.usable ? 'online' : (instance.view.excluded ?? 'resting')],
      ['offset', isMaster ? group.head : instance.applied],
      ['lag-ms', isMaster ? 0 : Math.round(instance.lagMs ?? -1)],
      ['pending', instance.pending],
    ] as const) {
      out.bulk(key)
      if (typeof value === 'number') out.integer(value)
      else out.bulk(value)
    }
  }
  session.finish(request)
}

function why(session: Session, request: Request): void {
  const { lastTo, lastBecause } = session
  const out = session.begin(request)
  out.array(2)
  out.bulk(lastTo)
  out.bulk(lastBecause)
  session.finish(request)
}

/** The offset is sampled now: it covers what this connection has been answered, and may cover more. */
function token(session: Session, request: Request): void {
  const { replid } = session.group
  sampleMaster(session, request, offset => {
    // The offset is of the history of the master that was asked.
    if (replid === undefined || replid !== session.group.replid) return token(session, request)
    session.begin(request).bulk(`${replid}:${offset}`)
    session.finish(request)
  })
}

/** LAGRANGE AFTER replid:offset [ms] */
function after(session: Session, request: Request, args: readonly Bytes[]): void {
  const parsed = /^([0-9a-f]{40}):(\d{1,16})$/.exec(args[2] ?? '')
  if (parsed === null || args.length > 4) return session.fail(request, 'ERR a token is <replid>:<offset>')
  const waitMs = args[3] === undefined ? session.rules.waitMs : wholeNumber(args[3], MAX_WAIT_MS)
  if (waitMs === undefined) {
    return session.fail(request, `ERR the time is not a number of milliseconds or above ${MAX_WAIT_MS}`)
  }
  const [, replid, offsetText] = parsed
  const offset = Number(offsetText)
  const { lineage } = session.group
  // Offsets of the history we descend from are ours, up to where it was left.
  const fate = lineage === undefined ? 'unknown' : fateOf(offset, replid, lineage)
  if (fate === 'unknown') return session.fail(request, 'ERR the token belongs to another history')
  if (fate === 'lost') return session.fail(request, 'LOSTWRITE what the token stands for was lost in a failover')
  session.standing.raise(lineage?.replid, offset)
  session.group.urgency.hurry()
  session.choose({ ...session.rules, waitMs })
  session.begin(request).ok()
  session.finish(request)
}

// ── What the worker remembers of the traffic ────────────────────────────────────────────────────────────────────────

const LISTED = 10
const MAX_LISTED = 10_000

function slowlog(session: Session, request: Request, args: readonly Bytes[]): void {
  const { insight } = session.hub.tools
  switch ((args[2] ?? 'GET').toUpperCase()) {
    case 'LEN':
      session.begin(request).integer(insight.slowCount)
      return session.finish(request)
    case 'RESET':
      insight.resetSlow()
      session.begin(request).ok()
      return session.finish(request)
    case 'GET': {
      const count = countOf(args[3])
      if (count === undefined) return session.fail(request, COUNT_REFUSED)
      const entries = insight.slow(count)
      return table(
        session,
        request,
        entries.map(({ at, ms, heldMs, command, node, client }) => [
          Math.floor(at / 1000),
          Math.round(ms * 1000),
          Math.round(heldMs * 1000),
          command,
          node,
          client,
        ]),
      )
    }
    default:
      return session.fail(request, 'ERR syntax error. Try LAGRANGE HELP.')
  }
}

function hotKeys(session: Session, request: Request, args: readonly Bytes[]): void {
  const count = countOf(args[2])
  if (count === undefined) return session.fail(request, COUNT_REFUSED)
  const { hot, sampleEvery, windowMs } = session.hub.tools.insight.keys(count)
  const perSecond = (sampled: number): number => Math.round((sampled * sampleEvery * 1000) / windowMs)
  table(
    session,
    request,
    hot.map(({ key, count: seen, error }) => [key, perSecond(seen), perSecond(error)]),
  )
}

function bigKeys(session: Session, request: Request, args: readonly Bytes[]): void {
  const count = countOf(args[2])
  if (count === undefined) return session.fail(request, COUNT_REFUSED)
  const { big } = session.hub.tools.insight.keys(count)
  table(
    session,
    request,
    big.map(({ key, bytes, command }) => [key, bytes, command]),
  )
}

const COUNT_REFUSED = `ERR the count must be a whole number up to ${MAX_LISTED}`

function countOf(text: Bytes | undefined): number | undefined {
  return text === undefined ? LISTED : wholeNumber(text, MAX_LISTED)
}

function table(
  session: Session,
  request: Request,
  rows: readonly (readonly (string | number | readonly string[])[])[],
): void {
  const out = session.begin(request)
  out.array(rows.length)
  for (const row of rows) {
    out.array(row.length)
    for (const cell of row) {
      if (typeof cell === 'number') out.integer(cell)
      else if (typeof cell === 'string') out.bulk(utf8(cell))
      else {
        out.array(cell.length)
        for (const part of cell) out.bulk(utf8(part))
      }
    }
  }
  session.finish(request)
}

/** What was made readable, as the bytes that a client expects. */
function utf8(text: string): Bytes {
  return Buffer.from(text, 'utf8').toString('latin1')
}

function help(session: Session, request: Request): void {
  const out = session.begin(request)
  out.array(HELP.length)
  for (const line of HELP) out.simple(line)
  session.finish(request)
}

function wholeNumber(text: Bytes, max: number): number | undefined {
  const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN
  return value <= max ? value : undefined
}
