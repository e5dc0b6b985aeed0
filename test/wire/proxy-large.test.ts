/** Values too large to wait for pass through the proxy as they come, both ways. */
import net from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { bulk, type FakeUpstream, ROLE, startFakeUpstream } from '../support/fake-upstream.js'
import { inFrontOfFake, openClient } from '../support/in-front.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { until } from '../support/redis-group.js'
import { startNode } from '../support/servers.js'

const MIB = 1024 * 1024
const SIZE = 32 * MIB
const header = `$${SIZE}\r\n`

/** `GET large` is answered by the beginning of a value of 32 MiB. */
async function start(): Promise<{ proxy: ProxyUnderTest; upstream: FakeUpstream }> {
  let begun = false
  return inFrontOfFake(args => {
    // What is asked behind the read, the sample, is answered behind the value.
    if (begun && args[0] === 'ROLE') return Buffer.alloc(0)
    begun ||= args[1] === 'large'
    return args[1] === 'large' ? header + 'x'.repeat(MIB) : undefined
  })
}

/** Counts what it is sent. */
function reader(port: number): { socket: net.Socket; received: () => number; tail: () => string } {
  const socket = net.connect(port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  let received = 0
  let tail = ''
  socket.on('error', () => undefined)
  socket.on('data', chunk => {
    received += chunk.length
    tail = (tail + chunk.toString('latin1', Math.max(0, chunk.length - 200))).slice(-200)
  })
  return { socket, received: () => received, tail: () => tail }
}

test('a value is passed on before it has all come, and what was asked behind it comes behind it', async () => {
  const { proxy, upstream } = await start()
  const { socket, received, tail } = reader(proxy.port)
  socket.write('GET small\r\nGET large\r\nECHO after\r\nPING\r\n')
  const before = bulk('value of small').length + header.length
  await until('the beginning is there', () => received() >= before + MIB)
  for (let part = 1; part < SIZE / MIB; part++) upstream.say('x'.repeat(MIB))
  upstream.say(`\r\n${ROLE}`)
  const after = `\r\n${bulk('after')}+PONG\r\n`
  await until('all of it is there', () => received() >= before + SIZE + after.length)
  expect(received()).toBe(before + SIZE + after.length)
  expect(tail().endsWith(`x${after}`)).toBe(true)
})

test('an instance that dies in the middle of a value takes the client with it, and is asked nothing twice', async () => {
  let asked = 0
  const upstream = await startFakeUpstream(args => {
    if (args[1] !== 'large') return undefined
    asked++
    return header + 'x'.repeat(MIB)
  })
  const proxy = new ProxyUnderTest({ holdTimeoutMs: 100 })
  onTestFinished(() => proxy.stop())
  await proxy.start(upstream.port, [])
  const { socket, received } = reader(proxy.port)
  const closed = new Promise(resolve => socket.once('close', resolve))
  socket.write('GET large\r\n')
  await until('it has begun', () => received() > MIB / 2)
  await upstream.close()
  await closed
  expect(asked).toBe(1)
})

// ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Everything the client has sent and the proxy has not passed on. */
const ahead = (proxy: ProxyUnderTest): number =>
  Math.max(0, ...[...proxy.worker.sessions.values()].map(session => session.aheadBytes))

test('a value that is set is passed on before it has all come; order and freshness are kept', async () => {
  const node = await startNode()
  const proxy = new ProxyUnderTest()
  onTestFinished(() => proxy.stop())
  await proxy.start(node.port, [])
  const [client, other] = [await openClient(proxy), await openClient(proxy)]
  expect(await other.call('SET', 'k', 'old')).toBe('OK')
  const count = 16
  client.write(`*2\r\n$4\r\nECHO\r\n$1\r\na\r\n*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$${count * MIB}\r\n`)
  for (let part = 0; part < count; part++) {
    client.write('abcdefgh'.repeat(MIB / 8))
    await until('it is passed on', () => ahead(proxy) < MIB)
    // Not set before it is whole, and nobody waits for it.
    expect(await other.call('STRLEN', 'k')).toBe(3)
  }
  client.write('\r\n$2\r\nEX\r\n$3\r\n100\r\n')
  client.send(['STRLEN', 'k'], ['TTL', 'k'], ['GETRANGE', 'k', '-8', '-1'])
  const replies = [
    await client.next(),
    await client.next(),
    await client.next(),
    await client.next(),
    await client.next(),
  ]
  expect(replies.map(frame => ('value' in frame ? frame.value : frame))).toEqual([
    'a',
    'OK',
    count * MIB,
    100,
    'abcdefgh',
  ])
  expect(await other.call('STRLEN', 'k')).toBe(count * MIB)
  expect(proxy.worker.group?.inFlight).toBe(0)
})

test('what keys it has cannot be told is waited for, and what is refused is refused', async () => {
  const node = await startNode()
  const proxy = new ProxyUnderTest()
  onTestFinished(() => proxy.stop())
  await proxy.start(node.port, [])
  const client = await openClient(proxy)
  const value = 'x'.repeat(2 * MIB)
  expect(await client.call('MSET', 'a', value, 'b', value)).toBe('OK')
  expect(await client.call('APPEND', 'a', value)).toBe(4 * MIB)
  expect(await client.call('RPUSH', 'a', value)).toMatch(/^-WRONGTYPE/)
  expect(await client.call('GET', value)).toBe(null)
  expect(await client.call('SET', 'a', value, 'NX')).toBe(null)
  expect(await client.pipeline(['MULTI'], ['SET', 'a', value], ['EXEC'])).toEqual(['OK', 'QUEUED', ['OK']])
})

test('an instance that dies while a value is set: nobody knows, the rest is read over, and the client goes on', async () => {
  const first = await startNode()
  const second = await startNode()
  const proxy = new ProxyUnderTest()
  onTestFinished(() => proxy.stop())
  await proxy.start(first.port, [])
  const client = await openClient(proxy)
  client.write(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${4 * MIB}\r\n${'x'.repeat(2 * MIB)}`)
  await until('it is passed on', () => ahead(proxy) < MIB && (proxy.worker.group?.inFlight ?? 0) === 1)
  await first.stop()
  await proxy.setMembers(second.port, [])
  expect(await client.next()).toMatchObject({ type: 'error', value: expect.stringMatching(/^UNKNOWNRESULT/) })
  client.write(`${'x'.repeat(2 * MIB)}\r\n`)
  expect(await client.call('SET', 'k', 'small')).toBe('OK')
  expect(await client.call('GET', 'k')).toBe('small')
})

test('a client that goes away in the middle of a value leaves nothing behind', async () => {
  const node = await startNode()
  const proxy = new ProxyUnderTest()
  onTestFinished(() => proxy.stop())
  await proxy.start(node.port, [])
  const [client, other] = [await openClient(proxy), await openClient(proxy)]
  await other.call('SET', 'k', 'old')
  client.write(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${4 * MIB}\r\n${'x'.repeat(2 * MIB)}`)
  await until('it is passed on', () => proxy.worker.group?.inFlight === 1)
  client.close()
  await until('it is forgotten', () => proxy.worker.group?.inFlight === 0)
  expect(await other.call('GET', 'k')).toBe('old')
  expect(proxy.worker.sessions.size).toBe(1)
})
