/**
 * The `cmsgpack` library: MessagePack, as the one in Redis speaks it (its raw type is a string; there are no binaries,
 * no extensions). Tables nested deeper than 16 become nil, so that circular ones end.
 */
import type { Bytes } from '../../base/units.js'
import { LuaType, type LuaVm, type Thread } from './lua-vm.js'

const MAX_NESTING = 16
/** Deeper input would fill our own stack. */
const UNPACK_DEPTH_MAX = 1500
const INT_MAX = 2147483647

const number = new DataView(new ArrayBuffer(8))

export function pushCmsgpack(vm: LuaVm, L: Thread): void {
  const { api } = vm
  api.lua_createtable(L, 0, 8)
  vm.define(L, 'pack', M => {
    const count = api.lua_gettop(M)
    if (count === 0) vm.badArgument(M, 0, 'MessagePack pack needs input.')
    if (api.lua_checkstack(M, 4) === 0) vm.fail(M, 'Too many arguments for MessagePack pack.')
    const writer = new PackWriter(vm, M)
    for (let index = 1; index <= count; index++) {
      api.lua_pushvalue(M, index)
      writer.value(0)
      vm.pop(M)
    }
    vm.push(M, writer.take())
    return 1
  })
  vm.define(L, 'unpack', M => unpack(vm, M, 0, 0))
  vm.define(L, 'unpack_one', M => unpack(vm, M, 1, optional(vm, M, 2, 0)))
  vm.define(L, 'unpack_limit', M => {
    const limit = Math.trunc(vm.numberArg(M, 2))
    return unpack(vm, M, limit, optional(vm, M, 3, 0))
  })
  for (const [name, text] of [
    ['_NAME', 'cmsgpack'],
    ['_VERSION', 'lua-cmsgpack 0.4.0'],
    ['_COPYRIGHT', 'Copyright (C) 2012, Salvatore Sanfilippo'],
    ['_DESCRIPTION', 'MessagePack C implementation for Lua'],
  ] as const) {
    vm.push(L, text)
    vm.setField(L, -2, name)
  }
}

function optional(vm: LuaVm, L: Thread, index: number, otherwise: number): number {
  return vm.api.lua_type(L, index) <= 0 ? otherwise : Math.trunc(vm.numberArg(L, index))
}

// ── Packing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

class PackWriter {
  readonly #parts: Bytes[] = []

  constructor(
    private readonly vm: LuaVm,
    private readonly L: Thread,
  ) {}

  take(): Bytes {
    return this.#parts.join('')
  }

  /** The value on top of the stack, which stays there. */
  value(depth: number): void {
    const { api } = this.vm
    const { L } = this
    switch (api.lua_type(L, -1)) {
      case LuaType.string:
        return this.#text(this.vm.text(L, -1) as Bytes)
      case LuaType.boolean:
        return this.#byte(api.lua_toboolean(L, -1) === 0 ? 0xc2 : 0xc3)
      case LuaType.number:
        return this.#number(api.lua_tonumber(L, -1))
      case LuaType.table:
        return depth === MAX_NESTING ? this.#byte(0xc0) : this.#table(depth)
      default:
        return this.#byte(0xc0)
    }
  }

