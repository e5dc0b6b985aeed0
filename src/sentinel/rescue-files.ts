/**
 * What was rescued, on the disk: for every rescue an index and the writes themselves.
 *
 *     data/rescue/20261121T051500Z-127.0.0.1-6401.json    who, when, from where to where, which keys, what could not be had
 *     data/rescue/20261121T051500Z-127.0.0.1-6401.aof     the writes, as commands; `.rdb` where only the data could be had
 *
 * The index is written last and both are on the disk before anybody is demoted: a file without an index is an unfinished
 * rescue, and is overwritten by none.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Offset, UnixMillis } from '../base/units.js'

export interface RescuedKey {
  readonly db: number
  /** latin1, as everywhere. */
  readonly key: string
  readonly writes: number
}

export interface RescueIndex {
  readonly id: string
  readonly group: string
  readonly at: UnixMillis
  /** The old master, and who is master instead. */
  readonly node: string
  readonly master: string
  readonly replid: string
  /** The first byte that the group does not have, and the one after the last. */
  readonly from: Offset
  readonly until: Offset | undefined
  readonly file: string | undefined
  readonly bytes: number
  readonly writes: number
  /** At most KEYS_MAX of them. */
  readonly keys: readonly RescuedKey[]
  readonly keyCount: number
  /** What could not be had, by name; undefined when everything could. */
  readonly missing: string | undefined
  /** Whether the database of the first writes is known, or taken to be 0. */
  readonly database: 'known' | 'assumed'
  readonly applied: { readonly at: UnixMillis; readonly applied: number; readonly skipped: number } | undefined
}

export class RescueFiles {
  constructor(readonly folder: string) {}

  /** A file that grows; `finish` puts it on the disk. Throws what the file system throws. */
  begin(name: string): RescueFile {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 })
    return new RescueFile(join(this.folder, name))
  }

  save(index: RescueIndex): void {
    const path = this.#indexPath(index.id)
    const file = this.begin(`${index.id}.json.new`)
    file.write(Buffer.from(`${JSON.stringify(index, undefined, 2)}\n`, 'utf8'))
    file.finish()
    renameSync(`${path}.new`, path)
    syncFolder(this.folder)
  }

  /** Newest first; what cannot be read is left out. */
  list(): readonly RescueIndex[] {
    if (!existsSync(this.folder)) return []
    const ids = readdirSync(this.folder).filter(name => name.endsWith('.json'))
    const found = ids.map(name => this.find(name.slice(0, -'.json'.length)))
    return found.filter(index => index !== undefined).sort((a, b) => b.at - a.at)
  }

  find(id: string): RescueIndex | undefined {
    // It comes from a request: a name, never a path.
    if (!/^[\w.:-]+$/.test(id)) return undefined
    try {
      return JSON.parse(readFileSync(this.#indexPath(id), 'utf8')) as RescueIndex
    } catch {
      return undefined
    }
  }

  read(index: RescueIndex): Buffer {
    return index.file === undefined ? Buffer.alloc(0) : readFileSync(join(this.folder, index.file))
  }

  #indexPath(id: string): string {
    return join(this.folder, `${id}.json`)
  }
}

export class RescueFile {
  readonly #descriptor: number
  bytes = 0

  constructor(path: string) {
    this.#descriptor = openSync(path, 'w', 0o600)
  }

  /** Waits for the disk: a rescue is rare, and what is not written must not be forgotten. */
  write(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) at += writeSync(this.#descriptor, chunk, at)
    this.bytes += chunk.length
  }

  finish(): void {
    fsyncSync(this.#descriptor)
    closeSync(this.#descriptor)
  }

  abandon(): void {
    closeSync(this.#descriptor)
  }
}

function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r')
  fsyncSync(descriptor)
  closeSync(descriptor)
}
