/**
 * The `cjson` library: JSON to Lua values and back, with the choices and the error texts of the one in Redis.
 *
 * A table whose keys are all positive integers is an array, with nulls where nothing is; one with too many holes is
 * refused, or becomes an object (`encode_sparse_array`). An empty table is an object: nothing tells it from an array.
 */
import type { Bytes } from '../../base/units.js'
import { LuaType, type LuaVm, type Thread } from './lua-vm.js'
import { formatG } from './number-text.js'

const INT_MAX = 2147483647
/** Whatever the choices say: deeper ones would fill our own stack. */
const DEPTH_MAX = 1500
const PRECISION_MAX = 14

interface Choices {
  sparseConvert: number
  sparseRatio: number
  sparseSafe: number
  encodeMaxDepth: number
  decodeMaxDepth: number
  /** 0 off, 1 on, 2 null. */
  encodeInvalid: number
  decodeInvalid: number
  keepBuffer: number
  precision: number
}

export function pushCjson(vm: LuaVm, L: Thread): void {
  const { api } = vm
  const choices: Choices = {
    sparseConvert: 0,
    sparseRatio: 2,
    sparseSafe: 10,
    encodeMaxDepth: 1000,
    decodeMaxDepth: 1000,
    encodeInvalid: 0,
    decodeInvalid: 1,
    keepBuffer: 1,
    precision: PRECISION_MAX,
  }
  const functions: Readonly<Record<string, (M: Thread) => number>> = {
    encode(M) {
      if (api.lua_gettop(M) !== 1) vm.badArgument(M, 1, 'expected 1 argument')
      vm.push(M, new JsonWriter(vm, M, choices).write())
      return 1
    },
    decode(M) {
      if (api.lua_gettop(M) !== 1) vm.badArgument(M, 1, 'expected 1 argument')
      new JsonReader(vm, M, vm.textArg(M, 1), choices).read()
      return 1
    },
    encode_sparse_array(M) {
      fill(vm, M, 3)
      option(vm, M, 1, ['off', 'on'], choices, 'sparseConvert')
      integer(vm, M, 2, 0, INT_MAX, choices, 'sparseRatio')
      integer(vm, M, 3, 0, INT_MAX, choices, 'sparseSafe')
      return 3
    },
    encode_max_depth: M => single(vm, M, () => integer(vm, M, 1, 1, INT_MAX, choices, 'encodeMaxDepth')),
    decode_max_depth: M => single(vm, M, () => integer(vm, M, 1, 1, INT_MAX, choices, 'decodeMaxDepth')),
    encode_number_precision: M => single(vm, M, () => integer(vm, M, 1, 1, PRECISION_MAX, choices, 'precision')),
    encode_keep_buffer: M => single(vm, M, () => option(vm, M, 1, ['off', 'on'], choices, 'keepBuffer')),
    encode_invalid_numbers: M => single(vm, M, () => option(vm, M, 1, ['off', 'on', 'null'], choices, 'encodeInvalid')),
    decode_invalid_numbers: M => single(vm, M, () => option(vm, M, 1, ['off', 'on'], choices, 'decodeInvalid')),
  }
  const addresses = Object.entries(functions).map(([name, fn]) => [name, vm.address(fn)] as const)
  const pushTable = (M: Thread): void => {
    api.lua_createtable(M, 0, 16)
    for (const [name, address] of addresses) {
      api.lua_pushcclosure(M, address, 0)
      vm.setField(M, -2, name)
    }
    api.lua_pushcclosure(M, newAddress, 0)
    vm.setField(M, -2, 'new')
    api.lua_pushlightuserdata(M, 0)
    vm.setField(M, -2, 'null')
    vm.push(M, 'cjson')
    vm.setField(M, -2, '_NAME')
    vm.push(M, '2.1.0')
    vm.setField(M, -2, '_VERSION')
  }
  // The new one shares our choices: a function of its own per table could never be given back.
  const newAddress: number = vm.address(M => {
    pushTable(M)
    return 1
  })
  pushTable(L)
}

// ── Choices ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function fill(vm: LuaVm, L: Thread, count: number): void {
  if (vm.api.lua_gettop(L) > count) vm.badArgument(L, count + 1, 'found too many arguments')
  vm.api.lua_settop(L, count)
}

function single(vm: LuaVm, L: Thread, run: () => void): number {
  fill(vm, L, 1)
  run()
  return 1
}

