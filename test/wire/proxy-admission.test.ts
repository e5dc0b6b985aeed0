/** Who may come in by the proxy's doors, and what is asked of those who are in. */
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { readProxyHeader } from '../../src/net/proxy-header.js'
import { defaultWorkerOptions, type ListenerOptions, type WorkerOptions } from '../../src/proxy/worker.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { until } from '../support/redis-group.js'
import { startNode } from '../support/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'lagrange-doors-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

async function startProxy(options: Partial<WorkerOptions> = {}): Promise<ProxyUnderTest> {
  const node = await startNode()
  const proxy = new ProxyUnderTest(options)
  onTestFinished(() => proxy.stop())
  await proxy.start(node.port, [])
  return proxy
}

async function open(port: number): Promise<RawClient> {
  const client = await RawClient.open(port)
  onTestFinished(() => client.close())
  return client
}

/** Another listener of the same proxy. */
async function door(proxy: ProxyUnderTest, options: Partial<ListenerOptions>): Promise<number> {
  const listener = { name: 'other', level: undefined, ...options }
  return (await proxy.worker.listen({ host: '127.0.0.1', port: 0 }, listener)).port
}

const rejected = (proxy: ProxyUnderTest, reason: string): number =>
  proxy.count('lagrange_client_connections_rejected_total', { reason })

describe('the number of clients', () => {
  test('is bounded in all, with the words of Redis, and again free when one goes', async () => {
    const proxy = await startProxy({ maxClients: 2 })
    const [first] = [await open(proxy.port), await open(proxy.port)] as const
    expect(await first.call('PING')).toBe('PONG')
    const third = await open(proxy.port)
    expect(await third.next()).toEqual({ type: 'error', value: 'ERR max number of clients reached' })
    await third.untilClosed()
    expect(rejected(proxy, 'max-clients')).toBe(1)
    first.close()
    await until('one has gone', () => proxy.worker.sessions.size === 1)
    expect(await (await open(proxy.port)).call('PING')).toBe('PONG')
  })

  test('is bounded for one address; who has not logged in may not take all places', async () => {
    const proxy = await startProxy({ maxPerAddress: 2 })
    const clients = [await open(proxy.port), await open(proxy.port)]
    expect(await (await open(proxy.port)).next()).toMatchObject({ value: expect.stringContaining('this address') })
    expect(await clients[1]?.call('PING')).toBe('PONG')

    const locked = await startProxy({ maxClients: 8, password: 'pw' })
    const strangers = [await open(locked.port), await open(locked.port)]
    expect(await strangers[0]?.call('PING')).toMatch(/^-NOAUTH/)
    expect(await (await open(locked.port)).next()).toMatchObject({ type: 'error' })
    expect(rejected(locked, 'max-unauthenticated')).toBe(1)
    expect(await strangers[0]?.call('AUTH', 'pw')).toBe('OK')
    const another = await open(locked.port)
    expect(await another.call('AUTH', 'pw')).toBe('OK')
    expect(await another.call('RESET')).toBe('RESET')
    expect(await (await open(locked.port)).next()).toMatchObject({ type: 'error' })
  })
})

describe('time', () => {
  test('to log in is bounded', async () => {
    const proxy = await startProxy({ password: 'pw', authTimeoutMs: 1000 })
    const friend = await open(proxy.port)
    expect(await friend.call('AUTH', 'pw')).toBe('OK')
    const stranger = await open(proxy.port)
    await stranger.untilClosed()
    expect(await friend.call('PING')).toBe('PONG')
    expect(rejected(proxy, 'auth-timeout')).toBe(1)
  })

  test('without a command ends in being closed, but not for one who waits', async () => {
    const proxy = await startProxy({ idleTimeoutMs: 1000 })
    const blocked = await open(proxy.port)
    blocked.send(['BLPOP', 'list', '0'])
    const subscriber = await open(proxy.port)
    await subscriber.call('SUBSCRIBE', 'channel')
    await (await open(proxy.port)).untilClosed()
    const writer = await open(proxy.port)
    await writer.pipeline(['RPUSH', 'list', 'x'], ['PUBLISH', 'channel', 'hello'])
    expect(await blocked.next()).toMatchObject({ items: [{ value: 'list' }, { value: 'x' }] })
    expect(await subscriber.next()).toMatchObject({ items: [{ value: 'message' }, {}, { value: 'hello' }] })
  })
})

