/**
 * The file that a sentinel lives from. It is written beside itself, forced to the disk, put in its place, and the folder
 * is forced to the disk as well: after `save` has answered true, a crash of the machine does not undo a vote.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

export class Keeper {
  /** Why the last attempt failed; undefined when it did not. */
  failure: string | undefined

  constructor(
    readonly file: string,
    /** The new text of the file, from the old one. */
    private readonly rewrite: (old: string) => string,
  ) {}

  save(): boolean {
    const temp = `${this.file}.${process.pid}.tmp`
    try {
      const text = this.rewrite(readFileSync(this.file, 'latin1'))
      writeDurably(temp, text)
      renameSync(temp, this.file)
      syncFolder(dirname(this.file))
      this.failure = undefined
      return true
    } catch (error) {
      this.failure = (error as Error).message
      try {
        unlinkSync(temp)
      } catch {
        // It was not made, or is where it belongs.
      }
      return false
    }
  }
}

function writeDurably(path: string, text: string): void {
  // It may hold passwords.
  const file = openSync(path, 'w', 0o644)
  try {
    const bytes = Buffer.from(text, 'latin1')
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