  #byte(value: number): void {
    this.#parts.push(String.fromCharCode(value))
  }

  #text(text: Bytes): void {
    const { length } = text
    if (length < 32) this.#byte(0xa0 | length)
    else if (length <= 0xff) this.#head(0xd9, length, 1)
    else if (length <= 0xffff) this.#head(0xda, length, 2)
    else this.#head(0xdb, length, 4)
    this.#parts.push(text)
  }

  #head(type: number, value: number, size: 1 | 2 | 4): void {
    if (size === 1) this.#parts.push(String.fromCharCode(type, value & 0xff))
    else if (size === 2) this.#parts.push(String.fromCharCode(type, (value >> 8) & 0xff, value & 0xff))
    else {
      this.#parts.push(
        String.fromCharCode(type, value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff),
      )
    }
  }

  #number(value: number): void {
    if (Number.isInteger(value) && value < 2 ** 63 && value >= -(2 ** 63)) this.#integer(value)
    else if (Number.isNaN(value)) this.#parts.push('\xcb\xff\xf8\0\0\0\0\0\0')
    else if (Math.fround(value) === value) {
      number.setFloat32(0, value)
      this.#parts.push(`\xca${bytesOf(4)}`)
    } else {
      number.setFloat64(0, value)
      this.#parts.push(`\xcb${bytesOf(8)}`)
    }
  }

  #integer(value: number): void {
    if (value >= 0) {
      if (value <= 127) this.#byte(value)
      else if (value <= 0xff) this.#head(0xcc, value, 1)
      else if (value <= 0xffff) this.#head(0xcd, value, 2)
      else if (value <= 0xffffffff) this.#head(0xce, value, 4)
      else this.#long(0xcf, value)
    } else if (value >= -32) this.#byte(value & 0xff)
    else if (value >= -128) this.#head(0xd0, value, 1)
    else if (value >= -32768) this.#head(0xd1, value, 2)
    else if (value >= -2147483648) this.#head(0xd2, value, 4)
    else this.#long(0xd3, value)
  }

  #long(type: number, value: number): void {
    number.setBigInt64(0, BigInt(value))
    this.#parts.push(String.fromCharCode(type) + bytesOf(8))
  }

  #table(depth: number): void {
    const { vm, L } = this
    const { api } = vm
    if (api.lua_checkstack(L, 4) === 0) vm.fail(L, 'stack overflow (in function mp_encode_lua_table)')
    const count = this.#countOf()
    if (count.isArray) {
      this.#size(count.entries, 0x90, 0xdc)
      for (let index = 1; index <= count.entries; index++) {
        api.lua_rawgeti(L, -1, index)
        this.value(depth + 1)
        vm.pop(L)
      }
      return
    }
    this.#size(count.entries, 0x80, 0xde)
    api.lua_pushnil(L)
    while (api.lua_next(L, -2) !== 0) {
      api.lua_pushvalue(L, -2)
      this.value(depth + 1)
      vm.pop(L)
      this.value(depth + 1)
      vm.pop(L)
    }
  }

  /** An array has exactly the keys from 1 on. */
  #countOf(): { readonly entries: number; readonly isArray: boolean } {
    const { vm, L } = this
    const { api } = vm
    let entries = 0
    let max = 0
    let isArray = true
    api.lua_pushnil(L)
    while (api.lua_next(L, -2) !== 0) {
      vm.pop(L)
      entries++
      if (!isArray) continue
      const key = api.lua_type(L, -1) === LuaType.number ? api.lua_tonumber(L, -1) : 0
      isArray = key > 0 && key <= INT_MAX && Math.floor(key) === key
      if (key > max) max = key
    }
    return { entries, isArray: isArray && max === entries }
  }

  #size(count: number, short: number, long: number): void {
    if (count <= 15) this.#byte(short | count)
    else if (count <= 0xffff) this.#head(long, count, 2)
    else this.#head(long + 1, count, 4)
  }
}

function bytesOf(count: number): Bytes {
  return String.fromCharCode(...new Uint8Array(number.buffer, 0, count))
}

// ── Unpacking ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Pushes values, and before them where to go on when not all were wanted. */
function unpack(vm: LuaVm, L: Thread, wantedLimit: number, offset: number): number {
  const { api } = vm
  const text = vm.textArg(L, 1)
  if (offset < 0 || wantedLimit < 0) {
    vm.fail(L, `Invalid request to unpack with offset of ${offset} and limit of ${text.length}.`)
  }
  if (offset > text.length) {
    vm.fail(L, `Start offset ${offset} greater than input length ${text.length}.`)
  }
  const all = wantedLimit === 0 && offset === 0
  const limit = all ? INT_MAX : wantedLimit
  api.lua_settop(L, 1)
  if (!all) api.lua_pushnil(L)
  const reader = new PackReader(vm, L, text, offset)
  let count = 0
  while (reader.at < text.length && count < limit) {
    if (api.lua_checkstack(L, 4) === 0) vm.fail(L, 'stack overflow (in function mp_unpack)')
    reader.value()
    count++
  }
  if (all) return count
  api.lua_pushnumber(L, reader.at >= text.length ? -1 : reader.at)
  api.lua_replace(L, 2)
  return count + 1
}

