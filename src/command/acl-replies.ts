/**
 * What ACL answers about users, field for field as Redis 7.0: the same from a node and from the proxy.
 */
import type { Bytes, UnixMillis } from '../base/units.js'
import type { Encoder } from '../resp/encoder.js'
import { denialOf, type Selector, type User } from './acl.js'
import type { RefusedEntry } from './acl-log.js'
import { categoryNames, describeChannels, describeCommands, describeKeys, flagsOfUser } from './acl-rules.js'
import { arityError, type CommandTable, checkArity } from './table.js'

/** ACL GETUSER */
export function replyUser(user: User | undefined, table: CommandTable, reply: Encoder): void {
  if (user === undefined) return reply.null()
  const [root, ...others] = user.selectors
  const flags = flagsOfUser(user)
  reply.map(6)
  reply.bulk('flags')
  reply.set(flags.length)
  for (const flag of flags) reply.bulk(flag)
  reply.bulk('passwords')
  replyBulks(user.passwords, reply)
  replySelector(root as Selector, table, reply)
  reply.bulk('selectors')
  reply.array(others.length)
  for (const selector of others) {
    reply.map(3)
    replySelector(selector, table, reply)
  }
}

function replySelector(selector: Selector, table: CommandTable, reply: Encoder): void {
  reply.bulk('commands')
  reply.bulk(describeCommands(selector, table))
  reply.bulk('keys')
  reply.bulk(describeKeys(selector))
  reply.bulk('channels')
  reply.bulk(describeChannels(selector))
}

/** ACL CAT [category] */
export function replyCategory(name: Bytes | undefined, table: CommandTable, reply: Encoder): void {
  if (name === undefined) return replyBulks(categoryNames, reply)
  const category = name.toLowerCase()
  if (!categoryNames.includes(category)) return reply.error(`ERR Unknown category '${name.slice(0, 128)}'`)
  const members = table.specs.filter(spec => spec.categories.includes(`@${category}`))
  replyBulks(
    members.map(spec => spec.name),
    reply,
  )
}

/** ACL DRYRUN user command [arg …]; `args` are those of the whole call. */
export function replyDryRun(user: User | undefined, args: readonly Bytes[], table: CommandTable, reply: Encoder): void {
  if (user === undefined) return reply.error(`ERR User '${args[2]}' not found`)
  const call = args.slice(3)
  const spec = table.resolve(call)
  if (spec === undefined) return reply.error(`ERR Command '${args[3]}' not found`)
  if (!checkArity(spec, call.length)) return reply.error(arityError(spec))
  const denial = denialOf(user, spec, call)
  if (denial === undefined) return reply.ok()
  const { reason, object } = denial
  const verb = reason === 'command' ? 'run' : 'access'
  reply.bulk(`This user has no permissions to ${verb} the '${object}' ${reason}`)
}

/** ACL LOG */
export function replyLog(entries: readonly RefusedEntry[], now: UnixMillis, reply: Encoder): void {
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

export function replyBulks(texts: readonly Bytes[], reply: Encoder): void {
  reply.array(texts.length)
  for (const text of texts) reply.bulk(text)
}
