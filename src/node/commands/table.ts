/**
 * COMMAND and its subcommands: the table, as clients and proxies read it.
 */
import type { Bytes } from '../../base/units.js'
import { matchesGlob } from '../../command/glob.js'
import { collect, keysBySpecs } from '../../command/keys.js'
import type { KeySpec } from '../../command/row.js'
import { summaryOf } from '../../command/summaries.js'
import { type CommandSpec, type CommandTable, checkArity, findCommand, keysOf } from '../../command/table.js'
import type { Encoder } from '../../resp/encoder.js'
import type { NodeCommands } from '../dispatch.js'
import { bulkArray, lower, replyHelp, SYNTAX_ERROR } from './words.js'

export const tableCommands: NodeCommands = {
  command(_session, _args, reply, { table }) {
    const all = [...table]
    reply.array(all.length)
    for (const spec of all) replyInfo(spec, reply)
  },
  'command|count'(_session, _args, reply, { table }) {
    reply.integer([...table].length)
  },
  'command|info'(_session, args, reply, { table }) {
    const wanted = args.length > 2 ? args.slice(2).map(name => table.byFullName(name)) : [...table]
    reply.array(wanted.length)
    for (const spec of wanted) {
      if (spec === undefined) reply.null()
      else replyInfo(spec, reply)
    }
  },
  'command|docs'(_session, args, reply, { table }) {
    const named = args.slice(2).map(name => table.byFullName(name))
    const wanted = args.length > 2 ? named.filter(spec => spec !== undefined) : [...table]
    reply.map(wanted.length)
    for (const spec of wanted) {
      reply.bulk(spec.name)
      replyDocs(spec, reply)
    }
  },
  'command|list'(_session, args, reply, { table }) {
    const names = listed(args, table)
    if (names === undefined) return reply.error(SYNTAX_ERROR)
    bulkArray(reply, names)
  },
  'command|getkeys'(_session, args, reply, { table }) {
    const found = findKeys(args.slice(2), table)
    if ('error' in found) return reply.error(found.error)
    bulkArray(
      reply,
      found.positions.map(at => args[at + 2] as Bytes),
    )
  },
  'command|getkeysandflags'(_session, args, reply, { table }) {
    const call = args.slice(2)
    const found = findKeys(call, table)
    if ('error' in found) return reply.error(found.error)
    reply.array(found.positions.length)
    for (const at of found.positions) {
      reply.array(2)
      reply.bulk(call[at] as Bytes)
      const flags = flagsOfKey(found.spec, call, at)
      reply.set(flags.length)
      for (const flag of flags) reply.simple(flag)
    }
  },
  'command|help'(_session, _args, reply) {
    const spec = findCommand('command')
    if (spec !== undefined) replyHelp(spec, reply)
  },
}

function findKeys(
  call: readonly Bytes[],
  table: CommandTable,
): { readonly spec: CommandSpec; readonly positions: readonly number[] } | { readonly error: Bytes } {
  const spec = table.resolve(call)
  if (spec === undefined) return { error: 'ERR Invalid command specified' }
  if (spec.keySpecs.length === 0 && !spec.movableKeys) return { error: 'ERR The command has no key arguments' }
  if (!checkArity(spec, call.length)) return { error: 'ERR Invalid number of arguments specified for command' }
  const positions = spec.group === 'geo' ? keysBySpecs(spec, call) : keysOf(spec, call)
  if (positions.length === 0 && spec.name !== 'eval' && spec.name !== 'evalsha' && spec.name !== 'fcall') {
    return { error: 'ERR Invalid arguments specified for command' }
  }
  return { spec, positions }
}

function flagsOfKey(spec: CommandSpec, call: readonly Bytes[], at: number): readonly string[] {
  // Where these two have their further keys, no specification says.
  if (spec.name === 'sort' && at > 1) return ['OW', 'update']
  if (spec.name === 'migrate') return ['RW', 'access', 'delete']
  for (const keySpec of spec.keySpecs) {
    const positions: number[] = []
    collect(keySpec, call, positions)
    if (positions.includes(at))
      return keySpec.flags.includes('variable_flags') ? flagsOfCall(spec, call) : keySpec.flags
  }
  return []
}

