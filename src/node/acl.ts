/**
 * Who may do what. Today there is one user, `default`, with the password of `requirepass` and every permission; the place
 * where others will be asked about is `mayRun`.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Bytes } from '../base/units.js'
import type { CommandSpec } from '../command/table.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

export class Acl {
  constructor(private readonly server: NodeServer) {}

  /** Whether name and password belong together; takes the same time for every wrong password of one length. */
  authenticate(user: Bytes, password: Bytes): boolean {
    if (user !== 'default') return false
    const wanted = this.server.config.text('requirepass')
    return wanted === '' || equal(wanted, password)
  }

  /** Why the session's user may not run this; undefined when it may. */
  mayRun(_session: Session, _spec: CommandSpec, _args: readonly Bytes[]): Bytes | undefined {
    return undefined
  }

  /** The user as ACL LIST prints it. */
  describeDefault(): Bytes {
    const password = this.server.config.text('requirepass')
    const secret = password === '' ? 'nopass' : `#${this.server.sha256(password)}`
    return `user default on ${secret} ~* &* +@all`
  }
}

function equal(wanted: Bytes, given: Bytes): boolean {
  const left = Buffer.from(wanted, 'latin1')
  const right = Buffer.from(given, 'latin1')
  return left.length === right.length && timingSafeEqual(left, right)
}
