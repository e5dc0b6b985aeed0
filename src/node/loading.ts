/**
 * Data that comes from elsewhere, acting: the snapshot file at start, DEBUG RELOAD, a full copy from our master.
 *
 * Databases are built aside; the data in use stays until all of it is there and right.
 */
import { createReadStream, existsSync, readFileSync } from 'node:fs'
import type { Millis } from '../base/units.js'
import { Database } from '../engine/database.js'
import type { StreamPlace } from '../persistence/aof/encoder.js'
import { CorruptError } from '../persistence/encoding/corrupt.js'
import { type LoadedSnapshot, SnapshotLoader } from '../persistence/load.js'
import type { SnapshotForm } from '../replication/payload.js'
import { Replay } from './aof/replay.js'
import { ReceivedFile } from './received-file.js'
import type { NodeServer } from './server.js'

const LOADING = 'MASTER <-> REPLICA sync: Loading DB in memory'

/** A snapshot that our master is sending. */
export interface IncomingSnapshot {
  /** Answers false when the bytes are no snapshot: nothing more of it is wanted. */
  write(bytes: Buffer): boolean
  /** The disk has to catch up before more is written; resolves when it has. */
  readonly behind: Promise<void> | undefined
  /**
   * All bytes have come: puts the new data in place, or says why not. `isReturn`: the master came back with another history
   * than the one we follow.
   */
  load(isReturn: boolean): LoadOutcome
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

/**
 * While our master's copy arrives, readers have the present data; it must not be saved or replaced (`aside`, Redis'
 * `async_loading`), or has nothing to do with what comes and is not shown any more (`instead`, `loading`).
 */
export type Arriving = 'unseen' | 'aside' | 'instead'

const READ_BYTES = 256 * 1024

export class Loading {
  /** Something was restored that a master may be asked to continue. */
  restored = false
  lastLoad = { keys: 0, expired: 0 }
  /** What a full copy that is arriving does to readers: see `receive`. */
  arriving: Arriving = 'unseen'
  /** DEBUG SET-SKIP-CHECKSUM-VALIDATION: for tests. */
  verifyPayloads = true
  /** A full copy that is in use and whose file is not yet in its place; never rejects. */
  keeping: Promise<void> = Promise.resolve()

  constructor(private readonly server: NodeServer) {}

  /** The files of the last run, if there are any. Throws when they cannot be used: better no start than an empty one. */
  async loadAtStart(): Promise<void> {
    const { config, log } = this.server
    try {
      if (config.flag('appendonly')) await this.#loadAof()
      else await this.#loadRdb()
    } catch (error) {
      log.warning(reasonOf(error))
      if (!config.flag('appendonly'))
        log.warning('Fatal error loading the DB. Terminating server after rdb file reading failure.')
      throw error
    }
  }

  async #loadRdb(): Promise<void> {
    const { server } = this
    const { path } = server.snapshots
    if (this.server.config.text('dbfilename') === '' || !existsSync(path)) return
    const startedAt = server.clock.now()
    server.log.notice(`Loading RDB from ${path}`)
    // Expired keys too: who continues our stream has them, and must be told that they are gone.
    const loaded = await this.#read(path, this.loader('replica'))
    this.install(loaded)
    this.#restore(loaded.replication)
    const expired = this.#role() === 'master' ? server.expire(Number.POSITIVE_INFINITY) : 0
    this.lastLoad = { keys: loaded.keys - expired, expired }
    const seconds = ((server.clock.now() - startedAt) / 1000).toFixed(3)
    for (const key of loaded.emptyKeys) server.log.warning(`The snapshot: skipping empty key: ${key}`)
    const skipped = loaded.emptyCount > 0 ? `, empty keys skipped: ${loaded.emptyCount}` : ''
    server.log.notice(`Done loading RDB, keys loaded: ${loaded.keys - expired}, keys expired: ${expired}${skipped}.`)
    server.log.notice(`DB loaded from disk: ${seconds} seconds`)
  }

