/**
 * Libraries of functions: loaded whole or not at all, part of the data set (snapshots and the stream carry their code).
 *
 * While a library loads, its code sees nothing but a small `redis` table; the functions it registers run later in the world
 * of scripts. It is the same stand-in for the globals both times: only what lies behind it is exchanged.
 */
import type { Bytes, Millis } from '../../base/units.js'
import { LuaType, REGISTRY, type Thread } from './lua-vm.js'
import type { Machine, Ref } from './machine.js'
import { EVERYWHERE, type ScriptRun } from './run.js'
import { flagsOf, isFlagName, isName, NAME_RULE, parseLibrary, type ScriptFlags } from './shebang.js'

/** Loading a library is to register functions and nothing else. */
export const LOAD_TIMEOUT_MS = 500
export const LOAD_TIMEOUT = 'FUNCTION LOAD timeout'

export interface LibraryFunction {
  readonly name: Bytes
  readonly description: Bytes | undefined
  readonly flagNames: readonly Bytes[]
  readonly flags: ScriptFlags
  readonly library: Library
  readonly ref: Ref
}

export interface Library {
  readonly name: Bytes
  readonly engine: Bytes
  /** As it was given, first line included. */
  readonly source: Bytes
  readonly functions: Map<Bytes, LibraryFunction>
}

export type Loaded = { readonly library: Library } | { readonly error: Bytes }
export type RestorePolicy = 'flush' | 'append' | 'replace'

interface Registering {
  readonly library: Library
}

export class Libraries {
  #libraries = new Map<Bytes, Library>()
  /** By lower-case name: functions are called in any case, though libraries are not. */
  #functions = new Map<Bytes, LibraryFunction>()
  #machine: Machine | undefined
  #loadGlobals: Ref = 0
  #registering: Registering | undefined

  constructor(private readonly newMachine: () => Machine) {}

  get all(): IterableIterator<Library> {
    return this.#libraries.values()
  }

  get count(): number {
    return this.#libraries.size
  }

  get functionCount(): number {
    return this.#functions.size
  }

