/**
 * What is asked of each command of a session that is not simply free: may its user run it, may this listener, does a rule
 * say something, is it too fast. Sessions without such questions have no guard.
 */
import { readLatin1 } from '../base/latin1.js'
import type { Pace } from '../base/pace.js'
import type { Bytes, Millis } from '../base/units.js'
import { type Denial, denialOf, refusalOfSort, refusalText, type User } from '../command/acl.js'
import { type CommandSpec, type CommandTable, unknownCommandError } from '../command/table.js'
import type { Decoder } from '../resp/decoder.js'
import type { Call } from '../routing/calls.js'
import type { ReadRules } from '../routing/choose.js'
import { judge, type Rule } from '../routing/rules.js'
import type { Users } from './users.js'

export interface GuardOptions {
  /** undefined: the session's user is not restricted. */
  readonly users: Users | undefined
  readonly readOnly: boolean
  readonly denied: boolean
  /** Those that depend on the command. */
  readonly rules: readonly Rule[]
  /** What holds where no rule says otherwise. */
  readonly base: ReadRules
  readonly paces: { readonly commands: readonly Pace[]; readonly bytes: readonly Pace[] } | undefined
}

/** Why a command is not let through. */
export type Refused = Denial['reason'] | 'read-only' | 'rule'

export type Admitted =
  | { readonly refused: Refused; readonly text: Bytes; readonly denial?: Denial }
  | { readonly refused: undefined; readonly rules: ReadRules }

const READ_ONLY = "READONLY You can't write against a read only replica."
const DENIED = 'NOPERM this command is denied by a rule of this proxy'
/** What a key or channel is compared by: longer ones by their beginning. */
const ARGUMENT_BYTES = 1024 * 1024

/** Neither write nor read by their flags, and yet they change something. */
const MAY_CHANGE = new Set(['eval', 'evalsha', 'fcall', 'publish', 'spublish', 'script|flush', 'script|load', 'debug'])
const SCRIPTS = new Set(['eval', 'evalsha', 'fcall', 'eval_ro', 'evalsha_ro', 'fcall_ro'])
const SCRIPT_REFUSED =
  'NOPERM this proxy cannot see what a script does: it is for users who may themselves do all that a script may do'
/** Commands of ours that no table has. */
const OWN = new Set(['lagrange', 'proxy'])
/** What LAGRANGE says of others, and of their keys: for those who may see the slow log. */
const ABOUT_OTHERS = new Set(['nodes', 'slowlog', 'hotkeys', 'bigkeys'])
const SEES_OTHERS = 'slowlog|get'

export class Guard {
  readonly #options: GuardOptions
  readonly #plain: { readonly refused: undefined; readonly rules: ReadRules }

  constructor(options: GuardOptions) {
    this.#options = options
    this.#plain = { refused: undefined, rules: options.base }
  }

  get ownCommands(): Pace | undefined {
    return this.#options.paces?.commands[0]
  }

  get ownBytes(): Pace | undefined {
    return this.#options.paces?.bytes[0]
  }

