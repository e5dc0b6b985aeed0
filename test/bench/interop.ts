/**
 * Our node and redis-server replicate from each other, both ways:
 *
 *     npm run bench:interop -- [writes]        (default 100000)
 *
 * Each round: mixed writes while the replica joins, a cut link, more writes, a promotion. After every step both must have
 * the same DEBUG DIGEST, and nothing but the first join may have cost a full resync. INFO replication of both is printed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from '../../src/net/client.js'
import { textOf } from '../../src/resp/protocol.js'
import { startDelayLink } from '../support/delay.js'
import { freePort } from '../support/ports.js'
import { until } from '../support/redis-group.js'
import { writeMixed } from '../support/writes.js'

const writes = Number(process.argv[2] ?? 100_000)
const program = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'lagrange-interop-'))
const children: ChildProcess[] = []

interface Server {
  readonly name: string
  readonly port: number
  readonly client: Client
}

try {
  await round('lagrange node', 'redis-server')
  await round('redis-server', 'lagrange node')
} finally {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
process.exit(0)

async function round(masterKind: string, replicaKind: string): Promise<void> {
  process.stdout.write(`\n== ${replicaKind} as replica of ${masterKind}\n`)
  const master = await start(masterKind)
  const replica = await start(replicaKind)
  const relay = await startDelayLink({ host: '127.0.0.1', port: master.port }, 0)
  await writeMixed(master.client, writes / 2, 1)
  await replica.client.call('REPLICAOF', '127.0.0.1', `${relay.port}`)
  await writeMixed(master.client, writes / 2, 2)
  await same('after the full copy and the writes meanwhile', master, replica)

  relay.cut()
  await writeMixed(master.client, 2000, 3)
  await same('after a cut', master, replica)
  process.stdout.write(`${await resyncs(master)}\n`)
  print(master, await section(master))
  print(replica, await section(replica))

  await replica.client.call('REPLICAOF', 'NO', 'ONE')
  await writeMixed(replica.client, 2000, 4)
  await master.client.call('REPLICAOF', '127.0.0.1', `${replica.port}`)
  await same('after the promotion of the replica', replica, master)
  process.stdout.write(`${await resyncs(replica)}\n`)
  await relay.close()
}

async function same(when: string, one: Server, other: Server): Promise<void> {
  const begun = performance.now()
  let digests: (string | undefined)[] = []
  await until(
    `equal digests ${when}`,
    async () => {
      digests = await Promise.all([one, other].map(async server => textOf(await server.client.call('DEBUG', 'DIGEST'))))
      return digests[0] === digests[1]
    },
    60_000,
  )
  const keys = await Promise.all(
    [one, other].map(async server => (await server.client.call('DBSIZE')) as { value?: unknown }),
  )
  process.stdout.write(
    `${when}: DEBUG DIGEST ${digests[0]} on both, ${keys.map(frame => frame.value).join(' and ')} keys, ${(performance.now() - begun).toFixed(0)} ms later\n`,
  )
}

async function resyncs(server: Server): Promise<string> {
  const info = textOf(await server.client.call('INFO', 'stats')) ?? ''
  return `served by ${server.name}: ${['sync_full', 'sync_partial_ok', 'sync_partial_err'].map(name => new RegExp(`^${name}:\\d+`, 'm').exec(info)?.[0]).join(' ')}`
}

async function section(server: Server): Promise<string> {
  return textOf(await server.client.call('INFO', 'replication')) ?? ''
}

function print(server: Server, text: string): void {
  process.stdout.write(`-- INFO replication of ${server.name}\n${text.replaceAll('\r', '').trim()}\n`)
}

async function start(kind: string): Promise<Server> {
  const port = await freePort()
  const [command, first] = kind === 'redis-server' ? ['redis-server', []] : [process.execPath, [program, 'node']]
  const args = [
    '--port',
    `${port}`,
    '--save',
    '',
    '--dir',
    mkdtempSync(join(folder, 'data-')),
    '--enable-debug-command',
    'yes',
    '--repl-diskless-sync-delay',
    '0',
    '--repl-backlog-size',
    '16mb',
  ]
  children.push(spawn(command as string, [...(first as string[]), ...args], { stdio: 'ignore' }))
  let client: Client | undefined
  await until(`${kind} answers`, async () => {
    client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 1000, replyTimeoutMs: 30_000 })
    return client.call('PING').then(
      () => true,
      () => false,
    )
  })
  return { name: kind, port, client: client as Client }
}
