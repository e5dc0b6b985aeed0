/**
 * Writing to a socket without the machinery of streams.
 *
 * `socket.write` costs more than the system call on small replies: a state machine, two callbacks and a tick for each
 * write. libuv's own write is within reach by the handle; it tries at once, and queues what the kernel does not take.
 * Both names are private to Node, this is the only place that touches them, a test pins them, and without them the
 * caller uses `socket.write`.
 */
import type net from 'node:net'

interface WriteRequest {
  oncomplete: ((status: number) => void) | undefined
  /** Keeps the bytes alive until libuv has written them. */
  bytes: Buffer | undefined
}

interface Handle {
  writeBuffer(request: WriteRequest, bytes: Buffer): number
}

interface StreamWrap {
  readonly WriteWrap: new () => WriteRequest
  readonly streamBaseState: Int32Array
  readonly kLastWriteWasAsync: number
}

const streamWrap = findStreamWrap()

function findStreamWrap(): StreamWrap | undefined {
  try {
    const { binding } = process as unknown as { binding?: (name: string) => Partial<StreamWrap> }
    const wrap = binding?.('stream_wrap')
    const complete =
      wrap?.WriteWrap !== undefined && wrap.streamBaseState !== undefined && wrap.kLastWriteWasAsync !== undefined
    return complete ? (wrap as StreamWrap) : undefined
  } catch {
    return undefined
  }
}

let spare: WriteRequest | undefined

/** `written`: the kernel has it all and the memory is free again. `queued`: `done` will be called. Otherwise an error. */
export type WriteOutcome = 'written' | 'queued' | 'failed' | 'unsupported'

/** `done(failed)` is called once, later, and only after `queued`. */
export function writeDirectly(socket: net.Socket, bytes: Buffer, done: (failed: boolean) => void): WriteOutcome {
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
    done(status !== 0)
  }
  return 'queued'
}
