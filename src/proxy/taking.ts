/**
 * What is looked at when a command is taken from a client, before anything is done with it.
 */
import type { Bytes } from '../base/units.js'
import { isBlocking } from '../command/table.js'
import type { Decoder } from '../resp/decoder.js'
import type { Call, CallTable } from '../routing/calls.js'
import type { Guard } from './guard.js'
import type { Request } from './request.js'
import type { Session } from './session.js'

/** A browser that was led here by a page: it must not get as far as the body, which that page chose. */
export function isWeb(decoder: Decoder): boolean {
  const { argStart, argEnd } = decoder
  return (argEnd[0] as number) - (argStart[0] as number) <= 5 && /^(post|host:)$/i.test(decoder.arg(0))
}

/** Nothing is asked about its commands, and nothing special is done with them. */
export function isPlain(session: Session): boolean {
  const { guard, transaction, subscription, monitor, tracking, hub } = session
  const special = guard ?? transaction ?? subscription ?? monitor ?? tracking ?? hub.pause.mode
  return special === undefined && session.authenticated && session.replyMode === 'on'
}

/** The call that a request is, of which not all has come; undefined when its keys are not known yet, or it is not to be passed on so. */
export function callOfOpenRequest(calls: CallTable, decoder: Decoder): Call | undefined {
  const [name, second] = decoder.openArguments()
  if (name === undefined) return undefined
  const found = calls.find(name, 0, name.length)
  const call = second === undefined ? found : (found.subcommands?.find(second, 0, second.length) ?? found)
  if (call.handling !== 'master' || call.spec === undefined || call.subcommands !== undefined) return undefined
  if (decoder.openArgc < call.argcMin || decoder.openArgc > call.argcMax) return undefined
  const known = call.marking === 'none' ? second !== undefined : call.marking === 'keys' && call.lastKey > 0
  return known && decoder.openArguments().length > call.lastKey ? call : undefined
}

/** The call as it is carried out: XREAD and its like without BLOCK are ordinary commands. */
export function callAsAsked(call: Call, decoder: Decoder): Call {
  const { patient, spec } = call
  return patient !== undefined && spec !== undefined && !isBlocking(spec, decoder.args()) ? patient : call
}

/** CLIENT REPLY: this one is not answered. */
export function mute(session: Session, request: Request): void {
  request.muted = true
  if (session.replyMode === 'skip') session.replyMode = 'on'
  if (session.replyMode === 'skip-next') session.replyMode = 'skip'
}

/** What a monitor, or a subscriber that speaks RESP2, may not ask; `goes on` for what it may. */
export function refusedInMode(session: Session, call: Call): { readonly error: Bytes } | 'goes on' | undefined {
  const { name } = call
  if (session.monitor !== undefined) return { error: "ERR Replica can't interact with the keyspace" }
  if (session.subscription === undefined || session.resp !== 2) return undefined
  if (call.handling === 'subscribe' || name === 'ping') return 'goes on'
  const error = `ERR Can't execute '${name.split('|')[0]}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`
  return { error }
}

/** Asks the guard; answers false when the command was refused. */
export function isAdmitted(session: Session, guard: Guard, request: Request, call: Call, decoder: Decoder): boolean {
  const waitMs = guard.taken(session.hub.tools.time.now)
  if (waitMs > 0) session.throttle(waitMs)
  const admitted = guard.admit(session.user, call, decoder)
  if (admitted.refused === undefined) {
    // What it has seen at other levels was not followed.
    if (admitted.rules.level === 'session' && session.rules.level !== 'session') session.ahead = true
    // Kept with the request: it may be sent again when another command has others.
    session.rules = request.rules = admitted.rules
    return true
  }
  session.hub.onRefused(session, call, admitted)
  session.transaction?.spoil()
  session.fail(request, admitted.text)
  return false
}

/** Things about a command for the master that must be remembered. */
export function notice(session: Session, request: Request, call: Call, decoder: Decoder): void {
  switch (call.name) {
    case 'info':
      request.effect = 'info'
      return
    case 'eval':
      if (decoder.argc > 2) session.group.scripts.remember(decoder.arg(1))
      return
    case 'script|load':
      if (decoder.argc === 3) session.group.scripts.remember(decoder.arg(2))
      return
    case 'script|flush':
      session.group.scripts.forgetAll()
      return
    case 'acl|setuser':
    case 'acl|deluser':
    case 'acl|load':
      // Behind it, on the same connection.
      session.hub.clock.after(0, () => session.hub.foreignUsers?.refresh())
      return
    default:
  }
}
