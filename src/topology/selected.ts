/**
 * Which database a replication stream is in, at each of its newest offsets. A stream names it only when it changes, so who
 * wants to begin in the middle has to know what was said before.
 *
 * Bound: the newest CHANGES_MAX changes; of what lies before them nothing is known.
 */
import type { Offset } from '../base/units.js'
import { Decoder } from '../resp/decoder.js'
import { ProtocolError } from '../resp/protocol.js'
import { STREAM_LIMITS } from './written.js'

const CHANGES_MAX = 64 * 1024
/** `*2\r\n$6\r\nSELECT\r\n$2\r\n15\r\n`, and some room. */
const SELECT_BYTES_MAX = 32
const NAME_AT = '*2\r\n$6\r\n'.length
const S = 0x53
const UPPER = 0xdf

interface Change {
  /** Of the first byte behind it. */
  readonly offset: Offset
  readonly db: number
}

export class SelectedDatabases {
  readonly #decoder = new Decoder(STREAM_LIMITS)
  #changes: Change[] = []
  #lost = false

  /** `first`: the offset of the first byte that will be fed, where a command begins. */
  constructor(private readonly first: Offset) {}

  feed(chunk: Buffer): void {
    if (this.#lost) return
    const decoder = this.#decoder
    decoder.feed(chunk)
    try {
      while (decoder.nextRequest()) {
        const { start, end } = decoder
        if (end - start > SELECT_BYTES_MAX || ((decoder.buffer[start + NAME_AT] as number) & UPPER) !== S) continue
        const [name, db] = decoder.args()
        if (name?.toLowerCase() === 'select') this.#add({ offset: this.first + decoder.consumed, db: Number(db) })
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#lost = true
      this.#changes = []
    }
    decoder.release()
  }

  /** For the command that begins at `offset`; undefined when nothing said so. */
  at(offset: Offset): number | undefined {
    let [low, high] = [0, this.#changes.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#changes[middle] as Change).offset <= offset) low = middle + 1
      else high = middle
    }
    return this.#changes[low - 1]?.db
  }

  #add(change: Change): void {
    this.#changes.push(change)
    if (this.#changes.length > CHANGES_MAX) this.#changes = this.#changes.slice(-CHANGES_MAX / 2)
  }
}