/** What SET and BITFIELD do to their key depends on what else they are told. */
function flagsOfCall(spec: CommandSpec, call: readonly Bytes[]): readonly string[] {
  const words = call.slice(spec.name === 'set' ? 3 : 2).map(lower)
  if (spec.name === 'set') return words.includes('get') ? ['RW', 'access', 'update'] : ['OW', 'update']
  const changes = words.some(word => word === 'set' || word === 'incrby')
  return changes ? ['RW', 'access', 'update'] : ['RO', 'access']
}

/** COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN glob]; undefined when it is none of these. */
function listed(args: readonly Bytes[], table: CommandTable): string[] | undefined {
  if (args.length === 2) return table.specs.map(({ name }) => name)
  if (args.length !== 5 || lower(args[2]) !== 'filterby') return undefined
  const value = args[4] as Bytes
  switch (lower(args[3])) {
    case 'module':
      return []
    case 'aclcat':
      return table.specs.filter(spec => spec.categories.includes(`@${value.toLowerCase()}`)).map(({ name }) => name)
    case 'pattern':
      return table.specs.map(({ name }) => name).filter(name => matchesGlob(value, name, true))
    default:
      return undefined
  }
}

function replyInfo(spec: CommandSpec, reply: Encoder): void {
  reply.array(10)
  reply.bulk(spec.name)
  reply.integer(spec.arity)
  replyStatusSet([...spec.flags], reply)
  reply.integer(spec.firstKey)
  reply.integer(spec.lastKey)
  reply.integer(spec.keyStep)
  replyStatusSet(spec.categories, reply)
  bulkArray(reply, spec.tips)
  reply.set(spec.keySpecs.length)
  for (const keySpec of spec.keySpecs) replyKeySpec(keySpec, reply)
  const subcommands = [...(spec.subcommands?.values() ?? [])]
  reply.array(subcommands.length)
  for (const subcommand of subcommands) replyInfo(subcommand, reply)
}

function replyStatusSet(items: readonly string[], reply: Encoder): void {
  reply.set(items.length)
  for (const item of items) reply.simple(item)
}

function replyKeySpec(keySpec: KeySpec, reply: Encoder): void {
  reply.map(3)
  reply.bulk('flags')
  replyStatusSet(keySpec.flags, reply)
  reply.bulk('begin_search')
  const { begin, find } = keySpec
  if (begin.by === 'index') replyTyped(reply, 'index', [['index', begin.index]])
  else if (begin.by === 'keyword') {
    replyTyped(reply, 'keyword', [
      ['keyword', begin.keyword],
      ['startfrom', begin.from],
    ])
  } else replyTyped(reply, 'unknown', [])
  reply.bulk('find_keys')
  if (find.by === 'range') {
    replyTyped(reply, 'range', [
      ['lastkey', find.last],
      ['keystep', find.step],
      ['limit', find.limit],
    ])
  } else if (find.by === 'keynum') {
    replyTyped(reply, 'keynum', [
      ['keynumidx', find.numberAt],
      ['firstkey', find.firstAt],
      ['keystep', find.step],
    ])
  } else replyTyped(reply, 'unknown', [])
}

function replyTyped(reply: Encoder, type: string, fields: readonly (readonly [string, string | number])[]): void {
  reply.map(2)
  reply.bulk('type')
  reply.bulk(type)
  reply.bulk('spec')
  reply.map(fields.length)
  for (const [name, value] of fields) {
    reply.bulk(name)
    if (typeof value === 'number') reply.integer(value)
    else reply.bulk(value)
  }
}

function replyDocs(spec: CommandSpec, reply: Encoder): void {
  const subcommands = [...(spec.subcommands?.values() ?? [])]
  reply.map(subcommands.length > 0 ? 4 : 3)
  reply.bulk('summary')
  reply.bulk(summaryOf(spec.name))
  reply.bulk('since')
  reply.bulk(spec.since)
  reply.bulk('group')
  reply.bulk(spec.group)
  if (subcommands.length === 0) return
  reply.bulk('subcommands')
  reply.map(subcommands.length)
  for (const subcommand of subcommands) {
    reply.bulk(subcommand.name)
    replyDocs(subcommand, reply)
  }
}
