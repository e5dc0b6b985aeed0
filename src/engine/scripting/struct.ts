/**
 * The `struct` library: numbers and texts as C lays them out in memory.
 *
 *     > < =   byte order          !n      alignment       space  nothing
 *     b B h H l L T i[n] I[n]     integers of 1, 2, 8, 8 and n (else 4) bytes; capitals have no sign
 *     f d     floats              s       a text that ends with NUL       cn   n bytes (c0: as long as the value says)
 *     x       a byte of padding
 */
import type { Bytes } from '../../base/units.js'
import type { LuaVm, Thread } from './lua-vm.js'

const MAX_INTEGER_BYTES = 32
const INT_MAX = 2147483647
/** What `!` means without a number: the strictest alignment of the machine that Redis runs on. */
const NATIVE_ALIGNMENT = 8

interface Layout {
  little: boolean
  align: number
}

interface Option {
  readonly code: string
  readonly size: number
  /** Bytes of padding before it. */
  readonly padding: number
}

class Format {
  at = 0
  readonly layout: Layout = { little: true, align: 1 }

  constructor(
    private readonly vm: LuaVm,
    private readonly L: Thread,
    private readonly text: Bytes,
  ) {}

  /** The next option, when it stands `total` bytes after the beginning; undefined at the end. */
  next(total: number): Option | undefined {
    if (this.at >= this.text.length) return undefined
    const code = this.text.charAt(this.at++)
    const size = this.#size(code)
    return { code, size, padding: this.#padding(code, size, total) }
  }

  #size(code: string): number {
    switch (code) {
      case 'b':
      case 'B':
      case 'x':
        return 1
      case 'h':
      case 'H':
        return 2
      case 'l':
      case 'L':
      case 'T':
      case 'd':
        return 8
      case 'f':
        return 4
      case 'c':
        return this.#number(1)
      case 'i':
      case 'I': {
        const size = this.#number(4)
        if (size > MAX_INTEGER_BYTES) {
          this.vm.fail(this.L, `integral size ${size} is larger than limit of ${MAX_INTEGER_BYTES}`)
        }
        return size
      }
      default:
        return 0
    }
  }

  #number(otherwise: number): number {
    if (!isDigit(this.text.charCodeAt(this.at))) return otherwise
    let value = 0
    while (isDigit(this.text.charCodeAt(this.at))) {
      value = value * 10 + this.text.charCodeAt(this.at++) - 48
      if (value > INT_MAX) this.vm.fail(this.L, 'integral size overflow')
    }
    return value
  }

  #padding(code: string, size: number, total: number): number {
    if (size === 0 || code === 'c') return 0
    const align = Math.min(size, this.layout.align)
    return align > 1 ? (align - (total & (align - 1))) & (align - 1) : 0
  }

  /** Options that only say how to go on. */
  control({ code }: Option): void {
    const { layout } = this
    switch (code) {
      case ' ':
        return
      case '>':
        layout.little = false
        return
      case '<':
      case '=':
        layout.little = true
        return
      case '!': {
        const align = this.#number(NATIVE_ALIGNMENT)
        if (align === 0 || (align & (align - 1)) !== 0) this.vm.fail(this.L, `alignment ${align} is not a power of 2`)
        layout.align = align
        return
      }
      default:
        this.vm.badArgument(this.L, 1, `invalid format option '${code}'`)
    }
  }
}

export function pushStruct(vm: LuaVm, L: Thread): void {
  vm.api.lua_createtable(L, 0, 3)
  vm.define(L, 'pack', M => pack(vm, M))
  vm.define(L, 'unpack', M => unpack(vm, M))
  vm.define(L, 'size', M => size(vm, M))
}

function pack(vm: LuaVm, L: Thread): number {
  const format = new Format(vm, L, vm.textArg(L, 1))
  const parts: Bytes[] = []
  let total = 0
  let arg = 2
  for (let option = format.next(0); option !== undefined; option = format.next(total)) {
    let part = '\0'.repeat(option.padding)
    switch (option.code) {
      case 'b':
      case 'B':
      case 'h':
      case 'H':
      case 'l':
      case 'L':
      case 'T':
      case 'i':
      case 'I':
        part += integerBytes(number(vm, L, arg++), option.size, format.layout.little)
        break
      case 'x':
        part += '\0'
        break
      case 'f':
      case 'd':
        part += floatBytes(number(vm, L, arg++), option.size, format.layout.little)
        break
      case 'c':
      case 's': {
        const text = vm.textArg(L, arg++)
        const wanted = option.code === 's' || option.size === 0 ? text.length : option.size
        if (text.length < wanted) vm.badArgument(L, arg, 'string too short')
        part += text.slice(0, wanted)
        if (option.code === 's') part += '\0'
        break
      }
      default:
        format.control(option)
    }
    total += part.length
    parts.push(part)
  }
  vm.push(L, parts.join(''))
  return 1
}

