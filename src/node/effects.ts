/**
 * What follows from executing a command, as the engine reports it: bytes for the replication stream, watched or
 * cached keys that changed, clients whose key is ready, notifications, and keys that a snapshot must save before they change.
 *
 * Everything is called on the hot path, so each report first asks whether anybody wants it.
 */
import type { Bytes } from '../base/units.js'
import type { HashTable } from '../engine/hash-table.js'
import type { EngineHost, NotifyClass } from '../engine/host.js'
import type { Value } from '../engine/value.js'
import type { PropagatedCommand } from '../replication/stream.js'
import type { NodeServer } from './server.js'

/** Bits. */
export type Audience = number

export const Audience = { nobody: 0, file: 1, replicas: 2, everybody: 3 } as const

interface UnitCommand extends PropagatedCommand {
  readonly to: Audience
}

export class Effects implements EngineHost {
  /** Who may hear of what runs now: a script may want less (`redis.set_repl`), and our master's own bytes go on to replicas. */
  audience: Audience = Audience.everybody
  /** Who would hear: there is a backlog, there is an AOF. */
  #hearers: Audience = Audience.nobody
  /** Something in the present unit is not for all who hear. */
  #mixed = false
  /** Changes since the last save. */
  dirty = 0
  #unit: UnitCommand[] = []
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

  /** To be called when the backlog or the AOF begins or ends. */
  refresh(): void {
    const { repl, aof } = this.server
    this.#hearers =
      (repl.log.backlog === undefined ? Audience.nobody : Audience.replicas) |
      (aof.recording ? Audience.file : Audience.nobody)
  }

  flush(): void {
    const unit = this.#unit
    this.#unit = []
    this.#hand(unit)
    this.#mixed = false
  }

  /** The present unit is no unit: each of its commands stands alone, as with keys whose time is over. */
  flushSingly(): void {
    const unit = this.#unit
    this.#unit = []
    for (const command of unit) this.#hand([command])
    this.#mixed = false
  }

  /** To the file first: what a replica has must not be lost here. */
  #hand(unit: readonly UnitCommand[]): void {
    const { aof, repl } = this.server
    if (aof.recording) aof.append(this.#for(Audience.file, unit))
    repl.propagate(this.#for(Audience.replicas, unit))
  }

  #for(hearer: Audience, unit: readonly UnitCommand[]): readonly UnitCommand[] {
    return this.#mixed ? unit.filter(({ to }) => (to & hearer) !== 0) : unit
  }

  propagate(db: number, args: readonly (Bytes | Buffer)[]): void {
    this.#add(db, args, this.#hearers & this.audience)
  }

  wrote(changes: number): void {
    this.dirty += changes
  }

  /** PUBLISH: in the stream, though it changes no data. */
  message(db: number, args: readonly Bytes[]): void {
    if (this.server.role === 'master') this.#add(db, args, this.#hearers & Audience.replicas)
  }

  #add(db: number, args: readonly (Bytes | Buffer)[], to: Audience): void {
    if (to === Audience.nobody) return
    if (to !== this.#hearers) this.#mixed = true
    this.#unit.push({ db, args, to })
  }

  changed(db: number, key: Bytes | undefined, byItself = false): void {
    const { watches, tracking } = this.server
    if (!watches.none) watches.touch(db, key)
    if (!tracking.none) tracking.changed(key, byItself)
  }

  replaced(db: number, before: HashTable<Value>): void {
    const { watches, tracking, clock } = this.server
    if (!watches.none) watches.replaced(db, before, clock.wall())
    if (!tracking.none) tracking.changed(undefined, false)
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
