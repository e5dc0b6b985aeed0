/** Every route and every refusal, on real sockets, through both adapters. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { Refusal } from '../../../src/admin/backend.js'
import type { HttpServer } from '../../../src/admin/http.js'
import { topologyDescription } from '../../../src/admin/model.js'
import { routes } from '../../../src/admin/routes.js'
import { type AdminOptions, startAdmin } from '../../../src/admin/server.js'
import type { LagrangeEvent } from '../../../src/base/bus.js'
import { systemClock } from '../../../src/base/clock.js'
import { doneResult, FakeBackend } from '../../support/admin.js'

const token = 'a-token-of-at-least-22-letters'
const json = { 'content-type': 'application/json' }

for (const adapter of ['uws', 'node'] as const) {
  describe(`${adapter}:`, () => {
    let backend: FakeBackend
    let server: HttpServer
    const heard: LagrangeEvent[] = []

    beforeEach(async () => {
      heard.length = 0
      backend = new FakeBackend(5)
      backend.bus.listen(event => heard.push(event))
      server = await start({})
    })
    afterEach(() => server.close())

    async function start(options: Partial<AdminOptions>): Promise<HttpServer> {
      return startAdmin(systemClock, backend.bus, backend.store, backend, {
        host: '127.0.0.1',
        port: 0,
        token: '',
        allowedHosts: [],
        version: '0.1.0',
        adapter,
        ...options,
      })
    }
    const get = (path: string, headers: Headers = {}) => call(server.port, 'GET', path, headers)
    const post = (path: string, body: unknown, headers: Headers = json) =>
      call(server.port, 'POST', path, headers, typeof body === 'string' ? body : JSON.stringify(body))
    const audits = () => heard.filter(event => event.name === '+audit').map(event => event.fields)

    test('the adapter is the one asked for', () => expect(server.adapter).toBe(adapter))

    for (const path of ['/healthz', '/readyz']) {
      test(`${path}: 200, or 503 with the reasons`, async () => {
        expect(await get(path)).toMatchObject({ status: 200, json: { ok: true, reasons: [] } })
        backend.condition = { ok: false, reasons: ['no-master'] }
        expect(await get(path)).toMatchObject({ status: 503, json: { ok: false, reasons: ['no-master'] } })
        expect(await call(server.port, 'HEAD', path)).toMatchObject({ status: 503, text: '' })
      })
    }

    test('/metrics, and requests are counted by template', async () => {
      await get('/api/v1/topology?x=1')
      await get('/nowhere/1')
      await get('/nowhere/2')
      const { status, text, headers } = await get('/metrics')
      expect([status, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8'])
      expect(text).toContain('lagrange_admin_requests_total{method="GET",route="/api/v1/topology",code="200"} 1\n')
      expect(text).toContain('lagrange_admin_requests_total{method="GET",route="other",code="404"} 2\n')
    })

    test('/api/v1/topology answers what its schema says', async () => {
      const reply = await get('/api/v1/topology')
      expect(reply.status).toBe(200)
      expect(topologyDescription.parse(reply.json).groups[0]?.members).toHaveLength(3)
    })

    test('/api/v1/config', async () => {
      expect(await get('/api/v1/config')).toMatchObject({ json: { values: { 'admin.token': '[masked]' } } })
    })

    test('/ is a page that may load nothing but itself', async () => {
      const { status, text, headers } = await get('/')
      expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
      expect(headers['content-security-policy']).toContain("default-src 'none'; script-src 'sha256-")
      expect(text).toContain('<title>Lagrange</title>')
      expect(text).not.toMatch(/(src|href)="https?:/)
    })

    test('strangers can neither use up the rate of operators nor fill the audit log', async () => {
      await server.close()
      server = await start({ token })
      const tries = Array.from({ length: 40 }, () => post('/api/v1/failover', {}))
      expect((await Promise.all(tries)).map(reply => reply.status)).toEqual(new Array(40).fill(401))
      const refused = audits().length
      expect(refused).toBeGreaterThanOrEqual(10)
      expect(refused).toBeLessThan(40)
      expect((await post('/api/v1/failover', {}, { ...json, authorization: `Bearer ${token}` })).status).toBe(200)
      expect(audits().at(-1)).toMatchObject({ status: 200, actor: 'token' })
    })

    test('/openapi.json names every route', async () => {
      const { json } = await get('/openapi.json')
      const { paths } = json as { paths: Record<string, object> }
      for (const { path, method } of routes) expect(paths[path], path).toHaveProperty(method.toLowerCase())
      const operations = Object.values(paths).flatMap(path => Object.values(path as Record<string, Operation>))
      expect(new Set(operations.map(operation => operation.operationId)).size).toBe(routes.length)
      for (const operation of operations) expect(Object.keys(operation.responses)).toContain('200')
      const body = (paths['/api/v1/switchover'] as { post: Operation }).post.requestBody?.content['application/json']
      expect(body?.schema).toMatchObject({
        type: 'object',
        additionalProperties: false,
        properties: { to: { type: 'string' }, dryRun: { type: 'boolean' }, timeoutMs: { minimum: 100, default: 5000 } },
      })
      expect(body?.schema).not.toHaveProperty('required')
    })

    describe('switchover and failover', () => {
      test('done, with what it cost', async () => {
        const reply = await post('/api/v1/switchover', { to: '127.0.0.1:6402' })
        expect(reply).toMatchObject({ status: 200, json: doneResult })
        expect(backend.asked).toEqual([{ to: '127.0.0.1:6402', dryRun: false, timeoutMs: 5000 }])
        expect(audits()).toMatchObject([{ action: 'switchover', status: 200, actor: 'anonymous', from: '127.0.0.1' }])
      })

      test('an empty body asks for the best candidate', async () => {
        expect((await post('/api/v1/switchover', '')).status).toBe(200)
        expect((await post('/api/v1/failover', '')).status).toBe(200)
        expect(backend.asked).toEqual([{ dryRun: false, timeoutMs: 5000 }, { acceptDataLoss: false }])
      })

      for (const [refusal, status] of [
        ['unknown-node', 404],
        ['candidate-unfit', 422],
        ['no-candidate', 422],
        ['in-progress', 409],
        ['not-permitted', 409],
        ['rolled-back', 503],
        ['failed', 503],
      ] as const satisfies readonly (readonly [Refusal, number])[]) {
        test(`${refusal} is ${status}`, async () => {
          const passedOver = [{ id: '127.0.0.1:6403', reason: 'lagging' }]
          backend.result = { kind: 'refused', refusal, reason: 'lagging', detail: 'too far behind', passedOver }
          const reply = await post('/api/v1/switchover', {})
          expect(reply.headers['content-type']).toBe('application/problem+json')
          const type = `urn:lagrange:problem:${refusal}`
          expect(reply).toMatchObject({ status, json: { type, status, reason: 'lagging', passedOver } })
          expect(audits()).toMatchObject([{ status, problem: type, detail: 'lagging' }])
        })
      }

      for (const [name, body, path] of [
        ['no JSON', '{"to":', ''],
        ['not an object', '[]', ''],
        ['an unknown field', '{"too":"127.0.0.1:1"}', ''],
        ['a wrong type', '{"dryRun":"yes"}', 'dryRun'],
        ['a wrong address', '{"to":"there"}', 'to'],
        ['out of range', '{"timeoutMs":1}', 'timeoutMs'],
        ['a prototype', '{"__proto__":{"to":"a:1"}}', ''],
      ] as const) {
        test(`400: ${name}`, async () => {
          const reply = await post('/api/v1/switchover', body)
          expect(reply).toMatchObject({ status: 400, json: { type: 'urn:lagrange:problem:bad-request' } })
          if (path !== '') expect(reply.json).toMatchObject({ errors: [{ path }] })
          expect(backend.asked).toEqual([])
          expect(audits()).toHaveLength(1)
        })
      }

      test('413: a body over 64 KiB, whole or without end', async () => {
        expect((await post('/api/v1/switchover', 'x'.repeat(64 * 1024 + 1))).status).toBe(413)
        expect((await post('/api/v1/switchover', 'x'.repeat(5_000_000))).status).toBe(413)
        expect((await post('/api/v1/switchover', ' '.repeat(64 * 1024 - 2) + '{}')).status).toBe(200)
        expect(backend.asked).toHaveLength(1)
      })

      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', '']) {
        test(`415: ${JSON.stringify(type)}`, async () => {
          expect((await post('/api/v1/switchover', {}, { 'content-type': type })).status).toBe(415)
          expect(backend.asked).toEqual([])
        })
      }

      test('429: more than ten at once', async () => {
        const replies = await Promise.all(Array.from({ length: 30 }, () => post('/api/v1/failover', {})))
        const allowed = replies.filter(reply => reply.status === 200).length
        expect(allowed).toBeGreaterThanOrEqual(10)
        expect(replies.filter(reply => reply.status === 429)).toHaveLength(30 - allowed)
        expect(backend.asked).toHaveLength(allowed)
      })
    })

    test('404 and 405', async () => {
      expect(await get('/api/v2/topology')).toMatchObject({ status: 404, json: { status: 404 } })
      expect(await get('/api/v1/switchover')).toMatchObject({ status: 405, headers: { allow: 'POST' } })
      expect(await post('/metrics', {})).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } })
      expect(await call(server.port, 'DELETE', '/api/v1/topology')).toMatchObject({ status: 405 })
    })

    test('a fault of ours is a 500 that tells nothing, and the next request is served', async () => {
      backend.topology = () => {
        throw new Error('inner detail')
      }
      const reply = await get('/api/v1/topology')
      expect([reply.status, reply.text.includes('inner')]).toEqual([500, false])
      expect(heard.find(event => event.name === '+admin-error')?.fields.error).toBe('inner detail')
      expect((await get('/healthz')).status).toBe(200)
    })

    test('a client that hangs up before the answer harms nobody', async () => {
      let release: (() => void) | undefined
      backend.switchover = () => new Promise(resolve => (release = () => resolve(doneResult)))
      const socket = connect(server.port, '127.0.0.1')
      const head = 'POST /api/v1/switchover HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
      socket.write(`${head}Content-Length: 2\r\n\r\n{}`)
      await until(() => release !== undefined)
      socket.destroy()
      await get('/healthz')
      release?.()
      await until(() => audits().length === 1)
      expect((await get('/healthz')).status).toBe(200)
    })

    describe('who may ask: every route', () => {
      const paths = routes.map(route => [route.method, route.path, route.access] as const)

      for (const [method, path, access] of paths) {
        const body = method === 'POST' ? '{}' : undefined
        const headers: Headers = method === 'POST' ? json : {}

        test(`${method} ${path}: another host name is 421`, async () => {
          const reply = await call(server.port, method, path, { ...headers, host: 'evil.example' }, body)
          expect(reply).toMatchObject({ status: 421, json: { type: 'urn:lagrange:problem:wrong-host' } })
          expect(backend.asked).toEqual([])
        })

        test(`${method} ${path}: another site is 403`, async () => {
          const strange: readonly Headers[] = [
            { origin: 'https://evil.example' },
            { origin: 'null' },
            { 'sec-fetch-site': 'cross-site' },
          ]
          for (const extra of strange) {
            expect((await call(server.port, method, path, { ...headers, ...extra }, body)).status).toBe(403)
          }
          expect(backend.asked).toEqual([])
          const own = { ...headers, origin: `http://127.0.0.1:${server.port}`, 'sec-fetch-site': 'same-origin' }
          expect((await call(server.port, method, path, own, body)).status).toBe(200)
        })

        test(`${method} ${path}: ${access === 'token' ? 'needs the token' : 'needs no token'}`, async () => {
          await server.close()
          server = await start({ token })
          const statusWith = async (extra: Headers) =>
            (await call(server.port, method, path, { ...headers, ...extra }, body)).status
          const without = access === 'token' ? 401 : 200
          expect(await statusWith({})).toBe(without)
          expect(await statusWith({ authorization: 'Bearer wrong' })).toBe(without)
          expect(await statusWith({ authorization: `Basic ${token}` })).toBe(without)
          expect(backend.asked).toEqual([])
          expect(await statusWith({ authorization: `Bearer ${token}` })).toBe(200)
          expect(JSON.stringify(heard)).not.toContain(token)
        })
      }

      test('names that are ours, and every address', async () => {
        await server.close()
        server = await start({ allowedHosts: ['proxy.internal'] })
        for (const host of [
          'localhost',
          'localhost:1',
          '127.0.0.1',
          '[::1]:8400',
          '10.1.2.3:80',
          'Proxy.Internal:8400',
        ]) {
          expect((await get('/healthz', { host })).status, host).toBe(200)
        }
      })

      test('a link from another site may open the console, and only that', async () => {
        const headers = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }
        expect((await get('/', headers)).status).toBe(200)
        expect((await get('/api/v1/topology', headers)).status).toBe(403)
      })
    })

    describe('events', () => {
      test('as a list: after, limit, and what is gone', async () => {
        for (let n = 1; n <= 8; n++) backend.bus.event('info', '+tick', { n })
        const { json: all } = await get('/api/v1/events')
        expect(all).toMatchObject({ missed: true })
        const ids = (all as { events: LagrangeEvent[] }).events.map(event => event.id)
        expect(ids).toEqual([5, 6, 7, 8, 9])
        const some = (await get('/api/v1/events?after=7&limit=1')).json as { events: LagrangeEvent[] }
        expect(some).toMatchObject({ missed: true, events: [{ id: 9, name: '+tick', fields: { n: 8 } }] })
        expect((await get('/api/v1/events?after=9')).json).toEqual({ events: [], missed: false })
      })

      for (const query of ['after=-1', 'after=x', 'limit=0', 'limit=1001', 'from=3']) {
        test(`400: ?${query}`, async () => expect((await get(`/api/v1/events?${query}`)).status).toBe(400))
      }

      test('as a stream, resumed after the last id', async () => {
        backend.bus.event('info', '+one')
        backend.bus.event('info', '+two')
        const stream = await follow(server.port, { 'last-event-id': '2' })
        await until(() => stream.text().includes('+two'))
        backend.bus.event('warn', '+three', { node: 'a:1' })
        await until(() => stream.text().includes('+three'))
        expect(stream.text()).not.toContain('+one')
        expect(stream.text()).toContain('id: 4\ndata: {"id":4,"at":1700000000000,"level":"warn","name":"+three"')
      })

      test('a stream without last id begins now; one that missed something is told', async () => {
        for (let n = 1; n <= 8; n++) backend.bus.event('info', '+tick', { n })
        const now = await follow(server.port, {})
        await until(() => now.text().includes(': welcome'))
        expect(now.text()).not.toContain('+tick')
        const late = await follow(server.port, { 'last-event-id': '1' })
        await until(() => late.text().includes('"n":8'))
        expect(late.text()).toMatch(/^event: gap\ndata: \{\}\n\nid: 5\n/)
      })

      test('an id from before a restart gets everything', async () => {
        backend.bus.event('info', '+one')
        const stream = await follow(server.port, { 'last-event-id': '5000' })
        await until(() => stream.text().includes('+one'))
      })

      test('at most 64 streams, and their places become free again', async () => {
        const streams = await Promise.all(Array.from({ length: 64 }, () => follow(server.port, {})))
        const sse = { accept: 'text/event-stream' }
        expect((await get('/api/v1/events', sse)).status).toBe(503)
        for (const stream of streams) stream.close()
        await until(async () => {
          const one = await follow(server.port, {}).catch(() => undefined)
          return one !== undefined
        })
      })

      test('a follower that does not read is cut off, and others are not', async () => {
        const slow = connect(server.port, '127.0.0.1')
        let closed = false
        slow.on('close', () => (closed = true)).on('error', () => {})
        slow.write('GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n')
        await new Promise(resolve => slow.once('data', resolve))
        slow.pause()
        const quick = await follow(server.port, {})
        const filler = 'x'.repeat(100_000)
        for (let round = 0; round < 200; round++) {
          backend.bus.event('info', '+big', { round, filler })
          await new Promise(resolve => setImmediate(resolve))
          await until(() => quick.text().includes(`"round":${round},`))
          quick.clear()
        }
        slow.resume()
        await until(() => closed)
        backend.bus.event('info', '+last')
        await until(() => quick.text().includes('+last'))
      })

      test('closing the server ends the streams', async () => {
        const stream = await follow(server.port, {})
        await server.close()
        await until(() => stream.closed())
      })
    })

    test('a taken port is refused with the reason', async () => {
      await expect(start({ port: server.port })).rejects.toThrow(/EADDRINUSE/)
    })

    test('other machines may reach it only with a token', async () => {
      await expect(start({ host: '0.0.0.0' })).rejects.toThrow('0.0.0.0 can be reached by other machines')
    })
  })
}

interface Operation {
  readonly operationId: string
  readonly responses: object
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> }
}

type Headers = Readonly<Record<string, string>>

interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly json: unknown
}

function call(port: number, method: string, path: string, headers: Headers = {}, body?: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const length: Headers = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const request = httpRequest({
      host: '127.0.0.1',
      port,
      method,
      path,
      headers: { ...headers, ...length },
      agent: false,
    })
    request.once('error', reject)
    request.once('response', response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', chunk => (text += chunk))
      response.once('end', () => {
        const isJson = /json/.test(response.headers['content-type'] ?? '') && text !== ''
        const json: unknown = isJson ? JSON.parse(text) : undefined
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json })
      })
      // A refused body is cut off while it is sent; the answer is there already.
      request.removeListener('error', reject).on('error', () => {})
      response.on('error', () => {})
    })
    request.end(body)
  })
}

function follow(port: number, headers: Headers) {
  return new Promise<{ text(): string; clear(): void; closed(): boolean; close(): void }>((resolve, reject) => {
    let text = ''
    let closed = false
    const all = { accept: 'text/event-stream', ...headers }
    const request = httpRequest({ host: '127.0.0.1', port, path: '/api/v1/events', headers: all, agent: false })
    onTestFinished(() => void request.destroy())
    request.on('error', reject)
    request.once('response', response => {
      if (response.statusCode !== 200) return reject(new Error(String(response.statusCode)))
      response.setEncoding('utf8')
      response.on('data', chunk => (text += chunk))
      response.on('error', () => {})
      response.on('close', () => (closed = true))
      resolve({ text: () => text, clear: () => (text = ''), closed: () => closed, close: () => request.destroy() })
    })
    request.end()
  })
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(resolve => setTimeout(resolve, 2))
}
