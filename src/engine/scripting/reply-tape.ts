/**
 * What a command that a script called has answered, noted down until the command is over and only then made into Lua
 * values: pushing may raise an error, which must not happen in the middle of a command.
 *
 *     number ◀ integer         false ◀ null         text ◀ bulk          {ok=…} ◀ status       {err=…} ◀ error
 *     after redis.setresp(3):  nil ◀ null   {map={…}}   {set={x=true}}   {double=…}   {big_number=…}   true, false
 */
import { quote } from '../../base/quote.js'
import type { Bytes } from '../../base/units.js'
import { formatDouble } from '../../resp/encoder.js'
import type { Frame } from '../../resp/protocol.js'
import type { ReplyWriter } from '../../resp/reply.js'
import type { LuaVm, Thread } from './lua-vm.js'

const Kind = {
  integer: 0,
  bulk: 1,
  null: 2,
  status: 3,
  error: 4,
  array: 5,
  map: 6,
  set: 7,
  boolean: 8,
  double: 9,
  bignum: 10,
  verbatim: 11,
} as const

/** Lua has 16 bytes for each item of a table at least, and a script's memory is bounded. */
const MAX_ITEMS = 10_000_000

export class ReplyTape implements ReplyWriter {
  resp: 2 | 3 = 2
  readonly #kinds: number[] = []
  readonly #values: (Bytes | number | bigint)[] = []
  #length = 0
  #at = 0

  reset(resp: 2 | 3): void {
    this.resp = resp
    this.#length = this.#at = 0
    // A reply of a million items would otherwise be held for ever.
    if (this.#kinds.length > 4096) this.#kinds.length = this.#values.length = 0
  }

  /** More than a script could hold. */
  get full(): boolean {
    return this.#length > MAX_ITEMS
  }

  get empty(): boolean {
    return this.#length === 0
  }

  /** The text of an error reply; undefined when it is none. */
  get failure(): Bytes | undefined {
    return this.#length > 0 && this.#kinds[0] === Kind.error ? (this.#values[0] as Bytes) : undefined
  }

  #note(kind: number, value: Bytes | number | bigint): void {
    this.#kinds[this.#length] = kind
    this.#values[this.#length++] = value
  }

  ok(): void {
    this.#note(Kind.status, 'OK')
  }

  simple(text: Bytes): void {
    this.#note(Kind.status, text)
  }

  error(text: Bytes): void {
    this.#note(Kind.error, text)
  }

  integer(value: number | bigint): void {
    this.#note(Kind.integer, value)
  }

  bulk(value: Bytes | Buffer): void {
    this.#note(Kind.bulk, typeof value === 'string' ? value : value.toString('latin1'))
  }

  null(): void {
    this.#note(Kind.null, 0)
  }

  nullArray(): void {
    this.#note(Kind.null, 0)
  }

  array(count: number): void {
    this.#note(Kind.array, count)
  }

  map(pairs: number): void {
    if (this.resp === 2) this.#note(Kind.array, pairs * 2)
    else this.#note(Kind.map, pairs)
  }

  set(count: number): void {
    this.#note(this.resp === 2 ? Kind.array : Kind.set, count)
  }

  push(count: number): void {
    this.#note(Kind.array, count)
  }

  double(value: number): void {
    if (this.resp === 2) this.#note(Kind.bulk, formatDouble(value))
    else this.#note(Kind.double, value)
  }

  boolean(value: boolean): void {
    if (this.resp === 2) this.#note(Kind.integer, value ? 1 : 0)
    else this.#note(Kind.boolean, value ? 1 : 0)
  }

  bignum(value: bigint): void {
    if (this.resp === 2) this.#note(Kind.bulk, String(value))
    else this.#note(Kind.bignum, String(value))
  }

  verbatim(format: 'txt' | 'mkd', value: Bytes): void {
    if (this.resp === 2) this.#note(Kind.bulk, value)
    else this.#note(Kind.verbatim, `${format}${value}`)
  }

  /** A reply that was encoded, and decoded again. */
  frame(frame: Frame): void {
    switch (frame.type) {
      case 'simple':
        return this.simple(frame.value)
      case 'error':
        return this.error(frame.value)
      case 'integer':
        return this.integer(frame.value)
      case 'bulk':
        return this.bulk(frame.value)
      case 'null':
        return this.null()
      case 'double':
        return this.double(frame.value)
      case 'boolean':
        return this.boolean(frame.value)
      case 'bignum':
        return this.bignum(frame.value)
      case 'verbatim':
        return this.verbatim(frame.format === 'mkd' ? 'mkd' : 'txt', frame.value)
      case 'map':
        this.map(frame.items.length / 2)
        break
      case 'set':
        this.set(frame.items.length)
        break
      default:
        this.array(frame.items.length)
    }
    for (const item of frame.items) this.frame(item)
  }

