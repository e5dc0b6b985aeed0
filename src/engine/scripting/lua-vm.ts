/**
 * Lua 5.1 in WebAssembly, without its makers' glue: the module is instantiated here, and of the system it would like to
 * call it gets nothing but memory. There is no file, no clock and no process it could reach, whatever a script does.
 *
 *     script ─▶ Lua's own C code, compiled ─▶ a function of ours (`define`) ─▶ the stack of its thread `L`
 *
 * Bounds: `maxBytes` of memory. Beyond, an allocation fails, and Lua raises "not enough memory" in the script.
 *
 * Errors of Lua travel as C's longjmp, which is a JavaScript exception here. A function of ours that raises one, or that
 * calls anything that may, must therefore leave nothing half done in our own data: first collect, then push.
 */
import { readLatin1, writeLatin1 } from '../../base/latin1.js'
import type { Bytes } from '../../base/units.js'
import './webassembly.js'

/** The address of a Lua thread; 0 is none. */
export type Thread = number

export const LuaType = { nil: 0, boolean: 1, pointer: 2, number: 3, string: 4, table: 5, function: 6 } as const

export const REGISTRY = -10000
export const GLOBALS = -10002
/** In a function of ours: the first value it was made with. */
export const FIRST_UPVALUE = GLOBALS - 1
export const MULTIPLE = -1

/** What `lua_sethook` may be asked to watch. */
export const HookMask = { line: 4, count: 8 } as const
/** What a hook is told to have happened. */
const COUNT_EVENT = 3

type Fn = (...args: number[]) => number

/** The part of the module's exports that is used. */
interface LuaExports {
  readonly memory: WebAssembly.Memory
  readonly __indirect_function_table: WebAssembly.Table
  readonly __wasm_call_ctors: () => void
  readonly emscripten_stack_init: () => void
  readonly setThrew: (threw: number, value: number) => void
  readonly stackSave: () => number
  readonly stackRestore: (at: number) => void
  readonly malloc: Fn
  readonly free: Fn
  readonly luaL_newstate: () => Thread
  readonly luaopen_base: Fn
  readonly luaopen_string: Fn
  readonly luaopen_table: Fn
  readonly luaopen_math: Fn
  readonly lua_gettop: Fn
  readonly lua_settop: Fn
  readonly lua_pushvalue: Fn
  readonly lua_remove: Fn
  readonly lua_insert: Fn
  readonly lua_replace: Fn
  readonly lua_rawequal: Fn
  readonly lua_checkstack: Fn
  readonly lua_type: Fn
  readonly lua_typename: Fn
  readonly lua_isnumber: Fn
  readonly lua_isstring: Fn
  readonly lua_iscfunction: Fn
  readonly lua_toboolean: Fn
  readonly lua_tonumber: Fn
  readonly lua_tolstring: Fn
  readonly lua_tocfunction: Fn
  readonly lua_topointer: Fn
  readonly lua_objlen: Fn
  readonly lua_pushnil: Fn
  readonly lua_pushboolean: Fn
  readonly lua_pushnumber: Fn
  readonly lua_pushlstring: Fn
  readonly lua_pushlightuserdata: Fn
  readonly lua_pushcclosure: Fn
  readonly lua_createtable: Fn
  readonly lua_rawget: Fn
  readonly lua_rawset: Fn
  readonly lua_rawgeti: Fn
  readonly lua_rawseti: Fn
  readonly lua_getmetatable: Fn
  readonly lua_setmetatable: Fn
  readonly lua_next: Fn
  readonly lua_call: Fn
  readonly lua_pcall: Fn
  readonly lua_error: Fn
  readonly lua_concat: Fn
  readonly lua_gc: Fn
  readonly lua_sethook: Fn
  readonly lua_getstack: Fn
  readonly lua_getinfo: Fn
  readonly lua_getlocal: Fn
  readonly luaL_loadbuffer: Fn
  readonly luaL_ref: Fn
  readonly luaL_unref: Fn
  readonly luaL_where: Fn
  readonly luaL_argerror: Fn
}

/** Lua gave up in a way it cannot come back from: the machine must be thrown away. */
export class LuaPanic extends Error {
  override readonly name = 'LuaPanic'
}

