/**
 * ACL: users, their rules, and what was refused to them.
 */
import type { Bytes } from '../../base/units.js'
import { denialOf, type Selector } from '../../command/acl.js'
import {
  categoryNames,
  describeChannels,
  describeCommands,
  describeKeys,
  flagsOfUser,
} from '../../command/acl-rules.js'
import { arityError, builtinTable, checkArity, findCommand } from '../../command/table.js'
import type { Encoder } from '../../resp/encoder.js'
import type { NodeCommands } from '../dispatch.js'
import type { NodeServer } from '../server.js'
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
    const user = server.acl.find(args[2] as Bytes)
    if (user === undefined) return reply.null()
    const [root, ...others] = user.selectors
    const flags = flagsOfUser(user)
    reply.map(6)
    reply.bulk('flags')
    reply.set(flags.length)
    for (const flag of flags) reply.bulk(flag)
    reply.bulk('passwords')
    bulkArray(reply, user.passwords)
    replySelector(root as Selector, reply)
    reply.bulk('selectors')
    reply.array(others.length)
    for (const selector of others) {
      reply.map(3)
      replySelector(selector, reply)
    }
  },
  'acl|cat'(_session, args, reply) {
    if (args.length > 3) return wrongArguments(args, reply)
    if (args[2] === undefined) return bulkArray(reply, categoryNames)
    const category = args[2].toLowerCase()
    if (!categoryNames.includes(category)) return reply.error(`ERR Unknown category '${args[2].slice(0, 128)}'`)
    const members = builtinTable.specs.filter(spec => spec.categories.includes(`@${category}`))
    bulkArray(
      reply,
      members.map(({ name }) => name),
    )
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
    const user = server.acl.find(args[2] as Bytes)
    if (user === undefined) return reply.error(`ERR User '${args[2]}' not found`)
    const call = args.slice(3)
    const spec = builtinTable.resolve(call)
    if (spec === undefined) return reply.error(`ERR Command '${args[3]}' not found`)
    if (!checkArity(spec, call.length)) return reply.error(arityError(spec))
    const denial = denialOf(user, spec, call)
    if (denial === undefined) return reply.ok()
    const { reason, object } = denial
    const verb = reason === 'command' ? 'run' : 'access'
    reply.bulk(`This user has no permissions to ${verb} the '${object}' ${reason}`)
  },
  'acl|log'(_session, args, reply, server) {
    if (args.length > 3) return wrongArguments(args, reply)
    if (lower(args[2]) === 'reset') {
      server.acl.log.reset()
      return reply.ok()
    }
    const count = args[2] === undefined ? LOG_ENTRIES : readInteger(args[2])
    if (count === undefined) return reply.error(NOT_AN_INTEGER)
    replyLog(reply, server, Math.max(0, count))
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

function replySelector(selector: Selector, reply: Encoder): void {
  reply.bulk('commands')
  reply.bulk(describeCommands(selector, builtinTable))
  reply.bulk('keys')
  reply.bulk(describeKeys(selector))
  reply.bulk('channels')
  reply.bulk(describeChannels(selector))
}

function replyLog(reply: Encoder, server: NodeServer, count: number): void {
  const now = server.clock.wall()
  const entries = server.acl.log.entries.slice(0, count)
  reply.array(entries.length)
  for (const entry of entries) {
    reply.map(7)
    reply.bulk('count')
    reply.integer(entry.count)
    for (const field of ['reason', 'context', 'object', 'username'] as const) {
      reply.bulk(field)
      reply.bulk(entry[field])
    }
    reply.bulk('age-seconds')
    reply.double((now - entry.at) / 1000)
    reply.bulk('client-info')
    reply.bulk(entry.client)
  }
}

function wrongArguments(args: readonly Bytes[], reply: Encoder): void {
  reply.error(`ERR unknown subcommand or wrong number of arguments for '${args[1]}'. Try ACL HELP.`)
}
