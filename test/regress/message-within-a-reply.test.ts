/**
 * A message that was published while a large reply was being passed on in parts stood within that reply: whoever subscribes
 * and reads on one connection, as RESP3 allows, took it for a piece of the value.
 */
import net from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encoder.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { until } from '../support/redis-group.js'
import { startNode } from '../support/servers.js'

const SIZE = 12 * 1024 * 1024

test('a message comes behind the reply that is being passed on', async () => {
  const node = await startNode()
  const proxy = new ProxyUnderTest()
  onTestFinished(() => proxy.stop())
  await proxy.start(node.port, [])
  const publisher = await RawClient.open(proxy.port)
  onTestFinished(() => publisher.close())
  expect(await publisher.call('SETRANGE', 'large', `${SIZE - 1}`, 'x')).toBe(SIZE)

  const socket = net.connect(proxy.port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  const chunks: Buffer[] = []
  let received = 0
  socket.on('data', chunk => {
    chunks.push(chunk)
    received += chunk.length
  })
  for (const words of [
    ['HELLO', '3'],
    ['SUBSCRIBE', 'news'],
  ])
    socket.write(encodeCommand(words))
  await until('it listens', async () => Number(await publisher.call('PUBLISH', 'news', 'first')) === 1)
  await until('the first message is there', () => Buffer.concat(chunks).includes('first'))
  chunks.length = received = 0

  socket.pause()
  socket.write(encodeCommand(['GET', 'large']))
  const reader = (): number => Math.max(...[...proxy.worker.sessions.values()].map(one => one.peer.queuedBytes))
  await until('the value is on its way and waits', () => reader() > 256 * 1024)
  expect(Number(await publisher.call('PUBLISH', 'news', 'second'))).toBe(1)
  socket.resume()
  const value = `$${SIZE}\r\n${'\0'.repeat(SIZE - 1)}x\r\n`
  const message = '>3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$6\r\nsecond\r\n'
  await until('both are there', () => received === value.length + message.length)
  expect(Buffer.concat(chunks).equals(Buffer.from(value + message, 'latin1'))).toBe(true)
})
