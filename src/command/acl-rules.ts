/**
 * From rules to users, `ACL SETUSER name rule …`, and back, as ACL LIST and the users' file print them.
 *
 *     on off nopass >password <password #hash !hash resetpass sanitize-payload …     the user
 *     +cmd -cmd +cmd|sub +@category allcommands  ~key %R~key allkeys  &channel …     its root selector
 *     (rule …) clearselectors                                                        further selectors
 *
 * All rules of one change are good or none takes effect. How a password is hashed is told by who calls.
 */
import type { Bytes } from '../base/units.js'
import { splitWords } from '../resp/decoder.js'
import type { KeyPattern, Selector, User } from './acl.js'
import type { CommandSpec } from './spec.js'
import type { CommandTable } from './table.js'

export interface RuleContext {
  readonly table: CommandTable
  /** SHA-256 in hexadecimal. */
  readonly hash: (password: Bytes) => string
  /** `acl-pubsub-default allchannels`: new selectors hear everything. */
  readonly allChannels: boolean
}

export const categoryNames: readonly string[] = (
  'keyspace read write set sortedset list hash string bitmap hyperloglog geo stream pubsub admin fast slow blocking ' +
  'dangerous connection transaction scripting'
).split(' ')

const refused = {
  unknown: 'Unknown command or category name in ACL',
  syntax: 'Syntax error',
  keyAfterAll:
    "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns",
  channelAfterAll:
    "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels",
  noSuchPassword: 'The password you are trying to remove from the user does not exist',
  badHash: 'The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters',
  firstArgOfSub: 'Allowing first-arg of a subcommand is not supported',
} as const

/** Thrown inside this file only. */
class RuleError extends Error {
  override readonly name = 'RuleError'
}

/** May nothing, and is off. */
export function newUser(name: Bytes, context: RuleContext): User {
  return {
    name,
    enabled: false,
    nopass: false,
    payload: undefined,
    passwords: [],
    selectors: [newSelector(context)],
  }
}

/** The `default` user of a server that was told nothing. */
export function openUser(name: Bytes, context: RuleContext): User {
  const made = applyRules(newUser(name, context), ['on', 'nopass', '~*', '&*', '+@all'], context)
  return 'user' in made ? made.user : newUser(name, context)
}

export function isUserName(name: Bytes): boolean {
  return !hasSpaces(name)
}

/** The user with the rules applied in their order, or why that cannot be, in Redis' words. */
export function applyRules(
  user: User,
  rules: readonly Bytes[],
  context: RuleContext,
): { readonly user: User } | { readonly error: Bytes; readonly rule: Bytes; readonly because: Bytes } {
  const merged = mergeSelectors(rules)
  if ('unmatched' in merged) {
    const error = `Unmatched parenthesis in acl selector starting at '${merged.unmatched}'.`
    return { error, rule: merged.unmatched, because: error }
  }
  let made = user
  for (const rule of merged.rules) {
    try {
      made = applyRule(made, rule, context)
    } catch (error) {
      if (!(error instanceof RuleError)) throw error
      return { error: `Error in ACL SETUSER modifier '${rule}': ${error.message}`, rule, because: error.message }
    }
  }
  return { user: made }
}

/** A selector may be spread over several words; it is one rule. */
function mergeSelectors(rules: readonly Bytes[]): { readonly rules: readonly Bytes[] } | { readonly unmatched: Bytes } {
  const merged: Bytes[] = []
  let open: { readonly begin: Bytes; text: Bytes } | undefined
  for (const rule of rules) {
    if (rule.startsWith('(') && !rule.endsWith(')')) open = { begin: rule, text: rule }
    else if (open === undefined) merged.push(rule)
    else {
      open.text += ` ${rule}`
      if (!rule.endsWith(')')) continue
      merged.push(open.text)
      open = undefined
    }
  }
  return open === undefined ? { rules: merged } : { unmatched: open.begin }
}

function applyRule(user: User, rule: Bytes, context: RuleContext): User {
  if (rule === '') return user
  switch (rule.toLowerCase()) {
    case 'on':
      return { ...user, enabled: true }
    case 'off':
      return { ...user, enabled: false }
    case 'nopass':
      return { ...user, nopass: true, passwords: [] }
    case 'resetpass':
      return { ...user, nopass: false, passwords: [] }
    case 'sanitize-payload':
      return { ...user, payload: 'sanitize-payload' }
    case 'skip-sanitize-payload':
      return { ...user, payload: 'skip-sanitize-payload' }
    case 'clearselectors':
      return { ...user, selectors: user.selectors.slice(0, 1) }
    case 'reset':
      return { ...newUser(user.name, context), payload: 'sanitize-payload' }
  }
  const value = rule.slice(1)
  switch (rule[0]) {
    case '>':
      return withPassword(user, context.hash(value))
    case '#':
      return withPassword(user, checkHash(value))
    case '<':
      return withoutPassword(user, context.hash(value))
    case '!':
      return withoutPassword(user, checkHash(value))
  }
  if (rule.startsWith('(') && rule.endsWith(')')) {
    const words = splitWords(rule.slice(1, -1)) ?? []
    const added = words.reduce((selector, word) => applyToSelector(selector, word, context), newSelector(context))
    return { ...user, selectors: [...user.selectors, added] }
  }
  const [root, ...others] = user.selectors
  return { ...user, selectors: [applyToSelector(root as Selector, rule, context), ...others] }
}

