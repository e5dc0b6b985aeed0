/**
 * Reading arguments of the node's own commands, and answers that several of them share.
 */
import type { Bytes } from '../../base/units.js'
import type { CommandSpec } from '../../command/table.js'
import type { Encoder } from '../../resp/encoder.js'

export const SYNTAX_ERROR = 'ERR syntax error'
export const NOT_AN_INTEGER = 'ERR value is not an integer or out of range'

/** A 64-bit integer as Redis reads it, without signs of plus or leading zeros; beyond 2^53 it is rounded. */
export function readInteger(text: Bytes | undefined): number | undefined {
  if (text === undefined || !/^(0|-?[1-9]\d{0,18})$/.test(text)) return undefined
  const value = Number(text)
  if (Math.abs(value) < 9e18) return value
  const exact = BigInt(text)
  return exact <= 9223372036854775807n && exact >= -9223372036854775808n ? value : undefined
}

export function lower(text: Bytes | undefined): string {
  return text === undefined ? '' : text.toLowerCase()
}

/** `<CONTAINER> HELP`: its subcommands, one a line. */
export function replyHelp(container: CommandSpec, reply: Encoder): void {
  const names = [...(container.subcommands?.values() ?? [])].map(spec => spec.name.slice(container.name.length + 1))
  const lines = [
    `${container.name.toUpperCase()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`,
    ...names.map(name => name.toUpperCase()),
  ]
  reply.array(lines.length)
  for (const line of lines) reply.simple(line)
}

export function bulkArray(reply: Encoder, items: readonly Bytes[]): void {
  reply.array(items.length)
  for (const item of items) reply.bulk(item)
}
