/**
 * ACL, where the proxy has users of its own. Their file is where they are changed: here they are read, tried, and loaded
 * again.
 */
import { randomBytes } from 'node:crypto'
import type { Bytes } from '../base/units.js'
import { replyBulks, replyCategory, replyDryRun, replyLog, replyUser } from '../command/acl-replies.js'
import type { Decoder } from '../resp/decoder.js'
import type { Encoder } from '../resp/encoder.js'
import type { Request } from './request.js'
import type { Session } from './session.js'
import type { Users } from './users.js'

const LOG_ENTRIES = 10
const MAX_PASSWORD_BITS = 4096
const NOT_AN_INTEGER = 'ERR value is not an integer or out of range'

type Answer = (reply: Encoder, args: readonly Bytes[], users: Users, session: Session) => void

/** Arguments the subcommand takes, the words ACL and its own included. */
const subcommands: Readonly<Record<string, readonly [min: number, max: number, answer: Answer]>> = {
  WHOAMI: [2, 2, (reply, _args, _users, session) => reply.bulk(session.user)],
  LIST: [2, 2, (reply, _args, users) => replyBulks(users.describe(), reply)],
  USERS: [
    2,
    2,
    (reply, _args, users) =>
      replyBulks(
        users.all.map(user => user.name),
        reply,
      ),
  ],
  GETUSER: [3, 3, (reply, args, users) => replyUser(users.find(args[2] as Bytes), users.table, reply)],
  CAT: [2, 3, (reply, args, users) => replyCategory(args[2], users.table, reply)],
  DRYRUN: [
    4,
    Number.POSITIVE_INFINITY,
    (reply, args, users) => replyDryRun(users.find(args[2] as Bytes), args, users.table, reply),
  ],
  GENPASS: [2, 3, generatePassword],
  LOG: [2, 3, log],
  LOAD: [2, 2, load],
  SETUSER: [3, Number.POSITIVE_INFINITY, changeTheFile],
  DELUSER: [3, Number.POSITIVE_INFINITY, changeTheFile],
  SAVE: [2, 2, changeTheFile],
  HELP: [2, 2, help],
}

export function answerAcl(session: Session, request: Request, decoder: Decoder): void {
  const { users } = session.hub.policy
  const args = decoder.args()
  const shown = args[1] ?? ''
  const found = subcommands[shown.toUpperCase()]
  if (users === undefined || found === undefined) {
    return session.fail(request, `ERR unknown subcommand '${shown.slice(0, 128)}'. Try ACL HELP.`)
  }
  const [min, max, answer] = found
  if (args.length < min || args.length > max) {
    return session.fail(request, `ERR wrong number of arguments for 'acl|${shown.toLowerCase()}' command`)
  }
  answer(session.begin(request), args, users, session)
  session.finish(request)
}

function log(reply: Encoder, args: readonly Bytes[], users: Users, session: Session): void {
  if (args[2]?.toLowerCase() === 'reset') {
    users.log.reset()
    return reply.ok()
  }
  const count = args[2] === undefined ? LOG_ENTRIES : readInteger(args[2])
  if (count === undefined) return reply.error(NOT_AN_INTEGER)
  replyLog(users.log.entries.slice(0, Math.max(0, count)), session.hub.clock.wall(), reply)
}

function load(reply: Encoder, _args: readonly Bytes[], _users: Users, session: Session): void {
  const errors = session.hub.loadUsers(session)
  if (errors === undefined) reply.ok()
  else reply.error(`ERR ${errors}`)
}

function changeTheFile(reply: Encoder, _args: readonly Bytes[], users: Users): void {
  reply.error(`ERR the users of this proxy are those of ${users.file}: change the file, then ACL LOAD`)
}

function generatePassword(reply: Encoder, args: readonly Bytes[]): void {
  const bits = args[2] === undefined ? 256 : readInteger(args[2])
  if (bits === undefined) return reply.error(NOT_AN_INTEGER)
  if (bits <= 0 || bits > MAX_PASSWORD_BITS) {
    return reply.error(
      `ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to ${MAX_PASSWORD_BITS}`,
    )
  }
  reply.bulk(
    randomBytes(Math.ceil(bits / 8))
      .toString('hex')
      .slice(0, Math.ceil(bits / 4)),
  )
}

function help(reply: Encoder): void {
  const lines = ['ACL <subcommand> [<arg> ...], about the users of the proxy:', ...Object.keys(subcommands).sort()]
  reply.array(lines.length)
  for (const line of lines) reply.simple(line)
}

function readInteger(text: Bytes): number | undefined {
  return /^-?\d{1,15}$/.test(text) ? Number(text) : undefined
}
