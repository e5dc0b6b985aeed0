/** The example of config/three-machines is configuration that is taken as it stands. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.js'
import { proxySchema } from '../../../src/config/schema.js'
import { splitWords } from '../../../src/resp/decoder.js'
import { readSentinelLines } from '../../../src/topology/quorum/conf.js'
import { Council } from '../../../src/topology/quorum/council.js'
import { root } from '../../support/source.js'

const folder = join(root, 'config/three-machines')

for (const machine of ['a', 'b', 'c']) {
  test(`${machine}.sentinel.conf`, () => {
    const lines = readFileSync(join(folder, `${machine}.sentinel.conf`), 'utf8')
      .split('\n')
      .filter(line => line.startsWith('sentinel '))
      .map((line, index) => ({ where: String(index), words: (splitWords(line) ?? []).slice(1) }))
    const council = new Council({ chance: () => 0, durable: () => true, lookup: () => undefined })
    expect(readSentinelLines(council, lines, { executable: () => false }, 0)).toEqual([])
    expect(council.masters.get('main')?.quorum).toBe(2)
  })
}

test('proxy.yaml', () => {
  const file = join(folder, 'proxy.yaml')
  const readFile = (path: string): string => readFileSync(path, 'utf8')
  const loaded = loadConfig(proxySchema, { file, readFile, readSecret: readFile, env: {}, flags: {} })
  expect('errors' in loaded ? loaded.errors : []).toEqual([])
  expect('config' in loaded && loaded.config.topology.source).toBe('sentinel')
})