function withPassword(user: User, hash: string): User {
  const passwords = user.passwords.includes(hash) ? user.passwords : [...user.passwords, hash]
  return { ...user, nopass: false, passwords }
}

function withoutPassword(user: User, hash: string): User {
  if (!user.passwords.includes(hash)) throw new RuleError(refused.noSuchPassword)
  return { ...user, passwords: user.passwords.filter(other => other !== hash) }
}

function checkHash(hash: Bytes): string {
  if (!/^[0-9a-f]{64}$/.test(hash)) throw new RuleError(refused.badHash)
  return hash
}

// ── Selectors ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function newSelector({ table, allChannels }: RuleContext): Selector {
  return {
    commands: new Uint8Array(table.specs.length),
    future: false,
    firstArgs: new Map(),
    allKeys: false,
    keys: [],
    allChannels,
    channels: [],
  }
}

function applyToSelector(selector: Selector, rule: Bytes, context: RuleContext): Selector {
  switch (rule.toLowerCase()) {
    case 'allkeys':
    case '~*':
      return { ...selector, allKeys: true, keys: [] }
    case 'resetkeys':
      return { ...selector, allKeys: false, keys: [] }
    case 'allchannels':
    case '&*':
      return { ...selector, allChannels: true, channels: [] }
    case 'resetchannels':
      return { ...selector, allChannels: false, channels: [] }
    case 'allcommands':
    case '+@all':
      return { ...selector, commands: selector.commands.slice().fill(1), future: true, firstArgs: new Map() }
    case 'nocommands':
    case '-@all':
      return { ...selector, commands: selector.commands.slice().fill(0), future: false, firstArgs: new Map() }
  }
  switch (rule[0]) {
    case '~':
    case '%':
      return withKeys(selector, rule)
    case '&':
      return withChannel(selector, rule.slice(1))
    case '+':
    case '-':
      return withCommands(selector, rule, context.table)
    default:
      throw new RuleError(refused.syntax)
  }
}

function withKeys(selector: Selector, rule: Bytes): Selector {
  if (selector.allKeys) throw new RuleError(refused.keyAfterAll)
  // `%R` without a tilde is read as a pattern for the empty key, as Redis does.
  const [, letters, pattern] = /^(~|%(?:[Rr](?:[Ww])?|[Ww](?:[Rr])?)?(?:~|$))(.*)$/s.exec(rule) ?? []
  if (letters === undefined || pattern === undefined || hasSpaces(pattern)) throw new RuleError(refused.syntax)
  const added: KeyPattern = {
    pattern,
    read: letters === '~' || /r/i.test(letters),
    write: letters === '~' || /w/i.test(letters),
  }
  if (!added.read && !added.write) throw new RuleError(refused.syntax)
  const known = selector.keys.find(other => other.pattern === pattern)
  if (known === undefined) return { ...selector, keys: [...selector.keys, added] }
  const both = { pattern, read: known.read || added.read, write: known.write || added.write }
  return { ...selector, keys: selector.keys.map(other => (other === known ? both : other)) }
}

function withChannel(selector: Selector, channel: Bytes): Selector {
  if (selector.allChannels) throw new RuleError(refused.channelAfterAll)
  if (hasSpaces(channel)) throw new RuleError(refused.syntax)
  return selector.channels.includes(channel) ? selector : { ...selector, channels: [...selector.channels, channel] }
}

function withCommands(selector: Selector, rule: Bytes, table: CommandTable): Selector {
  const value = rule[0] === '+' ? 1 : 0
  const name = rule.slice(1)
  if (name.startsWith('@')) return withCategory(selector, name.toLowerCase(), value, table)
  const bar = value === 1 ? name.lastIndexOf('|') : -1
  if (bar >= 0) {
    const container = find(table, name.slice(0, bar))
    if (container.container !== undefined) throw new RuleError(refused.firstArgOfSub)
    if (bar === name.length - 1) throw new RuleError(refused.syntax)
    if (container.subcommands === undefined) return withFirstArg(selector, container, name.slice(bar + 1))
  }
  return changed(selector, [find(table, name)], value)
}