function integer(
  vm: LuaVm,
  L: Thread,
  index: number,
  min: number,
  max: number,
  choices: Choices,
  name: keyof Choices,
): void {
  if (vm.api.lua_type(L, index) !== LuaType.nil) {
    const value = Math.trunc(vm.numberArg(L, index))
    if (!(value >= min && value <= max)) vm.badArgument(L, index, `expected integer between ${min} and ${max}`)
    choices[name] = value
  }
  vm.api.lua_pushnumber(L, choices[name])
}

function option(
  vm: LuaVm,
  L: Thread,
  index: number,
  words: readonly string[],
  choices: Choices,
  name: keyof Choices,
): void {
  const type = vm.api.lua_type(L, index)
  if (type === LuaType.boolean) choices[name] = vm.api.lua_toboolean(L, index)
  else if (type !== LuaType.nil) {
    const word = vm.textArg(L, index)
    const found = words.indexOf(word)
    if (found < 0) vm.badArgument(L, index, `invalid option '${word}'`)
    choices[name] = found
  }
  if (choices[name] <= 1) vm.api.lua_pushboolean(L, choices[name])
  else vm.push(L, words[choices[name]] as string)
}

// ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Controls, quote, backslash, slash, and DEL. */
const ESCAPED = /[\x00-\x1f"\\/\x7f]/
const ALL_ESCAPED = /[\x00-\x1f"\\/\x7f]/g
const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '/': '\\/',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
}

function escaped(char: string): string {
  return SHORT_ESCAPES[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}

class JsonWriter {
  #out = ''

  constructor(
    private readonly vm: LuaVm,
    private readonly L: Thread,
    private readonly choices: Choices,
  ) {}

  write(): Bytes {
    this.#value(0)
    return this.#out
  }

  /** The value on top of the stack, which stays there. */
  #value(depth: number): void {
    const { api } = this.vm
    const { L } = this
    switch (api.lua_type(L, -1)) {
      case LuaType.string:
        return this.#text(this.vm.text(L, -1) as Bytes)
      case LuaType.number:
        return this.#number(api.lua_tonumber(L, -1))
      case LuaType.boolean:
        this.#out += api.lua_toboolean(L, -1) === 0 ? 'false' : 'true'
        return
      case LuaType.table:
        return this.#table(depth + 1)
      case LuaType.nil:
        this.#out += 'null'
        return
      case LuaType.pointer:
        if (api.lua_topointer(L, -1) === 0) {
          this.#out += 'null'
          return
        }
        return this.#refuse('type not supported')
      default:
        return this.#refuse('type not supported')
    }
  }

  #refuse(why: string): never {
    return this.vm.fail(this.L, `Cannot serialise ${this.vm.typeName(this.L, -1)}: ${why}`)
  }

  #text(text: Bytes): void {
    this.#out += ESCAPED.test(text) ? `"${text.replace(ALL_ESCAPED, escaped)}"` : `"${text}"`
  }

  #number(value: number): void {
    if (Number.isFinite(value)) this.#out += formatG(value, this.choices.precision)
    else if (this.choices.encodeInvalid === 0) this.#refuse('must not be NaN or Inf')
    else if (this.choices.encodeInvalid === 2) this.#out += 'null'
    else this.#out += Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf'
  }

  #table(depth: number): void {
    if (depth > Math.min(this.choices.encodeMaxDepth, DEPTH_MAX) || this.vm.api.lua_checkstack(this.L, 3) === 0) {
      this.vm.fail(this.L, `Cannot serialise, excessive nesting (${depth})`)
    }
    const length = this.#arrayLength()
    if (length > 0) this.#array(length, depth)
    else this.#object(depth)
  }

  /** -1: it is no array. */
  #arrayLength(): number {
    const { vm, L, choices } = this
    const { api } = vm
    let max = 0
    let items = 0
    api.lua_pushnil(L)
    while (api.lua_next(L, -2) !== 0) {
      const key = api.lua_type(L, -2) === LuaType.number ? api.lua_tonumber(L, -2) : 0
      if (!(key >= 1) || Math.floor(key) !== key) {
        vm.pop(L, 2)
        return -1
      }
      if (key > max) max = key
      items++
      vm.pop(L)
    }
    const { sparseRatio, sparseSafe, sparseConvert } = choices
    if (sparseRatio > 0 && max > items * sparseRatio && max > sparseSafe) {
      if (sparseConvert === 0) this.#refuse('excessively sparse array')
      return -1
    }
    return max
  }

  #array(length: number, depth: number): void {
    const { vm, L } = this
    this.#out += '['
    for (let index = 1; index <= length; index++) {
      if (index > 1) this.#out += ','
      vm.api.lua_rawgeti(L, -1, index)
      this.#value(depth)
      vm.pop(L)
    }
    this.#out += ']'
  }

  #object(depth: number): void {
    const { vm, L } = this
    const { api } = vm
    this.#out += '{'
    let separator = ''
    api.lua_pushnil(L)
    while (api.lua_next(L, -2) !== 0) {
      this.#out += separator
      separator = ','
      const type = api.lua_type(L, -2)
      if (type === LuaType.number) {
        this.#out += '"'
        this.#number(api.lua_tonumber(L, -2))
        this.#out += '":'
      } else if (type === LuaType.string) {
        this.#text(vm.text(L, -2) as Bytes)
        this.#out += ':'
      } else {
        vm.pop(L)
        this.#refuse('table key must be a number or string')
      }
      this.#value(depth)
      vm.pop(L)
    }
    this.#out += '}'
  }
}

// ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const NUMBER =
  /[+-]?(?:0x(?:[\da-f]+\.?[\da-f]*|\.[\da-f]+)(?:p[+-]?\d+)?|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan)/iy
const ODD_NUMBER = /\+|-?0(?:x|\d)|-?inf|-?nan/iy
const WORD = /true|false|null/y
const SIMPLE: Readonly<Record<string, string>> = {
  '{': 'T_OBJ_BEGIN',
  '}': 'T_OBJ_END',
  '[': 'T_ARR_BEGIN',
  ']': 'T_ARR_END',
  ',': 'T_COMMA',
  ':': 'T_COLON',
}
const UNESCAPED: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
}

class JsonReader {
  #at = 0
  /** The token that was read last: its name, or what is wrong with it. */
  #token: string = ''
  #begin = 0
  #text: Bytes = ''
  #number = 0
  #depth = 0

  constructor(
    private readonly vm: LuaVm,
    private readonly L: Thread,
    private readonly source: Bytes,
    private readonly choices: Choices,
  ) {}

  /** Pushes the value. */
  read(): void {
    const { source } = this
    if (source.length >= 2 && (source.charCodeAt(0) === 0 || source.charCodeAt(1) === 0)) {
      this.vm.fail(this.L, 'JSON parser does not support UTF-16 or UTF-32')
    }
    this.#next()
    this.#value()
    this.#next()
    this.#expect('T_END', 'the end')
  }

  #expect(token: string, what: string): void {
    if (this.#token !== token) this.#expected(what)
  }

