import { once } from 'node:events'
import net from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Client, ConnectionError } from '../../src/net/client.js'
import { readDirectly, readInto } from '../../src/net/direct-read.js'
import { writeDirectly } from '../../src/net/direct-write.js'
import { connect, listen, type Peer, type PeerHandler } from '../../src/net/peer.js'
import { Decoder } from '../../src/resp/decoder.js'
import { requestLimits } from '../../src/resp/protocol.js'

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn > 2000) throw new Error('condition not reached')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** Accepts peers that answer every request with `+<arguments joined>`. */
async function startEcho(
  options: { maxQueuedBytes?: number } = {},
): Promise<{ port: number; peers: Peer[]; closed: string[] }> {
  const peers: Peer[] = []
  const closed: string[] = []
  const listener = await listen({ host: '127.0.0.1', port: 0 }, adopt => {
    const decoder = new Decoder({ ...requestLimits })
    const handler: PeerHandler = {
      onData(chunk) {
        decoder.feed(chunk)
        while (decoder.nextRequest()) peer.out.bulk(decoder.args().join(' '))
        decoder.release()
        peer.flushSoon()
      },
      onClose: reason => closed.push(reason),
    }
    const peer = adopt(handler, options)
    peers.push(peer)
  })
  onTestFinished(async () => {
    for (const peer of peers) peer.destroy('test over')
    await listener.close()
  })
  return { port: listener.port, peers, closed }
}

describe('a peer', () => {
  test('accepted sockets read into the shared buffer: Node still lets us take the handle out', async () => {
    const chunks: ArrayBufferLike[] = []
    const listener = await listen({ host: '127.0.0.1', port: 0 }, adopt => {
      adopt({ onData: chunk => chunks.push(chunk.buffer), onClose: () => undefined })
    })
    onTestFinished(() => listener.close())
    const sockets = [0, 1].map(() => net.connect(listener.port, '127.0.0.1'))
    for (const socket of sockets) socket.write('x')
    await until(() => chunks.length === 2)
    for (const socket of sockets) socket.destroy()
    expect(chunks[0]).toBe(chunks[1])
  })

  test('many clients with pipelines each get their own replies in order', async () => {
    const { port } = await startEcho()
    const clients = Array.from(
      { length: 20 },
      // All is written before the first of them is connected: that alone takes a busy machine a second.
      () => new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 20_000, replyTimeoutMs: 20_000 }),
    )
    onTestFinished(() => {
      for (const client of clients) client.close()
    })
    const answers = await Promise.all(
      clients.flatMap((client, who) =>
        Array.from({ length: 200 }, (_, turn) => client.call('ECHO', `${who}`, 'x'.repeat(turn * 7))),
      ),
    )
    answers.forEach((frame, index) => {
      const turn = index % 200
      expect(frame).toEqual({ type: 'bulk', value: `ECHO ${(index - turn) / 200} ${'x'.repeat(turn * 7)}` })
    })
  })

  test('a value larger than any buffer arrives whole', async () => {
    const { port } = await startEcho()
    const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 1000, replyTimeoutMs: 20_000 })
    onTestFinished(() => client.close())
    const large = 'abcdefgh'.repeat(1024 * 1024)
    const frame = await client.call(large)
    expect(frame.type === 'bulk' && frame.value === large).toBe(true)
  })

  test('one that does not read is closed at its bound, and costs no more than that', async () => {
    const { port, peers, closed } = await startEcho({ maxQueuedBytes: 256 * 1024 })
    const socket = net.connect(port, '127.0.0.1')
    socket.pause()
    socket.on('error', () => undefined)
    const request = `*1\r\n$8000\r\n${'y'.repeat(8000)}\r\n`
    const feed = setInterval(() => socket.write(request.repeat(20)), 1)
    onTestFinished(() => {
      clearInterval(feed)
      socket.destroy()
    })
    await until(() => closed.length > 0)
    expect(closed).toEqual(['output-limit'])
    expect((peers[0] as Peer).closed).toBe(true)
  })

  test('end() sends what is queued before it closes', async () => {
    const listener = await listen({ host: '127.0.0.1', port: 0 }, adopt => {
      const peer = adopt({ onData: () => undefined, onClose: () => undefined })
      peer.out.bulk('x'.repeat(3_000_000))
      peer.end()
    })
    onTestFinished(() => listener.close())
    let received = 0
    let over = false
    const socket = net.connect(listener.port, '127.0.0.1')
    socket.on('data', chunk => (received += chunk.length))
    socket.on('close', () => (over = true))
    await until(() => over)
    expect(received).toBe('$3000000\r\n'.length + 3_000_002)
  })
})

describe('a client', () => {
  test('says why it could not connect', async () => {
    const { port } = await startEcho()
    const probe = await listen({ host: '127.0.0.1', port: 0 }, () => undefined)
    await probe.close()
    expect(probe.port).not.toBe(port)
    const client = new Client({ host: '127.0.0.1', port: probe.port }, { connectTimeoutMs: 1000, replyTimeoutMs: 1000 })
    await expect(client.call('PING')).rejects.toEqual(new ConnectionError('ECONNREFUSED'))
    await expect(client.opened()).rejects.toThrow('ECONNREFUSED')
  })

  test('gives up on a reply that does not come, and every call behind it ends too', async () => {
    const listener = await listen({ host: '127.0.0.1', port: 0 }, adopt => {
      adopt({ onData: () => undefined, onClose: () => undefined })
    })
    onTestFinished(() => listener.close())
    const client = new Client(
      { host: '127.0.0.1', port: listener.port },
      { connectTimeoutMs: 1000, replyTimeoutMs: 50 },
    )
    const calls = [client.call('A'), client.call('B')]
    for (const call of calls) await expect(call).rejects.toThrow('timeout')
    expect(client.closed).toBe(true)
  })

  test('is not fooled by a reply that nobody asked for', async () => {
    const listener = await listen({ host: '127.0.0.1', port: 0 }, adopt => {
      const peer = adopt({ onData: () => undefined, onClose: () => undefined })
      peer.out.ok()
      peer.flushSoon()
    })
    onTestFinished(() => listener.close())
    let reason = ''
    connect({ host: '127.0.0.1', port: 1 }, { onData: () => undefined, onClose: () => undefined }).destroy('unused')
    new Client(
      { host: '127.0.0.1', port: listener.port },
      { connectTimeoutMs: 1000, replyTimeoutMs: 1000, onClose: why => (reason = why) },
    )
    await until(() => reason !== '')
    expect(reason).toBe('unsolicited-reply')
  })
})

test('writes go around the stream machinery: Node still lets us use the handle', async () => {
  const listener = await listen({ host: '127.0.0.1', port: 0 }, () => undefined)
  onTestFinished(() => listener.close())
  const socket = net.connect(listener.port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  expect(writeDirectly(socket, Buffer.from('x'), { sent: () => undefined })).toBe('written')
})

test('reads go around it as well, and its end is heard of all the same', async () => {
  const received: string[] = []
  const { port } = await startEcho()
  const socket = net.connect({ port, host: '127.0.0.1', ...readInto(() => received.push('by the stream')) })
  await once(socket, 'connect')
  expect(readDirectly(socket, chunk => received.push(chunk.toString()))).toBe(true)
  socket.write('ECHO a\r\n')
  await until(() => received.length > 0)
  expect(received).toEqual(['$6\r\nECHO a\r\n'])
  socket.end()
  await once(socket, 'close')
})
