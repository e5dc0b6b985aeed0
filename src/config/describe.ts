/**
 * The options in words: for --print-config, the example file, the reference and the list of what a reload changes.
 */
import { stringify } from 'yaml'
import { denormalize } from './formats.js'
import { allowedText, type ConfigSchema, listOptions, type NamedOption, type Reload } from './option.js'

export interface OptionDescription {
  readonly path: string
  readonly doc: string
  readonly allowed: string
  readonly default: unknown
  readonly env: string | undefined
  readonly flag: string | undefined
  readonly reload: Reload
  readonly sensitive: boolean
}

export function describeOptions<C>(schema: ConfigSchema<C>): readonly OptionDescription[] {
  return listOptions(schema.options).map(option => ({
    path: option.path,
    doc: option.doc,
    allowed: allowedText(option),
    default: denormalize(option.default),
    env: option.env,
    flag: option.flag,
    reload: option.reload,
    sensitive: option.sensitive === true,
  }))
}

export interface ConfigChange {
  readonly path: string
  readonly from: unknown
  readonly to: unknown
  readonly reload: Reload
}

/** What differs, in the order of the options; secrets are masked, but that they changed is said. */
export function diffConfig<C>(schema: ConfigSchema<C>, from: C, to: C): readonly ConfigChange[] {
  return listOptions(schema.options).flatMap(option => {
    const before = at(from, option.path)
    const after = at(to, option.path)
    if (JSON.stringify(before) === JSON.stringify(after)) return []
    return [{ path: option.path, from: shown(option, before), to: shown(option, after), reload: option.reload }]
  })
}

/** What a reload takes over: `config`, with the options of `loaded` that can change while it runs. */
export function withLive<C>(schema: ConfigSchema<C>, config: C, loaded: C): C {
  const tree: Record<string, unknown> = {}
  for (const option of listOptions(schema.options)) {
    put(tree, option.path, at(option.reload === 'live' ? loaded : config, option.path))
  }
  return tree as C
}

/** The configuration as a file that loads again, but for secrets, which are masked. */
export function printConfig<C>(schema: ConfigSchema<C>, config: C): string {
  const tree: Record<string, unknown> = {}
  for (const option of listOptions(schema.options)) put(tree, option.path, shown(option, at(config, option.path)))
  return stringify(tree, { lineWidth: 0 })
}

/** The configuration as plain JSON data, secrets masked: for the admin API. */
export function maskConfig<C>(schema: ConfigSchema<C>, config: C): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    listOptions(schema.options).map(option => [option.path, shown(option, at(config, option.path))]),
  )
}

/** A file with every option at its default, each explained where it is set. */
export function exampleFile<C>(schema: ConfigSchema<C>, head: string): string {
  const lines = comment(head, '')
  let section = ''
  for (const option of listOptions(schema.options)) {
    const [name, parent] = splitPath(option.path)
    if (parent !== section) {
      section = parent
      if (parent !== '') lines.push('', `${parent}:`)
    }
    const indent = parent === '' ? '' : '  '
    lines.push('', ...comment(`${option.doc}\n${origins(option)}`, indent))
    const yaml = stringify({ [name]: denormalize(option.default) }, { lineWidth: 0 }).trimEnd()
    lines.push(...yaml.split('\n').map(line => indent + line))
  }
  return `${lines.join('\n').replace(/:\n\n {2}#/g, ':\n  #')}\n`
}

function origins(option: NamedOption): string {
  const names = [option.env, option.flag === undefined ? undefined : `--${option.flag}`].filter(
    name => name !== undefined,
  )
  const reload = option.reload === 'live' ? 'a change is taken over at a reload' : 'a change needs a restart'
  const also = names.length === 0 ? 'Set in a file only' : `Also ${names.join(' or ')}`
  return `Allowed: ${allowedText(option)}.\n${also}; ${reload}.`
}

const masked = '[masked]'

function shown(option: NamedOption, value: unknown): unknown {
  if (option.sensitive) return value === '' ? '' : masked
  return denormalize(value)
}

function at(tree: unknown, path: string): unknown {
  return path.split('.').reduce((node, name) => (node as Record<string, unknown> | undefined)?.[name], tree)
}

function put(tree: Record<string, unknown>, path: string, value: unknown): void {
  const [name, parent] = splitPath(path)
  if (parent === '') tree[name] = value
  else ((tree[parent] ??= {}) as Record<string, unknown>)[name] = value
}

/** Sections are one level deep: `hold.timeoutMs`. */
function splitPath(path: string): readonly [name: string, parent: string] {
  const dot = path.indexOf('.')
  return dot < 0 ? [path, ''] : [path.slice(dot + 1), path.slice(0, dot)]
}

function comment(text: string, indent: string): string[] {
  return text.split('\n').flatMap(line => wrap(line, 116 - indent.length).map(part => `${indent}# ${part}`.trimEnd()))
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
