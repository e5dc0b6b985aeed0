/**
 * The border between the data engine, which decides, and the node, which acts. The engine knows no socket, no timer and
 * no clock: it is called with `now`, writes its answer into a ReplyWriter and tells its host what follows from it.
 */
import type { Bytes, UnixMillis } from '../base/units.js'
import type { ReplyWriter } from '../resp/reply.js'
import type { HashTable } from './hash-table.js'
import type { Value } from './value.js'

/** On whose behalf a command runs. The node's session implements this; the engine may change `db`. */
export interface Caller {
  /** The selected database. */
  db: number
  /** `master`: the command comes from our master's stream (or an AOF) and must be applied as it is. */
  readonly origin: 'client' | 'master' | 'script'
  /** False inside MULTI/EXEC and scripts: a blocking command then answers at once as if it had timed out. */
  readonly mayBlock: boolean
}

/** Classes of keyspace notifications, by the letter of `notify-keyspace-events`. */
export type NotifyClass = 'g' | '$' | 'l' | 's' | 'h' | 'z' | 't' | 'x' | 'e' | 'n' | 'm' | 'd'

/** What the engine tells whoever runs it. All calls happen inside `execute` or `expire`, in the order things happened. */
export interface EngineHost {
  /**
   * A command that must enter the replication stream and the AOF: the call itself, or its effects. Several from one
   * call belong together (the node wraps them in MULTI/EXEC). `args` may be kept.
   */
  propagate(db: number, args: readonly (Bytes | Buffer)[]): void
  /** So many changes were made, for save points: a member, a field and a key each are one, as Redis counts them. */
  wrote(changes: number): void
  /**
   * The value of a key changed, appeared or went: for WATCH and client-side caching. `key` undefined: the whole database.
   * `byItself`: nobody asked for it, the key expired or was evicted.
   */
  changed(db: number, key: Bytes | undefined, byItself?: boolean): void
  /** Another table was put into a database, perhaps an empty one; `before` is the one that was there. */
  replaced(db: number, before: HashTable<Value>): void
  /** Something arrived at a key that blocked clients may wait for; `key` undefined: perhaps at any of this database. */
  ready(db: number, key: Bytes | undefined): void
  notify(type: NotifyClass, event: string, db: number, key: Bytes): void
  /** Right before a key's value is modified, replaced or removed, with its old state still in place: for snapshots. */
  beforeChange(db: number, key: Bytes): void
}

/** A blocking command that found nothing. The node parks the client and calls back. */
export interface Blocked {
  readonly db: number
  readonly keys: readonly Bytes[]
  /** When to give up, on the wall clock; undefined: never. */
  readonly deadline: UnixMillis | undefined
  /** One of the keys is ready: serve the client and answer true, or leave it parked. */
  retry(reply: ReplyWriter, now: UnixMillis): boolean
  /** The reply of a command that waited in vain. */
  timedOut(reply: ReplyWriter): void
}
