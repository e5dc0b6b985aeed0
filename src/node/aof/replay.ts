/**
 * Loads an AOF: the files of its manifest in order, each a snapshot, or commands, or one after the other.
 *
 * What the data was when the commands were first run is what they find now, so they are applied without the checks of
 * clients. A tail that was torn off by a crash is cut from the last file (`aof-load-truncated`); everything else that is
 * wrong is refused with the file's name and the place.
 */
import { closeSync, openSync, readSync, truncateSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Bytes } from '../../base/units.js'
import { checkArity } from '../../command/table.js'
import type { StreamPlace } from '../../persistence/aof/encoder.js'
import { type AofEnd, AofLoader, type AofUnit } from '../../persistence/aof/loader.js'
import { type AofFile, filesToLoad } from '../../persistence/aof/manifest.js'
import { CorruptError } from '../../persistence/encoding/corrupt.js'
import { Applier } from '../apply.js'
import { Audience } from '../effects.js'
import type { NodeServer } from '../server.js'
import type { AofFolder } from './folder.js'

/** A millisecond or two of work between two looks at the clients. */
const READ_BYTES = 64 * 1024

export class Replay {
  /** Where the data stands in the replication stream, if the files say so. */
  place: StreamPlace | undefined
  /** Commands that ended in an error, as they may have done when they were first run. */
  failed = 0

  constructor(
    private readonly server: NodeServer,
    private readonly folder: AofFolder,
  ) {}

  /** Everybody is served meanwhile, with -LOADING. Throws with one clear line. */
  async load(): Promise<void> {
    for (const [file, isLast] of this.#files()) {
      const handle = await open(this.folder.pathOf(file)).catch(error => this.#cannotOpen(file, error))
      const part = new FileReplay(this, this.server, file)
      const block = Buffer.allocUnsafeSlow(READ_BYTES)
      try {
        for (let count = 1; count > 0; ) {
          count = (await handle.read(block, 0, block.length)).bytesRead
          part.feed(block.subarray(0, count))
          await new Promise(done => setImmediate(done))
        }
      } finally {
        await handle.close()
      }
      this.#finish(part, file, isLast)
    }
  }

  /** The same while everybody waits: DEBUG LOADAOF. */
  loadNow(): void {
    for (const [file, isLast] of this.#files()) {
      const part = new FileReplay(this, this.server, file)
      const block = Buffer.allocUnsafeSlow(READ_BYTES)
      const handle = this.#openNow(file)
      try {
        for (let count = 1; count > 0; ) {
          count = readSync(handle, block)
          part.feed(block.subarray(0, count))
        }
      } finally {
        closeSync(handle)
      }
      this.#finish(part, file, isLast)
    }
  }

  #files(): (readonly [AofFile, boolean])[] {
    const files = filesToLoad(this.folder.manifest)
    return files.map((file, index) => [file, index === files.length - 1])
  }

  #openNow(file: AofFile): number {
    try {
      return openSync(this.folder.pathOf(file), 'r')
    } catch (error) {
      return this.#cannotOpen(file, error)
    }
  }

  #cannotOpen(file: AofFile, error: unknown): never {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'No such file or directory' : message
    throw new Error(`Fatal error: can't open the append log file ${file.name} for reading: ${why}`)
  }

  #finish(part: FileReplay, file: AofFile, isLast: boolean): void {
    const end = part.finish()
    if (end.kind === 'whole') return
    const { log, config } = this.server
    if (end.because === 'half-snapshot' || !isLast || !config.flag('aof-load-truncated')) throw unexpectedEnd(file, end)
    log.warning(`!!! Warning: short read while loading the AOF file ${file.name}!!! (${end.because})`)
    log.warning(`Truncating the AOF ${file.name} at offset ${end.validBytes}: ${end.lostBytes} bytes are lost`)
    truncateSync(this.folder.pathOf(file), end.validBytes)
  }
}

function unexpectedEnd(file: AofFile, end: AofEnd & { kind: 'torn' }): Error {
  return new Error(
    `Unexpected end of file reading the append only file ${file.name} (${end.because} at offset ${end.validBytes}). You can: 1) Make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>. 2) Alternatively you can set the 'aof-load-truncated' configuration option to yes and restart the server.`,
  )
}

/** One file. It begins in database 0, whatever the one before had selected. */
class FileReplay {
  readonly #loader: AofLoader
  readonly #applier: Applier
  #sawUnits = false

  constructor(
    private readonly replay: Replay,
    private readonly server: NodeServer,
    private readonly file: AofFile,
  ) {
    const { engine, config } = server
    this.#applier = new Applier(server)
    this.#loader = new AofLoader(engine.settings, {
      seeds: engine.databases.map(({ seed }) => seed),
      verifyChecksum: config.flag('rdbchecksum'),
    })
  }

  /** `chunk` is memory that is used again. */
  feed(chunk: Buffer): void {
    const { effects } = this.server
    const { audience } = effects
    effects.audience = Audience.nobody
    try {
      this.#loader.feed(chunk)
      for (let unit = this.#loader.next(); unit !== undefined; unit = this.#loader.next()) this.#take(unit)
      this.#loader.release()
    } catch (error) {
      throw error instanceof CorruptError ? this.#refusal(error) : error
    } finally {
      effects.audience = audience
    }
  }

  finish(): AofEnd {
    const { place } = this.#loader
    if (this.#sawUnits || place !== undefined) this.replay.place = place
    return this.#loader.finish()
  }

  #take(unit: AofUnit): void {
    this.#sawUnits = true
    if (unit.kind === 'snapshot') this.server.loads.install(unit.loaded)
    else for (const command of unit.commands) this.#run(command)
  }

  #run(args: readonly Bytes[]): void {
    const { dispatcher } = this.server
    const spec = dispatcher.resolve(args)
    if (spec === undefined) {
      throw new Error(`Unknown command '${args[0] ?? ''}' reading the append only file ${this.file.name}`)
    }
    if (!checkArity(spec, args.length)) this.replay.failed++
    else if (spec.name === 'select') {
      if (this.#applier.select(Number(args[1])) !== undefined) {
        throw this.#refusal(new CorruptError('bad-database', `${args[1]}`))
      }
    } else if (this.#applier.run(spec, args) !== undefined) this.replay.failed++
  }

  #refusal(error: CorruptError): Error {
    const { name } = this.file
    if (error.reason !== 'bad-aof') {
      return new Error(`Error reading the RDB preamble of the AOF file ${name}, AOF loading aborted: ${error.message}`)
    }
    return new Error(
      `Bad file format reading the append only file ${name} (${error.message}): make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>`,
    )
  }
}