function unpack(vm: LuaVm, L: Thread): number {
  const { api } = vm
  const format = new Format(vm, L, vm.textArg(L, 1))
  const data = vm.textArg(L, 2)
  const given = api.lua_type(L, 3) <= 0 ? 1 : vm.numberArg(L, 3)
  if (!(given > 0)) vm.badArgument(L, 2, 'data string too short')
  let at = given - 1
  let found = 0
  /** What `c0` takes its length from. */
  let lastNumber: number | undefined
  api.lua_settop(L, 2)
  for (let option = format.next(at); option !== undefined; option = format.next(at)) {
    at += option.padding
    if (option.size > data.length || at > data.length - option.size) vm.badArgument(L, 2, 'data string too short')
    if (api.lua_checkstack(L, 2) === 0) vm.fail(L, 'too many results')
    let width = option.size
    const { little } = format.layout
    switch (option.code) {
      case 'b':
      case 'B':
      case 'h':
      case 'H':
      case 'l':
      case 'L':
      case 'T':
      case 'i':
      case 'I': {
        const signed = option.code === option.code.toLowerCase()
        lastNumber = integerOf(data, at, option.size, little, signed)
        api.lua_pushnumber(L, lastNumber)
        found++
        break
      }
      case 'x':
        break
      case 'f':
      case 'd':
        lastNumber = floatOf(data, at, option.size, little)
        api.lua_pushnumber(L, lastNumber)
        found++
        break
      case 'c':
        if (width === 0) {
          if (found === 0 || lastNumber === undefined) vm.fail(L, "format 'c0' needs a previous size")
          width = Math.trunc(lastNumber)
          vm.pop(L)
          found--
          if (width < 0 || at + width > data.length) vm.badArgument(L, 2, 'data string too short')
        }
        vm.push(L, data.slice(at, at + width))
        lastNumber = undefined
        found++
        break
      case 's': {
        const end = data.indexOf('\0', at)
        if (end < 0) vm.fail(L, 'unfinished string in data')
        vm.push(L, data.slice(at, end))
        lastNumber = undefined
        width = end - at + 1
        found++
        break
      }
      default:
        format.control(option)
    }
    at += width
  }
  api.lua_pushnumber(L, at + 1)
  return found + 1
}

function size(vm: LuaVm, L: Thread): number {
  const format = new Format(vm, L, vm.textArg(L, 1))
  let total = 0
  for (let option = format.next(0); option !== undefined; option = format.next(total)) {
    if (option.code === 's') vm.badArgument(L, 1, "option 's' has no fixed size")
    if (option.code === 'c' && option.size === 0) vm.badArgument(L, 1, "option 'c0' has no fixed size")
    if (!'bBhHlLTiIfdcx'.includes(option.code)) format.control(option)
    total += option.padding + option.size
  }
  vm.api.lua_pushnumber(L, total)
  return 1
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}

/** Who gives too few values is told that they are nil. */
function number(vm: LuaVm, L: Thread, index: number): number {
  if (index > vm.api.lua_gettop(L)) vm.api.lua_pushnil(L)
  return vm.numberArg(L, index)
}

function integerBytes(value: number, size: number, little: boolean): Bytes {
  let rest = Number.isFinite(value) ? BigInt.asUintN(64, BigInt(Math.trunc(value))) : 1n << 63n
  let text = ''
  for (let index = 0; index < size; index++) {
    const byte = String.fromCharCode(Number(rest & 0xffn))
    text = little ? text + byte : byte + text
    rest >>= 8n
  }
  return text
}

function integerOf(data: Bytes, at: number, size: number, little: boolean, signed: boolean): number {
  let value = 0n
  for (let index = 0; index < size; index++) {
    const place = little ? at + size - 1 - index : at + index
    value = (value << 8n) | BigInt(data.charCodeAt(place))
  }
  const bits = Math.min(64, size * 8)
  return Number(signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(64, value))
}

const float = new DataView(new ArrayBuffer(8))

function floatBytes(value: number, size: number, little: boolean): Bytes {
  if (size === 4) float.setFloat32(0, value, little)
  else float.setFloat64(0, value, little)
  return String.fromCharCode(...new Uint8Array(float.buffer, 0, size))
}

function floatOf(data: Bytes, at: number, size: number, little: boolean): number {
  for (let index = 0; index < size; index++) float.setUint8(index, data.charCodeAt(at + index))
  return size === 4 ? float.getFloat32(0, little) : float.getFloat64(0, little)
}
