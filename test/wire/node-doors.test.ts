/** How clients and replicas come into a node: TLS, the unix socket, and who is refused at the door. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { Client } from '../../src/net/client.js'
import { TlsClient, type TlsClientOptions } from '../../src/net/tls.js'
import { textOf } from '../../src/resp/protocol.js'
import { type Certificates, makeCertificates } from '../support/certificates.js'
import { freePort } from '../support/ports.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, startNode, startRedisServer, type TestServer } from '../support/servers.js'

let files: Certificates
beforeAll(() => {
  files = makeCertificates()
})
afterAll(() => files.remove())

async function tlsArgs(...more: string[]): Promise<{ tlsPort: number; args: string[] }> {
  const tlsPort = await freePort()
  const { certFile, keyFile } = files.server
  const paths = ['--tls-cert-file', certFile, '--tls-key-file', keyFile, '--tls-ca-cert-file', files.caFile]
  return { tlsPort, args: ['--tls-port', String(tlsPort), ...paths, ...more] }
}

function dial(host: string, port: number, tls?: TlsClientOptions): Client {
  const client = new Client(
    { host, port },
    {
      connectTimeoutMs: 10_000,
      replyTimeoutMs: 20_000,
      tls: tls && new TlsClient({ caFile: files.caFile, ...tls }),
    },
  )
  onTestFinished(() => client.close())
  return client
}

const ping = (client: Client): Promise<string> =>
  client.call('PING').then(
    frame => textOf(frame) ?? '',
    (error: Error) => error.message,
  )

describe('tls-port', () => {
  test('serves clients with a certificate, and without one as tls-auth-clients says', async () => {
    const { tlsPort, args } = await tlsArgs()
    const node = await startNode({ args })
    expect(await ping(dial('127.0.0.1', tlsPort, files.client))).toBe('PONG')
    expect(await ping(dial('127.0.0.1', tlsPort, {}))).toMatch(/connection failed/)
    expect(await ping(dial('127.0.0.1', tlsPort))).toMatch(/connection failed/)

    expect(textOf(await node.call('CONFIG', 'SET', 'tls-auth-clients', 'no'))).toBe('OK')
    expect(await ping(dial('127.0.0.1', tlsPort, {}))).toBe('PONG')
  })

  test('a certificate that cannot be read is refused, and the old one stays', async () => {
    const { tlsPort, args } = await tlsArgs('--tls-auth-clients', 'no')
    const node = await startNode({ args })
    const refused = await node.call('CONFIG', 'SET', 'tls-cert-file', '/nowhere')
    expect(refused).toMatchObject({ type: 'error', value: expect.stringContaining('Unable to update TLS') })
    expect(await ping(dial('127.0.0.1', tlsPort, {}))).toBe('PONG')
    const { certFile, keyFile } = files.issue('renewed')
    const pairs = ['tls-cert-file', certFile, 'tls-key-file', keyFile]
    expect(textOf(await node.call('CONFIG', 'SET', ...pairs))).toBe('OK')
    expect(await ping(dial('127.0.0.1', tlsPort, {}))).toBe('PONG')
  })

  test('without a certificate the node does not start', async () => {
    await expect(startNode({ args: ['--tls-port', String(await freePort())] })).rejects.toThrow(/certificate/)
  })
})

describe('tls-replication', () => {
  const real = requireReal('redis-server')

  async function follows(master: TestServer, replica: TestServer): Promise<void> {
    await until('the replica is linked', async () => (await infoOf(replica)).master_link_status === 'up')
    await master.call('SET', 'key', 'value')
    await until('the write is there', async () => textOf(await replica.call('GET', 'key')) === 'value')
    expect((await infoOf(master)).connected_slaves).toBe('1')
  }

  test('a node follows a node', async () => {
    const first = await tlsArgs()
    const second = await tlsArgs('--tls-replication', 'yes', '--replicaof', '127.0.0.1', String(first.tlsPort))
    const master = await startNode({ args: first.args })
    const replica = await startNode({ args: second.args })
    await follows(master, replica)
    // What the master tells sentinels of its replica is the door that speaks TLS.
    expect((await infoOf(master)).slave0).toContain(`port=${second.tlsPort},`)
  })

  real.test('a node follows redis-server, and redis-server a node', async () => {
    const first = await tlsArgs('--tls-replication', 'yes')
    const second = await tlsArgs('--tls-replication', 'yes', '--replicaof', '127.0.0.1', String(first.tlsPort))
    const server = await startRedisServer(real.path, { args: first.args })
    const node = await startNode({ args: second.args })
    await follows(server, node)
    await node.call('REPLICAOF', 'NO', 'ONE')
    await server.call('REPLICAOF', '127.0.0.1', String(second.tlsPort))
    await follows(node, server)
  })
})

describe('unixsocket', () => {
  test('serves with the permissions it was told', async () => {
    const path = join(files.dir, 'node.sock')
    const node = await startNode({ args: ['--unixsocket', path, '--unixsocketperm', '700'] })
    expect(statSync(path).mode & 0o777).toBe(0o700)
    expect(await ping(dial(path, 0))).toBe('PONG')
    await node.stop()
    expect(() => statSync(path)).toThrow()
  })
})
