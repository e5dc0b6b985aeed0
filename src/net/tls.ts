/**
 * TLS on both sides. What it is made of (files, versions, whom to trust) is plain data, so that it can be handed to a
 * worker; certificates are read when an end is made and again when it is told to reload. A reload changes what the next
 * handshake shows; connections that stand are not touched, and a set of files that does not fit together changes nothing.
 */
import { readdirSync, readFileSync } from 'node:fs'
import type net from 'node:net'
import { join } from 'node:path'
import tls from 'node:tls'

export type TlsVersion = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3'

interface TlsMaterial {
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  readonly keyPass?: string | undefined
  /** Authorities we trust: one file, or all files of a folder. Neither: those of the system, on the connecting side. */
  readonly caFile?: string | undefined
  readonly caDir?: string | undefined
  readonly minVersion?: TlsVersion | undefined
  readonly maxVersion?: TlsVersion | undefined
  /** OpenSSL's names, for TLS 1.2 and 1.3 together; undefined: Node's choice. */
  readonly ciphers?: string | undefined
}

export interface TlsServerOptions extends TlsMaterial {
  /** `optional`: none is fine, a bad one is not. */
  readonly clientCertificates: 'off' | 'optional' | 'required'
  readonly dhParamsFile?: string | undefined
  readonly preferServerCiphers?: boolean | undefined
}

export interface TlsClientOptions extends TlsMaterial {
  /** The name its certificate must bear; undefined: the host we connect to. */
  readonly serverName?: string | undefined
  /** Any certificate of a trusted authority will do, whatever its name: so Redis' replicas check their masters. */
  readonly ignoreName?: boolean | undefined
  /** The bytes are encrypted, and nobody knows for whom: any certificate will do. */
  readonly insecure?: boolean | undefined
}

/** The files cannot be used together. The message is one line for people. */
export class TlsError extends Error {
  override readonly name = 'TlsError'
}

/** Who has not finished its handshake by then never will. */
const HANDSHAKE_MS = 10_000

export type Secured = (outcome: { readonly socket: tls.TLSSocket } | { readonly failed: string }) => void

/** The accepting side. */
export class TlsServer {
  #server: tls.Server
  /** Handshakes under way, by the other end's address. */
  readonly #waiting = new Map<string, Secured>()

  /** Throws TlsError. */
  constructor(private options: TlsServerOptions) {
    this.#server = this.#make(options)
  }

  /** Reads the files again, or other ones. Throws TlsError, and then nothing has changed. */
  reload(options: TlsServerOptions = this.options): void {
    this.#server = this.#make(options)
    this.options = options
  }

  /** How many handshakes are under way. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Makes a secure connection of an accepted one; `then` is called once. */
  secure(socket: net.Socket, then: Secured): void {
    const key = nameOf(socket)
    this.#waiting.set(key, then)
    // Nothing is heard of an end that vanishes at the wrong moment.
    socket.once('close', () => this.#settle(key, { failed: 'closed' }))
    this.#server.emit('connection', socket)
  }

  #settle(key: string, outcome: Parameters<Secured>[0]): void {
    const then = this.#waiting.get(key)
    this.#waiting.delete(key)
    then?.(outcome)
  }

  #make(options: TlsServerOptions): tls.Server {
    const { clientCertificates, preferServerCiphers, dhParamsFile } = options
    if (options.certFile === undefined || options.keyFile === undefined) {
      throw new TlsError('a certificate and its key are needed')
    }
    if (clientCertificates !== 'off' && options.caFile === undefined && options.caDir === undefined) {
      throw new TlsError('client certificates need an authority to be checked against')
    }
    const context = {
      ...contextOf(options),
      ...(dhParamsFile === undefined ? {} : { dhparam: read('Diffie-Hellman parameters', dhParamsFile) }),
      ...(preferServerCiphers === undefined ? {} : { honorCipherOrder: preferServerCiphers }),
    }
    check(context)
    const server = tls.createServer({
      ...context,
      requestCert: clientCertificates !== 'off',
      rejectUnauthorized: clientCertificates === 'required',
      handshakeTimeout: HANDSHAKE_MS,
    })
    server.on('secureConnection', socket => {
      const refused = clientCertificates === 'optional' && !socket.authorized && hasCertificate(socket)
      if (refused) socket.destroy()
      this.#settle(nameOf(socket), refused ? { failed: 'bad-certificate' } : { socket })
    })
    server.on('tlsClientError', (error, socket) => {
      this.#settle(nameOf(socket), { failed: (error as NodeJS.ErrnoException).code ?? 'tls' })
      socket.destroy()
    })
    return server
  }
}

