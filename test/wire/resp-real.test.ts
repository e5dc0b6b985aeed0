/** The decoder against what a real server says: every reply whole, one byte at a time, and in both protocols. */
import net from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { Decoder } from '../../src/resp/decoder.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import { type Frame, replyLimits } from '../../src/resp/protocol.js'
import { freePort } from '../support/ports.js'
import { requireReal } from '../support/real.js'
import { RedisNode } from '../support/redis-group.js'

const redis = requireReal('redis-server')

const script: readonly (readonly string[])[] = [
  ['PING'],
  ['SET', 'k', 'v\r\n\x00\xff'],
  ['GET', 'k'],
  ['GET', 'absent'],
  ['INCRBY', 'n', '9223372036854775807'],
  ['NOSUCH'],
  ['HSET', 'h', 'f', '1', 'g', '2'],
  ['HGETALL', 'h'],
  ['SADD', 's', 'a', 'b'],
  ['SMEMBERS', 's'],
  ['ZADD', 'z', '1.5', 'm', 'inf', 'n'],
  ['ZRANGE', 'z', '0', '-1', 'WITHSCORES'],
  ['ZSCORE', 'z', 'm'],
  ['LRANGE', 'absent', '0', '-1'],
  ['BLPOP', 'absent', '0.01'],
  ['LOLWUT', 'VERSION', '5', '1'],
  ['INFO', 'server'],
  ['COMMAND', 'INFO', 'get', 'nosuch', 'xgroup'],
  ['COMMAND'],
  ['CONFIG', 'GET', 'max*'],
  ['EVAL', 'return {1, {2, {3, "x"}}, redis.status_reply("S")}', '0'],
  ['DEBUG', 'PROTOCOL', 'bignum'],
  ['DEBUG', 'PROTOCOL', 'double'],
  ['DEBUG', 'PROTOCOL', 'verbatim'],
  ['DEBUG', 'PROTOCOL', 'attrib'],
  ['DEBUG', 'PROTOCOL', 'true'],
  ['DEBUG', 'PROTOCOL', 'push'],
  ['SUBSCRIBE', 'c', 'd'],
]

redis.describe('replies of a real server', () => {
  for (const resp of ['2', '3']) {
    redis.test(`RESP${resp}`, async () => {
      const server = new RedisNode(redis.path, await freePort())
      onTestFinished(() => server.stop())
      await server.start('--enable-debug-command', 'yes')
      const stream = await record(server.port, [['HELLO', resp], ...script])
      const whole = decode([stream])
      const bytewise = decode([...stream].map(byte => Buffer.of(byte)))
      expect(bytewise).toEqual(whole)
      expect(whole.raw).toEqual(stream.toString('latin1'))
      expect(whole.consumed).toBe(stream.length)
      // One reply per command; SUBSCRIBE says one more, and a push (RESP3) comes beside the reply it was asked with.
      expect(whole.frames.length).toBeGreaterThanOrEqual(script.length + 2)
      const types = new Set(whole.frames.map(frame => frame.type))
      for (const type of resp === '3'
        ? ['map', 'set', 'double', 'null', 'push', 'verbatim', 'boolean', 'bignum']
        : ['array', 'bulk', 'null']) {
        expect(types, type).toContain(type)
      }
    })
  }
})

/** Everything the server sends in answer to `commands`, as bytes. */
async function record(port: number, commands: readonly (readonly string[])[]): Promise<Buffer> {
  const socket = net.connect(port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  const chunks: Buffer[] = []
  const over = new Promise<void>(resolve => {
    socket.on('data', chunk => {
      chunks.push(chunk)
      // The last reply of the script: the second channel of SUBSCRIBE.
      if (Buffer.concat(chunks).includes('$1\r\nd\r\n:2\r\n')) resolve()
    })
  })
  socket.write(Buffer.concat(commands.map(encodeCommand)))
  await over
  return Buffer.concat(chunks)
}

function decode(chunks: readonly Buffer[]): { frames: Frame[]; raw: string; consumed: number } {
  const decoder = new Decoder({ ...replyLimits })
  const frames: Frame[] = []
  let raw = ''
  for (const chunk of chunks) {
    decoder.feed(chunk)
    while (decoder.nextFrame()) {
      frames.push(decoder.value())
      raw += decoder.buffer.toString('latin1', decoder.start, decoder.end)
    }
    decoder.release()
  }
  return { frames, raw, consumed: decoder.consumed }
}
