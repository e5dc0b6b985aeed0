/**
 * Which arguments of a concrete call are keys.
 *
 * Most commands say so by a range. Others move their keys about: behind a count (EVAL, ZUNION), behind a word (XREAD
 * STREAMS), and some only they themselves understand (the STORE of SORT and GEORADIUS, MIGRATE).
 */
import type { Bytes } from '../base/units.js'
import type { KeySpec } from './row.js'
import type { CommandSpec } from './spec.js'

type Args = readonly Bytes[]

/** Positions of the keys in `args` (0 is the command's name), without those that do not fit into the call. */
export function keysOf(spec: CommandSpec, args: Args): number[] {
  const positions: number[] = []
  if (!spec.movableKeys) {
    if (spec.firstKey === 0) return positions
    const last = spec.lastKey < 0 ? args.length + spec.lastKey : Math.min(spec.lastKey, args.length - 1)
    for (let at = spec.firstKey; at <= last; at += spec.keyStep) positions.push(at)
    return positions
  }
  if (spec.name === 'sort') return sortKeys(args)
  if (spec.name === 'migrate') return migrateKeys(args)
  if (spec.name.startsWith('georadius')) return geoKeys(args, spec.name === 'georadius' ? 6 : 5)
  return keysBySpecs(spec, args)
}

/** As COMMAND GETKEYS finds them: by the specifications alone, also where the command itself goes by something else. */
export function keysBySpecs(spec: CommandSpec, args: Args): number[] {
  const positions: number[] = []
  for (const keySpec of spec.keySpecs) if (!keySpec.flags.includes('not_key')) collect(keySpec, args, positions)
  return positions
}

/** The positions one specification names. Redis' flags of the key (what is done to it) are the specification's. */
export function collect(keySpec: KeySpec, args: Args, positions: number[]): void {
  const begin = beginOf(keySpec, args)
  if (begin === undefined || begin >= args.length) return
  const { find } = keySpec
  if (find.by === 'range') {
    let last = find.last >= 0 ? begin + find.last : args.length + find.last
    if (find.last < 0 && find.limit > 1) last = begin + Math.floor((args.length - begin) / find.limit + find.last)
    for (let at = begin; at <= last && at < args.length; at += find.step) positions.push(at)
  } else if (find.by === 'keynum') {
    const text = args[begin + find.numberAt] as Bytes
    const count = /^\d{1,9}$/.test(text) ? Number(text) : 0
    const first = begin + find.firstAt
    if (first + (count - 1) * find.step >= args.length) return
    for (let index = 0; index < count; index++) positions.push(first + index * find.step)
  }
}

function beginOf({ begin }: KeySpec, args: Args): number | undefined {
  if (begin.by === 'index') return begin.index
  if (begin.by === 'unknown') return undefined
  const step = begin.from < 0 ? -1 : 1
  const stop = begin.from < 0 ? 0 : args.length
  for (
    let at = begin.from < 0 ? args.length + begin.from : begin.from;
    at !== stop && at > 0 && at < args.length;
    at += step
  )
    if ((args[at] as Bytes).toUpperCase() === begin.keyword) return at + 1
  return undefined
}

/** GEORADIUS key lon lat radius unit [COUNT n] [STORE dest] [STOREDIST dest] …: whichever destination comes last is written. */
function geoKeys(args: Args, firstOption: number): number[] {
  let store: number | undefined
  for (let at = firstOption; at < args.length; at++) {
    const word = (args[at] as Bytes).toLowerCase()
    if (word === 'count') at++
    else if ((word === 'store' || word === 'storedist') && at + 1 < args.length) store = ++at
  }
  return store === undefined ? [1] : [1, store]
}

/** SORT key [BY p] [LIMIT o c] [GET p …] [STORE dest]: the last STORE counts. */
function sortKeys(args: Args): number[] {
  const skip: Readonly<Record<string, number | undefined>> = { limit: 2, get: 1, by: 1 }
  let store: number | undefined
  for (let at = 2; at < args.length; at++) {
    const word = (args[at] as Bytes).toLowerCase()
    if (word === 'store' && at + 1 < args.length) store = ++at
    else if (Object.hasOwn(skip, word)) at += skip[word] as number
  }
  return store === undefined ? [1] : [1, store]
}

/** MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH …] [AUTH2 … …] [KEYS key …]. */
function migrateKeys(args: Args): number[] {
  if (args[3] !== '') return [3]
  for (let at = 6; at < args.length; at++) {
    const word = (args[at] as Bytes).toLowerCase()
    if (word === 'auth') at += 1
    else if (word === 'auth2') at += 2
    else if (word === 'keys') return args.map((_, index) => index).slice(at + 1)
  }
  return [3]
}
