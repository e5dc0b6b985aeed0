/**
 * A client that sends what it is told, byte for byte, and hands over frames as they arrive.
 */
import { once } from 'node:events'
import net from 'node:net'
import { Decoder } from '../../src/resp/decoder.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import type { Frame } from '../../src/resp/protocol.js'

export class RawClient {
  readonly frames: Frame[] = []
  readonly #socket: net.Socket
  readonly #decoder = new Decoder()
  #wake: () => void = () => undefined
  #snapshot: Buffer | undefined
  #onSnapshot: (bytes: Buffer) => void = () => undefined
  closed = false

  private constructor(port: number) {
    this.#socket = net.connect(port, '127.0.0.1')
    this.#socket.setNoDelay(true)
    this.#socket.on('data', chunk => {
      this.#decoder.feed(this.#snapshot === undefined ? chunk : this.#takeSnapshot(chunk))
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next()) this.frames.push(frame)
      this.#decoder.release()
      this.#wake()
    })
    this.#socket.on('error', () => undefined)
    this.#socket.on('close', () => {
      this.closed = true
      this.#wake()
    })
  }

  static async open(port: number): Promise<RawClient> {
    const client = new RawClient(port)
    await once(client.#socket, 'connect')
    return client
  }

  write(bytes: string | Buffer): void {
    this.#socket.write(bytes)
  }

  send(...commands: readonly (readonly string[])[]): void {
    this.#socket.write(Buffer.concat(commands.map(encodeCommand)))
  }

  /** The next frame; throws when the connection is closed before it. */
  async next(): Promise<Frame> {
    while (this.frames.length === 0) {
      if (this.closed) throw new Error('closed')
      await new Promise<void>(resume => (this.#wake = resume))
    }
    return this.frames.shift() as Frame
  }

  /** Sends one command and answers its reply as plain text and lists. */
  async call(...args: string[]): Promise<Plain> {
    this.send(args)
    return plain(await this.next())
  }

  /** Sends all in one write. */
  async pipeline(...commands: readonly (readonly string[])[]): Promise<Plain[]> {
    this.send(...commands)
    const replies: Plain[] = []
    for (const _ of commands) replies.push(plain(await this.next()))
    return replies
  }

  /** The reply to SYNC: `$<length>`, and so many bytes without an end of line. */
  async nextSnapshot(): Promise<Buffer> {
    this.#snapshot = Buffer.alloc(0)
    return new Promise(resolve => (this.#onSnapshot = resolve))
  }

  /** Answers what came behind it. */
  #takeSnapshot(chunk: Buffer): Buffer {
    const all = Buffer.concat([this.#snapshot ?? Buffer.alloc(0), chunk])
    this.#snapshot = all
    const header = /^\n*\$(\d+)\r\n/.exec(all.subarray(0, 100_000).toString('latin1'))
    if (header === null) return Buffer.alloc(0)
    const [from, to] = [header[0].length, header[0].length + Number(header[1])]
    if (all.length < to) return Buffer.alloc(0)
    this.#snapshot = undefined
    this.#onSnapshot(all.subarray(from, to))
    return all.subarray(to)
  }

  async untilClosed(): Promise<void> {
    while (!this.closed) await new Promise<void>(resume => (this.#wake = resume))
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  close(): void {
    this.#socket.destroy()
  }
}

export type Plain = string | number | bigint | boolean | null | Plain[]

/** Errors begin with `-`. */
export function plain(frame: Frame): Plain {
  switch (frame.type) {
    case 'null':
      return null
    case 'error':
      return `-${frame.value}`
    default:
      return 'items' in frame ? frame.items.map(plain) : frame.value
  }
}