  /** The code of all libraries: what a snapshot holds. */
  get sources(): Bytes[] {
    return [...this.#libraries.values()].map(library => library.source)
  }

  get usedBytes(): number {
    return this.#machine === undefined || this.#machine.broken ? 0 : this.#machine.usedBytes
  }

  library(name: Bytes): Library | undefined {
    return this.#libraries.get(name)
  }

  /** A function, ready to be called in `machine`. */
  find(name: Bytes): LibraryFunction | undefined {
    if (this.#machine?.broken === true) this.#reload()
    return this.#functions.get(name.toLowerCase())
  }

  get machine(): Machine {
    if (this.#machine === undefined || this.#machine.broken) this.#reload()
    return this.#machine as Machine
  }

  // ── Loading ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** FUNCTION LOAD. */
  load(source: Bytes, replace: boolean, now: Millis): Loaded {
    const prepared = this.#prepare(source, this.#libraries, this.#functions, replace, now)
    if ('error' in prepared) return prepared
    this.#put(prepared.library, this.#libraries, this.#functions)
    return prepared
  }

  /** Several at once, all or none: FUNCTION RESTORE. */
  restore(sources: readonly Bytes[], policy: RestorePolicy, now: Millis): { readonly error: Bytes } | undefined {
    const libraries = policy === 'flush' ? new Map<Bytes, Library>() : new Map(this.#libraries)
    const functions = policy === 'flush' ? new Map<Bytes, LibraryFunction>() : new Map(this.#functions)
    const fresh = new Map<Bytes, Library>()
    for (const source of sources) {
      const prepared = this.#prepare(source, fresh, new Map(), false, now)
      if ('error' in prepared) return prepared
      const { library } = prepared
      const old = libraries.get(library.name)
      if (old !== undefined && policy === 'append') return { error: `ERR Library ${library.name} already exists` }
      if (old !== undefined) remove(old, libraries, functions)
      fresh.set(library.name, library)
    }
    for (const library of fresh.values()) {
      const clash = [...library.functions.keys()].find(name => functions.has(name.toLowerCase()))
      if (clash !== undefined) return { error: `ERR Function ${clash} already exists` }
      this.#put(library, libraries, functions)
    }
    this.#libraries = libraries
    this.#functions = functions
    return undefined
  }

  /** Replaces everything, as a snapshot does; answers the first error, with nothing changed then. */
  replaceAll(sources: readonly Bytes[], now: Millis): { readonly error: Bytes } | undefined {
    if (sources.length === 0) {
      this.flush()
      return undefined
    }
    return this.restore(sources, 'flush', now)
  }

  delete(name: Bytes): boolean {
    const library = this.#libraries.get(name)
    if (library === undefined) return false
    remove(library, this.#libraries, this.#functions)
    for (const { ref } of library.functions.values()) this.#machine?.release(ref)
    return true
  }

  flush(): void {
    this.#libraries = new Map()
    this.#functions = new Map()
    this.#machine = undefined
  }

  #put(library: Library, libraries: Map<Bytes, Library>, functions: Map<Bytes, LibraryFunction>): void {
    const old = libraries.get(library.name)
    if (old !== undefined) {
      remove(old, libraries, functions)
      for (const { ref } of old.functions.values()) this.#machine?.release(ref)
    }
    libraries.set(library.name, library)
    for (const entry of library.functions.values()) functions.set(entry.name.toLowerCase(), entry)
  }

  /** A machine broke: everything is compiled again in a new one. */
  #reload(): void {
    const sources = this.sources
    this.flush()
    this.#machine = this.newMachine()
    this.#openLoading(this.#machine)
    for (const source of sources) this.load(source, true, Number.NaN)
  }

  #prepare(
    source: Bytes,
    libraries: ReadonlyMap<Bytes, Library>,
    functions: ReadonlyMap<Bytes, LibraryFunction>,
    replace: boolean,
    now: Millis,
  ): Loaded {
    const parsed = parseLibrary(source)
    if ('error' in parsed) return parsed
    const old = libraries.get(parsed.name)
    if (old !== undefined && !replace) return { error: `ERR Library '${parsed.name}' already exists` }
    const library: Library = { name: parsed.name, engine: parsed.engine, source, functions: new Map() }
    const error = this.#runLoading(library, parsed.code, now)
    if (error !== undefined) return { error }
    if (library.functions.size === 0) return { error: 'ERR No functions registered' }
    const clash = [...library.functions.keys()].find(name => {
      const other = functions.get(name.toLowerCase())
      return other !== undefined && other.library !== old
    })
    return clash === undefined ? { library } : { error: `ERR Function ${clash} already exists` }
  }

  #runLoading(library: Library, code: Bytes, now: Millis): Bytes | undefined {
    const { machine } = this
    const { vm, sandbox } = machine
    const compiled = machine.compile(code, '@user_function')
    if ('error' in compiled) return `ERR Error compiling function: ${compiled.error}`
    this.#registering = { library }
    machine.run = loadingRun(now)
    const error = machine.guard<Bytes | undefined>(
      () => {
        const L = vm.main
        vm.api.lua_settop(L, 0)
        this.#showGlobals(L, this.#loadGlobals)
        vm.api.lua_rawgeti(L, REGISTRY, compiled.ref)
        const raised = machine.protectedCall(L)
        this.#showGlobals(L, sandbox.globalsRef)
        return raised
      },
      text => `ERR ${text}`,
    )
    machine.run = undefined
    this.#registering = undefined
    machine.release(compiled.ref)
    if (error === undefined) return undefined
    for (const { ref } of library.functions.values()) machine.release(ref)
    return `ERR Error registering functions: ${error}`
  }

  #showGlobals(L: Thread, globals: Ref): void {
    const { vm, sandbox } = this.machine
    vm.api.lua_rawgeti(L, REGISTRY, sandbox.globalsMetaRef)
    vm.api.lua_rawgeti(L, REGISTRY, globals)
    vm.setField(L, -2, '__index')
    vm.pop(L)
  }

  // ── What libraries see while they load ────────────────────────────────────────────────────────────────────────────

  #openLoading(machine: Machine): void {
    const { vm, sandbox } = machine
    const { api, main: L } = vm
    api.lua_createtable(L, 0, 1)
    api.lua_createtable(L, 0, 8)
    vm.define(L, 'register_function', M => this.#register(machine, M))
    machine.pushLog(L)
    machine.pushVersion(L)
    sandbox.strict(L)
    sandbox.protect(L)
    vm.setField(L, -2, 'redis')
    sandbox.strict(L)
    this.#loadGlobals = api.luaL_ref(L, REGISTRY)
  }

  #register(machine: Machine, L: Thread): number {
    const { vm } = machine
    const { api } = vm
    const refuse = (text: string): never => machine.raise(L, `ERR ${text}`)
    const registering = this.#registering
    if (registering === undefined) {
      return refuse('redis.register_function can only be called on FUNCTION LOAD command')
    }
    const count = api.lua_gettop(L)
    if (count < 1 || count > 2) return refuse('wrong number of arguments to redis.register_function')
    const given = count === 1 ? this.#namedArguments(machine, L, refuse) : positional(machine, L, refuse)
    if (!isName(given.name)) return refuse(NAME_RULE)
    const { library } = registering
    if (library.functions.has(given.name)) return refuse('Function already exists in the library')
    // The callback lies on top.
    const ref = api.luaL_ref(L, REGISTRY)
    const { name, description, flagNames } = given
    library.functions.set(name, { name, description, flagNames, flags: flagsOf(flagNames), library, ref })
    return 0
  }

