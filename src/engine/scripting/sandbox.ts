/**
 * The world a script sees: Lua's own libraries without a way out, ours beside them, and nothing that can be changed.
 *
 *     a script's globals: an empty table ──not there──▶ its metatable ──▶ the real table of globals ──▶ "nonexistent"
 *                                        ──assigned───▶ refused
 *
 * Lua 5.1 has no frozen tables. So scripts never hold a table that matters, only an empty stand-in for it, and the few
 * functions that look behind metatables (rawset, setmetatable, next …) know the stand-ins by their address.
 */
import type { Bytes } from '../../base/units.js'
import { FIRST_UPVALUE, GLOBALS, LuaType, type LuaVm, REGISTRY, type Thread } from './lua-vm.js'

export const READ_ONLY = 'Attempt to modify a readonly table'
/** Pieces that `load` may collect: as much as a script of text may be. */
const LOADED_BYTES_MAX = 64 * 1024 * 1024

/** From here on `string.rep` is ours, up to there it may go. */
const OWN_REP_BYTES = 4096
const REP_BYTES_MAX = 256 * 1024 * 1024

/** What `math.random` divides by. */
const RANDOM_MAX = 2147483647

/** Gone from the base library. */
const removed = [
  ...['dofile', 'loadfile', 'print', 'newproxy', 'getfenv', 'setfenv', 'module', 'require', 'package', 'io', 'os'],
  ...['debug'],
]

export interface SandboxHost {
  /** Seconds of work, for `os.clock`. */
  seconds(): number
  /** The script that runs is to end: nothing of its own is called any more. */
  readonly ending: boolean
}

export class Sandbox {
  /** Addresses of stand-ins, and where the registry keeps what they stand for. */
  readonly #real = new Map<number, number>()
  readonly #refusing: number
  readonly #nonexistent: number
  /** The real table of globals. */
  readonly globalsRef: number
  /** Metatable of the stand-in for the globals: its `__index` is what scripts see. */
  readonly globalsMetaRef: number
  #stringMetaRef = 0

