/**
 * The append-only file, acting: what commands did is appended, synced by policy, and written anew when it has grown.
 *
 *     off ──CONFIG SET appendonly yes──▶ waiting ──first base is written──▶ on
 *      ▲                                   ▲ │                               │
 *      └────────── appendonly no ──────────┼─┴───────────────────────────────┤
 *                                          └── other data (full resync) ─────┘
 *
 * `waiting`: the files on the disk are those of earlier data and stay until a base of the present data is whole; what is
 * written meanwhile goes to a temporary increment. A start with `appendonly yes` goes to `on` at once.
 *
 * A rewrite needs no fork: a new increment begins at the cut of a snapshot, which then becomes the base.
 *
 * No reply leaves before what it acknowledges is written (and synced, by `appendfsync always`): a session asks `due`
 * right before its bytes leave. Commands gather meanwhile: all of a turn share one write and one sync.
 */
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import type { Millis } from '../../base/units.js'
import { type Flushable, turn } from '../../net/turn.js'
import type { PropagatedCommand } from '../../persistence/aof/encoder.js'
import { decideRewrite, type FsyncPolicy, type RewriteDecision } from '../../persistence/aof/flush.js'
import { type AofFile, currentIncrement, withBase, withIncrement } from '../../persistence/aof/manifest.js'
import type { NodeServer } from '../server.js'
import { AofFolder, removeIfThere, sizeOf } from './folder.js'
import { AofWriter, type FlushOutcome, type WriterOptions } from './writer.js'

/** What BGREWRITEAOF did. */
export type RewriteRequest = 'started' | 'scheduled' | 'running' | 'failed'

/** More than this in memory, because the disk takes nothing: given up, and a new base is tried instead. */
const BUFFER_BYTES_MAX = 256 * 1024 * 1024
/** What is written while the first base is. */
const TEMP_INCREMENT = 'temp-appendonly.aof.incr'

export class AppendOnly implements Flushable {
  readonly early = true
  readonly folder: AofFolder
  /** Something was appended that is not written: replies must wait for `flush`. */
  due = false
  /** Why writes are refused: the last write failed. */
  error: string | undefined
  /** DEBUG AOF-FLUSH-SLEEP: for tests. */
  flushSleepMicros = 0
  #state: 'off' | 'on' | 'waiting' = 'off'
  #writer: AofWriter | undefined
  /** Bytes of the files before the one that is being appended to. */
  #earlierBytes = 0
  /** Of all files after the last rewrite, or at the start. */
  #bytesAtRewrite = 0
  #scheduled = false
  /** A rewrite whose number is not this one is not wanted any more. */
  #generation = 0
  #failures = 0
  #failedAt: Millis = 0
  #limitTold = false
  #flushDue = false
  /** The offset of the replication stream has changed since it was last noted. */
  #offsetMoved = false
  rewrites = 0
  lastRewriteFailed = false
  lastRewriteSeconds = -1

  constructor(private readonly server: NodeServer) {
    this.folder = new AofFolder(server)
  }

  get enabled(): boolean {
    return this.#state !== 'off'
  }

  /** What commands do is to be appended. */
  get recording(): boolean {
    return this.#writer !== undefined
  }

  /** No base of the present data is on the disk yet. */
  get waiting(): boolean {
    return this.#state === 'waiting'
  }

  get scheduled(): boolean {
    return this.#scheduled
  }

  get bytes(): number {
    return this.#earlierBytes + (this.#writer?.bytes ?? 0)
  }

  get bytesAtRewrite(): number {
    return this.#bytesAtRewrite
  }

  get failures(): number {
    return this.#failures
  }

  get writer(): AofWriter | undefined {
    return this.#writer
  }

  // ── Appending ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The effects of one unit. */
  append(unit: readonly PropagatedCommand[]): void {
    const writer = this.#writer
    if (writer === undefined || unit.length === 0) return
    if (this.server.config.flag('aof-timestamp-enabled')) writer.encoder.timestamp(this.server.clock.wall())
    writer.encoder.write(unit)
    this.#flushSoon()
  }

