/**
 * Stopping on request: wait for replicas that are behind, save if there are save points, then close everything. The final
 * snapshot is written in slices while everybody is held back: nothing may change any more, yet who insists is heard.
 */
import type { Millis } from '../base/units.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

export interface ShutdownFlags {
  /** undefined: save when there are save points. */
  readonly save: boolean | undefined
  /** Do not wait for replicas. */
  readonly now: boolean
  /** Stop even when saving fails. */
  readonly force: boolean
}

export const plainShutdown: ShutdownFlags = { save: undefined, now: false, force: false }

/** A stop that a signal has asked for and that was not possible is tried again. */
const RETRY_MS = 500

export class Shutdown {
  /** While we wait for replicas: when that ends. */
  until: Millis | undefined
  #flags: ShutdownFlags = plainShutdown
  readonly #asking = new Set<Session>()
  #cancel: (() => void) | undefined
  #saving = false
  #stopping = false
  #requested: ShutdownFlags | undefined
  #notBefore: Millis = 0

  constructor(private readonly server: NodeServer) {}

  /** Clients whose SHUTDOWN has not been answered. */
  get waiting(): number {
    return this.#asking.size
  }

  /** Asked for, and neither done nor given up. */
  get underWay(): boolean {
    return this.#requested !== undefined || this.until !== undefined || this.#saving || this.#stopping
  }

  /** The connection is gone. */
  forget(session: Session): void {
    this.#asking.delete(session)
  }

  /** A signal asked for it; done with the next tick, so that what arrived before it is served. */
  request(flags: ShutdownFlags): void {
    this.#requested = flags
    if (!this.server.cronPaused) setImmediate(() => this.tick())
  }

  /** Carries out what a signal has asked for. */
  tick(): void {
    const flags = this.#requested
    if (flags === undefined || this.server.clock.now() < this.#notBefore) return
    this.#requested = undefined
    this.begin(flags)
  }

  /** `session` gets an answer only if we do not stop after all. */
  begin(flags: ShutdownFlags, session?: Session): void {
    if (this.#stopping) return
    const { server } = this
    if (session !== undefined) {
      this.#asking.add(session)
      session.parked = { on: 'shutdown' }
    }
    if (this.until !== undefined || this.#saving) return
    this.#flags = flags
    server.log.warning('User requested shutdown...')
    const timeoutMs = server.config.number('shutdown-timeout') * 1000
    // A replica's own replicas have it from its master.
    const waits = server.role === 'master' && this.#lagging() > 0
    if (flags.now || timeoutMs === 0 || !waits) return this.#finish()
    this.until = server.clock.now() + timeoutMs
    server.log.notice(`Waiting for ${this.#lagging()} replicas before shutting down`)
    server.pause.begin('shutdown', 'write', Number.MAX_SAFE_INTEGER)
    server.repl.getack()
    this.#cancel = server.clock.after(timeoutMs, () => this.#finish())
  }

  acknowledged(): void {
    if (this.until !== undefined && this.#lagging() === 0) this.#finish()
  }

  /** SHUTDOWN ABORT; answers whether there was anything to abort. */
  abort(): boolean {
    const requested = this.#requested !== undefined
    this.#requested = undefined
    if (this.until === undefined && !requested) return false
    this.server.log.notice('Shutdown manually aborted')
    this.#giveUp()
    return true
  }

  /** Replicas that do not say that they have everything; also those whose full copy is under way. */
  #lagging(): number {
    const { repl } = this.server
    return repl.list().filter(replica => replica.ackOffset !== repl.log.offset).length
  }

  #finish(): void {
    if (this.#stopping || this.#saving) return
    const { server } = this
    this.#cancel?.()
    this.until = undefined
    const replicas = server.repl.list()
    const behind = this.#lagging()
    for (const replica of replicas) {
      if (behind === 0 || replica.ackOffset === server.repl.log.offset) continue
      const session = server.repl.sessionOf(replica.id)
      if (session !== undefined) server.log.warning(`Lagging replica ${server.repl.nameOf(session)} at shutdown`)
    }
    if (replicas.length > 0) {
      server.log.notice(`${replicas.length - behind} of ${replicas.length} replicas are in sync when shutting down.`)
    }
    const { save, force } = this.#flags
    const unwritten = this.#finishAof()
    if (unwritten !== undefined) {
      server.log.warning(unwritten)
      if (!force) {
        server.log.warning(`Errors trying to shut down: ${unwritten}`)
        return this.#giveUpForNow()
      }
    }
    // While the file is being loaded it holds more than we do.
    if (server.loading || !(save ?? server.config.text('save') !== '')) return this.#stop()
    server.log.notice('Saving the final RDB snapshot before exiting.')
    this.#saving = true
    server.pause.begin('shutdown', 'all', Number.MAX_SAFE_INTEGER)
    server.snapshots.stop()
    server.snapshots.saveInBackground(failure => {
      this.#saving = false
      // Somebody else has stopped us meanwhile.
      if (this.#stopping) return
      if (failure !== undefined) server.log.warning("Error trying to save the DB, can't exit.")
      if (failure === undefined || force) return this.#stop()
      server.log.warning(`Errors trying to shut down: ${failure}`)
      this.#giveUp()
    })
  }

  #stop(): void {
    this.#stopping = true
    void this.server.stop(0)
  }

  /** Everything that was acknowledged is on the disk. Answers why that cannot be said. */
  #finishAof(): string | undefined {
    const { aof, log } = this.server
    if (!aof.enabled) return undefined
    if (aof.waiting) return "Writing initial AOF, can't exit"
    log.notice('Calling fsync() on the AOF file.')
    const failure = aof.flushAll()
    return failure === undefined ? undefined : `Can't write the AOF to the disk, can't exit: ${failure}`
  }

  /** Whoever asked hears that we do not stop. A signal hears nothing, and is not sent again: we try again by ourselves. */
  #giveUpForNow(): void {
    const flags = this.#asking.size === 0 ? this.#flags : undefined
    this.#giveUp()
    if (flags === undefined) return
    this.#requested = flags
    this.#notBefore = this.server.clock.now() + RETRY_MS
  }

  #giveUp(): void {
    const { server } = this
    this.#cancel?.()
    this.until = undefined
    server.pause.end('shutdown')
    for (const session of this.#asking) {
      session.out.error('ERR Errors trying to SHUTDOWN. Check logs.')
      session.peer.flushSoon()
      session.unpark()
    }
    this.#asking.clear()
  }
}
