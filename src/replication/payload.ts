/**
 * A snapshot on a connection: where it begins, and where the stream begins again.
 *
 *     $<length> CR LF <length bytes>                     from a file
 *     $EOF:<40 bytes> CR LF <bytes> <the same 40 bytes>  diskless: the length is not known in advance
 *
 * Forty random bytes do not occur in a snapshot by chance. The mark may be cut by chunk borders, so the last bytes of
 * what has arrived are held back until it is clear that they are not its beginning.
 */
import { invariant } from '../base/invariant.js'

export type SnapshotForm =
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'eof'; readonly mark: string }

export const MARK_BYTES = 40

/** Reads the line before a snapshot; undefined when it announces none. */
export function parsePreamble(line: string): SnapshotForm | undefined {
  if (line.startsWith('$EOF:')) {
    const mark = line.slice(5)
    return mark.length === MARK_BYTES ? { kind: 'eof', mark } : undefined
  }
  return /^\$\d{1,15}$/.test(line) ? { kind: 'length', bytes: Number(line.slice(1)) } : undefined
}

export function formatPreamble(form: SnapshotForm): string {
  return form.kind === 'length' ? `$${form.bytes}\r\n` : `$EOF:${form.mark}\r\n`
}

export interface PayloadPart {
  /** Bytes of the snapshot, in order. Views of what was fed, or of what was held back. */
  readonly payload: readonly Buffer[]
  /** Bytes of the chunk that come after the end: the stream. Empty while `done` is false. */
  readonly rest: Buffer
  readonly done: boolean
}

const NOTHING = Buffer.alloc(0)

export class PayloadReader {
  #left: number
  readonly #mark: Buffer | undefined
  #held: Buffer = NOTHING
  #done: boolean
  #received = 0
  /** As announced; 0 when only its end tells. */
  readonly length: number

  constructor(form: SnapshotForm) {
    this.#mark = form.kind === 'eof' ? Buffer.from(form.mark, 'latin1') : undefined
    this.length = this.#left = form.kind === 'length' ? form.bytes : 0
    this.#done = form.kind === 'length' && form.bytes === 0
  }

  /** Bytes of the snapshot so far. */
  get received(): number {
    return this.#received
  }

  get done(): boolean {
    return this.#done
  }

  /** What is answered refers to `chunk`: use or copy it before the chunk's memory is used again. */
  feed(chunk: Buffer): PayloadPart {
    invariant(!this.#done, 'the payload has ended')
    const part = this.#mark === undefined ? this.#feedCounted(chunk) : this.#feedMarked(chunk, this.#mark)
    for (const bytes of part.payload) this.#received += bytes.length
    this.#done = part.done
    return part
  }

  #feedCounted(chunk: Buffer): PayloadPart {
    const count = Math.min(this.#left, chunk.length)
    this.#left -= count
    const payload = count === 0 ? [] : [chunk.subarray(0, count)]
    return { payload, rest: chunk.subarray(count), done: this.#left === 0 }
  }

  #feedMarked(chunk: Buffer, mark: Buffer): PayloadPart {
    // The mark can lie across the border only within its own length of it.
    const seam = Buffer.concat([this.#held, chunk.subarray(0, mark.length)])
    const across = seam.indexOf(mark)
    if (across >= 0) {
      const after = across + mark.length - this.#held.length
      return finished(seam.subarray(0, across), chunk.subarray(Math.max(after, 0)))
    }
    const inside = chunk.indexOf(mark)
    if (inside >= 0) return finished([this.#held, chunk.subarray(0, inside)], chunk.subarray(inside + mark.length))
    return this.#holdBack(chunk, mark.length)
  }

  #holdBack(chunk: Buffer, count: number): PayloadPart {
    if (chunk.length >= count) {
      const held = this.#held
      const sure = chunk.length - count
      this.#held = Buffer.from(chunk.subarray(sure))
      return { payload: nonEmpty([held, chunk.subarray(0, sure)]), rest: NOTHING, done: false }
    }
    const all = Buffer.concat([this.#held, chunk])
    const sure = Math.max(0, all.length - count)
    this.#held = all.subarray(sure)
    return { payload: nonEmpty([all.subarray(0, sure)]), rest: NOTHING, done: false }
  }
}

function finished(payload: Buffer | readonly Buffer[], rest: Buffer): PayloadPart {
  return { payload: nonEmpty(Array.isArray(payload) ? payload : [payload as Buffer]), rest, done: true }
}

function nonEmpty(buffers: readonly Buffer[]): Buffer[] {
  return buffers.filter(buffer => buffer.length > 0)
}
