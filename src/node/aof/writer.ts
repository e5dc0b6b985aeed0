/**
 * The increment that is being appended to: gathers a turn's commands, writes them in one go, syncs them by policy.
 *
 *     append ─▶ encoder ─flush, once per turn, before any reply leaves─▶ file ─fsync─▶ disk
 *
 * What could not be written stays in memory, behind a file that is cut back to its last whole unit, and is tried again
 * with every flush; meanwhile writes are refused.
 */
import { closeSync, fdatasync, fdatasyncSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import type { Millis } from '../../base/units.js'
import { CommandEncoder } from '../../persistence/aof/encoder.js'
import { decideFailure, decideFlush, type FsyncPolicy } from '../../persistence/aof/flush.js'

export interface WriterOptions {
  readonly policy: FsyncPolicy
  /** See FlushFacts. */
  readonly sparingDisk: boolean
}

/** What became of a flush. */
export type FlushOutcome =
  | { readonly ok: true }
  /** The text is the system's. `fatal`: what was promised cannot be kept, so nothing more may be answered. */
  | { readonly ok: false; readonly error: string; readonly fatal: boolean }

const fine: FlushOutcome = { ok: true }

export class AofWriter {
  readonly encoder = new CommandEncoder()
  readonly #file: number
  /** Bytes of the file. */
  bytes: number
  /** Of them, on the disk. */
  #synced: number
  /** What a partial write has left over, before everything in the encoder. */
  #rest: Buffer | undefined
  #lastFsyncAt: Millis
  #fsyncRunning = false
  #fsyncError: string | undefined
  #closed = false
  /** The fsync that is running has been counted as one that keeps the next one waiting. */
  #lateTold = false
  /** Fsyncs that were due while the one before was still running. */
  delayedFsyncs = 0

  /** Opens the file, which may be there already. Throws what the system says. */
  constructor(path: string, bytes: number, now: Millis) {
    this.#file = openSync(path, 'a')
    this.bytes = this.#synced = bytes
    this.#lastFsyncAt = now
  }

  get bufferedBytes(): number {
    return this.encoder.length + (this.#rest?.length ?? 0)
  }

  get fsyncPending(): boolean {
    return this.#fsyncRunning
  }

  /** Writes and syncs what is due. */
  flush(options: WriterOptions, now: Millis): FlushOutcome {
    const { policy, sparingDisk } = options
    const decision = decideFlush(
      {
        policy,
        bufferedBytes: this.bufferedBytes,
        unsyncedBytes: this.bytes - this.#synced,
        fsyncRunning: this.#fsyncRunning,
        lastFsyncAt: this.#lastFsyncAt,
        sparingDisk,
      },
      now,
    )
    if (decision.write === 'now') {
      const failed = this.#write(policy)
      if (failed !== undefined) return failed
    }
    if (decision.fsync === 'wait') return this.#syncNow(now)
    if (decision.fsync === 'background') this.#syncBeside(now)
    if (decision.fsync === 'late' && !this.#lateTold) {
      this.#lateTold = true
      this.delayedFsyncs++
    }
    if (this.#fsyncError !== undefined) return { ok: false, error: this.#fsyncError, fatal: false }
    return fine
  }

  /** Everything on the disk, at once: before the process ends, or the file is read. */
  flushAll(now: Millis): FlushOutcome {
    const failed = this.bufferedBytes > 0 ? this.#write('everysec') : undefined
    return failed ?? this.#syncNow(now)
  }

  /** Nothing more will be appended. What was written is synced beside everything else, then the file is closed. */
  retire(): void {
    if (this.#closed) return
    this.#closed = true
    fdatasync(this.#file, () => closeSync(this.#file))
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    closeSync(this.#file)
  }

  #write(policy: FsyncPolicy): FlushOutcome | undefined {
    const bytes = this.#rest === undefined ? this.encoder.view() : Buffer.concat([this.#rest, this.encoder.view()])
    let written = 0
    try {
      while (written < bytes.length) written += writeSync(this.#file, bytes, written)
    } catch (error) {
      return this.#failed(policy, bytes, written, error)
    }
    this.bytes += bytes.length
    this.#rest = undefined
    this.encoder.reset()
    return undefined
  }

  #failed(policy: FsyncPolicy, bytes: Buffer, written: number, error: unknown): FlushOutcome {
    const cut = written === 0 || this.#cut(this.bytes)
    const decision = decideFailure(policy, this.bytes, cut)
    if (decision.do === 'stop') return { ok: false, error: textOf(error), fatal: true }
    if (decision.do === 'keep-and-refuse-writes') {
      this.bytes += written
      this.#rest = Buffer.from(bytes.subarray(written))
      this.encoder.reset()
    }
    return { ok: false, error: textOf(error), fatal: false }
  }

  #cut(bytes: number): boolean {
    try {
      ftruncateSync(this.#file, bytes)
      return true
    } catch {
      return false
    }
  }

  #syncNow(now: Millis): FlushOutcome {
    try {
      fdatasyncSync(this.#file)
    } catch (error) {
      return { ok: false, error: textOf(error), fatal: true }
    }
    this.#synced = this.bytes
    this.#lastFsyncAt = now
    this.#fsyncError = undefined
    return fine
  }

  #syncBeside(now: Millis): void {
    const covered = this.bytes
    this.#fsyncRunning = true
    this.#lastFsyncAt = now
    fdatasync(this.#file, error => {
      this.#fsyncRunning = this.#lateTold = false
      this.#fsyncError = error === null ? undefined : textOf(error)
      if (error === null) this.#synced = Math.max(this.#synced, covered)
    })
  }
}

/** As strerror says it, which clients know from Redis. */
function textOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return (code === undefined ? undefined : words[code]) ?? code ?? message
}

const words: Readonly<Record<string, string>> = {
  ENOSPC: 'No space left on device',
  EIO: 'Input/output error',
  EDQUOT: 'Disk quota exceeded',
  EFBIG: 'File too large',
  EBADF: 'Bad file descriptor',
}
