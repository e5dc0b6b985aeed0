/**
 * Our replication stream: the history and the backlog that holds its newest bytes, kept in step.
 *
 * A master begins its backlog with its first replica and gives it up `repl-backlog-ttl` after its last one left; without
 * one its offset stands still, and nobody can continue from it, so each beginning and each end takes a new id. A replica
 * appends its master's bytes exactly as they came.
 */
import { invariant } from '../base/invariant.js'
import type { Offset } from '../base/units.js'
import { Backlog } from './backlog.js'
import { type Cursor, History } from './history.js'

export class ReplicationLog {
  readonly history: History
  #backlog: Backlog | undefined
  #capacity: number

  constructor(replid: string, capacity: number) {
    this.history = new History(replid)
    this.#capacity = capacity
  }

  get backlog(): Backlog | undefined {
    return this.#backlog
  }

  get capacity(): number {
    return this.#capacity
  }

  get offset(): Offset {
    return this.history.offset
  }

  /** Bytes of the stream, made by us or received from our master. Copied. Nothing happens without a backlog. */
  append(bytes: Uint8Array): void {
    if (this.#backlog === undefined) return
    this.#backlog.append(bytes)
    this.history.advance(bytes.length)
    invariant(this.#backlog.nextOffset === this.history.nextOffset, 'history and backlog have parted')
  }

  /** A master's first replica has come: from here on every byte is kept. */
  open(newReplid: string): Backlog {
    if (this.#backlog !== undefined) return this.#backlog
    this.history.renew(newReplid)
    return this.#begin()
  }

  /** We become a replica, or a restored master: the history goes on, and its next bytes are kept for those who follow us. */
  keep(): Backlog {
    return this.#backlog ?? this.#begin()
  }

  /** `repl-backlog-ttl` has passed. */
  close(newReplid: string): void {
    this.#backlog = undefined
    this.history.renew(newReplid)
  }

  /** A full resync from our master is loaded: `start` is the first byte of the stream that follows. Readers must have gone. */
  restart(start: Cursor): void {
    this.history.adopt(start.replid, start.offset - 1)
    this.#begin()
  }

  /** What a snapshot on disk says about the past, read at start. */
  restore(
    saved: { readonly replid: string; readonly offset: Offset },
    role: 'master' | 'replica',
    newReplid: string,
  ): void {
    if (role === 'master') this.history.restoreAsMaster(saved, newReplid)
    else this.history.adopt(saved.replid, saved.offset)
    this.#begin()
  }

  resize(capacity: number): void {
    this.#capacity = capacity
    this.#backlog?.resize(capacity)
  }

  #begin(): Backlog {
    this.#backlog = new Backlog(this.#capacity, this.history.nextOffset)
    return this.#backlog
  }
}