  /** How long the session must not be read after so many bytes; 0 when it may go on. */
  received(bytes: number, now: Millis): Millis {
    return spend(this.#options.paces?.bytes, bytes, now)
  }

  /** The same after one command. */
  taken(now: Millis): Millis {
    return spend(this.#options.paces?.commands, 1, now)
  }

  admit(user: Bytes, call: Call, decoder: Decoder): Admitted {
    const { users, readOnly, denied, rules, base } = this.#options
    if (users === undefined && !readOnly && !denied && rules.length === 0) return this.#plain
    const args = argumentsOf(decoder)
    const spec = specOf(call, args)
    if (users !== undefined) {
      const refusal = OWN.has(call.name) ? refusalOfOwn(users, user, args) : refusalOf(users, user, spec, args)
      if (refusal !== undefined) return refusal
    }
    if (spec?.flags.has('no_auth') === true) return this.#plain
    if (readOnly && mayChange(call, spec)) return { refused: 'read-only', text: READ_ONLY }
    if (denied) return { refused: 'rule', text: DENIED }
    if (rules.length === 0) return this.#plain
    const verdict = judge(rules, call, args, base)
    return verdict === 'denied' ? { refused: 'rule', text: DENIED } : { refused: undefined, rules: verdict }
  }
}

function refusalOf(
  users: Users,
  name: Bytes,
  spec: CommandSpec | undefined,
  args: readonly Bytes[],
): Admitted | undefined {
  const user = users.find(name)
  if (spec === undefined) {
    // Nobody knows it; whoever may run what is not known yet hears so from the instance.
    if (user?.selectors.some(selector => selector.future) === true) return undefined
    return { refused: 'command', text: unknownCommandError(args, users.table) }
  }
  const denial = user === undefined ? ({ reason: 'command', object: spec.name } as const) : denialOf(user, spec, args)
  if (denial !== undefined) return { refused: denial.reason, text: refusalText(denial, spec), denial }
  if (user !== undefined && SCRIPTS.has(spec.name) && !mayRunAnyScript(user, spec, users.table)) {
    return { refused: 'command', text: SCRIPT_REFUSED }
  }
  const sort = user && refusalOfSort(user, spec, args)
  return sort === undefined ? undefined : { refused: 'key', text: sort }
}

/**
 * What a script does we do not see, and the instance takes us for its user: so it is for those who might do all that a
 * script may do themselves.
 */
function mayRunAnyScript({ selectors }: User, { access }: CommandSpec, table: CommandTable): boolean {
  const mightCall = table.specs.filter(({ flags, categories, access: theirs }) => {
    return !flags.has('noscript') && !categories.includes('@admin') && (access !== 'read' || theirs === 'read')
  })
  return selectors.some(({ allKeys, allChannels, commands }) => {
    return allKeys && allChannels && mightCall.every(({ id }) => commands[id] === 1)
  })
}

function refusalOfOwn(users: Users, name: Bytes, args: readonly Bytes[]): Admitted | undefined {
  const subcommand = (args[1] ?? '').toLowerCase()
  const spec = users.table.byFullName(SEES_OTHERS)
  const user = users.find(name)
  if (!ABOUT_OTHERS.has(subcommand) || spec === undefined) return undefined
  if (user !== undefined && denialOf(user, spec, SEES_OTHERS.split('|')) === undefined) return undefined
  const denial = { reason: 'command', object: `lagrange|${subcommand}` } as const
  return { refused: 'command', text: refusalText(denial, { ...spec, name: denial.object }), denial }
}

/** Containers that the proxy answers itself are not split into their subcommands. */
function specOf({ spec }: Call, args: readonly Bytes[]): CommandSpec | undefined {
  if (spec?.subcommands === undefined || args.length < 2) return spec
  return spec.subcommands.get((args[1] as Bytes).toLowerCase()) ?? spec
}

function mayChange(call: Call, spec: CommandSpec | undefined): boolean {
  if (call.handling === 'local') return false
  return spec === undefined || spec.access === 'write' || spec.flags.has('admin') || MAY_CHANGE.has(spec.name)
}

/** Values may be as large as half a gigabyte, and are not what is asked about. */
function argumentsOf(decoder: Decoder): Bytes[] {
  const args = new Array<Bytes>(decoder.argc)
  for (let index = 0; index < args.length; index++) {
    const start = decoder.argStart[index] as number
    args[index] = readLatin1(decoder.buffer, start, Math.min(decoder.argEnd[index] as number, start + ARGUMENT_BYTES))
  }
  return args
}

function spend(paces: readonly Pace[] | undefined, count: number, now: Millis): Millis {
  let waitMs = 0
  if (paces !== undefined) for (const pace of paces) waitMs = Math.max(waitMs, pace.spend(count, now))
  return waitMs
}
