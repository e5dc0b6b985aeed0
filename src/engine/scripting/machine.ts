/**
 * One Lua machine with the `redis` library in it: compiles, calls, and turns what goes wrong into Redis' error lines.
 *
 * There are two of them in a node, one for EVAL and one for functions, as a machine can be thrown away: when it broke
 * (a memory error where Lua cannot raise one, a pattern that exhausts the stack) or on SCRIPT FLUSH. Who owns it keeps the
 * sources and compiles again; references of a machine that is gone mean nothing.
 */
import { createHash } from 'node:crypto'
import type { Bytes } from '../../base/units.js'
import type { Encoder } from '../../resp/encoder.js'
import { pushBit } from './bit.js'
import { pushCjson } from './cjson.js'
import { pushCmsgpack } from './cmsgpack.js'
import { replyFromLua } from './lua-reply.js'
import { HookMask, LuaType, LuaVm, REGISTRY, type Thread } from './lua-vm.js'
import { formatG } from './number-text.js'
import { pushError, ReplyTape } from './reply-tape.js'
import type { ScriptHost, ScriptRun } from './run.js'
import { Sandbox, type SandboxHost } from './sandbox.js'
import { pushStruct } from './struct.js'

/** What one machine may take of memory. Redis has no such bound; without one a script could end the whole process. */
export const MEMORY_MAX = 256 * 1024 * 1024
/** Instructions of Lua between two questions whether to go on. */
const HOOK_INSTRUCTIONS = 100_000
/** Runs between two small steps of Lua's garbage collector. */
const GC_PERIOD = 50
const ARGUMENTS_EXPECTED = 'Please specify at least one argument for this redis lib call'

export interface MachineOptions {
  readonly module: WebAssembly.Module
  readonly kind: 'eval' | 'function'
  readonly seed: number
}

/** A compiled chunk or function: a place in the registry of its machine. */
export type Ref = number

export type Compiled = { readonly ref: Ref } | { readonly error: Bytes }

export interface CallOptions {
  readonly keys: readonly Bytes[]
  readonly args: readonly Bytes[]
  /** KEYS and ARGV as globals, or as the function's two arguments. */
  readonly as: 'globals' | 'arguments'
}

export class Machine implements SandboxHost {
  readonly vm: LuaVm
  readonly sandbox: Sandbox
  /** Breaks are final: make another one. */
  broken = false
  /** The script that runs here now. */
  run: ScriptRun | undefined
  readonly #handler: Ref
  readonly #tape = new ReplyTape()
  readonly #args: Bytes[] = []
  readonly #hook: number
  readonly #debugHook: number
  #runs = 0

  constructor(
    private readonly host: ScriptHost,
    options: MachineOptions,
  ) {
    this.vm = new LuaVm(options.module, MEMORY_MAX)
    const { vm } = this
    const { api, main: L } = vm
    this.sandbox = new Sandbox(vm, this, options.seed, {
      cjson: pushCjson,
      cmsgpack: pushCmsgpack,
      struct: pushStruct,
      bit: pushBit,
      redis: (_vm, M) => this.#pushApi(M, options.kind),
    })
    api.lua_pushcclosure(
      L,
      vm.address(M => this.#describeError(M)),
      0,
    )
    if (options.kind === 'eval') {
      api.lua_rawgeti(L, REGISTRY, this.sandbox.globalsRef)
      api.lua_pushvalue(L, -2)
      vm.setField(L, -2, '__redis__err__handler')
      vm.pop(L)
    }
    this.#handler = api.luaL_ref(L, REGISTRY)
    this.#hook = vm.hookAddress(M => this.#interrupt(M))
    this.#debugHook = vm.hookAddress((M, record) => this.#debug(M, vm.isCount(record)))
    this.#watch(L)
  }

  get usedBytes(): number {
    return this.vm.usedBytes
  }

  seconds(): number {
    return this.host.seconds()
  }

  get ending(): boolean {
    return this.run?.killed === true
  }

  #watch(L: Thread): void {
    this.vm.api.lua_sethook(L, this.#hook, HookMask.count, HOOK_INSTRUCTIONS)
  }

  // ── Compiling and calling ─────────────────────────────────────────────────────────────────────────────────────────

  compile(code: Bytes, chunkName: Bytes): Compiled {
    const { vm } = this
    return this.#guard<Compiled>(
      () => {
        const L = vm.main
        vm.api.lua_settop(L, 0)
        if (vm.load(L, code, chunkName)) return { ref: vm.api.luaL_ref(L, REGISTRY) }
        const error = vm.text(L, -1) ?? ''
        vm.api.lua_settop(L, 0)
        return { error }
      },
      error => ({ error }),
    )
  }

