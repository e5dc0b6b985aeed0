/**
 * Saving and stopping.
 */
import { builtinTable, type CommandSpec } from '../../command/table.js'
import type { NodeCommands } from '../dispatch.js'
import type { ShutdownFlags } from '../shutdown.js'
import { lower, SYNTAX_ERROR } from './words.js'

const ERROR_BYTE = 0x2d
const flushall = builtinTable.byFullName('flushall') as CommandSpec

const IN_PROGRESS = 'ERR Background save already in progress'
const REWRITING =
  "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible."

export const persistenceCommands: NodeCommands = {
  save(session, _args, reply, server) {
    if (server.snapshots.busy) return reply.error(IN_PROGRESS)
    // Whoever asks waits for it; others are served meanwhile, and what they change is not in it.
    session.parked = { on: 'save' }
    server.snapshots.saveInBackground(failure => {
      if (failure === undefined) session.out.ok()
      else session.out.error('ERR')
      session.unpark()
      if (!session.closing) session.peer.flushSoon()
    })
  },

  bgsave(_session, args, reply, server) {
    const scheduled = lower(args[1]) === 'schedule'
    if (args.length > 1 && !(args.length === 2 && scheduled)) return reply.error(SYNTAX_ERROR)
    if (server.snapshots.saving) return reply.error(IN_PROGRESS)
    // Half a transaction must not be saved.
    const { inTransaction } = server.dispatcher
    if (server.snapshots.busy || inTransaction) {
      if (!scheduled && !inTransaction) return reply.error(REWRITING)
      server.snapshots.scheduled = true
      return reply.simple('Background saving scheduled')
    }
    server.snapshots.saveInBackground()
    reply.simple('Background saving started')
  },

  /** What is being saved is of no use any more; with save points, what is there now is saved at once. */
  flushall(session, args, reply, server) {
    const before = reply.length
    server.engine.execute(flushall, args, session, reply, server.clock.wall())
    if (reply.length > before && reply.byteAt(before) !== ERROR_BYTE) server.snapshots.flushed()
  },

  lastsave(_session, _args, reply, server) {
    reply.integer(Math.floor(server.snapshots.lastSaveAt / 1000))
  },

  bgrewriteaof(_session, _args, reply, server) {
    switch (server.aof.requestRewrite()) {
      case 'started':
        return reply.simple('Background append only file rewriting started')
      case 'scheduled':
        return reply.simple('Background append only file rewriting scheduled')
      case 'running':
        return reply.error('ERR Background append only file rewriting already in progress')
      case 'failed':
        return reply.error(
          "ERR Can't execute an AOF background rewriting. Please check the server logs for more information.",
        )
    }
  },

  shutdown(session, args, reply, server) {
    let flags: ShutdownFlags = { save: undefined, now: false, force: false }
    let abort = false
    for (const word of args.slice(1).map(lower)) {
      if (word === 'nosave' && flags.save !== true) flags = { ...flags, save: false }
      else if (word === 'save' && flags.save !== false) flags = { ...flags, save: true }
      else if (word === 'now') flags = { ...flags, now: true }
      else if (word === 'force') flags = { ...flags, force: true }
      else if (word === 'abort' && args.length === 2) abort = true
      else return reply.error(SYNTAX_ERROR)
    }
    if (abort) {
      if (server.shutdown.abort()) return reply.ok()
      return reply.error('ERR No shutdown in progress.')
    }
    if (!session.mayBlock && !flags.now) {
      return reply.error("ERR SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client")
    }
    server.scripting.abort()
    server.shutdown.begin(flags, session)
  },
}