  /** Our place in the replication stream, which the file notes: whoever loads it can continue there. */
  offsetMoved(): void {
    if (this.#writer === undefined) return
    this.#offsetMoved = true
    this.#flushSoon()
  }

  #flushSoon(): void {
    this.due = true
    if (this.#flushDue) return
    this.#flushDue = true
    turn.add(this)
  }

  flush(): void {
    this.#flushDue = false
    this.due = false
    const writer = this.#writer
    if (writer === undefined) return
    this.#sleepForTests(writer)
    this.#note(writer)
    this.#took(writer.flush(this.#writerOptions(), this.server.clock.now()))
    if (writer.bufferedBytes > BUFFER_BYTES_MAX) this.#giveUpBuffer()
  }

  /** What is said about the commands of this flush, behind them. */
  #note(writer: AofWriter): void {
    this.#noteOffset(writer)
    if (this.server.config.flag('aof-checksum')) writer.encoder.seal()
  }

  #noteOffset(writer: AofWriter): void {
    if (!this.#offsetMoved) return
    this.#offsetMoved = false
    const { log } = this.server.repl
    if (log.backlog === undefined) return
    const { replid, offset } = log.history
    writer.encoder.place({ replid, offset, streamDb: this.server.repl.streamDb })
  }

  #writerOptions(): WriterOptions {
    const { config, snapshots } = this.server
    return {
      policy: config.text('appendfsync') as FsyncPolicy,
      sparingDisk: snapshots.busy && config.flag('no-appendfsync-on-rewrite'),
    }
  }

  #took(outcome: FlushOutcome): void {
    const { log } = this.server
    const error = outcome.ok ? undefined : `Errors writing to the AOF file: ${outcome.error}`
    if (!outcome.ok && outcome.fatal) {
      log.warning(
        `Can't recover from AOF write error when the AOF fsync policy is 'always' (${outcome.error}). Exiting...`,
      )
      void this.server.stop(1)
      return
    }
    if (error === this.error) return
    if (error !== undefined) log.warning(error)
    else log.warning('AOF write error looks solved. The server can write again.')
    this.error = error
    this.server.recalm()
  }

  /** A disk that takes nothing for so long: memory is worth more than an increment that a new base makes superfluous. */
  #giveUpBuffer(): void {
    this.server.log.warning('Too much waits to be written to the AOF: given up until a new base can be written')
    this.dataReplaced()
  }

  #sleepForTests(writer: AofWriter): void {
    if (this.flushSleepMicros === 0 || writer.bufferedBytes === 0) return
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, this.flushSleepMicros / 1000)
  }

  /** Everything on the disk, now. Answers why not. */
  flushAll(): string | undefined {
    this.due = false
    const writer = this.#writer
    if (writer === undefined) return undefined
    this.#offsetMoved = true
    this.#note(writer)
    const outcome = writer.flushAll(this.server.clock.now())
    return outcome.ok ? undefined : outcome.error
  }

  // ── On and off ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** At start, with the data of the folder's files loaded (or none): from now on everything is appended. */
  openAtStart(): void {
    const { folder } = this
    folder.make()
    if (folder.isEmpty) this.#writeFirstBase()
    this.#earlierBytes = folder.bytes
    const last = currentIncrement(folder.manifest)
    if (last !== undefined) this.#earlierBytes -= sizeOf(folder.pathOf(last))
    this.#open(last ?? this.#addIncrement())
    // What the increments had grown to at the last rewrite is noted nowhere: the base alone is there for sure.
    const { base } = folder.manifest
    this.#bytesAtRewrite = base === undefined ? 0 : sizeOf(folder.pathOf(base))
    this.#state = 'on'
    this.server.effects.refresh()
    folder.forgetHistory()
  }

  /** So that there is a base even when nothing was ever written. Nobody is served yet. */
  #writeFirstBase(): void {
    const { folder, server } = this
    const form = this.#baseForm()
    const next = withBase(folder.manifest, folder.prefix, form.format, undefined)
    server.log.notice(`Creating AOF base file ${next.base.name} on server start`)
    server.snapshots.writeBaseNow(folder.pathOf(next.base), form)
    folder.replace(next)
  }

  /** CONFIG SET appendonly yes. Answers why it cannot be had. */
  enable(): string | undefined {
    if (this.enabled) return undefined
    try {
      this.folder.make()
      this.folder.read()
    } catch (error) {
      this.server.log.warning(`Unable to turn on AOF: ${(error as Error).message}`)
      return 'Unable to turn on AOF. Check server logs.'
    }
    this.#state = 'waiting'
    this.#failures = 0
    const request = this.requestRewrite()
    if (request === 'failed') {
      this.disable()
      return 'Unable to turn on AOF. Check server logs.'
    }
    if (request === 'scheduled') {
      this.server.log.notice(
        'AOF was enabled but there is already another background operation. An AOF background was scheduled to start when possible.',
      )
    }
    return undefined
  }

  /** CONFIG SET appendonly no: the files stay. */
  disable(): void {
    if (!this.enabled) return
    this.#dropRewrite('AOF is turned off')
    this.flushAll()
    this.#letGo()
    this.#state = 'off'
    this.#scheduled = false
  }

  /** The process ends. */
  close(): void {
    if (this.#writer === undefined) return
    this.flushAll()
    this.#writer.close()
    this.#writer = undefined
  }

  /** What is in memory is not what the files say with their increments: only a new base can be true. */
  dataReplaced(): void {
    if (!this.enabled) return
    this.#dropRewrite('the data set was replaced')
    this.#letGo()
    this.#state = 'waiting'
    this.#scheduled = true
    setImmediate(() => this.tick())
  }

  #letGo(): void {
    this.#writer?.retire()
    this.#writer = undefined
    this.due = false
    this.#offsetMoved = false
    this.#removeTempIncrement()
    this.error = undefined
    this.server.effects.refresh()
    this.server.recalm()
  }

  #removeTempIncrement(): void {
    removeIfThere(join(this.folder.path, TEMP_INCREMENT))
  }

  #open(file: AofFile): void {
    const path = this.folder.pathOf(file)
    this.#writer = new AofWriter(path, sizeOf(path), this.server.clock.now())
    if (this.server.config.flag('aof-checksum')) this.#writer.encoder.seal()
    this.#offsetMoved = true
    this.server.effects.refresh()
  }

  #addIncrement(): AofFile {
    const next = withIncrement(this.folder.manifest, this.folder.prefix)
    const file = currentIncrement(next) as AofFile
    // There before the manifest names it.
    new AofWriter(this.folder.pathOf(file), 0, 0).close()
    this.folder.replace(next)
    return file
  }

  // ── Rewriting ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** BGREWRITEAOF. A unit that is under way must not be cut in two: then it is scheduled. */
  requestRewrite(): RewriteRequest {
    const { snapshots, dispatcher, effects, scripting } = this.server
    if (snapshots.rewriting) return 'running'
    if (snapshots.busy || dispatcher.inTransaction || effects.any || scripting.running) {
      this.#scheduled = true
      return 'scheduled'
    }
    this.#limitTold = false
    return this.#rewrite() ? 'started' : 'failed'
  }

  /** Ten times a second, and whenever a walk has ended: what is due is written, synced and rewritten. */
  tick(): void {
    if (this.server.loading) return
    if (this.#writer !== undefined) this.flush()
    const decision = this.#decideRewrite()
    if (decision.rewrite) {
      if (decision.because === 'grown') {
        this.server.log.notice(`Starting automatic rewriting of AOF on ${decision.percent}% growth`)
      }
      this.#rewrite()
    } else if (decision.because === 'failing' && !this.#limitTold) {
      this.#limitTold = true
      const minutes = Math.ceil(decision.forMs / 60_000)
      this.server.log.warning(
        `Background AOF rewrite has repeatedly failed and triggered the limit, will retry in ${minutes} minutes`,
      )
    }
  }

  #decideRewrite(): RewriteDecision {
    const { config, snapshots, effects, clock } = this.server
    return decideRewrite(
      {
        scheduled: this.#scheduled,
        bytes: this.bytes,
        bytesAtRewrite: this.#bytesAtRewrite,
        growthPercent: this.#state === 'on' ? config.number('auto-aof-rewrite-percentage') : 0,
        bytesMin: config.number('auto-aof-rewrite-min-size'),
        busy: snapshots.busy || effects.any,
        failures: this.#failures,
        failedAt: this.#failedAt,
      },
      clock.now(),
    )
  }

  /** Cuts now. Answers whether it could begin. */
  #rewrite(): boolean {
    const { server, folder } = this
    this.#scheduled = false
    const generation = ++this.#generation
    const startedAt = server.clock.now()
    let since: AofFile | undefined
    try {
      folder.make()
      since = this.#beginIncrement()
    } catch (error) {
      this.#rewriteFailed(generation, (error as Error).message)
      return false
    }
    const form = this.#baseForm()
    const temp = join(server.dir, `temp-rewriteaof-bg-${process.pid}.aof`)
    server.log.notice('Background append only file rewriting started')
    server.snapshots.writeBase(temp, form).then(
      () => {
        if (generation !== this.#generation) return removeIfThere(temp)
        this.lastRewriteSeconds = Math.floor((server.clock.now() - startedAt) / 1000)
        this.#rewritten(temp, form.format, since)
      },
      error => this.#rewriteFailed(generation, (error as Error).message),
    )
    return true
  }

  /** What is written from the cut on goes to a file of its own; off, nothing is. */
  #beginIncrement(): AofFile | undefined {
    if (this.#state === 'off') {
      this.folder.read()
      return undefined
    }
    if (this.#state === 'waiting') {
      this.#letGo()
      this.#open({ name: TEMP_INCREMENT, seq: 0 })
      return undefined
    }
    const failure = this.flushAll()
    if (failure !== undefined) throw new Error(failure)
    const before = this.#writer
    const file = this.#addIncrement()
    this.#earlierBytes += before?.bytes ?? 0
    this.#open(file)
    before?.retire()
    return file
  }

  #baseForm(): { form: 'rdb' | 'commands'; format: 'rdb' | 'aof'; timestamp: boolean } {
    const { config } = this.server
    const timestamp = config.flag('aof-timestamp-enabled')
    return config.flag('aof-use-rdb-preamble')
      ? { form: 'rdb', format: 'rdb', timestamp }
      : { form: 'commands', format: 'aof', timestamp }
  }

  /** The base is whole: it takes its place, and what it replaces is history. */
  #rewritten(temp: string, format: 'rdb' | 'aof', since: AofFile | undefined): void {
    const { folder, server } = this
    try {
      const waiting = this.#state === 'waiting'
      const before = waiting ? withIncrement(folder.manifest, folder.prefix) : folder.manifest
      const increment = waiting ? currentIncrement(before) : since
      const next = withBase(before, folder.prefix, format, increment)
      if (waiting && increment !== undefined) {
        renameSync(join(folder.path, TEMP_INCREMENT), folder.pathOf(increment))
      }
      renameSync(temp, folder.pathOf(next.base))
      folder.replace(next)
      this.#earlierBytes = sizeOf(folder.pathOf(next.base))
    } catch (error) {
      removeIfThere(temp)
      return this.#rewriteFailed(this.#generation, (error as Error).message)
    }
    if (this.#state === 'waiting') this.#state = 'on'
    this.#bytesAtRewrite = this.bytes
    this.#failures = 0
    this.#limitTold = false
    this.rewrites++
    this.lastRewriteFailed = false
    server.log.notice('Background AOF rewrite finished successfully')
    folder.forgetHistory()
  }

  #rewriteFailed(generation: number, reason: string): void {
    if (generation !== this.#generation) return
    const { log, clock } = this.server
    log.warning(`Background AOF rewrite failed: ${reason}`)
    this.lastRewriteFailed = true
    this.#failures++
    this.#failedAt = clock.now()
    if (this.#state !== 'waiting') return
    log.warning('Removing the temp incr aof file after a failed rewrite')
    this.#letGo()
    this.#scheduled = true
  }

  #dropRewrite(why: string): void {
    if (!this.server.snapshots.rewriting) return
    this.server.log.notice(`Killing AOF child: the rewrite is given up, because ${why}`)
    this.#generation++
    this.server.snapshots.abandonBase()
  }
}
