/**
 * From a file, the environment and flags to one checked configuration.
 *
 * Every source is a list of assignments: option, value, origin. Each assignment is judged by itself, so that a message
 * can say where the mistake was written; all mistakes of all sources are collected before we give up.
 *
 *     config/proxy.yaml:12: hold.timeoutMs: must be a whole number of milliseconds from 0 to 86400000, not "soon"
 *     LAGRANGE_WORKERS: workers: must be a whole number from 1 to 64, or auto, not "many"
 */
import convict from 'convict'
import { type Document, isAlias, isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml'
import { normalize } from './formats.js'
import {
  allowedText,
  type ConfigSchema,
  listOptions,
  type NamedOption,
  type Option,
  type OptionTree,
  toConvict,
} from './option.js'
import { type ProxyConfig, proxySchema, type UpConfig, upSchema } from './schema.js'
import { nearest } from './suggest.js'

export interface ConfigSources {
  /** The path of the YAML file. */
  readonly file?: string | undefined
  /** Throws when the file cannot be read; the message is shown. */
  readonly readFile: (path: string) => string
  /** As `readFile`, and throws too when others may read it. */
  readonly readSecret: (path: string) => string
  readonly env: Readonly<Record<string, string | undefined>>
  /** By the name of the flag, without dashes. */
  readonly flags: Readonly<Record<string, string | undefined>>
}

export interface LoadedConfig<C> {
  readonly config: C
  /** Where each value comes from, by the path of its option; a default is not listed. */
  readonly origins: ReadonlyMap<string, string>
  /** Not wrong, but surely not meant: a variable that is almost one of ours. */
  readonly warnings: readonly string[]
}

export type LoadResult<C> = LoadedConfig<C> | { readonly errors: readonly string[] }

export const loadProxyConfig = (sources: ConfigSources): LoadResult<ProxyConfig> => loadConfig(proxySchema, sources)

export const loadUpConfig = (sources: ConfigSources): LoadResult<UpConfig> => loadConfig(upSchema, sources)

export function loadConfig<C>(schema: ConfigSchema<C>, sources: ConfigSources): LoadResult<C> {
  const options = listOptions(schema.options)
  const errors: string[] = []
  const fromFile = sources.file === undefined ? [] : readYaml(options, sources.file, sources.readFile)
  const assignments = [...fromFile, ...fromEnvironment(options, sources.env), ...fromFlags(options, sources.flags)]

  const tree = emptyTree(schema.options)
  const origins = new Map<string, string>()
  for (const assignment of assignments) {
    if ('mistake' in assignment) {
      errors.push(assignment.mistake)
      continue
    }
    const reasons = judge(assignment)
    errors.push(...reasons.map(reason => `${assignment.origin}: ${assignment.option.path}${reason}`))
    if (reasons.length > 0) continue
    tree.set(assignment.option.path, assignment.value)
    origins.set(assignment.option.path, assignment.origin)
  }
  for (const option of options) readSecretFile(option, tree, origins, sources.readSecret, errors)

  tree.validate({ allowed: 'strict' })
  const config = tree.getProperties() as C
  // Checks between options would only repeat what is wrong with one of them.
  if (errors.length === 0) errors.push(...schema.check(config).map(reason => withOrigin(reason, origins)))
  return errors.length > 0 ? { errors } : { config, origins, warnings: misspelt(options, sources.env) }
}

/** convict's tree; its values are typed by our schema only when it is whole. */
type Tree = convict.Config<Record<string, unknown>>

/** All defaults. Environment and arguments are ours to read, so convict sees none. */
function emptyTree(options: OptionTree): Tree {
  return convict<Record<string, unknown>>(toConvict(options), { env: {}, args: [] })
}

interface Assignment {
  readonly option: NamedOption
  readonly value: unknown
  /** `config/proxy.yaml:12`, `LAGRANGE_WORKERS` or `--workers`. */
  readonly origin: string
}

/** Found while reading a file: what is written there sets no option. */
interface Mistake {
  readonly mistake: string
}

function fromEnvironment(options: readonly NamedOption[], env: ConfigSources['env']): readonly Assignment[] {
  return options.flatMap(option => {
    const text = option.env === undefined ? undefined : env[option.env]
    if (text === undefined || option.env === undefined) return []
    return [{ option, value: normalize(option.format, text), origin: option.env }]
  })
}

function fromFlags(options: readonly NamedOption[], flags: ConfigSources['flags']): readonly Assignment[] {
  return options.flatMap(option => {
    const text = option.flag === undefined ? undefined : flags[option.flag]
    return text === undefined ? [] : [{ option, value: normalize(option.format, text), origin: `--${option.flag}` }]
  })
}

/** What a file sets, in the order of its lines. */
function readYaml(
  options: readonly NamedOption[],
  file: string,
  readFile: (path: string) => string,
): readonly (Assignment | Mistake)[] {
  let text: string
  try {
    text = readFile(file)
  } catch (error) {
    return [{ mistake: `${file}: cannot be read: ${(error as Error).message}` }]
  }
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  if (document.errors.length > 0) {
    return document.errors.map(error => ({
      mistake: `${file}:${lines.linePos(error.pos[0]).line}: ${error.message}`,
    }))
  }
  const place = (node: unknown) => {
    const offset = (node as { range?: readonly number[] | null } | null)?.range?.[0]
    return offset === undefined ? file : `${file}:${lines.linePos(offset).line}`
  }

  const found: (Assignment | Mistake)[] = []
  const walk = (given: unknown, prefix: string): void => {
    const node = isAlias(given) ? given.resolve(document) : given
    if (node === null || node === undefined || (isScalar(node) && node.value === null)) return // an empty file, an empty section
    if (!isMap(node)) {
      const what = prefix === '' ? 'the file' : prefix.slice(0, -1)
      found.push({ mistake: `${place(node)}: ${what}: must be a section with options, not a value` })
      return
    }
    for (const { key, value } of node.items) {
      const path = `${prefix}${String(isScalar(key) ? key.value : key)}`
      const option = options.find(candidate => candidate.path === path)
      if (option !== undefined) {
        found.push(readValue(option, value, document, place(key)))
      } else if (options.some(candidate => candidate.path.startsWith(`${path}.`))) walk(value, `${path}.`)
      else found.push({ mistake: `${place(key)}: ${path}: ${unknownOption(options, path, prefix)}` })
    }
  }
  walk(document.contents, '')
  return found
}

function readValue(option: NamedOption, node: unknown, document: Document, origin: string): Assignment | Mistake {
  try {
    const value: unknown = isNode(node) ? node.toJS(document) : null
    return { option, value: normalize(option.format, value), origin }
  } catch (error) {
    // An alias without its anchor, or one that is inside what it stands for.
    return { mistake: `${origin}: ${option.path}: ${(error as Error).message}` }
  }
}

function unknownOption(options: readonly NamedOption[], path: string, prefix: string): string {
  const siblings = options
    .filter(option => option.path.startsWith(prefix))
    .map(option => option.path.slice(prefix.length))
  const names = [...new Set(siblings.map(name => name.split('.')[0] as string))]
  const close = nearest(path.slice(prefix.length), names)
  const hint = close === undefined ? '' : `, did you mean ${prefix}${close}?`
  return `unknown option${hint} (allowed here: ${names.join(', ')})`
}

/** A tree with this option alone: convict looks at all that it is given. */
function treeOf(option: NamedOption): OptionTree {
  return option.path
    .split('.')
    .reduceRight<Option | OptionTree>((node, name) => ({ [name]: node }), option) as OptionTree
}

/** What convict says about this one value: nothing, or the reasons why it cannot be. */
function judge({ option, value }: Assignment): readonly string[] {
  const alone = emptyTree(treeOf(option))
  try {
    alone.set(option.path, value).validate({ allowed: 'strict' })
    return []
  } catch (error) {
    const { message } = error as Error
    const inList = message.split('\n').flatMap(line => /(\[\d+\].*?)(?:: value was .*)?$/.exec(line)?.[1] ?? [])
    if (Array.isArray(value) && inList.length > 0 && value.length > 0) return inList
    const found = option.sensitive ? '' : `, not ${JSON.stringify(value)}`
    return [`: must be ${allowedText(option)}${found}`]
  }
}

/** `passwordFile: path` fills `password`, unless that came from a stronger source. */
function readSecretFile(
  option: NamedOption,
  tree: Tree,
  origins: Map<string, string>,
  readSecret: (path: string) => string,
  errors: string[],
): void {
  const file: unknown = tree.get(option.path)
  if (option.fileFor === undefined || typeof file !== 'string' || file === '') return
  const origin = origins.get(option.path) ?? 'default'
  const direct = origins.get(option.fileFor)
  if (direct !== undefined) {
    errors.push(`${origin}: ${option.path}: ${option.fileFor} is set too, by ${direct}; give one of them`)
    return
  }
  try {
    const secret = readSecret(file).replace(/\r?\n$/, '')
    if (secret === '') errors.push(`${origin}: ${option.path}: ${file} is empty`)
    tree.set(option.fileFor, secret)
    origins.set(option.fileFor, file)
  } catch (error) {
    errors.push(`${origin}: ${option.path}: ${file} cannot be used: ${(error as Error).message}`)
  }
}

/** Puts the origin of the option before the reason: `file:3: path: reason`. */
function withOrigin(reason: string, origins: ReadonlyMap<string, string>): string {
  const origin = origins.get(reason.slice(0, reason.indexOf(':')))
  return origin === undefined ? reason : `${origin}: ${reason}`
}

/** Variables with our prefix that are no option, but almost. Others may be someone else's: Kubernetes makes some up. */
function misspelt(options: readonly NamedOption[], env: ConfigSources['env']): readonly string[] {
  const names = options.flatMap(option => option.env ?? [])
  const strange = Object.keys(env).filter(name => name.startsWith('LAGRANGE_') && !names.includes(name))
  return strange.flatMap(name => {
    const close = nearest(name, names)
    return close === undefined ? [] : [`${name} is not an option; did you mean ${close}?`]
  })
}
