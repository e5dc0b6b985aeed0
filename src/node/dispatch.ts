/**
 * From a request to its reply.
 *
 *     process ── known? arity? ── admit (only when something is special) ──┬─ queue (MULTI)
 *                                                                          └─ call ── handler or engine ── endUnit
 *
 * A plain client on a calm server skips `admit`: two flags answer for all its questions. They are kept up to date by
 * whoever changes what they depend on (`Session.refresh`, `recalm`).
 *
 * A unit is what happens at once: one command, or one EXEC. At its end its effects enter the replication stream together.
 */
import type { Bytes, Millis, UnixMillis } from '../base/units.js'
import { arityError, builtinTable, type CommandSpec, checkArity, unknownCommandError } from '../command/table.js'
import type { Encoder } from '../resp/encoder.js'
import { queuedBytes } from './client-memory.js'
import { allows, type Gate, gatesOf, Refusal } from './gates.js'
import type { NodeServer } from './server.js'
import type { QueuedCommand, Session } from './session.js'

/** A command that is about the connection or the server rather than the data. */
export type NodeHandler = (session: Session, args: readonly Bytes[], reply: Encoder, server: NodeServer) => void

export type NodeCommands = Readonly<Record<string, NodeHandler>>

const ERROR_BYTE = 0x2d

/** The keys these find expired have nothing to do with each other: their deletions are no unit. */
const touchesAnyKeys: ReadonlySet<string> = new Set(['scan', 'randomkey'])

export class Dispatcher {
  /** Nothing about the server makes a command special: it is a master, loaded, not paused, without limits to check. */
  calm = false
  /** What runs now was sent by us to ourselves or is part of EXEC: blocking commands do not block. */
  #depth = 0
  readonly #names = new Map<string, CommandSpec>()
  readonly #handlers: (NodeHandler | undefined)[]
  readonly #gates: Uint32Array
  /** By id of the spec, 1 for these. */
  readonly #touchesAny: Uint8Array
  #resumed: Session[] = []
  #settling = false