  release(ref: Ref): void {
    if (!this.broken) this.vm.api.luaL_unref(this.vm.main, REGISTRY, ref)
  }

  /** Runs it and writes the reply. */
  call(ref: Ref, { keys, args, as }: CallOptions, run: ScriptRun, reply: Encoder): void {
    const { vm } = this
    const { api, main: L } = vm
    const before = reply.length
    this.run = run
    if (run.debugger !== undefined) {
      api.lua_sethook(L, this.#debugHook, HookMask.line | HookMask.count, HOOK_INSTRUCTIONS)
    }
    this.#guard(
      () => {
        api.lua_settop(L, 0)
        api.lua_rawgeti(L, REGISTRY, this.#handler)
        if (as === 'globals') {
          api.lua_rawgeti(L, REGISTRY, this.sandbox.globalsRef)
          this.#pushTexts(L, keys)
          vm.setField(L, 2, 'KEYS')
          this.#pushTexts(L, args)
          vm.setField(L, 2, 'ARGV')
          vm.pop(L)
        }
        api.lua_rawgeti(L, REGISTRY, ref)
        if (as === 'arguments') {
          this.#pushTexts(L, keys)
          this.#pushTexts(L, args)
        }
        const failed = api.lua_pcall(L, as === 'arguments' ? 2 : 0, 1, 1) !== 0
        if (failed) this.#replyError(L, run, reply)
        else replyFromLua(vm, L, reply, { resp: run.resp, onCountedError: () => this.host.errorWasCounted() })
        api.lua_settop(L, 0)
      },
      error => {
        reply.truncate(before)
        reply.error(`ERR ${error} script: ${run.name}`)
      },
    )
    this.run = undefined
    if ((run.killed || run.debugger !== undefined) && !this.broken) this.#watch(L)
    this.#collectGarbage()
  }

  #pushTexts(L: Thread, texts: readonly Bytes[]): void {
    const { vm } = this
    vm.api.lua_createtable(L, texts.length, 0)
    for (let index = 0; index < texts.length; index++) {
      vm.push(L, texts[index] as Bytes)
      vm.api.lua_rawseti(L, -2, index + 1)
    }
  }

  /** What escapes Lua's own error handling leaves the machine in no state to go on. */
  guard<T>(work: () => T, failed: (error: Bytes) => T): T {
    return this.#guard(work, failed)
  }

