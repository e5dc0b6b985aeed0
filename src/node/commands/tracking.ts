/**
 * CLIENT TRACKING and what belongs to it: whether a client hears when keys that it has read change.
 */
import type { Bytes } from '../../base/units.js'
import type { NodeCommands } from '../dispatch.js'
import type { NodeServer } from '../server.js'
import type { Session } from '../session.js'
import type { ClientTracking, TrackingOptions } from '../tracking.js'
import { bulkArray, lower, NOT_AN_INTEGER, readInteger, SYNTAX_ERROR } from './words.js'

/** Prefixes of one client: each changed key is compared with all of them. */
const MAX_PREFIXES = 4096

interface Asked extends TrackingOptions {
  readonly prefixes: readonly Bytes[]
}

export const trackingCommands: NodeCommands = {
  'client|tracking'(session, args, reply, server) {
    const mode = lower(args[2])
    if (mode !== 'on' && mode !== 'off') return reply.error(SYNTAX_ERROR)
    const asked = parse(args, server)
    if (typeof asked === 'string') return reply.error(asked)
    if (mode === 'off') server.tracking.disable(session)
    else {
      const refusal = incompatible(asked, session.tracking)
      if (refusal !== undefined) return reply.error(refusal)
      const { prefixes, ...options } = asked
      server.tracking.enable(session, options, prefixes)
    }
    session.refresh()
    reply.ok()
  },

  'client|caching'(session, args, reply) {
    const { tracking } = session
    if (tracking === undefined) {
      return reply.error(
        'ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled',
      )
    }
    const word = lower(args[2])
    if (word !== 'yes' && word !== 'no') return reply.error(SYNTAX_ERROR)
    const needed = word === 'yes' ? 'optin' : 'optout'
    if (!tracking.options[needed]) {
      return reply.error(
        `ERR CLIENT CACHING ${word.toUpperCase()} is only valid when tracking is enabled in ${needed.toUpperCase()} mode.`,
      )
    }
    tracking.caching = true
    reply.ok()
  },

  'client|getredir'(session, _args, reply) {
    reply.integer(redirectOf(session))
  },

  'client|trackinginfo'(session, _args, reply) {
    const flags = flagsOf(session.tracking)
    reply.map(3)
    reply.bulk('flags')
    reply.set(flags.length)
    for (const flag of flags) reply.bulk(flag)
    reply.bulk('redirect')
    reply.integer(redirectOf(session))
    reply.bulk('prefixes')
    bulkArray(reply, [...(session.tracking?.prefixes ?? [])])
  },
}

/** The client that hears for this one; 0 itself, -1 when it does not track. */
export function redirectOf(session: Session): number {
  return session.tracking?.options.redirect ?? -1
}

function flagsOf(tracking: ClientTracking | undefined): string[] {
  if (tracking === undefined) return ['off']
  const { bcast, optin, optout, noloop } = tracking.options
  const flags = ['on']
  if (bcast) flags.push('bcast')
  if (optin) flags.push('optin')
  if (optin && tracking.caching) flags.push('caching-yes')
  if (optout) flags.push('optout')
  if (optout && tracking.caching) flags.push('caching-no')
  if (noloop) flags.push('noloop')
  if (tracking.brokenRedirect) flags.push('broken_redirect')
  return flags
}

/** The words after ON or OFF, or what is wrong with them. */
function parse(args: readonly Bytes[], server: NodeServer): Asked | string {
  const options = { redirect: 0, bcast: false, optin: false, optout: false, noloop: false }
  const prefixes: Bytes[] = []
  for (let at = 3; at < args.length; at++) {
    const word = lower(args[at])
    const hasValue = at + 1 < args.length
    if (word === 'redirect' && hasValue) {
      if (options.redirect !== 0) return 'ERR A client can only redirect to a single other client'
      const id = readInteger(args[++at])
      if (id === undefined) return NOT_AN_INTEGER
      if (server.clients.find(id) === undefined) return 'ERR The client ID you want redirect to does not exist'
      options.redirect = id
    } else if (word === 'prefix' && hasValue) prefixes.push(args[++at] as Bytes)
    else if (word === 'bcast' || word === 'optin' || word === 'optout' || word === 'noloop') options[word] = true
    else return SYNTAX_ERROR
  }
  return { ...options, prefixes }
}

/** Why these options do not go together, or not with those the client has. */
function incompatible(asked: Asked, present: ClientTracking | undefined): string | undefined {
  if (!asked.bcast && asked.prefixes.length > 0) return 'ERR PREFIX option requires BCAST mode to be enabled'
  if (present !== undefined && present.options.bcast !== asked.bcast) {
    return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."
  }
  if (asked.bcast && (asked.optin || asked.optout)) return 'ERR OPTIN and OPTOUT are not compatible with BCAST'
  if (asked.optin && asked.optout) return "ERR You can't specify both OPTIN mode and OPTOUT mode"
  if ((asked.optin && present?.options.optout === true) || (asked.optout && present?.options.optin === true)) {
    return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode."
  }
  return asked.bcast ? overlapping(asked.prefixes, present?.prefixes ?? new Set()) : undefined
}

/** A key must not be told twice to one client. */
function overlapping(prefixes: readonly Bytes[], present: ReadonlySet<Bytes>): string | undefined {
  if (prefixes.length + present.size > MAX_PREFIXES) return `ERR a client may have ${MAX_PREFIXES} prefixes at most`
  for (const [index, prefix] of prefixes.entries()) {
    for (const other of present) {
      if (overlap(prefix, other)) return overlapError(prefix, 'an existing', other)
    }
    for (const other of prefixes.slice(index + 1)) {
      if (overlap(prefix, other)) return overlapError(prefix, 'another provided', other)
    }
  }
  return undefined
}

function overlap(a: Bytes, b: Bytes): boolean {
  return a.startsWith(b) || b.startsWith(a)
}

function overlapError(prefix: Bytes, which: string, other: Bytes): string {
  return `ERR Prefix '${prefix}' overlaps with ${which} prefix '${other}'. Prefixes for a single client must not overlap.`
}
