/**
 * Commands that wait for a list. What they do in the end is propagated as the command that does not wait.
 */
import type { Bytes } from '../../base/units.js'
import type { ReplyWriter } from '../../resp/reply.js'
import { deadlineArg } from '../arguments.js'
import type { Call, Handler } from '../call.js'
import type { Blocked } from '../host.js'
import { ListValue } from '../types/list.js'
import { type End, type Move, moveItem, popFromFirst, popOne, readMove, readMultiPop } from './lists.js'

export const blockingListCommands: Readonly<Record<string, Handler>> = {
  blpop: (call, args, reply) => blockingPop(call, args, 'head', reply),
  brpop: (call, args, reply) => blockingPop(call, args, 'tail', reply),

  blmove(call, args, reply) {
    const move = readMove(args)
    return blockingMove(call, move, args[5], reply, ['LMOVE', ...args.slice(1, 5)])
  },

  brpoplpush(call, args, reply) {
    const [, from, to] = args as [Bytes, Bytes, Bytes]
    return blockingMove(call, { from, to, take: 'tail', put: 'head' }, args[3], reply, ['RPOPLPUSH', from, to])
  },

  blmpop(call, args, reply) {
    const deadline = deadlineArg(args[1], call.now)
    const request = readMultiPop(args, 2)
    if (popFromFirst(call, request, reply)) return
    if (!call.caller.mayBlock) return reply.nullArray()
    const serve = (again: Call, to: ReplyWriter) =>
      popFromFirst(again, { ...request, keys: request.keys.filter(key => again.peek(key) instanceof ListValue) }, to)
    return call.block(request.keys, deadline, serve, to => to.nullArray())
  },
}

function blockingPop(call: Call, args: readonly Bytes[], end: End, reply: ReplyWriter): Blocked | void {
  const deadline = deadlineArg(args[args.length - 1], call.now)
  const keys = args.slice(1, -1)
  for (const key of keys) {
    const list = call.writeList(key)
    if (list !== undefined) return replyPop(call, key, list, end, reply)
  }
  if (!call.caller.mayBlock) return reply.nullArray()
  return call.block(
    keys,
    deadline,
    (again, to) => {
      for (const key of keys) {
        // Something else than a list may have come to stand here: keep waiting.
        if (!(again.peek(key) instanceof ListValue)) continue
        replyPop(again, key, again.writeList(key) as ListValue, end, to)
        return true
      }
      return false
    },
    to => to.nullArray(),
  )
}

function replyPop(call: Call, key: Bytes, list: ListValue, end: End, reply: ReplyWriter): void {
  reply.array(2)
  reply.bulk(key)
  reply.bulk(popOne(call, key, list, end))
  call.propagateAs(end === 'head' ? 'LPOP' : 'RPOP', key)
}

function blockingMove(
  call: Call,
  move: Move,
  timeout: Bytes | undefined,
  reply: ReplyWriter,
  effect: readonly Bytes[],
): Blocked | void {
  const deadline = deadlineArg(timeout, call.now)
  if (moveItem(call, move, reply)) return call.propagateAs(...effect)
  if (!call.caller.mayBlock) return reply.null()
  return call.block(
    [move.from],
    deadline,
    (again, to) => {
      if (!(again.peek(move.from) instanceof ListValue) || !moveItem(again, move, to)) return false
      again.propagateAs(...effect)
      return true
    },
    to => to.nullArray(),
  )
}
