/**
 * The users of the proxy: those of a file in the syntax of Redis' aclfile, or those of the instances (foreign-users.ts). What they may do is decided by command/acl.ts;
 * instances see one user only, that of the proxy.
 *
 * Commands are known by their place in a table, and the table becomes that of the upstream once it has told its own: users
 * are made again from the same text then.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Bytes } from '../base/units.js'
import { isUnrestricted, type User } from '../command/acl.js'
import { usersOf } from '../command/acl-file.js'
import { AclLog } from '../command/acl-log.js'
import { describeUser, openUser, type RuleContext } from '../command/acl-rules.js'
import { builtinTable, type CommandTable } from '../command/table.js'

export const DEFAULT_USER = 'default'

export class Users {
  readonly log = new AclLog()
  #text = ''
  #table: CommandTable = builtinTable
  #users: ReadonlyMap<Bytes, User> = new Map()
  #unrestricted: ReadonlySet<Bytes> = new Set()

  /** Throws an Error that says what is wrong with the file. Without one nobody is known, until `take` says who is. */
  constructor(readonly file: string | undefined) {
    const errors = file === undefined ? undefined : this.load()
    if (errors !== undefined) throw new Error(errors)
  }

  /** In the order of their names. */
  get all(): readonly User[] {
    return [...this.#users.values()].sort((left, right) => (left.name < right.name ? -1 : 1))
  }

  get table(): CommandTable {
    return this.#table
  }

  find(name: Bytes): User | undefined {
    return this.#users.get(name)
  }

  unrestricted(name: Bytes): boolean {
    return this.#unrestricted.has(name)
  }

  /** Whoever connects is `default`, without a password. */
  get open(): boolean {
    const user = this.#users.get(DEFAULT_USER)
    return user?.enabled === true && user.nopass
  }

  isRightLogin(name: Bytes, password: Bytes): boolean {
    const user = this.#users.get(name)
    if (user?.enabled !== true) return false
    return user.nopass || hasPassword(user, password)
  }

  /** As ACL LIST has them. */
  describe(): Bytes[] {
    return [...this.described.values()]
  }

  get described(): ReadonlyMap<Bytes, Bytes> {
    return new Map(this.all.map(user => [user.name, describeUser(user, this.#table)]))
  }

  /** Reads the file again: all of it, or no change and what is wrong with it. */
  load(): Bytes | undefined {
    if (this.file === undefined) return undefined
    let text: string
    try {
      text = readFileSync(this.file, 'latin1')
    } catch (error) {
      return `Error loading ACLs, opening file '${this.file}': ${(error as Error).message}`
    }
    const errors = this.#make(text)
    if (errors !== '') {
      return `${errors}WARNING: ACL errors detected, no change to the previously active ACL rules was performed`
    }
    return undefined
  }

  /** The users of this text, in the syntax of ACL LIST; answers what is wrong with it, and then nothing has changed. */
  take(text: Bytes): string {
    return this.#make(text)
  }

  useTable(table: CommandTable): void {
    this.#table = table
    if (this.#users.size > 0) this.#make(this.#text)
  }

  #make(text: string): string {
    const context: RuleContext = { table: this.#table, hash: sha256, allChannels: false }
    const { users, errors } = usersOf(text, this.file ?? 'ACL LIST', context)
    if (errors !== '') return errors
    const known = users.some(user => user.name === DEFAULT_USER) ? users : [...users, openUser(DEFAULT_USER, context)]
    this.#text = text
    this.#users = new Map(known.map(user => [user.name, user]))
    this.#unrestricted = new Set(known.filter(isUnrestricted).map(user => user.name))
    return ''
  }
}

/** All are compared, and each in the same time whatever it is. */
function hasPassword(user: User, password: Bytes): boolean {
  const given = Buffer.from(sha256(password))
  let found = false
  for (const hash of user.passwords) if (timingSafeEqual(given, Buffer.from(hash))) found = true
  return found
}

/** In hexadecimal. */
export function sha256(text: Bytes): string {
  return createHash('sha256').update(Buffer.from(text, 'latin1')).digest('hex')
}
