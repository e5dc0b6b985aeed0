/**
 * Who clients are, and what that means for them: users, rules and rates, compiled into what a session needs to ask.
 *
 * Most sessions need to ask nothing: then they have no guard, and their commands are not looked at a second time. Whatever
 * changes (who a client is, what it calls itself, the file of users) has the session look again: `Session.regard`.
 */
import { timingSafeEqual } from 'node:crypto'
import { Pace } from '../base/pace.js'
import type { Bytes } from '../base/units.js'
import type { CommandTable } from '../command/table.js'
import type { ReadRules } from '../routing/choose.js'
import { fromMaster, type Rule, regimeOf } from '../routing/rules.js'
import { Guard } from './guard.js'
import type { Entrance } from './hub.js'
import type { Rates } from './options.js'
import { DEFAULT_USER, sha256, Users } from './users.js'

export interface PolicyOptions {
  /** What the user `default` must give where there is no file of users; undefined: nothing. */
  readonly password: string | undefined
  /** A file of users in the syntax of Redis. */
  readonly aclFile: string | undefined
  /** The users are those of the instances. */
  readonly foreignUsers: boolean
  readonly rules: readonly Rule[]
  readonly rates: Rates
}

/** What the policy wants to know of a session. */
export interface Client {
  readonly user: Bytes
  readonly name: Bytes
  readonly entrance: Entrance
  /** What it has chosen itself by LAGRANGE CONSISTENCY. */
  readonly chosenRules: ReadRules | undefined
  readonly guard: Guard | undefined
}

export class Policy {
  readonly users: Users | undefined
  #rules: readonly Rule[]
  #rates: Rates
  /** Shared by all connections of a user. */
  readonly #userPaces = new Map<Bytes, { readonly commands: Pace; readonly bytes: Pace }>()
  readonly #password: string | undefined
  /** Nothing is asked of anybody. */
  #plain = false

  /** Throws an Error that says what is wrong with the file of users. */
  constructor({ password, aclFile, foreignUsers, rules, rates }: PolicyOptions) {
    this.users = aclFile === undefined && !foreignUsers ? undefined : new Users(aclFile)
    this.#password = password === undefined ? undefined : sha256(Buffer.from(password, 'utf8').toString('latin1'))
    this.#rules = rules
    this.#rates = rates
    this.#simplify()
  }

  /** Whoever connects needs no password. */
  get open(): boolean {
    return this.users === undefined ? this.#password === undefined : this.users.open
  }

  /** Rules and rates of a reload; sessions must be told to look again. */
  change(rules: readonly Rule[], rates: Rates): void {
    this.#rules = rules
    this.#rates = rates
    this.#userPaces.clear()
    this.#simplify()
  }

  useTable(table: CommandTable): void {
    this.users?.useTable(table)
  }

  isRightLogin(name: Bytes, password: Bytes): boolean {
    if (this.users !== undefined) return this.users.isRightLogin(name, password)
    if (name !== DEFAULT_USER) return false
    // Digests are compared, so that the time it takes tells nothing about the password.
    return this.#password === undefined || timingSafeEqual(Buffer.from(sha256(password)), Buffer.from(this.#password))
  }

  /** What this client's commands must be asked, if anything, and what its reads are promised. */
  regard(client: Client): { readonly guard: Guard | undefined; readonly rules: ReadRules } {
    const { entrance, user, name } = client
    const given = client.chosenRules ?? entrance.rules
    if (this.#plain && entrance.access === 'all') return { guard: undefined, rules: given }
    const regime = regimeOf(this.#rules, { user, name }, entrance.rules)
    const { chosenRules } = client
    // It may choose what it reads, not what its writes wait for.
    const base = chosenRules === undefined ? regime.base : { ...chosenRules, acks: regime.base.acks }
    const restricted = this.users !== undefined && !this.users.unrestricted(user)
    const paces = this.#pacesOf(client)
    const readOnly = entrance.access === 'read-only'
    const rules = entrance.access === 'master-only' ? fromMaster(base) : base
    if (!restricted && !readOnly && !regime.denied && regime.byCommand.length === 0 && paces === undefined) {
      return { guard: undefined, rules }
    }
    const users = restricted ? this.users : undefined
    const guard = new Guard({ users, readOnly, denied: regime.denied, rules: regime.byCommand, base: rules, paces })
    return { guard, rules }
  }

  #pacesOf({
    user,
    guard,
  }: Client): { readonly commands: readonly Pace[]; readonly bytes: readonly Pace[] } | undefined {
    const { commandsPerSecond, bytesPerSecond, userCommandsPerSecond, userBytesPerSecond } = this.#rates
    if (commandsPerSecond + bytesPerSecond + userCommandsPerSecond + userBytesPerSecond === 0) return undefined
    // A client that gives itself another name does not begin anew.
    const own = (present: Pace | undefined, perSecond: number): Pace =>
      present?.perSecond === perSecond ? present : new Pace(perSecond)
    const shared = this.#paceOfUser(user)
    const commands: Pace[] = []
    const bytes: Pace[] = []
    if (commandsPerSecond > 0) commands.push(own(guard?.ownCommands, commandsPerSecond))
    if (userCommandsPerSecond > 0) commands.push(shared.commands)
    if (bytesPerSecond > 0) bytes.push(own(guard?.ownBytes, bytesPerSecond))
    if (userBytesPerSecond > 0) bytes.push(shared.bytes)
    return { commands, bytes }
  }

  #paceOfUser(user: Bytes): { readonly commands: Pace; readonly bytes: Pace } {
    let paces = this.#userPaces.get(user)
    if (paces === undefined) {
      const { userCommandsPerSecond, userBytesPerSecond } = this.#rates
      paces = { commands: new Pace(userCommandsPerSecond), bytes: new Pace(userBytesPerSecond) }
      this.#userPaces.set(user, paces)
    }
    return paces
  }

  #simplify(): void {
    const rates = Object.values(this.#rates).every(rate => rate === 0)
    this.#plain = this.users === undefined && this.#rules.length === 0 && rates
  }
}
