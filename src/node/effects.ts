/**
 * What follows from executing a command, as the engine reports it: bytes for the replication stream, watched or
 * cached keys that changed, clients whose key is ready, notifications, and keys that a snapshot must save before they change.
 *
 * Everything is called on the hot path, so each report first asks whether anybody wants it.
 */
import type { Bytes } from '../base/units.js'
import type { EngineHost, NotifyClass } from '../engine/host.js'
import type { PropagatedCommand } from '../replication/stream.js'
import type { NodeServer } from './server.js'

export class Effects implements EngineHost {
  /** Somebody reads the stream, or may: there is a backlog. */
  recording = false
  /** What runs comes from our master, whose own bytes go on to those who follow us. */
  verbatim = false
  /** A script wants what it does now to be known to nobody else (`redis.set_repl`). */
  muted = false
  /** Writes since the last save. */
  dirty = 0
  #unit: PropagatedCommand[] = []
  #events = ''

  constructor(private readonly server: NodeServer) {}

  /** The present unit has effects for the stream. */
  get any(): boolean {
    return this.#unit.length > 0
  }

  /** `notify-keyspace-events`. */
  setEvents(flags: string): void {
    this.#events = flags.replace('A', 'g$lshzxetd')
  }

  flush(): void {
    const unit = this.#unit
    this.#unit = []
    this.server.repl.propagate(unit)
  }

  /** The present unit is no unit: each of its commands stands alone, as with keys whose time is over. */
  flushSingly(): void {
    const unit = this.#unit
    this.#unit = []
    for (const command of unit) this.server.repl.propagate([command])
  }

  propagate(db: number, args: readonly (Bytes | Buffer)[]): void {
    this.dirty++
    if (this.recording && !this.verbatim && !this.muted) this.#unit.push({ db, args })
  }

  /** PUBLISH: in the stream, though it changes no data. */
  message(db: number, args: readonly Bytes[]): void {
    if (this.recording && this.server.role === 'master') this.#unit.push({ db, args })
  }

  changed(db: number, key: Bytes | undefined, byItself = false): void {
    const { watches, tracking } = this.server
    if (!watches.none) watches.touch(db, key)
    if (!tracking.none) tracking.changed(key, byItself)
  }

  ready(db: number, key: Bytes | undefined): void {
    const { waiting } = this.server
    if (waiting.count === 0) return
    if (key === undefined) waiting.allReady(db)
    else waiting.ready(db, key)
  }

  notify(type: NotifyClass, event: string, db: number, key: Bytes): void {
    const events = this.#events
    if (events === '' || !events.includes(type)) return
    const { pubsub } = this.server
    if (pubsub.silent) return
    if (events.includes('K')) pubsub.publish(`__keyspace@${db}__:${key}`, event)
    if (events.includes('E')) pubsub.publish(`__keyevent@${db}__:${event}`, key)
  }

  beforeChange(db: number, key: Bytes): void {
    const { snapshots } = this.server
    if (snapshots.walking) snapshots.beforeChange(db, key)
  }
}
