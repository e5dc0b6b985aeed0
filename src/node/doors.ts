/**
 * The ways into a node: `port` and `tls-port` on every address of `bind`, and its unix socket. And the one way out, the link
 * to a master, as far as it is secured by the same files.
 */
import { chmodSync, existsSync, unlinkSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Listener, listen } from '../net/peer.js'
import { TlsClient, TlsError, TlsServer, type TlsServerOptions, type TlsVersion } from '../net/tls.js'
import type { Config } from './config/config.js'
import type { DirectiveName } from './config/directives.js'
import type { NodeServer } from './server.js'

type Accept = Parameters<typeof listen>[1]

const CLIENT_CERTIFICATES = { yes: 'required', optional: 'optional', no: 'off' } as const
const VERSIONS: readonly TlsVersion[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']

export class Doors {
  #tls: TlsServer | undefined
  /** For the link to a master; undefined unless `tls-replication` is on. */
  #link: TlsClient | undefined
  readonly #listeners: Listener[] = []
  #port = 0
  #tlsPort = 0
  opened = false

  constructor(private readonly server: NodeServer) {}

  /** What clients are told: the plain port, or the only one there is. */
  get port(): number {
    return this.#port || this.#tlsPort || this.server.config.number('port')
  }

  /** What a master is told: where sentinels and its other replicas find us. */
  get replicationPort(): number {
    return this.server.config.flag('tls-replication') && this.#tlsPort > 0 ? this.#tlsPort : this.port
  }

  get link(): TlsClient | undefined {
    return this.#link
  }

  /** Throws what `listen` throws, and TlsError. */
  async open(accept: Accept): Promise<void> {
    const { config } = this.server
    this.opened = true
    this.#readFiles()
    this.#port = await this.#listenOn('port', accept)
    this.#tlsPort = await this.#listenOn('tls-port', accept)
    const path = this.#socketPath
    if (path !== undefined) await this.#listenAt(path, config.number('unixsocketperm'), accept)
  }

  /** Nobody comes in any more; who is there stays. */
  async close(): Promise<void> {
    await Promise.all(this.#listeners.map(listener => listener.close()))
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

  /** Answers the port; 0 when there is none. */
  async #listenOn(directive: 'port' | 'tls-port', accept: Accept): Promise<number> {
    const { config, log } = this.server
    const port = config.number(directive)
    if (port === 0) return 0
    const tls = directive === 'tls-port' ? this.#tls : undefined
    const onTurnedAway = (reason: string): void => {
      this.server.stats.connectionsReceived++
      log.verbose(`Error accepting a client connection: ${reason}`)
    }
    let opened = 0
    for (const name of config.text('bind').split(' ')) {
      const optional = name.startsWith('-')
      const host = bindAddress(optional ? name.slice(1) : name)
      try {
        this.#listeners.push(await listen({ host, port }, accept, { tls, onTurnedAway }))
        opened++
      } catch (error) {
        if (optional && opened > 0) continue
        log.warning(`Failed listening on port ${port} (TCP), aborting: ${(error as Error).message}`)
        throw error
      }
    }
    return port
  }

  /** Nobody may connect between the making of the socket and its permissions. */
  async #listenAt(path: string, permissions: number, accept: Accept): Promise<void> {
    if (existsSync(path)) unlinkSync(path)
    const umask = process.umask(0o177)
    const listening = listen({ path }, accept)
    process.umask(umask)
    this.#listeners.push(await listening)
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

/** `*` and `::*` are Redis' words for every address of a family. */
function bindAddress(name: string): string {
  if (name === '*' || name === '') return '0.0.0.0'
  return name === '::*' ? '::' : name
}
