/**
 * Rules: what reads of some clients, commands or keys are promised, what their writes wait for, and what is denied to them.
 *
 *     user, client name ──▶ known when the client has said who it is: what its connection begins with
 *     command, key      ──▶ known with each command: looked at only on connections that such a rule is about
 *
 * Of several rules that match, the first that says something about a matter decides it.
 */
import type { Bytes, Millis } from '../base/units.js'
import { matchesGlob } from '../command/glob.js'
import { keysOf } from '../command/table.js'
import type { Acks } from './acks.js'
import type { Call } from './calls.js'
import type { Level, ReadRules } from './choose.js'

/** As it is written in the configuration; what is absent is no condition. */
export interface Rule {
  /** Globs. */
  readonly user?: Bytes
  readonly clientName?: Bytes
  /** Names (`get`, `xinfo|stream`, `xinfo` for all of its subcommands) and categories (`@write`). */
  readonly commands?: readonly string[]
  /** One of the command's keys begins with it. */
  readonly keyPrefix?: Bytes

  readonly level?: Level
  readonly boundMs?: Millis
  /** Reads are asked of the master only. */
  readonly readFrom?: 'any' | 'master'
  /** Who must have a write before it is acknowledged. */
  readonly acks?: Acks
  readonly deny?: boolean
}

export interface Who {
  readonly user: Bytes
  readonly name: Bytes
}

/** What holds for one connection. */
export interface Regime {
  readonly base: ReadRules
  /** To be asked for each command, with `judge`; most have none. */
  readonly byCommand: readonly Rule[]
  /** Everything is denied. */
  readonly denied: boolean
}

export function regimeOf(rules: readonly Rule[], who: Who, base: ReadRules): Regime {
  const mine = rules.filter(rule => isAbout(rule, who))
  const always = mine.filter(rule => rule.commands === undefined && rule.keyPrefix === undefined)
  return {
    base: withRules(base, always),
    byCommand: mine.filter(rule => rule.commands !== undefined || rule.keyPrefix !== undefined),
    denied: always.some(rule => rule.deny === true),
  }
}

export type Verdict = 'denied' | ReadRules

/** What holds for one command. `base` is answered itself when no rule says anything, so that it can be compared. */
export function judge(rules: readonly Rule[], call: Call, args: readonly Bytes[], base: ReadRules): Verdict {
  const matching = rules.filter(rule => matches(rule, call, args))
  if (matching.length === 0) return base
  return matching.some(rule => rule.deny === true) ? 'denied' : withRules(base, matching)
}

/** Reads at the master are what level `strong` is without a replica that is near. */
export function fromMaster(base: ReadRules): ReadRules {
  return { ...base, level: 'strong', waitMs: 0, noReplica: 'master' }
}

function isAbout({ user, clientName }: Rule, who: Who): boolean {
  if (user !== undefined && !matchesGlob(user, who.user)) return false
  return clientName === undefined || matchesGlob(clientName, who.name)
}

function withRules(base: ReadRules, rules: readonly Rule[]): ReadRules {
  const acks = rules.find(rule => rule.acks !== undefined)?.acks
  if (acks !== undefined && acks !== base.acks) return withRules({ ...base, acks }, rules)
  const source = rules.find(rule => rule.readFrom !== undefined)
  if (source?.readFrom === 'master') return fromMaster(base)
  const levelled = rules.find(rule => rule.level !== undefined)
  if (levelled?.level === undefined) return base
  return { ...base, level: levelled.level, boundMs: levelled.boundMs ?? base.boundMs }
}

function matches({ commands, keyPrefix }: Rule, call: Call, args: readonly Bytes[]): boolean {
  if (commands !== undefined && !commands.some(name => isMeant(name, call, args))) return false
  if (keyPrefix === undefined) return true
  const { spec } = call
  if (spec === undefined || args.length < call.argcMin) return false
  return keysOf(spec, args).some(at => args[at]?.startsWith(keyPrefix) === true)
}

function isMeant(name: string, call: Call, args: readonly Bytes[]): boolean {
  if (name.startsWith('@')) return call.spec?.categories.includes(name) === true
  if (name === call.name || call.name.startsWith(`${name}|`)) return true
  // Containers that the proxy answers itself are not split into their subcommands.
  return args.length > 1 && name === `${call.name}|${(args[1] as Bytes).toLowerCase()}`
}
