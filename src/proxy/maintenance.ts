/**
 * CLIENT MAINT_NOTIFICATIONS: a client that speaks RESP3 asks to be told when the process that serves it goes away, and moves
 * without losing a command: it opens its next connection before it gives the present one up.
 *
 *     client ──CLIENT MAINT_NOTIFICATIONS ON──▶ +OK        … drain ──▶ client  >4 MOVING <seq> <seconds> <host:port | null>
 *
 * Where it should go is where it came from: the same address is served by the next worker, or the next process. A client
 * that wants no address (`none`) gets null and comes back to the one it is configured with.
 */
import type { Bytes } from '../base/units.js'
import { Encoder } from '../resp/encoder.js'
import type { Request } from './request.js'
import type { Session } from './session.js'

/** What a client that is told of a move wants to be told; undefined: it is not told. */
export type MovesTo = 'address' | 'none' | undefined

const TYPES = new Set(['internal-ip', 'external-ip', 'internal-fqdn', 'external-fqdn', 'none'])

/** CLIENT MAINT_NOTIFICATIONS ON [moving-endpoint-type type] | OFF */
export function notifyOfMaintenance(session: Session, request: Request, args: readonly Bytes[]): void {
  const word = (args[2] as Bytes).toUpperCase()
  const isOn = word === 'ON'
  if (!isOn && (word !== 'OFF' || args.length > 3)) return session.fail(request, 'ERR syntax error')
  if (isOn && session.resp !== 3) {
    return session.fail(request, 'ERR maintenance notifications are pushes, which need RESP3: HELLO 3 first')
  }
  const type = readType(args)
  if (type === undefined) return session.fail(request, 'ERR syntax error')
  session.movesTo = !isOn ? undefined : type === 'none' ? 'none' : 'address'
  session.begin(request).ok()
  session.finish(request)
}

function readType(args: readonly Bytes[]): Bytes | undefined {
  if (args.length === 3) return 'internal-ip'
  const type = args[4]?.toLowerCase() ?? ''
  return args[3]?.toLowerCase() === 'moving-endpoint-type' && TYPES.has(type) ? type : undefined
}

/** Tells it, when it asked for that; false: it has to find out by itself. */
export function announceMove(session: Session, sequence: number, withinSeconds: number): boolean {
  const { movesTo, peer, resp } = session
  if (movesTo === undefined || resp !== 3 || session.closed) return false
  const out = new Encoder(3, 128)
  out.push(4)
  out.bulk('MOVING')
  out.integer(sequence)
  out.integer(withinSeconds)
  // Over a unix socket there is no other way than the one it came.
  const isReachable = movesTo === 'address' && peer.localPort > 0
  if (isReachable) out.bulk(`${peer.localHost}:${peer.localPort}`)
  else out.null()
  const bytes = out.take()
  session.passThrough(bytes, 0, bytes.length)
  return true
}
