/**
 * ACL: users, their rules, and what was refused to them.
 */
import type { Bytes } from '../../base/units.js'
import { replyCategory, replyDryRun, replyLog, replyUser } from '../../command/acl-replies.js'
import { builtinTable, findCommand } from '../../command/table.js'
import type { Encoder } from '../../resp/encoder.js'
import type { NodeCommands } from '../dispatch.js'
import { bulkArray, lower, NOT_AN_INTEGER, readInteger, replyHelp } from './words.js'

const NO_FILE =
  'ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.'
const LOG_ENTRIES = 10
const MAX_PASSWORD_BITS = 4096

export const aclCommands: NodeCommands = {
  'acl|whoami'(session, _args, reply) {
    reply.bulk(session.user)
  },
  'acl|users'(_session, _args, reply, server) {
    bulkArray(
      reply,
      server.acl.users.map(({ name }) => name),
    )
  },
  'acl|list'(_session, _args, reply, server) {
    bulkArray(reply, server.acl.describe())
  },
  'acl|setuser'(_session, args, reply, server) {
    const refusal = server.acl.set(args[2] as Bytes, args.slice(3))
    if (refusal === undefined) reply.ok()
    else reply.error(`ERR ${refusal}`)
  },
  'acl|deluser'(session, args, reply, server) {
    const names = args.slice(2)
    if (names.includes('default')) return reply.error("ERR The 'default' user cannot be removed")
    reply.integer(names.filter(name => server.acl.delete(name, session)).length)
    if (server.acl.find(session.user) === undefined) session.close()
  },
  'acl|getuser'(_session, args, reply, server) {
    replyUser(server.acl.find(args[2] as Bytes), builtinTable, reply)
  },
  'acl|cat'(_session, args, reply, server) {
    if (args.length > 3) return wrongArguments(args, reply)
    replyCategory(args[2], builtinTable, reply)
  },
  'acl|genpass'(_session, args, reply, server) {
    if (args.length > 3) return wrongArguments(args, reply)
    const bits = args[2] === undefined ? 256 : readInteger(args[2])
    if (bits === undefined) return reply.error(NOT_AN_INTEGER)
    if (bits <= 0 || bits > MAX_PASSWORD_BITS) {
      return reply.error(
        `ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to ${MAX_PASSWORD_BITS}`,
      )
    }
    reply.bulk(server.randomHex(Math.ceil(bits / 8)).slice(0, Math.ceil(bits / 4)))
  },
  'acl|dryrun'(_session, args, reply, server) {
    replyDryRun(server.acl.find(args[2] as Bytes), args, builtinTable, reply)
  },
  'acl|log'(_session, args, reply, server) {
    if (args.length > 3) return wrongArguments(args, reply)
    if (lower(args[2]) === 'reset') {
      server.acl.log.reset()
      return reply.ok()
    }
    const count = args[2] === undefined ? LOG_ENTRIES : readInteger(args[2])
    if (count === undefined) return reply.error(NOT_AN_INTEGER)
    replyLog(server.acl.log.entries.slice(0, Math.max(0, count)), server.clock.wall(), reply)
  },
  'acl|load'(session, _args, reply, server) {
    if (server.acl.file === undefined) return reply.error(NO_FILE)
    const errors = server.acl.load(session)
    if (errors !== undefined) return reply.error(`ERR ${errors}`)
    reply.ok()
    // Whoever it is now, it did not log in as that.
    if (session.user !== 'default') session.close()
  },
  'acl|save'(_session, _args, reply, server) {
    if (server.acl.file === undefined) return reply.error(NO_FILE)
    try {
      server.acl.save()
    } catch (error) {
      server.log.warning(`ACL SAVE: ${(error as Error).message}`)
      return reply.error(
        'ERR There was an error trying to save the ACLs. Please check the server logs for more information',
      )
    }
    reply.ok()
  },
  'acl|help'(_session, _args, reply) {
    const spec = findCommand('acl')
    if (spec !== undefined) replyHelp(spec, reply)
  },
}

function wrongArguments(args: readonly Bytes[], reply: Encoder): void {
  reply.error(`ERR unknown subcommand or wrong number of arguments for '${args[1]}'. Try ACL HELP.`)
}
