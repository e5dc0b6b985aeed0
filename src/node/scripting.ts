/**
 * Scripts and functions, acting: what a running script asks of the node is checked and done here.
 *
 *     EVAL, FCALL ─▶ prepare (flags) ─▶ Machine ─redis.call─▶ checks ─▶ engine or node command ─▶ reply as Lua values
 *                                          └─ every 100,000 instructions ─▶ interrupt: slow? killed? who else is there?
 *
 * All effects of one script are one unit of the stream. Nobody else is served meanwhile, with one exception: after
 * `busy-reply-threshold` connections are accepted, read and answered from within the script, with BUSY to everything
 * but SCRIPT KILL, FUNCTION KILL, FUNCTION STATS, SHUTDOWN NOSAVE and what a connection says about itself.
 * Whoever leaves is gone at once, and replicas are heard: a script may be waiting for just that. What follows for others
 * (a WAIT, a FAILOVER, a shutdown that goes on), the master's stream and all timers wait for the end.
 *
 * Limits, and what happens there: encrypted connections wait until it ends.
 * Lua's own C code (a pathological pattern, a sort) is not interrupted before it returns. Memory: see Machine; beyond it
 * the script fails. A script that neither ends nor is killed runs for ever, as with Redis.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Bytes, Millis, UnixMillis } from '../base/units.js'
import { builtinTable, type CommandSpec, checkArity, isBlocking } from '../command/table.js'
import type { Caller } from '../engine/host.js'
import type { Debugger } from '../engine/scripting/debugger.js'
import { Libraries, LOAD_TIMEOUT, LOAD_TIMEOUT_MS } from '../engine/scripting/libraries.js'
import { Machine } from '../engine/scripting/machine.js'
import type { ReplyTape } from '../engine/scripting/reply-tape.js'
import { EVERYWHERE, type ScriptHost, type ScriptRun } from '../engine/scripting/run.js'
import { Scripts } from '../engine/scripting/scripts.js'
import type { ScriptFlags } from '../engine/scripting/shebang.js'
import { Decoder } from '../resp/decoder.js'
import type { Encoder } from '../resp/encoder.js'
import { replyLimits } from '../resp/protocol.js'
import { Audience } from './effects.js'
import { FENCED, Gates, isDenyOom, isStale, isWrite, mayChange } from './gates.js'
import { ScriptClient } from './script-client.js'
import type { NodeServer } from './server.js'
import { Session } from './session.js'

/** Who runs a script: a session, or our master. */
export type ScriptCaller = Caller & { readonly user?: string }

/** While a script is busy: between two looks at the connections. */
const POLL_MS = 5

const text = {
  unknown: 'ERR Unknown Redis command called from script',
  arity: 'ERR Wrong number of args calling Redis command from script',
  notAllowed: 'ERR This Redis command is not allowed from script',
  stale: 'ERR Can not execute the command on a stale replica',
  readOnly: 'ERR Write commands are not allowed from read-only scripts.',
  masterDown: "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
  oom: "OOM command not allowed when used memory > 'maxmemory'.",
  noReplicas: 'NOREPLICAS Not enough good replicas to write.',
  readOnlyReplica: "READONLY You can't write against a read only replica.",
  writeWithRo: 'ERR Can not execute a script with write flag using *_ro command.',
  killed: { eval: 'SCRIPT KILL', function: 'FUNCTION KILL', load: 'FUNCTION KILL' },
} as const

/** What runs at the moment. */
interface Current {
  readonly run: ScriptRun
  readonly caller: ScriptCaller
  readonly args: readonly Bytes[]
  /** The time all its commands see. */
  readonly now: UnixMillis
  readonly outOfMemory: boolean
}

export interface Invocation {
  readonly name: Bytes
  readonly kind: 'eval' | 'function'
  /** By the command: EVAL_RO and the like. */
  readonly readOnly: boolean
  readonly flags: ScriptFlags | undefined
  readonly debugger?: Debugger | undefined
}

