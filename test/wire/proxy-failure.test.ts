/**
 * The proxy while instances lag, change roles and die. Each test has a group of its own.
 */
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import type { WorkerOptions } from '../../src/proxy/worker.js'
import { startDelayLink } from '../support/delay.js'
import { freePort } from '../support/ports.js'
import { ProxyUnderTest } from '../support/proxy.js'
import { type Plain, RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

interface Scene {
  readonly proxy: ProxyUnderTest
  readonly nodes: readonly RedisNode[]
  readonly ports: readonly number[]
  open(): Promise<RawClient>
}

async function scene(replicas: number, options: Partial<WorkerOptions> = {}): Promise<Scene> {
  const nodes = await startGroup(redis.path, replicas)
  const proxy = new ProxyUnderTest(options)
  onTestFinished(async () => {
    await proxy.stop()
    await Promise.all(nodes.map(node => node.stop()))
  })
  const ports = nodes.map(node => node.port)
  await proxy.start(ports[0] as number, ports.slice(1))
  return { proxy, nodes, ports, open: () => openTo(proxy) }
}

async function openTo(proxy: ProxyUnderTest): Promise<RawClient> {
  const client = await RawClient.open(proxy.port)
  onTestFinished(() => client.close())
  return client
}

/** A planned switch as the control plane does it. */
async function switchMaster(
  { proxy, nodes, ports }: Scene,
  from: number,
  to: number,
): Promise<{ drained: boolean; stallMs: number }> {
  const [old, candidate] = [nodes[from] as RedisNode, nodes[to] as RedisNode]
  const { drained } = await proxy.worker.hold({ group: 'main', timeoutMs: 5000 })
  await old.call('REPLICAOF', '127.0.0.1', String(candidate.port))
  const head = Number(
    ((await old.call('INFO', 'replication')) as { value: string }).value.match(/slave_repl_offset:(\d+)/)?.[1],
  )
  await until('the candidate has everything', async () => {
    const info = (await candidate.call('INFO', 'replication')) as { value: string }
    return Number(info.value.match(/slave_repl_offset:(\d+)/)?.[1]) >= head
  })
  await candidate.call('REPLICAOF', 'NO', 'ONE')
  await proxy.setMembers(
    ports[to],
    ports.filter((_, index) => index !== to),
  )
  const { stallMs } = await proxy.worker.release('main')
  return { drained, stallMs }
}

redis.describe('reads never lie', () => {
  test('whoever reads sees what was acknowledged, on any connection, with replicas 20 ms behind', async () => {
    const [master] = (await startGroup(redis.path, 0)) as [RedisNode]
    const link = await startDelayLink(master.address, 20)
    const replicas: RedisNode[] = []
    const proxy = new ProxyUnderTest()
    onTestFinished(async () => {
      await proxy.stop()
      await Promise.all([master, ...replicas].map(node => node.stop()))
      await link.close()
    })
    for (let index = 0; index < 2; index++) {
      const replica = new RedisNode(redis.path, await freePort())
      await replica.start('--replicaof', '127.0.0.1', String(link.port))
      replicas.push(replica)
    }
    await until('the replicas are linked', async () =>
      (await Promise.all(replicas.map(node => node.info()))).every(info => info.master?.up),
    )
    await proxy.start(
      master.port,
      replicas.map(node => node.port),
    )

    const clients = await Promise.all(Array.from({ length: 8 }, () => openTo(proxy)))
    const latest = new Map<string, number>()
    let reads = 0
    await Promise.all(
      clients.map(async (client, who) => {
        const mine = `lie:${who}`
        for (let round = 1; round <= 60; round++) {
          if (round % 3 === 0)
            expect(
              await client.call('EVAL', "return redis.call('SET', ARGV[1], ARGV[2])", '0', mine, String(round)),
            ).toBe('OK')
          else if (round % 7 === 0)
            expect(await client.pipeline(['MULTI'], ['SET', mine, String(round)], ['EXEC'])).toEqual([
              'OK',
              'QUEUED',
              ['OK'],
            ])
          else expect(await client.call('SET', mine, String(round))).toBe('OK')
          latest.set(mine, round)
          // Another connection reads what this one wrote, and keys that nobody writes now.
          const reader = clients[(who + 1 + (round % 7)) % clients.length] as RawClient
          const other = `lie:${(who + round) % clients.length}`
          const before = latest.get(other) ?? 0
          if (reader !== client && round % 5 === 0) {
            const fresh = await openTo(proxy)
            expect(Number(await fresh.call('GET', mine))).toBeGreaterThanOrEqual(round)
            fresh.close()
          }
          expect(Number(await client.call('GET', other))).toBeGreaterThanOrEqual(before)
          expect(await client.call('MGET', mine, 'idle')).toEqual([String(round), null])
          reads += 2
        }
      }),
    )
    expect(reads).toBe(960)
    expect(proxy.count('lagrange_read_routing_total', { decision: 'master' })).toBeGreaterThan(0)
    // What was written is readable at replicas once they have it; and a plain splitter would have lied.
    await until('replicas serve again', async () => {
      const [client] = clients as [RawClient]
      await client.call('GET', 'lie:0')
      return ((await client.call('LAGRANGE', 'WHY')) as Plain[])[1] === 'fresh-replica'
    })
    const [client] = clients as [RawClient]
    await client.call('LAGRANGE', 'CONSISTENCY', 'eventual')
    await client.call('SET', 'lie:0', 'new')
    expect(await client.call('GET', 'lie:0')).not.toBe('new')
    await client.call('LAGRANGE', 'CONSISTENCY', 'strong')
    expect(await client.call('GET', 'lie:0')).toBe('new')
  })

  test('a write does not overtake a read before it in the pipeline', async () => {
    const { proxy, nodes, open } = await scene(1, { readTimeoutMs: 5000 })
    const client = await open()
    await client.call('SET', 'old', 'value')
    await until('the replica serves it', async () => {
      await client.call('GET', 'old')
      return ((await client.call('LAGRANGE', 'WHY')) as Plain[])[1] === 'fresh-replica'
    })
    nodes[1]?.signal('SIGSTOP')
    client.send(['GET', 'old'], ['SET', 'old', 'new'], ['GET', 'old'])
    await sleep(30)
    nodes[1]?.signal('SIGCONT')
    expect([await client.next(), await client.next(), await client.next()]).toMatchObject([
      { value: 'value' },
      { value: 'OK' },
      { value: 'new' },
    ])
    expect(proxy.events.some(event => event.name === '-upstream')).toBe(false)
  })
})

redis.describe('a planned switch', () => {
  test('under load: no error, nothing lost, nothing twice', async () => {
    const all = await scene(2)
    const clients = await Promise.all(Array.from({ length: 20 }, all.open))
    let stop = false
    const errors: Plain[] = []
    const counts = await Promise.all([
      ...clients.map(async (client, who) => {
        let count = 0
        for (; !stop; count++) {
          const [pushed, length] = await client.pipeline(
            ['RPUSH', `load:${who}`, String(count)],
            ['LLEN', `load:${who}`],
          )
          if (pushed !== count + 1) errors.push(pushed as Plain)
          if (length !== count + 1) errors.push(length as Plain)
        }
        return count
      }),
      (async () => {
        await sleep(100)
        for (const [from, to] of [
          [0, 1],
          [1, 2],
          [2, 0],
        ] as const) {
          expect((await switchMaster(all, from, to)).drained).toBe(true)
          await until('the others follow', async () => {
            const infos = await Promise.all(all.nodes.map(node => node.info()))
            return infos.filter(info => info.master?.up).length >= 1
          })
          await sleep(50)
        }
        stop = true
        return 0
      })(),
    ])
    expect(errors).toEqual([])
    expect(counts.every((count, index) => index === 20 || count > 0)).toBe(true)
    const reader = await all.open()
    for (let who = 0; who < 20; who++) {
      const list = (await reader.call('LRANGE', `load:${who}`, '0', '-1')) as string[]
      expect(list).toEqual(Array.from({ length: counts[who] as number }, (_, index) => String(index)))
    }
    expect(all.proxy.count('lagrange_command_errors_total', { target: 'local' })).toBe(0)
  })

  test('an open MULTI is queued again, a WATCH ends in nil, a pop that waits goes on waiting, a subscriber stays', async () => {
    const all = await scene(1)
    const [multi, watch, pop, subscriber, other] = await Promise.all([
      all.open(),
      all.open(),
      all.open(),
      all.open(),
      all.open(),
    ])
    await multi.pipeline(['MULTI'], ['SET', 'kept', '1'], ['INCR', 'kept'])
    await watch.pipeline(['WATCH', 'seen'], ['MULTI'], ['SET', 'seen', '1'])
    pop.send(['BLPOP', 'line', '20'])
    subscriber.send(['SUBSCRIBE', 'news'])
    await subscriber.next()
    await until('it waits', async () => /blocked_clients:1/.test((await other.call('INFO', 'clients')) as string))
    await switchMaster(all, 0, 1)
    expect(await multi.pipeline(['INCR', 'kept'], ['EXEC'], ['GET', 'kept'])).toEqual(['QUEUED', ['OK', 2, 3], '3'])
    expect(await watch.pipeline(['SET', 'seen', '2'], ['EXEC'], ['GET', 'seen'])).toEqual(['QUEUED', null, null])
    await until('it waits at the new master', async () =>
      /blocked_clients:1/.test((await other.call('INFO', 'clients')) as string),
    )
    await other.call('RPUSH', 'line', 'first')
    expect(await pop.next()).toMatchObject({ items: [{ value: 'line' }, { value: 'first' }] })
    await until('it has subscribed again', async () => (await other.call('PUBLISH', 'news', 'after')) === 1)
    expect(await subscriber.next()).toMatchObject({
      items: [{ value: 'message' }, { value: 'news' }, { value: 'after' }],
    })
    expect((await other.call('INFO', 'replication')) as string).toContain('role:master')
  })

  test('a master that was demoted behind our back: writes wait for the view, and are not refused', async () => {
    const { proxy, nodes, ports, open } = await scene(1)
    const [client, other] = [await open(), await open()]
    await client.call('SET', 'before', '1')
    await nodes[0]?.call('REPLICAOF', '127.0.0.1', String(ports[1]))
    await nodes[1]?.call('REPLICAOF', 'NO', 'ONE')
    client.send(['SET', 'healed', '1'], ['GET', 'healed'])
    other.send(['MULTI'], ['SET', 'healed2', '1'], ['EXEC'])
    await until('it was noticed', () => proxy.suspects.some(suspect => suspect.endsWith('not-master')))
    await proxy.setMembers(ports[1], [ports[0] as number])
    expect([await client.next(), await client.next()]).toMatchObject([{ value: 'OK' }, { value: '1' }])
    expect([await other.next(), await other.next(), await other.next()]).toMatchObject([
      { value: 'OK' },
      { value: 'QUEUED' },
      { items: [{ value: 'OK' }] },
    ])
    expect(proxy.count('lagrange_healed_commands_total')).toBeGreaterThan(0)
  })

  test('a hold ends by itself, and what it held is executed', async () => {
    const { proxy, open } = await scene(0)
    const client = await open()
    await client.call('SET', 'n', '1')
    const report = proxy.worker.hold({ group: 'main', timeoutMs: 60 })
    client.send(['INCR', 'n'])
    expect(await report).toEqual({ drained: true, inFlight: 0 })
    expect(await client.next()).toMatchObject({ value: 2 })
    expect(proxy.events.some(event => event.name === '-hold-expired')).toBe(true)
  })

  test('what does not fit among the held commands is refused at once, and the others are executed', async () => {
    const { proxy, open } = await scene(0, { holdBytes: 1000 })
    const clients = [await open(), await open(), await open()]
    await clients[0]?.call('SET', 'n', '1')
    await proxy.worker.hold({ group: 'main', timeoutMs: 2000 })
    for (const [index, client] of clients.entries()) client.send(['SET', `k${index}`, 'x'.repeat(400)])
    const answers = clients.map(client => client.next())
    // Whichever came last is told at once; the other two wait for the release.
    const refusal = { type: 'error', value: expect.stringMatching(/^MASTERDOWN Too much/) }
    expect(await Promise.race(answers)).toMatchObject(refusal)
    await proxy.worker.release('main')
    const all = await Promise.all(answers)
    expect(all.filter(answer => answer.type !== 'error')).toHaveLength(2)
    expect(await clients[0]?.call('EXISTS', 'k0', 'k1', 'k2')).toBe(2)
  })

  test('a hold waits for what is in flight, and says when it lasts too long', async () => {
    const { proxy, open } = await scene(0)
    const client = await open()
    await client.call('SET', 'n', '1')
    client.send([
      'EVAL',
      'local t = redis.call("TIME")[1] * 1 while redis.call("TIME")[1] - t < 2 do end return 1',
      '0',
    ])
    await until('it is in flight', () => proxy.count('lagrange_commands_in_flight') > 0)
    expect(await proxy.worker.hold({ group: 'main', timeoutMs: 50 })).toEqual({ drained: false, inFlight: 1 })
    expect(await client.next()).toMatchObject({ value: 1 })
  })
})

redis.describe('death', () => {
  test('of a replica: reads are answered elsewhere, without an error', async () => {
    const { proxy, nodes, open } = await scene(2)
    const clients = await Promise.all(Array.from({ length: 10 }, open))
    await clients[0]?.call('SET', 'alive', 'yes')
    let stop = false
    const wrong: Plain[] = []
    const load = clients.map(async client => {
      while (!stop)
        for (const reply of await client.pipeline(['GET', 'alive'], ['GET', 'alive']))
          if (reply !== 'yes') wrong.push(reply)
    })
    await sleep(50)
    nodes[1]?.signal('SIGKILL')
    await until('it was noticed', () => proxy.suspects.some(suspect => suspect.startsWith(nodes[1]?.id as string)))
    await sleep(50)
    nodes[2]?.signal('SIGSTOP')
    await until('the silent one was noticed', () => proxy.events.some(event => event.fields.reason === 'read-timeout'))
    await sleep(50)
    stop = true
    nodes[2]?.signal('SIGCONT')
    await Promise.all(load)
    expect(wrong).toEqual([])
  })

  test('of the master: what was sent is in doubt, what was not waits for the next one', async () => {
    const { proxy, nodes, ports, open } = await scene(1)
    const [doubtful, waiting, reader] = [await open(), await open(), await open()]
    await doubtful.pipeline(['SET', 'a', '1'], ['SET', 'b', '1'])
    await reader.call('WAIT', '1', '1000')
    nodes[0]?.signal('SIGSTOP')
    doubtful.send(['INCR', 'a'], ['GET', 'b'])
    await until('it was sent', () => proxy.count('lagrange_commands_in_flight') === 2)
    await sleep(20)
    nodes[0]?.signal('SIGKILL')
    expect(await doubtful.next()).toMatchObject({ type: 'error', value: expect.stringMatching(/^UNKNOWNRESULT /) })
    expect(await doubtful.next()).toMatchObject({ value: '1' })
    waiting.send(['INCR', 'b'], ['GET', 'b'])
    expect(await reader.call('GET', 'b')).toBe('1')
    await until('the write is kept', () => proxy.count('lagrange_held_commands') === 1)
    await until('it is refused', () => proxy.suspects.includes(`${nodes[0]?.id} refused`))
    await nodes[1]?.call('REPLICAOF', 'NO', 'ONE')
    await proxy.setMembers(ports[1], [])
    expect([await waiting.next(), await waiting.next()]).toMatchObject([{ value: 2 }, { value: '2' }])
  })

  test('of the only master: commands are refused after the hold, one by one and in order', async () => {
    const { proxy, nodes, ports, open } = await scene(0, { holdTimeoutMs: 100 })
    const client = await open()
    await client.call('SET', 'a', '1')
    nodes[0]?.signal('SIGKILL')
    await until('it was noticed', () => proxy.suspects.length > 0)
    expect(await client.pipeline(['SET', 'a', '2'], ['PING'], ['GET', 'a'])).toEqual([
      expect.stringMatching(/^-MASTERDOWN /),
      'PONG',
      expect.stringMatching(/^-MASTERDOWN /),
    ])
    await proxy.setMembers(undefined, [])
    // As in Redis, which answers MULTI and refuses what would be queued.
    expect(await client.pipeline(['MULTI'], ['SET', 'a', '3'], ['EXEC'])).toEqual([
      'OK',
      expect.stringMatching(/^-MASTERDOWN /),
      expect.stringMatching(/^-EXECABORT /),
    ])
    await nodes[0]?.start()
    await proxy.setMembers(ports[0], [])
    expect(await client.pipeline(['SET', 'a', '3'], ['GET', 'a'])).toEqual(['OK', '3'])
  })

  test('a pop that waited on a master that died is in doubt, EXEC likewise, MULTI is not', async () => {
    const { nodes, ports, proxy, open } = await scene(1)
    const [pop, exec, multi, other] = [await open(), await open(), await open(), await open()]
    pop.send(['BLPOP', 'q', '0'])
    await exec.pipeline(['MULTI'], ['SET', 'x', '1'])
    await multi.pipeline(['MULTI'], ['SET', 'y', '1'])
    await until('it waits', async () => /blocked_clients:1/.test((await other.call('INFO', 'clients')) as string))
    nodes[0]?.signal('SIGSTOP')
    exec.send(['EXEC'])
    await sleep(20)
    nodes[0]?.signal('SIGKILL')
    expect(await pop.next()).toMatchObject({ type: 'error', value: expect.stringMatching(/^UNKNOWNRESULT /) })
    expect(await exec.next()).toMatchObject({ type: 'error', value: expect.stringMatching(/^UNKNOWNRESULT /) })
    multi.send(['INCR', 'y'], ['EXEC'])
    await nodes[1]?.call('REPLICAOF', 'NO', 'ONE')
    await proxy.setMembers(ports[1], [])
    expect([await multi.next(), await multi.next()]).toMatchObject([
      { value: 'QUEUED' },
      { items: [{ value: 'OK' }, { value: 2 }] },
    ])
  })
})

redis.describe('a busy master', () => {
  test('says so on other connections, is no less the master, and can be freed', async () => {
    const { proxy, nodes, open } = await scene(0)
    const [looping, other, third] = [await open(), await open(), await open()]
    await nodes[0]?.call('CONFIG', 'SET', 'busy-reply-threshold', '10')
    await third.pipeline(['SELECT', '3'], ['SET', 'where', 'three'], ['MULTI'], ['GET', 'where'])
    looping.send(['EVAL', 'while true do end', '0'])
    await until('it hears BUSY', async () => String(await other.call('PING')).startsWith('-BUSY'))
    expect(await other.call('SET', 'x', '1')).toMatch(/^-BUSY/)
    expect(await third.call('EXEC')).toMatch(/BUSY/)
    expect(await third.call('GET', 'where')).toMatch(/^-BUSY/)
    expect(await other.call('SCRIPT', 'KILL')).toBe('OK')
    expect(await looping.next()).toMatchObject({ type: 'error', value: expect.stringMatching(/Script killed/) })
    expect(await third.call('GET', 'where')).toBe('three')
    expect(await other.call('SET', 'x', '2')).toBe('OK')
    expect(proxy.suspects).toEqual([])
  })
})

/** An upstream that answers what it is told to. */
async function startLiar(answer: (request: string, times: number) => string): Promise<{ port: number; close(): void }> {
  const sockets = new Set<net.Socket>()
  let times = 0
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', chunk => {
      let out = ''
      for (const request of chunk.toString('latin1').split(/(?=\*\d+\r\n\$)/)) {
        if (/INFO\r\n.*server/s.test(request)) out += '$8\r\nrun_id:x\r\n'
        else if (/INFO\r\n.*replication/s.test(request)) {
          const text = `role:master\r\nmaster_replid:${'e'.repeat(40)}\r\nmaster_repl_offset:100\r\n`
          out += `$${text.length}\r\n${text}\r\n`
        } else if (/SETNAME|CLIENT/.test(request)) out += '+OK\r\n'
        else if (/COMMAND|databases/.test(request)) out += '-ERR no\r\n'
        else if (/ROLE/.test(request)) out += '*3\r\n$6\r\nmaster\r\n:100\r\n*0\r\n'
        else out += answer(request, times++)
      }
      socket.write(out, 'latin1')
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as net.AddressInfo).port,
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

test.each([
  // It comes where the sample behind the read is awaited, and is none.
  ['an answer nobody asked for', '$1\r\nx\r\n+OK\r\n', 'out-of-step'],
  ['a push on a shared connection', '>1\r\n+x\r\n', 'unsolicited-reply'],
  ['no RESP at all', 'hello\r\n', 'protocol-error'],
  ['nesting without end', '*1\r\n'.repeat(20_000), 'protocol-error'],
  ['a bulk of a terabyte', '$1099511627776\r\n', 'protocol-error'],
])(
  'an upstream that answers with %s loses its connection, and no client gets what is not its own',
  async (_, bytes, reason) => {
    const liar = await startLiar((_request, times) => (times === 0 ? bytes : '$4\r\ntrue\r\n'))
    const proxy = new ProxyUnderTest()
    onTestFinished(async () => {
      await proxy.stop()
      liar.close()
    })
    await proxy.start(liar.port, [])
    const [client, other] = [await openTo(proxy), await openTo(proxy)]
    const reply = await client.call('GET', 'x')
    expect(['x', 'true']).toContain(reply)
    await until('the connection was closed', () =>
      proxy.events.some(event => event.name === '-upstream' && event.fields.reason === reason),
    )
    expect(await other.call('GET', 'x')).toBe('true')
    expect(await client.call('GET', 'x')).toBe('true')
  },
)
