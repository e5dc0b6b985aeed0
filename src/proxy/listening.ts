/**
 * Invalidations that others redirect to a session (CLIENT TRACKING … REDIRECT): the instance knows the session by the
 * connection that is lent for its subscriptions. It is lent before there are any, and kept when there are none any more;
 * when it changes, those who redirect are told, so that they do it anew.
 */
import type { Session } from './session.js'
import type { Resp, Upstream } from './upstream.js'

export class Listening {
  /** While nothing is subscribed. */
  #upstream: Upstream | undefined
  /** Somebody redirects to it, or did. */
  #wanted = false

  constructor(private readonly session: Session) {}

  /** The connection that messages for the session arrive on, by which the instance knows it. */
  get upstream(): Upstream | undefined {
    return this.session.subscription?.upstream ?? this.#upstream
  }

  /** The same, lent if need be; undefined: there is none now. */
  begin(): Upstream | undefined {
    this.#wanted = true
    if (this.upstream === undefined) this.#upstream = this.session.group.lent.borrow(this.session)
    return this.upstream
  }

  /** For a subscription, which goes on with it. */
  take(): Upstream | undefined {
    const upstream = this.#upstream
    this.#upstream = undefined
    return upstream
  }

  /** Nothing is subscribed any more. */
  keep(upstream: Upstream): void {
    upstream.piped = false
    if (this.#wanted) this.#upstream = upstream
    else this.session.group.lent.giveBack(upstream)
  }

  /** What is redirected must be redirected to another connection now. */
  changed(): void {
    if (!this.#wanted) return
    const { hub, id } = this.session
    for (const { tracking } of hub.sessions.values()) if (tracking?.redirect === id) tracking.restart()
  }

  /** True when the connection that is gone was this one. */
  lost(upstream: Upstream): boolean {
    if (this.#upstream !== upstream) return false
    this.#upstream = undefined
    this.changed()
    return true
  }

  /** Its session does: the instance goes on knowing it by the same connection. */
  speak(resp: Resp): void {
    if (this.#upstream === undefined) return
    if (this.#upstream.open) return this.#upstream.speak(resp)
    this.abandon()
    this.changed()
  }

  abandon(): void {
    const upstream = this.take()
    if (upstream !== undefined) this.session.group.lent.discard(upstream)
  }
}
