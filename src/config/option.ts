/**
 * What an option is: one row says its meaning, default, names and whether a change takes effect without a restart.
 * convict checks values against the rows; the example file, --help, --print-config and the reference are made from them.
 */
import type { SchemaObj } from 'convict'

/** `live`: taken over at a reload. `restart`: noticed at a reload, and said that it needs one. */
export type Reload = 'live' | 'restart'

export interface Option {
  /** Sentences: what it does, what it costs, what it interacts with. */
  readonly doc: string
  readonly default: unknown
  /** The name of a format of formats.ts, or the values to choose from. */
  readonly format: string | readonly string[]
  /** What is allowed, as it completes "must be …"; made from `format` where that is a list. */
  readonly allowed?: string
  /** The environment variable; a setting without one comes from the file only. */
  readonly env?: string
  /** The flag, without dashes. Secrets have none: arguments can be read by everyone on the machine. */
  readonly flag?: string
  /** What --help shows in place of the value. */
  readonly placeholder?: string
  readonly reload: Reload
  /** The value is masked wherever it is printed. */
  readonly sensitive?: true
  /** This option names a file whose content is the value of that one. */
  readonly fileFor?: string
}

export interface OptionTree {
  readonly [name: string]: Option | OptionTree
}

/** A command's options: how the tree is called, and what must hold between its values. */
export interface ConfigSchema<C> {
  readonly name: string
  readonly options: OptionTree
  /** Contradictions between options that are fine by themselves: `path: reason`. */
  readonly check: (config: C) => readonly string[]
}

export type NamedOption = Option & { readonly path: string }

/** The rows of a tree in the order of the tree, each with its dotted path. */
export function listOptions(tree: OptionTree, prefix = ''): readonly NamedOption[] {
  return Object.entries(tree).flatMap(([name, node]) =>
    isOption(node) ? [{ ...node, path: prefix + name }] : listOptions(node, `${prefix}${name}.`),
  )
}

/** "a whole number from 1 to 64, or auto": completes "must be". */
export function allowedText(option: Option): string {
  if (option.allowed !== undefined) return option.allowed
  return typeof option.format === 'string' ? option.format : `one of ${option.format.join(', ')}`
}

/** The tree as convict wants it: only what convict knows. Reading of environment and arguments stays with us. */
export function toConvict(tree: OptionTree): Record<string, SchemaObj> {
  const entries = Object.entries(tree).map(([name, node]) => {
    if (!isOption(node)) return [name, toConvict(node)]
    const format = typeof node.format === 'string' ? node.format : [...node.format]
    return [name, { doc: node.doc, default: node.default, format, sensitive: node.sensitive === true }]
  })
  return Object.fromEntries(entries)
}

function isOption(node: Option | OptionTree): node is Option {
  return typeof node.doc === 'string'
}
