/**
 * The one command table. The router, the node, COMMAND and the docs read it; the parser knows no command.
 *
 *     when adding a command: a row in data-rows.ts or server-rows.ts, a handler, a line of summary
 *
 * A proxy builds a table of its own from what its upstream answers to COMMAND, so that commands we have never heard of
 * (newer servers, modules) are routed by their own flags.
 */
import type { Bytes } from '../base/units.js'
import { type Frame, itemsOf, numberOf, textOf } from '../resp/protocol.js'
import { dataRows } from './data-rows.js'
import type { CommandRow } from './row.js'
import { serverRows } from './server-rows.js'
import { type Access, accessByFlags, type CommandSpec, specOf, untilNul } from './spec.js'

export { keysOf } from './keys.js'
export { type Access, arityError, type CommandSpec, checkArity, untilNul } from './spec.js'

export class CommandTable {
  /** Under the lower-case name and, for the exact-case hit of most clients, the upper-case one. */
  readonly #byName = new Map<string, CommandSpec>()
  readonly #specs: CommandSpec[] = []

  /** Every command and subcommand; a spec's `id` is its place. */
  get specs(): readonly CommandSpec[] {
    return this.#specs
  }

  /** The top-level command of this name, in any case. */
  find(name: Bytes): CommandSpec | undefined {
    return this.#byName.get(name) ?? this.#findFolded(name)
  }

  /** The command or subcommand a call means; of a container without a known subcommand, undefined. */
  resolve(args: readonly Bytes[]): CommandSpec | undefined {
    const spec = this.find(args[0] as Bytes)
    if (spec === undefined || spec.subcommands === undefined || args.length < 2) return spec
    return spec.subcommands.get((args[1] as Bytes).toLowerCase())
  }

  /** By full name, `xinfo|stream`. */
  byFullName(name: string): CommandSpec | undefined {
    const [container, subcommand, more] = name.toLowerCase().split('|')
    if (more !== undefined) return undefined
    const spec = this.#byName.get(container as string)
    return subcommand === undefined ? spec : spec?.subcommands?.get(subcommand)
  }

  /** Adds a command, or puts it in the place of the one of that name; `subRows` are its subcommands. */
  add(row: CommandRow, subRows: readonly CommandRow[] = []): CommandSpec {
    const subcommands = subRows.length === 0 ? undefined : new Map<string, CommandSpec>()
    const spec = this.#keep(specOf(row, this.#specs.length, undefined, subcommands))
    this.#byName.set(spec.name, spec)
    this.#byName.set(spec.name.toUpperCase(), spec)
    for (const subRow of subRows) {
      const subSpec = this.#keep(specOf(subRow, this.#specs.length, spec, undefined))
      subcommands?.set(subSpec.name.slice(spec.name.length + 1), subSpec)
    }
    return spec
  }

  /** The top-level commands. */
  *[Symbol.iterator](): Iterator<CommandSpec> {
    for (const [name, spec] of this.#byName) if (name === spec.name && spec.container === undefined) yield spec
  }

  #keep(spec: CommandSpec): CommandSpec {
    this.#specs.push(spec)
    return spec
  }

  /** Names are short; a long one is no command and not worth folding. */
  #findFolded(name: Bytes): CommandSpec | undefined {
    return name.length > 64 ? undefined : this.#byName.get(name.toLowerCase())
  }
}

/** The commands of Redis 7.0. */
export const builtinTable: CommandTable = tableOf([...dataRows, ...serverRows])

export function findCommand(name: Bytes): CommandSpec | undefined {
  return builtinTable.find(name)
}

export function resolveCommand(args: readonly Bytes[]): CommandSpec | undefined {
  return builtinTable.resolve(args)
}

/** What this call does. Flags decide; a call with a subcommand is judged by the subcommand. */
export function accessOf(spec: CommandSpec, args: readonly Bytes[]): Access {
  return leafOf(spec, args).access
}

/** True when this very call may wait: XREAD without BLOCK does not. */
export function isBlocking(spec: CommandSpec, args: readonly Bytes[]): boolean {
  if (!spec.blocking) return false
  if (spec.name === 'xread' || spec.name === 'xreadgroup') return wordBefore('STREAMS', 'BLOCK', args, 1)
  return true
}

