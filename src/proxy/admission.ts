/**
 * Who may come in, and who has been here for too long: counts of connections in all and by address, protected mode, the
 * time to say who one is, idle connections, and how often an address may guess at passwords.
 */

import { Pace } from '../base/pace.js'
import type { Bytes, Millis } from '../base/units.js'
import type { AdmissionOptions } from './options.js'

/** What is looked at from time to time. */
export interface Visitor {
  readonly authenticated: boolean
  readonly since: Millis
  readonly lastAt: Millis
  /** Waits for something: an answer, a message, a key. */
  readonly waiting: boolean
}

/** Why a connection is refused, or ended by us. */
export type Rejected = 'draining' | 'max-clients' | 'max-unauthenticated' | 'max-per-address' | 'protected-mode'
export type Overdue = 'auth-timeout' | 'idle'

/** Who has not said who he is may take so much of `maxClients`. */
const UNAUTHENTICATED_SHARE = 0.25
const WRONG_PASSWORDS_PER_SECOND = 10
/** Addresses whose wrong passwords are remembered. */
const GUESSERS_MAX = 10_000

const PROTECTED =
  'DENIED this proxy is running in protected mode because protected mode is enabled and no password is set for the default user. Connect from this machine, or set a password, or set admission.protectedMode off.'

export class Admission {
  #clients = 0
  #unauthenticated = 0
  readonly #byAddress = new Map<string, number>()
  readonly #guessers = new Map<string, Pace>()

  constructor(private readonly options: AdmissionOptions) {}

  /** Answers why a connection from `host` is refused, and what it is told. `open`: no password is asked of anybody. */
  refuse(host: string, open: boolean): { readonly reason: Rejected; readonly text: Bytes } | undefined {
    const { maxClients, maxPerAddress, protectedMode } = this.options
    if (protectedMode && open && !isLocal(host)) return { reason: 'protected-mode', text: PROTECTED }
    if (this.#clients >= maxClients) return { reason: 'max-clients', text: 'ERR max number of clients reached' }
    if (!open && this.#unauthenticated >= Math.max(1, maxClients * UNAUTHENTICATED_SHARE)) {
      return { reason: 'max-unauthenticated', text: 'ERR max number of clients reached' }
    }
    if (maxPerAddress > 0 && (this.#byAddress.get(host) ?? 0) >= maxPerAddress) {
      return { reason: 'max-per-address', text: 'ERR max number of clients reached for this address' }
    }
    return undefined
  }

  entered(host: string, authenticated: boolean): void {
    this.#clients++
    if (!authenticated) this.#unauthenticated++
    if (this.options.maxPerAddress > 0 && host !== '') this.#byAddress.set(host, (this.#byAddress.get(host) ?? 0) + 1)
  }

  /** RESET may make a client a stranger again. */
  changed(authenticated: boolean): void {
    this.#unauthenticated += authenticated ? -1 : 1
  }

  left(host: string, authenticated: boolean): void {
    this.#clients--
    if (!authenticated) this.#unauthenticated--
    const others = (this.#byAddress.get(host) ?? 0) - 1
    if (others > 0) this.#byAddress.set(host, others)
    else this.#byAddress.delete(host)
  }

  /** Whether a login from this address is looked at at all. */
  mayGuess(host: string, now: Millis): boolean {
    return this.#guessers.get(host)?.allows(1, now) ?? true
  }

  guessedWrong(host: string, now: Millis): void {
    const pace = this.#guessers.get(host) ?? new Pace(WRONG_PASSWORDS_PER_SECOND)
    pace.spend(1, now)
    // The one that has been quiet for longest is forgotten.
    this.#guessers.delete(host)
    this.#guessers.set(host, pace)
    if (this.#guessers.size > GUESSERS_MAX) this.#guessers.delete(this.#guessers.keys().next().value as string)
  }

  /** Whether somebody has been here for too long. */
  overdue(visitor: Visitor, now: Millis): Overdue | undefined {
    const { authTimeoutMs, idleTimeoutMs } = this.options
    if (!visitor.authenticated && authTimeoutMs > 0 && now - visitor.since > authTimeoutMs) return 'auth-timeout'
    if (idleTimeoutMs > 0 && !visitor.waiting && now - visitor.lastAt > idleTimeoutMs) return 'idle'
    return undefined
  }
}

/** This machine; a unix socket has no address. */
function isLocal(host: string): boolean {
  const plain = host.replace(/^::ffff:/, '')
  return plain === '' || plain === '::1' || plain.startsWith('127.')
}
