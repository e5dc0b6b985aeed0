/**
 * The master dies while its replicas are stopped: what it had acknowledged reached the witness alone. Nothing is lost,
 * and nobody needs a full resync.
 */
import { expect, onTestFinished, test } from 'vitest'
import { EventBus } from '../../src/base/bus.js'
import { systemClock } from '../../src/base/clock.js'
import { MetricStore } from '../../src/metrics/store.js'
import { Client } from '../../src/net/client.js'
import { Observer } from '../../src/observer/observer.js'
import { textOf } from '../../src/resp/protocol.js'
import { Agent, type AgentOptions } from '../../src/sentinel/agent.js'
import { Witness } from '../../src/sentinel/witness.js'
import { ownNode } from '../support/own-node.js'
import { freePort } from '../support/ports.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'
import { plain } from '../support/servers.js'

const redis = requireReal('redis-server')
const VALUE = 'x'.repeat(1000)
/** Beyond what the kernel keeps for stopped processes. `WRITES=55000` to see how fast they are fed (64 MiB are kept). */
const WRITES = Number(process.env.WRITES ?? 15_000)
const AT_ONCE = 500

redis.test('with redis-server', () => masterDiesAlone(redis.path), 60_000)

test('with our nodes', () => masterDiesAlone(ownNode()), 60_000)

redis.test(
  'without a witness these writes are lost',
  async () => {
    const { lost } = await loseMaster(redis.path, false)
    expect(lost).toBeGreaterThan(1000)
  },
  60_000,
)

for (const [name, program] of [
  ['redis-server', () => redis.path],
  ['our nodes', ownNode],
] as const) {
  redis.test(
    `${name}: who cannot reach the witness is given the writes by a client, databases and transactions as they were`,
    async () => {
      const { lost, acked, report, counter, elsewhere } = await loseMaster(program(), true, false)
      expect({ acked, lost, counter, elsewhere }).toEqual({ acked: WRITES, lost: 0, counter: '1', elsewhere: '2' })
      // Some may have reached a stopped replica's socket; a transaction is one write.
      expect(report?.replayedWrites).toBeGreaterThan(1000)
      expect(report?.replayedWrites).toBeLessThanOrEqual(WRITES + 3)
    },
    60_000,
  )
}

async function masterDiesAlone(program: string): Promise<void> {
  const { lost, fullResyncs, report, acked } = await loseMaster(program, true)
  expect({ acked, lost, fullResyncs }).toEqual({ acked: WRITES, lost: 0, fullResyncs: 0 })
  expect(report?.witnessBytes).toBeGreaterThan(1_000_000)
}

async function loseMaster(program: string, withWitness: boolean, withinReach = true) {
  const backlog = ['--repl-backlog-size', '64mb', '--client-output-buffer-limit', 'replica 0 0 0']
  const nodes = await startGroup(program, 2, ...backlog)
  const [master, ...replicas] = nodes as [RedisNode, RedisNode, RedisNode]
  const bus = new EventBus(() => systemClock.wall())
  const metrics = new MetricStore()
  const names: string[] = []
  bus.listen(({ name, fields }) => {
    names.push(name)
    if (name === '+witness-fed') console.log(`${fields.bytes} bytes in ${fields.durationMs} ms`)
  })
  const observer = new Observer(systemClock, bus, undefined, {
    group: 'main',
    seeds: nodes.map(node => node.address),
    // Stopped replicas are no dead ones.
    downAfterMs: 20_000,
  })
  const witness = withWitness
    ? new (withinReach ? Witness : Unreachable)(systemClock, bus, metrics, observer, {
        bytes: 64 * 2 ** 20,
        credentials: {},
      })
    : undefined
  const gate: ConstructorParameters<typeof Agent>[4] = {
    hold: async () => ({ drained: true, inFlight: 0 }),
    release: async () => ({ heldCommands: 0, stallMs: 0 }),
  }
  const options: AgentOptions = {
    failover: true,
    witness,
    failoverSteps: { askTimeoutMs: 5000, feedTimeoutMs: 20_000 },
  }
  const agent = new Agent(systemClock, bus, metrics, observer, gate, options)
  onTestFinished(async () => {
    for (const replica of replicas) replica.signal('SIGCONT')
    agent.stop()
    await witness?.stop()
    observer.stop()
    await Promise.all(nodes.map(node => node.stop()))
  })
  observer.start()
  agent.start()
  await until('all is well', () => observer.diagnosis.name === 'ok')
  if (withWitness) await until('the witness reads', () => names.includes('+witness'))
  const fullBefore = await fullResyncs(replicas)

  for (const replica of replicas) replica.signal('SIGSTOP')
  const client = new Client(master.address, { connectTimeoutMs: 2000, replyTimeoutMs: 30_000 })
  onTestFinished(() => client.close())
  let acked = 0
  for (let from = 0; from < WRITES; from += AT_ONCE) {
    const writes = Array.from({ length: AT_ONCE }, (_, index) => client.send(['SET', `key:${from + index}`, VALUE]))
    for (const reply of await Promise.all(writes)) if (reply.type === 'simple') acked++
  }
  // In the middle of the stream another database, with and without a transaction.
  const aside = [['SELECT', '3'], ['INCR', 'counter'], ['MULTI'], ['SET', 'two', '1'], ['INCR', 'two'], ['EXEC']]
  for (const command of [...aside, ['PUBLISH', 'channel', 'message'], ['SELECT', '0'], ['SET', 'key:0', VALUE]]) {
    await client.call(...command)
  }
  const offset = (await master.info()).offset as number
  if (witness !== undefined) await until('the witness has it', () => (witness.testimony?.nextOffset ?? 0) > offset)
  master.signal('SIGKILL')
  // Stopped processes cannot say that their link is down: they go on, and know.
  for (const replica of replicas) replica.signal('SIGCONT')

  await until(
    'a replica is promoted',
    () => observer.view.groups[0]?.master?.id !== master.id && agent.status().lastSwitch?.result === 'ok',
    30_000,
  )
  const promoted = replicas.find(node => node.id === observer.view.groups[0]?.master?.id) as RedisNode
  const heir = new Client(promoted.address, { connectTimeoutMs: 2000, replyTimeoutMs: 30_000 })
  onTestFinished(() => heir.close())
  const has = plain(await heir.call('DBSIZE')) as number
  await heir.call('SELECT', '3')
  const [counter, elsewhere] = [textOf(await heir.call('GET', 'counter')), textOf(await heir.call('GET', 'two'))]
  await until('the other one follows', () => observer.diagnosis.name !== 'replica-link-down', 30_000)
  const lost = WRITES - (has - 1)
  return {
    lost,
    counter,
    elsewhere,
    acked,
    fullResyncs: (await fullResyncs(replicas)) - fullBefore,
    report: agent.status().lastSwitch,
  }
}

/** As behind an address translation: who is told its address comes to nobody. */
class Unreachable extends Witness {
  override async address() {
    return { host: '127.0.0.1', port: await freePort() }
  }
}

async function fullResyncs(nodes: readonly RedisNode[]): Promise<number> {
  const infos = await Promise.all(nodes.map(node => node.info()))
  return infos.reduce((sum, info) => sum + (info.resyncs?.full ?? 0), 0)
}