/** The error for a call that `resolve` does not know, in Redis' words. */
export function unknownCommandError(args: readonly Bytes[], table: CommandTable = builtinTable): Bytes {
  const name = args[0] as Bytes
  if (args.length > 1 && table.find(name)?.subcommands !== undefined) {
    return `ERR unknown subcommand '${untilNul(args[1] as Bytes).slice(0, 128)}'. Try ${name.toUpperCase()} HELP.`
  }
  let shown = ''
  for (let index = 1; index < args.length && shown.length < 128; index++)
    shown += `'${untilNul(args[index] as Bytes).slice(0, 128 - shown.length)}' `
  return `ERR unknown command '${untilNul(name).slice(0, 128)}', with args beginning with: ${shown}`
}

/**
 * A table from an upstream's answer to COMMAND: its flags and key positions where it gives them, and our rows for
 * commands it did not list (an old server, or one whose user may not see them).
 */
export function tableFromCommandReply(reply: Frame): CommandTable {
  const upstream = new Map<string, Frame>()
  for (const item of itemsOf(reply)) {
    const name = textOf(itemsOf(item)[0])
    if (name !== undefined) upstream.set(name.toLowerCase(), item)
  }
  const table = tableOf([...dataRows, ...serverRows])
  for (const [name, item] of upstream) {
    const known = builtinTable.find(name)
    if (known === undefined || differs(known, item)) table.add(rowOf(item, known), subRowsOf(item))
  }
  return table
}

/** Subcommands stand right behind their command. */
export function tableOf(rows: readonly CommandRow[]): CommandTable {
  const table = new CommandTable()
  for (let at = 0; at < rows.length; ) {
    const row = rows[at++] as CommandRow
    const first = at
    while (at < rows.length && (rows[at] as CommandRow)[0].startsWith(`${row[0]}|`)) at++
    table.add(row, rows.slice(first, at))
  }
  return table
}

function leafOf(spec: CommandSpec, args: readonly Bytes[]): CommandSpec {
  if (spec.subcommands === undefined || args.length < 2) return spec
  return spec.subcommands.get((args[1] as Bytes).toLowerCase()) ?? spec
}

function wordBefore(end: string, word: string, args: readonly Bytes[], from: number): boolean {
  for (let at = from; at < args.length; at++) {
    const upper = (args[at] as Bytes).toUpperCase()
    if (upper === end) return false
    if (upper === word) return true
  }
  return false
}

/** True when the upstream's command does something else than ours, or has subcommands we do not know. */
function differs(known: CommandSpec, item: Frame): boolean {
  const flags = new Set(itemsOf(itemsOf(item)[2]).map(flag => textOf(flag) ?? ''))
  if (accessByFlags(flags) !== known.access || flags.has('blocking') !== known.blocking) return true
  return subRowsOf(item).some(row => {
    const ours = known.subcommands?.get(row[0].slice(known.name.length + 1))
    return ours === undefined || ours.access !== accessByFlags(new Set(row[2].split(' ')))
  })
}

/** A row from `[name, arity, flags, first, last, step, categories, tips, key specs, subcommands]`. */
function rowOf(item: Frame, known: CommandSpec | undefined): CommandRow {
  const [name, arity, flags, first, last, step, categories] = itemsOf(item)
  const firstKey = numberOf(first) ?? 0
  const lastKey = numberOf(last) ?? 0
  const find = `${lastKey < 0 ? lastKey : Math.max(0, lastKey - firstKey)}/${Math.max(1, numberOf(step) ?? 1)}/0`
  return [
    (textOf(name) ?? '').toLowerCase(),
    numberOf(arity) ?? -1,
    textsOf(flags).join(' '),
    known?.group ?? 'module',
    known?.since ?? '',
    textsOf(categories)
      .map(category => category.replace(/^@/, ''))
      .join(' '),
    firstKey > 0 ? `RW ${firstKey} ${find}` : '',
    '',
  ]
}

function subRowsOf(item: Frame): CommandRow[] {
  return itemsOf(itemsOf(item)[9]).map(sub => rowOf(sub, undefined))
}

function textsOf(frame: Frame | undefined): string[] {
  return itemsOf(frame).map(item => textOf(item) ?? '')
}
