/**
 * A listening address that outlives the workers which serve it.
 *
 * The supervisor binds the socket and never accepts on it; each worker is handed the same socket and does. While a
 * worker is being replaced the kernel keeps queueing connections, so nobody is refused. Node makes such sockets for its
 * own cluster module by `net._createServerHandle`; this is the only place that uses it.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import net from 'node:net'
import { type Address, formatAddress } from '../../base/address.js'

/** What travels to a worker in `process.send(message, handle)`. */
export type ListenHandle = net.Server

export interface Bound {
  readonly address: Address
  readonly handle: ListenHandle
  close(): void
}

interface RawHandle {
  getsockname(out: { address?: string; port?: number }): number
  close(): void
}

type CreateServerHandle = (host: string, port: number, family: number, fd: number, flags: number) => RawHandle | number

/**
 * Binds `address` (port 0: any; a unix socket gets the permissions `socketMode`). Throws an Error with `code` (EADDRINUSE, EACCES, EADDRNOTAVAIL …).
 */
export async function bind(address: Address, socketMode = 0o770): Promise<Bound> {
  if (address.host.startsWith('/')) return bindPath(address, socketMode)
  await assertFree(address)
  const create = (net as unknown as { _createServerHandle: CreateServerHandle })._createServerHandle
  const handle = create(address.host, address.port, address.host.includes(':') ? 6 : 4, -1, 0)
  if (typeof handle === 'number') throw bindError(address, handle)
  const name: { address?: string; port?: number } = {}
  // A taken port is reported late: by the first question to the socket, not by bind.
  const failure = handle.getsockname(name)
  if (failure !== 0) {
    handle.close()
    throw bindError(address, failure)
  }
  return {
    address: { host: address.host, port: name.port ?? address.port },
    handle: handle as unknown as ListenHandle,
    close: () => handle.close(),
  }
}

/** Nobody may connect between the making of the socket and its permissions. A socket that nobody serves is replaced. */
async function bindPath(address: Address, mode: number): Promise<Bound> {
  const path = address.host
  if (isSocket(path)) {
    if (await isServed(path)) throw bindError(address, -98)
    unlinkSync(path)
  }
  const create = (net as unknown as { _createServerHandle: CreateServerHandle })._createServerHandle
  const umask = process.umask(0o177)
  const handle = create(path, -1, -1, -1, 0)
  process.umask(umask)
  if (typeof handle === 'number') throw bindError(address, handle)
  chmodSync(path, mode)
  return {
    address,
    handle: handle as unknown as ListenHandle,
    close: () => {
      handle.close()
      if (isSocket(path)) unlinkSync(path)
    },
  }
}

function isSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true
}

function isServed(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect({ path }, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** Two sockets may be bound to one port while neither listens: listening for a moment finds out who is there. */
function assertFree(address: Address): Promise<void> {
  if (address.port === 0) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const probe = net.createServer()
    probe.once('error', reject)
    probe.listen({ host: address.host, port: address.port, exclusive: true }, () => probe.close(() => resolve()))
  })
}

function bindError(address: Address, errno: number): Error {
  const code =
    errno === -98 ? 'EADDRINUSE' : errno === -13 ? 'EACCES' : errno === -99 ? 'EADDRNOTAVAIL' : `errno ${-errno}`
  return Object.assign(new Error(`cannot listen on ${formatAddress(address)}: ${code}`), { code })
}