  #expected(what: string): never {
    return this.vm.fail(this.L, `Expected ${what} but found ${this.#token} at character ${this.#begin + 1}`)
  }

  #value(): void {
    const { vm, L } = this
    const { api } = vm
    switch (this.#token) {
      case 'T_STRING':
        return vm.push(L, this.#text)
      case 'T_NUMBER':
        api.lua_pushnumber(L, this.#number)
        return
      case 'T_BOOLEAN':
        api.lua_pushboolean(L, this.#number)
        return
      case 'T_NULL':
        api.lua_pushlightuserdata(L, 0)
        return
      case 'T_OBJ_BEGIN':
        return this.#object()
      case 'T_ARR_BEGIN':
        return this.#array()
      default:
        this.#expected('value')
    }
  }

  #descend(): void {
    this.#depth++
    if (this.#depth <= Math.min(this.choices.decodeMaxDepth, DEPTH_MAX) && this.vm.api.lua_checkstack(this.L, 3) !== 0)
      return
    this.vm.fail(this.L, `Found too many nested data structures (${this.#depth}) at character ${this.#at}`)
  }

  #object(): void {
    const { vm, L } = this
    this.#descend()
    vm.api.lua_createtable(L, 0, 0)
    this.#next()
    if (this.#token === 'T_OBJ_END') {
      this.#depth--
      return
    }
    for (;;) {
      this.#expect('T_STRING', 'object key string')
      vm.push(L, this.#text)
      this.#next()
      this.#expect('T_COLON', 'colon')
      this.#next()
      this.#value()
      vm.api.lua_rawset(L, -3)
      this.#next()
      if (this.#token === 'T_OBJ_END') break
      this.#expect('T_COMMA', 'comma or object end')
      this.#next()
    }
    this.#depth--
  }

  #array(): void {
    const { vm, L } = this
    this.#descend()
    vm.api.lua_createtable(L, 0, 0)
    this.#next()
    if (this.#token === 'T_ARR_END') {
      this.#depth--
      return
    }
    for (let index = 1; ; index++) {
      this.#value()
      vm.api.lua_rawseti(L, -2, index)
      this.#next()
      if (this.#token === 'T_ARR_END') break
      this.#expect('T_COMMA', 'comma or array end')
      this.#next()
    }
    this.#depth--
  }

  #next(): void {
    const { source } = this
    let code = source.charCodeAt(this.#at)
    while (code === 32 || code === 10 || code === 13 || code === 9) code = source.charCodeAt(++this.#at)
    this.#begin = this.#at
    // NUL ends the text as its end does.
    if (code === 0 || Number.isNaN(code)) {
      this.#token = 'T_END'
      return
    }
    const char = source.charAt(this.#at)
    const simple = SIMPLE[char]
    if (simple !== undefined) {
      this.#at++
      this.#token = simple
    } else if (char === '"') this.#string()
    else if (char === '-' || (code >= 48 && code <= 57)) {
      if (this.choices.decodeInvalid === 0 && this.#isOdd()) this.#token = 'invalid number'
      else this.#readNumber()
    } else if (!this.#word()) {
      if (this.choices.decodeInvalid !== 0 && this.#isOdd()) this.#readNumber()
      else this.#token = 'invalid token'
    }
  }

  #word(): boolean {
    WORD.lastIndex = this.#at
    const word = WORD.exec(this.source)?.[0]
    if (word === undefined) return false
    this.#at += word.length
    this.#token = word === 'null' ? 'T_NULL' : 'T_BOOLEAN'
    this.#number = word === 'true' ? 1 : 0
    return true
  }

  /** A number for C, but none for JSON. */
  #isOdd(): boolean {
    ODD_NUMBER.lastIndex = this.#at
    return ODD_NUMBER.test(this.source)
  }

  #readNumber(): void {
    NUMBER.lastIndex = this.#at
    const text = NUMBER.exec(this.source)?.[0]
    if (text === undefined) {
      this.#token = 'invalid number'
      return
    }
    this.#at += text.length
    this.#token = 'T_NUMBER'
    this.#number = numberOf(text)
  }

  #string(): void {
    const { source } = this
    let at = this.#at + 1
    let from = at
    let text = ''
    for (;;) {
      const code = source.charCodeAt(at)
      if (code === 0x22) break
      if (code === 0 || Number.isNaN(code)) return this.#wrong('unexpected end of string', at)
      if (code !== 0x5c) {
        at++
        continue
      }
      text += source.slice(from, at)
      const char = source.charAt(at + 1)
      const plain = UNESCAPED[char]
      if (plain !== undefined) {
        text += plain
        at += 2
      } else if (char === 'u') {
        const found = codePointAt(source, at)
        if (found === undefined) return this.#wrong('invalid unicode escape code', at)
        text += utf8(found.codePoint)
        at += found.length
      } else return this.#wrong('invalid escape code', at)
      from = at
    }
    this.#text = from === this.#at + 1 ? source.slice(from, at) : text + source.slice(from, at)
    this.#at = at + 1
    this.#token = 'T_STRING'
  }

  #wrong(what: string, at: number): void {
    this.#token = what
    this.#begin = at
  }
}

function numberOf(text: string): number {
  const sign = text.startsWith('-') ? -1 : 1
  const bare = text.replace(/^[+-]/, '').toLowerCase()
  if (bare.startsWith('nan')) return Number.NaN
  if (bare.startsWith('inf')) return sign * Number.POSITIVE_INFINITY
  return sign * (bare.startsWith('0x') ? hexNumber(bare.slice(2)) : Number(bare))
}

function hexNumber(text: string): number {
  const [digits, power] = text.split('p') as [string, string | undefined]
  const [whole, fraction] = digits.split('.') as [string, string | undefined]
  let value = 0
  for (const digit of whole + (fraction ?? '')) value = value * 16 + Number.parseInt(digit, 16)
  return value * 2 ** (Number(power ?? 0) - 4 * (fraction ?? '').length)
}

/** What `\uXXXX`, or two of them, stand for. */
function codePointAt(text: Bytes, at: number): { readonly codePoint: number; readonly length: number } | undefined {
  const unit = hexUnit(text, at)
  if (unit === undefined) return undefined
  if ((unit & 0xf800) !== 0xd800) return { codePoint: unit, length: 6 }
  if ((unit & 0x400) !== 0) return undefined
  const low = hexUnit(text, at + 6)
  if (low === undefined || (low & 0xfc00) !== 0xdc00) return undefined
  return { codePoint: 0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff), length: 12 }
}

function hexUnit(text: Bytes, at: number): number | undefined {
  const digits = text.slice(at, at + 6)
  return /^\\u[\da-fA-F]{4}$/.test(digits) ? Number.parseInt(digits.slice(2), 16) : undefined
}

/** As bytes, one character each. */
function utf8(codePoint: number): Bytes {
  return Buffer.from(String.fromCodePoint(codePoint)).toString('latin1')
}
