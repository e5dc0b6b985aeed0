/**
 * The bytes sent on one connection, kept until they are answered.
 *
 * What leaves for an upstream is gathered in blocks and written from there; each request knows its place. So the bytes of
 * a command that must be sent again (the connection died before they left, the instance said READONLY, a read is retried)
 * are still there, although nothing was copied for it. A block is used again when nobody refers to it any more: with a
 * prompt upstream that is the same block over and over.
 */
import { Fifo } from '../base/fifo.js'

const BLOCK_BYTES = 64 * 1024
/** Spare blocks per process. */
const SPARE_BLOCKS = 64

export class Block {
  readonly bytes: Buffer
  used = 0
  /** What was handed to the socket: bytes before this may have been executed. */
  handed = 0
  /** Requests whose bytes lie here. */
  #holders = 0
  /** The log still writes into it. */
  #current: boolean

  constructor(
    size: number,
    current: boolean,
    private readonly pool: BlockPool | undefined,
  ) {
    this.bytes = Buffer.allocUnsafeSlow(size)
    this.#current = current
  }

  /** Copies a request's bytes in; answers where they begin. */
  put(source: Buffer, start: number, end: number): number {
    const at = this.used
    const count = end - start
    if (count <= 64) {
      const { bytes } = this
      for (let index = 0; index < count; index++) bytes[at + index] = source[start + index] as number
    } else source.copy(this.bytes, at, start, end)
    this.used = at + count
    this.#holders++
    return at
  }

  release(): void {
    if (--this.#holders > 0) return
    if (!this.#current) this.pool?.give(this)
    // Everything was answered: begin at the front again.
    else if (this.handed === this.used) this.used = this.handed = 0
  }

  /** The log goes on in another block, and holds this one until all of it was handed out. */
  retire(): void {
    this.#current = false
    if (this.#holders === 0) this.pool?.give(this)
  }

  reopen(): void {
    this.used = this.handed = 0
    this.#holders = 0
    this.#current = true
  }
}

export class BlockPool {
  readonly #spare: Block[] = []

  take(): Block {
    const block = this.#spare.pop()
    if (block === undefined) return new Block(BLOCK_BYTES, true, this)
    block.reopen()
    return block
  }

  give(block: Block): void {
    if (block.bytes.length === BLOCK_BYTES && this.#spare.length < SPARE_BLOCKS) this.#spare.push(block)
  }

  /** A block for one request that is kept by itself. */
  single(source: Buffer, start: number, end: number): Block {
    const block = new Block(end - start, false, undefined)
    block.put(source, start, end)
    return block
  }
}

export class Log {
  #current: Block | undefined
  /** Blocks with bytes that have not been handed to the socket, oldest first. */
  readonly #unsent = new Fifo<Block>(4)

  constructor(private readonly pool: BlockPool) {}

  /** Bytes that have not been handed to the socket. */
  get unsentBytes(): number {
    let sum = 0
    for (const block of this.#unsent) sum += block.used - block.handed
    return sum
  }

  /** Room for `count` bytes: the block to put them into. */
  blockFor(count: number): Block {
    let block = this.#current
    if (block === undefined || block.used + count > block.bytes.length) {
      const full = block
      block = count > BLOCK_BYTES ? new Block(count, true, undefined) : this.pool.take()
      this.#current = block
      // Its holders are requests that wait for an answer, or it has unsent bytes and with them holders.
      full?.retire()
    }
    if (block.handed === block.used) this.#unsent.push(block)
    return block
  }

  /** Hands everything out in order. */
  drain(write: (bytes: Buffer) => void): void {
    for (let block = this.#unsent.shift(); block !== undefined; block = this.#unsent.shift()) {
      const from = block.handed
      block.handed = block.used
      write(block.bytes.subarray(from, block.used))
    }
  }
}
