/**
 * Expiry times as arguments: seconds or milliseconds, from now or since 1970, all becoming one instant.
 */
import type { Bytes, UnixMillis } from '../base/units.js'
import { untilNul } from '../command/table.js'
import { int64Arg, isWord } from './arguments.js'
import type { Call } from './call.js'
import { INT64_MAX } from './numbers.js'
import { refuse, SYNTAX } from './refusal.js'

export type ExpiryUnit = 'EX' | 'PX' | 'EXAT' | 'PXAT'

/** The options that SET and GETEX share, as they were given. */
export interface ExpiryOptions {
  unit: ExpiryUnit | undefined
  amount: Bytes
  keepTtl: boolean
  persist: boolean
  nx: boolean
  xx: boolean
  get: boolean
}

/** Reads the options of SET (`allow` 'set') or GETEX from `args[from]` on. */
export function readExpiryOptions(args: readonly Bytes[], from: number, allow: 'set' | 'getex'): ExpiryOptions {
  const found: ExpiryOptions = {
    unit: undefined,
    amount: '',
    keepTtl: false,
    persist: false,
    nx: false,
    xx: false,
    get: false,
  }
  const set = allow === 'set'
  for (let at = from; at < args.length; at++) {
    const word = (args[at] as Bytes).toUpperCase()
    const lasting = found.unit !== undefined || found.keepTtl || found.persist
    if (set && word === 'NX' && !found.xx) found.nx = true
    else if (set && word === 'XX' && !found.nx) found.xx = true
    else if (set && word === 'GET') found.get = true
    else if (set && word === 'KEEPTTL' && found.unit === undefined) found.keepTtl = true
    else if (!set && word === 'PERSIST' && found.unit === undefined) found.persist = true
    else if (isUnit(word) && !lasting && at + 1 < args.length) {
      found.unit = word
      found.amount = args[++at] as Bytes
    } else throw SYNTAX
  }
  return found
}

function isUnit(word: Bytes): word is ExpiryUnit {
  return word === 'EX' || word === 'PX' || word === 'EXAT' || word === 'PXAT'
}

/** The instant that SET, SETEX or GETEX mean; zero and less are refused. */
export function expiryInstant(call: Call, amount: Bytes, unit: ExpiryUnit): UnixMillis {
  const value = BigInt(int64Arg(amount))
  const millis = unit.startsWith('EX') ? value * 1000n : value
  const at = unit.endsWith('AT') ? millis : millis + BigInt(call.now)
  if (value <= 0n || at > INT64_MAX) refuse(`ERR invalid expire time in '${call.spec.name}' command`)
  return Number(at)
}

/** An instant as an argument. We count in doubles, which beyond 2^53 may round up past what 64 bits hold. */
export function instantText(at: UnixMillis): Bytes {
  if (Number.isSafeInteger(at)) return String(at)
  const exact = BigInt(at)
  return String(exact > INT64_MAX ? INT64_MAX : exact)
}

/** The conditions of EXPIRE: at most one of NX, XX, GT, LT, but XX may stand beside the last two. */
export interface ExpireCondition {
  nx: boolean
  xx: boolean
  gt: boolean
  lt: boolean
}

export function readExpireCondition(args: readonly Bytes[], from: number): ExpireCondition {
  const found = { nx: false, xx: false, gt: false, lt: false }
  for (let at = from; at < args.length; at++) {
    const word = args[at] as Bytes
    if (isWord(word, 'NX')) found.nx = true
    else if (isWord(word, 'XX')) found.xx = true
    else if (isWord(word, 'GT')) found.gt = true
    else if (isWord(word, 'LT')) found.lt = true
    else refuse(`ERR Unsupported option ${untilNul(word)}`)
  }
  if (found.nx && (found.xx || found.gt || found.lt))
    refuse('ERR NX and XX, GT or LT options at the same time are not compatible')
  if (found.gt && found.lt) refuse('ERR GT and LT options at the same time are not compatible')
  return found
}
