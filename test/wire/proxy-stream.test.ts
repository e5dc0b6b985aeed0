/**
 * The master's stream as a source of marks: writers that do not come through the proxy, and scripts whose keys nobody
 * declared. The replica stands still, so that only a mark can send a read to the master.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { EventBus } from '../../src/base/bus.js'
import { systemClock } from '../../src/base/clock.js'
import { Client } from '../../src/net/client.js'
import { TlsClient } from '../../src/net/tls.js'
import { Observer } from '../../src/observer/observer.js'
import { StandIn } from '../../src/observer/stand-in.js'
import { itemsOf, textOf } from '../../src/resp/protocol.js'
import { parseInfo } from '../../src/topology/facts.js'
import { makeCertificates } from '../support/certificates.js'
import { type DelayLink, startDelayLink } from '../support/delay.js'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { type Plain, RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, startGroup, until } from '../support/redis-group.js'
import { startRedisServer } from '../support/servers.js'

const redis = requireReal('redis-server')
const sentinel = requireReal('redis-sentinel')

redis.describe('the stream of the master', () => {
  let master: RedisNode
  let replica: RedisNode
  let link: DelayLink
  let proxy: ProxyUnderTest
  let client: RawClient

  beforeAll(async () => {
    master = (await startGroup(redis.path, 0))[0] as RedisNode
    link = await startDelayLink(master.address, 0)
    replica = new RedisNode(redis.path, await freePort())
    await replica.start('--replicaof', '127.0.0.1', String(link.port))
    await until('the replica is linked', async () => (await replica.info()).master?.up === true)
    proxy = new ProxyUnderTest({ tapMaster: true })
    await proxy.start(master.port, [replica.port])
    client = await RawClient.open(proxy.port)
  })

  afterAll(async () => {
    client?.close()
    await proxy?.stop()
    await Promise.all([master, replica].map(node => node?.stop()))
    await link?.close()
  })

  beforeEach(async () => {
    link.stall(false)
    await until('the stream is followed', () => proxy.count('lagrange_stream_followed') === 1)
    await client.call('SET', 'key', 'old')
    await client.call('SET', 'other', 'old')
    await until('the replica has everything', async () => {
      return proxy.worker.group?.replicas[0]?.applied === (await master.info()).offset
    })
    link.stall(true)
  })

  async function why(): Promise<string> {
    const [to, because] = (await client.call('LAGRANGE', 'WHY')) as Plain[]
    return `${to === master.id ? 'master' : 'replica'} ${because}`
  }

  const marked = () => proxy.count('lagrange_stream_marks_total')

  test('a write that bypasses the proxy is seen, and only its key leaves the replica', async () => {
    const before = marked()
    await master.call('SET', 'key', 'new')
    await until('the stream has named it', () => marked() > before)
    expect(await client.call('GET', 'key')).toBe('new')
    expect(await why()).toMatch(/^master /)
    expect(await client.call('GET', 'other')).toBe('old')
    expect(await why()).toBe('replica fresh-replica')
  })

  for (const [name, ...command] of [
    ['several keys', 'MSET', 'key', 'new', 'more', 'new'],
    ['a script of somebody else, by what it wrote', 'EVAL', "redis.call('SET', 'key', 'new')", '0'],
    ['a key that moves', 'RENAME', 'other', 'key'],
  ] as const) {
    test(`${name}`, async () => {
      const before = marked()
      await master.call(...command)
      await until('the stream has named it', () => marked() > before)
      expect(await client.call('GET', 'key')).not.toBe(command[0] === 'RENAME' ? null : 'old')
      expect(await why()).toMatch(/^master /)
    })
  }

  test('what names no keys raises a barrier', async () => {
    const before = proxy.count('lagrange_stream_marks_total', { kind: 'barrier' })
    await master.call('FLUSHALL')
    await until('it has come', () => proxy.count('lagrange_stream_marks_total', { kind: 'barrier' }) > before)
    expect(await client.call('GET', 'other')).toBe(null)
    expect(await why()).toMatch(/^master /)
  })

  test('the barrier of our own script ends when the stream has named what it wrote', async () => {
    await client.call('EVAL', "redis.call('SET', 'key', 'new')", '0')
    await until('other keys are the replica’s again', async () => {
      expect(await client.call('GET', 'other')).toBe('old')
      return (await why()) === 'replica fresh-replica'
    })
    expect(await client.call('GET', 'key')).toBe('new')
    expect(await why()).toMatch(/^master /)
  })

  test('what was written while the stream was lost is covered when it is found again', async () => {
    const marks = () => proxy.events.filter(event => event.name === '+stream').length
    const before = marks()
    await master.call('CLIENT', 'KILL', 'TYPE', 'replica')
    await master.call('SET', 'key', 'new')
    await until('it is found again', () => marks() > before)
    await until('it has come', async () => (await client.call('GET', 'key')) === 'new')
    expect(await client.call('GET', 'other')).toBe('old')
  })

  test('how late it is is measured', async () => {
    const window = () => proxy.store.snapshot().find(series => series.name === 'lagrange_stream_window_seconds')
    await until('there are figures', async () => {
      await client.call('SET', 'measured', '1')
      return (window()?.counts ?? []).reduce((sum, count) => sum + count, 0) > 20
    })
  })

  test('the port it announces belongs to nobody: observers leave it alone', async () => {
    link.stall(false)
    const { replicas } = await master.info()
    const ports = replicas.map(one => one.address.port)
    const [standIn] = ports.filter(port => port !== replica.port)
    expect(ports).toHaveLength(2)
    const asked = new Client(
      { host: '127.0.0.1', port: standIn as number },
      { connectTimeoutMs: 1000, replyTimeoutMs: 1000 },
    )
    onTestFinished(() => asked.close())
    const info = parseInfo(textOf(await asked.call('INFO')) ?? '')
    expect(info).toMatchObject({ role: 'replica', priority: 0, announced: false, standsIn: true })
    expect(info?.offset).toBeGreaterThan(0)
    expect((await asked.send(['GET', 'key'])).type).toBe('error')

    const observer = new Observer(systemClock, new EventBus(() => Date.now()), undefined, {
      group: 'main',
      seeds: [master.address],
    })
    onTestFinished(() => observer.stop())
    const seen = new Set<string>()
    observer.onChange(() => observer.facts.forEach(facts => seen.add(`${facts.id} ${facts.role}`)))
    observer.start()
    await until('all are known', () => observer.diagnosis.name === 'ok' && observer.facts.length === 2)
    observer.look()
    await until('it was looked at and forgotten', () => !observer.facts.some(facts => facts.address.port === standIn))
    expect([...seen].filter(one => one.startsWith(`127.0.0.1:${standIn} r`))).toEqual([])
  })

  sentinel.test('a sentinel sees a replica that it never promotes', async () => {
    link.stall(false)
    const port = await freePort()
    const dir = mkdtempSync(join(tmpdir(), 'lagrange-sentinel-'))
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
    const file = join(dir, 'sentinel.conf')
    writeFileSync(
      file,
      [
        `port ${port}`,
        `sentinel monitor main 127.0.0.1 ${master.port} 1`,
        'sentinel down-after-milliseconds main 1000',
      ].join('\n'),
    )
    const child = spawn(sentinel.path, [file, '--bind', '127.0.0.1', '--dir', dir], { stdio: 'ignore' })
    onTestFinished(async () => {
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    })
    let asked = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 5000, replyTimeoutMs: 5000 })
    onTestFinished(() => asked.close())
    await until('it listens', async () => {
      if (!asked.closed) return (await asked.send(['PING']).catch(() => undefined)) !== undefined
      asked = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 5000, replyTimeoutMs: 5000 })
      return false
    })
    await until('it knows two replicas', async () => {
      const all = itemsOf(await asked.send(['SENTINEL', 'MASTER', 'main'])).map(item => textOf(item) ?? '')
      return all[all.indexOf('num-slaves') + 1] === '2'
    })
    // It is in good health, and not shown to clients.
    await until('it has looked at both', async () => {
      const shown = itemsOf(await asked.call('SENTINEL', 'REPLICAS', 'main'))
      return shown.length === 1
    })
    const log: string[] = []
    const [only] = itemsOf(await asked.call('SENTINEL', 'REPLICAS', 'main'))
    for (const item of itemsOf(only)) log.push(textOf(item) ?? '')
    expect(log[log.indexOf('flags') + 1]).toBe('slave')
  })
})

test('a stand-in agrees to follow whom it is told, in a transaction as sentinels send it', async () => {
  const standIn = new StandIn(() => ({ master: { host: '10.0.0.1', port: 1 }, replid: 'a'.repeat(40), offset: 7 }))
  onTestFinished(() => standIn.close())
  const asked = await RawClient.open(await standIn.announce('127.0.0.1'))
  onTestFinished(() => asked.close())
  expect(
    await asked.pipeline(
      ['MULTI'],
      ['SLAVEOF', '10.0.0.2', '6379'],
      ['CONFIG', 'REWRITE'],
      ['CLIENT', 'KILL', 'TYPE', 'normal'],
      ['EXEC'],
      ['ROLE'],
      ['PING'],
      ['FLUSHALL'],
    ),
  ).toEqual([
    'OK',
    'QUEUED',
    'QUEUED',
    'QUEUED',
    ['OK', 'OK', 0],
    ['slave', '10.0.0.2', 6379, 'connected', 7],
    'PONG',
    "-ERR unknown command 'flushall'",
  ])
})

redis.test('the stream is read over TLS where instances speak nothing else', async () => {
  const files = makeCertificates()
  onTestFinished(() => files.remove())
  const { certFile, keyFile } = files.server
  const ports = [await freePort(), await freePort()] as [number, number]
  const tls = ['--tls-cert-file', certFile, '--tls-key-file', keyFile, '--tls-ca-cert-file', files.caFile]
  for (const port of ports) {
    const follows = port === ports[0] ? [] : ['--replicaof', '127.0.0.1', String(ports[0])]
    const args = ['--port', '0', '--tls-port', String(port), ...tls, '--tls-replication', 'yes', ...follows]
    await startRedisServer(redis.path, { port, args })
  }
  const tlsClient = new TlsClient({ caFile: files.caFile, ...files.client })
  const other = new Client(
    { host: '127.0.0.1', port: ports[0] },
    { connectTimeoutMs: 5000, replyTimeoutMs: 5000, tls: tlsClient },
  )
  onTestFinished(() => other.close())
  // A master's history is another one from its first replica on, which the observer would tell.
  await until('it has a replica', async () => {
    return /^connected_slaves:1\r$/m.test(textOf(await other.call('INFO', 'replication')) ?? '')
  })
  const proxy = new ProxyUnderTest({ tapMaster: true, upstreamTls: { caFile: files.caFile, ...files.client } })
  onTestFinished(() => proxy.stop())
  await proxy.start(ports[0], [])
  await until('the stream is followed', () => proxy.count('lagrange_stream_followed') === 1).catch((error: Error) => {
    throw new Error(`${error.message}; what was said meanwhile: ${JSON.stringify(proxy.events)}`)
  })
  const before = proxy.count('lagrange_stream_marks_total', { kind: 'key' })
  await other.call('SET', 'key', 'of somebody else')
  await until('the stream has named it', () => proxy.count('lagrange_stream_marks_total', { kind: 'key' }) > before)
})
