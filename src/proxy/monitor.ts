/**
 * MONITOR: everything that the master is told, on a connection lent for as long as the client stays.
 */
import { readLatin1 } from '../base/latin1.js'
import type { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import type { Request } from './request.js'
import type { Session } from './session.js'
import type { Upstream } from './upstream.js'

const MONITOR = encodeCommand(['MONITOR'])

/** undefined: there is no connection for it now, the request was kept. */
export function beginMonitor(session: Session, request: Request, decoder: Decoder): Upstream | undefined {
  const upstream = session.group.lent.borrow(session)
  if (upstream === undefined) {
    session.group.keep(session, request, decoder)
    return undefined
  }
  upstream.piped = true
  upstream.pipe(MONITOR)
  return upstream
}

/**
 * It shows the client's world: not what the proxy itself asks on its connections. SELECT and PING of clients never come to
 * the master, so all of them are ours.
 */
export function isOwnNoise(buffer: Buffer, start: number, end: number): boolean {
  const line = readLatin1(buffer, start, Math.min(end, start + 256))
  return OWN.test(line)
}

const OWN = / "(ROLE|PING|SELECT" "\d+|INFO" "(server|replication)|CLIENT" "(ID|SETNAME" "lagrange-[a-z]+))"\r\n$/
