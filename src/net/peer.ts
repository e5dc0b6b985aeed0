/**
 * One connection, whichever side opened it.
 *
 * Reading: all peers of a process read into one shared buffer; the handler gets a view of it that is valid during the
 * call only (a Decoder keeps what it has not finished with). Writing: bytes gather in `out` and leave at the end of the
 * turn in one write. A peer that does not read is bounded: when more than `maxQueuedBytes` wait for it, it is closed.
 *
 *     open ──end()──▶ ending (what is queued still leaves) ──▶ closed
 *       ├──destroy(), error, EOF, bound reached ─────────────────▲
 *       └──EOF, error──▶ over, with a handler that has `onEnd` ──┘ end(), destroy()
 */
import { closeSync } from 'node:fs'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { getSystemErrorName } from 'node:util'
import type { Address } from '../base/address.js'
import { Encoder } from '../resp/encoder.js'
import { readDirectly, readInto } from './direct-read.js'
import { type DirectWriter, writeDirectly } from './direct-write.js'
import { type Arrival, arrivalOf, Lobby, type LobbyOptions } from './lobby.js'
import { descriptorOf, readNow, sleepNow, writeNow } from './read-now.js'
import type { TlsClient } from './tls.js'
import { type Flushable, turn } from './turn.js'

export interface PeerHandler {
  /** `chunk` is shared memory: whatever outlives this call must be copied. */
  onData(chunk: Buffer): void
  /** Called once, whoever closed. `reason` is a short name such as `eof`, `ECONNRESET`, `output-limit`. */
  onClose(reason: string): void
  /**
   * Nothing more will arrive: the other end has closed, or its half, or is lost. Without this the peer is closed at once.
   * Who has it closes the peer itself; until then what is written leaves if anybody may still read it, and is dropped if not.
   */
  onEnd?(reason: string): void
  /** Right before queued bytes leave: the last chance to add some. */
  onFlush?(): void
  /** The socket took everything that waited for it. */
  onDrain?(): void
}

export interface PeerOptions {
  /** Flushed before other peers: replicas, and what the processes of a proxy say to each other. */
  readonly early?: boolean
  /** At this many unsent bytes the peer is destroyed with reason `output-limit`. */
  readonly maxQueuedBytes?: number
  /**
   * After so many bytes in one turn of the event loop the rest waits for the next one. The system would go on reading a full
   * socket many times over: two megabytes, and whatever they take to be dealt with.
   */
  readonly turnBytes?: number
  /** Probes an idle connection after so long; undefined or 0: never. */
  readonly keepAliveMs?: number | undefined
}

/** Connections that wait to be accepted. */
const BACKLOG = 1024

export class Peer implements Flushable, DirectWriter {
  readonly out = new Encoder(2, 1024)
  readonly early: boolean
  handler: PeerHandler
  maxQueuedBytes: number
  receivedBytes = 0
  sentBytes = 0
  #socket: Duplex
  #flushDue = false
  #closed = false
  #ending = false
  /** Why nothing more will arrive, while its handler is not done with what has. */
  #over: string | undefined
  /** Nobody reads what is written. */
  #deaf = false
  /** What may still arrive in this turn. */
  #turnLeft: number
  readonly #turnBytes: number
  /** The owner wants nothing more for now. */
  #paused = false
  #wantsDrain = false
  /** Bytes that libuv holds for us because the kernel did not take them yet. */
  #queuedDirectly = 0
  /** What must be encrypted cannot go around the stream. */
  readonly secure: boolean
  /** Whose connection it is, when that is not for the socket to say. */
  readonly #from: Address | undefined
  /** The name in the other end's certificate, if it showed a good one. */
  readonly certificate: string | undefined

