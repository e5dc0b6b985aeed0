/**
 * A client that sent a pipeline and closed its connection, or its half of it, lost all but the first 32 commands: what had
 * been read of it and not taken was dropped, where Redis executes it. And after a half-close, which is what `nc -N` does,
 * nothing was answered.
 */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encoder.js'
import { textOf } from '../../src/resp/protocol.js'
import { makeCertificates } from '../support/certificates.js'
import { inFrontOfFake, inFrontOfLinks, openClient } from '../support/in-front.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')
const COUNT = 2000
/** What is taken before anything is answered. */
const FIRST_WINDOW = 32
const increments = Buffer.concat(Array.from({ length: COUNT }, () => encodeCommand(['INCR', 'counter'])))

async function world(): Promise<{ proxy: ProxyUnderTest; master: RedisNode }> {
  const [master] = (await startGroup(redis.path, 0)) as [RedisNode]
  const proxy = new ProxyUnderTest()
  onTestFinished(async () => {
    await proxy.stop()
    await master.stop()
  })
  await proxy.start(master.port, [])
  return { proxy, master }
}

async function dial(port: number): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

/** Everything that is said until the other end closes. */
async function rest(socket: net.Socket): Promise<string> {
  const parts: Buffer[] = []
  socket.on('data', part => parts.push(part)).resume()
  await once(socket, 'end')
  return Buffer.concat(parts).toString()
}

const allExecuted = (master: RedisNode): Promise<void> =>
  until('all are executed', async () => textOf(await master.call('GET', 'counter')) === String(COUNT))

const nobodyIsLeft = (proxy: ProxyUnderTest): Promise<void> =>
  until('no client is left', () => proxy.worker.sessions.size === 0)

redis.describe('a client that sends a pipeline and', () => {
  test('closes has it executed', async () => {
    const { proxy, master } = await world()
    const socket = await dial(proxy.port)
    socket.write(increments, () => socket.destroy())
    await allExecuted(master)
    await nobodyIsLeft(proxy)
  })

  test('closes its half has it executed, and answered', async () => {
    const { proxy } = await world()
    const socket = await dial(proxy.port)
    socket.end(increments)
    const lines = (await rest(socket)).split('\r\n')
    expect(lines).toHaveLength(COUNT + 1)
    expect(lines.at(-2)).toBe(`:${COUNT}`)
    await nobodyIsLeft(proxy)
  })

  test('wants no answers and closes has it executed', async () => {
    const { proxy, master } = await world()
    const socket = await dial(proxy.port)
    socket.write(Buffer.concat([encodeCommand(['CLIENT', 'REPLY', 'OFF']), increments]), () => socket.destroy())
    await allExecuted(master)
    await nobodyIsLeft(proxy)
  })

  test('says QUIT and closes has it executed', async () => {
    const { proxy, master } = await world()
    const socket = await dial(proxy.port)
    socket.write(Buffer.concat([increments, encodeCommand(['QUIT'])]), () => socket.destroy())
    await allExecuted(master)
    await nobodyIsLeft(proxy)
  })

  test('is reset has executed what was read', async () => {
    const { proxy, master, toMaster } = await inFrontOfLinks(redis.path, {})
    const socket = await dial(proxy.port)
    await until('there is a master', () => proxy.worker.group?.master?.sharedIsConfirmed === true)
    const unread = (increments.length / COUNT) * (COUNT - FIRST_WINDOW)
    toMaster.stall(true)
    socket.write(increments)
    await until('all are read', () => [...proxy.worker.sessions.values()][0]?.aheadBytes === unread)
    socket.resetAndDestroy()
    toMaster.stall(false)
    await allExecuted(master)
    await nobodyIsLeft(proxy)
  })

  test('closes its half in the middle of a command has the others answered', async () => {
    const { proxy } = await world()
    const socket = await dial(proxy.port)
    socket.end('SET hc 1\r\nGET hc\r\nPING\r\n*2\r\n$3\r\nGET')
    expect(await rest(socket)).toBe('+OK\r\n$1\r\n1\r\n+PONG\r\n')
  })

  test('closes its half within TLS has it answered', async () => {
    const { proxy } = await world()
    const { caFile, server, remove } = makeCertificates()
    onTestFinished(remove)
    const { port } = await proxy.worker.listen(
      { host: '127.0.0.1', port: 0 },
      { name: 'secure', level: undefined, tls: { ...server, caFile, clientCertificates: 'off' } },
    )
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
    onTestFinished(() => void socket.destroy())
    await once(socket, 'secureConnect')
    socket.end(increments)
    expect((await rest(socket)).split('\r\n').at(-2)).toBe(`:${COUNT}`)
    await nobodyIsLeft(proxy)
  })

  test('reads slowly after it has closed its half gets everything', async () => {
    const { proxy, master } = await world()
    await master.call('SET', 'large', 'x'.repeat(4_000_000))
    const socket = await dial(proxy.port)
    socket.pause()
    socket.end(Buffer.concat(Array.from({ length: 10 }, () => encodeCommand(['GET', 'large']))))
    await until(
      'it has what it takes',
      () => ([...proxy.worker.sessions.values()][0]?.peer.queuedBytes ?? 0) > 1_000_000,
    )
    expect(await rest(socket)).toHaveLength(10 * (4_000_000 + '$4000000\r\n\r\n'.length))
    await nobodyIsLeft(proxy)
  })

  test('waits for data that is not there is gone at once, and takes nothing', async () => {
    const { proxy, master } = await world()
    for (const half of [true, false]) {
      const socket = await dial(proxy.port)
      socket.write(
        Buffer.concat(
          [
            ['SET', 'key', 'v'],
            ['BLPOP', 'list', '0'],
            ['INCR', 'counter'],
          ].map(encodeCommand),
        ),
      )
      const blocked = async () => /blocked_clients:1/.test(textOf(await master.call('INFO', 'clients')) ?? '')
      await until('it waits', blocked)
      if (half) socket.end()
      else socket.destroy()
      await until('it is gone', async () => !(await blocked()))
      await nobodyIsLeft(proxy)
    }
    await master.call('RPUSH', 'list', 'element')
    expect(await master.call('LLEN', 'list')).toMatchObject({ value: 1 })
    expect(await master.call('EXISTS', 'counter')).toMatchObject({ value: 0 })
  })

  test('asks for the stream is gone when it has closed', async () => {
    const { proxy, master } = await world()
    const socket = await dial(proxy.port)
    socket.end(Buffer.concat([increments, encodeCommand(['SYNC'])]))
    await allExecuted(master)
    await nobodyIsLeft(proxy)
  })

  test('subscribes is gone when it has closed', async () => {
    const { proxy } = await world()
    const socket = await dial(proxy.port)
    socket.end(encodeCommand(['SUBSCRIBE', 'channel']))
    expect(await rest(socket)).toBe('*3\r\n$9\r\nsubscribe\r\n$7\r\nchannel\r\n:1\r\n')
    await nobodyIsLeft(proxy)
  })
})

test('a client that has closed is not waited for when nothing goes on', async () => {
  let silent = false
  const { proxy } = await inFrontOfFake(([name]) => {
    silent ||= name === 'APPEND'
    return silent ? '' : undefined
  })
  const client = await openClient(proxy)
  await client.call('SET', 'key', 'v')
  client.send(['APPEND', 'key', 'w'])
  await until('it is asked', () => silent)
  client.close()
  await until('it is gone', () => proxy.worker.sessions.size === 0)
})
