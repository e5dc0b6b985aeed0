/** A client that does not read what it asked for: it costs a bounded amount, and nobody else waits for it. */
import net from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import type { Session } from '../../src/proxy/session.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import { bulk, ROLE } from '../support/fake-upstream.js'
import { inFrontOfFake, openClient } from '../support/in-front.js'
import type { ProxyUnderTest } from '../support/proxy.js'
import { until } from '../support/redis-group.js'

const KIB = 1024
const MIB = 1024 * KIB
/** What may wait for one client, with what one read brings on top. */
const COST = 1.5 * MIB

/** Does not read until told to. */
async function openDeaf(proxy: ProxyUnderTest): Promise<{ socket: net.Socket; session: Session }> {
  const known = new Set(proxy.worker.sessions.keys())
  const socket = net.connect(proxy.port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined)
  socket.pause()
  const isNew = (session: Session): boolean => !known.has(session.id)
  await until('it is let in', () => [...proxy.worker.sessions.values()].some(isNew))
  return { socket, session: [...proxy.worker.sessions.values()].find(isNew) as Session }
}

const letter = (index: number): string => String.fromCharCode(97 + (index % 26))
const value = (index: number): string => letter(index).repeat(250 * KIB)

test('many replies: what waits is bounded, others go on, and all of them come in order once it reads', async () => {
  const { proxy } = await inFrontOfFake(args => {
    return args[0] === 'GET' && args[1]?.startsWith('big:') ? bulk(value(Number(args[1].slice(4)))) : undefined
  })
  const [other, writer] = [await openClient(proxy), await openClient(proxy)]
  const { socket, session } = await openDeaf(proxy)
  const count = 96
  socket.write(Buffer.concat(Array.from({ length: count }, (_, index) => encodeCommand(['GET', `big:${index}`]))))
  await until('it is choked', () => session.choked)
  for (let round = 0; round < 50; round++) {
    expect(await other.call('GET', 'b')).toBe('value of b')
    expect(await writer.call('SET', 'k', 'v')).toBe('OK')
    expect(session.peer.queuedBytes + session.peer.out.capacity).toBeLessThan(COST)
  }
  expect(session.closed).toBe(false)

  let received = ''
  socket.on('data', chunk => (received += chunk.toString('latin1')))
  socket.resume()
  const size = count * bulk(value(0)).length
  await until('all is there', () => received.length >= size)
  const expected = Array.from({ length: count }, (_, index) => bulk(value(index))).join('')
  expect(received === expected).toBe(true)
  const connections = (): number => proxy.worker.group?.master?.connections.size ?? 0
  await until('one more is kept for the next time, and no others', () => connections() === 2)
})

test('a large reply: reads behind it are asked again, those who come later do not notice it, and it may stay', async () => {
  let asked = 0
  const { proxy, upstream } = await inFrontOfFake(args => {
    if (args[1] === 'large') return `$${32 * MIB}\r\n${'x'.repeat(MIB)}`
    // The first one stands behind the value, and is not answered before it.
    return args[1] === 'behind' && asked++ === 0 ? Buffer.alloc(0) : undefined
  })
  const [behind, later] = [await openClient(proxy), await openClient(proxy)]
  const { socket, session } = await openDeaf(proxy)
  socket.write('GET large\r\n')
  await until('it has begun', () => session.peer.sentBytes > 0)
  const answered = behind.call('GET', 'behind')
  await until('it stands behind it', () => asked === 1)
  for (let more = 0; more < 24; more++) upstream.say('x'.repeat(MIB))
  expect(await answered).toBe('value of behind')
  expect(await later.call('SET', 'k', 'v')).toBe('OK')
  expect(await behind.call('GET', 'b')).toBe('value of b')
  await until('it is not read any more', () => session.peer.queuedBytes > MIB)
  expect(session.peer.queuedBytes).toBeLessThan(COST)
  expect(session.closed).toBe(false)
})

test('a large reply: a write that stands behind it is answered, as the client is closed', async () => {
  let sets = 0
  let large = false
  let waiting = true
  const { proxy, upstream } = await inFrontOfFake(args => {
    if (args[1] === 'large') {
      large = true
      return `$${32 * MIB}\r\n${'x'.repeat(MIB)}`
    }
    if (args[0] === 'SET') sets++
    // They stand behind the value: the sample of the read, the write, and its sample.
    return args[0] === 'SET' || (args[0] === 'ROLE' && large && waiting) ? Buffer.alloc(0) : undefined
  })
  const writer = await openClient(proxy)
  const { socket, session } = await openDeaf(proxy)
  socket.write('GET large\r\n')
  await until('it has begun', () => session.peer.sentBytes > 0)
  writer.send(['SET', 'k', 'v'])
  await until('the write is sent', () => sets === 1)
  for (let more = 1; more < 32; more++) upstream.say('x'.repeat(MIB))
  waiting = false
  upstream.say(`\r\n${ROLE}+OK\r\n${ROLE}`)
  expect(await writer.next()).toMatchObject({ value: 'OK' })
  expect(proxy.count('lagrange_client_connections_rejected_total', { reason: 'output-limit' })).toBe(1)
  expect(await writer.call('GET', 'k')).toBe('value of k')
  expect(sets).toBe(1)
})
