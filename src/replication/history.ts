/**
 * Which history our data belongs to, and how far it goes.
 *
 * An offset means nothing alone: it counts the bytes of one history, and a history has a random id of 40 hex digits. A
 * promoted replica continues under a new id, because the old master may still be producing other bytes under the old
 * one; it remembers the old id up to the byte where the two parted, so that its siblings can follow without a full copy.
 *
 *     replid2 ══════════════╗ secondOffset
 *                           ╚══ replid ═════════▶ offset (the last byte), nextOffset (the one to come)
 *
 * Random ids are passed in by whoever has a source of chance.
 */
import { invariant } from '../base/invariant.js'
import type { Offset } from '../base/units.js'

/** What a decision needs to know of a history. */
export interface HistoryView {
  readonly replid: string
  /** The history we inherited when promoted; we share it up to (not including) `secondOffset`. */
  readonly replid2: string | undefined
  /** The first byte of `replid2` that we do not hold; -1 without `replid2`. */
  readonly secondOffset: Offset
  /** Bytes of this history so far: Redis' `master_repl_offset`. On a replica: applied. */
  readonly offset: Offset
}

/** The history we know and the first byte of it that is missing: what PSYNC asks for. */
export interface Cursor {
  readonly replid: string
  readonly offset: Offset
}

export class History implements HistoryView {
  #replid: string
  #replid2: string | undefined
  #secondOffset: Offset = -1
  #offset: Offset

  constructor(replid: string, offset: Offset = 0) {
    this.#replid = checkReplid(replid)
    this.#offset = offset
  }

  get replid(): string {
    return this.#replid
  }

  get replid2(): string | undefined {
    return this.#replid2
  }

  get secondOffset(): Offset {
    return this.#secondOffset
  }

  get offset(): Offset {
    return this.#offset
  }

  get nextOffset(): Offset {
    return this.#offset + 1
  }

  /** Where a replica with this history would like to continue. */
  get cursor(): Cursor {
    return { replid: this.#replid, offset: this.nextOffset }
  }

  advance(bytes: number): void {
    invariant(bytes >= 0, `a history does not go back: ${bytes}`)
    this.#offset += bytes
  }

  /** A replica becomes a master: what follows is ours alone. Also what a replica does when its master says that it was promoted. */
  promote(newReplid: string): void {
    this.#replid2 = this.#replid
    this.#secondOffset = this.#offset + 1
    this.#replid = checkReplid(newReplid)
  }

  /** Our master continues our stream under another id (`+CONTINUE <replid>`): it was promoted, or follows one that was. */
  switchTo(replid: string): void {
    if (replid !== this.#replid) this.promote(replid)
  }

  /** A full resync: another history replaces ours. */
  adopt(replid: string, offset: Offset): void {
    invariant(offset >= 0, `a history begins at 0, not at ${offset}`)
    this.#replid = checkReplid(replid)
    this.#offset = offset
    this.#forgetSecond()
  }

  /**
   * Nobody can continue our past any more: the backlog was released, or a first backlog begins. A new id makes sure that
   * nobody tries; the offset goes on.
   */
  renew(newReplid: string): void {
    this.#replid = checkReplid(newReplid)
    this.#forgetSecond()
  }

  /**
   * What a snapshot says about the history it was cut from. A master that restarts may have acknowledged bytes after the
   * cut, so it continues under a new id; its replicas that have no more than the snapshot may follow.
   */
  restoreAsMaster(saved: { readonly replid: string; readonly offset: Offset }, newReplid: string): void {
    this.adopt(saved.replid, saved.offset)
    this.promote(newReplid)
  }

  #forgetSecond(): void {
    this.#replid2 = undefined
    this.#secondOffset = -1
  }
}

/** 40 hex digits, as Redis makes them. */
export function isReplid(text: string): boolean {
  return /^[0-9a-fA-F]{40}$/.test(text)
}

function checkReplid(replid: string): string {
  invariant(isReplid(replid), `not a replication id: ${replid}`)
  return replid
}