/** What C's longjmp looks like while it passes through us. */
const LONGJMP = Number.POSITIVE_INFINITY
const PAGE_BYTES = 65536
const SCRATCH_BYTES = 64 * 1024
/** Up to this length a loop over characters beats the call into the engine's own copy. */
const SHORT_TEXT = 24
/** C's `lua_Debug` on 32 bits. */
const DEBUG_BYTES = 104
const DEBUG_NAME = 4
const DEBUG_WHAT = 12
const DEBUG_SOURCE = 16
const DEBUG_LINE = 20

/** `(module (import "e" "f" (func (type 0))) (export "f" (func 0)))`: makes an entry of the function table of ours. */
function bridge(type: readonly number[]): WebAssembly.Module {
  return new WebAssembly.Module(
    Uint8Array.from([
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...[1, type.length + 2, 1, 0x60, ...type],
      ...[2, 7, 1, 1, 0x65, 1, 0x66, 0, 0],
      ...[7, 5, 1, 1, 0x66, 0, 0],
    ]),
  )
}

const I32 = 0x7f
const functionBridge = bridge([1, I32, 1, I32])
const hookBridge = bridge([2, I32, I32, 0])

export class LuaVm {
  readonly api: LuaExports
  /** The main thread. */
  readonly main: Thread
  #memory: Buffer = Buffer.alloc(0)
  #bytes = new Uint8Array(0)
  #view = new DataView(new ArrayBuffer(0))
  readonly #scratch: number
  readonly #out: number
  readonly #debug: number
  readonly #constants = new Map<string, number>()

  constructor(
    module: WebAssembly.Module,
    private readonly maxBytes: number,
  ) {
    const instance = new WebAssembly.Instance(module, this.#imports(module))
    this.api = instance.exports as unknown as LuaExports
    this.#refresh()
    this.api.emscripten_stack_init()
    this.api.__wasm_call_ctors()
    this.#scratch = this.api.malloc(SCRATCH_BYTES)
    this.#out = this.api.malloc(8)
    this.#debug = this.api.malloc(DEBUG_BYTES)
    this.main = this.api.luaL_newstate()
    if (this.main === 0) throw new LuaPanic('no memory for Lua')
  }

  /** Everything a C library may ask of the system is answered with "no". */
  #imports(module: WebAssembly.Module): WebAssembly.Imports {
    const imports: Record<string, Record<string, (...args: number[]) => number | void>> = {}
    for (const { module: from, name } of WebAssembly.Module.imports(module)) {
      imports[from] ??= {}
      ;(imports[from] as Record<string, () => number>)[name] = () => -1
    }
    Object.assign(imports.env ?? {}, {
      exit: () => {
        throw new LuaPanic('Lua has left')
      },
      emscripten_memcpy_js: (to: number, from: number, count: number) => {
        this.#bytes.copyWithin(to, from, from + count)
      },
      emscripten_resize_heap: (wanted: number) => this.#grow(wanted >>> 0),
      emscripten_date_now: () => 0,
      _emscripten_throw_longjmp: () => {
        throw LONGJMP
      },
      invoke_vii: (index: number, first: number, second: number) => {
        const { api } = this
        const stack = api.stackSave()
        try {
          api.__indirect_function_table.get(index)(first, second)
        } catch (error) {
          if (error !== LONGJMP) throw error
          api.stackRestore(stack)
          api.setThrew(1, 0)
        }
      },
    })
    const wasi = imports.wasi_snapshot_preview1
    if (wasi !== undefined) {
      wasi.environ_sizes_get = (count, size) => this.#zero(count as number) + this.#zero(size as number)
      wasi.environ_get = () => 0
    }
    return imports
  }

