/** How clients and replicas come into a node: TLS, the unix socket, and who is refused at the door. */
import { once } from 'node:events'
import { statSync } from 'node:fs'
import net from 'node:net'
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

describe('at run time', () => {
  const says = async (client: Client, ...words: string[]): Promise<string> => {
    const frame = await client.send(words)
    return frame.type === 'error' ? frame.value : (textOf(frame) ?? '')
  }

  test('another port is listened on instead, and who is there stays', async () => {
    const node = await startNode()
    const [first, taken, next] = [node.port, await freePort(), await freePort()]
    const other = net.createServer().listen(taken, '127.0.0.1')
    onTestFinished(() => void other.close())
    await once(other, 'listening')
    const there = dial('127.0.0.1', first)
    expect(await says(there, 'CONFIG', 'SET', 'port', String(taken))).toContain('Unable to listen on this port')
    expect(await ping(dial('127.0.0.1', first))).toBe('PONG')
    expect(await says(there, 'CONFIG', 'SET', 'port', String(next))).toBe('OK')
    expect(await ping(dial('127.0.0.1', next))).toBe('PONG')
    expect(await ping(dial('127.0.0.1', first))).toMatch(/ECONNREFUSED/)
    expect(await ping(there)).toBe('PONG')
    expect(await says(there, 'INFO', 'server')).toContain(`tcp_port:${next}\r\n`)
    expect(await says(there, 'CONFIG', 'SET', 'port', '0')).toBe('OK')
    expect(await ping(dial('127.0.0.1', next))).toMatch(/ECONNREFUSED/)
  })

  test('other addresses are listened on, or the old ones again', async () => {
    const node = await startNode()
    const there = dial('127.0.0.1', node.port)
    for (const bad of ['999.999.999.999', '127.0.0.1 192.0.2.1', 'nobody.invalid']) {
      expect(await says(there, 'CONFIG', 'SET', 'bind', bad)).toContain('Failed to bind to specified addresses')
      expect(await ping(dial('127.0.0.1', node.port))).toBe('PONG')
    }
    expect(await says(there, 'CONFIG', 'SET', 'bind', '127.0.0.2')).toBe('OK')
    expect(await ping(dial('127.0.0.1', node.port))).toMatch(/ECONNREFUSED/)
    expect(await ping(dial('127.0.0.2', node.port))).toBe('PONG')
    expect(await says(there, 'CONFIG', 'SET', 'bind', '')).toBe('OK')
    expect(await ping(dial('127.0.0.2', node.port))).toMatch(/ECONNREFUSED/)
    expect(await says(there, 'CONFIG', 'SET', 'bind', '127.0.0.1 -192.0.2.1')).toBe('OK')
    expect(await ping(dial('127.0.0.1', node.port))).toBe('PONG')
  })

  test('tls-port is opened with what it needs', async () => {
    const { tlsPort, args } = await tlsArgs()
    const node = await startNode()
    const there = dial('127.0.0.1', node.port)
    expect(await says(there, 'CONFIG', 'SET', 'tls-port', String(tlsPort))).toContain('Unable to update TLS')
    const pairs = args.map(word => word.replace(/^--/, ''))
    expect(await says(there, 'CONFIG', 'SET', ...pairs.slice(2), ...pairs.slice(0, 2))).toBe('OK')
    expect(await ping(dial('127.0.0.1', tlsPort, files.client))).toBe('PONG')
    expect(await says(there, 'CONFIG', 'SET', 'tls-port', '0')).toBe('OK')
    expect(await ping(dial('127.0.0.1', tlsPort, files.client))).toMatch(/connection failed/)
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
