/**
 * Writing to a socket without the machinery of streams.
 *
 * `socket.write` costs more than the system call on small replies: a state machine, two callbacks and a tick for each
 * write. libuv's own write is within reach by the handle; it tries at once, and queues what the kernel does not take.
 * Without these names (see stream-wrap.ts) the caller uses `socket.write`.
 */
import type net from 'node:net'
import { streamWrap, type WriteRequest } from './stream-wrap.js'

interface Handle {
  writeBuffer(request: WriteRequest, bytes: Buffer): number
}

/** Who is told later of what the kernel did not take at once. */
export interface DirectWriter {
  /** Once for each write that was `queued`: so many bytes have left, or were given up. */
  sent(count: number, failed: boolean): void
}

let spare: WriteRequest | undefined

/** `written`: the kernel has it all and the memory is free again. `queued`: `sent` will be called. Otherwise an error. */
export type WriteOutcome = 'written' | 'queued' | 'failed' | 'unsupported'

export function writeDirectly(socket: net.Socket, bytes: Buffer, writer: DirectWriter): WriteOutcome {
  const handle = (socket as unknown as { _handle?: Partial<Handle> | null })._handle
  if (streamWrap === undefined || typeof handle?.writeBuffer !== 'function') return 'unsupported'
  // The request is only used when the kernel does not take everything: until then it serves one write after the other.
  const request = spare ?? new streamWrap.WriteWrap()
  spare = undefined
  const failure = handle.writeBuffer(request, bytes)
  if (failure !== 0) return 'failed'
  if (streamWrap.streamBaseState[streamWrap.kLastWriteWasAsync] === 0) {
    spare = request
    return 'written'
  }
  request.bytes = bytes
  request.oncomplete = status => {
    request.bytes = undefined
    writer.sent(bytes.length, status !== 0)
  }
  return 'queued'
}