describe('before a client has logged in', () => {
  test('what it may send is as small as with Redis', async () => {
    const proxy = await startProxy({ password: 'pw' })
    for (const [bytes, message] of [
      ['*11\r\n', 'unauthenticated multibulk length'],
      ['*2\r\n$4\r\nAUTH\r\n$16385\r\n', 'unauthenticated bulk length'],
      ['*1000000000\r\n', 'unauthenticated multibulk length'],
      ['*1\r\n$536870912\r\n', 'unauthenticated bulk length'],
    ] as const) {
      const client = await open(proxy.port)
      client.write(bytes)
      expect(await client.next()).toEqual({ type: 'error', value: `ERR Protocol error: ${message}` })
      await client.untilClosed()
    }
  })

  test('replies that it does not read are bounded', async () => {
    const proxy = await startProxy({ password: 'pw' })
    const client = await open(proxy.port)
    client.pause()
    const feed = setInterval(() => client.write('GET x\r\n'.repeat(10_000)), 1)
    onTestFinished(() => clearInterval(feed))
    await until('it is closed', () => proxy.worker.sessions.size === 0)
    expect(rejected(proxy, 'output-limit')).toBe(1)
  })
})

test('a browser is closed before it gets as far as its body', async () => {
  const proxy = await startProxy()
  for (const line of ['POST / HTTP/1.1\r\n', 'Host: example\r\n']) {
    const client = await open(proxy.port)
    client.write(`${line}SET k v\r\n`)
    await client.untilClosed()
    expect(client.frames).toEqual([])
  }
  expect(rejected(proxy, 'web')).toBe(2)
  expect(await (await open(proxy.port)).call('GET', 'k')).toBe(null)
})

