/** What a router must know about Redis, and no other test says: one table of commands, replicas and cursors at a time. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { type FakeUpstream, startFakeUpstream } from '../support/fake-upstream.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

async function open(proxy: ProxyUnderTest): Promise<RawClient> {
  const client = await RawClient.open(proxy.port)
  onTestFinished(() => client.close())
  return client
}

redis.describe('in front of redis-server', () => {
  async function start(): Promise<{ proxy: ProxyUnderTest; nodes: RedisNode[]; client: RawClient }> {
    const nodes = await startGroup(redis.path, 2)
    const [master, ...replicas] = nodes as [RedisNode, ...RedisNode[]]
    const proxy = new ProxyUnderTest()
    onTestFinished(async () => {
      await proxy.stop()
      for (const node of nodes) await node.stop()
    })
    await proxy.start(
      master.port,
      replicas.map(node => node.port),
    )
    await until('both replicas may be read', () => {
      return proxy.worker.group?.replicas.every(({ usable, applied }) => usable && applied > 0) === true
    })
    return { proxy, nodes, client: await open(proxy) }
  }

  test('where the proxy sends what could go wrong elsewhere', async () => {
    const { proxy, client } = await start()
    await client.pipeline(
      ['SET', 'k', '1'],
      ['RPUSH', 'l', '2', '1'],
      ['SADD', 's', 'a'],
      ['GEOADD', 'g', '1', '1', 'a'],
      ['XADD', 'x', '1-1', 'a', 'b'],
      ['HSET', 'h', 'a', 'b'],
      ['ZADD', 'z', '1', 'a'],
      ['PFADD', 'p', 'a'],
    )
    await until('the replicas have it', () => {
      const { group } = proxy.worker
      return group?.replicas.every(one => one.applied >= group.head) === true
    })
    for (const [target, ...command] of [
      // Reads that depend on the data alone.
      ['replica', 'GET', 'k'],
      ['replica', 'HGETALL', 'h'],
      ['replica', 'ZRANGE', 'z', '0', '-1'],
      ['replica', 'XRANGE', 'x', '-', '+'],
      // Its FULL form says when consumers were last seen: a replica is told only of those who were given something.
      ['master', 'XINFO', 'STREAM', 'x'],
      ['replica', 'PFCOUNT', 'p'],
      ['replica', 'BITFIELD_RO', 'k', 'GET', 'u8', '0'],
      ['replica', 'GEORADIUS_RO', 'g', '1', '1', '1', 'm'],
      ['replica', 'LPOS', 'l', '1'],
      // Reads whose answer belongs to one node, or that mean its memory.
      ['master', 'SCAN', '0'],
      ['master', 'HSCAN', 'h', '0'],
      ['master', 'SSCAN', 's', '0'],
      ['master', 'ZSCAN', 'z', '0'],
      ['master', 'RANDOMKEY'],
      ['master', 'DBSIZE'],
      ['master', 'KEYS', '*'],
      ['master', 'OBJECT', 'IDLETIME', 'k'],
      ['master', 'MEMORY', 'USAGE', 'k'],
      ['master', 'LOLWUT'],
      ['master', 'DUMP', 'k'],
      ['master', 'TOUCH', 'k'],
      ['master', 'EVAL_RO', "return redis.call('get', KEYS[1])", '1', 'k'],
      // Writes that look like reads.
      ['master', 'SORT', 'l'],
      ['master', 'GETEX', 'k'],
      ['master', 'GETDEL', 'absent'],
      ['master', 'GETSET', 'k', '1'],
      ['master', 'BITFIELD', 'k', 'GET', 'u8', '0'],
      ['master', 'GEORADIUS', 'g', '1', '1', '1', 'm'],
      ['master', 'SPOP', 'absent'],
      // Neither.
      ['master', 'EVAL', 'return 1', '0'],
      ['master', 'PUBLISH', 'news', 'x'],
      ['master', 'INFO'],
      ['master', 'ROLE'],
      ['master', 'CONFIG', 'GET', 'maxmemory'],
      ['proxy', 'CLIENT', 'ID'],
      ['proxy', 'WAIT', '0', '1'],
    ] as const) {
      const text = command.join(' ')
      expect(JSON.stringify(await client.call(...command)), text).not.toMatch(/^"-/)
      const [to] = (await client.call('LAGRANGE', 'WHY')) as string[]
      const { group } = proxy.worker
      const kind = to === group?.master?.id ? 'master' : group?.replicas.some(one => one.id === to) ? 'replica' : to
      expect([kind, text]).toEqual([target, text])
    }
  })

  test('a scan is complete, and begins again where the master is another one', async () => {
    const { proxy, nodes, client } = await start()
    const [master, heir, other] = nodes as [RedisNode, RedisNode, RedisNode]
    const keys = Array.from({ length: 3000 }, (_, index) => `key:${index}`)
    await client.pipeline(...keys.map(key => ['SET', key, 'v']))
    const scan = async (cursor: string, seen: Set<string>, steps: number): Promise<string> => {
      let next = cursor
      for (let step = 0; step < steps; step++) {
        const [following, found] = (await client.call('SCAN', next, 'COUNT', '50')) as [string, string[]]
        for (const key of found) seen.add(key)
        next = following
        if (next === '0') break
      }
      return next
    }
    const whole = new Set<string>()
    expect(await scan('0', whole, 1000)).toBe('0')
    expect(keys.filter(key => !whole.has(key))).toEqual([])

    const seen = new Set<string>()
    const cursor = await scan('0', seen, 20)
    expect(cursor).not.toBe('0')
    await until('the heir has everything', () => {
      const { group } = proxy.worker
      return group?.replicas.every(one => one.applied >= group.head) === true
    })
    await heir.call('REPLICAOF', 'NO', 'ONE')
    await other.call('REPLICAOF', '127.0.0.1', String(heir.port))
    await master.call('REPLICAOF', '127.0.0.1', String(heir.port))
    await proxy.setMembers(heir.port, [master.port, other.port])
    expect(await scan(cursor, seen, 1000)).toBe('0')
    expect(keys.filter(key => !seen.has(key))).toEqual([])
  })
})

describe('commands', () => {
  /** A master that knows a command of a newer server, as its COMMAND says. */
  async function start(
    flag: 'readonly' | 'write',
  ): Promise<{ client: RawClient; asked: string[]; upstream: FakeUpstream }> {
    const asked: string[] = []
    const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`
    const row = `*10\r\n${bulk('digest')}:2\r\n*1\r\n+${flag}\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0\r\n`
    const upstream = await startFakeUpstream(args => {
      if (args.length === 1 && args[0] === 'COMMAND') return `*1\r\n${row}`
      if (args[0] === 'DIGEST') asked.push(args.join(' '))
      return undefined
    })
    const proxy = new ProxyUnderTest()
    onTestFinished(async () => {
      await proxy.stop()
      await upstream.close()
    })
    await proxy.start(upstream.port, [])
    const client = await open(proxy)
    await until('its commands are known', () => {
      const call = proxy.worker.calls.find(Buffer.from('digest'), 0, 6)
      return call.name === 'digest'
    })
    const call = proxy.worker.calls.find(Buffer.from('DIGEST'), 0, 6)
    expect(call.handling).toBe(flag === 'readonly' ? 'read' : 'master')
    expect(call.writes).toBe(flag === 'write')
    return { client, asked, upstream }
  }

  test('that only the instance knows are what it says they are', async () => {
    for (const flag of ['readonly', 'write'] as const) {
      const { client, asked } = await start(flag)
      await client.call('DIGEST', 'k')
      expect(asked).toEqual(['DIGEST k'])
    }
  })
})