class PackReader {
  #depth = 0

  constructor(
    private readonly vm: LuaVm,
    private readonly L: Thread,
    private readonly text: Bytes,
    public at: number,
  ) {}

  value(): void {
    const { vm, L } = this
    const { api } = vm
    const type = this.#take(1)
    if (type <= 0x7f) return this.#number(type)
    if (type >= 0xe0) return this.#number(type - 256)
    if (type <= 0x8f) return this.#map(type & 15)
    if (type <= 0x9f) return this.#array(type & 15)
    if (type <= 0xbf) return this.#string(type & 31)
    switch (type) {
      case 0xc0:
        api.lua_pushnil(L)
        return
      case 0xc2:
      case 0xc3:
        api.lua_pushboolean(L, type & 1)
        return
      case 0xca:
        this.#load(4)
        return this.#number(number.getFloat32(0))
      case 0xcb:
        this.#load(8)
        return this.#number(number.getFloat64(0))
      case 0xcc:
        return this.#number(this.#take(1))
      case 0xcd:
        return this.#number(this.#take(2))
      case 0xce:
        return this.#number(this.#take(4))
      case 0xcf:
      case 0xd3:
        this.#load(8)
        return this.#number(Number(number.getBigInt64(0)))
      case 0xd0:
        return this.#number((this.#take(1) << 24) >> 24)
      case 0xd1:
        return this.#number((this.#take(2) << 16) >> 16)
      case 0xd2:
        return this.#number(this.#take(4) | 0)
      case 0xd9:
        return this.#string(this.#take(1))
      case 0xda:
        return this.#string(this.#take(2))
      case 0xdb:
        return this.#string(this.#take(4))
      case 0xdc:
        return this.#array(this.#take(2))
      case 0xdd:
        return this.#array(this.#take(4))
      case 0xde:
        return this.#map(this.#take(2))
      case 0xdf:
        return this.#map(this.#take(4))
      default:
        vm.fail(L, 'Bad data format in input.')
    }
  }

  #need(count: number): void {
    if (this.at + count > this.text.length) this.vm.fail(this.L, 'Missing bytes in input.')
  }

  #take(count: 1 | 2 | 4): number {
    this.#need(count)
    let value = 0
    for (let index = 0; index < count; index++) value = value * 256 + this.text.charCodeAt(this.at++)
    return value
  }

  #load(count: number): void {
    this.#need(count)
    for (let index = 0; index < count; index++) number.setUint8(index, this.text.charCodeAt(this.at++))
  }

  #number(value: number): void {
    this.vm.api.lua_pushnumber(this.L, value)
  }

  #string(length: number): void {
    this.#need(length)
    this.vm.push(this.L, this.text.slice(this.at, this.at + length))
    this.at += length
  }

  #room(): void {
    if (++this.#depth > UNPACK_DEPTH_MAX || this.vm.api.lua_checkstack(this.L, 4) === 0) {
      this.vm.fail(this.L, 'stack overflow (in function mp_decode_to_lua)')
    }
  }

  #array(count: number): void {
    this.#room()
    this.vm.api.lua_createtable(this.L, 0, 0)
    for (let index = 1; index <= count; index++) {
      this.value()
      this.vm.api.lua_rawseti(this.L, -2, index)
    }
    this.#depth--
  }

  #map(count: number): void {
    const { vm, L } = this
    this.#room()
    vm.api.lua_createtable(L, 0, 0)
    for (let index = 0; index < count; index++) {
      this.value()
      this.value()
      // Neither nil nor NaN can be a key.
      if (vm.api.lua_type(L, -2) === LuaType.nil || vm.api.lua_rawequal(L, -2, -2) === 0) {
        vm.fail(L, 'Bad data format in input.')
      }
      vm.api.lua_rawset(L, -3)
    }
    this.#depth--
  }
}
