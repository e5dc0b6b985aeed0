/**
 * A busy script read its node's clients from within, but not its replicas, nor its master, and nobody's end. So it waited
 * for ever for a replica to leave or to acknowledge something, and a replica never noticed that its master was gone.
 */
import { expect, onTestFinished, test } from 'vitest'
import { Client } from '../../src/net/client.js'
import { type Frame, textOf } from '../../src/resp/protocol.js'
import { ownNode } from '../support/own-node.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'

const WITHIN_MS = 60_000
/** Generous: it only ends what would never end. */
const TEST_MS = 3 * WITHIN_MS

async function start(replicas: number): Promise<RedisNode[]> {
  const nodes = await startGroup(ownNode(), replicas, '--busy-reply-threshold', '20')
  onTestFinished(async () => {
    await Promise.all(nodes.map(node => node.stop()))
  })
  return nodes
}

const startPair = async (): Promise<[RedisNode, RedisNode]> => (await start(1)) as [RedisNode, RedisNode]

async function connectTo(node: RedisNode): Promise<Client> {
  const client = new Client(node.address, { connectTimeoutMs: 10_000, replyTimeoutMs: WITHIN_MS })
  onTestFinished(() => client.close())
  await client.send(['PING'])
  return client
}

interface BusyScript {
  readonly outcome: Promise<Frame>
  /** Was connected before it began. */
  readonly other: Client
}

/** Runs it and answers once everybody else hears BUSY. */
async function startBusy(node: RedisNode, script: string): Promise<BusyScript> {
  const [runner, other] = [await connectTo(node), await connectTo(node)]
  const outcome = runner.send(['EVAL', script, '1', 'k'])
  await until('the node is busy', async () => (await other.send(['PING'])).type === 'error', WITHIN_MS)
  return { outcome, other }
}

/** Lua that asks INFO until `condition` holds of its answer, and answers `result`. */
const askUntil = (section: string, condition: string, result: string): string =>
  `local info repeat info = redis.call('INFO', '${section}') until ${condition} return ${result}`

test('a script that waits for a replica to leave sees it, and writes on', { timeout: TEST_MS }, async () => {
  const [master, replica] = await startPair()
  await master.call('CONFIG', 'SET', 'min-replicas-to-write', '1')
  const wait = askUntil('replication', "info:find('connected_slaves:0')", "redis.call('SET', KEYS[1], 'without')")
  const { outcome, other } = await startBusy(master, `redis.call('SET', KEYS[1], 'with') ${wait}`)
  await replica.end()
  expect(textOf(await outcome)).toBe('OK')
  expect(textOf(await other.send(['GET', 'k']))).toBe('without')
})

test('a script hears what replicas acknowledge, a WAIT once it is over', { timeout: TEST_MS }, async () => {
  const [master, replica] = await startPair()
  const waiting = await connectTo(master)
  replica.signal('SIGSTOP')
  await waiting.send(['SET', 'k', 'v'])
  const waited = waiting.send(['WAIT', '1', '0'])
  const inStep = "info:match('state=online,offset=(%d+)') == info:match('master_repl_offset:(%d+)')"
  const { outcome } = await startBusy(master, askUntil('replication', inStep, "'in step'"))
  replica.signal('SIGCONT')
  expect(textOf(await outcome)).toBe('in step')
  expect(await waited).toMatchObject({ value: 1 })
})

test('a client that leaves a busy node is gone at once', { timeout: TEST_MS }, async () => {
  const [master] = (await start(0)) as [RedisNode]
  const blocked = await connectTo(master)
  void blocked.send(['BLPOP', 'nothing', '0']).catch(() => undefined)
  await until(
    'it is blocked',
    async () => textOf(await master.call('INFO', 'clients'))?.includes('blocked_clients:1') === true,
  )
  const { outcome } = await startBusy(master, askUntil('clients', "info:find('blocked_clients:0')", "'gone'"))
  blocked.close()
  expect(textOf(await outcome)).toBe('gone')
})

test('a script on a replica sees that the master is gone', { timeout: TEST_MS }, async () => {
  const [master, replica] = await startPair()
  const script = askUntil('replication', "info:find('master_link_status:down')", "'down'")
  const { outcome } = await startBusy(replica, script)
  await master.end()
  expect(textOf(await outcome)).toBe('down')
})

test('what comes from the master during a script is kept, and applied after it', { timeout: TEST_MS }, async () => {
  const [master, replica] = await startPair()
  const behind = "info:match('slave_read_repl_offset:(%d+)') ~= info:match('slave_repl_offset:(%d+)')"
  const script = askUntil('replication', behind, "redis.call('GET', KEYS[1]) or 'not yet'")
  const { outcome, other } = await startBusy(replica, script)
  await master.call('SET', 'k', 'v')
  expect(textOf(await outcome)).toBe('not yet')
  await until('it is applied', async () => textOf(await other.send(['GET', 'k'])) === 'v', WITHIN_MS)
})
