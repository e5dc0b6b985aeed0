/**
 * The settings of one node: what the file and the command line said, what CONFIG SET changed, and who wants to know.
 *
 * Pure of files and sockets: reading and writing redis.conf is done by load.ts and the server.
 */
import { invariant } from '../../base/invariant.js'
import { matchesGlob } from '../../command/glob.js'
import { type Directive, type DirectiveName, directiveNames, directives, findDirective } from './directives.js'
import { parseValue, printValue, takesSeveral, type Value, wordsOf } from './values.js'

/** Why CONFIG SET was refused, in Redis' words. */
export class ConfigRefusal extends Error {
  override readonly name = 'ConfigRefusal'
}

export interface SetContext {
  readonly loading: boolean
  /** The client may use protected actions (`enable-protected-configs`). */
  readonly mayChangeProtected: boolean
}

/** Acts on a new value; answers why it cannot be had, and the old one is put back. */
type Apply = (value: Value) => string | undefined

export class Config {
  readonly #values = new Map<string, Value>()
  /** Several parts may act on one directive. */
  readonly #applies = new Map<string, Apply[]>()
  readonly #explicit = new Set<string>()
  /** `save` in the file adds to what earlier lines said, but the first one replaces the default. */
  #saveSeen = false

  constructor() {
    for (const directive of directives as readonly Directive[]) {
      const parsed = parseValue(directive, wordsOf(directive, directive.default), '')
      const outputLimits = directive.type.kind === 'output-limits'
      invariant(outputLimits || 'value' in parsed, `default of ${directive.name}`)
      this.#values.set(directive.name, outputLimits || !('value' in parsed) ? directive.default : parsed.value)
    }
  }

  flag(name: DirectiveName): boolean {
    return this.#values.get(name) as boolean
  }

  number(name: DirectiveName): number {
    return this.#values.get(name) as number
  }

  text(name: DirectiveName): string {
    return this.#values.get(name) as string
  }

  /** As CONFIG GET prints it. */
  print(name: DirectiveName): string {
    return printValue(findDirective(name) as Directive, this.#values.get(name) as Value)
  }

  /** `apply` is called with the present value now and with every new one. */
  watch(name: DirectiveName, apply: Apply): void {
    this.#applies.set(name, [...this.#appliesOf(name), apply])
    const refusal = apply(this.#values.get(name) as Value)
    invariant(refusal === undefined, `${name}: ${refusal}`)
  }

  /** Set by the file or the command line rather than left at its default. */
  isExplicit(name: DirectiveName): boolean {
    return this.#explicit.has(name)
  }

  /** One line of the file or of the command line; answers why it is refused. */
  assign(directive: Directive, words: readonly string[]): string | undefined {
    const several = takesSeveral(directive.type)
    const split = several && words.length === 1 ? wordsOf(directive, words[0] as string) : words
    const parsed = parseValue(directive, split, this.#values.get(directive.name) as Value)
    if ('refused' in parsed) return parsed.refused
    const adds = directive.name === 'save' && this.#saveSeen && parsed.value !== ''
    const value = adds ? `${this.#values.get('save')} ${parsed.value}`.trim() : parsed.value
    if (directive.name === 'save') this.#saveSeen = true
    this.#values.set(directive.name, value)
    this.#explicit.add(directive.name)
    return undefined
  }

  /** Sets a value from inside, such as `replicaof` after REPLICAOF. */
  put(name: DirectiveName, value: Value): void {
    this.#values.set(name, value)
  }

  /** CONFIG GET: pairs of name and value for exact names and globs, each name once. */
  get(patterns: readonly string[]): [string, string][] {
    const found = new Map<string, string>()
    for (const pattern of patterns) {
      if (!/[[*?]/.test(pattern)) {
        const directive = findDirective(pattern)
        if (directive !== undefined && !found.has(pattern)) found.set(pattern, this.#printed(directive))
        continue
      }
      for (const [name, directive] of directiveNames()) {
        if (directive.hidden !== true && !found.has(name) && matchesGlob(pattern, name, true)) {
          found.set(name, this.#printed(directive))
        }
      }
    }
    return [...found]
  }

  /** CONFIG SET: all of the pairs or none. Throws ConfigRefusal. */
  set(pairs: readonly (readonly [string, string])[], context: SetContext): void {
    const chosen = this.#choose(pairs, context)
    const before = chosen.map(([directive]) => this.#values.get(directive.name) as Value)
    for (const [directive, text] of chosen) {
      // Parted at each blank, as Redis does here: two of them have an empty word between them.
      const words = takesSeveral(directive.type) ? text.split(' ') : [text]
      const parsed = parseValue(directive, words, this.#values.get(directive.name) as Value)
      if ('refused' in parsed) {
        this.#restore(chosen, before, 0)
        throw refusal(directive.name, parsed.refused)
      }
      this.#values.set(directive.name, parsed.value)
    }
    for (const [index, [directive]] of chosen.entries()) {
      const value = this.#values.get(directive.name) as Value
      // A folder or a certificate may have changed behind an equal name; everything else that is equal needs no act.
      const file = directive.type.kind === 'dir' || directive.name.startsWith('tls-')
      if (value === before[index] && !file) continue
      for (const [at, apply] of this.#appliesOf(directive.name).entries()) {
        const reason = apply(value)
        if (reason === undefined) continue
        this.#restore(chosen, before, index)
        for (const told of this.#appliesOf(directive.name).slice(0, at)) told(before[index] as Value)
        throw refusal(directive.name, reason)
      }
    }
  }

  #appliesOf(name: string): readonly Apply[] {
    return this.#applies.get(name) ?? []
  }

  #choose(pairs: readonly (readonly [string, string])[], context: SetContext): [Directive, string][] {
    const chosen: [Directive, string][] = []
    for (const [name, text] of pairs) {
      const directive = findDirective(name)
      if (directive === undefined) {
        throw new ConfigRefusal(`ERR Unknown option or number of arguments for CONFIG SET - '${name}'`)
      }
      if (directive.mutable === false) throw refusal(name, "can't set immutable config")
      if (directive.protected === true && !context.mayChangeProtected) throw refusal(name, "can't set protected config")
      if (directive.notWhileLoading === true && context.loading) {
        throw new ConfigRefusal('LOADING Redis is loading the dataset in memory')
      }
      if (chosen.some(([other]) => other === directive)) throw refusal(name, 'duplicate parameter')
      chosen.push([directive, text])
    }
    return chosen
  }

  /** Puts all old values back, and tells those up to `applied`, which had been told the new ones. */
  #restore(chosen: readonly (readonly [Directive, string])[], before: readonly Value[], applied: number): void {
    for (const [index, [directive]] of chosen.entries()) {
      const value = before[index] as Value
      this.#values.set(directive.name, value)
      if (index < applied) for (const apply of this.#appliesOf(directive.name)) apply(value)
    }
  }

  #printed(directive: Directive): string {
    return printValue(directive, this.#values.get(directive.name) as Value)
  }

  /** Directives without meaning for us that were set to something else than their default. */
  ignored(): readonly Directive[] {
    return (directives as readonly Directive[]).filter(directive => {
      if (directive.applies !== false || !this.#explicit.has(directive.name)) return false
      return this.#printed(directive) !== directive.default
    })
  }
}

function refusal(name: string, reason: string): ConfigRefusal {
  return new ConfigRefusal(`ERR CONFIG SET failed (possibly related to argument '${name}') - ${reason}`)
}