describe('the PROXY protocol', () => {
  const v2 = (family: number, addresses: Buffer, command = 1): Buffer => {
    const head = Buffer.from('\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0', 'latin1')
    head[12] = 0x20 | command
    head[13] = family
    head.writeUInt16BE(addresses.length, 14)
    return Buffer.concat([head, addresses])
  }
  const four = Buffer.from([203, 0, 113, 7, 10, 0, 0, 1, 0xc8, 0x7c, 0x19, 0x00])
  const six = Buffer.alloc(36)
  six[0] = 0x20
  six[1] = 0x01
  six[15] = 1
  six.writeUInt16BE(51_324, 32)

  for (const [name, bytes, from] of [
    ['v1 TCP4', 'PROXY TCP4 203.0.113.7 10.0.0.1 51324 6400\r\n', '203.0.113.7:51324'],
    ['v1 TCP6', 'PROXY TCP6 2001::1 ::1 51324 6400\r\n', '2001::1:51324'],
    ['v2 TCP4', v2(0x11, four), '203.0.113.7:51324'],
    ['v2 TCP6', v2(0x21, six), '2001::1:51324'],
    ['v2 TCP4 with extensions', v2(0x11, Buffer.concat([four, Buffer.alloc(300)])), '203.0.113.7:51324'],
  ] as const) {
    test(`${name}: the client is who the header says, however it is cut`, async () => {
      const proxy = await startProxy({ protectedMode: false })
      const port = await door(proxy, { proxyProtocol: { trusted: ['127.0.0.0/8'], timeoutMs: 60_000 } })
      const ask = Buffer.from('PING\r\nCLIENT LIST\r\n')
      const all = Buffer.concat([Buffer.from(bytes), ask])
      for (const pieces of [[all], [...all].map(byte => Buffer.from([byte]))]) {
        const client = await open(port)
        for (const piece of pieces) client.write(piece)
        expect(await client.next()).toEqual({ type: 'simple', value: 'PONG' })
        expect(JSON.stringify(await client.next())).toContain(`addr=${from} `)
        client.close()
        await until('it has gone', () => proxy.worker.sessions.size === 0)
      }
    })
  }

  test('health checks of the balancer are its own', async () => {
    const proxy = await startProxy()
    const port = await door(proxy, { proxyProtocol: { trusted: ['127.0.0.1'], timeoutMs: 60_000 } })
    for (const header of ['PROXY UNKNOWN\r\n', v2(0, Buffer.alloc(0), 0)]) {
      const client = await open(port)
      client.write(Buffer.concat([Buffer.from(header), Buffer.from('PING\r\n')]))
      expect(await client.next()).toEqual({ type: 'simple', value: 'PONG' })
    }
  })

  test('who is not trusted, says nothing or something else is closed', async () => {
    const proxy = await startProxy()
    const untrusting = await door(proxy, { proxyProtocol: { trusted: ['10.0.0.0/8'], timeoutMs: 60_000 } })
    await (await open(untrusting)).untilClosed()
    expect(rejected(proxy, 'proxy-untrusted')).toBe(1)

    const port = await door(proxy, { proxyProtocol: { trusted: ['127.0.0.1'], timeoutMs: 50 } })
    await (await open(port)).untilClosed()
    for (const bytes of ['PING\r\n', 'PROXY TCP4 1 2 3 4\r\n', `PROXY ${'x'.repeat(200)}`, v2(0x11, Buffer.alloc(4))]) {
      const client = await open(port)
      client.write(bytes)
      await client.untilClosed()
      expect(client.frames).toEqual([])
    }
    expect(rejected(proxy, 'proxy-header')).toBe(5)
  })

  test('protected mode judges by who the header says', async () => {
    const proxy = await startProxy()
    const port = await door(proxy, { proxyProtocol: { trusted: ['127.0.0.1'], timeoutMs: 60_000 } })
    const client = await open(port)
    client.write('PROXY TCP4 203.0.113.7 10.0.0.1 51324 6400\r\n')
    expect(await client.next()).toMatchObject({
      type: 'error',
      value: expect.stringMatching(/^DENIED .*protected mode/),
    })
    expect(rejected(proxy, 'protected-mode')).toBe(1)
  })

  test('a header is found in any bytes or it is refused, and nothing beyond its bound is waited for', () => {
    const random = seeded(7)
    for (let turn = 0; turn < 20_000; turn++) {
      const start = [Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n'), v2(0x11, four), Buffer.alloc(0)][
        turn % 3
      ] as Buffer
      const bytes = Buffer.concat([start, Buffer.from(Array.from({ length: random(40) }, () => random(256)))])
      for (let flips = random(4); flips > 0; flips--) bytes[random(Math.max(1, bytes.length))] = random(256)
      const header = readProxyHeader(bytes)
      if (header.kind === 'header') expect(header.length).toBeLessThanOrEqual(bytes.length)
    }
    expect(readProxyHeader(Buffer.alloc(3000, 'PROXY ')).kind).toBe('bad')
  })
})

describe('rates', () => {
  test('a client that is faster is delayed, not refused; others are not', async () => {
    const proxy = await startProxy({ rates: { ...defaultWorkerOptions.rates, commandsPerSecond: 20 } })
    const [fast, slow] = [await open(proxy.port), await open(proxy.port)]
    const began = performance.now()
    const replies = fast.pipeline(...Array.from({ length: 30 }, () => ['PING']))
    expect(await slow.call('PING')).toBe('PONG')
    expect(await replies).toEqual(Array.from({ length: 30 }, () => 'PONG'))
    // Twenty at once, the others at their rate.
    expect(performance.now() - began).toBeGreaterThan(300)
    expect(proxy.count('lagrange_client_throttles_total')).toBeGreaterThan(0)
  })

  test('bytes count as well, and those of one user on all of its connections', async () => {
    const rates = { ...defaultWorkerOptions.rates, bytesPerSecond: 100_000, userCommandsPerSecond: 50 }
    const proxy = await startProxy({ rates })
    const began = performance.now()
    const client = await open(proxy.port)
    expect(await client.call('SET', 'k', 'x'.repeat(140_000))).toBe('OK')
    expect(await client.call('PING')).toBe('PONG')
    expect(performance.now() - began).toBeGreaterThan(200)
    const [one, two] = [await open(proxy.port), await open(proxy.port)]
    const again = performance.now()
    const pings = Array.from({ length: 40 }, () => ['PING'])
    await Promise.all([one.pipeline(...pings), two.pipeline(...pings)])
    expect(performance.now() - again).toBeGreaterThan(300)
  })
})

