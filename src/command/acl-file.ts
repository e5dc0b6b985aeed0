/**
 * A file of users, one `user name rule …` per line: what `aclfile` of a node and of the proxy names.
 */
import type { Bytes } from '../base/units.js'
import type { User } from './acl.js'
import { applyRules, isUserName, newUser, type RuleContext } from './acl-rules.js'

/** All lines of a file of users; what is wrong with any of them is told, one after the other. */
export function usersOf(
  text: string,
  file: string,
  context: RuleContext,
): { readonly users: readonly User[]; readonly errors: string } {
  const users = new Map<Bytes, User>()
  let errors = ''
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '') continue
    const where = `${file}:${index + 1}`
    const [keyword, name, ...rules] = line.split(' ')
    if (keyword !== 'user' || name === undefined) {
      errors += `${where} should start with user keyword followed by the username. `
    } else if (!isUserName(name)) errors += `'${where}: username '${name}' contains invalid characters. `
    else if (users.has(name)) errors += `WARNING: Duplicate user '${name}' found on line ${index + 1}. `
    else {
      const made = applyRules(newUser(name, context), rules, context)
      users.set(name, 'user' in made ? made.user : newUser(name, context))
      if ('error' in made) errors += `${where}: ${whatIsWrong(made)}. `
    }
  }
  return { users: [...users.values()], errors }
}

/** A rule may hold a password; the names of unknown commands may be told. */
function whatIsWrong({ rule, because }: { readonly rule: Bytes; readonly because: Bytes }): Bytes {
  return /^[+-]/.test(rule) ? `Error in applying operation '${rule}': ${because}` : because
}
