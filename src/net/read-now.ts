/**
 * Reading and writing a socket without the event loop, for the one who keeps it waiting: a script that runs for seconds must
 * still be killable, one that is debugged waits for what to do. The descriptor belongs to libuv and does not block; what is
 * read here, libuv does not see again. The handle is private to Node; without it nothing is read, and clients wait until the
 * script is over.
 */
import { readSync, writeSync } from 'node:fs'
import type net from 'node:net'

let buffer: Buffer | undefined

/**
 * What has arrived, as a view that is valid until the next call; or why the connection is over, such as `eof`; undefined
 * when there is nothing new.
 */
export function readNow(socket: net.Socket): Buffer | string | undefined {
  const fd = descriptorOf(socket)
  if (fd === undefined) return undefined
  buffer ??= Buffer.allocUnsafeSlow(64 * 1024)
  try {
    const count = readSync(fd, buffer, 0, buffer.length, null)
    return count > 0 ? buffer.subarray(0, count) : 'eof'
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'EAGAIN' || code === 'EINTR' ? undefined : (code ?? 'closed')
  }
}

/** Bytes that the kernel took; undefined: none ever again. Only to be called while nothing is queued before them. */
export function writeNow(socket: net.Socket, bytes: Buffer): number | undefined {
  const fd = descriptorOf(socket)
  if (fd === undefined) return undefined
  try {
    return writeSync(fd, bytes)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'EAGAIN' || code === 'EINTR' ? 0 : undefined
  }
}

/** Private to Node; a test pins it. */
export function descriptorOf(socket: net.Socket | net.Server): number | undefined {
  const fd = (socket as unknown as { _handle?: { readonly fd?: number } | null })._handle?.fd
  return fd === undefined || fd < 0 ? undefined : fd
}

const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** Waits, and everybody with us. */
export function sleepNow(ms: number): void {
  Atomics.wait(sleeper, 0, 0, ms)
}
