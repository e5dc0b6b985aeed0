/**
 * Append-only files between us and the real server: it starts from ours, and we read its own.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { Database } from '../../src/engine/database.js'
import { defaultSettings } from '../../src/engine/settings.js'
import { CommandEncoder } from '../../src/persistence/aof/encoder.js'
import { AofLoader } from '../../src/persistence/aof/loader.js'
import {
  currentIncrement,
  emptyManifest,
  filesToLoad,
  formatManifest,
  manifestName,
  parseManifest,
  withBase,
  withIncrement,
} from '../../src/persistence/aof/manifest.js'
import { textOf } from '../../src/resp/protocol.js'
import { requireReal } from '../support/real.js'
import { type RedisProcess, startRedis } from '../support/redis-process.js'
import { snapshotBytes } from '../support/snapshot.js'

const redis = requireReal('redis-server')
const NAME = 'appendonly.aof'

redis.test('the real server starts from our files', async () => {
  const { dir, folder } = makeFolder()
  const database = new Database(0, 1)
  database.load('base', 'from the snapshot', 0)
  let manifest = withIncrement(emptyManifest, NAME)
  manifest = withBase(manifest, NAME, 'rdb', currentIncrement(manifest) ?? { name: '', seq: 0 })
  const encoder = new CommandEncoder()
  encoder.timestamp(1_700_000_000_000)
  encoder.write([{ db: 0, args: ['APPEND', 'base', ', and more'] }])
  encoder.write([
    { db: 3, args: ['SET', 'a', '1'] },
    { db: 3, args: ['SET', 'b', Buffer.from([0, 255])] },
  ])
  const [base, increment] = filesToLoad(manifest)
  writeFileSync(join(folder, base?.name ?? ''), snapshotBytes([database], { isAofBase: true }))
  writeFileSync(join(folder, increment?.name ?? ''), encoder.take())
  writeFileSync(join(folder, manifestName(NAME)), formatManifest(manifest))

  const server = await start('--dir', dir, '--appendonly', 'yes')
  const [value, , a, b, size] = await server.call([
    ['GET', 'base'],
    ['SELECT', '3'],
    ['GET', 'a'],
    ['GET', 'b'],
    ['DBSIZE'],
  ])
  expect([textOf(value), textOf(a), textOf(b)]).toEqual(['from the snapshot, and more', '1', '\x00\xff'])
  expect(size).toEqual({ type: 'integer', value: 2 })
})

redis.test('we read what the real server has written', async () => {
  const { dir, folder } = makeFolder()
  const server = await start('--dir', dir, '--appendonly', 'yes', '--aof-timestamp-enabled', 'yes')
  await server.call([['SET', 'before', '1'], ['RPUSH', 'list', 'a', 'b'], ['BGREWRITEAOF']])
  await until(async () => readManifest(folder).base?.seq === 2)
  await server.call([
    ['SET', 'after', '2'],
    ['MULTI'],
    ['INCR', 'after'],
    ['SELECT', '5'],
    ['SET', 'else', 'x'],
    ['EXEC'],
  ])
  await until(async () => read(folder).units.length >= 3)

  const manifest = readManifest(folder)
  expect(parseManifest(formatManifest(manifest))).toEqual(manifest)
  const { units, keys } = read(folder)
  expect(keys).toEqual(['before', 'list'])
  expect(units).toEqual([['SELECT 0'], ['SET after 2'], ['INCR after', 'SELECT 5', 'SET else x']])
})

/** What our loader makes of all files of the manifest. */
function read(folder: string): { units: string[][]; keys: string[] } {
  const units: string[][] = []
  const keys: string[] = []
  for (const { name } of filesToLoad(readManifest(folder))) {
    const loader = new AofLoader(defaultSettings(), {
      seeds: Array.from({ length: 16 }, () => 1),
      verifyChecksum: true,
    })
    const bytes = readFileSync(join(folder, name))
    loader.feed(bytes)
    for (let unit = loader.next(); unit !== undefined; unit = loader.next()) {
      if (unit.kind === 'commands') units.push(unit.commands.map(command => command.join(' ')))
      else for (const { table } of unit.loaded.databases) keys.push(...table.keys())
    }
    expect(loader.finish()).toEqual({ kind: 'whole', bytes: bytes.length })
  }
  return { units, keys: keys.sort() }
}

function readManifest(folder: string) {
  return readdirSync(folder).includes(manifestName(NAME))
    ? parseManifest(readFileSync(join(folder, manifestName(NAME)), 'utf8'))
    : emptyManifest
}

function makeFolder(): { dir: string; folder: string } {
  const dir = mkdtempSync(join(tmpdir(), 'lagrange-aof-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const folder = join(dir, 'appendonlydir')
  mkdirSync(folder)
  return { dir, folder }
}

async function start(...directives: string[]): Promise<RedisProcess> {
  const server = await startRedis(...directives)
  onTestFinished(() => server.stop())
  return server
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(resume => setTimeout(resume, 20))
}
