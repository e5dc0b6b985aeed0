/**
 * Commands that the proxy answers itself: those about the client's connection, which is a connection to us.
 */
import type { Bytes } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import type { Call } from '../routing/calls.js'
import { answerAcl } from './acl-command.js'
import { answerClient, describe, isPrintable, NAME_REFUSED } from './client-command.js'
import { proxySection } from './info.js'
import { answerLagrange } from './lagrange.js'
import type { Request } from './request.js'
import type { Session } from './session.js'
import type { Resp } from './upstream.js'
import { DEFAULT_USER } from './users.js'
import { wait } from './wait.js'

/** As acllog-max-len of Redis. */
export const ACL_LOG_ENTRIES = 128

export type LocalAnswer = (session: Session, request: Request, decoder: Decoder) => void

/** These change how later replies look, or need all earlier ones: they wait for them. */
const WAITS_FOR_OTHERS = new Set(['hello', 'auth', 'reset', 'wait', 'waitaof', 'lagrange', 'proxy'])

const answers: Readonly<Record<string, LocalAnswer>> = {
  ping,
  echo,
  quit,
  reset,
  hello,
  auth,
  select,
  acl: answerAcl,
  'acl|whoami': answerAcl,
  'acl|log': answerAcl,
  client: answerClient,
  wait,
  waitaof: forwardAsUnsupported,
  readonly: sayOk,
  readwrite: sayOk,
  asking: sayOk,
  lagrange: answerLagrange,
  proxy: answerProxy,
}

export function answerLocally(session: Session, request: Request, call: Call, decoder: Decoder): void {
  if (WAITS_FOR_OTHERS.has(call.name) && !session.isFirst(request)) return session.stall(request, decoder)
  if (decoder.argc < call.argcMin || decoder.argc > call.argcMax) {
    return session.fail(request, `ERR wrong number of arguments for '${call.name}' command`)
  }
  answers[call.name]?.(session, request, decoder)
}

/** REPLICAOF and its like would change the group behind the control plane's back. */
export function refusedText(name: string): Bytes {
  const shown = (name.split('|')[0] as string).toUpperCase()
  return `ERR ${shown} is not accepted through the proxy: use the admin API (POST /api/v1/switchover, POST /api/v1/failover)`
}

function sayOk(session: Session, request: Request): void {
  session.begin(request).ok()
  session.finish(request)
}

function ping(session: Session, request: Request, decoder: Decoder): void {
  if (decoder.argc > 2) return session.fail(request, "ERR wrong number of arguments for 'ping' command")
  const { group, hub } = session
  const lane = group.master?.lane(session.resp, hub.tools.time.now)
  // Whether the master is busy with a script it says itself.
  if (lane?.confirmed && lane.pending > 0 && group.isStuck(lane) && session.subscription === undefined) {
    return session.sendAlone(request, request.call as Call, decoder)
  }
  const out = session.begin(request)
  const subscribed = session.resp === 2 && session.subscription !== undefined
  if (subscribed) {
    out.array(2)
    out.bulk('pong')
    out.bulk(decoder.argc === 2 ? decoder.arg(1) : '')
  } else if (decoder.argc === 2) out.bulk(decoder.arg(1))
  else out.simple('PONG')
  session.finish(request)
}

function echo(session: Session, request: Request, decoder: Decoder): void {
  session.begin(request).bulk(decoder.arg(1))
  session.finish(request)
}

function quit(session: Session, request: Request): void {
  session.begin(request).ok()
  session.finish(request)
  session.endWhenAnswered()
}

function reset(session: Session, request: Request): void {
  session.forget()
  session.begin(request).simple('RESET')
  session.finish(request)
}

function forwardAsUnsupported(session: Session, request: Request): void {
  session.fail(request, "ERR unknown command 'WAITAOF', with args beginning with: ")
}

// ── Who are you ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** HELLO [protover [AUTH username password] [SETNAME name]] */
function hello(session: Session, request: Request, decoder: Decoder): void {
  const args = decoder.args()
  let resp = session.resp
  if (args.length > 1) {
    if (!/^-?\d{1,18}$/.test(args[1] as Bytes)) {
      return session.fail(request, 'ERR Protocol version is not an integer or out of range')
    }
    if (args[1] !== '2' && args[1] !== '3') return session.fail(request, 'NOPROTO unsupported protocol version')
    resp = args[1] === '3' ? 3 : 2
  }
  let login: readonly [Bytes, Bytes] | undefined
  let name: Bytes | undefined
  for (let at = 2; at < args.length; ) {
    const option = (args[at] as Bytes).toUpperCase()
    if (option === 'AUTH' && at + 2 < args.length) {
      login = [args[at + 1] as Bytes, args[at + 2] as Bytes]
      at += 3
    } else if (option === 'SETNAME' && at + 1 < args.length) {
      name = args[at + 1] as Bytes
      at += 2
    } else return session.fail(request, `ERR Syntax error in HELLO option '${args[at]}'`)
  }
  const greet = (): void => greetOnce(session, request, resp, login, name)
  if (login === undefined) greet()
  else withUsers(session, request, decoder, greet)
}