  constructor(
    private readonly server: NodeServer,
    groups: readonly NodeCommands[],
    renames: ReadonlyMap<string, string>,
  ) {
    const { table } = server
    this.#handlers = new Array(table.specs.length).fill(undefined)
    this.#gates = Uint32Array.from(table.specs, gatesOf)
    this.#touchesAny = Uint8Array.from(table.specs, spec => (touchesAnyKeys.has(spec.name) ? 1 : 0))
    for (const group of groups) {
      for (const [name, handler] of Object.entries(group)) {
        const spec = table.byFullName(name)
        if (spec === undefined && builtinTable.byFullName(name) === undefined) {
          throw new Error(`no row for command ${name}`)
        }
        if (spec === undefined) continue
        this.#handlers[spec.id] = handler
      }
    }
    // What nobody serves is unknown, here and in COMMAND.
    for (const spec of table) if (this.#isServed(spec)) this.#names.set(spec.name, spec)
    for (const [from, to] of renames) {
      const spec = this.#names.get(from)
      this.#names.delete(from)
      if (spec !== undefined && to !== '') this.#names.set(to, spec)
    }
    for (const [name, spec] of [...this.#names]) this.#names.set(name.toUpperCase(), spec)
  }

  #isServed(spec: CommandSpec): boolean {
    if (this.#handlers[spec.id] !== undefined) return true
    if (this.server.mode === undefined && this.server.engine.handles(spec)) return true
    return [...(spec.subcommands?.values() ?? [])].some(sub => this.#isServed(sub))
  }

  /** The command or subcommand that a call means, by the names of this node. */
  resolve(args: readonly Bytes[]): CommandSpec | undefined {
    const name = args[0] as Bytes
    const spec = this.#names.get(name) ?? (name.length > 64 ? undefined : this.#names.get(name.toLowerCase()))
    if (spec?.subcommands === undefined || args.length < 2) return spec
    const sub = spec.subcommands.get((args[1] as Bytes).toLowerCase())
    return sub !== undefined && this.#isServed(sub) ? sub : undefined
  }

  gateOf(spec: CommandSpec): Gate {
    return this.#gates[spec.id] as Gate
  }

  /** One request of a client. */
  process(session: Session, args: readonly Bytes[]): void {
    const spec = this.resolve(args)
    if (spec === undefined) return this.#unknown(session, args)
    if (!checkArity(spec, args.length)) return this.reject(session, spec, arityError(spec))
    const calm = this.calm && this.server.memory.fits
    if (session.plain && calm && (this.#gates[spec.id] as number) < Refusal.alwaysAsk) {
      return this.#callAndSettle(session, spec, args)
    }
    this.#processSpecial(session, spec, args)
  }

  #processSpecial(session: Session, spec: CommandSpec, args: readonly Bytes[]): void {
    this.#admit(session, spec, args)
    if (session.tracking?.caching === true) this.server.tracking.afterCommand(session, spec)
  }

  #admit(session: Session, spec: CommandSpec, args: readonly Bytes[]): void {
    const { server } = this
    if (!server.memory.fits) server.memory.relieve()
    const refusal = allows(server, session, spec, this.gateOf(spec), args)
    if (refusal !== undefined) return this.reject(session, spec, refusal)
    if (server.pause.holds(session, spec, args)) return server.pause.park(session, args)
    if (server.monitors.size > 0) server.feedMonitors(session, spec, args)
    if (session.transaction !== undefined && !neverQueued.has(spec.name)) {
      session.transaction.commands.push({ spec, args })
      session.transaction.bytes += queuedBytes(args)
      const before = session.out.length
      session.out.simple('QUEUED')
      this.#applyReplyMode(session, before)
      return
    }
    if (!session.hearsInvalidations && session.tracking === undefined) return this.#callAndSettle(session, spec, args)
    const outer = server.tracking.enter(session)
    this.#callAndSettle(session, spec, args)
    server.tracking.leave(outer)
  }

  #callAndSettle(session: Session, spec: CommandSpec, args: readonly Bytes[]): void {
    this.call(session, spec, args)
    // From within a busy script: its effects are not complete, and nobody else is served.
    if (this.server.scripting.running) return
    if (this.#touchesAny[spec.id] === 1) this.server.effects.flushSingly()
    this.endUnit(session)
    if (this.server.waiting.anyReady) this.server.waiting.serve(this.server.stopwatch.wall())
    if (this.#resumed.length > 0) this.settle()
  }

  /** Runs one command for a session and counts it. Used for requests and for what EXEC runs. */
  call(session: Session, spec: CommandSpec, args: readonly Bytes[]): void {
    const { server } = this
    const reply = session.out
    const before = reply.length
    session.lastCommand = spec.name
    const handler = this.#handlers[spec.id]
    const { startedAt } = server.stopwatch
    if (handler !== undefined) handler(session, args, reply, server)
    else {
      const blocked = server.engine.execute(spec, args, session, reply, server.stopwatch.wall())
      if (blocked !== undefined) server.waiting.park(session, blocked, { spec, args })
    }
    if (session.tracking !== undefined && reads(spec)) server.tracking.remember(session, spec, args)
    this.#count(session, spec, args, server.stopwatch.lap() - startedAt, before)
    this.#applyReplyMode(session, before)
  }

  /** What a script asked for, of the node's own commands; counted by who asked. */
  runHandler(session: Session, spec: CommandSpec, args: readonly Bytes[]): void {
    this.#handlers[spec.id]?.(session, args, session.out, this.server)
  }

  /** A command that had waited was served: how long that took, waiting included, counts now. */
  countBlocked(session: Session, { spec, args }: QueuedCommand, tookMs: Millis, before: number): void {
    const { stats, latency, slowMicros } = this.server
    const micros = tookMs * 1000
    stats.micros[spec.id] = (stats.micros[spec.id] as number) + micros
    latency.countWaited(spec, micros)
    if (micros >= slowMicros) this.server.noteSlow(session, spec, args, micros)
    if (session.out.length > before && session.out.byteAt(before) === ERROR_BYTE) {
      stats.failed[spec.id] = (stats.failed[spec.id] as number) + 1
      this.#countError(session.out, before)
    }
    this.#applyReplyMode(session, before)
  }

  /** A command that had waited ended in an error. */
  countFailure(session: Session, before: number): void {
    this.#countError(session.out, before)
    this.#applyReplyMode(session, before)
  }

  #count(session: Session, spec: CommandSpec, args: readonly Bytes[], tookMs: Millis, before: number): void {
    const { stats } = this.server
    const micros = tookMs * 1000
    stats.totalCommands++
    stats.calls[spec.id] = (stats.calls[spec.id] as number) + 1
    stats.micros[spec.id] = (stats.micros[spec.id] as number) + micros
    const reply = session.out
    if (reply.length > before && reply.byteAt(before) === ERROR_BYTE) {
      stats.failed[spec.id] = (stats.failed[spec.id] as number) + 1
      if (!this.server.scripting.takeCountedError()) this.#countError(reply, before)
    }
    // Its time is not over yet: see countBlocked.
    if (session.parked?.on === 'keys') return
    this.server.latency.count(spec, micros)
    if (micros >= this.server.slowMicros) this.server.noteSlow(session, spec, args, micros)
  }

  #countError(reply: Encoder, before: number): void {
    const text = reply.view().toString('latin1', before + 1, Math.min(reply.length, before + 65))
    this.server.stats.error(text.split(/[ \r]/, 1)[0] as string)
  }

  /** A command that is not executed. Inside MULTI it spoils the transaction; in the place of EXEC it ends it. */
  reject(session: Session, spec: CommandSpec | undefined, error: Bytes): void {
    const { stats } = this.server
    const before = session.out.length
    if (spec !== undefined) stats.rejected[spec.id] = (stats.rejected[spec.id] as number) + 1
    stats.error(error.split(' ', 1)[0] as string)
    if (spec?.name === 'exec') {
      this.server.discardTransaction(session)
      session.out.error(`EXECABORT Transaction discarded because of: ${error}`)
    } else {
      if (session.transaction !== undefined) session.transaction.broken = true
      session.out.error(error)
    }
    this.#applyReplyMode(session, before)
  }

  #unknown(session: Session, args: readonly Bytes[]): void {
    const name = (args[0] as Bytes).toLowerCase()
    if (name === 'post' || name === 'host:') {
      this.server.log.warning(
        `Connection from ${session.address} closed: it speaks HTTP, which may be a browser that was tricked into it`,
      )
      session.closing = true
      return session.peer.destroy('http-request')
    }
    this.reject(session, undefined, unknownCommandError(args, this.server.table))
  }

  /** CLIENT REPLY OFF and SKIP: the reply is taken back. */
  #applyReplyMode(session: Session, before: number): void {
    if (session.replyMode === 'on') return
    if (session.replyMode === 'skip-next') {
      session.replyMode = 'skip'
      return
    }
    if (session.out.length > before && !session.pushed) session.out.truncate(before)
    session.pushed = false
    if (session.replyMode === 'skip') {
      session.replyMode = 'on'
      session.refresh()
    }
  }

