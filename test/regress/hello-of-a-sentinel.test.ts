/**
 * A sentinel has no role, so its HELLO has a pair less than a node's. The count in front still said seven: a client that
 * speaks RESP3 (ioredis, node-redis) waited for the seventh for ever, and never found the master.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { itemsOf, textOf } from '../../src/resp/protocol.js'
import { clientOf, startProgram, temporaryFolder } from '../support/lagrange.js'
import { freePort } from '../support/ports.js'

test('HELLO 3 of a sentinel is answered whole, and what follows it as well', async () => {
  const [port, file] = [await freePort(), join(temporaryFolder(), 'sentinel.conf')]
  writeFileSync(file, `port ${port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 1 1\n`)
  await startProgram(['sentinel', file], port)
  const client = clientOf(port)
  const words = itemsOf(await client.call('HELLO', '3')).map(item => textOf(item))
  expect(words).toContain('modules')
  expect(words).not.toContain('role')
  expect(textOf(await client.call('PING'))).toBe('PONG')
}, 60_000)
