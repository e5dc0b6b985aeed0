/**
 * Client-side caching: who has read which key, and who is told when it changes.
 *
 *     by default   a read by a tracking client ─▶ table: key → clients ─▶ its next change tells them, once
 *     BCAST        a change of a key with a prefix ─▶ all clients of that prefix, at the end of the turn
 *     a flush      ─▶ every tracking client: null, which means everything, at the end of the turn
 *
 * What concerns the client whose command is running waits until its reply is complete; everybody else is told at once.
 * A client that redirects has its messages delivered by another connection: as a push in RESP3, in RESP2 as a message of
 * the channel `__redis__:invalidate` if that connection is subscribed to anything.
 *
 * Bounds: the table holds `tracking-table-max-keys` keys; beyond it the oldest are forgotten, and their readers told that
 * they changed. Changes that wait for the end of the turn are as many as one turn makes. Keys of different databases
 * share their names here, as they do in Redis: a client hears of a few changes too many, never of one too few.
 */
import type { Bytes } from '../base/units.js'
import { type CommandSpec, keysOf } from '../command/table.js'
import { type Flushable, turn } from '../net/turn.js'
import { listedBytes } from './client-memory.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

/** What CLIENT TRACKING ON was told. */
export interface TrackingOptions {
  /** The client that gets the messages; 0: this one. */
  readonly redirect: number
  readonly bcast: boolean
  /** Only reads right after CLIENT CACHING YES are tracked. */
  readonly optin: boolean
  /** All reads are, but those right after CLIENT CACHING NO. */
  readonly optout: boolean
  /** The client is not told of its own changes. */
  readonly noloop: boolean
}

/** A session that tracks. */
export interface ClientTracking {
  options: TrackingOptions
  /** Of BCAST; none for the others. */
  readonly prefixes: Set<Bytes>
  /** CLIENT CACHING was said: the next command is an exception from OPTIN or OPTOUT. */
  caching: boolean
  /** The client it redirects to was gone when there was something to tell. */
  brokenRedirect: boolean
}

interface Prefix {
  readonly sessions: Set<Session>
  /** In this turn; with who alone changed the key, if that is a tracking client. */
  readonly changed: Map<Bytes, Session | undefined>
}

/** Keys forgotten in one go when the limit was lowered; the rest follows with the next ticks. */
const TRIM_KEYS = 10_000

export class Tracking implements Flushable {
  readonly early = true
  readonly #sessions = new Set<Session>()
  /** Ids of clients rather than clients: those that are gone are found out when there is something to tell. */
  readonly #readers = new Map<Bytes, Set<number>>()
  #items = 0
  readonly #prefixes = new Map<Bytes, Prefix>()
  #maxKeys = 0
  /** Whose command is running, if it may be told something. */
  #executing: Session | undefined
  #deferred: { readonly session: Session; readonly keys: readonly Bytes[] }[] = []
  #flushed = false
  #due = false

  constructor(private readonly server: NodeServer) {}

  /** Nobody tracks: the engine's reports need not be looked at. */
  get none(): boolean {
    return this.#sessions.size === 0
  }

  /** For INFO: `items` counts each pair of key and client. */
  get counts(): { readonly clients: number; readonly keys: number; readonly items: number; readonly prefixes: number } {
    return {
      clients: this.#sessions.size,
      keys: this.#readers.size,
      items: this.#items,
      prefixes: this.#prefixes.size,
    }
  }

  // ── Who tracks ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** CLIENT TRACKING ON, with options that fit together. Prefixes are added to those there are. */
  enable(session: Session, options: TrackingOptions, prefixes: readonly Bytes[]): void {
    const tracking = (session.tracking ??= { options, prefixes: new Set(), caching: false, brokenRedirect: false })
    tracking.options = options
    tracking.brokenRedirect = false
    this.#sessions.add(session)
    if (options.bcast) for (const prefix of prefixes.length > 0 ? prefixes : ['']) this.#join(session, tracking, prefix)
    const receiver = options.redirect === 0 ? session : this.server.clients.find(options.redirect)
    if (receiver === undefined) return
    receiver.hearsInvalidations = true
    receiver.refresh()
  }