  #namedArguments(machine: Machine, L: Thread, refuse: (text: string) => never): Given {
    const { vm } = machine
    const { api } = vm
    if (api.lua_type(L, 1) !== LuaType.table) {
      refuse(
        'calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).',
      )
    }
    let name: Bytes | undefined
    let description: Bytes | undefined
    let flagNames: readonly Bytes[] = []
    let hasCallback = false
    api.lua_pushnil(L)
    while (api.lua_next(L, 1) !== 0) {
      // Only a text is read as one: a number would be turned into text under the walk's feet.
      switch (api.lua_type(L, -2) === LuaType.string ? (vm.text(L, -2) ?? '').toLowerCase() : '') {
        case 'function_name':
          name = isText(machine, L)
            ? vm.text(L, -1)
            : refuse('function_name argument given to redis.register_function must be a string')
          break
        case 'description':
          description = isText(machine, L)
            ? vm.text(L, -1)
            : refuse('description argument given to redis.register_function must be a string')
          break
        case 'callback':
          if (api.lua_type(L, -1) !== LuaType.function) {
            refuse('callback argument given to redis.register_function must be a function')
          }
          hasCallback = true
          break
        case 'flags':
          if (api.lua_type(L, -1) !== LuaType.table) {
            refuse('flags argument to redis.register_function must be a table representing function flags')
          }
          flagNames = readFlags(machine, L) ?? refuse('unknown flag given')
          break
        default:
          refuse('unknown argument given to redis.register_function')
      }
      vm.pop(L)
    }
    if (name === undefined) return refuse('redis.register_function must get a function name argument')
    if (!hasCallback) return refuse('redis.register_function must get a callback argument')
    this.#pushCallback(machine, L)
    return { name, description, flagNames }
  }

  #pushCallback({ vm }: Machine, L: Thread): void {
    const { api } = vm
    api.lua_pushnil(L)
    while (api.lua_next(L, 1) !== 0) {
      if (api.lua_type(L, -2) === LuaType.string && vm.text(L, -2)?.toLowerCase() === 'callback') return
      vm.pop(L)
    }
  }
}

interface Given {
  readonly name: Bytes
  readonly description: Bytes | undefined
  readonly flagNames: readonly Bytes[]
}

function positional({ vm }: Machine, L: Thread, refuse: (text: string) => never): Given {
  const name = vm.text(L, 1)
  if (name === undefined) return refuse('first argument to redis.register_function must be a string')
  if (vm.api.lua_type(L, 2) !== LuaType.function) {
    return refuse('second argument to redis.register_function must be a function')
  }
  return { name, description: undefined, flagNames: [] }
}

function isText({ vm }: Machine, L: Thread): boolean {
  const type = vm.api.lua_type(L, -1)
  return type === LuaType.string || type === LuaType.number
}

/** The names in the array on top; undefined when one of them is no flag. */
function readFlags({ vm }: Machine, L: Thread): readonly Bytes[] | undefined {
  const names: Bytes[] = []
  for (let index = 1; ; index++) {
    vm.api.lua_rawgeti(L, -1, index)
    const type = vm.api.lua_type(L, -1)
    const name = type === LuaType.string ? vm.text(L, -1) : undefined
    vm.pop(L)
    if (type === LuaType.nil) return names
    if (name === undefined || !isFlagName(name)) return undefined
    names.push(name)
  }
}

function remove(library: Library, libraries: Map<Bytes, Library>, functions: Map<Bytes, LibraryFunction>): void {
  libraries.delete(library.name)
  for (const name of library.functions.keys()) functions.delete(name.toLowerCase())
}

function loadingRun(now: Millis): ScriptRun {
  return {
    name: '',
    kind: 'load',
    startedAt: now,
    readOnly: true,
    flags: undefined,
    debugger: undefined,
    resp: 2,
    replicate: EVERYWHERE,
    wrote: false,
    killed: false,
    killedBy: undefined,
  }
}
