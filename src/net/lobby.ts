/**
 * What stands between accepting a connection and its first command: who it says it comes from, and the handshake.
 *
 *     accepted ──PROXY header──▶ ──TLS handshake──▶ arrived
 *        └──not trusted, malformed, too slow, too many at once──▶ closed, with a reason
 */
import net from 'node:net'
import type { Address } from '../base/address.js'
import type { Millis } from '../base/units.js'
import { readProxyHeader } from './proxy-header.js'
import { certificateName, type TlsServer } from './tls.js'

export interface LobbyOptions {
  readonly tls?: TlsServer | undefined
  readonly proxyProtocol?: ProxyProtocol | undefined
  /** Called instead of an arrival. */
  readonly onTurnedAway?: ((reason: TurnedAway) => void) | undefined
}

export interface ProxyProtocol {
  /** Addresses and networks (`10.0.0.0/8`) of load balancers; the header is required of them and nobody else is served. */
  readonly trusted: readonly string[]
  readonly timeoutMs: Millis
}

export type TurnedAway = 'proxy-untrusted' | 'proxy-header' | 'tls-handshake' | 'too-many-handshakes'

/** A connection that may speak now. */
export interface Arrival {
  readonly socket: net.Socket
  readonly secure: boolean
  /** Whose connection it is. The host is empty for a unix socket. */
  readonly from: Address
  /** The name in its certificate, if it showed a good one. */
  readonly certificate: string | undefined
  /** What came behind the PROXY header. */
  readonly rest: Buffer | undefined
}

/** Connections that have not arrived yet, per listener. */
const WAITING_MAX = 1024

export class Lobby {
  readonly #trusted: net.BlockList | undefined
  #waiting = 0

  constructor(private readonly options: LobbyOptions) {
    if (options.proxyProtocol !== undefined) this.#trusted = networksOf(options.proxyProtocol.trusted)
  }

  enter(socket: net.Socket, arrived: (arrival: Arrival) => void): void {
    if (this.#waiting >= WAITING_MAX) return this.#turnAway(socket, 'too-many-handshakes')
    this.#waiting++
    let left = false
    const leave = (): void => {
      if (!left) this.#waiting--
      left = true
    }
    socket.on('error', ignore)
    socket.once('close', leave)
    this.#readHeader(socket, (from, rest) => {
      this.#secure(socket, rest, (secured, secure) => {
        leave()
        socket.removeListener('close', leave)
        socket.removeListener('error', ignore)
        arrived({
          socket: secured,
          secure,
          from,
          certificate: certificateName(secured),
          rest: secure ? undefined : rest,
        })
      })
    })
  }

  #readHeader(socket: net.Socket, then: (from: Address, rest: Buffer | undefined) => void): void {
    const { proxyProtocol } = this.options
    const itself = addressOf(socket)
    if (proxyProtocol === undefined || this.#trusted === undefined) return then(itself, undefined)
    if (!isAmong(this.#trusted, itself.host)) return this.#turnAway(socket, 'proxy-untrusted')
    const deadline = setTimeout(() => this.#turnAway(socket, 'proxy-header'), proxyProtocol.timeoutMs)
    socket.once('close', () => clearTimeout(deadline))
    let bytes: Buffer = Buffer.alloc(0)
    const onData = (chunk: Buffer): void => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
      const header = readProxyHeader(bytes)
      if (header.kind === 'partial') return
      clearTimeout(deadline)
      socket.removeListener('data', onData)
      if (header.kind === 'bad') return this.#turnAway(socket, 'proxy-header')
      socket.pause()
      const rest = bytes.subarray(header.length)
      then(header.from ?? itself, rest.length === 0 ? undefined : Buffer.from(rest))
    }
    socket.on('data', onData)
    socket.resume()
  }

  #secure(socket: net.Socket, rest: Buffer | undefined, then: (secured: net.Socket, secure: boolean) => void): void {
    const { tls } = this.options
    if (tls === undefined) return then(socket, false)
    // The handshake begins with what has been read already.
    if (rest !== undefined) socket.unshift(rest)
    tls.secure(socket, outcome => {
      if ('socket' in outcome) then(outcome.socket, true)
      else this.#turnAway(socket, 'tls-handshake')
    })
  }

  #turnAway(socket: net.Socket, reason: TurnedAway): void {
    socket.on('error', ignore)
    socket.destroy()
    this.options.onTurnedAway?.(reason)
  }
}

export function arrivalOf(socket: net.Socket): Arrival {
  return { socket, secure: false, from: addressOf(socket), certificate: undefined, rest: undefined }
}

function addressOf(socket: net.Socket): Address {
  return { host: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 }
}

function ignore(): void {}

/** Addresses and networks as a set. Throws what `net.BlockList` throws. */
export function networksOf(texts: readonly string[]): net.BlockList {
  const networks = new net.BlockList()
  for (const text of texts) {
    const [address = '', bits] = text.split('/')
    const family = net.isIP(address) === 6 ? 'ipv6' : 'ipv4'
    networks.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family)
  }
  return networks
}

/** A unix socket has no address: whoever may open it is trusted. */
function isAmong(networks: net.BlockList, host: string): boolean {
  const plain = host.replace(/^::ffff:/, '')
  return plain === '' || networks.check(plain, net.isIP(plain) === 6 ? 'ipv6' : 'ipv4')
}
