/**
 * The `bit` library: integers of 32 bits, of which numbers are taken modulo 2^32 and rounded as a double would be.
 */
import type { LuaVm, Thread } from './lua-vm.js'

/** Adding this makes a double round to an integer, to even at the middle. */
const ROUND = 6755399441055744

function toBits(value: number): number {
  if (!Number.isFinite(value)) return 0
  return Math.abs(value) < 2 ** 51 ? (value + ROUND - ROUND) | 0 : value | 0
}

export function pushBit(vm: LuaVm, L: Thread): void {
  const { api } = vm
  const arg = (M: Thread, index: number): number => toBits(vm.numberArg(M, index))
  const answer = (M: Thread, value: number): number => {
    api.lua_pushnumber(M, value | 0)
    return 1
  }
  const fold = (combine: (a: number, b: number) => number) => (M: Thread) => {
    let value = arg(M, 1)
    for (let index = api.lua_gettop(M); index > 1; index--) value = combine(value, arg(M, index))
    return answer(M, value)
  }
  const shift = (apply: (value: number, by: number) => number) => (M: Thread) => {
    const value = arg(M, 1)
    return answer(M, apply(value, arg(M, 2) & 31))
  }
  api.lua_createtable(L, 0, 12)
  vm.define(L, 'tobit', M => answer(M, arg(M, 1)))
  vm.define(L, 'bnot', M => answer(M, ~arg(M, 1)))
  vm.define(
    L,
    'band',
    fold((a, b) => a & b),
  )
  vm.define(
    L,
    'bor',
    fold((a, b) => a | b),
  )
  vm.define(
    L,
    'bxor',
    fold((a, b) => a ^ b),
  )
  vm.define(
    L,
    'lshift',
    shift((value, by) => value << by),
  )
  vm.define(
    L,
    'rshift',
    shift((value, by) => value >>> by),
  )
  vm.define(
    L,
    'arshift',
    shift((value, by) => value >> by),
  )
  vm.define(
    L,
    'rol',
    shift((value, by) => (value << by) | (value >>> ((32 - by) & 31))),
  )
  vm.define(
    L,
    'ror',
    shift((value, by) => (value >>> by) | (value << ((32 - by) & 31))),
  )
  vm.define(L, 'bswap', M => {
    const value = arg(M, 1)
    return answer(M, (value >>> 24) | ((value >>> 8) & 0xff00) | ((value & 0xff00) << 8) | (value << 24))
  })
  vm.define(L, 'tohex', M => {
    const value = arg(M, 1) >>> 0
    const wanted = api.lua_type(M, 2) <= 0 ? 8 : arg(M, 2)
    const digits = Math.min(8, Math.abs(wanted))
    const text = value
      .toString(16)
      .padStart(8, '0')
      .slice(8 - digits)
    vm.push(M, wanted < 0 ? text.toUpperCase() : text)
    return 1
  })
}