  // ── Units ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What the last command did enters the stream. */
  endUnit(session: Session | undefined): void {
    if (!this.server.effects.any) return
    this.server.effects.flush()
    if (session !== undefined) session.writeOffset = this.server.repl.log.offset
  }

  /** EXEC: the commands run as one unit; none of them blocks. */
  runTransaction(session: Session, reply: Encoder): void {
    const commands = session.transaction?.commands ?? []
    this.server.discardTransaction(session)
    reply.array(commands.length)
    session.mayBlock = false
    this.#depth++
    for (const { spec, args } of commands) {
      const refusal = this.server.acl.mayRunQueued(session, spec, args)
      if (refusal === undefined) this.call(session, spec, args)
      else reply.error(refusal)
    }
    this.#depth--
    session.mayBlock = true
  }

  get inTransaction(): boolean {
    return this.#depth > 0
  }

  /** The session may go on; not now, as somebody else's command may still be running, but before the turn ends. */
  resumeSoon(session: Session): void {
    this.#resumed.push(session)
    if (this.#resumed.length === 1 && !this.#settling) setImmediate(() => this.settle())
  }

  /** After anything that may have served waiting clients: their effects, and their further requests. */
  settle(): void {
    if (this.#settling || this.server.scripting.running) return
    this.#settling = true
    this.endUnit(undefined)
    const now: UnixMillis = this.server.clock.wall()
    if (this.server.waiting.anyReady) this.server.waiting.serve(now)
    while (this.#resumed.length > 0) {
      const sessions = this.#resumed
      this.#resumed = []
      for (const session of sessions) session.proceed()
    }
    this.#settling = false
  }
}

/** Of scripts the commands they call count. */
function reads(spec: CommandSpec): boolean {
  return spec.access === 'read' && spec.group !== 'scripting'
}

/** Executed at once even inside MULTI. */
const neverQueued = new Set(['exec', 'discard', 'multi', 'watch', 'quit', 'reset'])