function withCategory(selector: Selector, category: string, value: 0 | 1, table: CommandTable): Selector {
  if (!categoryNames.includes(category.slice(1))) throw new RuleError(refused.unknown)
  const members = table.specs.filter(spec => spec.categories.includes(category))
  return changed(selector, members, value)
}

function withFirstArg(selector: Selector, { id }: CommandSpec, word: Bytes): Selector {
  const known = selector.firstArgs.get(id) ?? []
  const first = word.toLowerCase()
  if (known.includes(first)) return selector
  return { ...selector, firstArgs: new Map(selector.firstArgs).set(id, [...known, first]) }
}

/** A command takes its subcommands with it. */
function changed(selector: Selector, specs: readonly CommandSpec[], value: 0 | 1): Selector {
  const commands = selector.commands.slice()
  const firstArgs = new Map(selector.firstArgs)
  for (const spec of specs) {
    firstArgs.delete(spec.id)
    commands[spec.id] = value
    for (const { id } of spec.subcommands?.values() ?? []) commands[id] = value
  }
  return { ...selector, commands, firstArgs }
}

function find(table: CommandTable, name: Bytes): CommandSpec {
  const spec = table.byFullName(name)
  if (spec === undefined) throw new RuleError(refused.unknown)
  return spec
}

function hasSpaces(text: Bytes): boolean {
  return /[ \t\n\v\f\r\0]/.test(text)
}

// ── Back to rules ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** One line of ACL LIST: rules that make this user again. */
export function describeUser(user: User, table: CommandTable): Bytes {
  const [root, ...others] = user.selectors.map(selector => describeSelector(selector, table))
  const words = [...flagsOfUser(user), ...user.passwords.map(hash => `#${hash}`), root]
  return `user ${[user.name, ...words, ...others.map(text => `(${text})`)].join(' ')}`
}

export function flagsOfUser(user: User): string[] {
  const flags = [user.enabled ? 'on' : 'off']
  if (user.nopass) flags.push('nopass')
  if (user.payload !== undefined) flags.push(user.payload)
  return flags
}

function describeSelector(selector: Selector, table: CommandTable): Bytes {
  const keys = describeKeys(selector)
  const channels = describeChannels(selector)
  const heard = selector.allChannels ? channels : `resetchannels ${channels}`.trimEnd()
  return [keys, heard, describeCommands(selector, table)].filter(text => text !== '').join(' ')
}

export function describeKeys({ allKeys, keys }: Selector): Bytes {
  if (allKeys) return '~*'
  const sign = ({ read, write }: KeyPattern): string => (read && write ? '~' : read ? '%R~' : '%W~')
  return keys.map(key => sign(key) + key.pattern).join(' ')
}

export function describeChannels({ allChannels, channels }: Selector): Bytes {
  return allChannels ? '&*' : channels.map(channel => `&${channel}`).join(' ')
}

/**
 * The command rules in few words: all or nothing to begin with, then, as long as one fits better than not, the category
 * that has the fewest commands of the other kind, and at last the commands one by one.
 */
export function describeCommands(selector: Selector, table: CommandTable): Bytes {
  const sign = selector.future ? '-' : '+'
  const wanted = selector.future ? 0 : 1
  const rules = [selector.future ? '+@all' : '-@all']
  // What is left to be said, and what has been said.
  let rest: Selector = selector
  let said: Selector = { ...selector, commands: selector.commands.slice().fill(1 - wanted), firstArgs: new Map() }
  const categories = new Set(categoryNames)
  for (;;) {
    const best = bestCategory(rest, wanted, categories, table)
    if (best === undefined) break
    categories.delete(best)
    rules.push(`${sign}@${best}`)
    said = withCategory(said, `@${best}`, wanted, table)
    rest = withCategory(rest, `@${best}`, wanted === 1 ? 0 : 1, table)
  }
  for (const spec of table.specs) {
    const value = selector.commands[spec.id] === 1 ? 1 : 0
    if (said.commands[spec.id] !== value) {
      rules.push(`${value === 1 ? '+' : '-'}${spec.name}`)
      said = changed(said, [spec], value)
    }
    if (value === 0) for (const first of selector.firstArgs.get(spec.id) ?? []) rules.push(`+${spec.name}|${first}`)
  }
  return rules.join(' ')
}

function bestCategory(
  rest: Selector,
  wanted: 0 | 1,
  categories: ReadonlySet<string>,
  table: CommandTable,
): string | undefined {
  let best: { readonly name: string; readonly same: number; readonly other: number } | undefined
  for (const name of categories) {
    const members = table.specs.filter(spec => spec.categories.includes(`@${name}`))
    const same = members.filter(({ id }) => rest.commands[id] === wanted).length
    const other = members.length - same
    if (same <= other) continue
    if (best === undefined || other < best.other || (other === best.other && same > best.same)) {
      best = { name, same, other }
    }
  }
  return best?.name
}
