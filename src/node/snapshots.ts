/**
 * Snapshots, acting: saved to the file, sent to replicas, written as the base of an AOF. (Loading them: loading.ts.)
 *
 * One is under way at a time. It is cut in the turn that asks for it and written in slices between which everybody else
 * is served, so that nobody waits longer than a slice takes; `beforeChange` saves what changes meanwhile.
 *
 *     BGSAVE, save points ─▶ temp file ─▶ dbfilename
 *     BGREWRITEAOF        ─▶ temp file, which aof/append-only.ts puts in its place
 *     a debugged script   ─▶ temp file, for another process
 *     replicas, by length ─▶ temp file without a name ─▶ each socket at its own pace; with save points it is a save as well,
 *                            which ends under `dbfilename`
 *     replicas, diskless  ─▶ all their sockets at the pace of the slowest
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bytes, Millis, UnixMillis } from '../base/units.js'
import { Snapshot, type SnapshotOptions } from '../persistence/snapshot.js'
import { formatPreamble } from '../replication/payload.js'
import type { SnapshotFilter } from '../replication/replconf.js'
import type { SnapshotTarget } from '../replication/replicas.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

/** Work between two looks at the clients: a millisecond or so, and never much longer, not even while the code is cold. */
const SLICE_BYTES = 128 * 1024
const SLICE_MS: Millis = 3
const READ_BYTES = 256 * 1024
/** So much may wait in the sockets of replicas before the walk pauses. */
const WINDOW_BYTES = 1024 * 1024
const WINDOW_POLL_MS = 5
/** Between two looks at whether a delay that tests have asked for is still wanted. */
const LINGER_MS = 20
/** After a failed save, the next attempt by a save point waits. */
const RETRY_MS = 5000

/** A walk that is under way. */
interface Work {
  readonly snapshot: Snapshot
  readonly purpose: 'save' | 'aof' | 'copy' | SnapshotTarget
  readonly since: Millis
  /** Nobody wants it any more: it ends at its next step, and puts nothing in place. */
  abandoned: boolean
}

/** What the snapshot is for, where that shows in its bytes. */
type Shape = Partial<Pick<SnapshotOptions, 'filter' | 'isAofBase' | 'form' | 'timestamp'>>

export class Snapshots {
  #current: Work | undefined
  /** The finished file of the last snapshot for replicas, and how many still read it. */
  #file: { readonly handle: FileHandle; readonly bytes: number; readers: number } | undefined
  /** Files that are being written, by the names they have until then. */
  readonly #temps = new Set<string>()
  /** How many files were put in the place of the snapshot: who comes late with an older one sees it. */
  placed = 0
  lastSaveAt: UnixMillis
  lastTryAt: Millis = Number.NEGATIVE_INFINITY
  lastSaveFailed = false
  lastSaveSeconds = -1
  /** Snapshots that were begun into a file of their own, those for replicas included. */
  saves = 0
  /** BGSAVE SCHEDULE while something else is written, or BGSAVE within a transaction. */
  scheduled = false
  expirySuspended = false

  constructor(private readonly server: NodeServer) {
    this.lastSaveAt = server.clock.wall()
  }

  get busy(): boolean {
    return this.#current !== undefined
  }

  /**
   * Why writes are refused: the last save failed. To be told of a change by `recalm`, those of `stop-writes-on-bgsave-error` and
   * `save` included.
   */
  get diskError(): string | undefined {
    const { config } = this.server
    const strict = this.lastSaveFailed && config.flag('stop-writes-on-bgsave-error') && config.text('save') !== ''
    return strict ? DISK_ERROR : undefined
  }

  /** A save to the file or a copy for replicas, as INFO counts them. */
  get saving(): boolean {
    return this.#current !== undefined && this.#current.purpose !== 'aof' && this.#current.purpose !== 'copy'
  }

  /** The base of an AOF is being written. */
  get rewriting(): boolean {
    return this.#current?.purpose === 'aof'
  }

  get walking(): boolean {
    return this.#current !== undefined
  }

  get currentSaveSeconds(): number {
    return this.saving ? this.#currentSeconds() : -1
  }

