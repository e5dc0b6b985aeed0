/**
 * CLIENT: about the connections to the proxy, not about those it has to instances. What it does not know is an error and
 * never an end: clients probe for subcommands of newer servers.
 */
import type { Bytes } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import { notifyOfMaintenance } from './maintenance.js'
import { pauseOf } from './pause.js'
import type { Request } from './request.js'
import type { Session } from './session.js'
import { Tracking } from './tracking.js'

export const NAME_REFUSED = 'ERR Client names cannot contain spaces, newlines or special characters.'

export function isPrintable(text: Bytes): boolean {
  return /^[!-~]*$/.test(text)
}

type Answer = (session: Session, request: Request, args: readonly Bytes[], decoder: Decoder) => void

/** Arguments the subcommand takes, the words CLIENT and its own included. */
const subcommands: Readonly<Record<string, readonly [min: number, max: number, answer: Answer]>> = {
  ID: [2, 2, (session, request) => integer(session, request, session.id)],
  GETNAME: [2, 2, getName],
  SETNAME: [3, 3, setName],
  SETINFO: [4, 4, setInfo],
  INFO: [2, 2, (session, request) => text(session, request, `${describe(session)}\n`)],
  LIST: [2, Number.POSITIVE_INFINITY, list],
  REPLY: [3, 3, reply],
  'NO-EVICT': [3, 3, (session, request, args) => onOff(session, request, args, on => (session.noEvict = on))],
  'NO-TOUCH': [3, 3, (session, request, args) => onOff(session, request, args, () => undefined)],
  KILL: [3, Number.POSITIVE_INFINITY, kill],
  UNBLOCK: [3, 4, unblock],
  PAUSE: [3, 4, pause],
  UNPAUSE: [2, 2, unpause],
  GETREDIR: [2, 2, (session, request) => integer(session, request, session.tracking?.redirect ?? -1)],
  TRACKING: [3, Number.POSITIVE_INFINITY, tracking],
  CACHING: [3, 3, caching],
  TRACKINGINFO: [2, 2, trackingInfo],
  MAINT_NOTIFICATIONS: [3, 5, notifyOfMaintenance],
  HELP: [2, 2, help],
}

export function answerClient(session: Session, request: Request, decoder: Decoder): void {
  const args = decoder.args()
  const shown = args[1] as Bytes
  const found = subcommands[shown.toUpperCase()]
  if (found === undefined) {
    return session.fail(request, `ERR unknown subcommand '${shown.slice(0, 128)}'. Try CLIENT HELP.`)
  }
  const [min, max, answer] = found
  if (args.length < min || args.length > max) {
    return session.fail(request, `ERR wrong number of arguments for 'client|${shown.toLowerCase()}' command`)
  }
  answer(session, request, args, decoder)
}

function ok(session: Session, request: Request): void {
  session.begin(request).ok()
  session.finish(request)
}

function integer(session: Session, request: Request, value: number): void {
  session.begin(request).integer(value)
  session.finish(request)
}

function text(session: Session, request: Request, value: string): void {
  session.begin(request).verbatim('txt', value)
  session.finish(request)
}

function getName(session: Session, request: Request): void {
  const out = session.begin(request)
  if (session.name === '') out.null()
  else out.bulk(session.name)
  session.finish(request)
}

function setName(session: Session, request: Request, args: readonly Bytes[], decoder: Decoder): void {
  // Reads that wait were promised what its name was promised when they came.
  if (!session.isFirst(request)) return session.stall(request, decoder)
  const name = args[2] as Bytes
  if (!isPrintable(name)) return session.fail(request, NAME_REFUSED)
  session.name = name
  session.regard()
  ok(session, request)
}

function setInfo(session: Session, request: Request, args: readonly Bytes[]): void {
  const attribute = (args[2] as Bytes).toLowerCase()
  const value = args[3] as Bytes
  if (attribute !== 'lib-name' && attribute !== 'lib-ver') {
    return session.fail(request, `ERR Unrecognized option '${args[2]}'`)
  }
  if (!isPrintable(value)) {
    return session.fail(request, `ERR ${attribute} cannot contain spaces, newlines or special characters.`)
  }
  if (attribute === 'lib-name') session.libName = value
  else session.libVersion = value
  ok(session, request)
}

function onOff(session: Session, request: Request, args: readonly Bytes[], set: (on: boolean) => void): void {
  const word = (args[2] as Bytes).toLowerCase()
  if (word !== 'on' && word !== 'off') return session.fail(request, 'ERR syntax error')
  set(word === 'on')
  ok(session, request)
}

function reply(session: Session, request: Request, args: readonly Bytes[]): void {
  switch ((args[2] as Bytes).toLowerCase()) {
    case 'on':
      session.replyMode = 'on'
      request.muted = false
      return ok(session, request)
    case 'off':
      session.replyMode = 'off'
      break
    case 'skip':
      if (session.replyMode === 'on') session.replyMode = 'skip'
      break
    default:
      return session.fail(request, 'ERR syntax error')
  }
  request.muted = true
  session.begin(request).ok()
  session.finish(request)
}

