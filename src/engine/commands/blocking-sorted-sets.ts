/**
 * Commands that wait for a sorted set. What they do in the end is propagated as the command that does not wait.
 */
import type { Bytes } from '../../base/units.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { deadlineArg } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import type { Blocked } from '../host.js'
import { SortedSetValue } from '../types/sorted-set.js'
import { type Extreme, popFromFirst, readMultiPop, take } from './sorted-sets.js'

export const blockingSortedSetCommands: Readonly<Record<string, Handler>> = {
  bzpopmin: (call, args, reply) => blockingPop(call, args, 'min', reply),
  bzpopmax: (call, args, reply) => blockingPop(call, args, 'max', reply),

  bzmpop(call, args, reply) {
    const deadline = deadlineArg(args[1], call.now)
    const request = readMultiPop(args, 2)
    if (popFromFirst(call, request, reply)) return
    if (!call.caller.mayBlock) return reply.nullArray()
    const serve = (again: Call, to: ReplyWriter) => {
      const keys = request.keys.filter(key => again.peek(key) instanceof SortedSetValue)
      return popFromFirst(again, { ...request, keys }, to)
    }
    return call.block(request.keys, deadline, serve, to => to.nullArray())
  },
}

function blockingPop(call: Call, args: readonly Bytes[], from: Extreme, reply: ReplyWriter): Blocked | void {
  const deadline = deadlineArg(args[args.length - 1], call.now)
  const keys = args.slice(1, -1)
  for (const key of keys) {
    const zset = call.writeSortedSet(key)
    if (zset !== undefined) return replyPop(call, key, zset, from, reply)
  }
  if (!call.caller.mayBlock) return reply.nullArray()
  return call.block(
    keys,
    deadline,
    (again, to) => {
      for (const key of keys) {
        if (!(again.peek(key) instanceof SortedSetValue)) continue
        replyPop(again, key, again.writeSortedSet(key) as SortedSetValue, from, to)
        return true
      }
      return false
    },
    to => to.nullArray(),
  )
}

function replyPop(call: Call, key: Bytes, zset: SortedSetValue, from: Extreme, reply: ReplyWriter): void {
  const [[member, score] = ['', 0]] = take(call, key, zset, 1, from)
  call.propagateAs(from === 'min' ? 'ZPOPMIN' : 'ZPOPMAX', key)
  reply.array(3)
  reply.bulk(key)
  reply.bulk(member)
  reply.double(score)
}
