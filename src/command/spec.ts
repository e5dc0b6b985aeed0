/**
 * What is known about one command: a row of the table, made ready for those who ask on every call.
 */
import type { Bytes } from '../base/units.js'
import { type CommandRow, type KeySpec, parseKeySpecs } from './row.js'

/** Three classes, not two: what is not a write is not a read. EVAL, PUBLISH or SCRIPT LOAD belong to the master. */
export type Access = 'read' | 'write' | 'other'

export interface CommandSpec {
  /** Lower case; a subcommand is `container|name`. */
  readonly name: string
  /** Places of engine handlers and counters; dense, from 0. */
  readonly id: number
  /** Counts the name; negative: at least that many. */
  readonly arity: number
  readonly flags: ReadonlySet<string>
  readonly group: string
  readonly since: string
  /** With `@`, in the order in which COMMAND lists them. */
  readonly categories: readonly string[]
  readonly keySpecs: readonly KeySpec[]
  readonly tips: readonly string[]
  /** The keys when they stand at fixed places; 0 0 0 when there are none or they move. `last` below zero counts from the end. */
  readonly firstKey: number
  readonly lastKey: number
  readonly keyStep: number
  /** True when `firstKey` … does not tell all keys: ask `keysOf`. */
  readonly movableKeys: boolean
  readonly access: Access
  /** May wait: its connection must not be shared. */
  readonly blocking: boolean
  /** The answer is a node's own (SCAN cursors, OBJECT, sampling …): not to be read here and there. */
  readonly nodeLocal: boolean
  /** By lower-case name; undefined when there are none. */
  readonly subcommands: ReadonlyMap<string, CommandSpec> | undefined
  readonly container: CommandSpec | undefined
}

const CATEGORIES = (
  '@keyspace @read @write @set @sortedset @list @hash @string @bitmap @hyperloglog @geo @stream @pubsub @admin @fast ' +
  '@slow @blocking @dangerous @connection @transaction @scripting'
).split(' ')

/** No writes by their flags, and yet they may enter the replication stream: COMMAND does not tell it. */
export const mayReplicate: ReadonlySet<string> = new Set('publish spublish pfcount eval evalsha fcall'.split(' '))

// XINFO says when a consumer was last seen: a replica sees it only when it is given something.
const NODE_LOCAL = new Set(
  (
    'scan hscan sscan zscan keys dbsize randomkey dump touch lolwut object|encoding object|freq object|idletime ' +
    'object|refcount memory|usage memory|doctor memory|stats memory|malloc-stats xinfo|stream xinfo|consumers'
  ).split(' '),
)

/** One command from its row. `subcommands` is filled by the table while it is built. */
export function specOf(
  row: CommandRow,
  id: number,
  container: CommandSpec | undefined,
  subcommands: ReadonlyMap<string, CommandSpec> | undefined,
): CommandSpec {
  const [name, arity, flagText, group, since, categories, keys, tips] = row
  const flags = new Set(words(flagText))
  const keySpecs = parseKeySpecs(keys)
  return {
    name,
    id,
    arity,
    flags,
    group,
    since,
    categories: categoriesOf(flags, group, words(categories)),
    keySpecs,
    tips: words(tips),
    ...fixedKeys(keySpecs),
    movableKeys: flags.has('movablekeys'),
    access: accessByFlags(flags),
    blocking: flags.has('blocking'),
    nodeLocal: NODE_LOCAL.has(name),
    subcommands,
    container,
  }
}

export function accessByFlags(flags: ReadonlySet<string>): Access {
  return flags.has('write') ? 'write' : flags.has('readonly') ? 'read' : 'other'
}

/** True when a call with `argc` arguments, the name included, has neither too few nor too many. */
export function checkArity(spec: CommandSpec, argc: number): boolean {
  return spec.arity < 0 ? argc >= -spec.arity : argc === spec.arity
}

/** What C prints of a text: error lines quote arguments only up to a NUL. */
export function untilNul(text: Bytes): Bytes {
  const end = text.indexOf('\0')
  return end < 0 ? text : text.slice(0, end)
}

export function arityError(spec: CommandSpec): Bytes {
  return `ERR wrong number of arguments for '${spec.name}' command`
}

function words(text: string): string[] {
  return text === '' ? [] : text.split(' ')
}

function categoriesOf(flags: ReadonlySet<string>, group: string, own: readonly string[]): string[] {
  const found = new Set(own.map(word => `@${word}`))
  if (flags.has('write')) found.add('@write')
  if (flags.has('readonly') && group !== 'scripting') found.add('@read')
  if (flags.has('admin')) found.add('@admin').add('@dangerous')
  if (flags.has('pubsub')) found.add('@pubsub')
  if (flags.has('blocking')) found.add('@blocking')
  found.add(flags.has('fast') ? '@fast' : '@slow')
  return CATEGORIES.filter(category => found.has(category))
}

/** The old way to say where keys are: all specifications that are plain ranges and follow one another, as one range. */
function fixedKeys(keySpecs: readonly KeySpec[]): { firstKey: number; lastKey: number; keyStep: number } {
  let firstKey = 0
  let lastKey = 0
  let keyStep = 0
  for (const { begin, find } of keySpecs) {
    if (begin.by !== 'index' || find.by !== 'range') continue
    if (firstKey !== 0 && begin.index !== lastKey + 1) continue
    if (firstKey === 0) firstKey = begin.index
    keyStep = find.step
    lastKey = find.last < 0 ? find.last : begin.index + find.last
  }
  return { firstKey, lastKey, keyStep }
}