  async #loadAof(): Promise<void> {
    const { server } = this
    const { folder } = server.aof
    const startedAt = server.clock.now()
    folder.read()
    if (folder.isEmpty) {
      if (server.config.flag('aof-adopt-rdb')) await this.#loadRdb()
      return server.aof.openAtStart()
    }
    const replay = new Replay(server, folder)
    await replay.load()
    this.#replayed(replay)
    this.#restore(replay.place)
    server.aof.openAtStart()
    const seconds = ((server.clock.now() - startedAt) / 1000).toFixed(3)
    server.log.notice(`DB loaded from append only file: ${seconds} seconds`)
  }

  #replayed(replay: Replay): void {
    const { effects, log, engine, clock } = this.server
    effects.dirty = 0
    engine.dataSince = clock.wall()
    this.lastLoad = { keys: this.#keys(), expired: 0 }
    if (replay.failed > 0) log.warning(`${replay.failed} commands of the AOF ended in an error when they were loaded`)
  }

  /** DEBUG LOADAOF: the files replace the data. Answers why not; then the data is what it was. */
  reloadAof(): string | undefined {
    const { server } = this
    const { engine, aof, scripting, clock } = server
    const failure = aof.flushAll()
    if (failure !== undefined) return failure
    const before = engine.databases.map(({ table }) => table)
    const sources = scripting.libraries.sources
    for (const db of engine.databases) db.table = new Database(db.index, db.seed).table
    scripting.libraries.replaceAll([], clock.now())
    server.loading = true
    server.recalm()
    try {
      aof.folder.read()
      const replay = new Replay(server, aof.folder)
      replay.loadNow()
      this.#replayed(replay)
      for (const [index, table] of before.entries()) server.effects.replaced(index, table)
    } catch (error) {
      server.log.warning(reasonOf(error))
      for (const [index, table] of before.entries()) engine.database(index).table = table
      scripting.libraries.replaceAll(sources, clock.now())
      return reasonOf(error)
    } finally {
      server.loading = false
      server.recalm()
    }
    return undefined
  }

  #role(): 'master' | 'replica' {
    const { config } = this.server
    // A fenced master goes on in the history it was in: most probably it will follow another one in it.
    return config.text('replicaof') === '' && !config.flag('start-fenced') ? 'master' : 'replica'
  }

  /** What was loaded says where it stands in the stream: as a replica we continue there, as a master others may. */
  #restore(place: StreamPlace | undefined): void {
    if (place === undefined) return
    const { repl, effects } = this.server
    const role = this.#role()
    repl.log.restore(place, role, this.server.newReplid())
    if (role === 'replica') repl.stream.continueIn(Math.max(0, place.streamDb))
    effects.refresh()
    this.restored = true
  }

  async #read(path: string, loader: SnapshotLoader): Promise<LoadedSnapshot> {
    try {
      const { config } = this.server
      const slow = config.number('key-load-delay') > 0
      const highWaterMark = slow ? config.number('loading-process-events-interval-bytes') : READ_BYTES
      for await (const chunk of createReadStream(path, { highWaterMark })) {
        const before = loader.keys
        loader.feed(chunk as Buffer)
        await this.#linger(loader.keys - before)
      }
      return loader.finish()
    } catch (error) {
      if (error instanceof CorruptError) {
        this.server.log.warning(`Internal error in RDB reading offset ${error.offset ?? '?'}: ${error.detail}`)
      }
      throw new Error(`cannot load ${path}: ${reasonOf(error)}`)
    }
  }

  /** DEBUG RELOAD: the file replaces the data, or is added to it. Answers why not. */
  reload({ save, flush, merge }: ReloadOptions): string | undefined {
    const failure = save ? this.server.snapshots.save() : undefined
    if (failure !== undefined) return failure
    try {
      const loader = this.loader(this.server.role)
      loader.feed(readFileSync(this.server.snapshots.path))
      const loaded = loader.finish()
      const failed = flush ? this.install(loaded) : this.#addTo(loaded, merge)
      if (failed !== undefined) return failed
      // What was saved just now is what the AOF says already.
      if (!save || !flush) this.server.aof.dataReplaced()
    } catch (error) {
      return reasonOf(error)
    }
    return undefined
  }

  /** No data that could be read: they are being loaded. */
  get dataHidden(): boolean {
    return this.server.loading || this.arriving === 'instead'
  }

  /**
   * What our master sends is built aside; the data in use stays until all of it is there and right. Who may read meanwhile
   * is what `repl-diskless-load` says. `sameHistory`: it goes on where our data have been before.
   */
  receive(form: SnapshotForm, sameHistory: boolean): IncomingSnapshot {
    const { server } = this
    this.arriving = this.#arrivingBy(server.config.text('repl-diskless-load'), sameHistory)
    const size = form.kind === 'length' ? `${form.bytes} bytes` : 'streamed, with EOF'
    server.log.notice(`MASTER <-> REPLICA sync: receiving ${size} from master`)
    // Where the data show that they are being loaded, the log does as well; otherwise nothing is loaded before it is whole.
    const shown = this.arriving !== 'unseen'
    if (shown) server.log.notice(LOADING)
    const file = this.#fileForCopy()
    let loader: SnapshotLoader | undefined = this.loader('replica')
    let received = 0
    const refuse = (error: unknown): void => {
      if (!(error instanceof CorruptError)) throw error
      loader = undefined
      server.log.warning(`Internal error in RDB: ${error.message}. The present data is kept.`)
    }
    const put = (isReturn: boolean): LoadOutcome => {
      this.arriving = 'unseen'
      if (!shown) server.log.notice(LOADING)
      let loaded: LoadedSnapshot | undefined
      try {
        loaded = loader?.finish()
      } catch (error) {
        refuse(error)
      }
      if (loaded === undefined) return { refused: 'corrupt-snapshot', db: 0 }
      if (isReturn && loaded.keys === 0 && server.config.flag('refuse-empty-master') && this.#keys() > 0) {
        server.log.warning('The master came back without data and we have some: refused (refuse-empty-master)')
        return { refused: 'snapshot-refused', db: 0 }
      }
      try {
        this.install(loaded)
      } catch (error) {
        refuse(error)
        return { refused: 'corrupt-snapshot', db: 0 }
      }
      server.snapshots.dataReplaced()
      server.aof.dataReplaced()
      server.log.notice('MASTER <-> REPLICA sync: Finished with success')
      return { refused: undefined, db: Math.max(0, loaded.replication?.streamDb ?? 0) }
    }
    return {
      write(bytes) {
        received += bytes.length
        file?.write(bytes)
        try {
          loader?.feed(bytes)
        } catch (error) {
          refuse(error)
        }
        return loader !== undefined
      },
      get behind() {
        return file?.behind
      },
      load: isReturn => {
        const outcome = put(isReturn)
        if (outcome.refused === undefined) this.#keep(file)
        else this.#discard(file)
        return outcome
      },
      abandon: () => {
        this.arriving = 'unseen'
        const what = shown ? `Internal error in RDB reading offset ${received}` : 'I/O error trying to sync with MASTER'
        if (loader !== undefined) {
          server.log.warning(`${what}: the connection ended after ${received} bytes. The present data is kept.`)
        }
        loader = undefined
        this.#discard(file)
      },
    }
  }

  /** As with Redis: where the copy is not read from the socket, it is kept, whether there are save points or not. */
  #fileForCopy(): ReceivedFile | undefined {
    const { config, snapshots } = this.server
    const lasting = config.text('save') !== '' || config.flag('appendonly')
    const wanted = this.arriving === 'unseen' && config.text('dbfilename') !== ''
    if (!wanted || (config.flag('rdb-del-sync-files') && !lasting)) return undefined
    return new ReceivedFile(snapshots.takeTemp())
  }

  #keep(file: ReceivedFile | undefined): void {
    if (file === undefined) return
    const { snapshots, log } = this.server
    const { placed, path } = snapshots
    const kept = file.keep(path, () => snapshots.placed === placed && snapshots.path === path)
    this.keeping = kept.then(failure => {
      if (failure !== undefined) log.warning(`The copy from the master is not kept on the disk: ${failure}`)
      snapshots.dropTemp(file.temp)
    })
  }

  #discard(file: ReceivedFile | undefined): void {
    void file?.discard().then(() => this.server.snapshots.dropTemp(file.temp))
  }

  #arrivingBy(policy: string, sameHistory: boolean): Arriving {
    if (policy === 'swapdb') return sameHistory ? 'aside' : 'instead'
    return policy === 'on-empty-db' && this.#keys() === 0 ? 'instead' : 'unseen'
  }

  #keys(): number {
    return this.server.engine.databases.reduce((sum, { size }) => sum + size, 0)
  }

  loader(role: 'master' | 'replica'): SnapshotLoader {
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
  install(loaded: LoadedSnapshot): undefined {
    const { engine, effects, waiting, scripting, clock } = this.server
    const failed = scripting.libraries.replaceAll(loaded.functions, clock.now())
    if (failed !== undefined) throw new CorruptError('bad-function', failed.error)
    for (const fresh of loaded.databases) {
      const db = engine.database(fresh.index)
      const before = db.table
      db.table = fresh.table
      effects.replaced(fresh.index, before)
    }
    engine.dataSince = clock.wall()
    this.lastLoad = { keys: loaded.keys, expired: loaded.expiredKeys }
    effects.dirty = 0
    waiting.allReady()
  }

  /** For tests of what happens meanwhile: so many microseconds per key. */
  #linger(keys: number): Promise<void> {
    const micros = this.server.config.number('key-load-delay') * keys
    return micros > 0 ? this.#pause(micros / 1000) : nextTurn()
  }

  #pause(ms: Millis): Promise<void> {
    return new Promise(done => this.server.clock.after(ms, done))
  }
}

function nextTurn(): Promise<void> {
  return new Promise(done => setImmediate(done))
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
