/**
 * A command as MONITOR and the slow log may show it: without passwords.
 */
import type { Bytes } from '../base/units.js'
import type { CommandSpec } from '../command/table.js'
import { findDirective } from './config/directives.js'

const HIDDEN = '(redacted)'

export function redact({ name }: CommandSpec, args: readonly Bytes[]): readonly Bytes[] {
  switch (name) {
    case 'auth':
      return hideFrom(args, 1)
    case 'hello':
      return hideFrom(args, 3)
    case 'acl|setuser':
      return hideFrom(args, 2)
    case 'config|set':
      return args.map((arg, at) => (at > 2 && findDirective(args[at - 1] as Bytes)?.sensitive === true ? HIDDEN : arg))
    case 'migrate':
      return hideBehind(args, { AUTH: 1, AUTH2: 2 })
    default:
      return args
  }
}

function hideFrom(args: readonly Bytes[], first: number): readonly Bytes[] {
  return args.map((arg, at) => (at < first ? arg : HIDDEN))
}

/** Hides so many arguments behind each of the words. */
function hideBehind(args: readonly Bytes[], words: Readonly<Record<string, number>>): readonly Bytes[] {
  let hide = 0
  return args.map(arg => {
    if (hide-- > 0) return HIDDEN
    hide = words[arg.toUpperCase()] ?? 0
    return arg
  })
}