/** The connecting side. */
export class TlsClient {
  #context: tls.SecureContext

  /** Throws TlsError. */
  constructor(private options: TlsClientOptions) {
    this.#context = check(contextOf(options))
  }

  /** Reads the files again, or other ones, for connections to come. Throws TlsError, and then nothing has changed. */
  reload(options: TlsClientOptions = this.options): void {
    this.#context = check(contextOf(options))
    this.options = options
  }

  /** What `tls.connect` needs besides the address. */
  settings(host: string): tls.ConnectionOptions {
    const { serverName, ignoreName, insecure } = this.options
    const name = serverName ?? host
    return {
      secureContext: this.#context,
      // Names only: an address in SNI is against the rules, and checked against the certificate all the same.
      ...(/^[\d.]+$|:|^\//.test(name) ? {} : { servername: name }),
      rejectUnauthorized: insecure !== true,
      checkServerIdentity: (_host, certificate) =>
        ignoreName === true ? undefined : tls.checkServerIdentity(name, certificate),
    }
  }
}

function nameOf(socket: net.Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`
}

function hasCertificate(socket: tls.TLSSocket): boolean {
  return Object.keys(socket.getPeerCertificate()).length > 0
}

/** The name in a client's certificate, once its signature was found good. */
export function certificateName(socket: net.Socket): string | undefined {
  const secured = socket as Partial<tls.TLSSocket>
  if (secured.authorized !== true || secured.getPeerCertificate === undefined) return undefined
  const name: unknown = secured.getPeerCertificate().subject?.CN
  return typeof name === 'string' ? name : undefined
}

function contextOf(options: TlsMaterial): tls.SecureContextOptions {
  const { certFile, keyFile, keyPass, caFile, caDir, minVersion, maxVersion, ciphers } = options
  const ca = [
    ...(caFile === undefined ? [] : [read('authorities', caFile)]),
    ...(caDir === undefined ? [] : readAll(caDir)),
  ]
  return {
    ...(certFile === undefined ? {} : { cert: read('certificate', certFile) }),
    ...(keyFile === undefined ? {} : { key: read('key', keyFile) }),
    ...(keyPass === undefined ? {} : { passphrase: keyPass }),
    ...(ca.length === 0 ? {} : { ca }),
    ...(minVersion === undefined ? {} : { minVersion }),
    ...(maxVersion === undefined ? {} : { maxVersion }),
    ...(ciphers === undefined ? {} : { ciphers }),
  }
}

function check(context: tls.SecureContextOptions): tls.SecureContext {
  try {
    return tls.createSecureContext(context)
  } catch (error) {
    throw new TlsError(`certificate and key cannot be used: ${(error as Error).message}`)
  }
}

function read(what: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new TlsError(`${what}: ${(error as Error).message}`)
  }
}

/** Certificates among the files of a folder; the others are none of our business. */
function readAll(folder: string): readonly Buffer[] {
  try {
    const files = readdirSync(folder, { withFileTypes: true }).filter(entry => entry.isFile() || entry.isSymbolicLink())
    return files.map(({ name }) => readFileSync(join(folder, name))).filter(text => text.includes('-----BEGIN CERT'))
  } catch (error) {
    throw new TlsError(`authorities: ${(error as Error).message}`)
  }
}
