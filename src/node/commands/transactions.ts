/**
 * MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 */
import type { NodeCommands } from '../dispatch.js'

export const transactionCommands: NodeCommands = {
  multi(session, _args, reply) {
    if (session.transaction !== undefined) {
      return reply.error('ERR MULTI calls can not be nested')
    }
    session.transaction = { commands: [], broken: false, bytes: 0 }
    session.refresh()
    reply.ok()
  },

  exec(session, _args, reply, server) {
    const { transaction } = session
    if (transaction === undefined) return reply.error('ERR EXEC without MULTI')
    if (transaction.broken) {
      server.discardTransaction(session)
      return reply.error('EXECABORT Transaction discarded because of previous errors.')
    }
    if (session.watchBroken || server.watches.anyExpired(session, server.clock.wall())) {
      server.discardTransaction(session)
      return reply.nullArray()
    }
    server.dispatcher.runTransaction(session, reply)
  },

  discard(session, _args, reply, server) {
    if (session.transaction === undefined) return reply.error('ERR DISCARD without MULTI')
    server.discardTransaction(session)
    reply.ok()
  },

  watch(session, args, reply, server) {
    if (session.transaction !== undefined) return reply.error('ERR WATCH inside MULTI is not allowed')
    const now = server.clock.wall()
    for (const key of args.slice(1)) server.watches.add(session, session.db, key, now)
    reply.ok()
  },

  unwatch(session, _args, reply, server) {
    server.watches.forget(session)
    reply.ok()
  },
}
