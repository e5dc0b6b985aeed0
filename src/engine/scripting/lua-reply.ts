/**
 * What a script returns, as the reply its client gets.
 *
 *     text ▶ bulk     number ▶ integer, cut off     true ▶ 1     false, nil ▶ null     table ▶ array up to its first nil
 *     {ok=…} status   {err=…} error   {double=…}   {map={…}}   {set={…}}   {big_number=…}   {verbatim_string={…}}
 */
import type { Bytes } from '../../base/units.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { LuaType, type LuaVm, type Thread } from './lua-vm.js'
import { toInt64 } from './number-text.js'

/** A table within a table within …: Redis stops when Lua's stack is full, we before our own is. */
const DEPTH_MAX = 1500

export interface LuaReplyOptions {
  /** What the script asked for with `redis.setresp`: how booleans are answered. */
  readonly resp: 2 | 3
  /** The error that is about to be answered has been counted before. */
  onCountedError(): void
}

/** The value on top of the stack; it is popped. */
export function replyFromLua(vm: LuaVm, L: Thread, reply: ReplyWriter, options: LuaReplyOptions, depth = 0): void {
  const { api } = vm
  if (depth > DEPTH_MAX || api.lua_checkstack(L, 4) === 0) {
    reply.error('ERR reached lua stack limit')
    return vm.pop(L)
  }
  switch (api.lua_type(L, -1)) {
    case LuaType.string:
      reply.bulk(vm.text(L, -1) as Bytes)
      break
    case LuaType.boolean:
      replyBoolean(api.lua_toboolean(L, -1) !== 0, reply, options)
      break
    case LuaType.number:
      reply.integer(toInt64(api.lua_tonumber(L, -1)))
      break
    case LuaType.table:
      replyTable(vm, L, reply, options, depth + 1)
      break
    default:
      reply.null()
  }
  vm.pop(L)
}

function replyBoolean(value: boolean, reply: ReplyWriter, { resp }: LuaReplyOptions): void {
  if (resp === 3) reply.boolean(value)
  else if (value) reply.integer(1)
  else reply.null()
}

function replyTable(vm: LuaVm, L: Thread, reply: ReplyWriter, options: LuaReplyOptions, depth: number): void {
  const { api } = vm
  const err = textField(vm, L, 'err')
  if (err !== undefined) {
    vm.getField(L, -1, 'ignore_error_stats_update')
    if (api.lua_toboolean(L, -1) !== 0) options.onCountedError()
    vm.pop(L)
    return reply.error(err)
  }
  const ok = textField(vm, L, 'ok')
  if (ok !== undefined) return reply.simple(ok)

  vm.getField(L, -1, 'double')
  if (api.lua_type(L, -1) === LuaType.number) {
    reply.double(api.lua_tonumber(L, -1))
    return vm.pop(L)
  }
  vm.pop(L)
  if (replyPairs(vm, L, 'map', reply, options, depth) || replyPairs(vm, L, 'set', reply, options, depth)) return

  const big = textField(vm, L, 'big_number')
  if (big !== undefined) return replyBigNumber(big, reply)
  if (replyVerbatim(vm, L, reply)) return
  replyArray(vm, L, reply, options, depth)
}

function replyArray(vm: LuaVm, L: Thread, reply: ReplyWriter, options: LuaReplyOptions, depth: number): void {
  const { api } = vm
  const length = lengthOf(vm, L)
  reply.array(length)
  for (let index = 1; index <= length; index++) {
    api.lua_rawgeti(L, -1, index)
    replyFromLua(vm, L, reply, options, depth)
  }
}

/** Items before the first nil. */
function lengthOf(vm: LuaVm, L: Thread): number {
  const { api } = vm
  for (let index = 1; ; index++) {
    api.lua_rawgeti(L, -1, index)
    const isNil = api.lua_type(L, -1) === LuaType.nil
    vm.pop(L)
    if (isNil) return index - 1
  }
}

function textField(vm: LuaVm, L: Thread, name: Bytes): Bytes | undefined {
  vm.getField(L, -1, name)
  const text = vm.api.lua_type(L, -1) === LuaType.string ? vm.text(L, -1) : undefined
  vm.pop(L)
  return text
}

function replyPairs(
  vm: LuaVm,
  L: Thread,
  name: 'map' | 'set',
  reply: ReplyWriter,
  options: LuaReplyOptions,
  depth: number,
): boolean {
  const { api } = vm
  vm.getField(L, -1, name)
  if (api.lua_type(L, -1) !== LuaType.table) {
    vm.pop(L)
    return false
  }
  let count = 0
  api.lua_pushnil(L)
  while (api.lua_next(L, -2) !== 0) {
    vm.pop(L)
    count++
  }
  if (name === 'map') reply.map(count)
  else reply.set(count)
  api.lua_pushnil(L)
  while (api.lua_next(L, -2) !== 0) {
    // A copy, as reading a number as text would confuse the walk.
    api.lua_pushvalue(L, -2)
    replyFromLua(vm, L, reply, options, depth)
    if (name === 'map') replyFromLua(vm, L, reply, options, depth)
    else vm.pop(L)
  }
  vm.pop(L)
  return true
}

/** What the script took for a number may be any text: in RESP2 it stays one. */
function replyBigNumber(text: Bytes, reply: ReplyWriter): void {
  const line = text.replace(/[\r\n]/g, ' ')
  if (reply.resp === 3 && /^[+-]?\d+$/.test(line)) reply.bignum(BigInt(line))
  else if (reply.resp === 3 && 'raw' in reply)
    (reply as { raw(bytes: Buffer): void }).raw(Buffer.from(`(${line}\r\n`, 'latin1'))
  else reply.bulk(line)
}

function replyVerbatim(vm: LuaVm, L: Thread, reply: ReplyWriter): boolean {
  vm.getField(L, -1, 'verbatim_string')
  let format: Bytes | undefined
  let text: Bytes | undefined
  if (vm.api.lua_type(L, -1) === LuaType.table) {
    format = textField(vm, L, 'format')
    text = textField(vm, L, 'string')
  }
  vm.pop(L)
  if (format === undefined || text === undefined) return false
  reply.verbatim(format.slice(0, 3).padEnd(3, ' ') as 'txt', text)
  return true
}
