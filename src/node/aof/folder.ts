/**
 * The files of an AOF on the disk: its folder, the manifest, which file is which.
 *
 *     <dir>/appendonlydir/appendonly.aof.manifest     says which of these hold the data, in which order
 *                         appendonly.aof.2.base.rdb
 *                         appendonly.aof.5.incr.aof
 *     <dir>/appendonly.aof                            of a server before Redis 7: becomes the base
 *
 * The manifest changes only as a whole: written aside, synced, renamed. What is not in it does not count.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type AofFile,
  emptyManifest,
  filesToLoad,
  formatManifest,
  type Manifest,
  manifestName,
  parseManifest,
  upgraded,
  withoutHistory,
} from '../../persistence/aof/manifest.js'
import { CorruptError } from '../../persistence/encoding/corrupt.js'
import type { NodeServer } from '../server.js'

export class AofFolder {
  manifest: Manifest = emptyManifest

  constructor(private readonly server: NodeServer) {}

  /** `appendfilename`: how the name of every file begins. */
  get prefix(): string {
    return this.server.config.text('appendfilename')
  }

  get path(): string {
    return join(this.server.dir, this.server.config.text('appenddirname'))
  }

  pathOf(file: AofFile): string {
    return join(this.path, file.name)
  }

  get isEmpty(): boolean {
    return filesToLoad(this.manifest).length === 0
  }

  /** Bytes of base and increments, as the disk has them. */
  get bytes(): number {
    return filesToLoad(this.manifest).reduce((sum, file) => sum + sizeOf(this.pathOf(file)), 0)
  }

  /** Reads the manifest, if there is one; takes over the single file of an older server. Throws when it is wrong. */
  read(): void {
    const path = join(this.path, manifestName(this.prefix))
    this.manifest = existsSync(path) ? this.#parse(path) : emptyManifest
    this.#upgrade()
  }

  /** A base that is gone while its increments are there, or the other way round, is found when it is opened. */
  #parse(path: string): Manifest {
    try {
      return parseManifest(readFileSync(path, 'latin1'))
    } catch (error) {
      if (error instanceof CorruptError) throw new Error(`Error reading the AOF manifest ${path}: ${error.detail}`)
      throw error
    }
  }

  /** The old file moves into the folder, after the manifest has named it: whatever happens between, it is found again. */
  #upgrade(): void {
    const old = join(this.server.dir, this.prefix)
    if (!existsSync(old) || !statSync(old).isFile()) return
    const { base, increments } = this.manifest
    const interrupted = base?.name === this.prefix && increments.length === 0 && !existsSync(this.pathOf(base))
    if (!this.isEmpty && !interrupted) return
    this.make()
    this.replace(upgraded(this.prefix))
    renameSync(old, join(this.path, this.prefix))
    this.server.log.notice(
      `Successfully migrated an old-style AOF configuration (${this.prefix}) into the AOF directory (${this.path}).`,
    )
  }

  make(): void {
    if (!existsSync(this.path)) mkdirSync(this.path, { mode: 0o755 })
  }

  /** This manifest is the truth from now on, on the disk too. Throws, with the old one in place, when it cannot be written. */
  replace(manifest: Manifest): void {
    const path = join(this.path, manifestName(this.prefix))
    const temp = join(this.path, `temp-${manifestName(this.prefix)}`)
    const file = openSync(temp, 'w')
    try {
      writeFileSync(file, formatManifest(manifest, this.server.config.flag('aof-checksum')), 'latin1')
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(temp, path)
    this.manifest = manifest
    syncFolder(this.path)
  }

  /** Files that were replaced are deleted beside everything else, unless `aof-disable-auto-gc`. */
  forgetHistory(): void {
    const { history } = this.manifest
    if (history.length === 0 || this.server.config.flag('aof-disable-auto-gc')) return
    this.replace(withoutHistory(this.manifest))
    for (const file of history) void unlink(this.pathOf(file)).catch(() => undefined)
  }
}

export function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

export function removeIfThere(path: string): void {
  rmSync(path, { force: true })
}

/** A rename is on the disk only when the folder is. */
function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
