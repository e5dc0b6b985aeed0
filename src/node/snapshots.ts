/**
 * Snapshots, acting: saved to the file, sent to replicas, received from a master, loaded at start.
 *
 * One is under way at a time. It is cut in the turn that asks for it and written in slices between which everybody else
 * is served, so that nobody waits longer than a slice takes; `beforeChange` saves what changes meanwhile.
 *
 *     BGSAVE, save points ─▶ temp file ─▶ dbfilename
 *     replicas, by length ─▶ temp file without a name ─▶ each socket at its own pace
 *     replicas, diskless  ─▶ all their sockets at the pace of the slowest
 */
import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { type FileHandle, open, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bytes, Millis, UnixMillis } from '../base/units.js'
import { CorruptError } from '../persistence/encoding/corrupt.js'
import { type LoadedSnapshot, SnapshotLoader } from '../persistence/load.js'
import { Snapshot, type SnapshotOptions } from '../persistence/snapshot.js'
import { formatPreamble, type SnapshotForm } from '../replication/payload.js'
import type { SnapshotFilter } from '../replication/replconf.js'
import type { SnapshotTarget } from '../replication/replicas.js'
import type { NodeServer } from './server.js'
import type { Session } from './session.js'

/** A snapshot that our master is sending. */
export interface IncomingSnapshot {
  /** Answers false when the bytes are no snapshot: nothing more of it is wanted. */
  write(bytes: Buffer): boolean
  /** All bytes have come: puts the new data in place, or says why not. */
  load(): LoadOutcome
  abandon(): void
}

export interface LoadOutcome {
  readonly refused: 'corrupt-snapshot' | 'snapshot-refused' | undefined
  /** The database that the stream has selected. */
  readonly db: number
}

/** DEBUG RELOAD [NOSAVE] [NOFLUSH] [MERGE]. */
export interface ReloadOptions {
  readonly save: boolean
  readonly flush: boolean
  readonly merge: boolean
}

/** Work between two looks at the clients: a millisecond or so. */
const SLICE_BYTES = 128 * 1024
const READ_BYTES = 256 * 1024
/** So much may wait in the sockets of replicas before the walk pauses. */
const WINDOW_BYTES = 1024 * 1024
const WINDOW_POLL_MS = 5
/** After a failed save, the next attempt by a save point waits. */
const RETRY_MS = 5000

export class Snapshots {
  #current:
    | { readonly snapshot: Snapshot; readonly purpose: 'save' | SnapshotTarget; readonly since: Millis }
    | undefined
  /** The finished file of the last snapshot for replicas, and how many still read it. */
  #file: { readonly handle: FileHandle; readonly bytes: number; readers: number } | undefined
  #nextTemp = 0
  #abandoned = false
  /** Something was restored that a master may be asked to continue. */
  restored = false
  lastSaveAt: UnixMillis
  lastTryAt: Millis = Number.NEGATIVE_INFINITY
  lastSaveFailed = false
  lastSaveSeconds = -1
  saves = 0
  lastLoad = { keys: 0, expired: 0 }
  readonly loadingAside = false
  expirySuspended = false

  constructor(private readonly server: NodeServer) {
    this.lastSaveAt = server.clock.wall()
  }

  get busy(): boolean {
    return this.#current !== undefined
  }

  /** A save to the file, as INFO counts it. */
  get saving(): boolean {
    return this.#current !== undefined
  }

  get walking(): boolean {
    return this.#current !== undefined
  }

  get currentSaveSeconds(): number {
    return this.#current === undefined ? -1 : Math.floor((this.server.clock.now() - this.#current.since) / 1000)
  }

  beforeChange(db: number, key: Bytes): void {
    this.#current?.snapshot.beforeChange(db, key)
  }

  get path(): string {
    return join(this.server.dir, this.server.config.text('dbfilename'))
  }

