/**
 * EXPIRE and its relatives. Whatever was asked, replicas hear of an instant (PEXPIREAT), or of a deletion when that
 * instant lies behind us.
 */
import type { Bytes, UnixMillis } from '../../base/units.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { int64Arg } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import { readExpireCondition } from '../expire-argument.js'
import { INT64_MAX, INT64_MIN } from '../numbers.js'
import { refuse } from '../refusal.js'

type Unit = 'seconds' | 'millis'
type Base = 'now' | 'epoch'

export const expiryCommands: Readonly<Record<string, Handler>> = {
  expire: (call, args, reply) => expire(call, args, 'seconds', 'now', reply),
  pexpire: (call, args, reply) => expire(call, args, 'millis', 'now', reply),
  expireat: (call, args, reply) => expire(call, args, 'seconds', 'epoch', reply),
  pexpireat: (call, args, reply) => expire(call, args, 'millis', 'epoch', reply),

  ttl: (call, args, reply) => remaining(call, args, 'seconds', 'now', reply),
  pttl: (call, args, reply) => remaining(call, args, 'millis', 'now', reply),
  expiretime: (call, args, reply) => remaining(call, args, 'seconds', 'epoch', reply),
  pexpiretime: (call, args, reply) => remaining(call, args, 'millis', 'epoch', reply),

  persist(call, args, reply) {
    const key = args[1] as Bytes
    const volatile = call.find(key) >= 0 && call.expireAt(key) !== 0
    if (volatile) {
      call.setExpireAt(key, 0)
      call.modified(key, 'g', 'persist')
    }
    reply.integer(volatile ? 1 : 0)
  },
}

function expire(call: Call, args: readonly Bytes[], unit: Unit, base: Base, reply: ReplyWriter): void {
  const key = args[1] as Bytes
  const { nx, xx, gt, lt } = readExpireCondition(args, 3)
  const exact = instant(call, int64Arg(args[2]), unit, base)
  const at = Number(exact)
  if (call.find(key) < 0) return reply.integer(0)

  const current = call.expireAt(key)
  const refused =
    (nx && current !== 0) ||
    (xx && current === 0) ||
    (gt && (current === 0 || at <= current)) ||
    (lt && current !== 0 && at >= current)
  if (refused) return reply.integer(0)

  if (at <= call.now && call.caller.origin !== 'master' && !call.engine.isReplica) {
    call.remove(key)
    call.modified(key, 'g', 'del')
    call.propagateAs(call.settings.lazyfreeLazyExpire ? 'UNLINK' : 'DEL', key)
  } else {
    // 0 means "none" in the table; one millisecond after 1970 began is as long ago.
    call.setExpireAt(key, at === 0 ? 1 : at)
    call.modified(key, 'g', 'expire')
    call.propagateAs('PEXPIREAT', key, String(exact), ...args.slice(3))
  }
  reply.integer(1)
}

function instant(call: Call, amount: number | bigint, unit: Unit, base: Base): bigint {
  const millis = unit === 'seconds' ? BigInt(amount) * 1000n : BigInt(amount)
  const at = base === 'now' ? millis + BigInt(call.now) : millis
  if (millis > INT64_MAX || millis < INT64_MIN || at > INT64_MAX)
    refuse(`ERR invalid expire time in '${call.spec.name}' command`)
  return at
}

function remaining(call: Call, args: readonly Bytes[], unit: Unit, base: Base, reply: ReplyWriter): void {
  const key = args[1] as Bytes
  if (call.find(key) < 0) return reply.integer(-2)
  const at: UnixMillis = call.expireAt(key)
  if (at === 0) return reply.integer(-1)
  const millis = base === 'now' ? Math.max(0, at - call.now) : at
  reply.integer(asInt64(unit === 'millis' ? millis : Math.floor((millis + 500) / 1000)))
}

function asInt64(value: number): number | bigint {
  if (Number.isSafeInteger(value)) return value
  const exact = BigInt(value)
  return exact > INT64_MAX ? INT64_MAX : exact
}
