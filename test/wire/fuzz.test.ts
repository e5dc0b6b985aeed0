/**
 * A short run of what `npm run fuzz` does for long, and the same bytes to redis-server: what one refuses as malformed the
 * other refuses, with the same words.
 */
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Decoder } from '../../src/resp/decoder.js'
import { ProtocolError, requestLimits } from '../../src/resp/protocol.js'
import { Chance, requestBytes } from '../fuzz/inputs.js'
import { nodeSession, proxySession, replyParser, requestParser } from '../fuzz/targets.js'
import { requireReal } from '../support/real.js'
import { type RedisProcess, startRedis } from '../support/redis-process.js'

const SEED = 20_000

describe('inputs that are nearly RESP', () => {
  for (const [name, make, count] of [
    ['requests read the same however they are cut', requestParser, 6000],
    ['replies read the same however they are cut', replyParser, 6000],
    ['our node answers RESP and goes on', nodeSession, 1500],
    ['the proxy answers RESP and goes on', proxySession, 1500],
  ] as const) {
    test(`${name}: ${count}`, async () => {
      const target = await make()
      for (let index = 0; index < count; index++) {
        await Promise.resolve(target.feed(new Chance(SEED + index))).catch((error: Error) => {
          throw new Error(`${error.message}\nagain: npm run fuzz -- 1 ${SEED + index}`)
        })
      }
      await target.close()
    })
  }
})

const redis = requireReal('redis-server')

redis.describe('malformed requests', () => {
  let server: RedisProcess
  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server.stop())

  /** What redis-server says to these bytes before their end, and whether it was their end that made it close. */
  function told(bytes: Buffer): Promise<string> {
    return new Promise(resolve => {
      let text = ''
      const socket = connect(server.path, () => socket.end(bytes))
      socket.on('data', chunk => (text += chunk.toString('latin1')))
      socket.on('error', () => undefined)
      socket.on('close', () => resolve(text))
    })
  }

  test('are those of redis-server, in its words', async () => {
    let refused = 0
    for (let seed = SEED; seed < SEED + 800; seed++) {
      // A header that has not ended is refused by one at once, by the other when it ends.
      const bytes = Buffer.concat([requestBytes(new Chance(seed)), Buffer.from('\r\n')])
      // Theirs looks for the end of a header with functions of C, and does not look at what follows CR: we are stricter.
      if (/\0|\r[^\n]|[^\r]\n/.test(bytes.toString('latin1'))) continue
      const ours = refusal(bytes)
      const theirs = shown(/-ERR (Protocol error: [^\r]*)/.exec(await told(bytes))?.[1])
      expect(theirs, `seed ${seed}: ${JSON.stringify(bytes.toString('latin1'))}`).toBe(shown(ours))
      if (ours !== undefined) refused++
    }
    expect(refused).toBeGreaterThan(30)
  })
})

/** A byte that is no character is shown in other ways. */
function shown(message: string | undefined): string | undefined {
  return message?.replace(/got '.*$/s, 'got …')
}

function refusal(bytes: Buffer): string | undefined {
  // Ours takes a million arguments, this version of theirs more.
  const decoder = new Decoder({ ...requestLimits, count: 2 ** 31 - 1 })
  decoder.feed(bytes)
  try {
    // Whoever says QUIT is not heard any more, nor is a browser.
    while (decoder.nextRequest()) if (/^(quit|post|host:)$/i.test(decoder.arg(0))) return undefined
    return undefined
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return `Protocol error: ${error.message}`
  }
}
