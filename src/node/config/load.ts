/**
 * Where the settings of a node come from: redis.conf, the files it includes, and `--directive value …` on the command
 * line, which comes last and wins. All mistakes are found before any of them is reported.
 */
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { isUserName } from '../../command/acl-rules.js'
import { splitWords } from '../../resp/decoder.js'
import { Config } from './config.js'
import { type DirectiveName, findDirective } from './directives.js'

/** What is wrong with the configuration, one line each: where, which directive, what is allowed. */
export class ConfigMistakes extends Error {
  override readonly name = 'ConfigMistakes'
  constructor(readonly mistakes: readonly string[]) {
    super(mistakes.join('\n'))
  }
}

export interface Loaded {
  readonly config: Config
  /** The file that CONFIG REWRITE writes; undefined when there was none. */
  readonly file: string | undefined
  /** `rename-command`: from the name in the table to the new one; empty removes it. */
  readonly renames: ReadonlyMap<string, string>
  /** `sentinel` lines, without that word: who is no sentinel has none. */
  readonly sentinel: readonly Line[]
  /** `user` lines: the name and the rules. */
  readonly users: readonly (readonly string[])[]
  /** One line per directive that is accepted and has no meaning here. */
  readonly warnings: readonly string[]
}

/** One directive and where it stands, for the mistake that it may be. */
export interface Line {
  readonly where: string
  readonly words: readonly string[]
}

/** Directives that are lines of the file only. */
const fileOnly = ['include', 'rename-command', 'user', 'loadmodule']
/** Gone since Redis 7.0 and read over by it. */
const gone = ['list-max-ziplist-entries', 'list-max-ziplist-value', 'lua-replicate-commands']
const MAX_INCLUDE_DEPTH = 16

/**
 * `argv` as in `lagrange node [redis.conf] [--directive value …]`. Relative names, `dir` too, are taken from `cwd`.
 * `defaults`: what a mode has instead of a node's.
 * Throws ConfigMistakes.
 */
export function loadConfig(
  argv: readonly string[],
  cwd: string,
  defaults: Readonly<Partial<Record<DirectiveName, number | boolean>>> = {},
): Loaded {
  const config = new Config()
  for (const [name, value] of Object.entries(defaults)) config.put(name as DirectiveName, value)
  const mistakes: string[] = []
  const warnings: string[] = []
  const renames = new Map<string, string>()
  const users: (readonly string[])[] = []
  const sentinel: Line[] = []
  const hasFile = argv[0] !== undefined && !argv[0].startsWith('--')
  const file = hasFile ? resolve(cwd, argv[0] as string) : undefined

  const assign = ({ where, words }: Line, depth: number): void => {
    const name = (words[0] as string).toLowerCase()
    const directive = findDirective(name)
    if (directive !== undefined) {
      const reason = config.assign(directive, words.slice(1))
      if (reason !== undefined) mistakes.push(`${where}: ${name}: ${reason}`)
    } else if (gone.includes(name)) warnings.push(`${where}: ${name} has no meaning any more`)
    else if (name === 'include' && words.length === 2) include(words[1] as string, where, depth + 1)
    else if (name === 'rename-command' && words.length === 3) {
      renames.set((words[1] as string).toLowerCase(), (words[2] as string).toLowerCase())
    } else if (name === 'user' && words.length > 1) addUser(words.slice(1), where)
    else if (name === 'sentinel' && words.length > 1) sentinel.push({ where, words: words.slice(1) })
    else if (fileOnly.includes(name) && words.length > 1)
      warnings.push(`${where}: ${name} is not supported and ignored`)
    else mistakes.push(`${where}: '${name}' is not a directive, or has the wrong number of arguments`)
  }
  const addUser = (user: readonly string[], where: string): void => {
    const [name = ''] = user
    if (!isUserName(name)) mistakes.push(`${where}: user: names of users have no spaces`)
    else if (users.some(([other]) => other === name)) {
      mistakes.push(`${where}: user: Duplicate user found. A user can only be defined once in config files`)
    } else users.push(user)
  }
  const include = (path: string, where: string, depth: number): void => {
    if (depth > MAX_INCLUDE_DEPTH) {
      mistakes.push(`${where}: includes are nested more than ${MAX_INCLUDE_DEPTH} deep`)
      return
    }
    const text = readFile(resolve(cwd, path), where, mistakes)
    if (text !== undefined) for (const line of linesOf(text, path, mistakes)) assign(line, depth)
  }

  if (hasFile) include(argv[0] as string, 'command line', 0)
  for (const line of commandLine(argv.slice(hasFile ? 1 : 0), mistakes)) assign(line, 0)
  const dir = resolve(cwd, config.text('dir'))
  if (!isFolder(dir)) mistakes.push(`dir: ${dir} is not a folder`)
  if (mistakes.length > 0) throw new ConfigMistakes(mistakes)
  for (const directive of config.ignored()) warnings.push(`${directive.name} has no effect here: ${directive.doc}`)
  return { config, file, renames, users, sentinel, warnings }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}

function readFile(path: string, where: string, mistakes: string[]): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    mistakes.push(`${where}: cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`)
    return undefined
  }
}

function* linesOf(text: string, path: string, mistakes: string[]): Generator<Line> {
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const where = `${path}:${index + 1}`
    const words = splitWords(line)
    if (words === undefined) mistakes.push(`${where}: unbalanced quotes`)
    else if (words.length > 0) yield { where, words }
  }
}

/**
 * `--save 900 1 --port 7000`: a word that begins with `--` begins a directive, unless the one before has no value yet and
 * takes it as that. A directive and its values may be one word (`"--port 7000"`); a lone `--save` means none.
 */
function* commandLine(argv: readonly string[], mistakes: string[]): Generator<Line> {
  let words: string[] = []
  let mayBegin = true
  for (const [at, arg] of argv.entries()) {
    if (!mayBegin || !arg.startsWith('--') || arg.length === 2) {
      words.push(arg)
      mayBegin = true
      continue
    }
    if (words.length > 0) yield option(words)
    words = [...(splitWords(arg.slice(2)) ?? [])]
    if (words.length === 0) mistakes.push(`command line: '${arg}' is no option`)
    const next = argv[at + 1]
    if (words.length === 1 && words[0] === 'save' && (next === undefined || next.startsWith('--'))) words.push('')
    mayBegin = words.length !== 1
  }
  if (words.length > 0) yield option(words)
}

/** The place of a mistake is the option as it was understood. */
function option(words: readonly string[]): Line {
  const [name, ...values] = words
  return { where: `option '${[name, ...values.map(value => JSON.stringify(value))].join(' ')}'`, words }
}
