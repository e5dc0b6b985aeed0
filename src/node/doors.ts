/**
 * The ways into a node: `port` and `tls-port` on every address of `bind`, and its unix socket. And the one way out, the link
 * to a master, as far as it is secured by the same files.
 *
 * All three can be moved while the node runs: who is there stays. A new port is opened before the old one is closed; other
 * addresses on the same port only after it, and if they cannot be had, the old ones are opened again.
 */
import { chmodSync, existsSync, unlinkSync } from 'node:fs'
import { resolve } from 'node:path'
import type { LobbyOptions } from '../net/lobby.js'
import { type Listener, listen, listenNow } from '../net/peer.js'
import { Porter } from '../net/porter.js'
import { TlsClient, TlsError, TlsServer, type TlsServerOptions, type TlsVersion } from '../net/tls.js'
import type { Config } from './config/config.js'
import type { DirectiveName } from './config/directives.js'
import type { NodeServer } from './server.js'

type Accept = Parameters<typeof listen>[1]
type PortDirective = 'port' | 'tls-port'

const PORT_REFUSED = 'Unable to listen on this port. Check server logs.'
const BIND_REFUSED = 'Failed to bind to specified addresses.'

const CLIENT_CERTIFICATES = { yes: 'required', optional: 'optional', no: 'off' } as const
const VERSIONS: readonly TlsVersion[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']

export class Doors {
  #tls: TlsServer | undefined
  /** For the link to a master; undefined unless `tls-replication` is on. */
  #link: TlsClient | undefined
  readonly #listeners: Record<PortDirective, readonly Listener[]> = { port: [], 'tls-port': [] }
  readonly #ports: Record<PortDirective, number> = { port: 0, 'tls-port': 0 }
  /** The addresses that are listened on. */
  #bound = ''
  #unix: Listener | undefined
  #accept: Accept = () => undefined
  readonly #porter = new Porter()
  opened = false

  constructor(private readonly server: NodeServer) {}

  /** What clients are told: the plain port, or the only one there is. */
  get port(): number {
    return this.#ports.port || this.#ports['tls-port'] || this.server.config.number('port')
  }

  /** What a master is told: where sentinels and its other replicas find us. */
  get replicationPort(): number {
    const tlsPort = this.#ports['tls-port']
    return this.server.config.flag('tls-replication') && tlsPort > 0 ? tlsPort : this.port
  }

  get link(): TlsClient | undefined {
    return this.#link
  }

  /** Throws what `listen` throws, and TlsError. */
  async open(accept: Accept): Promise<void> {
    const { config } = this.server
    this.opened = true
    this.#accept = accept
    this.#bound = config.text('bind')
    this.#readFiles()
    await this.#listenOn('port')
    await this.#listenOn('tls-port')
    const path = this.#socketPath
    if (path !== undefined) await this.#listenAt(path, config.number('unixsocketperm'))
  }

  /** CONFIG SET port or tls-port: answers why it cannot be had. */
  move(directive: PortDirective): string | undefined {
    if (!this.opened) return undefined
    if (directive === 'tls-port') {
      const refusal = this.reload()
      if (refusal !== undefined) return refusal
    }
    const port = this.server.config.number(directive)
    if (port === this.#ports[directive]) return undefined
    const opened = this.#listenNow(directive, port, this.#bound)
    if (opened === undefined) return PORT_REFUSED
    this.#close(directive)
    this.#listeners[directive] = opened
    this.#ports[directive] = port
    return undefined
  }

  /** CONFIG SET bind: answers why it cannot be had. */
  rebind(): string | undefined {
    if (!this.opened) return undefined
    const before = this.#bound
    if (this.#bindTo(this.server.config.text('bind'))) return undefined
    if (!this.#bindTo(before)) this.server.log.warning(`Could not listen on ${before} any more`)
    return BIND_REFUSED
  }

  #bindTo(addresses: string): boolean {
    const directives: readonly PortDirective[] = ['port', 'tls-port']
    for (const directive of directives) this.#close(directive)
    this.#bound = addresses
    for (const directive of directives) {
      const opened = this.#listenNow(directive, this.#ports[directive], addresses)
      if (opened === undefined) return false
      this.#listeners[directive] = opened
    }
    return true
  }

  #close(directive: PortDirective): void {
    for (const listener of this.#listeners[directive]) void listener.close()
    this.#listeners[directive] = []
  }

  // ── While a script keeps the event loop ───────────────────────────────────────────────────────────────────────────

  /** Newcomers are let in by `admitNow` until `busyEnds`. */
  busyBegins(): void {
    const { port } = this.#listeners
    this.#porter.begin(this.#unix === undefined ? port : [...port, this.#unix])
  }

  admitNow(): void {
    this.#porter.poll()
  }

  busyEnds(): void {
    this.#porter.end()
  }

  /** Nobody comes in any more; who is there stays. */
  async close(): Promise<void> {
    const { port, 'tls-port': tlsPort } = this.#listeners
    await Promise.all([...port, ...tlsPort, this.#unix].map(listener => listener?.close()))
    const path = this.#socketPath
    if (path !== undefined && existsSync(path)) unlinkSync(path)
  }

  /** After a change of a `tls-` directive, or of a file behind it; answers why it is refused. Who is there stays. */
  reload(): string | undefined {
    try {
      this.#readFiles()
      return undefined
    } catch (error) {
      if (!(error instanceof TlsError)) throw error
      this.server.log.warning(`Failed to configure TLS: ${error.message}`)
      return 'Unable to update TLS configuration. Check server logs.'
    }
  }

  #readFiles(): void {
    const { config } = this.server
    const replicates = config.flag('tls-replication')
    if (config.number('tls-port') === 0 && !replicates) return
    const options = serverOptions(config)
    if (replicates && options.caFile === undefined && options.caDir === undefined) {
      throw new TlsError('tls-replication needs tls-ca-cert-file or tls-ca-cert-dir')
    }
    if (this.#tls === undefined) this.#tls = new TlsServer(options)
    else this.#tls.reload(options)
    this.#link = replicates ? new TlsClient({ ...options, ...linkIdentity(config), ignoreName: true }) : undefined
  }

  async #listenOn(directive: PortDirective): Promise<void> {
    const port = this.server.config.number(directive)
    if (port === 0) return
    const opened: Listener[] = []
    for (const { host, optional } of addressesOf(this.#bound)) {
      try {
        opened.push(await listen({ host, port }, this.#accept, this.#lobbyOf(directive)))
      } catch (error) {
        if (optional && opened.length > 0) continue
        this.#warn(port, error)
        throw error
      }
    }
    this.#ports[directive] = port
    this.#listeners[directive] = opened
  }

  /** On all of the addresses, or on none: undefined. */
  #listenNow(directive: PortDirective, port: number, addresses: string): readonly Listener[] | undefined {
    const opened: Listener[] = []
    if (port === 0) return opened
    for (const { host, optional } of addressesOf(addresses)) {
      try {
        opened.push(listenNow({ host, port }, this.#accept, this.#lobbyOf(directive)))
      } catch (error) {
        if (optional && opened.length > 0) continue
        this.#warn(port, error)
        for (const listener of opened) void listener.close()
        return undefined
      }
    }
    return opened
  }

  #warn(port: number, error: unknown): void {
    this.server.log.warning(`Failed listening on port ${port} (TCP), aborting: ${(error as Error).message}`)
  }

  #lobbyOf(directive: PortDirective): LobbyOptions {
    return {
      tls: directive === 'tls-port' ? this.#tls : undefined,
      onTurnedAway: reason => {
        this.server.stats.connectionsReceived++
        this.server.log.verbose(`Error accepting a client connection: ${reason}`)
      },
    }
  }

  /** Nobody may connect between the making of the socket and its permissions. */
  async #listenAt(path: string, permissions: number): Promise<void> {
    if (existsSync(path)) unlinkSync(path)
    const umask = process.umask(0o177)
    const listening = listen({ path }, this.#accept)
    process.umask(umask)
    this.#unix = await listening
    chmodSync(path, permissions === 0 ? 0o777 & ~umask : permissions)
  }

  get #socketPath(): string | undefined {
    const path = this.server.config.text('unixsocket')
    return path === '' ? undefined : resolve(this.server.cwd, path)
  }
}

/** Directives that a change of makes the files be read again. */
export const tlsDirectives: readonly DirectiveName[] = [
  'tls-replication',
  'tls-auth-clients',
  'tls-prefer-server-ciphers',
  'tls-cert-file',
  'tls-key-file',
  'tls-key-file-pass',
  'tls-client-cert-file',
  'tls-client-key-file',
  'tls-client-key-file-pass',
  'tls-dh-params-file',
  'tls-ca-cert-file',
  'tls-ca-cert-dir',
  'tls-protocols',
  'tls-ciphers',
  'tls-ciphersuites',
]

function serverOptions(config: Config): TlsServerOptions {
  const text = (name: DirectiveName): string | undefined => config.text(name) || undefined
  const ciphers = [text('tls-ciphersuites'), text('tls-ciphers')].filter(names => names !== undefined)
  return {
    certFile: text('tls-cert-file'),
    keyFile: text('tls-key-file'),
    keyPass: text('tls-key-file-pass'),
    caFile: text('tls-ca-cert-file'),
    caDir: text('tls-ca-cert-dir'),
    dhParamsFile: text('tls-dh-params-file'),
    ciphers: ciphers.length === 0 ? undefined : ciphers.join(':'),
    preferServerCiphers: config.flag('tls-prefer-server-ciphers'),
    clientCertificates: CLIENT_CERTIFICATES[config.text('tls-auth-clients') as keyof typeof CLIENT_CERTIFICATES],
    ...versionsOf(config.text('tls-protocols')),
  }
}

/** `tls-client-cert-file` and its key, where the node shows another certificate than to its clients. */
function linkIdentity(config: Config): Pick<TlsServerOptions, 'certFile' | 'keyFile' | 'keyPass'> {
  const certFile = config.text('tls-client-cert-file')
  if (certFile === '') return {}
  const keyPass = config.text('tls-client-key-file-pass') || undefined
  return { certFile, keyFile: config.text('tls-client-key-file') || undefined, keyPass }
}

/** `TLSv1.2 TLSv1.3`: from the least to the greatest of them. Throws TlsError for a word that is none. */
function versionsOf(words: string): Pick<TlsServerOptions, 'minVersion' | 'maxVersion'> {
  const wanted = words.split(/\s+/).filter(word => word !== '')
  if (wanted.length === 0) return { minVersion: 'TLSv1.2' }
  const places = wanted.map(word => VERSIONS.findIndex(version => version.toLowerCase() === word.toLowerCase()))
  if (places.includes(-1)) throw new TlsError(`tls-protocols: '${words}' is not a list of ${VERSIONS.join(', ')}`)
  return { minVersion: VERSIONS[Math.min(...places)], maxVersion: VERSIONS[Math.max(...places)] }
}

/** `*` and `::*` are Redis' words for every address of a family; none at all: nobody comes in by TCP. */
function addressesOf(bind: string): readonly { readonly host: string; readonly optional: boolean }[] {
  const names = bind.split(' ').filter(name => name !== '')
  return names.map(name => {
    const optional = name.startsWith('-')
    const host = optional ? name.slice(1) : name
    return { host: host === '*' ? '0.0.0.0' : host === '::*' ? '::' : host, optional }
  })
}