  #guard<T>(work: () => T, failed: (error: Bytes) => T): T {
    try {
      return work()
    } catch (error) {
      this.broken = true
      const text = error instanceof RangeError ? 'stack overflow' : 'not enough memory'
      this.host.log('warning', `The Lua machine broke and is made anew: ${String(error)}`)
      return failed(text)
    }
  }

  #collectGarbage(): void {
    if (this.broken || ++this.#runs % GC_PERIOD !== 0) return
    this.vm.api.lua_gc(this.vm.main, 5, 2)
  }

  // ── Errors ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Lua calls it with whatever was raised, where it was raised: notes the place, once. */
  #describeError(L: Thread): number {
    const { vm } = this
    const { api } = vm
    if (api.lua_type(L, 1) !== LuaType.table) {
      const text = describe(vm, L, 1)
      api.lua_createtable(L, 0, 3)
      vm.push(L, `ERR ${text}`)
      vm.setField(L, -2, 'err')
      api.lua_replace(L, 1)
    }
    api.lua_settop(L, 1)
    for (let level = 1; level <= 2; level++) {
      const place = vm.place(L, level)
      if (place === 'above') break
      if (place === undefined) continue
      vm.push(L, place.source)
      vm.setField(L, 1, 'source')
      api.lua_pushnumber(L, place.line)
      vm.setField(L, 1, 'line')
      break
    }
    return 1
  }

  #replyError(L: Thread, run: ScriptRun, reply: Encoder): void {
    const { vm } = this
    const { api } = vm
    if (api.lua_type(L, -1) !== LuaType.table) {
      reply.error(`ERR ${describe(vm, L, -1)} script: ${run.name}`)
      return
    }
    vm.getField(L, -1, 'ignore_error_stats_update')
    if (api.lua_toboolean(L, -1) !== 0) this.host.errorWasCounted()
    vm.pop(L)
    const error = this.#field(L, 'err') ?? 'ERR unknown error'
    const source = this.#field(L, 'source')
    const line = this.#field(L, 'line')
    const where = source === undefined || line === undefined ? '' : ` script: ${run.name}, on ${source}:${line}.`
    reply.error(error + where)
  }

  /** The text of the error on top: what it says in its `err`. */
  errorText(L: Thread): Bytes {
    const text = this.vm.api.lua_type(L, -1) === LuaType.table ? this.#field(L, 'err') : this.vm.text(L, -1)
    return text ?? 'ERR unknown error'
  }

  #field(L: Thread, name: Bytes): Bytes | undefined {
    this.vm.getField(L, -1, name)
    const text = this.vm.text(L, -1)
    this.vm.pop(L)
    return text
  }

  /** Calls what lies on top with Lua's error handling around it; answers the error that was raised. */
  protectedCall(L: Thread): Bytes | undefined {
    const { api } = this.vm
    api.lua_rawgeti(L, REGISTRY, this.#handler)
    api.lua_insert(L, -2)
    const failed = api.lua_pcall(L, 0, 0, -2) !== 0
    const error = failed ? this.errorText(L) : undefined
    api.lua_settop(L, 0)
    if (this.run?.killed === true) this.#watch(L)
    return error
  }

  /** Called every so many instructions. Raises an error when the script is not to go on, and at each line from then on. */
  #interrupt(L: Thread): void {
    const { run } = this
    if (run === undefined) return
    const error = run.killed ? run.killedBy : this.host.interrupt(run)
    if (error === undefined) return
    run.killed = true
    run.killedBy = error
    const { api } = this.vm
    // A script that catches errors is not to catch this one for long.
    for (const thread of new Set([L, this.vm.main])) {
      api.lua_sethook(thread, this.#hook, HookMask.line | HookMask.count, 1000)
    }
    this.raise(L, `ERR ${error}`)
  }

  /** Called at each line of a script that is debugged, and every so many instructions. */
  #debug(L: Thread, counted: boolean): void {
    const { run } = this
    if (run?.debugger === undefined) return
    if (counted) this.#interrupt(L)
    // Somebody else may have killed it while it stood.
    if (run.debugger.reached(this, L, counted)) this.#interrupt(L)
  }

  /** A command of whoever debugs. */
  callForDebugger(args: readonly Bytes[], run: ScriptRun): void {
    this.#tape.reset(run.resp)
    const executed = this.host.call(args, run, this.#tape)
    run.debugger?.called(args, this.#tape, executed)
  }

  /** Raises an error as redis.call does: a table with the text in its `err`. */
  raise(L: Thread, text: Bytes): never {
    this.vm.api.lua_createtable(L, 0, 1)
    this.vm.push(L, text)
    this.vm.setField(L, -2, 'err')
    return this.vm.raiseTop(L)
  }

  // ── The redis library ─────────────────────────────────────────────────────────────────────────────────────────────

  #pushApi(L: Thread, kind: 'eval' | 'function'): void {
    const { vm } = this
    const { api } = vm
    api.lua_createtable(L, 0, 32)
    vm.define(L, 'call', M => this.#command(M, true))
    vm.define(L, 'pcall', M => this.#command(M, false))
    vm.define(L, 'acl_check_cmd', M => this.#aclCheck(M))
    vm.define(L, 'setresp', M => this.#setResp(M))
    vm.define(L, 'set_repl', M => this.#setReplication(M))
    vm.define(L, 'sha1hex', M => {
      if (api.lua_gettop(M) !== 1) this.raise(M, 'ERR wrong number of arguments')
      vm.push(M, sha1(vm.text(M, 1) ?? ''))
      return 1
    })
    vm.define(L, 'error_reply', M => this.#errorReply(M))
    vm.define(L, 'status_reply', M => this.#statusReply(M))
    this.pushLog(L)
    const constants = { REPL_NONE: 0, REPL_AOF: 1, REPL_SLAVE: 2, REPL_REPLICA: 2, REPL_ALL: 3 }
    for (const [name, value] of Object.entries(constants)) {
      api.lua_pushnumber(L, value)
      vm.setField(L, -2, name)
    }
    this.pushVersion(L)
    if (kind === 'function') return
    vm.define(L, 'replicate_commands', M => {
      api.lua_pushboolean(M, 1)
      return 1
    })
    vm.define(L, 'breakpoint', M => {
      this.run?.debugger?.breakSoon()
      api.lua_pushboolean(M, this.run?.debugger === undefined ? 0 : 1)
      return 1
    })
    vm.define(L, 'debug', M => {
      this.run?.debugger?.noteValues(this, M)
      return 0
    })
  }

  /** `log` and its levels, into the table on top. */
  pushLog(L: Thread): void {
    const { vm } = this
    const { api } = vm
    vm.define(L, 'log', M => {
      const count = api.lua_gettop(M)
      if (count < 2) this.raise(M, 'ERR redis.log() requires two arguments or more.')
      if (api.lua_isnumber(M, 1) === 0) this.raise(M, 'ERR First argument must be a number (log level).')
      const level = LEVELS[Math.trunc(api.lua_tonumber(M, 1))]
      if (level === undefined) this.raise(M, 'ERR Invalid debug level.')
      const words: Bytes[] = []
      for (let index = 2; index <= count; index++) words.push(vm.text(M, index) ?? '')
      this.host.log(level, words.join(' '))
      return 0
    })
    for (const [value, name] of ['LOG_DEBUG', 'LOG_VERBOSE', 'LOG_NOTICE', 'LOG_WARNING'].entries()) {
      api.lua_pushnumber(L, value)
      vm.setField(L, -2, name)
    }
  }

  pushVersion(L: Thread): void {
    const { version } = this.host
    const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
    this.vm.push(L, version)
    this.vm.setField(L, -2, 'REDIS_VERSION')
    this.vm.api.lua_pushnumber(L, (major << 16) | (minor << 8) | patch)
    this.vm.setField(L, -2, 'REDIS_VERSION_NUM')
  }

  /** redis.call and redis.pcall. */
  #command(L: Thread, raises: boolean): number {
    const { vm, run } = this
    if (run === undefined) return this.raise(L, 'ERR redis.call/pcall can only be called inside a script invocation')
    const tape = this.#tape
    tape.reset(run.resp)
    const error = this.#readArguments(L)
    if (error !== undefined) {
      this.host.countError('ERR')
      tape.error(error)
      run.debugger?.called(undefined, tape, false)
    } else {
      const args = this.#args.slice()
      const executed = this.host.call(args, run, tape)
      run.debugger?.called(args, tape, executed)
    }
    const failed = raises && tape.failure !== undefined
    tape.pushTo(vm, L)
    return failed ? vm.raiseTop(L) : 1
  }

  /** Into `#args`; answers what is wrong with them. */
  #readArguments(L: Thread): Bytes | undefined {
    const { vm } = this
    const { api } = vm
    const args = this.#args
    const count = api.lua_gettop(L)
    args.length = 0
    if (count === 0) return `ERR ${ARGUMENTS_EXPECTED}`
    for (let index = 1; index <= count; index++) {
      const type = api.lua_type(L, index)
      if (type === LuaType.string) args.push(vm.text(L, index) as Bytes)
      else if (type === LuaType.number) args.push(formatG(api.lua_tonumber(L, index), 17))
      else return 'ERR Lua redis lib command arguments must be strings or integers'
    }
    return undefined
  }

  #aclCheck(L: Thread): number {
    const { run } = this
    if (run === undefined) return this.raise(L, 'ERR redis.acl_check_cmd can only be called inside a script invocation')
    const error = this.#readArguments(L)
    if (error !== undefined) this.raise(L, error)
    const allowed = this.host.mayCall(this.#args, run)
    if (allowed === undefined) this.raise(L, 'ERR Invalid command passed to redis.acl_check_cmd()')
    this.vm.api.lua_pushboolean(L, allowed ? 1 : 0)
    return 1
  }

  #setResp(L: Thread): number {
    const { api } = this.vm
    if (api.lua_gettop(L) !== 1) this.raise(L, 'ERR redis.setresp() requires one argument.')
    const resp = Math.trunc(api.lua_tonumber(L, 1))
    if (resp !== 2 && resp !== 3) this.raise(L, 'ERR RESP version must be 2 or 3.')
    if (this.run !== undefined) this.run.resp = resp
    return 0
  }

  #setReplication(L: Thread): number {
    const { api } = this.vm
    if (api.lua_gettop(L) !== 1) this.raise(L, 'ERR redis.set_repl() requires two arguments.')
    const flags = Math.trunc(api.lua_tonumber(L, 1))
    if ((flags & ~3) !== 0) {
      this.raise(L, 'ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.')
    }
    if (this.run !== undefined) this.run.replicate = { file: (flags & 1) !== 0, replicas: (flags & 2) !== 0 }
    return 0
  }

  #errorReply(L: Thread): number {
    const text = this.#onlyText(L)
    if (text === undefined) return this.#returnWrongArguments(L)
    const bare = text.startsWith('-') ? text.slice(1) : text
    const coded = bare.includes(' ') || text.startsWith('-') ? bare : `ERR ${bare}`
    this.vm.api.lua_createtable(L, 0, 1)
    this.vm.push(L, coded.replace(/[\r\n]+$/, ''))
    this.vm.setField(L, -2, 'err')
    return 1
  }

  #statusReply(L: Thread): number {
    const text = this.#onlyText(L)
    if (text === undefined) return this.#returnWrongArguments(L)
    this.vm.api.lua_createtable(L, 0, 1)
    this.vm.push(L, text)
    this.vm.setField(L, -2, 'ok')
    return 1
  }

  #onlyText(L: Thread): Bytes | undefined {
    const { api } = this.vm
    return api.lua_gettop(L) === 1 && api.lua_type(L, 1) === LuaType.string ? this.vm.text(L, 1) : undefined
  }

  /** Not raised but returned, as ever. */
  #returnWrongArguments(L: Thread): number {
    this.host.countError('ERR')
    pushError(this.vm, L, 'ERR wrong number or type of arguments')
    return 1
  }
}

const LEVELS = ['debug', 'verbose', 'notice', 'warning'] as const

/** As Lua's tostring would, but without calling anything of the script's. */
function describe(vm: LuaVm, L: Thread, index: number): Bytes {
  switch (vm.api.lua_type(L, index)) {
    case LuaType.nil:
      return 'nil'
    case LuaType.boolean:
      return vm.api.lua_toboolean(L, index) === 0 ? 'false' : 'true'
    case LuaType.string:
    case LuaType.number:
      return vm.text(L, index) ?? ''
    default:
      return vm.typeName(L, index)
  }
}

export function sha1(text: Bytes): string {
  return createHash('sha1').update(Buffer.from(text, 'latin1')).digest('hex')
}
