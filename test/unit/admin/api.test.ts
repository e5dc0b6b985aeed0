/** Every route and every refusal, on real sockets, through both adapters. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { accessRoles, type Grant } from '../../../src/admin/access.js'
import type { Refusal } from '../../../src/admin/backend.js'
import type { HttpServer } from '../../../src/admin/http.js'
import { topologyDescription } from '../../../src/admin/model.js'
import { routes } from '../../../src/admin/routes.js'
import { type AdminOptions, startAdmin } from '../../../src/admin/server.js'
import type { LagrangeEvent } from '../../../src/base/bus.js'
import { systemClock } from '../../../src/base/clock.js'
import { doneResult, FakeBackend } from '../../support/admin.js'
import { call, follow, type Headers, openWebSocket, until, webSocketHead } from '../../support/http.js'

const token = 'a-token-of-at-least-22-letters'
const grants = [
  { name: 'root', role: 'admin', token },
  { name: 'alice', role: 'operate', token: 'operate-operate-operate-operate' },
  { name: 'grafana', role: 'read', token: 'read-read-read-read-read-read' },
] as const satisfies readonly Grant[]
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
        grants: [],
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
      await get('/api/v1/topology?intervalMs=1000')
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
      server = await start({ grants })
      const tries = Array.from({ length: 40 }, () => post('/api/v1/failover', {}))
      expect((await Promise.all(tries)).map(reply => reply.status)).toEqual(new Array(40).fill(401))
      const refused = audits().length
      expect(refused).toBeGreaterThanOrEqual(10)
      expect(refused).toBeLessThan(40)
      expect((await post('/api/v1/failover', {}, { ...json, authorization: `Bearer ${token}` })).status).toBe(200)
      expect(audits().at(-1)).toMatchObject({ status: 200, actor: 'root' })
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
      for (const route of routes) {
        const { method, access } = route
        const path = route.path.replace('{id}', route.name === 'killSession' ? '0-7' : '127.0.0.1%3A6402')
        const body = method !== 'POST' ? undefined : route.name === 'explain' ? '{"command":["GET","k"]}' : '{}'
        const socket = route.streams === 'websocket' ? webSocketHead : {}
        const headers: Headers = { ...(method === 'POST' ? json : {}), ...socket }
        const done = route.streams === 'websocket' ? 101 : 200
        const needed = access === 'probe' || access === 'page' ? undefined : access
        const statusWith = async (extra: Headers, text = body) =>
          (await call(server.port, method, path, { ...headers, ...extra }, text)).status

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
          for (const extra of strange) expect(await statusWith(extra)).toBe(403)
          expect(backend.asked).toEqual([])
          const own = { origin: `http://127.0.0.1:${server.port}`, 'sec-fetch-site': 'same-origin' }
          expect(await statusWith(own)).toBe(done)
        })

        test(`${method} ${path}: ${needed === undefined ? 'needs no token' : `needs the role ${needed}`}`, async () => {
          await server.close()
          server = await start({ grants })
          const without = needed === undefined ? done : 401
          expect(await statusWith({})).toBe(without)
          expect(await statusWith({ authorization: 'Bearer wrong' })).toBe(without)
          expect(await statusWith({ authorization: `Basic ${token}` })).toBe(without)
          expect(backend.asked).toEqual([])
          for (const grant of grants.toReversed()) {
            const may = needed === undefined || accessRoles.indexOf(grant.role) >= accessRoles.indexOf(needed)
            const before = backend.asked.length
            expect(await statusWith({ authorization: `Bearer ${grant.token}` }), grant.role).toBe(may ? done : 403)
            if (!may) expect(backend.asked).toHaveLength(before)
          }
          if (route.changes) {
            const actors = audits().map(({ actor, status }) => `${actor} ${status}`)
            expect(actors).toContain('unknown 401')
            expect(actors.at(-1)).toBe('root 200')
          } else expect(audits()).toEqual([])
          for (const grant of grants) expect(JSON.stringify(heard)).not.toContain(grant.token)
        })

        if (method === 'POST') {
          test(`${method} ${path}: wrong type, too large, not JSON, unknown field`, async () => {
            expect(await statusWith({ 'content-type': 'text/plain' })).toBe(415)
            expect(await statusWith({}, ' '.repeat(65 * 1024))).toBe(413)
            expect(await statusWith({}, '{')).toBe(400)
            expect(await statusWith({}, '{"command":["GET"],"surprise":1}')).toBe(400)
            expect(backend.asked).toEqual([])
          })
        }

        if (route.query !== undefined && method === 'GET') {
          test(`${method} ${path}: an unknown parameter is 400`, async () => {
            expect((await call(server.port, method, `${path}?surprise=1`, headers)).status).toBe(400)
          })
        }

        if (route.path.includes('{id}')) {
          test(`${method} ${path}: an unknown id is 404`, async () => {
            for (const id of ['127.0.0.1%3A1', '9-9', '%2e%2e%2f', '%ff', 'a/b', '', 'x'.repeat(400)]) {
              const unknown = route.path.replace('{id}', id)
              expect((await call(server.port, method, unknown, headers, body)).status, id).toBe(404)
            }
            expect(backend.asked).toEqual([])
          })
        }
      }

      test('to accept the loss of data needs the role admin', async () => {
        await server.close()
        server = await start({ grants })
        const lossy = (grant: Grant) =>
          post('/api/v1/failover', { acceptDataLoss: true }, { ...json, authorization: `Bearer ${grant.token}` })
        expect(await lossy(grants[1])).toMatchObject({ status: 403, json: { type: 'urn:lagrange:problem:forbidden' } })
        expect(backend.asked).toEqual([])
        expect((await lossy(grants[0])).status).toBe(200)
      })

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

    describe('Idempotency-Key', () => {
      test('a change asked for twice happens once, and both hear of it', async () => {
        const headers = { ...json, 'idempotency-key': 'k1' }
        const [one, two] = await Promise.all([
          post('/api/v1/switchover', {}, headers),
          post('/api/v1/switchover', {}, headers),
        ])
        const three = await post('/api/v1/switchover', {}, headers)
        expect([one, two, three].map(reply => reply.text)).toEqual(new Array(3).fill(one.text))
        expect(three.headers['idempotent-replayed']).toBe('true')
        expect(backend.asked).toHaveLength(1)
        expect(audits().map(line => line.replayed)).toEqual([undefined, true, true])
      })

      test('a key belongs to one request', async () => {
        const headers = { ...json, 'idempotency-key': 'k2' }
        await post('/api/v1/switchover', {}, headers)
        const other = await post('/api/v1/switchover', { to: '127.0.0.1:6402' }, headers)
        expect(other).toMatchObject({ status: 422, json: { type: 'urn:lagrange:problem:idempotency-conflict' } })
        expect(await post('/api/v1/pause', {}, { ...json, 'idempotency-key': 'a b' })).toMatchObject({ status: 400 })
        expect(backend.asked).toHaveLength(1)
      })
    })

    test('If-Match: nothing is changed when somebody else has changed the master', async () => {
      const { headers } = await get('/api/v1/topology')
      expect(headers.etag).toBe('"1"')
      const stale = await post('/api/v1/switchover', {}, { ...json, 'if-match': '"0"' })
      expect(stale).toMatchObject({ status: 412, json: { type: 'urn:lagrange:problem:epoch-changed' } })
      expect(backend.asked).toEqual([])
      expect((await post('/api/v1/switchover', {}, { ...json, 'if-match': '"1"' })).status).toBe(200)
    })

    describe('for load balancers', () => {
      for (const [path, status] of [
        ['/master', 200],
        ['/primary', 200],
        ['/read-write', 200],
        ['/master?node=127.0.0.1:6401', 200],
        ['/master?node=127.0.0.1:6402', 503],
        ['/replica', 200],
        ['/replica?node=127.0.0.1:6401', 503],
        ['/replica?node=127.0.0.1:6403&lag=20ms', 200],
        ['/replica?node=127.0.0.1:6403&lag=12ms', 503],
        ['/replica?node=127.0.0.1:6403&lag=100b', 200],
        ['/replica?node=127.0.0.1:6403&lag=99b', 503],
        ['/replica?node=127.0.0.1:6403&lag=1kB', 200],
        ['/replica?node=127.0.0.1:9999', 503],
        ['/read-only?node=127.0.0.1:6401&lag=1ms', 200],
        ['/replica?lag=50', 400],
        ['/replica?lag=fast', 400],
      ] as const) {
        test(`${path}: ${status}`, async () => {
          expect((await get(path)).status).toBe(status)
          expect((await call(server.port, 'HEAD', path)).status).toBe(status)
        })
      }
    })

    test('OpenMetrics when it is asked for', async () => {
      backend.store.histogram('lagrange_read_staleness_seconds', { group: 'main' }).observe(0.3)
      backend.store.histogram('lagrange_read_staleness_seconds', { group: 'main' }).name(0.3, { command: 'get' }, 5000)
      await get('/healthz')
      const { text, headers } = await get('/metrics', { accept: 'application/openmetrics-text; version=1.0.0' })
      expect(headers['content-type']).toContain('application/openmetrics-text')
      expect(text).toContain('# TYPE lagrange_admin_requests counter\n')
      expect(text).toContain('lagrange_admin_requests_total{method="GET",route="/healthz",code="200"} 1\n')
      expect(text).toContain('le="0.5",group="main"} 1 # {command="get"} 0.3 5\n')
      expect(text.endsWith('# EOF\n')).toBe(true)
    })

    test('a WebSocket brings events, from a given one on', async () => {
      backend.bus.event('info', '+one')
      backend.bus.event('info', '+two')
      const socket = await openWebSocket(server.port, '/api/v1/events/ws?after=2')
      await until(() => socket.messages().length === 1)
      backend.bus.event('warn', '+three', { filler: 'x'.repeat(70_000) })
      await until(() => socket.messages().length === 2)
      expect(socket.messages().map(text => JSON.parse(text).name)).toEqual(['+two', '+three'])
      expect((await get('/api/v1/events/ws')).status).toBe(426)
      await server.close()
      await until(() => socket.closed())
    })

    test('the topology as a stream, at the pace that is asked for', async () => {
      const stream = await follow(server.port, {}, '/api/v1/topology?intervalMs=50')
      await until(() => stream.text().split('data: {"epoch":4').length > 3)
    })

    test('changes are written to the audit file, and can be read over the API', async () => {
      await server.close()
      const auditFile = join(mkdtempSync(join(tmpdir(), 'lagrange-audit-')), 'audit.log')
      onTestFinished(() => rmSync(dirname(auditFile), { recursive: true, force: true }))
      server = await start({ grants, auditFile })
      const authorization = `Bearer ${token}`
      await post('/api/v1/instances/127.0.0.1%3A6402/drain', { reason: 'disk' }, { ...json, authorization })
      await post('/api/v1/pause', {}, { ...json, authorization: `Bearer ${grants[2].token}` })
      const lines = readFileSync(auditFile, 'utf8')
        .trim()
        .split('\n')
        .map(line => JSON.parse(line))
      expect(lines).toMatchObject([
        { action: 'drain', actor: 'root', status: 200, path: '/api/v1/instances/127.0.0.1%3A6402/drain' },
        { action: 'pause', actor: 'grafana', status: 403 },
      ])
      expect(statSync(auditFile).mode & 0o777).toBe(0o600)
      const { json: list } = await get('/api/v1/audit', { authorization })
      expect((list as { events: LagrangeEvent[] }).events.map(event => event.fields.action)).toEqual(['drain', 'pause'])
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
