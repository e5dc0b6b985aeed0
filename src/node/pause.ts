/**
 * CLIENT PAUSE: requests that must wait stay with their session, unanswered, until the pause is over. A pause may only be
 * made longer and stricter by a second one, never shorter. A replica that is paused applies nothing of its master's either.
 */
import type { Bytes, Millis } from '../base/units.js'
import type { CommandSpec } from '../command/table.js'
import { mayChange } from './gates.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

export type PauseMode = 'write' | 'all'
/** Who asked: a client, or a step of ours that must not be disturbed. */
export type PausePurpose = 'client' | 'shutdown' | 'failover' | 'migrate'

interface Pause {
  readonly mode: PauseMode
  readonly until: Millis
}

export class Pauses {
  readonly #pauses = new Map<PausePurpose, Pause>()
  readonly #parked = new Set<Session>()
  #cancel: (() => void) | undefined

  constructor(private readonly server: NodeServer) {}

  /** Sessions with a request that waits. */
  get count(): number {
    return this.#parked.size
  }

  get active(): boolean {
    return this.#pauses.size > 0
  }

  /** Writes are held back, so the offset stands still: nothing of ours (expiry, eviction, PING) may move it either. */
  get mode(): PauseMode | undefined {
    let mode: PauseMode | undefined
    for (const pause of this.#pauses.values()) if (mode !== 'all') mode = pause.mode
    return mode
  }

  begin(purpose: PausePurpose, mode: PauseMode, until: Millis): void {
    const before = this.#pauses.get(purpose)
    this.#pauses.set(purpose, {
      mode: before?.mode === 'all' ? 'all' : mode,
      until: Math.max(until, before?.until ?? 0),
    })
    this.#changed()
  }

  end(purpose: PausePurpose): void {
    if (this.#pauses.delete(purpose)) this.#changed()
  }

  holds(session: Session, spec: CommandSpec, args: readonly Bytes[]): boolean {
    const { mode } = this
    if (mode === undefined || session.type === 'replica') return false
    if (mode === 'all') return spec.name !== 'client|unpause' && !spec.name.startsWith('replconf')
    if (spec.name !== 'exec') return this.#mayChange(spec, args)
    return (session.transaction?.commands ?? []).some(queued => this.#mayChange(queued.spec, queued.args))
  }

  /** A script that says that it does not write is taken at its word. */
  #mayChange(spec: CommandSpec, args: readonly Bytes[]): boolean {
    const { dispatcher, scripting } = this.server
    const gate = dispatcher.gateOf(spec)
    return mayChange(spec.group === 'scripting' ? scripting.gateOf(spec, args, gate) : gate)
  }

  park(session: Session, request: readonly Bytes[]): void {
    session.parked = { on: 'pause', request }
    this.#parked.add(session)
  }

  forget(session: Session): void {
    this.#parked.delete(session)
  }

  #changed(): void {
    this.server.recalm()
    this.#cancel?.()
    this.#cancel = undefined
    const { clock } = this.server
    const now = clock.now()
    for (const [purpose, pause] of this.#pauses) if (pause.until <= now) this.#pauses.delete(purpose)
    if (this.#pauses.size > 0) {
      const next = Math.min(...[...this.#pauses.values()].map(pause => pause.until))
      // A timer longer than 24 days fires at once; nobody pauses for so long.
      this.#cancel = clock.after(Math.min(next - now, 0x7fffffff), () => this.#changed())
    }
    this.server.recalm()
    this.#release()
  }

  /** Everybody is asked again: what is still held parks itself anew. */
  #release(): void {
    if (this.mode === undefined) this.server.follower?.resume()
    if (this.mode === 'all') return
    const sessions = [...this.#parked]
    this.#parked.clear()
    for (const session of sessions) {
      if (session.parked?.on !== 'pause') continue
      const { request } = session.parked
      session.parked = undefined
      this.server.stopwatch.lap()
      this.server.dispatcher.process(session, request)
      session.peer.flushSoon()
      if (session.parked === undefined) this.server.dispatcher.resumeSoon(session)
    }
  }
}
