/**
 * The file of a full copy. What our master sends is built in memory as it comes, and is put on the disk as well: a replica
 * that was killed has its data when it is started again, and continues from there.
 *
 *     write ─▶ block ─▶ temp file ─┬─ keep ────▶ dbfilename
 *                                  └─ discard ─▶ gone
 *
 * Blocks are written and synced one after the other, beside everything else. A disk that is slower than the master is waited
 * for (`behind`), so that what waits is bounded. A disk that fails costs the file and not the copy.
 */
import { renameSync } from 'node:fs'
import { type FileHandle, open, unlink } from 'node:fs/promises'

const BLOCK_BYTES = 256 * 1024
const WAITING_BYTES_MAX = 16 * 1024 * 1024
/** As often as Redis: the last sync has little left to do. */
const SYNC_BYTES = 8 * 1024 * 1024

export class ReceivedFile {
  #block: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  #filled = 0
  /** Blocks that were written. */
  readonly #free: Buffer[] = []
  #waitingBytes = 0
  #unsyncedBytes = 0
  #handle: FileHandle | undefined
  #failure: string | undefined
  /** When everything that was asked for so far is done. Never rejects. */
  #done: Promise<void> = Promise.resolve()

  constructor(readonly temp: string) {
    this.#next(async () => {
      this.#handle = await open(temp, 'w')
    })
  }

  /** `bytes` are copied. */
  write(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const count = bytes.copy(this.#block, this.#filled, at)
      at += count
      this.#filled += count
      if (this.#filled === BLOCK_BYTES) this.#handOver()
    }
  }

  /** More waits for the disk than may: resolves when it has caught up. */
  get behind(): Promise<void> | undefined {
    return this.#waitingBytes > WAITING_BYTES_MAX ? this.#done : undefined
  }

  /** Puts it in its place, unless there is something newer by then. Answers why that failed. */
  async keep(path: string, isWanted: () => boolean): Promise<string | undefined> {
    this.#handOver()
    this.#next(async () => this.#handle?.sync())
    await this.#done
    await this.#close()
    let kept = false
    this.#next(async () => {
      if (!isWanted()) return
      renameSync(this.temp, path)
      kept = true
    })
    await this.#done
    if (!kept) await this.discard()
    return this.#failure
  }

  async discard(): Promise<void> {
    await this.#done
    await this.#close()
    await unlink(this.temp).catch(() => undefined)
  }

  async #close(): Promise<void> {
    await this.#handle?.close().catch(() => undefined)
  }

  #handOver(): void {
    const block = this.#block
    const count = this.#filled
    this.#block = this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
    this.#filled = 0
    this.#waitingBytes += count
    const written = (): void => {
      this.#waitingBytes -= count
      this.#free.push(block)
    }
    this.#next(() => this.#put(block.subarray(0, count)), written)
  }

  async #put(bytes: Buffer): Promise<void> {
    await this.#handle?.writeFile(bytes)
    this.#unsyncedBytes += bytes.length
    if (this.#unsyncedBytes < SYNC_BYTES) return
    this.#unsyncedBytes = 0
    await this.#handle?.datasync()
  }

  /** After what was asked for before. Nothing more is tried once something has failed; `after` is done in any case. */
  #next(step: () => Promise<unknown>, after: () => void = () => undefined): void {
    this.#done = this.#done.then(async () => {
      try {
        if (this.#failure === undefined) await step()
      } catch (error) {
        this.#failure = error instanceof Error ? error.message : String(error)
      }
      after()
    })
  }
}
