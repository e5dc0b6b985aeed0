/**
 * Help texts of containers, and what a key weighs.
 */
import type { Bytes } from '../../base/units.js'
import { findCommand } from '../../command/table.js'
import { countArg, isWord } from '../arguments.js'
import type { Handler } from '../call.js'
import { entryBytes } from '../memory.js'
import { SYNTAX } from '../refusal.js'

export const introspectionCommands: Readonly<Record<string, Handler>> = {
  'object|help': help,
  'xgroup|help': help,
  'xinfo|help': help,

  'memory|usage'(call, args, reply) {
    // SAMPLES is how many elements Redis weighs; we know what all of them weigh.
    for (let at = 3; at < args.length; at += 2) {
      if (!isWord(args[at], 'SAMPLES') || at + 1 >= args.length) throw SYNTAX
      countArg(args[at + 1], SYNTAX)
    }
    const key = args[2] as Bytes
    const value = call.peek(key)
    if (value === undefined) reply.null()
    else reply.integer(entryBytes(key, value))
  },
}

/** The subcommands the table knows, one per line. */
function help(...[, args, reply]: Parameters<Handler>): void {
  const spec = findCommand(args[0] as Bytes)
  const names = [...(spec?.subcommands?.keys() ?? [])].map(name => name.toUpperCase()).sort()
  reply.array(names.length + 1)
  reply.simple(`${spec?.name.toUpperCase()} <subcommand> [<argument> ...]. The subcommands are:`)
  for (const name of names) reply.simple(name)
}