function greetOnce(
  session: Session,
  request: Request,
  resp: Resp,
  login: readonly [Bytes, Bytes] | undefined,
  name: Bytes | undefined,
): void {
  if (login !== undefined) {
    const refusal = refuseLogin(session, login[0], login[1], 'HELLO')
    if (refusal !== undefined) return session.fail(request, refusal)
    session.authenticate(login[0])
  }
  if (!session.authenticated) {
    return session.fail(
      request,
      'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time',
    )
  }
  if (name !== undefined) {
    if (!isPrintable(name)) return session.fail(request, NAME_REFUSED)
    session.name = name
    session.regard()
  }
  session.speak(resp)
  const out = session.begin(request)
  out.map(7)
  const field = (key: string, value: string): void => {
    out.bulk(key)
    out.bulk(value)
  }
  field('server', 'redis')
  field('version', session.hub.about.version)
  out.bulk('proto')
  out.integer(resp)
  out.bulk('id')
  out.integer(session.id)
  field('mode', 'standalone')
  field('role', 'master')
  out.bulk('modules')
  out.array(0)
  session.finish(request)
}

/** AUTH [username] password */
function auth(session: Session, request: Request, decoder: Decoder): void {
  const args = decoder.args()
  if (args.length > 3) return session.fail(request, 'ERR syntax error')
  if (args.length === 2 && session.hub.policy.open) {
    return session.fail(
      request,
      'ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?',
    )
  }
  const [name, password] = args.length === 2 ? [DEFAULT_USER, args[1]] : [args[1], args[2]]
  withUsers(session, request, decoder, () => {
    const refusal = refuseLogin(session, name as Bytes, password as Bytes, 'AUTH')
    if (refusal !== undefined) return session.fail(request, refusal)
    session.authenticate(name as Bytes)
    sayOk(session, request)
  })
}

/** Users of the instances are asked for before a login is judged: a password that was taken back a moment ago is wrong. */
function withUsers(session: Session, request: Request, decoder: Decoder, judge: () => void): void {
  const { foreignUsers } = session.hub
  if (foreignUsers === undefined) return judge()
  if (!session.isFirst(request)) return session.stall(request, decoder)
  session.awaitAnswers()
  foreignUsers.refresh(() => {
    if (!session.closed) judge()
  })
}

/** Answers why the login is not right. An address that guesses too often is not listened to for a while. */
function refuseLogin(session: Session, name: Bytes, password: Bytes, command: string): Bytes | undefined {
  const { policy, admission, tools, clock, foreignUsers } = session.hub
  if (foreignUsers?.known === false) return 'ERR the users of the instances are not known (yet)'
  const host = session.peer.remoteHost
  const { now } = tools.time
  if (!admission.mayGuess(host, now))
    return 'ERR too many wrong passwords came from this address: try again in a moment'
  if (policy.isRightLogin(name, password)) return undefined
  admission.guessedWrong(host, now)
  const attempt = { reason: 'auth', context: 'toplevel', object: command, username: name } as const
  policy.users?.log.add(attempt, describe(session), clock.wall(), ACL_LOG_ENTRIES)
  session.hub.onWrongLogin(session)
  return 'WRONGPASS invalid username-password pair or user is disabled.'
}

/** A number as Redis writes it itself: no zero before it, no plus, no space. */
export function databaseOf(text: Bytes): number | undefined {
  return /^(0|-?[1-9]\d{0,9})$/.test(text) ? Number(text) : undefined
}

function select(session: Session, request: Request, decoder: Decoder): void {
  const db = databaseOf(decoder.arg(1))
  if (db === undefined) return session.fail(request, 'ERR value is not an integer or out of range')
  if (db < 0 || db >= session.hub.about.databases) return session.fail(request, 'ERR DB index is out of range')
  session.db = db
  sayOk(session, request)
}

/** PROXY INFO: what old tools ask. */
function answerProxy(session: Session, request: Request, decoder: Decoder): void {
  if (decoder.argc > 1 && decoder.arg(1).toUpperCase() !== 'INFO') {
    return session.fail(request, `ERR unknown subcommand '${decoder.arg(1)}'. Try LAGRANGE HELP.`)
  }
  session.begin(request).verbatim('txt', proxySection(session))
  session.finish(request)
}