  #zero(at: number): number {
    this.#view.setUint32(at, 0, true)
    return 0
  }

  #grow(wanted: number): number {
    const { memory } = this.api
    if (wanted > this.maxBytes) return 0
    const now = memory.buffer.byteLength
    // Ahead of what is asked: growing moves nothing, but each time costs a new view of it all.
    const target = Math.min(this.maxBytes, Math.max(wanted, now + Math.min(now >> 1, 32 * 1024 * 1024)))
    try {
      memory.grow(Math.ceil((target - now) / PAGE_BYTES))
    } catch {
      return 0
    }
    this.#refresh()
    return 1
  }

  #refresh(): void {
    const { buffer } = this.api.memory
    this.#memory = Buffer.from(buffer)
    this.#bytes = new Uint8Array(buffer)
    this.#view = new DataView(buffer)
  }

  /** Bytes that Lua's objects take. */
  get usedBytes(): number {
    return this.api.lua_gc(this.main, 3, 0) * 1024 + this.api.lua_gc(this.main, 4, 0)
  }

  // ── Text ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  push(L: Thread, text: Bytes): void {
    const { length } = text
    if (length > SCRATCH_BYTES) return this.#pushLong(L, text)
    const at = this.#scratch
    if (length <= SHORT_TEXT) {
      const bytes = this.#bytes
      for (let index = 0; index < length; index++) bytes[at + index] = text.charCodeAt(index)
    } else writeLatin1(this.#memory, text, at)
    this.api.lua_pushlstring(L, at, length)
  }

  #pushLong(L: Thread, text: Bytes): void {
    const at = this.api.malloc(text.length)
    if (at === 0) this.raise(L, 'not enough memory')
    try {
      writeLatin1(this.#memory, text, at)
      this.api.lua_pushlstring(L, at, text.length)
    } finally {
      this.api.free(at)
    }
  }

  /** The text at a place of the stack, which a number there becomes; undefined when it is neither. */
  text(L: Thread, index: number): Bytes | undefined {
    const at = this.api.lua_tolstring(L, index, this.#out)
    if (at === 0) return undefined
    return this.#read(at, this.#view.getUint32(this.#out, true))
  }

  #read(at: number, length: number): Bytes {
    return length === 0 ? '' : readLatin1(this.#memory, at, at + length)
  }

  #readC(at: number): Bytes {
    return at === 0 ? '' : this.#read(at, this.#bytes.indexOf(0, at) - at)
  }

  /** A text of ours as C's text, for ever. */
  constant(text: string): number {
    const known = this.#constants.get(text)
    if (known !== undefined) return known
    const at = this.api.malloc(text.length + 1)
    writeLatin1(this.#memory, `${text}\0`, at)
    this.#constants.set(text, at)
    return at
  }

  typeName(L: Thread, index: number): Bytes {
    return this.#readC(this.api.lua_typename(L, this.api.lua_type(L, index)))
  }

  // ── Tables ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** `table[name] = value`, with the value on top and popped. */
  setField(L: Thread, table: number, name: Bytes): void {
    this.push(L, name)
    this.api.lua_insert(L, -2)
    this.api.lua_rawset(L, table < 0 && table > REGISTRY ? table - 1 : table)
  }

  /** Pushes `table[name]`, without metamethods. */
  getField(L: Thread, table: number, name: Bytes): void {
    this.push(L, name)
    this.api.lua_rawget(L, table < 0 && table > REGISTRY ? table - 1 : table)
  }

  pop(L: Thread, count = 1): void {
    this.api.lua_settop(L, -count - 1)
  }

  // ── Functions ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** An address at which Lua can call this; never given back. */
  address(fn: (L: Thread) => number): number {
    return this.#enter(new WebAssembly.Instance(functionBridge, { e: { f: fn } }))
  }

  /** `record` is C's `lua_Debug`: see `isCount`. */
  hookAddress(fn: (L: Thread, record: number) => void): number {
    return this.#enter(new WebAssembly.Instance(hookBridge, { e: { f: fn } }))
  }

  /** Whether a hook was called because so many instructions are over, rather than for a new line. */
  isCount(record: number): boolean {
    return this.#view.getInt32(record, true) === COUNT_EVENT
  }

  #enter(instance: WebAssembly.Instance): number {
    const table = this.api.__indirect_function_table
    const index = table.grow(1)
    table.set(index, instance.exports.f)
    return index
  }

  /** Puts a function under a name into the table on top. */
  define(L: Thread, name: Bytes, fn: (L: Thread) => number): void {
    this.api.lua_pushcclosure(L, this.address(fn), 0)
    this.setField(L, -2, name)
  }

  /** The C function at a place of the stack, to be called on a stack that is as it expects it. */
  cFunction(L: Thread, index: number): (L: Thread) => number {
    return this.api.__indirect_function_table.get(this.api.lua_tocfunction(L, index)) as (L: Thread) => number
  }

  /** Pushes the compiled chunk, or the error; answers whether it is a chunk. Compiled chunks of others are not loaded. */
  load(L: Thread, code: Bytes, name: Bytes): boolean {
    // Lua takes what begins with ESC for bytecode, with which the machine can be broken: a space in front makes it text.
    const source = code.charCodeAt(0) === 27 ? ` ${code}` : code
    const at = this.api.malloc(source.length + 1)
    if (at === 0) {
      this.push(L, 'not enough memory')
      return false
    }
    try {
      writeLatin1(this.#memory, source, at)
      return this.api.luaL_loadbuffer(L, at, source.length, this.#nameOf(name)) === 0
    } finally {
      this.api.free(at)
    }
  }

  #nameOf(name: Bytes): number {
    if (name.length < 64 && name.startsWith('@')) return this.constant(name)
    // A chunk's name is copied when it is loaded: the scratch is free for it.
    const short = `${name.slice(0, 1024)}\0`
    writeLatin1(this.#memory, short, this.#scratch)
    return this.#scratch
  }

  // ── Errors ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Raises a text as it is. */
  raise(L: Thread, text: Bytes): never {
    this.push(L, text)
    return this.raiseTop(L)
  }

  /** Raises a text with the place in the script before it, as C functions do. */
  fail(L: Thread, text: Bytes): never {
    this.api.luaL_where(L, 1)
    this.push(L, text)
    this.api.lua_concat(L, 2)
    return this.raiseTop(L)
  }

  raiseTop(L: Thread): never {
    this.api.lua_error(L)
    throw new LuaPanic('an error did not leave')
  }

  /** "bad argument #1 to 'encode' (…)". */
  badArgument(L: Thread, index: number, text: string): never {
    const at = this.api.malloc(text.length + 1)
    writeLatin1(this.#memory, `${text}\0`, at)
    try {
      this.api.luaL_argerror(L, index, at)
    } finally {
      this.api.free(at)
    }
    throw new LuaPanic('an error did not leave')
  }

  badType(L: Thread, index: number, expected: string): never {
    const got = index > this.api.lua_gettop(L) ? 'no value' : this.typeName(L, index)
    return this.badArgument(L, index, `${expected} expected, got ${got}`)
  }

  numberArg(L: Thread, index: number): number {
    const value = this.api.lua_tonumber(L, index)
    if (value === 0 && this.api.lua_isnumber(L, index) === 0) this.badType(L, index, 'number')
    return value
  }

  textArg(L: Thread, index: number): Bytes {
    return this.text(L, index) ?? this.badType(L, index, 'string')
  }

  /** Which line of which chunk runs `level` calls up; undefined for C functions. `above`: there is no such level. */
  place(L: Thread, level: number): { readonly source: Bytes; readonly line: number } | undefined | 'above' {
    const { api } = this
    if (api.lua_getstack(L, level, this.#debug) === 0) return 'above'
    api.lua_getinfo(L, this.constant('Sl'), this.#debug)
    const pointer = (offset: number): number => this.#view.getUint32(this.#debug + offset, true)
    if (this.#readC(pointer(DEBUG_WHAT)) === 'C') return undefined
    return {
      source: this.#readC(pointer(DEBUG_SOURCE)),
      line: this.#view.getInt32(this.#debug + DEBUG_LINE, true),
    }
  }
  /** The name under which the function `level` calls up was called; undefined when it has none. */
  functionName(L: Thread, level: number): Bytes | undefined {
    if (this.api.lua_getstack(L, level, this.#debug) === 0) return undefined
    this.api.lua_getinfo(L, this.constant('n'), this.#debug)
    const at = this.#view.getUint32(this.#debug + DEBUG_NAME, true)
    return at === 0 ? undefined : this.#readC(at)
  }

  /** Pushes the n-th local variable of the function `level` calls up and answers its name; undefined: there is none. */
  local(L: Thread, level: number, n: number): Bytes | undefined {
    if (this.api.lua_getstack(L, level, this.#debug) === 0) return undefined
    const at = this.api.lua_getlocal(L, this.#debug, n)
    return at === 0 ? undefined : this.#readC(at)
  }
}
