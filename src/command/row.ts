/**
 * One row of the command table, as it is written in the row files:
 *
 *     ['sort', -2, 'write denyoom movablekeys', 'generic', '1.0.0', 'set sortedset list dangerous', 'RO access 1; …', '']
 *       name  arity  flags                       group      since    categories beyond those     keys            tips
 *                                                                    the flags imply
 *
 * A subcommand is a row of its own, `container|name`, right behind its container. Arity counts the command's name;
 * negative means "at least".
 *
 * Keys are specifications separated by `;`: flags, where to begin, how to go on from there.
 *
 *     1           the first argument, one key             STREAMS/1   behind the word STREAMS, sought from argument 1 on
 *     1 -1/2/0    up to the last argument, every second   KEYS/-2     sought backwards from the last but one
 *     2 #0/1/1    argument 2 says how many follow it      ? ?         known to the command only: see keys.ts
 *
 * The middle notation is last/step/limit: a last below zero counts from the end, a limit of n takes the first 1/n of
 * what is left.
 */
export type CommandRow = readonly [
  name: string,
  arity: number,
  flags: string,
  group: string,
  since: string,
  categories: string,
  keys: string,
  tips: string,
]

export type KeyBegin =
  | { readonly by: 'index'; readonly index: number }
  | { readonly by: 'keyword'; readonly keyword: string; readonly from: number }
  | { readonly by: 'unknown' }

export type KeyFind =
  | { readonly by: 'range'; readonly last: number; readonly step: number; readonly limit: number }
  | { readonly by: 'keynum'; readonly numberAt: number; readonly firstAt: number; readonly step: number }
  | { readonly by: 'unknown' }

/** Where some of a command's keys stand and what it does to them. */
export interface KeySpec {
  /** Redis' own words: `RO` `RW` `OW` `RM`, `access` `update` `insert` `delete`, `not_key`, `incomplete`, `variable_flags`. */
  readonly flags: readonly string[]
  readonly begin: KeyBegin
  readonly find: KeyFind
}

export function parseKeySpecs(text: string): KeySpec[] {
  return text === '' ? [] : text.split('; ').map(parseKeySpec)
}

function parseKeySpec(text: string): KeySpec {
  const words = text.split(' ')
  const isBegin = (word: string) => /^(\d+|[A-Z]{3,}\/-?\d+|\?)$/.test(word)
  const at = words.findIndex(isBegin)
  return { flags: words.slice(0, at), begin: parseBegin(words[at] ?? '?'), find: parseFind(words[at + 1]) }
}

function parseBegin(word: string): KeyBegin {
  if (word === '?') return { by: 'unknown' }
  const [keyword, from] = word.split('/')
  return from === undefined
    ? { by: 'index', index: Number(keyword) }
    : { by: 'keyword', keyword: keyword as string, from: Number(from) }
}

function parseFind(word = '0/1/0'): KeyFind {
  if (word === '?') return { by: 'unknown' }
  const [a = 0, b = 0, c = 0] = word.replace('#', '').split('/').map(Number)
  return word.startsWith('#')
    ? { by: 'keynum', numberAt: a, firstAt: b, step: c }
    : { by: 'range', last: a, step: b, limit: c }
}
