/** Peers over TLS: what is accepted, what is refused, and how certificates are replaced while connections stand. */
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { Client } from '../../src/net/client.js'
import type { LobbyOptions } from '../../src/net/lobby.js'
import { listen, type Peer, type PeerHandler } from '../../src/net/peer.js'
import { TlsClient, type TlsClientOptions, TlsError, TlsServer, type TlsServerOptions } from '../../src/net/tls.js'
import { Decoder } from '../../src/resp/decoder.js'
import { requestLimits, textOf } from '../../src/resp/protocol.js'
import { type Certificates, makeCertificates } from '../support/certificates.js'

let files: Certificates
beforeAll(() => {
  files = makeCertificates()
})
afterAll(() => files.remove())

interface Echo {
  readonly port: number
  readonly tls: TlsServer
  readonly peers: Peer[]
  readonly turnedAway: string[]
}

/** Answers every request with its words. */
async function startEcho(options: Partial<TlsServerOptions> = {}, lobby: LobbyOptions = {}): Promise<Echo> {
  const server = new TlsServer({ ...files.server, caFile: files.caFile, clientCertificates: 'off', ...options })
  const peers: Peer[] = []
  const turnedAway: string[] = []
  const listener = await listen(
    { host: '127.0.0.1', port: 0 },
    adopt => {
      const decoder = new Decoder({ ...requestLimits })
      const handler: PeerHandler = {
        onData(chunk) {
          decoder.feed(chunk)
          while (decoder.nextRequest()) peer.out.bulk(decoder.args().join(' '))
          decoder.release()
          peer.flushSoon()
        },
        onClose: () => undefined,
      }
      const peer = adopt(handler)
      peers.push(peer)
    },
    { tls: server, onTurnedAway: reason => turnedAway.push(reason), ...lobby },
  )
  onTestFinished(async () => {
    for (const peer of peers) peer.destroy('test over')
    await listener.close()
  })
  return { port: listener.port, tls: server, peers, turnedAway }
}

function dial(port: number, options: TlsClientOptions = {}): Client {
  const tls = new TlsClient({ caFile: files.caFile, ...options })
  const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 10_000, replyTimeoutMs: 20_000, tls })
  onTestFinished(() => client.close())
  return client
}

const closing = async (client: Client): Promise<string> =>
  client.call('hello').then(
    frame => textOf(frame) ?? '',
    (error: Error) => error.message,
  )

describe('a connection over TLS', () => {
  test('carries pipelines and values larger than a record, in order', async () => {
    const { port, peers } = await startEcho()
    const client = dial(port)
    const words = Array.from({ length: 100 }, (_, index) => `${index}`.repeat(index * 40))
    const echoed = await Promise.all(words.map(word => client.call('x', word)))
    expect(echoed.map(textOf)).toEqual(words.map(word => `x ${word}`))
    const large = 'abcdefgh'.repeat(256 * 1024)
    expect(textOf(await client.call(large)) === large).toBe(true)
    expect(peers[0]?.secure).toBe(true)
    expect(peers[0]?.remoteHost).toBe('127.0.0.1')
  })

  test('is refused by a client that does not trust the authority, or means another name', async () => {
    const { port } = await startEcho()
    expect(await closing(dial(port, { caFile: files.stranger.certFile }))).toMatch(/UNABLE_TO_VERIFY|SELF_SIGNED/)
    expect(await closing(dial(port, { serverName: 'other.example' }))).toContain('ERR_TLS_CERT_ALTNAME_INVALID')
    expect(await closing(dial(port, { caFile: files.stranger.certFile, insecure: true }))).toBe('hello')
  })

  test('needs a TLS handshake', async () => {
    const { port, turnedAway } = await startEcho()
    const plain = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 10_000, replyTimeoutMs: 20_000 })
    expect(await closing(plain)).toMatch(/connection failed/)
    expect(turnedAway).toEqual(['tls-handshake'])
  })

  for (const [rule, who, outcome] of [
    ['required', 'client', 'hello'],
    ['required', 'nobody', 'refused'],
    ['required', 'stranger', 'refused'],
    ['optional', 'client', 'hello'],
    ['optional', 'nobody', 'hello'],
    ['optional', 'stranger', 'refused'],
    ['off', 'stranger', 'hello'],
  ] as const) {
    test(`client certificates ${rule}: ${who} is ${outcome === 'hello' ? 'served' : 'refused'}`, async () => {
      const { port, peers } = await startEcho({ clientCertificates: rule })
      const answer = await closing(dial(port, who === 'nobody' ? {} : files[who]))
      if (outcome === 'hello') expect(answer).toBe('hello')
      else expect(answer).toMatch(/connection failed/)
      expect(peers.length).toBe(outcome === 'hello' ? 1 : 0)
      if (outcome === 'hello') expect(peers[0]?.certificate).toBe(who === 'client' ? 'client' : undefined)
    })
  }

  test('stands while certificates are replaced, and the next one sees the new', async () => {
    const own = join(files.dir, 'renewed.crt')
    const ownKey = join(files.dir, 'renewed.key')
    copyFileSync(files.stranger.certFile, own)
    copyFileSync(files.stranger.keyFile, ownKey)
    const { port, tls } = await startEcho({ certFile: own, keyFile: ownKey })
    const before = dial(port, { insecure: true })
    expect(await closing(before)).toBe('hello')
    expect(await closing(dial(port))).toMatch(/connection failed/)

    // A certificate without its key changes nothing.
    copyFileSync(files.server.certFile, own)
    expect(() => tls.reload()).toThrow(TlsError)
    expect(await closing(dial(port, { insecure: true }))).toBe('hello')

    copyFileSync(files.server.keyFile, ownKey)
    tls.reload()
    expect(await closing(dial(port))).toBe('hello')
    expect(await closing(before)).toBe('hello')
  })

  test('of an old version is refused where the least is TLS 1.3', async () => {
    const { port } = await startEcho({ minVersion: 'TLSv1.3' })
    expect(await closing(dial(port, { maxVersion: 'TLSv1.2' }))).toMatch(/connection failed/)
    expect(await closing(dial(port))).toBe('hello')
  })

  test('files that are missing or do not fit are told in one line', () => {
    const make = (options: Partial<TlsServerOptions>) => () =>
      new TlsServer({ ...files.server, clientCertificates: 'off', ...options })
    expect(make({ certFile: '/nowhere/x.crt' })).toThrow(/certificate: ENOENT/)
    expect(make({ keyFile: files.client.keyFile })).toThrow(/cannot be used/)
    expect(make({ clientCertificates: 'required' })).toThrow(/authority/)
    expect(() => new TlsClient({ caFile: '/nowhere/ca.crt' })).toThrow(/authorities: ENOENT/)
  })
})
