/**
 * Reading from a socket without the machinery of streams.
 *
 * All peers of a process read into one buffer: what was read is handled to the end before the next read begins. Between
 * libuv and the handler Node has a function that looks after time-outs and back-pressure of a stream; it costs more than a
 * small command does, and is asked here only when there is no data: at the end, and at an error. Without the private names
 * (see stream-wrap.ts) it is asked always.
 */
import type net from 'node:net'
import { streamWrap } from './stream-wrap.js'

/** What one read brings at most. */
const READ_BYTES = 64 * 1024

const buffer = Buffer.allocUnsafeSlow(READ_BYTES)

/** Most reads are small and of few lengths: their views are made once. */
const VIEWS = 2048
const views: (Buffer | undefined)[] = new Array(VIEWS).fill(undefined)

/** What a socket is to be made with. `receive` gets a view that is valid during the call only. */
export function readInto(receive: (chunk: Buffer) => void): { readonly onread: net.OnReadOpts } {
  return {
    onread: {
      buffer,
      callback(size) {
        receive(viewOf(size))
        return true
      },
    },
  }
}

interface Handle {
  onread: (this: unknown, ...args: unknown[]) => unknown
}

/** Shortens the way of what is read, on a socket that was made with `readInto` and is open. Answers whether it could. */
export function readDirectly(socket: net.Socket, receive: (chunk: Buffer) => void): boolean {
  const handle = (socket as unknown as { _handle?: Partial<Handle> | null })._handle
  if (streamWrap === undefined || typeof handle?.onread !== 'function') return false
  const { streamBaseState, kReadBytesOrError } = streamWrap
  const { onread } = handle
  handle.onread = function (...args) {
    const size = streamBaseState[kReadBytesOrError] as number
    if (size <= 0 || socket.destroyed) return onread.apply(this, args)
    receive(viewOf(size))
    // It goes on reading into the same buffer.
    return undefined
  }
  return true
}

function viewOf(size: number): Buffer {
  if (size >= VIEWS) return buffer.subarray(0, size)
  return (views[size] ??= buffer.subarray(0, size))
}
