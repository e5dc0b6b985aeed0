/**
 * The users of this node: who may log in, who may do what, and where users come from and go to (`user` lines of the
 * configuration, or the file of `aclfile`).
 *
 * Every session knows its user by name. Whether that user is restricted at all is one flag of the session, so that the
 * checks cost nothing as long as everybody is `default`; it is read again whenever a user changes.
 */
import { timingSafeEqual } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Bytes } from '../base/units.js'
import {
  type Denial,
  denialOf,
  isUnrestricted,
  mayHear,
  refusalOfSort,
  refusalText,
  type User,
} from '../command/acl.js'
import { usersOf } from '../command/acl-file.js'
import { AclLog } from '../command/acl-log.js'
import { applyRules, describeUser, isUserName, newUser, openUser, type RuleContext } from '../command/acl-rules.js'
import type { CommandSpec, CommandTable } from '../command/table.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

const DEFAULT = 'default'

export class Acl {
  readonly log = new AclLog()
  #users = new Map<Bytes, User>()
  #unrestricted = new Set<Bytes>()
  /** `default` is on and needs no password: whoever connects is it. */
  open = true

  constructor(private readonly server: NodeServer) {
    this.#put(openUser(DEFAULT, this.#context()))
  }

  /** In the order of their names. */
  get users(): readonly User[] {
    return [...this.#users.values()].sort((left, right) => (left.name < right.name ? -1 : 1))
  }

  find(name: Bytes): User | undefined {
    return this.#users.get(name)
  }

  unrestricted(name: Bytes): boolean {
    return this.#unrestricted.has(name)
  }

  // ── Logging in ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether name and password belong together. What is wrong enters the log, as an attempt through this command. */
  authenticate(session: Session, name: Bytes, password: Bytes, command: Bytes): boolean {
    const user = this.#users.get(name)
    if (user?.enabled === true && (user.nopass || this.#hasPassword(user, password))) return true
    this.#note(session, 'auth', command, name)
    return false
  }

  /** All are compared, and each in the same time whatever it is. */
  #hasPassword(user: User, password: Bytes): boolean {
    const given = Buffer.from(this.server.sha256(password))
    let found = false
    for (const hash of user.passwords) if (timingSafeEqual(given, Buffer.from(hash))) found = true
    return found
  }

  // ── Checks ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Why the session's user may not run this, as the error it gets; undefined when it may. A refusal is logged. */
  mayRun(session: Session, spec: CommandSpec, args: readonly Bytes[]): Bytes | undefined {
    if (this.#unrestricted.has(session.user)) return undefined
    const denial = this.#denial(session, spec, args)
    if (denial === undefined) return this.#refusesSort(session, spec, args)
    this.#note(session, denial.reason, denial.object, session.user)
    return refusalText(denial, spec)
  }

  /** The same question for what had been queued and is run now. */
  mayRunQueued(session: Session, spec: CommandSpec, args: readonly Bytes[]): Bytes | undefined {
    if (this.#unrestricted.has(session.user)) return undefined
    const denial = this.#denial(session, spec, args)
    if (denial === undefined) return this.#refusesSort(session, spec, args)
    this.#note(session, denial.reason, denial.object, session.user)
    return `NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: ${reasons[denial.reason]}`
  }

  /** The same question for what a script calls. */
  mayRunInScript(session: Session, spec: CommandSpec, args: readonly Bytes[]): Bytes | undefined {
    if (this.#unrestricted.has(session.user)) return undefined
    const denial = this.#denial(session, spec, args)
    if (denial === undefined) return this.#refusesSort(session, spec, args)
    this.#note(session, denial.reason, denial.object, session.user)
    return `ERR The user executing the script ${reasonsInScripts[denial.reason]}`
  }

  /** The same question out of curiosity. */
  permits(session: Session, spec: CommandSpec, args: readonly Bytes[]): boolean {
    return this.#unrestricted.has(session.user) || this.#denial(session, spec, args) === undefined
  }

  #denial(session: Session, spec: CommandSpec, args: readonly Bytes[]): Denial | undefined {
    const user = this.#users.get(session.user)
    return user === undefined ? { reason: 'command', object: spec.name } : denialOf(user, spec, args)
  }

  #refusesSort(session: Session, spec: CommandSpec, args: readonly Bytes[]): Bytes | undefined {
    const user = this.#users.get(session.user)
    return user && refusalOfSort(user, spec, args)
  }

  #note(session: Session, reason: 'command' | 'key' | 'channel' | 'auth', object: Bytes, username: Bytes): void {
    const { server } = this
    const inMulti = session.transaction !== undefined || server.dispatcher.inTransaction
    const context = server.scripting.running ? 'lua' : inMulti ? 'multi' : 'toplevel'
    const client = server.clients.describe(session)
    const maxLength = server.config.number('acllog-max-len')
    this.log.add({ reason, context, object, username }, client, server.clock.wall(), maxLength)
  }

  // ── Changes ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** ACL SETUSER; answers why it is refused. Who listens to what it may not hear any more is disconnected. */
  set(name: Bytes, rules: readonly Bytes[]): Bytes | undefined {
    if (!isUserName(name)) return "Usernames can't contain spaces or null characters"
    const context = this.#context()
    const made = applyRules(this.#users.get(name) ?? newUser(name, context), rules, context)
    if ('error' in made) return made.error
    this.#put(made.user)
    this.#refresh()
    for (const session of this.server.clients) {
      if (session.user === name && !hearsOnlyWhatItMay(session, made.user)) session.peer.destroy('acl')
    }
    return undefined
  }

  /** `requirepass`: empty means that none is needed. */
  setDefaultPassword(password: Bytes): void {
    this.set(DEFAULT, ['resetpass', password === '' ? 'nopass' : `>${password}`])
  }

  /** ACL DELUSER of one; its connections end, but that of `asking`, which is to be closed after its reply. */
  delete(name: Bytes, asking: Session): boolean {
    if (!this.#users.delete(name)) return false
    this.#unrestricted.delete(name)
    this.#disconnect(session => session.user === name && session !== asking)
    return true
  }

  #put(user: User): void {
    this.#users.set(user.name, user)
    if (isUnrestricted(user)) this.#unrestricted.add(user.name)
    else this.#unrestricted.delete(user.name)
    if (user.name === DEFAULT) this.open = user.enabled && user.nopass
  }

  /** Sessions look again at what their user may; once no password is needed, everybody is logged in. */
  #refresh(): void {
    for (const session of this.server.clients) {
      if (this.open && !session.authenticated) {
        session.authenticated = true
        session.limitsChanged()
      }
      session.refresh()
    }
  }

  #disconnect(which: (session: Session) => boolean): void {
    for (const session of [...this.server.clients]) if (which(session)) session.peer.destroy('acl')
  }

  // ── Files ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The users of the configuration or of `aclfile`; throws why they cannot be had. */
  loadAtStart(lines: readonly (readonly Bytes[])[]): void {
    if (this.file === undefined) {
      const context = this.#context()
      for (const [name = '', ...rules] of lines) {
        const made = applyRules(newUser(name, context), rules, context)
        if ('error' in made) throw new Error(made.error)
        this.#put(made.user)
      }
      return
    }
    if (lines.length > 0)
      throw new Error('users stand both in the configuration and in the file of aclfile: choose one')
    const errors = this.load(undefined)
    if (errors !== undefined) throw new Error(errors)
  }

  get file(): string | undefined {
    const name = this.server.config.text('aclfile')
    return name === '' ? undefined : resolve(this.server.dir, name)
  }

  /** ACL LOAD: all users of the file or no change, and what is wrong with it. All but `default` and `asking` are cut off. */
  load(asking: Session | undefined): Bytes | undefined {
    const name = this.server.config.text('aclfile')
    let text: string
    try {
      text = readFileSync(this.file ?? '', 'latin1')
    } catch (error) {
      return `Error loading ACLs, opening file '${name}': ${(error as Error).message}`
    }
    const context = this.#context()
    const read = usersOf(text, name, context)
    if (read.errors !== '') {
      return `${read.errors}WARNING: ACL errors detected, no change to the previously active ACL rules was performed`
    }
    this.#users = new Map()
    this.#unrestricted = new Set()
    for (const user of read.users) this.#put(user)
    if (!this.#users.has(DEFAULT)) this.#put(openUser(DEFAULT, context))
    this.#refresh()
    this.#disconnect(session => session.user !== DEFAULT && session !== asking)
    return undefined
  }

  /** ACL SAVE: written beside the file and put in its place. Throws what writing throws. */
  save(): void {
    const file = this.file ?? ''
    const temp = `${file}.tmp-${process.pid}-${this.server.clock.wall()}`
    writeFileSync(
      temp,
      this.describe()
        .map(line => `${line}\n`)
        .join(''),
      { encoding: 'latin1', mode: 0o644 },
    )
    renameSync(temp, file)
  }

  /** As ACL LIST and the file have them. */
  describe(): Bytes[] {
    return this.users.map(user => describeUser(user, this.server.table))
  }

  /** Lines for CONFIG REWRITE. None while `requirepass` says it all, or when a file keeps the users. */
  configLines(): Bytes[] {
    if (this.file !== undefined) return []
    const lines = this.describe()
    const password = this.server.config.text('requirepass')
    const secret = password === '' ? 'nopass' : `#${this.server.sha256(password)}`
    return lines.length === 1 && lines[0] === `user default on ${secret} ~* &* +@all` ? [] : lines
  }

  #context(): RuleContext {
    const { table, config } = this.server
    return ruleContext(password => this.server.sha256(password), config.text('acl-pubsub-default'), table)
  }
}

export function ruleContext(
  hash: (password: Bytes) => string,
  pubsubDefault: string,
  table: CommandTable,
): RuleContext {
  return { table, hash, allChannels: pubsubDefault === 'allchannels' }
}

const reasons: Readonly<Record<Denial['reason'], string>> = {
  command: 'no permission to execute the command or subcommand',
  key: 'no permission to touch the specified keys',
  channel: 'no permission to access one of the channels used as arguments to the command',
}

function hearsOnlyWhatItMay(session: Session, user: User): boolean {
  const { channel, pattern, shard } = session.subscriptions
  return (
    [...pattern].every(name => mayHear(user, name, true)) &&
    [...channel, ...shard].every(name => mayHear(user, name, false))
  )
}

const reasonsInScripts: Readonly<Record<Denial['reason'], string>> = {
  command: "can't run this command or subcommand",
  key: "can't access at least one of the keys mentioned in the command arguments",
  channel: "can't publish to the channel mentioned in the command",
}
