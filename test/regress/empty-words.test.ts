/**
 * Words that are not there were taken for nothing where redis-server refuses them: CONFIG SET of `dir ""` (which meant the
 * folder of the process) and of `save " "` (which turned saving off), and commands without words in an AOF, which are damage.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { encodeCommand } from '../../src/resp/encoder.js'
import { requireReal } from '../support/real.js'
import { infoOf, plain, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

for (const kind of ['redis', 'ours'] as const) {
  redis.describe(kind, () => {
    const start = (args: readonly string[], dir?: string): Promise<TestServer> => {
      const options = { args, ...(dir === undefined ? {} : { dir }) }
      return kind === 'ours' ? startNode(options) : startRedisServer(redis.path, options)
    }

    redis.test('CONFIG SET refuses empty words', async () => {
      const node = await start(['--enable-protected-configs', 'yes'])
      const set = async (name: string, value: string): Promise<unknown> =>
        plain(await node.call('CONFIG', 'SET', name, value))
      const invalid = /possibly related to argument 'save'\) - Invalid save parameters/
      for (const value of [' ', '60 1 ', '60  1', ' 60 1', '60'])
        expect(await set('save', value), `save "${value}"`).toMatch(invalid)
      for (const value of ['60 1', '60 0 30 5', '']) expect(await set('save', value), `save "${value}"`).toBe('OK')
      expect(await set('dir', '')).toMatch(/possibly related to argument 'dir'\) - No such file or directory/)
      expect(await set('dir', '.')).toBe('OK')
    })

    for (const empty of ['*0\r\n', '*-1\r\n']) {
      for (const [where, rest] of [
        ['between commands', encodeCommand(['SET', 'b', '2'])],
        ['at the end', Buffer.alloc(0)],
      ] as const) {
        redis.test(`an AOF with ${JSON.stringify(empty)} ${where} is refused`, async () => {
          const dir = mkdtempSync(join(tmpdir(), 'lagrange-empty-'))
          onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
          const commands = [encodeCommand(['SELECT', '0']), encodeCommand(['SET', 'a', '1'])]
          const file = join(dir, 'appendonly.aof')
          writeFileSync(file, Buffer.concat([...commands, Buffer.from(empty), rest]))
          await expect(start(['--appendonly', 'yes'], dir)).rejects.toThrow(/Bad file format/)
        })
      }
    }

    redis.test('an AOF that is torn within the first line of a command is cut', async () => {
      const dir = mkdtempSync(join(tmpdir(), 'lagrange-empty-'))
      onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
      writeFileSync(
        join(dir, 'appendonly.aof'),
        Buffer.concat([encodeCommand(['SET', 'a', '1']), Buffer.from('*2\r\n$3\r\nGE')]),
      )
      const node = await start(['--appendonly', 'yes'], dir)
      expect((await infoOf(node)).db0).toMatch(/^keys=1,/)
    })
  })
}