  // ── For people ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The whole reply, as the debugger shows it. */
  describe(): Bytes {
    this.#at = 0
    return this.#length === 0 ? '' : this.#describe()
  }

  #describe(): Bytes {
    const value = this.#values[this.#at] as Bytes
    const items = (count: number): Bytes[] => Array.from({ length: count }, () => this.#describe())
    switch (this.#kinds[this.#at++]) {
      case Kind.integer:
        return String(value)
      case Kind.bulk:
        return quote(value)
      case Kind.null:
        return this.resp === 2 ? 'NULL' : '(null)'
      case Kind.status:
        return quote(`+${value}`)
      case Kind.error:
        return quote(`-${value}`)
      case Kind.boolean:
        return Number(value) === 0 ? '#false' : '#true'
      case Kind.double:
        return `(double) ${formatDouble(Number(value))}`
      case Kind.bignum:
        return `(big number) ${value}`
      case Kind.verbatim:
        return quote(value.slice(3))
      case Kind.array:
        return `[${items(Number(value)).join(',')}]`
      case Kind.set:
        return `~(${items(Number(value)).join(',')})`
      default:
        return `{${Array.from({ length: Number(value) }, () => `${this.#describe()} => ${this.#describe()}`).join(',')}}`
    }
  }

  // ── To Lua ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Pushes the whole reply, as one value. */
  pushTo(vm: LuaVm, L: Thread): void {
    this.#at = 0
    if (this.#length === 0) vm.api.lua_pushboolean(L, 0)
    else this.#push(vm, L)
  }

  #push(vm: LuaVm, L: Thread): void {
    const { api } = vm
    const value = this.#values[this.#at] as Bytes
    switch (this.#kinds[this.#at++]) {
      case Kind.integer:
        api.lua_pushnumber(L, Number(value))
        return
      case Kind.bulk:
        return vm.push(L, value)
      case Kind.null:
        if (this.resp === 2) api.lua_pushboolean(L, 0)
        else api.lua_pushnil(L)
        return
      case Kind.status:
        return pushTagged(vm, L, 'ok', value)
      case Kind.error:
        return pushError(vm, L, value)
      case Kind.boolean:
        api.lua_pushboolean(L, Number(value))
        return
      case Kind.double:
        api.lua_createtable(L, 0, 1)
        api.lua_pushnumber(L, Number(value))
        return vm.setField(L, -2, 'double')
      case Kind.bignum:
        return pushTagged(vm, L, 'big_number', value)
      case Kind.verbatim:
        api.lua_createtable(L, 0, 1)
        api.lua_createtable(L, 0, 2)
        vm.push(L, value.slice(3))
        vm.setField(L, -2, 'string')
        vm.push(L, value.slice(0, 3))
        vm.setField(L, -2, 'format')
        return vm.setField(L, -2, 'verbatim_string')
      case Kind.array:
        return this.#pushArray(vm, L, Number(value))
      default:
        return this.#pushMap(vm, L, Number(value), this.#kinds[this.#at - 1] === Kind.map)
    }
  }

  #pushArray(vm: LuaVm, L: Thread, count: number): void {
    const { api } = vm
    if (api.lua_checkstack(L, 4) === 0) vm.raise(L, 'stack overflow')
    api.lua_createtable(L, count, 0)
    for (let index = 1; index <= count; index++) {
      this.#push(vm, L)
      api.lua_rawseti(L, -2, index)
    }
  }

  #pushMap(vm: LuaVm, L: Thread, count: number, hasValues: boolean): void {
    const { api } = vm
    if (api.lua_checkstack(L, 6) === 0) vm.raise(L, 'stack overflow')
    api.lua_createtable(L, 0, 1)
    api.lua_createtable(L, 0, count)
    for (let index = 0; index < count; index++) {
      this.#push(vm, L)
      if (hasValues) this.#push(vm, L)
      else api.lua_pushboolean(L, 1)
      api.lua_rawset(L, -3)
    }
    vm.setField(L, -2, hasValues ? 'map' : 'set')
  }
}

function pushTagged(vm: LuaVm, L: Thread, tag: string, value: Bytes): void {
  vm.api.lua_createtable(L, 0, 1)
  vm.push(L, value)
  vm.setField(L, -2, tag)
}

/** An error that was counted when it came about, and is not to be counted again when it becomes the script's reply. */
export function pushError(vm: LuaVm, L: Thread, text: Bytes): void {
  vm.api.lua_createtable(L, 0, 2)
  vm.push(L, text)
  vm.setField(L, -2, 'err')
  vm.api.lua_pushboolean(L, 1)
  vm.setField(L, -2, 'ignore_error_stats_update')
}
