/** Bytes on the admin socket that no decent client sends. uWebSockets.js aborts the process when it is misused: it must not be. */
import { connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HttpServer } from '../../../src/admin/http.js'
import { startAdmin } from '../../../src/admin/server.js'
import { systemClock } from '../../../src/base/clock.js'
import { FakeBackend } from '../../support/admin.js'

const post = 'POST /api/v1/switchover HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'

const samples: readonly (readonly [name: string, bytes: string])[] = [
  ['nothing', ''],
  ['half a request line', 'GET /heal'],
  ['half a head', 'GET /healthz HTTP/1.1\r\nHost: loc'],
  ['half a body', `${post}Content-Length: 100\r\n\r\n{"to":`],
  ['a body that is too large, cut', `${post}Content-Length: 100000\r\n\r\n${' '.repeat(70_000)}`],
  ['a negative length', `${post}Content-Length: -1\r\n\r\n{}`],
  ['an absurd length', `${post}Content-Length: 99999999999999999999\r\n\r\n{}`],
  ['two lengths', `${post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`],
  ['length and chunks', `${post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`],
  ['a chunk without end', `${post}Transfer-Encoding: chunked\r\n\r\nffffffff\r\n{}`],
  ['an endless head', `GET / HTTP/1.1\r\nHost: localhost\r\n${'X-A: b\r\n'.repeat(20_000)}`],
  ['a head line without end', `GET / HTTP/1.1\r\nHost: ${'a'.repeat(100_000)}`],
  ['a path without end', `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n\r\n`],
  ['no HTTP', 'PING\r\n'],
  ['Redis', '*1\r\n$4\r\nPING\r\n'],
  ['TLS', '\u0016\u0003\u0001\u0000\u00a5\u0001\u0000\u0000\u00a1\u0003\u0003'],
  ['HTTP/1.0', 'GET /healthz HTTP/1.0\r\n\r\n'],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['a whole URL', 'GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['dots', 'GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['a broken escape', 'GET /%zz?%zz=%zz HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['a query of a list', 'GET /api/v1/events?after=1&after=2&__proto__=3 HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['upgrade', 'GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n'],
  ['expect', `${post}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}`],
  ['many at once', 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(50)],
  ['a stream and more', 'GET /api/v1/events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n'.repeat(3)],
  ['an unknown method', 'BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n'],
]

for (const adapter of ['uws', 'node'] as const) {
  describe(`${adapter}:`, () => {
    const backend = new FakeBackend()
    let server: HttpServer

    beforeAll(async () => {
      const options = { host: '127.0.0.1', port: 0, grants: [], allowedHosts: [], version: '0.1.0', adapter }
      server = await startAdmin(systemClock, backend.bus, backend.store, backend, options)
    })
    afterAll(() => server.close())

    for (const [name, bytes] of samples) {
      test(name, async () => {
        await send(server.port, bytes)
        expect((await fetch(`http://127.0.0.1:${server.port}/healthz`)).status).toBe(200)
      })
    }

    test('anything', async () => {
      const piece = fc.oneof(
        fc.constantFrom(...samples.map(([, bytes]) => bytes.slice(0, 2000))),
        fc.constantFrom('\r\n', '\r\n\r\n', ': ', ' HTTP/1.1', '\u0000'),
        fc.string({ unit: 'binary', maxLength: 20 }),
      )
      await fc.assert(
        fc.asyncProperty(fc.array(piece, { maxLength: 5 }), async pieces => {
          await send(server.port, pieces.join(''))
          return (await fetch(`http://127.0.0.1:${server.port}/healthz`)).ok
        }),
        { numRuns: 60 },
      )
    })
  })
}

/** Sends, gives the server a moment to answer, and hangs up. */
function send(port: number, bytes: string): Promise<void> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => socket.end(Buffer.from(bytes, 'latin1')))
    const giveUp = setTimeout(() => socket.destroy(), 20)
    socket.on('data', () => {})
    socket.on('error', () => {})
    socket.once('close', () => {
      clearTimeout(giveUp)
      resolve()
    })
  })
}