  // ── Saving ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** SAVE: all at once, while everybody waits. Answers why it failed. */
  save(): string | undefined {
    const temp = this.#tempPath()
    const startedAt = this.server.clock.now()
    const { dirty } = this.server.effects
    try {
      const snapshot = this.#begin('everything')
      const file = openSync(temp, 'w')
      try {
        for (let done = false; !done; ) {
          done = snapshot.slice(SLICE_BYTES)
          writeAll(file, snapshot.take())
        }
        fsyncSync(file)
      } finally {
        closeSync(file)
      }
      renameSync(temp, this.path)
    } catch (error) {
      this.#saved(startedAt, dirty, reasonOf(error))
      return reasonOf(error)
    }
    this.#saved(startedAt, dirty, undefined)
    return undefined
  }

  /** BGSAVE: cut now, written while others are served. */
  saveInBackground(): void {
    const { server } = this
    const { dirty } = server.effects
    const startedAt = server.clock.now()
    const snapshot = this.#begin('everything')
    this.#current = { snapshot, purpose: 'save', since: startedAt }
    server.log.notice('Background saving started')
    void this.#writeTo(snapshot, this.#tempPath()).then(
      () => this.#ended(() => this.#saved(startedAt, dirty, undefined)),
      error => this.#ended(() => this.#saved(startedAt, dirty, reasonOf(error))),
    )
  }

  async #writeTo(snapshot: Snapshot, temp: string): Promise<void> {
    const handle = await open(temp, 'w')
    try {
      await this.#write(snapshot, handle)
      await handle.sync()
    } catch (error) {
      await unlink(temp).catch(() => undefined)
      throw error
    } finally {
      await handle.close()
    }
    await rename(temp, this.path)
  }

  async #write(snapshot: Snapshot, handle: FileHandle): Promise<void> {
    for (let done = false; !done; ) {
      const before = snapshot.keys
      done = snapshot.slice(this.#sliceBytes())
      await handle.writeFile(snapshot.take())
      await this.#linger('rdb-key-save-delay', snapshot.keys - before)
      if (this.#abandoned) throw new Error('abandoned')
    }
  }

  /** For tests of what happens meanwhile: so many microseconds per key. */
  #linger(directive: 'key-load-delay' | 'rdb-key-save-delay', keys: number): Promise<void> {
    const micros = this.server.config.number(directive) * keys
    return micros > 0 && !this.#abandoned ? this.#pause(micros / 1000) : nextTurn()
  }

  #sliceBytes(): number {
    return this.server.config.number('rdb-key-save-delay') > 0 ? 1 : SLICE_BYTES
  }

  #saved(startedAt: Millis, dirty: number, failure: string | undefined): void {
    const { server } = this
    this.lastTryAt = server.clock.now()
    this.lastSaveFailed = failure !== undefined
    server.diskError = undefined
    if (failure === undefined) {
      this.saves++
      this.lastSaveAt = server.clock.wall()
      this.lastSaveSeconds = Math.floor((server.clock.now() - startedAt) / 1000)
      server.effects.dirty = Math.max(0, server.effects.dirty - dirty)
      server.log.notice('DB saved on disk')
    } else {
      server.log.warning(`Cannot save the data to ${this.path}: ${failure}`)
      const strict = server.config.flag('stop-writes-on-bgsave-error') && server.config.text('save') !== ''
      if (strict) server.diskError = DISK_ERROR
    }
    server.recalm()
  }

  // ── For replicas ──────────────────────────────────────────────────────────────────────────────────────────────────

  beginForReplicas(target: SnapshotTarget, filter: SnapshotFilter): void {
    const { server } = this
    // A replica that begins here has selected no database.
    server.repl.stream.forgetDb()
    const snapshot = this.#begin(filter)
    this.#current = { snapshot, purpose: target, since: server.clock.now() }
    server.log.notice(
      target === 'disk' ? 'Snapshot for replicas: to a file' : `Background RDB transfer started by pid ${process.pid}`,
    )
    server.repl.perform(server.repl.replicas.cut(server.clock.now()))
    const work = target === 'disk' ? this.#writeForReplicas(snapshot) : this.#sendToReplicas(snapshot)
    void work.then(
      () =>
        this.#ended(() =>
          server.repl.perform(server.repl.replicas.snapshotDone({ busy: this.busy }, server.clock.now())),
        ),
      error =>
        this.#ended(() => {
          server.log.warning(`Snapshot for replicas failed: ${reasonOf(error)}`)
          server.repl.perform(server.repl.replicas.snapshotFailed({ busy: this.busy }, server.clock.now()))
        }),
    )
  }

  /** Into a file that has lost its name already: it is gone with its last reader, whatever happens to us. */
  async #writeForReplicas(snapshot: Snapshot): Promise<void> {
    const temp = this.#tempPath()
    const handle = await open(temp, 'w+')
    await unlink(temp)
    try {
      await this.#write(snapshot, handle)
    } catch (error) {
      await handle.close()
      throw error
    }
    this.#file = { handle, bytes: snapshot.totalBytes, readers: 0 }
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
      peer.writeThrough(block.subarray(0, bytesRead))
      while (!peer.closed && peer.queuedBytes > WINDOW_BYTES) await this.#pause(WINDOW_POLL_MS)
    }
    if (peer.closed) return
    peer.flushSoon()
    repl.perform(repl.replicas.bulkSent(session.id, clock.now()))
  }

  async #sendToReplicas(snapshot: Snapshot): Promise<void> {
    const { repl } = this.server
    const mark = this.server.randomHex(20)
    const preamble = Buffer.from(formatPreamble({ kind: 'eof', mark }))
    for (const session of this.#readers()) session.peer.writeThrough(preamble)
    for (let done = false; !done; ) {
      const before = snapshot.keys
      done = snapshot.slice(this.#sliceBytes())
      const bytes = snapshot.take()
      for (const session of this.#readers()) session.peer.writeThrough(bytes)
      await this.#linger('rdb-key-save-delay', snapshot.keys - before)
      await this.#roomForAll()
      if (this.#abandoned || repl.replicas.snapshotReaders().length === 0) throw new Error('no replica is left')
    }
    const end = Buffer.from(mark)
    for (const session of this.#readers()) session.peer.writeThrough(end)
    this.server.log.notice(
      `Diskless rdb transfer, done reading from pipe, ${this.#readers().length} replicas still up, 0 bytes left`,
    )
  }

  /** Until no replica has more than a window of unsent bytes; whose socket moves has made progress. */
  async #roomForAll(): Promise<void> {
    const { repl, clock } = this.server
    for (;;) {
      let full = false
      for (const session of this.#readers()) {
        if (session.peer.queuedBytes <= WINDOW_BYTES) repl.replicas.progressed(session.id, clock.now())
        else full = true
      }
      if (!full || this.#abandoned) return
      await this.#pause(WINDOW_POLL_MS)
    }
  }

  #readers(): Session[] {
    const { repl } = this.server
    return repl.replicas
      .snapshotReaders()
      .map(id => repl.sessionOf(id))
      .filter(session => session !== undefined)
  }

  /** Nobody reads it any more. */
  abandon(): void {
    if (this.#current === undefined || this.#current.purpose === 'save') return
    this.server.log.notice('Diskless rdb transfer, last replica dropped, killing fork child: the snapshot is given up')
    this.#current.snapshot.abandon()
    this.#abandoned = true
  }

  stop(): void {
    this.#current?.snapshot.abandon()
    this.#abandoned = true
  }

  #begin(filter: SnapshotFilter): Snapshot {
    const { server } = this
    const { config, repl, engine, follower } = server
    const { history, backlog } = repl.log
    this.#abandoned = false
    const streamDb = follower === undefined ? (repl.stream.selectedDb ?? 0) : follower.db
    const options: SnapshotOptions = {
      redisVersion: server.version,
      now: server.clock.wall(),
      usedMemory: server.usedMemory(),
      replication: backlog === undefined ? undefined : { replid: history.replid, offset: history.offset, streamDb },
      isAofBase: false,
      functions: server.scripting.libraries.sources,
      filter,
      compression: config.flag('rdbcompression'),
      checksum: config.flag('rdbchecksum'),
    }
    return Snapshot.begin(engine.databases, engine.settings, options)
  }

  #ended(then: () => void): void {
    this.#current = undefined
    then()
    this.server.dispatcher.settle()
  }

  // ── Loading ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The file of the last run, if there is one. Throws when it cannot be used: better no start than an empty one. */
  async loadAtStart(): Promise<void> {
    const { server, path } = this
    if (this.server.config.text('dbfilename') === '' || !existsSync(path)) return
    const startedAt = server.clock.now()
    server.log.notice(`Loading RDB from ${path}`)
    const role = server.config.text('replicaof') === '' ? 'master' : 'replica'
    // Expired keys too: who continues our stream has them, and must be told that they are gone.
    const loaded = await this.#read(path, this.#loader('replica'))
    this.#install(loaded)
    if (loaded.replication !== undefined) {
      server.repl.log.restore(loaded.replication, role, server.newReplid())
      if (role === 'replica') server.repl.stream.continueIn(Math.max(0, loaded.replication.streamDb))
      server.effects.recording = true
      this.restored = true
    }
    const expired = role === 'master' ? server.expire(Number.POSITIVE_INFINITY) : 0
    this.lastLoad = { keys: loaded.keys - expired, expired }
    const seconds = ((server.clock.now() - startedAt) / 1000).toFixed(3)
    server.log.notice(`Done loading RDB, keys loaded: ${loaded.keys - expired}, keys expired: ${expired}.`)
    server.log.notice(`DB loaded from disk: ${seconds} seconds`)
  }

  async #read(path: string, loader: SnapshotLoader): Promise<LoadedSnapshot> {
    try {
      const { config } = this.server
      const slow = config.number('key-load-delay') > 0
      const highWaterMark = slow ? config.number('loading-process-events-interval-bytes') : READ_BYTES
      for await (const chunk of createReadStream(path, { highWaterMark })) {
        const before = loader.keys
        loader.feed(chunk as Buffer)
        await this.#linger('key-load-delay', loader.keys - before)
      }
      return loader.finish()
    } catch (error) {
      throw new Error(`cannot load ${path}: ${reasonOf(error)}`)
    }
  }

  /** DEBUG RELOAD: the file replaces the data, or is added to it. Answers why not. */
  reload({ save, flush, merge }: ReloadOptions): string | undefined {
    const failure = save ? this.save() : undefined
    if (failure !== undefined) return failure
    try {
      const loader = this.#loader(this.server.role)
      loader.feed(readFileSync(this.path))
      const loaded = loader.finish()
      if (flush) this.#install(loaded)
      else return this.#addTo(loaded, merge)
    } catch (error) {
      return reasonOf(error)
    }
    return undefined
  }

  /** What our master sends is built aside; the data in use stays until all of it is there and right. */
  receive(form: SnapshotForm): IncomingSnapshot {
    const { server } = this
    const size = form.kind === 'length' ? `${form.bytes} bytes` : 'streamed, with EOF'
    server.log.notice(`MASTER <-> REPLICA sync: receiving ${size} from master`)
    let loader: SnapshotLoader | undefined = this.#loader('replica')
    const refuse = (error: unknown): void => {
      if (!(error instanceof CorruptError)) throw error
      loader = undefined
      server.log.warning(`Internal error in RDB: ${error.message}. The present data is kept.`)
    }
    return {
      write(bytes) {
        try {
          loader?.feed(bytes)
        } catch (error) {
          refuse(error)
        }
        return loader !== undefined
      },
      load: () => {
        server.log.notice('MASTER <-> REPLICA sync: Loading DB in memory')
        let loaded: LoadedSnapshot | undefined
        try {
          loaded = loader?.finish()
        } catch (error) {
          refuse(error)
        }
        if (loaded === undefined) return { refused: 'corrupt-snapshot', db: 0 }
        if (loaded.keys === 0 && server.config.flag('refuse-empty-master') && this.#keys() > 0) {
          server.log.warning('The master has no data and we have some: refused (refuse-empty-master)')
          return { refused: 'snapshot-refused', db: 0 }
        }
        this.#install(loaded)
        server.log.notice('MASTER <-> REPLICA sync: Finished with success')
        return { refused: undefined, db: Math.max(0, loaded.replication?.streamDb ?? 0) }
      },
      abandon() {
        loader = undefined
      },
    }
  }

  #keys(): number {
    return this.server.engine.databases.reduce((sum, { size }) => sum + size, 0)
  }

  #loader(role: 'master' | 'replica'): SnapshotLoader {
    const { engine, config, clock } = this.server
    return new SnapshotLoader(engine.settings, {
      seeds: engine.databases.map(({ seed }) => seed),
      role,
      now: clock.wall(),
      verifyChecksum: config.flag('rdbchecksum'),
    })
  }

  /** Keys and libraries that are there already are an error, or replaced (`merge`). */
  #addTo({ databases, functions }: LoadedSnapshot, merge: boolean): string | undefined {
    const { engine, effects, waiting, scripting, clock } = this.server
    for (const { index, table } of databases) {
      const present = engine.database(index)
      for (let slot = 0; !merge && slot < table.slotEnd; slot++) {
        const key = table.keyAt(slot)
        if (key !== undefined && present.get(key) !== undefined) return `the key '${key}' is there already`
      }
    }
    const failed = scripting.libraries.restore(functions, merge ? 'replace' : 'append', clock.now())
    if (failed !== undefined) return failed.error
    for (const { index, table } of databases) {
      for (let slot = 0; slot < table.slotEnd; slot++) {
        const key = table.keyAt(slot)
        if (key === undefined) continue
        effects.beforeChange(index, key)
        engine.database(index).load(key, table.valueAt(slot), table.expireAt(slot))
      }
      effects.changed(index, undefined)
    }
    waiting.allReady()
    return undefined
  }

  /** Throws CorruptError, with nothing changed, when the code of its functions cannot be loaded. */
  #install(loaded: LoadedSnapshot): void {
    const { engine, effects, waiting, scripting, clock } = this.server
    const failed = scripting.libraries.replaceAll(loaded.functions, clock.now())
    if (failed !== undefined) throw new CorruptError('bad-function', failed.error)
    for (const fresh of loaded.databases) {
      engine.database(fresh.index).table = fresh.table
      effects.changed(fresh.index, undefined)
    }
    engine.dataSince = clock.wall()
    this.lastLoad = { keys: loaded.keys, expired: loaded.expiredKeys }
    effects.dirty = 0
    waiting.allReady()
  }

  // ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Several times a second: is a save point reached? */
  tick(): void {
    if (this.busy || this.server.loading) return
    const { config, clock, effects } = this.server
    const words = config.text('save').split(' ')
    const idleSeconds = (clock.wall() - this.lastSaveAt) / 1000
    if (this.lastSaveFailed && clock.now() - this.lastTryAt < RETRY_MS) return
    for (let at = 0; at + 1 < words.length; at += 2) {
      if (effects.dirty < Math.max(1, Number(words[at + 1])) || idleSeconds <= Number(words[at])) continue
      this.server.log.notice(`${words[at + 1]} changes in ${words[at]} seconds. Saving...`)
      return this.saveInBackground()
    }
  }

  #tempPath(): string {
    return join(this.server.dir, `temp-${process.pid}-${this.#nextTemp++}.rdb`)
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