  constructor(socket: Duplex, handler: PeerHandler, options: PeerOptions = {}, arrival?: Arrival) {
    this.#socket = socket
    this.secure = socket instanceof tls.TLSSocket
    this.#from = arrival?.from
    this.certificate = arrival?.certificate
    this.handler = handler
    this.early = options.early ?? false
    this.maxQueuedBytes = options.maxQueuedBytes ?? Number.POSITIVE_INFINITY
    this.#turnBytes = this.#turnLeft = options.turnBytes ?? Number.POSITIVE_INFINITY
    if (handler.onEnd !== undefined) socket.allowHalfOpen = true
    socket.on('end', () => this.#end('eof'))
    socket.on('error', error => this.#end((error as NodeJS.ErrnoException).code ?? error.message))
    socket.on('close', () => this.#end('closed'))
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Bytes that have not been handed to the kernel. */
  get queuedBytes(): number {
    if (this.#deaf) return this.out.length
    return this.#socket.writableLength + this.#queuedDirectly + this.out.length
  }

  get remoteHost(): string {
    return this.#from?.host ?? (this.#socket as net.Socket).remoteAddress ?? ''
  }

  get remotePort(): number {
    return this.#from?.port ?? (this.#socket as net.Socket).remotePort ?? 0
  }

  get localHost(): string {
    return (this.#socket as net.Socket).localAddress ?? ''
  }

  get localPort(): number {
    return (this.#socket as net.Socket).localPort ?? 0
  }

  /** To be called after writing to `out`: what is there leaves at the end of this turn. */
  flushSoon(): void {
    if (this.#flushDue || this.#closed) return
    this.#flushDue = true
    turn.add(this)
  }

  flush(): void {
    this.#flushDue = false
    if (this.#closed) return
    const { out } = this
    if (this.#deaf) return out.reset()
    this.handler.onFlush?.()
    if (out.full) return this.destroy('output-limit')
    if (out.length === 0) return
    if (this.queuedBytes > this.maxQueuedBytes) return this.destroy('output-limit')
    this.sentBytes += out.length
    // The kernel took it all at once, or somebody still refers to the block: then we need another one.
    if (this.#send(out.view())) out.reset()
    else out.take()
  }

  /** Answers whether the memory of `bytes` is free again. */
  #send(bytes: Buffer): boolean {
    const socket = this.#socket
    // What went through the stream leaves before what goes around it.
    if (socket.writableLength === 0 && !this.secure) {
      switch (writeDirectly(socket as net.Socket, bytes, this)) {
        case 'written':
          return true
        case 'queued':
          this.#queuedDirectly += bytes.length
          this.#wantsDrain = true
          return false
        case 'failed':
          this.#end('EPIPE')
          return false
        case 'unsupported':
      }
    }
    // The stream's own event tells only of writes that went beyond its mark.
    socket.write(bytes, this.#streamSent)
    if (socket.writableLength === 0) return true
    this.#wantsDrain = true
    return false
  }

  /** For who writes directly: what was queued has left. */
  sent(count: number, failed: boolean): void {
    this.#queuedDirectly -= count
    if (failed) this.#end('EPIPE')
    else this.#checkDrained()
  }

  /** Errors are told by the socket's event. */
  readonly #streamSent = (): void => this.#checkDrained()

  /** Bytes of the caller's own that nobody changes any more: large payloads that need no copy. Keeps the order with `out`. */
  writeThrough(bytes: Buffer): void {
    if (this.#closed) return
    this.flush()
    if (this.#closed || this.#deaf) return
    this.sentBytes += bytes.length
    this.#send(bytes)
    if (this.queuedBytes > this.maxQueuedBytes) this.destroy('output-limit')
  }

  pause(): void {
    this.#paused = true
    this.#socket.pause()
  }

  resume(): void {
    this.#paused = false
    if (!this.#closed && this.#over === undefined && this.#turnLeft > 0) this.#socket.resume()
  }

  /** Sends what is queued, then closes. */
  end(): void {
    if (this.#closed || this.#ending) return
    this.flush()
    // The other end has closed, and nothing is on its way to it: there is nobody to say goodbye to.
    if (this.#over !== undefined && (this.#deaf || this.queuedBytes === 0)) return this.#finish(this.#over)
    this.#ending = true
    this.#socket.end(() => this.destroy('ended'))
  }

  destroy(reason: string): void {
    this.#finish(reason)
  }

  /** For whoever feeds this peer: bytes from the socket. */
  receive(chunk: Buffer): void {
    if (this.#closed) return
    this.receivedBytes += chunk.length
    if (this.#turnLeft !== Number.POSITIVE_INFINITY) this.#countTurn(chunk.length)
    this.handler.onData(chunk)
  }

  #countTurn(bytes: number): void {
    if (this.#turnLeft === this.#turnBytes) setImmediate(this.#nextTurn)
    this.#turnLeft -= bytes
    if (this.#turnLeft <= 0) this.#socket.pause()
  }

  readonly #nextTurn = (): void => {
    const full = this.#turnLeft <= 0
    this.#turnLeft = this.#turnBytes
    if (full && !this.#paused && !this.#closed) this.#socket.resume()
  }

  /** Takes what has arrived, the end included, while the event loop is kept waiting; to be called only by who keeps it. */
  poll(): void {
    if (this.#closed || this.#ending || this.secure || this.#socket.isPaused()) return
    const arrived = readNow(this.#socket as net.Socket)
    if (typeof arrived === 'string') this.#end(arrived)
    else if (arrived !== undefined) this.receive(arrived)
  }

  /**
   * Past the handler and the event loop, for who keeps everybody waiting: what has arrived, or arrives within so long; valid
   * until the next call. `gone`: nothing will any more.
   */
  takeNow(patienceMs: number): Buffer | 'gone' | undefined {
    if (this.#closed || this.secure) return 'gone'
    let arrived = readNow(this.#socket as net.Socket)
    if (arrived === undefined && patienceMs > 0) {
      sleepNow(patienceMs)
      arrived = readNow(this.#socket as net.Socket)
    }
    if (arrived === undefined) return undefined
    if (typeof arrived === 'string') return 'gone'
    this.receivedBytes += arrived.length
    return arrived
  }

  /** The same the other way, before what `out` holds. Answers false when the kernel has not taken it all within so long. */
  putNow(bytes: Buffer, patienceMs: number): boolean {
    if (this.#closed || this.secure || this.queuedBytes > this.out.length) return false
    for (let at = 0, waitedMs = 0; at < bytes.length; ) {
      const count = writeNow(this.#socket as net.Socket, bytes.subarray(at))
      if (count === undefined || waitedMs > patienceMs) return false
      at += count
      this.sentBytes += count
      if (count > 0) continue
      sleepNow(1)
      waitedMs++
    }
    return true
  }

  #checkDrained(): void {
    if (!this.#wantsDrain || this.#queuedDirectly > 0 || this.#socket.writableLength > 0) return
    this.#wantsDrain = false
    if (!this.#closed) this.handler.onDrain?.()
  }

  /** After EOF the other end may still read; after anything else nobody does. */
  #end(reason: string): void {
    if (this.#closed) return
    const isLost = reason !== 'eof'
    if (this.handler.onEnd === undefined || (this.#ending && isLost)) return this.#finish(reason)
    const isFirst = this.#over === undefined
    this.#over ??= reason
    if (isLost && !this.#deaf) this.#fallSilent()
    if (isFirst && !this.#closed) this.handler.onEnd(reason)
  }

  /** What waits for it to read has nothing to wait for. */
  #fallSilent(): void {
    this.#deaf = true
    this.#socket.destroy()
    this.out.reset()
    this.handler.onDrain?.()
  }

  #finish(reason: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#socket.destroy()
    this.handler.onClose(this.#ending && reason === 'closed' ? 'ended' : reason)
  }
}

// ── Accepting ───────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Listener {
  readonly host: string
  readonly port: number
  /** What a worker is handed. */
  readonly server: net.Server
  /** Its descriptor, and how many may wait there, for a porter; undefined where nobody can be let in without the event loop. */
  readonly fd: number | undefined
  readonly backlog: number
  /** Takes in a connection that a porter has accepted here; `fd` is ours from now on. */
  admit(fd: number): void
  /** Stops accepting; open peers stay. */
  close(): Promise<void>
}

type Accept = (
  adopt: (handler: PeerHandler, options?: PeerOptions) => Peer,
  socket: net.Socket,
  arrival: Arrival,
) => void

/**
 * Accepts connections; `accept` adopts the new one with a handler of its own, or it is refused and closed.
 * Throws what `listen` throws (EADDRINUSE, EACCES …).
 */
export function listen(
  where: { readonly host: string; readonly port: number } | { readonly path: string } | { readonly server: net.Server },
  accept: Accept,
  options: LobbyOptions = {},
): Promise<Listener> {
  const server = serverOf(accept, options)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    const listening = (): void => {
      server.removeListener('error', reject)
      resolve(listenerOf(server, options))
    }
    if ('server' in where) server.listen(where.server, listening)
    else if ('path' in where) server.listen(where.path, listening)
    else server.listen({ host: where.host, port: where.port, backlog: BACKLOG }, listening)
  })
}

/**
 * The same at once, for whoever has to answer in this turn whether it could be had: for addresses only, as a name would have
 * to be looked up. Throws with what is wrong. (The function that makes a handle is private to Node, though known by that name
 * since its beginnings; a test pins it.)
 */
export function listenNow(
  where: { readonly host: string; readonly port: number },
  accept: Accept,
  options: LobbyOptions = {},
): Listener {
  const { _createServerHandle: bind } = net as unknown as {
    _createServerHandle?: (host: string, port: number, family: number) => object | number
  }
  const family = net.isIP(where.host)
  if (family === 0) throw new Error(`${where.host} is no address`)
  const handle = bind?.(where.host, where.port, family)
  if (handle === undefined) throw new Error('this Node.js cannot listen at once')
  if (typeof handle === 'number') throw new Error(getSystemErrorName(handle))
  const server = serverOf(accept, options)
  const listener = listenerOf(server, options)
  // Whether the port is taken is known after this call; its reason comes later, as an event.
  server.listen(handle, BACKLOG)
  if (!server.listening) throw new Error('address already in use')
  return { ...listener, ...where, fd: listener.fd }
}

function serverOf(accept: Accept, options: LobbyOptions): net.Server {
  const server = net.createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: false })
  const arrived = (arrival: Arrival): void => {
    const { socket } = arrival
    let adopted = false
    const take = (handler: PeerHandler, options?: PeerOptions): Peer => {
      adopted = true
      return adopt(socket, handler, options, arrival)
    }
    accept(take, socket, arrival)
    if (!adopted) socket.destroy()
  }
  if (options.tls === undefined && options.proxyProtocol === undefined) {
    server.on('connection', socket => arrived(arrivalOf(socket)))
  } else {
    const lobby = new Lobby(options)
    server.on('connection', socket => lobby.enter(socket, arrived))
  }
  return server
}

function listenerOf(server: net.Server, options: LobbyOptions): Listener {
  // Running out of descriptors must not end the process; the connection is simply not accepted.
  server.on('error', () => undefined)
  const address = server.address()
  const { host, port } =
    typeof address === 'object' && address !== null
      ? { host: address.address, port: address.port }
      : { host: '', port: 0 }
  return {
    host,
    port,
    server,
    backlog: BACKLOG,
    get fd() {
      return options.tls === undefined && options.proxyProtocol === undefined ? descriptorOf(server) : undefined
    },
    admit(fd) {
      const accepted = { fd, pauseOnCreate: true, readable: true, writable: true }
      if (server.listening) server.emit('connection', new net.Socket(accepted))
      else closeSync(fd)
    },
    close: () => new Promise(done => server.close(() => done())),
  }
}

/**
 * Makes a Peer of an accepted socket. `net` offers reading into a shared buffer for outgoing sockets only, so the handle
 * is taken out of the paused socket and put into a new one that has the option. `_handle` is private to Node: this is the
 * only place that touches it, a test pins it, and without it the plain way of reading is used.
 */
export function adopt(accepted: net.Socket, handler: PeerHandler, options?: PeerOptions, arrival?: Arrival): Peer {
  if (options?.keepAliveMs) accepted.setKeepAlive(true, options.keepAliveMs)
  const peer = takeHandle(accepted, handler, options, arrival) ?? plain(accepted, handler, options, arrival)
  const rest = arrival?.rest
  // Once the caller has its peer, and before anything more is read.
  if (rest !== undefined) process.nextTick(() => peer.receive(rest))
  return peer
}

function takeHandle(
  accepted: net.Socket,
  handler: PeerHandler,
  options?: PeerOptions,
  arrival?: Arrival,
): Peer | undefined {
  if (arrival?.secure === true) return undefined
  const withHandle = accepted as net.Socket & { _handle?: { useUserBuffer?: unknown } | null }
  const handle = withHandle._handle
  if (typeof handle?.useUserBuffer !== 'function') return undefined
  withHandle._handle = null
  // The empty shell is what the server counts: gone, so that closing the server does not wait for it.
  accepted.destroy()
  let peer: Peer | undefined
  const receive = (chunk: Buffer): void => peer?.receive(chunk)
  const socket = new net.Socket({ handle, ...readInto(receive) } as net.SocketConstructorOpts)
  readDirectly(socket, receive)
  socket.setNoDelay(true)
  peer = new Peer(socket, handler, options, arrival)
  return peer
}

/** A peer over any stream (TLS, a fallback socket): reads arrive in buffers of their own. */
export function plain(socket: Duplex, handler: PeerHandler, options?: PeerOptions, arrival?: Arrival): Peer {
  const peer = new Peer(socket, handler, options, arrival)
  socket.on('data', (chunk: Buffer) => peer.receive(chunk))
  socket.resume()
  return peer
}

export interface ConnectOptions {
  readonly timeoutMs?: number
  readonly tls?: TlsClient | undefined
  /** The address of this machine to come from. */
  readonly localAddress?: string | undefined
}

/**
 * Opens a connection; a host that begins with a slash is the path of a unix socket. The handler's `onClose` tells when it
 * fails, too; `onOpen` when it stands, with TLS after the handshake.
 */
export function connect(
  to: { readonly host: string; readonly port: number } | { readonly path: string },
  handler: PeerHandler & { onOpen?(): void },
  options: PeerOptions & ConnectOptions = {},
): Peer {
  let peer: Peer | undefined
  const where = 'host' in to && to.host.startsWith('/') ? { path: to.host } : to
  const from = options.localAddress === undefined ? {} : { localAddress: options.localAddress }
  const receive = (chunk: Buffer): void => peer?.receive(chunk)
  const reading = readInto(receive)
  const socket =
    options.tls === undefined
      ? net.connect({ ...where, ...from, noDelay: true, ...reading } as net.NetConnectOpts)
      : tls.connect({ ...where, ...from, ...options.tls.settings('host' in to ? to.host : ''), ...reading })
  if (options.tls !== undefined) socket.setNoDelay(true)
  peer = new Peer(socket, handler, options)
  const opened = peer
  const timer =
    options.timeoutMs === undefined ? undefined : setTimeout(() => opened.destroy('connect-timeout'), options.timeoutMs)
  socket.once(options.tls === undefined ? 'connect' : 'secureConnect', () => {
    clearTimeout(timer)
    if (options.tls === undefined) readDirectly(socket, receive)
    if (!opened.closed) handler.onOpen?.()
  })
  socket.once('close', () => clearTimeout(timer))
  return peer
}