  constructor(
    private readonly vm: LuaVm,
    host: SandboxHost,
    seed: number,
    libraries: Readonly<Record<string, (vm: LuaVm, L: Thread) => void>>,
  ) {
    const { api } = vm
    const L = vm.main
    this.#refusing = vm.address(M => vm.fail(M, READ_ONLY))
    this.#nonexistent = vm.address(M => {
      const name = api.lua_type(M, 2) === LuaType.string ? vm.text(M, 2) : `${vm.typeName(M, 2)}`
      return vm.fail(M, `Script attempted to access nonexistent global variable '${name}'`)
    })
    api.luaopen_base(L)
    api.luaopen_string(L)
    api.luaopen_table(L)
    api.luaopen_math(L)
    api.lua_settop(L, 0)

    api.lua_pushvalue(L, GLOBALS)
    for (const name of removed) {
      api.lua_pushnil(L)
      vm.setField(L, 1, name)
    }
    this.#overrideBase(L)
    this.#overrideXpcall(L, host)
    this.#overrideTable(L)
    this.#overrideRep(L)
    this.#overrideMath(L, seed)
    api.lua_createtable(L, 0, 1)
    vm.define(L, 'clock', M => {
      api.lua_pushnumber(M, host.seconds())
      return 1
    })
    vm.setField(L, 1, 'os')
    for (const [name, open] of Object.entries(libraries)) {
      open(vm, L)
      vm.setField(L, 1, name)
    }
    for (const name of ['string', 'table', 'math', 'coroutine', 'os', ...Object.keys(libraries)]) {
      vm.getField(L, 1, name)
      this.protect(L)
      vm.setField(L, 1, name)
    }
    this.#hideStringMeta(L)
    this.strict(L)
    api.lua_pushvalue(L, 1)
    this.globalsRef = api.luaL_ref(L, REGISTRY)
    api.lua_pushvalue(L, 1)
    this.protect(L)
    api.lua_pushvalue(L, -1)
    vm.setField(L, 1, '_G')
    api.lua_getmetatable(L, -1)
    this.globalsMetaRef = api.luaL_ref(L, REGISTRY)
    api.lua_replace(L, GLOBALS)
    api.lua_settop(L, 0)
  }

  /** Replaces the table on top by a stand-in for it. */
  protect(L: Thread): void {
    const { vm } = this
    const { api } = vm
    api.lua_createtable(L, 0, 0)
    api.lua_createtable(L, 0, 2)
    api.lua_pushvalue(L, -3)
    vm.setField(L, -2, '__index')
    api.lua_pushcclosure(L, this.#refusing, 0)
    vm.setField(L, -2, '__newindex')
    api.lua_setmetatable(L, -2)
    // For ever, so that its address is never another table's.
    api.lua_pushvalue(L, -1)
    api.luaL_ref(L, REGISTRY)
    api.lua_insert(L, -2)
    const real = api.luaL_ref(L, REGISTRY)
    this.#real.set(api.lua_topointer(L, -1), real)
  }

  /** Reading what is not in the table on top is an error. */
  strict(L: Thread): void {
    const { vm } = this
    vm.api.lua_createtable(L, 0, 1)
    vm.api.lua_pushcclosure(L, this.#nonexistent, 0)
    vm.setField(L, -2, '__index')
    vm.api.lua_setmetatable(L, -2)
  }

  #isProtected(L: Thread, index: number): boolean {
    return this.#real.has(this.vm.api.lua_topointer(L, index))
  }

  /** Puts the real table in the place of its stand-in, for functions that only read. */
  unveil(L: Thread, index: number): void {
    const real = this.#real.get(this.vm.api.lua_topointer(L, index))
    if (real === undefined) return
    this.vm.api.lua_rawgeti(L, REGISTRY, real)
    this.vm.api.lua_replace(L, index)
  }

  /** Wraps the function of this name in the table at `table`; its upvalues, of which Lua's have at most one, stay. */
  #wrap(L: Thread, table: number, name: Bytes, fn: (M: Thread, original: (M: Thread) => number) => number): void {
    const { vm } = this
    vm.getField(L, table, name)
    const original = vm.cFunction(L, -1)
    vm.pop(L)
    const address = vm.address(M => fn(M, original))
    vm.api.lua_pushcclosure(L, address, 0)
    vm.setField(L, table, name)
  }

  #overrideBase(L: Thread): void {
    const { vm } = this
    const { api } = vm
    const refuseProtected = (M: Thread, original: (M: Thread) => number): number => {
      if (this.#isProtected(M, 1)) vm.raise(M, READ_ONLY)
      return original(M)
    }
    this.#wrap(L, 1, 'rawset', refuseProtected)
    this.#wrap(L, 1, 'setmetatable', refuseProtected)
    this.#wrap(L, 1, 'getmetatable', (M, original) => {
      if (api.lua_type(M, 1) === LuaType.string) {
        api.lua_rawgeti(M, REGISTRY, this.#stringMetaRef)
        return 1
      }
      if (!this.#isProtected(M, 1)) return original(M)
      api.lua_rawgeti(M, REGISTRY, this.globalsRef)
      const isGlobals = api.lua_topointer(M, -1) === this.#realPointer(M, 1)
      if (isGlobals) {
        api.lua_createtable(M, 0, 0)
        this.#protectBriefly(M)
      } else api.lua_pushnil(M)
      return 1
    })
    this.#wrap(L, 1, 'rawget', (M, original) => {
      this.unveil(M, 1)
      return original(M)
    })
    // `pairs` hands out its own `next`, untouched, so that walking a script's own tables costs nothing more.
    vm.getField(L, 1, 'next')
    const next = vm.cFunction(L, -1)
    vm.pop(L)
    api.lua_pushcclosure(L, vm.address(next), 0)
    const nextRef = api.luaL_ref(L, REGISTRY)
    this.#wrap(L, 1, 'next', M => {
      this.unveil(M, 1)
      return next(M)
    })
    vm.define(L, 'pairs', M => {
      if (api.lua_type(M, 1) !== LuaType.table) vm.badType(M, 1, 'table')
      api.lua_rawgeti(M, REGISTRY, nextRef)
      if (this.#isProtected(M, 1)) this.#copy(M)
      else api.lua_pushvalue(M, 1)
      api.lua_pushnil(M)
      return 3
    })
    this.#wrap(L, 1, 'pcall', (M, original) => {
      const count = original(M)
      // The error of redis.call is a table for us, and was always a text for those who catch it.
      if (api.lua_toboolean(M, 1) === 0 && api.lua_type(M, 2) === LuaType.table) {
        vm.getField(M, 2, 'err')
        if (api.lua_type(M, -1) === LuaType.string) api.lua_replace(M, 2)
        else vm.pop(M)
      }
      return count
    })
    this.#wrap(L, 1, 'collectgarbage', (M, original) => {
      const what = vm.text(M, 1)
      if (what === undefined || !['stop', 'restart', 'setpause', 'setstepmul'].includes(what)) return original(M)
      api.lua_pushnumber(M, 0)
      return 1
    })
    vm.define(L, 'loadstring', M => {
      const code = vm.textArg(M, 1)
      return this.#loaded(M, code, vm.text(M, 2) ?? code)
    })
    vm.define(L, 'load', M => this.#loaded(M, this.#collect(M), vm.text(M, 2) ?? '=(load)'))
  }

  /**
   * A script's error handler runs where the error was raised. When that is our own hook, which ends the script, no hook
   * fires meanwhile: the handler could go on for ever.
   */
  #overrideXpcall(L: Thread, host: SandboxHost): void {
    const { vm } = this
    const { api } = vm
    const handler = vm.address(M => {
      if (host.ending) return 1
      api.lua_pushvalue(M, FIRST_UPVALUE)
      api.lua_insert(M, 1)
      api.lua_call(M, 1, 1)
      return 1
    })
    this.#wrap(L, 1, 'xpcall', (M, original) => {
      if (api.lua_gettop(M) < 2) return original(M)
      api.lua_settop(M, 2)
      api.lua_pushcclosure(M, handler, 1)
      return original(M)
    })
  }

  #realPointer(L: Thread, index: number): number {
    const { api } = this.vm
    api.lua_rawgeti(L, REGISTRY, this.#real.get(api.lua_topointer(L, index)) ?? 0)
    const pointer = api.lua_topointer(L, -1)
    this.vm.pop(L)
    return pointer
  }

  /** A stand-in that nobody needs to know: one that only cannot be assigned to. */
  #protectBriefly(L: Thread): void {
    const { vm } = this
    vm.api.lua_createtable(L, 0, 1)
    vm.api.lua_pushcclosure(L, this.#refusing, 0)
    vm.setField(L, -2, '__newindex')
    vm.api.lua_setmetatable(L, -2)
  }

  /** Pushes a copy of what the stand-in at 1 stands for. */
  #copy(L: Thread): void {
    const { api } = this.vm
    this.unveil(L, 1)
    api.lua_createtable(L, 0, 0)
    api.lua_pushnil(L)
    while (api.lua_next(L, 1) !== 0) {
      api.lua_pushvalue(L, -2)
      api.lua_insert(L, -2)
      api.lua_rawset(L, -4)
    }
  }

  #loaded(L: Thread, code: Bytes, name: Bytes): number {
    if (this.vm.load(L, code, name)) return 1
    this.vm.api.lua_pushnil(L)
    this.vm.api.lua_insert(L, -2)
    return 2
  }

  /** What the reader function at 1 gives until it gives nothing. */
  #collect(L: Thread): Bytes {
    const { vm } = this
    const { api } = vm
    if (api.lua_type(L, 1) !== LuaType.function) vm.badType(L, 1, 'function')
    let code = ''
    for (;;) {
      api.lua_pushvalue(L, 1)
      api.lua_call(L, 0, 1)
      const type = api.lua_type(L, -1)
      if (type !== LuaType.nil && type !== LuaType.string) vm.fail(L, 'reader function must return a string')
      const piece = type === LuaType.nil ? '' : (vm.text(L, -1) as Bytes)
      vm.pop(L)
      if (piece === '') return code
      code += piece
      if (code.length > LOADED_BYTES_MAX) vm.raise(L, 'not enough memory')
    }
  }

  #overrideTable(L: Thread): void {
    const { vm } = this
    vm.getField(L, 1, 'table')
    this.#wrap(L, 2, 'insert', (M, original) => {
      if (this.#isProtected(M, 1)) vm.raise(M, READ_ONLY)
      return original(M)
    })
    vm.pop(L)
  }

  /** Lua's own adds byte by byte, and cannot be interrupted: long texts are made here. */
  #overrideRep(L: Thread): void {
    const { vm } = this
    const { api } = vm
    vm.getField(L, 1, 'string')
    this.#wrap(L, 2, 'rep', (M, original) => {
      const count = Math.trunc(api.lua_tonumber(M, 2))
      const bytes = api.lua_type(M, 1) === LuaType.string ? api.lua_objlen(M, 1) * count : 0
      if (!(bytes > OWN_REP_BYTES)) return original(M)
      if (bytes > REP_BYTES_MAX) vm.raise(M, 'not enough memory')
      vm.push(M, (vm.text(M, 1) ?? '').repeat(count))
      return 1
    })
    vm.pop(L)
  }

  /** C's lrand48, so that a seed gives the numbers it gives in Redis. */
  #overrideMath(L: Thread, seed: number): void {
    const { vm } = this
    const { api } = vm
    const random = new Rand48(seed)
    vm.getField(L, 1, 'math')
    vm.define(L, 'random', M => {
      const fraction = (random.next() % RANDOM_MAX) / RANDOM_MAX
      const given = api.lua_gettop(M)
      if (given === 0) {
        api.lua_pushnumber(M, fraction)
        return 1
      }
      if (given > 2) vm.fail(M, 'wrong number of arguments')
      const first = Math.trunc(vm.numberArg(M, 1))
      const low = given === 1 ? 1 : first
      const high = given === 1 ? first : Math.trunc(vm.numberArg(M, 2))
      if (low > high) vm.badArgument(M, given, 'interval is empty')
      api.lua_pushnumber(M, Math.floor(fraction * (high - low + 1)) + low)
      return 1
    })
    vm.define(L, 'randomseed', M => {
      random.seed(Math.trunc(vm.numberArg(M, 1)))
      return 0
    })
    vm.pop(L)
  }

  /** The metatable of all texts, as scripts may see it. */
  #hideStringMeta(L: Thread): void {
    const { vm } = this
    const { api } = vm
    api.lua_createtable(L, 0, 1)
    vm.getField(L, 1, 'string')
    vm.setField(L, -2, '__index')
    this.protect(L)
    this.#stringMetaRef = api.luaL_ref(L, REGISTRY)
  }
}

/** The 48-bit generator of POSIX. */
export class Rand48 {
  #state = 0n

  constructor(seed: number) {
    this.seed(seed)
  }

  seed(seed: number): void {
    this.#state = (BigInt.asUintN(32, BigInt(Number.isFinite(seed) ? seed : 0)) << 16n) | 0x330en
  }

  /** 31 bits. */
  next(): number {
    this.#state = BigInt.asUintN(48, this.#state * 0x5deece66dn + 0xbn)
    return Number(this.#state >> 17n)
  }
}
