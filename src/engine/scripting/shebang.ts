/**
 * The first line of a script: `#!lua flags=no-writes,allow-stale`, of a library: `#!lua name=mylib`.
 */
import type { Bytes } from '../../base/units.js'

export interface ScriptFlags {
  readonly noWrites: boolean
  readonly allowOom: boolean
  readonly allowStale: boolean
}

/** Every flag Redis 7.0 knows, in its order. The last two are about clusters, of which we are none. */
export const flagNames = ['no-writes', 'allow-oom', 'allow-stale', 'no-cluster', 'allow-cross-slot-keys'] as const

export type FlagName = (typeof flagNames)[number]

export function isFlagName(name: Bytes): name is FlagName {
  return (flagNames as readonly string[]).includes(name)
}

export function flagsOf(names: readonly Bytes[]): ScriptFlags {
  return {
    noWrites: names.includes('no-writes'),
    // What writes nothing takes no memory that counts.
    allowOom: names.includes('allow-oom') || names.includes('no-writes'),
    allowStale: names.includes('allow-stale'),
  }
}

/** The code below the first line, which stays as an empty one so that line numbers are right. */
export interface ParsedScript {
  readonly code: Bytes
  /** undefined: a script of the old kind, without a first line. */
  readonly flags: ScriptFlags | undefined
}

export function parseScript(source: Bytes): ParsedScript | { readonly error: Bytes } {
  if (!source.startsWith('#!')) return { code: source, flags: undefined }
  const end = source.indexOf('\n')
  if (end < 0) return { error: 'ERR Invalid script shebang' }
  const words = splitWords(source.slice(0, end))
  const [engine, ...options] = words ?? []
  if (engine === undefined) return { error: 'ERR Invalid engine in script shebang' }
  if (engine !== '#!lua') return { error: `ERR Unexpected engine in script shebang: ${engine}` }
  let names: readonly Bytes[] = []
  for (const option of options) {
    if (!option.startsWith('flags=')) return { error: `ERR Unknown lua shebang option: ${option}` }
    const list = option.slice('flags='.length)
    names = list === '' ? [] : list.split(',')
    const unknown = names.find(name => !isFlagName(name))
    if (unknown !== undefined) return { error: `ERR Unexpected flag in script shebang: ${unknown}` }
  }
  return { code: source.slice(end), flags: flagsOf(names) }
}

export interface ParsedLibrary {
  readonly name: Bytes
  readonly engine: Bytes
  readonly code: Bytes
}

export const NAME_RULE =
  'Library names can only contain letters, numbers, or underscores(_) and must be at least one character long'

export function parseLibrary(source: Bytes): ParsedLibrary | { readonly error: Bytes } {
  if (!source.startsWith('#!')) return { error: 'ERR Missing library metadata' }
  const end = source.indexOf('\n')
  if (end < 0) return { error: 'ERR Invalid library metadata' }
  const words = splitWords(source.slice(0, end))
  const [head, ...options] = words ?? []
  if (head === undefined) return { error: 'ERR Invalid library metadata' }
  let name: Bytes | undefined
  for (const option of options) {
    if (!option.toLowerCase().startsWith('name=')) return { error: `ERR Invalid metadata value given: ${option}` }
    if (name !== undefined) return { error: 'ERR Invalid metadata value, name argument was given multiple times' }
    name = option.slice('name='.length)
  }
  if (name === undefined) return { error: 'ERR Library name was not given' }
  if (!isName(name)) return { error: `ERR ${NAME_RULE}` }
  const engine = head.slice(2)
  if (engine.toLowerCase() !== 'lua') return { error: `ERR Engine '${engine}' not found` }
  return { name, engine: 'LUA', code: source.slice(end) }
}

export function isName(text: Bytes): boolean {
  return /^\w+$/.test(text)
}

/** Words with quotes as redis-cli reads them; undefined when a quote is left open. */
function splitWords(line: Bytes): Bytes[] | undefined {
  const words: Bytes[] = []
  const pattern = /\s*((?:"(?:\\[\s\S]|[^"\\])*"|'(?:\\'|[^'])*'|[^\s"'])+)/y
  let at = 0
  while (line.slice(at).trim() !== '') {
    pattern.lastIndex = at
    const match = pattern.exec(line)
    if (match === null) return undefined
    words.push((match[1] as Bytes).replace(/"((?:\\[\s\S]|[^"\\])*)"|'((?:\\'|[^'])*)'/g, (_all, a, b) => a ?? b))
    at = pattern.lastIndex
  }
  return words
}