  #join(session: Session, tracking: ClientTracking, name: Bytes): void {
    if (!tracking.prefixes.has(name)) session.listedBytes += listedBytes(name)
    tracking.prefixes.add(name)
    let prefix = this.#prefixes.get(name)
    if (prefix === undefined) this.#prefixes.set(name, (prefix = { sessions: new Set(), changed: new Map() }))
    prefix.sessions.add(session)
  }

  /** CLIENT TRACKING OFF, RESET, or the connection is gone. */
  disable(session: Session): void {
    const { tracking } = session
    if (tracking === undefined) return
    session.tracking = undefined
    for (const name of tracking.prefixes) {
      session.listedBytes -= listedBytes(name)
      const sessions = this.#prefixes.get(name)?.sessions
      sessions?.delete(session)
      if (sessions?.size === 0) this.#prefixes.delete(name)
    }
    this.#sessions.delete(session)
    if (this.none) this.#forgetAll()
  }

  // ── What they read ────────────────────────────────────────────────────────────────────────────────────────────────

  /** The client has run a command, itself or (then `args` are the script's) from within a script: remember its keys. */
  remember(session: Session, spec: CommandSpec, args: readonly Bytes[]): void {
    const { tracking } = session
    if (tracking === undefined || tracking.options.bcast) return
    const { optin, optout } = tracking.options
    if ((optin && !tracking.caching) || (optout && tracking.caching)) return
    for (const at of keysOf(spec, args)) this.#rememberKey(session, args[at] as Bytes)
    this.#trim(TRIM_KEYS)
  }

  #rememberKey(session: Session, key: Bytes): void {
    const readers = this.#readers.get(key)
    if (readers === undefined) this.#readers.set(key, new Set([session.id]))
    else if (readers.has(session.id)) return
    else readers.add(session.id)
    this.#items++
  }

  /** `tracking-table-max-keys`; 0: no limit. */
  setMaxKeys(count: number): void {
    this.#maxKeys = count
    this.#trim(TRIM_KEYS)
  }

  tick(): void {
    this.#trim(TRIM_KEYS)
  }

  #trim(atMost: number): void {
    let surplus = this.#maxKeys === 0 ? 0 : Math.min(atMost, this.#readers.size - this.#maxKeys)
    if (surplus <= 0) return
    // A Map lists the oldest first.
    for (const key of this.#readers.keys()) {
      if (surplus-- <= 0) break
      this.#tellReaders(key, true)
    }
  }

  // ── What changes ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** `key` undefined: all of a database. `byItself`: expired or evicted, which nobody asked for. */
  changed(key: Bytes | undefined, byItself: boolean): void {
    if (key === undefined) {
      this.#forgetAll()
      this.#flushed = true
      return this.#flushSoon()
    }
    if (this.#prefixes.size > 0) this.#noteForPrefixes(key, byItself ? undefined : this.#executing)
    this.#tellReaders(key, byItself)
  }

  #noteForPrefixes(key: Bytes, by: Session | undefined): void {
    for (const [name, { changed }] of this.#prefixes) {
      if (!key.startsWith(name)) continue
      // Changed by two: neither may take it for a change of its own only.
      changed.set(key, !changed.has(key) || changed.get(key) === by ? by : undefined)
      this.#flushSoon()
    }
  }

  #tellReaders(key: Bytes, byItself: boolean): void {
    const readers = this.#readers.get(key)
    if (readers === undefined) return
    this.#readers.delete(key)
    this.#items -= readers.size
    for (const id of readers) {
      const session = this.server.clients.find(id)
      const options = session?.tracking?.options
      if (session === undefined || options === undefined || options.bcast) continue
      if (options.noloop && !byItself && session === this.#executing) continue
      this.#tell(session, [key])
    }
  }

  #forgetAll(): void {
    this.#readers.clear()
    this.#items = 0
  }

  // ── Telling ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A command of `session` begins, or one of its that waited is served; what it hears now comes after the reply. */
  enter(session: Session): Session | undefined {
    const outer = this.#executing
    this.#executing = session
    return outer
  }

  /** Its reply is complete. `outer`: what `enter` answered. */
  leave(outer: Session | undefined): void {
    this.#executing = outer
    const deferred = this.#deferred
    if (deferred.length === 0) return
    this.#deferred = []
    for (const { session, keys } of deferred) this.#tell(session, keys)
  }

  /** CLIENT CACHING is about one command, or one transaction. */
  afterCommand(session: Session, spec: CommandSpec): void {
    const { tracking } = session
    if (tracking !== undefined && session.transaction === undefined && spec.container?.name !== 'client') {
      tracking.caching = false
    }
  }

  #flushSoon(): void {
    if (this.#due) return
    this.#due = true
    turn.add(this)
  }

  /** The end of the turn: nobody is in the middle of a reply. */
  flush(): void {
    this.#due = false
    if (this.#flushed) for (const session of this.#sessions) this.#tell(session, undefined)
    this.#flushed = false
    for (const { sessions, changed } of this.#prefixes.values()) {
      if (changed.size === 0) continue
      const all = [...changed.keys()]
      for (const session of sessions) {
        const noloop = session.tracking?.options.noloop === true
        const keys = noloop ? all.filter(key => changed.get(key) !== session) : all
        if (keys.length > 0) this.#tell(session, keys)
      }
      changed.clear()
    }
    const { memory } = this.server.clients
    if (memory.limited) memory.flush()
  }

  /** `keys` undefined: all of them. */
  #tell(session: Session, keys: readonly Bytes[] | undefined): void {
    const { tracking } = session
    if (tracking === undefined) return
    const { redirect } = tracking.options
    const receiver = redirect === 0 ? session : this.server.clients.find(redirect)
    if (receiver === undefined || receiver.closing) return this.#tellBroken(session, tracking)
    if (receiver === this.#executing && keys !== undefined) {
      this.#deferred.push({ session, keys })
      return
    }
    const { out } = receiver
    if (out.resp === 3) {
      out.push(2)
      out.bulk('invalidate')
    } else if (redirect !== 0 && receiver.subscriptionCount > 0) {
      out.array(3)
      out.bulk('message')
      out.bulk(CHANNEL)
    } else return
    if (keys === undefined) out.null()
    else {
      out.array(keys.length)
      for (const key of keys) out.bulk(key)
    }
    receiver.peer.flushSoon()
    const { memory } = this.server.clients
    if (memory.limited) memory.account(receiver)
  }

  #tellBroken(session: Session, tracking: ClientTracking): void {
    tracking.brokenRedirect = true
    const { out } = session
    if (out.resp !== 3) return
    out.push(2)
    out.bulk('tracking-redir-broken')
    out.integer(tracking.options.redirect)
    session.peer.flushSoon()
  }
}

const CHANNEL = '__redis__:invalidate'