  get currentRewriteSeconds(): number {
    return this.rewriting ? this.#currentSeconds() : -1
  }

  #currentSeconds(): number {
    return this.#current === undefined ? -1 : Math.floor((this.server.clock.now() - this.#current.since) / 1000)
  }

  beforeChange(db: number, key: Bytes): void {
    this.#current?.snapshot.beforeChange(db, key)
  }

  get path(): string {
    return join(this.server.dir, this.server.config.text('dbfilename'))
  }

  // ── Saving ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** All at once, while everybody waits: at the end, and where nobody can wait. Answers why it failed. */
  save(): string | undefined {
    this.saves++
    const temp = this.#tempPath()
    const startedAt = this.server.clock.now()
    const { dirty } = this.server.effects
    try {
      this.#writeNow(temp, {})
      this.#place(temp, this.path)
    } catch (error) {
      rmSync(temp, { force: true })
      this.#saved(startedAt, dirty, reasonOf(error))
      return reasonOf(error)
    } finally {
      this.#temps.delete(temp)
    }
    this.#saved(startedAt, dirty, undefined)
    return undefined
  }

  /** The base of an AOF, while everybody waits: at start. Throws. */
  writeBaseNow(path: string, shape: Required<Pick<Shape, 'form' | 'timestamp'>>): void {
    const temp = this.#tempPath()
    this.#writeNow(temp, { ...shape, isAofBase: true })
    renameSync(temp, path)
    this.#temps.delete(temp)
  }

  #writeNow(path: string, shape: Shape): void {
    const file = openSync(path, 'w')
    const snapshot = this.#begin(shape)
    try {
      for (let done = false; !done; ) {
        done = snapshot.slice(SLICE_BYTES)
        writeAll(file, snapshot.take())
      }
      fsyncSync(file)
    } finally {
      snapshot.abandon()
      closeSync(file)
    }
  }

  /**
   * BGSAVE: cut now, written while others are served. SAVE is one whose asker waits, and hears in `done` why it failed; only
   * of a failure that nobody would hear of writes are refused.
   */
  saveInBackground(done?: (failure: string | undefined) => void): void {
    const { server } = this
    const { dirty } = server.effects
    const startedAt = server.clock.now()
    this.saves++
    this.scheduled = false
    const work = this.#work('save', this.#begin())
    server.log.notice('Background saving started')
    const end = (failure: string | undefined): void => {
      // What was given up has not failed.
      const givenUp = failure !== undefined && work.abandoned
      if (!givenUp) this.#saved(startedAt, dirty, failure)
      if (done !== undefined) done(failure)
      else if (!givenUp) this.#unattended(failure)
    }
    void this.#writeTo(work, this.#tempPath(), this.path).then(
      () => this.#ended(work, () => end(undefined)),
      error => this.#ended(work, () => end(reasonOf(error))),
    )
  }

  /**
   * The base of an AOF: cut now, written beside everything else, on the disk under the name `path` when the promise
   * resolves. Rejects when it cannot be written, or was abandoned; then nothing of it is left.
   */
  async writeBase(path: string, shape: Required<Pick<Shape, 'form' | 'timestamp'>>): Promise<void> {
    const work = this.#work('aof', this.#begin({ ...shape, isAofBase: true }))
    try {
      await this.#writeTo(work, path, path)
    } finally {
      this.#ended(work, () => undefined)
    }
  }

  /** A file with everything there is now, of which nobody else knows. Rejects when it cannot be written. */
  async writeCopy(): Promise<string> {
    const path = this.#tempPath()
    while (this.busy) await this.#pause(LINGER_MS)
    const work = this.#work('copy', this.#begin())
    try {
      await this.#writeTo(work, path, path)
    } finally {
      this.#ended(work, () => undefined)
    }
    return path
  }

  /** The AOF is turned off, or its base is not wanted any more. */
  abandonBase(): void {
    if (this.#current?.purpose === 'aof') this.#abandon(this.#current)
  }

  async #writeTo(work: Work, temp: string, path: string): Promise<void> {
    this.#temps.add(temp)
    try {
      const handle = await open(temp, 'w')
      try {
        await this.#write(work, handle)
        await handle.sync()
      } finally {
        await handle.close()
      }
      if (work.abandoned) throw new Error('abandoned')
      // At once: whoever gives it up from now on comes too late.
      if (temp !== path) this.#place(temp, path)
    } catch (error) {
      await unlink(temp).catch(() => undefined)
      throw error
    } finally {
      // A copy keeps its name, which is nobody else's then.
      if (work.purpose !== 'copy') this.#temps.delete(temp)
    }
  }

  #place(temp: string, path: string): void {
    renameSync(temp, path)
    if (path === this.path) this.placed++
  }

  async #write(work: Work, handle: FileHandle): Promise<void> {
    const { snapshot } = work
    for (let done = false, lingered = 0; !done; ) {
      done = this.#slice(snapshot)
      const bytes = snapshot.take()
      await handle.writeFile(bytes)
      snapshot.recycle(bytes)
      lingered = await this.#linger(work, lingered)
      if (work.abandoned) throw new Error('abandoned')
    }
  }

  /**
   * For tests of what happens meanwhile: so many microseconds per key, of those beyond `lingered`. A new value counts at
   * once, and so do keys that are saved meanwhile because they change. Answers how many have been waited for.
   */
  async #linger(work: Work, lingered: number): Promise<number> {
    await nextTurn()
    const { snapshot } = work
    let waitedMs = 0
    for (;;) {
      const delayMs = (this.server.config.number('rdb-key-save-delay') * (snapshot.keys - lingered)) / 1000
      if (work.abandoned || waitedMs >= delayMs) return snapshot.keys
      const partMs = Math.min(LINGER_MS, delayMs - waitedMs)
      await this.#pause(partMs)
      waitedMs += partMs
    }
  }

  #slice(snapshot: Snapshot): boolean {
    const { clock, config } = this.server
    const endsAt = clock.now() + SLICE_MS
    return snapshot.slice(config.number('rdb-key-save-delay') > 0 ? 1 : SLICE_BYTES, () => clock.now() >= endsAt)
  }

  #saved(startedAt: Millis, dirty: number, failure: string | undefined): void {
    const { server } = this
    if (failure !== undefined) return server.log.warning(`Cannot save the data to ${this.path}: ${failure}`)
    this.lastSaveAt = server.clock.wall()
    this.lastSaveSeconds = Math.floor((server.clock.now() - startedAt) / 1000)
    server.effects.dirty = Math.max(0, server.effects.dirty - dirty)
    this.#unattended(undefined)
    server.log.notice('DB saved on disk')
  }

  /** How the last save went that nobody waited for (or any that went well): INFO tells, and writes may be refused. */
  #unattended(failure: string | undefined): void {
    this.lastTryAt = this.server.clock.now()
    this.lastSaveFailed = failure !== undefined
    this.server.recalm()
  }

  // ── For replicas ──────────────────────────────────────────────────────────────────────────────────────────────────

  beginForReplicas(target: SnapshotTarget, filter: SnapshotFilter): void {
    const { server } = this
    // A replica that begins here has selected no database.
    server.repl.stream.forgetDb()
    const work = this.#work(target, this.#begin({ filter }))
    const startedAt = server.clock.now()
    const { dirty } = server.effects
    if (target === 'disk') this.saves++
    const keep = target === 'disk' && filter === 'everything' && server.config.text('save') !== ''
    server.log.notice(
      target === 'disk' ? 'Snapshot for replicas: to a file' : `Background RDB transfer started by pid ${process.pid}`,
    )
    server.repl.perform(server.repl.replicas.cut(server.clock.now()))
    void (target === 'disk' ? this.#writeForReplicas(work, keep) : this.#sendToReplicas(work)).then(
      () =>
        this.#ended(work, () => {
          if (keep) this.#saved(startedAt, dirty, undefined)
          server.repl.perform(server.repl.replicas.snapshotDone({ busy: this.busy }, server.clock.now()))
        }),
      error =>
        this.#ended(work, () => {
          if (keep && !work.abandoned) this.#unattended(reasonOf(error))
          server.log.warning(`Snapshot for replicas failed: ${reasonOf(error)}`)
          server.repl.perform(server.repl.replicas.snapshotFailed({ busy: this.busy }, server.clock.now()))
        }),
    )
  }

  /** Into a file that has lost its name already: it is gone with its last reader, whatever happens to us. Unless it is kept. */
  async #writeForReplicas(work: Work, keep: boolean): Promise<void> {
    const temp = this.#tempPath()
    const handle = await open(temp, 'w+')
    if (!keep) await unlink(temp)
    try {
      await this.#write(work, handle)
      if (keep) {
        await handle.sync()
        if (work.abandoned) throw new Error('abandoned')
        this.#place(temp, this.path)
      }
    } catch (error) {
      await handle.close()
      if (keep) await unlink(temp).catch(() => undefined)
      throw error
    } finally {
      this.#temps.delete(temp)
    }
    this.#file = { handle, bytes: work.snapshot.totalBytes, readers: 0 }
  }

  /** The file of the last snapshot to one replica, at its own pace. */
  sendFile(session: Session): void {
    const file = this.#file
    if (file === undefined) return
    file.readers++
    void this.#send(file.handle, file.bytes, session)
      .catch(error => session.peer.destroy(reasonOf(error)))
      .finally(() => {
        file.readers--
        if (file.readers > 0) return
        if (this.#file === file) this.#file = undefined
        return file.handle.close()
      })
  }

  async #send(handle: FileHandle, bytes: number, session: Session): Promise<void> {
    const { repl, clock } = this.server
    const { peer } = session
    peer.out.raw(Buffer.from(formatPreamble({ kind: 'length', bytes })))
    for (let at = 0; at < bytes && !peer.closed; ) {
      const block = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, bytes - at))
      const { bytesRead } = await handle.read(block, 0, block.length, at)
      if (bytesRead === 0) throw new Error('the snapshot file is too short')
      at += bytesRead
      this.server.stats.replicationOutputBytes += bytesRead
      peer.writeThrough(block.subarray(0, bytesRead))
      while (!peer.closed && peer.queuedBytes > WINDOW_BYTES) await this.#pause(WINDOW_POLL_MS)
    }
    if (peer.closed) return
    peer.flushSoon()
    repl.perform(repl.replicas.bulkSent(session.id, clock.now()))
  }

  async #sendToReplicas(work: Work): Promise<void> {
    const { repl } = this.server
    const { snapshot } = work
    const mark = this.server.randomHex(20)
    const preamble = Buffer.from(formatPreamble({ kind: 'eof', mark }))
    for (const session of this.#readers()) session.peer.writeThrough(preamble)
    for (let done = false, lingered = 0; !done; ) {
      done = this.#slice(snapshot)
      const bytes = snapshot.take()
      for (const session of this.#readers()) {
        this.server.stats.replicationOutputBytes += bytes.length
        session.peer.writeThrough(bytes)
      }
      lingered = await this.#linger(work, lingered)
      await this.#roomForAll(work)
      if (work.abandoned || repl.replicas.snapshotReaders().length === 0) throw new Error('no replica is left')
    }
    const end = Buffer.from(mark)
    for (const session of this.#readers()) session.peer.writeThrough(end)
    this.server.log.notice(
      `Diskless rdb transfer, done reading from pipe, ${this.#readers().length} replicas still up, 0 bytes left`,
    )
  }

  /** Until no replica has more than a window of unsent bytes; whose socket moves has made progress. */
  async #roomForAll(work: Work): Promise<void> {
    while (!this.noteProgress() && !work.abandoned) await this.#pause(WINDOW_POLL_MS)
  }

  /** Answers whether all of them have room. */
  noteProgress(): boolean {
    const { repl, clock } = this.server
    let roomForAll = true
    for (const session of this.#readers()) {
      if (session.peer.queuedBytes <= WINDOW_BYTES) repl.replicas.progressed(session.id, clock.now())
      else roomForAll = false
    }
    return roomForAll
  }

  #readers(): Session[] {
    const { repl } = this.server
    return repl.replicas
      .snapshotReaders()
      .map(id => repl.sessionOf(id))
      .filter(session => session !== undefined)
  }

  /**
   * FLUSHALL: a background save of what was there is given up, and so is a copy of it for replicas, which ask again. With
   * save points nothing is saved now.
   */
  flushed(): void {
    const current = this.#current
    if (current !== undefined && this.saving) this.#abandon(current)
    if (this.server.config.text('save') !== '' && !this.server.loading) this.save()
  }

  /** A full copy from our master has replaced the data: what is being saved of the old ones must not take its place. */
  dataReplaced(): void {
    const current = this.#current
    if (current === undefined || !this.saving) return
    this.server.log.notice('The data were replaced by the copy from the master: the save under way is given up')
    this.#abandon(current)
  }

  /** No replica reads it any more. */
  abandon(): void {
    const work = this.#current
    if (work === undefined || (work.purpose !== 'disk' && work.purpose !== 'socket')) return
    this.server.log.notice(
      work.purpose === 'socket'
        ? 'Diskless rdb transfer, last replica dropped, killing fork child: the snapshot is given up'
        : 'No replica waits for the snapshot any more: it is given up',
    )
    this.#abandon(work)
  }

  /** Whatever is under way is given up. */
  stop(): void {
    if (this.#current !== undefined) this.#abandon(this.#current)
  }

  /** The process is about to end without waiting for what it writes: nothing half written is left. */
  removeTemps(): void {
    for (const temp of this.#temps) rmSync(temp, { force: true })
  }

  #abandon(work: Work): void {
    work.snapshot.abandon()
    work.abandoned = true
  }

  #work(purpose: Work['purpose'], snapshot: Snapshot): Work {
    const work: Work = { snapshot, purpose, since: this.server.clock.now(), abandoned: false }
    this.#current = work
    this.server.stats.forks++
    return work
  }

  #begin(shape: Shape = {}): Snapshot {
    const { server } = this
    const { config, repl, engine } = server
    const { history, backlog } = repl.log
    const options: SnapshotOptions = {
      redisVersion: server.version,
      now: server.clock.wall(),
      usedMemory: server.memory.usedBytes,
      replication:
        backlog === undefined ? undefined : { replid: history.replid, offset: history.offset, streamDb: repl.streamDb },
      isAofBase: false,
      functions: server.scripting.libraries.sources,
      filter: 'everything',
      compression: config.flag('rdbcompression'),
      checksum: config.flag('rdbchecksum'),
      ...shape,
    }
    return Snapshot.begin(engine.databases, engine.settings, options)
  }

  #ended(work: Work, then: () => void): void {
    work.snapshot.abandon()
    if (this.#current === work) this.#current = undefined
    then()
    this.server.dispatcher.settle()
  }

  // ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Several times a second: is a save point reached? */
  tick(): void {
    if (this.busy || this.server.loading) return
    const { config, clock, effects } = this.server
    if (this.scheduled) return this.saveInBackground()
    const words = config.text('save').split(' ')
    const idleSeconds = (clock.wall() - this.lastSaveAt) / 1000
    if (this.lastSaveFailed && clock.now() - this.lastTryAt < RETRY_MS) return
    for (let at = 0; at + 1 < words.length; at += 2) {
      if (effects.dirty < Math.max(1, Number(words[at + 1])) || idleSeconds <= Number(words[at])) continue
      this.server.log.notice(`${words[at + 1]} changes in ${words[at]} seconds. Saving...`)
      return this.saveInBackground()
    }
  }

  /** For a file that is the next snapshot once it is whole. */
  takeTemp(): string {
    return this.#tempPath()
  }

  /** The file has its place, or is gone. */
  dropTemp(path: string): void {
    this.#temps.delete(path)
  }

  /** A name that no other file of ours has: one that was given up may be there for a moment longer. */
  #tempPath(): string {
    for (let number = 0; ; number++) {
      const suffix = number === 0 ? '' : `-${number}`
      const path = join(this.server.dir, `temp-${process.pid}${suffix}.rdb`)
      if (this.#temps.has(path)) continue
      this.#temps.add(path)
      return path
    }
  }

  #pause(ms: Millis): Promise<void> {
    return new Promise(done => this.server.clock.after(ms, done))
  }
}

const DISK_ERROR =
  "Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error."

function nextTurn(): Promise<void> {
  return new Promise(done => setImmediate(done))
}

function writeAll(file: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