// ── The list ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Words for them, as CLIENT LIST and CLIENT KILL take them. */
const TYPES = new Map(['normal', 'master', 'replica', 'pubsub'].map(type => [type, type])).set('slave', 'replica')

/** CLIENT LIST [TYPE normal|master|replica|pubsub] [ID id …] */
function list(session: Session, request: Request, args: readonly Bytes[]): void {
  let wanted = [...session.hub.sessions.values()]
  const filter = args[2]?.toUpperCase()
  if (filter === 'TYPE' && args.length === 4) {
    const type = TYPES.get((args[3] as Bytes).toLowerCase())
    if (type === undefined) {
      return session.fail(request, `ERR Unknown client type '${args[3]}'`)
    }
    wanted = wanted.filter(one => type === typeOf(one))
  } else if (filter === 'ID' && args.length > 3) {
    const ids = new Set(args.slice(3).map(Number))
    if ([...ids].some(id => !Number.isInteger(id) || id < 1)) return session.fail(request, 'ERR Invalid client ID')
    wanted = wanted.filter(one => ids.has(one.id))
  } else if (filter !== undefined) return session.fail(request, 'ERR syntax error')
  text(session, request, wanted.map(one => `${describe(one)}\n`).join(''))
}

function typeOf(session: Session): string {
  if (isReplica(session)) return 'replica'
  return session.subscription === undefined ? 'normal' : 'pubsub'
}

/** It has asked for the stream, and bytes go both ways as they are. */
function isReplica(session: Session): boolean {
  return session.peer.handler !== session
}

export function describe(session: Session): string {
  const { hub, peer, subscription, transaction } = session
  const { now } = hub.tools.time
  const seconds = (since: number): number => Math.floor((now - since) / 1000)
  const flags = `${isReplica(session) ? 'S' : ''}${subscription === undefined ? '' : 'P'}${transaction?.queueing ? 'x' : ''}${
    session.monitor === undefined ? '' : 'O'
  }${session.tracking?.flags ?? ''}${(session.alone.upstream ?? session.held) === undefined ? '' : 'b'}`
  const fields: readonly (readonly [string, string | number])[] = [
    ['id', session.id],
    ['addr', session.address],
    ['laddr', `${peer.localHost}:${peer.localPort}`],
    ['fd', session.id],
    ['name', session.name],
    ['age', seconds(session.since)],
    ['idle', seconds(session.lastAt)],
    ['flags', flags === '' ? 'N' : flags],
    ['db', session.db],
    ['sub', subscription?.channels.size ?? 0],
    ['psub', subscription?.patterns.size ?? 0],
    ['ssub', subscription?.shards.size ?? 0],
    ['multi', transaction?.queueing ? 0 : -1],
    ['qbuf', session.aheadBytes],
    ['qbuf-free', 0],
    ['argv-mem', 0],
    ['multi-mem', 0],
    ['rbs', 16384],
    ['rbp', 16384],
    ['obl', peer.out.length],
    ['oll', 0],
    ['omem', peer.queuedBytes],
    ['tot-mem', peer.queuedBytes],
    ['events', 'r'],
    ['cmd', session.lastCommand],
    ['user', session.user],
    ['redir', session.tracking?.redirect ?? -1],
    ['resp', session.resp],
    ['lib-name', session.libName],
    ['lib-ver', session.libVersion],
  ]
  return fields.map(([key, value]) => `${key}=${value}`).join(' ')
}

// ── Others' connections ─────────────────────────────────────────────────────────────────────────────────────────────

/** CLIENT KILL addr | CLIENT KILL [ID id] [ADDR a] [LADDR a] [TYPE t] [USER u] [SKIPME yes|no] */
function kill(session: Session, request: Request, args: readonly Bytes[]): void {
  const old = args.length === 3
  const filters = old ? [(one: Session) => one.address === args[2]] : readFilters(session, request, args)
  if (filters === undefined) return
  const skipMe = !old && !/ skipme no( |$)/i.test(` ${args.slice(2).join(' ')}`)
  const victims = [...session.hub.sessions.values()].filter(
    one => !(skipMe && one === session) && filters.every(matches => matches(one)),
  )
  if (old && victims.length === 0) return session.fail(request, 'ERR No such client')
  if (old) ok(session, request)
  else integer(session, request, victims.length)
  for (const one of victims) {
    if (one === session) session.endWhenAnswered()
    else one.peer.destroy('killed')
  }
}