describe('listeners', () => {
  test('read-only: what might change something is refused, also in a transaction', async () => {
    const proxy = await startProxy()
    const [writer, reader] = [await open(proxy.port), await open(await door(proxy, { access: 'read-only' }))]
    await writer.call('SET', 'k', 'v')
    expect(await reader.call('GET', 'k')).toBe('v')
    expect(await reader.call('EVAL_RO', "return redis.call('get', KEYS[1])", '1', 'k')).toBe('v')
    for (const words of [
      ['SET', 'k', 'x'],
      ['EVAL', "return redis.call('set', KEYS[1], 'x')", '1', 'k'],
      ['PUBLISH', 'c', 'x'],
      ['FLUSHALL'],
      ['CONFIG', 'SET', 'maxmemory', '1'],
      ['BLPOP', 'k', '0'],
    ]) {
      expect(await reader.call(...words)).toMatch(/^-READONLY /)
    }
    expect(await reader.call('MULTI')).toBe('OK')
    expect(await reader.call('GET', 'k')).toBe('QUEUED')
    expect(await reader.call('DEL', 'k')).toMatch(/^-READONLY/)
    expect(await reader.call('EXEC')).toMatch(/^-EXECABORT/)
    expect(await writer.call('GET', 'k')).toBe('v')
  })

  test('at a path of the file system', async () => {
    const proxy = await startProxy()
    const path = join(dir, 'proxy.sock')
    await proxy.worker.listen({ path }, { name: `unix:${path}`, level: undefined })
    const socket = net.connect(path)
    onTestFinished(() => void socket.destroy())
    const reply = new Promise<string>(resolve => socket.once('data', chunk => resolve(String(chunk))))
    socket.write('PING\r\n')
    expect(await reply).toBe('+PONG\r\n')
  })
})

describe('rules', () => {
  test('give clients, commands and keys a level of their own, and deny', async () => {
    const proxy = await startProxy({
      rules: [
        { clientName: 'batch-*', level: 'eventual' },
        { keyPrefix: 'cache:', level: 'bounded', boundMs: 70 },
        { commands: ['lrange'], readFrom: 'master' },
        { commands: ['keys', 'config|set', '@dangerous'], deny: true },
        { clientName: 'nobody', deny: true },
      ],
    })
    const client = await open(proxy.port)
    const level = (): Promise<unknown> => client.call('LAGRANGE', 'CONSISTENCY')
    expect(await level()).toBe('causal')
    await client.call('CLIENT', 'SETNAME', 'batch-1')
    expect(await level()).toBe('eventual')
    expect(await client.call('KEYS', '*')).toBe('-NOPERM this command is denied by a rule of this proxy')
    expect(await client.call('CONFIG', 'SET', 'maxmemory', '0')).toMatch(/^-NOPERM/)
    expect(await client.call('FLUSHALL')).toMatch(/^-NOPERM/)
    expect(await client.call('CONFIG', 'GET', 'maxmemory')).toMatch(/^-NOPERM/)
    expect(await client.call('SET', 'cache:1', 'x')).toBe('OK')
    await client.call('LAGRANGE', 'CONSISTENCY', 'session')
    expect(await level()).toBe('session')
    await client.call('CLIENT', 'SETNAME', 'someone')
    expect(await level()).toBe('session')
    await client.call('RESET')
    expect(await level()).toBe('causal')
    await client.call('CLIENT', 'SETNAME', 'nobody')
    expect(await client.call('GET', 'x')).toMatch(/^-NOPERM/)
    expect(await client.call('RESET')).toBe('RESET')
    expect(await client.call('GET', 'x')).toBe(null)
  })

  test('change while clients are connected', async () => {
    const proxy = await startProxy()
    const client = await open(proxy.port)
    expect(await client.call('KEYS', '*')).toEqual([])
    expect(proxy.worker.reload({ ...defaultWorkerOptions, rules: [{ commands: ['keys'], deny: true }] })).toEqual([])
    expect(await client.call('KEYS', '*')).toMatch(/^-NOPERM/)
    proxy.worker.reload(defaultWorkerOptions)
    expect(await client.call('KEYS', '*')).toEqual([])
  })
})

function seeded(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return Math.floor((state / 0x80000000) * below)
  }
}