export class Scripting implements ScriptHost {
  readonly scripts: Scripts
  readonly libraries: Libraries
  /** DEBUG SET-DISABLE-DENY-SCRIPTS: for tests. */
  allowEverything = false
  /** The script that runs has run for too long: everybody else hears BUSY. */
  busy = false
  #current: Current | undefined
  readonly #engineCaller: { db: number; origin: 'master' | 'script'; readonly mayBlock: false } = {
    db: 0,
    origin: 'script',
    mayBlock: false,
  }
  #client: ScriptClient | undefined
  #decoder: Decoder | undefined
  #module: WebAssembly.Module | undefined
  #pollAt: Millis = 0
  #kill: Bytes | undefined
  #countedError = false

  constructor(private readonly server: NodeServer) {
    this.scripts = new Scripts(() => this.#newMachine('eval'))
    this.libraries = new Libraries(() => this.#newMachine('function'))
  }

  get version(): string {
    return this.server.version
  }

  /** A script is running: its effects are not complete. */
  get running(): boolean {
    return this.#current !== undefined
  }

  get current(): { readonly run: ScriptRun; readonly args: readonly Bytes[]; readonly ranMs: Millis } | undefined {
    const current = this.#current
    if (current === undefined) return undefined
    return { run: current.run, args: current.args, ranMs: this.server.clock.now() - current.run.startedAt }
  }

  #newMachine(kind: 'eval' | 'function'): Machine {
    this.#module ??= new WebAssembly.Module(readFileSync(luaPath()))
    return new Machine(this, { module: this.#module, kind, seed: Math.floor(this.server.engine.random() * 2 ** 32) })
  }

  // ── Running ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Asks the checks that are the script's own, and runs `start` with what it has to know. */
  invoke(
    caller: ScriptCaller,
    args: readonly Bytes[],
    invocation: Invocation,
    reply: Encoder,
    start: (run: ScriptRun) => void,
  ): void {
    const refusal = this.#refuses(caller, invocation)
    if (refusal !== undefined) return reply.error(refusal)
    const { clock } = this.server
    const run: ScriptRun = {
      name: invocation.name,
      kind: invocation.kind,
      startedAt: clock.now(),
      readOnly: invocation.readOnly || invocation.flags?.noWrites === true,
      flags: invocation.flags,
      debugger: invocation.debugger,
      resp: 2,
      replicate: EVERYWHERE,
      wrote: false,
      killed: false,
      killedBy: undefined,
    }
    this.#current = { run, caller, args, now: clock.wall(), outOfMemory: this.server.memory.relief === 'full' }
    const client = this.#scriptClient()
    client.db = caller.db
    start(run)
    this.#current = undefined
    this.#kill = undefined
    if (this.busy) this.#endBusy()
  }

  #scriptClient(): ScriptClient {
    this.#client ??= new ScriptClient(this.server)
    return this.#client
  }

  /** Scripts that say what they do are refused before they begin; of others each command is. */
  #refuses(caller: ScriptCaller, { flags, readOnly }: Invocation): Bytes | undefined {
    const { server } = this
    if (caller.origin === 'master') return undefined
    if (server.masterDown() && flags?.allowStale !== true) return text.masterDown
    if (flags === undefined) return undefined
    if (!flags.allowOom && server.memory.relief === 'full') {
      return "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"
    }
    if (flags.noWrites) return undefined
    if (readOnly) return text.writeWithRo
    return this.#refusesWrites()
  }

  #refusesWrites(): Bytes | undefined {
    const { server } = this
    if (server.role === 'replica' && server.config.flag('replica-read-only')) return text.readOnlyReplica
    if (server.diskError !== undefined && server.role === 'master') return `MISCONF ${server.diskError}`
    if (server.fenced) return FENCED
    if (server.tooFewReplicas()) return text.noReplicas
    return undefined
  }

  /** What a call of EVAL or FCALL is to the gates, by the flags of the script it names. */
  gateOf(spec: CommandSpec, args: readonly Bytes[], gate: number): number {
    const flags = this.#flagsOf(spec.name, args[1] as Bytes)
    if (flags === undefined) return gate
    let own = gate & ~(Gates.stale | Gates.denyOutOfMemory | Gates.write | Gates.mayReplicate)
    if (!flags.noWrites) own |= Gates.write
    if (!flags.allowOom) own |= Gates.denyOutOfMemory
    if (flags.allowStale) own |= Gates.stale
    return own
  }

  #flagsOf(name: string, what: Bytes | undefined): ScriptFlags | undefined {
    if (what === undefined) return undefined
    switch (name) {
      case 'eval':
      case 'eval_ro': {
        if (!what.startsWith('#!')) return undefined
        const script = this.scripts.add(what)
        return 'error' in script ? undefined : script.flags
      }
      case 'evalsha':
      case 'evalsha_ro':
        return this.scripts.find(what)?.flags
      case 'fcall':
      case 'fcall_ro':
        return this.libraries.find(what)?.flags
      default:
        return undefined
    }
  }

  // ── What scripts ask ──────────────────────────────────────────────────────────────────────────────────────────────

  call(args: readonly Bytes[], run: ScriptRun, reply: ReplyTape): boolean {
    const { server } = this
    const spec = server.dispatcher.resolve(args)
    const error = spec === undefined ? whyUnknown(args) : this.#refusesCommand(spec, args, run)
    if (spec === undefined || error !== undefined) {
      if (spec !== undefined) server.stats.rejected[spec.id] = (server.stats.rejected[spec.id] as number) + 1
      this.countError(codeOf(error ?? text.unknown))
      reply.error(error ?? text.unknown)
      return false
    }
    if (isWrite(server.dispatcher.gateOf(spec))) run.wrote = true
    this.#execute(spec, args, run, reply)
    return true
  }

  #refusesCommand(spec: CommandSpec, args: readonly Bytes[], run: ScriptRun): Bytes | undefined {
    const { server } = this
    if (!checkArity(spec, args.length)) return text.arity
    if (spec.flags.has('noscript') && !this.allowEverything) return text.notAllowed
    const { caller, outOfMemory } = this.#current as Current
    if (caller.origin === 'master') return undefined
    const gate = server.dispatcher.gateOf(spec)
    if (!server.dispatcher.calm && !isStale(gate) && server.masterDown()) return text.stale
    const denied = server.acl.mayRunInScript(caller as Session, spec, args)
    if (denied !== undefined) return denied
    // What enters the stream counts as a write here: CLIENT PAUSE WRITE lets these scripts run.
    if (run.readOnly && mayChange(gate)) return text.readOnly
    if (isWrite(gate)) {
      const refusal = server.dispatcher.calm ? undefined : this.#refusesWrite()
      if (refusal !== undefined) return refusal
    }
    if (outOfMemory && isDenyOom(gate) && !run.wrote && run.flags?.allowOom !== true) return text.oom
    return undefined
  }

  /** Once a script has written, it is not stopped halfway for want of replicas. */
  #refusesWrite(): Bytes | undefined {
    const { server } = this
    if (server.role === 'replica' && server.config.flag('replica-read-only')) return text.readOnlyReplica
    return this.#current?.run.wrote === true ? undefined : this.#refusesWrites()
  }

  #execute(spec: CommandSpec, args: readonly Bytes[], run: ScriptRun, reply: ReplyTape): void {
    const { server } = this
    const { caller, now } = this.#current as Current
    const client = this.#scriptClient()
    if (server.monitors.size > 0) server.feedMonitors(client, spec, args)
    const { audience } = server.effects
    server.effects.audience = audience & audienceOf(run)
    const startedAt = performance.now()
    if (!this.allowEverything && spec.blocking && isBlocking(spec, args)) {
      reply.error(`ERR ${spec.name} command is not allowed with BLOCK option from scripts`)
    } else if (server.engine.handles(spec)) {
      const origin = caller.origin === 'master' ? 'master' : 'script'
      const engineCaller = this.#engineCaller
      engineCaller.db = client.db
      engineCaller.origin = origin
      server.engine.execute(spec, args, engineCaller, reply, now)
      client.db = engineCaller.db
    } else this.#executeNodeCommand(spec, args, run, reply)
    const micros = (performance.now() - startedAt) * 1000
    server.effects.audience = audience
    const { stats } = server
    stats.totalCommands++
    stats.calls[spec.id] = (stats.calls[spec.id] as number) + 1
    stats.micros[spec.id] = (stats.micros[spec.id] as number) + micros
    if (micros >= server.slowMicros) server.noteSlow(client, spec, args, micros)
    if (!server.tracking.none && spec.access === 'read') this.#rememberKeys()
    const { failure } = reply
    if (failure === undefined) return
    stats.failed[spec.id] = (stats.failed[spec.id] as number) + 1
    this.countError(codeOf(failure))
  }

  /** A script that has read anything has read all the keys it declares. */
  #rememberKeys(): void {
    const { caller, args } = this.#current as Current
    const spec = this.server.dispatcher.resolve(args)
    if (caller instanceof Session && spec !== undefined) this.server.tracking.remember(caller, spec, args)
  }

  /** Commands of connections and the server write encoded replies: they are read back. */
  #executeNodeCommand(spec: CommandSpec, args: readonly Bytes[], run: ScriptRun, reply: ReplyTape): void {
    const client = this.#scriptClient()
    client.become((this.#current as Current).caller, run.resp)
    this.server.dispatcher.runHandler(client, spec, args)
    if (client.out.length === 0) return
    this.#decoder ??= new Decoder({ ...replyLimits })
    this.#decoder.feed(Buffer.from(client.out.view()))
    const frame = this.#decoder.next()
    if (frame !== undefined) reply.frame(frame)
    // A second reply to one command has no reader.
    while (this.#decoder.next() !== undefined);
    this.#decoder.release()
    client.out.reset()
  }

  mayCall(args: readonly Bytes[]): boolean | undefined {
    const spec = this.server.dispatcher.resolve(args) ?? builtinTable.resolve(args)
    if (spec === undefined) return undefined
    return this.server.acl.permits(this.#current?.caller as Session, spec, args)
  }

  log(level: 'debug' | 'verbose' | 'notice' | 'warning', words: Bytes): void {
    const { log } = this.server
    if (level === 'warning') log.warning(words)
    else if (level === 'notice') log.notice(words)
    else if (level === 'verbose') log.verbose(words)
    else log.debug(words)
  }

  seconds(): number {
    return performance.now() / 1000
  }

  countError(code: Bytes): void {
    this.server.stats.error(code)
  }

  errorWasCounted(): void {
    this.#countedError = true
  }

  /** Whether the error just replied is one that was counted inside the script. To be asked once. */
  takeCountedError(): boolean {
    const counted = this.#countedError
    this.#countedError = false
    return counted
  }

  // ── Slow scripts ──────────────────────────────────────────────────────────────────────────────────────────────────

  interrupt(run: ScriptRun): Bytes | undefined {
    const { clock, config, log } = this.server
    const now = clock.now()
    if (run.kind === 'load') return now - run.startedAt > LOAD_TIMEOUT_MS ? LOAD_TIMEOUT : undefined
    const limit = config.number('busy-reply-threshold')
    if (limit <= 0 || now - run.startedAt < limit) return undefined
    if (!this.busy) {
      this.busy = true
      this.#pollAt = 0
      this.server.recalm()
      this.server.doors.busyBegins()
      const ran = Math.floor(now - run.startedAt)
      log.warning(
        `Slow script detected: still in execution after ${ran} milliseconds. You can try killing the script using the ${text.killed[run.kind]} command.`,
      )
    }
    if (now >= this.#pollAt) {
      this.#pollAt = now + POLL_MS
      this.#pollConnections()
    }
    return this.#kill
  }

  #pollConnections(): void {
    const { clients, doors, repl } = this.server
    const caller = this.#current?.caller
    // As at the end of a turn: no client sees an answer before its write is on the way to the replicas.
    repl.flush()
    doors.admitNow()
    for (const session of [...clients]) {
      if (session === caller) continue
      session.peer.poll()
      session.peer.flush()
    }
    // A script that our master sent stands in the bytes of this very link.
    if (caller?.origin !== 'master') this.server.follower?.poll()
  }

  #endBusy(): void {
    this.busy = false
    this.server.doors.busyEnds()
    this.server.recalm()
    // Not before what the script did is in the stream.
    setImmediate(() => this.server.afterBusy())
  }

  /** The error that everybody hears meanwhile. */
  get busyError(): Bytes {
    return this.#current?.run.kind === 'eval'
      ? 'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.'
      : 'BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.'
  }

  /** SCRIPT KILL, FUNCTION KILL: why not, if so. */
  kill(kind: 'eval' | 'function'): Bytes | undefined {
    const current = this.#current
    if (current === undefined) return 'NOTBUSY No scripts in execution right now.'
    const { run, caller } = current
    if (caller.origin === 'master') {
      return 'UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be killed.'
    }
    if (run.wrote) {
      return 'UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.'
    }
    if (run.kind !== kind) return this.busyError
    this.#kill = `Error running script: Script killed by user with ${text.killed[kind]}.`
    return undefined
  }

  /** SHUTDOWN NOSAVE: the script ends whatever it has done, so that the event loop can end the process. */
  abort(): void {
    if (this.#current !== undefined) this.#kill = 'Script killed by SHUTDOWN NOSAVE.'
  }
}

/** `redis.set_repl`: who is to hear of what the script does. */
function audienceOf({ replicate }: ScriptRun): Audience {
  return (replicate.file ? Audience.file : 0) | (replicate.replicas ? Audience.replicas : 0)
}

function whyUnknown(args: readonly Bytes[]): Bytes {
  const known = builtinTable.resolve(args)
  return known?.flags.has('noscript') === true ? text.notAllowed : text.unknown
}

function codeOf(error: Bytes): Bytes {
  return error.split(' ', 1)[0] as string
}

/** The engine is a file of the package that brings it. */
function luaPath(): string {
  const main = createRequire(import.meta.url).resolve('wasmoon-lua5.1')
  return join(dirname(main), 'liblua5.1.wasm')
}
