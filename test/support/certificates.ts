/**
 * An authority with certificates for a server, a client and a stranger (signed by nobody we trust), made with openssl in a
 * temporary folder, which goes with the test or file that asked for it.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Identity {
  readonly certFile: string
  readonly keyFile: string
}

export interface Certificates {
  readonly dir: string
  readonly caFile: string
  /** For `localhost` and 127.0.0.1. */
  readonly server: Identity
  readonly client: Identity
  readonly stranger: Identity
  /** Another certificate with this name, signed by the authority. */
  issue(name: string): Identity
  remove(): void
}

export function makeCertificates(): Certificates {
  const dir = mkdtempSync(join(tmpdir(), 'lagrange-tls-'))
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'ignore', 'ignore'] })
  }
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const selfSigned = (name: string): void =>
    openssl(
      'req',
      '-x509',
      ...key,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.crt`,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
    )
  writeFileSync(join(dir, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1')
  let serial = 1
  const issue = (name: string): Identity => {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    const ca = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-set_serial', String(serial++)]
    openssl('x509', '-req', '-in', `${name}.csr`, ...ca, '-days', '2', '-extfile', 'names', '-out', `${name}.crt`)
    return identity(name)
  }
  const identity = (name: string): Identity => ({
    certFile: join(dir, `${name}.crt`),
    keyFile: join(dir, `${name}.key`),
  })
  selfSigned('ca')
  selfSigned('stranger')
  return {
    dir,
    caFile: join(dir, 'ca.crt'),
    server: issue('server'),
    client: issue('client'),
    stranger: identity('stranger'),
    issue,
    remove: () => rmSync(dir, { recursive: true, force: true }),
  }
}