function readFilters(
  session: Session,
  request: Request,
  args: readonly Bytes[],
): ((one: Session) => boolean)[] | undefined {
  const filters: ((one: Session) => boolean)[] = []
  const refuse = (message: Bytes): undefined => {
    session.fail(request, message)
    return undefined
  }
  if (args.length % 2 !== 0) return refuse('ERR syntax error')
  for (let at = 2; at < args.length; at += 2) {
    const value = args[at + 1] as Bytes
    switch ((args[at] as Bytes).toUpperCase()) {
      case 'ID': {
        const id = Number(value)
        if (!Number.isInteger(id) || id < 1) return refuse('ERR client-id should be greater than 0')
        filters.push(one => one.id === id)
        break
      }
      case 'ADDR':
        filters.push(one => one.address === value)
        break
      case 'LADDR':
        filters.push(one => `${one.peer.localHost}:${one.peer.localPort}` === value)
        break
      case 'TYPE': {
        const type = TYPES.get(value.toLowerCase())
        if (type === undefined) return refuse(`ERR Unknown client type '${value}'`)
        filters.push(one => typeOf(one) === type)
        break
      }
      case 'USER':
        if (value !== 'default' && session.hub.policy.users?.find(value) === undefined) {
          return refuse(`ERR No such user '${value}'`)
        }
        filters.push(one => one.user === value)
        break
      case 'SKIPME':
        if (!/^(yes|no)$/i.test(value)) return refuse('ERR syntax error')
        break
      default:
        return refuse('ERR syntax error')
    }
  }
  return filters
}

/** CLIENT UNBLOCK id [TIMEOUT|ERROR]: the session's connection is known to the instance by another number. */
function unblock(session: Session, request: Request, args: readonly Bytes[]): void {
  const id = Number(args[2])
  if (!Number.isInteger(id)) return session.fail(request, 'ERR value is not an integer or out of range')
  const how = (args[3] ?? 'TIMEOUT').toUpperCase()
  if (how !== 'TIMEOUT' && how !== 'ERROR') {
    return session.fail(request, 'ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR')
  }
  const target = session.hub.sessions.get(id)?.alone.upstream
  const lane = session.group.master?.lane(session.resp, session.hub.tools.time.now)
  if (target?.clientId === undefined || lane === undefined) return integer(session, request, 0)
  const bytes = encodeCommand(['CLIENT', 'UNBLOCK', String(target.clientId), how])
  lane.ask(
    bytes,
    decoder => {
      if (session.closed) return
      const frame = decoder.value()
      integer(session, request, frame.type === 'integer' ? Number(frame.value) : 0)
    },
    () => {
      if (!session.closed) integer(session, request, 0)
    },
  )
}

function pause(session: Session, request: Request, args: readonly Bytes[]): void {
  const order = pauseOf(args)
  if ('error' in order) return session.fail(request, order.error)
  session.awaitAnswers()
  session.hub.pauseClients(order, () => answerOk(session, request))
}

function unpause(session: Session, request: Request): void {
  session.awaitAnswers()
  session.hub.unpauseClients(() => answerOk(session, request))
}

/** Later: its client may be gone. */
function answerOk(session: Session, request: Request): void {
  if (!session.closed) ok(session, request)
}

/** CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX prefix …] [BCAST] [OPTIN] [OPTOUT] [NOLOOP] */
function tracking(session: Session, request: Request, args: readonly Bytes[], decoder: Decoder): void {
  // What was asked before must have been read where it was asked.
  if (!session.isFirst(request)) return session.stall(request, decoder)
  switch ((args[2] as Bytes).toUpperCase()) {
    case 'ON':
      return Tracking.turnOn(session, request, args.slice(3), decoder)
    case 'OFF':
      return Tracking.turnOff(session, request)
    default:
      return session.fail(request, 'ERR syntax error')
  }
}

function caching(session: Session, request: Request, args: readonly Bytes[]): void {
  const word = (args[2] as Bytes).toUpperCase()
  if (session.tracking === undefined) {
    const only = 'when the client is in tracking mode with OPTIN or OPTOUT mode enabled'
    return session.fail(request, `ERR CLIENT CACHING can be called only ${only}`)
  }
  if (word !== 'YES' && word !== 'NO') return session.fail(request, 'ERR syntax error')
  const refusal = session.tracking.cache(word)
  if (refusal === undefined) ok(session, request)
  else session.fail(request, refusal)
}

function trackingInfo(session: Session, request: Request): void {
  const modes = session.tracking?.modes ?? ['off']
  const prefixes = session.tracking?.prefixes ?? []
  const out = session.begin(request)
  out.map(3)
  out.bulk('flags')
  out.set(modes.length)
  for (const mode of modes) out.bulk(mode)
  out.bulk('redirect')
  out.integer(session.tracking?.redirect ?? -1)
  out.bulk('prefixes')
  out.array(prefixes.length)
  for (const prefix of prefixes) out.bulk(prefix)
  session.finish(request)
}

function help(session: Session, request: Request): void {
  const lines = ['CLIENT <subcommand> [<arg> ...], about connections to the proxy:', ...Object.keys(subcommands).sort()]
  const out = session.begin(request)
  out.array(lines.length)
  for (const line of lines) out.simple(line)
  session.finish(request)
}
