/**
 * `lagrange proxy` as a process, reached over TLS and by a unix socket, in front of a real group that speaks TLS: real
 * clients, a real switch of certificates and of users under way.
 */
import { execFile } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'
import { Client } from '../../src/net/client.js'
import { TlsClient } from '../../src/net/tls.js'
import { textOf } from '../../src/resp/protocol.js'
import { type Certificates, makeCertificates } from '../support/certificates.js'
import { lagrange, startConfigured, startProxy } from '../support/lagrange.js'
import { freePort } from '../support/ports.js'
import { requireReal } from '../support/real.js'
import { RedisNode, until } from '../support/redis-group.js'
import { startRedisServer } from '../support/servers.js'

const redis = requireReal('redis-server')
const dir = mkdtempSync(join(tmpdir(), 'lagrange-access-'))
let files: Certificates

beforeAll(() => {
  files = makeCertificates()
})
afterAll(() => {
  files.remove()
  rmSync(dir, { recursive: true, force: true })
})

function configFile(options: object): string {
  const file = join(dir, `proxy-${Math.random()}.yaml`)
  writeFileSync(file, stringify(options))
  return file
}

/** A master and a replica that speak TLS only, to those who show a certificate. */
async function startSecuredGroup(): Promise<number[]> {
  const ports = [await freePort(), await freePort()]
  const { certFile, keyFile } = files.server
  for (const [index, port] of ports.entries()) {
    const tls = ['--port', '0', '--tls-port', String(port), '--tls-cert-file', certFile, '--tls-key-file', keyFile]
    const ca = ['--tls-ca-cert-file', files.caFile, '--tls-replication', 'yes']
    const follows = index === 0 ? [] : ['--replicaof', '127.0.0.1', String(ports[0])]
    await startRedisServer(redis.path, { port, args: [...tls, ...ca, ...follows] })
  }
  return ports
}

redis.describe('the proxy', () => {
  test('speaks TLS on both sides; a renewed certificate is shown after a reload, and nobody loses a connection', async () => {
    const ports = await startSecuredGroup()
    const port = await freePort()
    const socket = join(dir, 'proxy.sock')
    const [certFile, keyFile] = [join(dir, 'shown.crt'), join(dir, 'shown.key')]
    copyFileSync(files.stranger.certFile, certFile)
    copyFileSync(files.stranger.keyFile, keyFile)
    const config = configFile({
      listeners: [{ address: `127.0.0.1:${port}`, tls: true }, `unix:${socket}`],
      tls: { certFile, keyFile },
      upstreams: ports.map(each => `127.0.0.1:${each}`),
      upstreamTls: { enabled: true, caFile: files.caFile, ...files.client },
      admission: { socketMode: '0700' },
    })
    const proxy = await startConfigured(config, port, await freePort())
    expect(statSync(socket).mode & 0o777).toBe(0o700)

    const open = (checked: boolean): Client => {
      const tls = new TlsClient({ caFile: files.caFile, insecure: !checked })
      const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 10_000, replyTimeoutMs: 20_000, tls })
      onTestFinished(() => client.close())
      return client
    }
    const before = open(false)
    expect(textOf(await before.call('SET', 'key', 'value'))).toBe('OK')
    await expect(open(true).call('PING')).rejects.toThrow(/connection failed/)

    copyFileSync(files.server.certFile, certFile)
    copyFileSync(files.server.keyFile, keyFile)
    proxy.process.kill('SIGHUP')
    await until('the new certificate is shown', () =>
      open(true)
        .call('PING')
        .then(
          () => true,
          () => false,
        ),
    )
    expect(textOf(await before.call('GET', 'key'))).toBe('value')

    // Other people's clients, over TLS and by the socket.
    const ioredis = new Redis({ port, tls: { rejectUnauthorized: false } })
    onTestFinished(() => void ioredis.disconnect())
    expect(await ioredis.get('key')).toBe('value')
    const cli = promisify(execFile)
    const secured = ['-p', String(port), '--tls', '--cacert', files.caFile, 'GET', 'key']
    expect((await cli('redis-cli', secured)).stdout).toBe('value\n')
    expect((await cli('redis-cli', ['-s', socket, 'GET', 'key'])).stdout).toBe('value\n')
    ioredis.disconnect()
    await proxy.stop()
    expect(statSync(socket, { throwIfNoEntry: false })).toBeUndefined()
  })

  test('reaches an instance by its unix socket, and takes users and rules of a file over at a reload', async () => {
    const path = join(dir, 'redis.sock')
    const node = new RedisNode(redis.path, await freePort())
    onTestFinished(() => node.stop())
    await node.start('--unixsocket', path)
    const users = join(dir, 'users.acl')
    writeFileSync(users, 'user default on nopass ~* &* +@all\nuser app on >pw ~app:* +@all\n')
    const options = { aclFile: users }
    const config = configFile(options)
    const proxy = await startProxy([`unix:${path}`], '-c', config)
    const open = (): Client => {
      const client = new Client(
        { host: '127.0.0.1', port: proxy.port },
        { connectTimeoutMs: 10_000, replyTimeoutMs: 20_000 },
      )
      onTestFinished(() => client.close())
      return client
    }
    const app = open()
    expect(textOf(await app.call('AUTH', 'app', 'pw'))).toBe('OK')
    expect(textOf(await app.call('SET', 'app:1', 'x'))).toBe('OK')
    await expect(app.call('SET', 'other', 'x')).rejects.toThrow(/^NOPERM/)

    writeFileSync(users, 'user default on nopass ~* &* +@all\n')
    writeFileSync(config, stringify({ ...options, rules: [{ commands: ['keys'], deny: true }] }))
    proxy.process.kill('SIGHUP')
    await until('the user has gone', () => app.closed)
    await expect(open().call('AUTH', 'app', 'pw')).rejects.toThrow(/^WRONGPASS/)
    await expect(open().call('KEYS', '*')).rejects.toThrow(/^NOPERM .* rule/)
    expect(textOf(await open().call('GET', 'app:1'))).toBe('x')
  })
})

test('files that do not fit are told in one line before anything starts', async () => {
  const listen = `127.0.0.1:${await freePort()}`
  const admin = 'off'
  for (const [options, message] of [
    [
      { listeners: [{ address: listen, tls: 'on' }], tls: { certFile: '/nowhere', keyFile: '/nowhere' } },
      /tls: .*ENOENT/,
    ],
    [{ upstreamTls: { enabled: true, caFile: '/nowhere' } }, /upstreamTls: .*ENOENT/],
    [{ aclFile: '/nowhere' }, /aclFile: .*ENOENT/],
  ] as const) {
    const { code, err } = await lagrange(['proxy', '-c', configFile({ ...options, admin: { listen: admin } })])
    expect(err).toMatch(message)
    expect(err.trim().split('\n').length).toBe(1)
    expect(code).toBe(2)
  }
})
