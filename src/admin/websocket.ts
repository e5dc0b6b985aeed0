/**
 * The server's half of a WebSocket (RFC 6455) that only sends: enough for an event feed, on platforms where
 * uWebSockets.js, which has its own, does not load. What the client says is read for its pings and its goodbye.
 *
 *     0                   1
 *     FIN RSV opcode │ MASK length │ (2 or 8 bytes more of length) │ (4 bytes of mask) │ payload
 */
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import type { HttpStreamer } from './http.js'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const TEXT = 1
const CLOSE = 8
const PING = 9
const PONG = 10
/** Of control frames, by the RFC; a client that sends more than this at once has mistaken us for somebody else. */
const MAX_PAYLOAD = 125
const MAX_BUFFERED = 4096
const NORMAL = 1000
const PROTOCOL_ERROR = 1002
const TOO_BIG = 1009

/** Answers the handshake and hands the stream to `streamer`; each write is one text message. */
export function acceptWebSocket(socket: Socket, key: string, streamer: HttpStreamer, maxQueuedBytes: number): void {
  const accept = createHash('sha1')
    .update(key + GUID)
    .digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  )
  const close = (code: number): void => {
    if (!socket.writableEnded) socket.end(encodeFrame(CLOSE, Buffer.from([code >> 8, code & 0xff])))
  }
  const reader = new FrameReader((opcode, payload) => {
    if (opcode === PING) socket.write(encodeFrame(PONG, payload))
    else if (opcode === CLOSE) close(NORMAL)
  }, close)
  socket.on('data', chunk => reader.read(chunk))
  socket.on('end', () => socket.end())
  streamer({
    write(text) {
      if (socket.destroyed || socket.writableEnded) return
      socket.write(encodeFrame(TEXT, Buffer.from(text)))
      if (socket.writableLength > maxQueuedBytes) socket.destroy()
    },
    end: () => close(NORMAL),
    onClose: listener => void socket.once('close', listener),
  })
}

/** One whole frame; a server does not mask. */
export function encodeFrame(opcode: number, payload: Buffer): Buffer {
  const { length } = payload
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10)
  head[0] = 0x80 | opcode
  head[1] = length < 126 ? length : length < 65_536 ? 126 : 127
  if (head.length === 4) head.writeUInt16BE(length, 2)
  else if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head, payload])
}

/** Frames of a client, in whatever pieces they come. Long messages are passed over, not kept. */
class FrameReader {
  #buffer: Buffer = Buffer.alloc(0)
  #skip = 0
  #broken = false

  constructor(
    private readonly onFrame: (opcode: number, payload: Buffer) => void,
    private readonly fail: (code: number) => void,
  ) {}

  read(chunk: Buffer): void {
    if (this.#broken) return
    this.#buffer = Buffer.concat([this.#buffer, chunk])
    while (this.#step());
    if (this.#buffer.length > MAX_BUFFERED) this.#break(TOO_BIG)
  }

  #step(): boolean {
    if (this.#skip > 0) {
      const skipped = Math.min(this.#skip, this.#buffer.length)
      this.#skip -= skipped
      this.#buffer = this.#buffer.subarray(skipped)
      return skipped > 0
    }
    const frame = this.#buffer
    if (frame.length < 2) return false
    const [first, second] = [frame[0] as number, frame[1] as number]
    // A client must mask (RFC 6455, 5.1).
    if ((second & 0x80) === 0) return this.#break(PROTOCOL_ERROR)
    const short = second & 0x7f
    const headLength = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + 4
    if (frame.length < headLength) return false
    const length = short < 126 ? short : short === 126 ? frame.readUInt16BE(2) : Number(frame.readBigUInt64BE(2))
    if (length > MAX_PAYLOAD) {
      this.#buffer = frame.subarray(headLength)
      this.#skip = length
      return true
    }
    if (frame.length < headLength + length) return false
    const mask = frame.subarray(headLength - 4, headLength)
    const payload = Buffer.from(frame.subarray(headLength, headLength + length))
    for (let at = 0; at < length; at++) (payload[at] as number) ^= mask[at % 4] as number
    this.#buffer = frame.subarray(headLength + length)
    this.onFrame(first & 0x0f, payload)
    return true
  }

  #break(code: number): false {
    this.#broken = true
    this.#buffer = Buffer.alloc(0)
    this.fail(code)
    return false
  }
}
