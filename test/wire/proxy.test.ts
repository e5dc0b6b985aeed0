/**
 * The proxy in front of a real master and two real replicas: is it one Redis?
 */
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { ProxyUnderTest } from '../support/proxy.js'
import { plain, RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { type RedisNode, startGroup, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

redis.describe('the proxy before a real group', () => {
  let nodes: RedisNode[]
  let proxy: ProxyUnderTest
  let master: RedisNode

  beforeAll(async () => {
    nodes = await startGroup(redis.path, 2)
    master = nodes[0] as RedisNode
    proxy = new ProxyUnderTest()
    await proxy.start(master.port, [nodes[1]?.port as number, nodes[2]?.port as number])
  })

  afterAll(async () => {
    await proxy?.stop()
    await Promise.all((nodes ?? []).map(node => node.stop()))
  })

  async function open(): Promise<RawClient> {
    const client = await RawClient.open(proxy.port)
    onTestFinished(() => client.close())
    return client
  }

  test('writes go to the master, reads to replicas', async () => {
    const client = await open()
    expect(await client.call('SET', 'routed', 'yes')).toBe('OK')
    expect(await client.call('LAGRANGE', 'WHY')).toEqual([master.id, 'write'])
    await until('the replicas have it', async () => {
      await client.call('GET', 'routed')
      return ((await client.call('LAGRANGE', 'WHY')) as string[])[1] === 'fresh-replica'
    })
    expect(await client.call('GET', 'routed')).toBe('yes')
    expect(proxy.count('lagrange_commands_total', { command: 'set', target: 'master' })).toBeGreaterThan(0)
    expect(proxy.count('lagrange_commands_total', { command: 'get', target: 'replica' })).toBeGreaterThan(0)
    expect(proxy.count('lagrange_read_routing_total', { because: 'fresh-replica' })).toBeGreaterThan(0)
  })

  test('replies of a long pipeline come in order, whoever answered', async () => {
    const client = await open()
    const commands: string[][] = []
    const expected: unknown[] = []
    for (let index = 0; index < 5000; index++) {
      commands.push(
        ['SET', `order:${index}`, String(index)],
        ['GET', `order:${index}`],
        ['ECHO', `e${index}`],
        ['GET', 'routed'],
      )
      expected.push('OK', String(index), `e${index}`, 'yes')
    }
    expect(await client.pipeline(...commands)).toEqual(expected)
  })

  test('a request cut at every byte is one request', async () => {
    const client = await open()
    const bytes = Buffer.from(
      '*3\r\n$3\r\nSET\r\n$3\r\ncut\r\n$5\r\na\r\nbc\r\n*2\r\n$3\r\nget\r\n$3\r\ncut\r\nPING\r\n',
    )
    for (let at = 1; at < bytes.length; at++) {
      client.write(bytes.subarray(0, at))
      await new Promise(resolve => setImmediate(resolve))
      client.write(bytes.subarray(at))
      expect(
        [await client.next(), await client.next(), await client.next()].map(frame => 'value' in frame && frame.value),
      ).toEqual(['OK', 'a\r\nbc', 'PONG'])
    }
  })

  test('MULTI on a connection of its own, and back', async () => {
    const client = await open()
    expect(
      await client.pipeline(['SET', 'tx', '1'], ['MULTI'], ['INCR', 'tx'], ['GET', 'tx'], ['EXEC'], ['GET', 'tx']),
    ).toEqual(['OK', 'OK', 'QUEUED', 'QUEUED', [2, '2'], '2'])
    expect(await client.pipeline(['MULTI'], ['SET', 'tx', '9'], ['DISCARD'], ['GET', 'tx'])).toEqual([
      'OK',
      'QUEUED',
      'OK',
      '2',
    ])
    expect(await client.pipeline(['MULTI'], ['INCR'], ['EXEC'])).toEqual([
      'OK',
      "-ERR wrong number of arguments for 'incr' command",
      '-EXECABORT Transaction discarded because of previous errors.',
    ])
    expect(await client.call('EXEC')).toBe('-ERR EXEC without MULTI')
    expect(
      await client.pipeline(
        ['MULTI'],
        ['SELECT', '3'],
        ['SET', 'in3', 'x'],
        ['EXEC'],
        ['GET', 'in3'],
        ['SELECT', '0'],
        ['GET', 'in3'],
      ),
    ).toEqual(['OK', 'QUEUED', 'QUEUED', ['OK', 'OK'], 'x', 'OK', null])
  })

  test('SYNC makes the client a replica of the master', async () => {
    const [writer, client] = [await open(), await open()]
    expect(await client.pipeline(['REPLCONF', 'capa', 'psync2'], ['SET', 'before', 'sync'])).toEqual(['OK', 'OK'])
    client.write('SYNC\r\n')
    const snapshot = await client.nextSnapshot()
    expect(snapshot.subarray(0, 5).toString()).toBe('REDIS')
    await writer.call('SET', 'after', 'sync')
    await until('the stream brings it', async () => JSON.stringify(plain(await client.next())).includes('after'))
    expect(await writer.call('GET', 'after')).toBe('sync')
    expect(await writer.call('CLIENT', 'LIST', 'TYPE', 'slave')).toMatch(/^id=\d+ .* flags=S .*cmd=sync/)
    expect(await writer.call('CLIENT', 'KILL', 'TYPE', 'replica')).toBe(1)
    await client.untilClosed()
    expect(await writer.call('CLIENT', 'LIST', 'TYPE', 'replica')).toBe('')
  })

  test('WATCH sees the writes of others', async () => {
    const [one, two] = [await open(), await open()]
    await one.call('SET', 'watched', '1')
    expect(await one.call('WATCH', 'watched')).toBe('OK')
    await two.call('SET', 'watched', '2')
    expect(await one.pipeline(['MULTI'], ['SET', 'watched', '3'], ['EXEC'], ['GET', 'watched'])).toEqual([
      'OK',
      'QUEUED',
      null,
      '2',
    ])
    expect(await one.pipeline(['WATCH', 'watched'], ['GET', 'watched'], ['UNWATCH'], ['GET', 'watched'])).toEqual([
      'OK',
      '2',
      'OK',
      '2',
    ])
  })

  test('connections of their own are used again', async () => {
    const client = await open()
    for (let round = 0; round < 50; round++) await client.pipeline(['MULTI'], ['INCR', 'reused'], ['EXEC'])
    expect(await client.call('GET', 'reused')).toBe('50')
    const clients = ((await client.call('INFO', 'clients')) as string).match(/connected_clients:(\d+)/)
    expect(Number(clients?.[1])).toBeLessThan(20)
  })

  test('a blocking pop waits, disturbs nobody, and takes what comes', async () => {
    const [waiting, other] = [await open(), await open()]
    waiting.send(['BLPOP', 'queue', '10'], ['GET', 'routed'])
    expect(await other.call('GET', 'routed')).toBe('yes')
    await until('it waits', async () => /blocked_clients:1/.test((await other.call('INFO', 'clients')) as string))
    expect(await other.call('LPUSH', 'queue', 'work')).toBe(1)
    expect([await waiting.next(), await waiting.next()]).toMatchObject([
      { items: [{ value: 'queue' }, { value: 'work' }] },
      { value: 'yes' },
    ])
    expect(await waiting.call('BLPOP', 'queue', '0.01')).toBeNull()
  })

  test('whoever leaves while it waits takes nothing with it', async () => {
    const [leaving, other] = [await open(), await open()]
    leaving.send(['BLPOP', 'left', '0'])
    await until('it waits', async () => /blocked_clients:1/.test((await other.call('INFO', 'clients')) as string))
    leaving.close()
    await until('nobody waits', async () => /blocked_clients:0/.test((await other.call('INFO', 'clients')) as string))
    expect(await other.call('LPUSH', 'left', 'kept')).toBe(1)
    expect(await other.call('LPOP', 'left')).toBe('kept')
  })

  test('CLIENT UNBLOCK finds the connection that waits', async () => {
    const [waiting, other] = [await open(), await open()]
    const id = await waiting.call('CLIENT', 'ID')
    waiting.send(['BLPOP', 'nothing', '0'])
    await until('it is woken up', async () => (await other.call('CLIENT', 'UNBLOCK', String(id), 'ERROR')) === 1)
    expect(await waiting.next()).toMatchObject({
      type: 'error',
      value: 'UNBLOCKED client unblocked via CLIENT UNBLOCK',
    })
    expect(await waiting.call('PING')).toBe('PONG')
  })

  test('pub/sub in RESP2: confirmations, messages, the other commands refused, and back', async () => {
    const [subscriber, other] = [await open(), await open()]
    subscriber.send(['SUBSCRIBE', 'news', 'sport'], ['PING'])
    expect([await subscriber.next(), await subscriber.next(), await subscriber.next()]).toMatchObject([
      { type: 'array', items: [{ value: 'subscribe' }, { value: 'news' }, { value: 1 }] },
      { items: [{ value: 'subscribe' }, { value: 'sport' }, { value: 2 }] },
      { items: [{ value: 'pong' }, { value: '' }] },
    ])
    expect(await other.call('PUBLISH', 'news', 'hello')).toBe(1)
    expect(await subscriber.next()).toMatchObject({
      items: [{ value: 'message' }, { value: 'news' }, { value: 'hello' }],
    })
    expect(await subscriber.call('GET', 'routed')).toMatch(/^-ERR Can't execute 'get'/)
    subscriber.send(['UNSUBSCRIBE'])
    await subscriber.next()
    expect(await subscriber.next()).toMatchObject({ items: [{ value: 'unsubscribe' }, {}, { value: 0 }] })
    expect(await subscriber.call('GET', 'routed')).toBe('yes')
  })

  test('pub/sub in RESP3: pushes beside ordinary replies', async () => {
    const [subscriber, other] = [await open(), await open()]
    await subscriber.call('HELLO', '3')
    subscriber.send(['PSUBSCRIBE', 'room:*'])
    expect(await subscriber.next()).toMatchObject({ type: 'push', items: [{ value: 'psubscribe' }, {}, { value: 1 }] })
    expect(await subscriber.call('GET', 'routed')).toBe('yes')
    expect(await other.call('PUBLISH', 'room:1', 'hi')).toBe(1)
    expect(await subscriber.next()).toMatchObject({
      type: 'push',
      items: [{ value: 'pmessage' }, {}, {}, { value: 'hi' }],
    })
    expect(await subscriber.call('HGETALL', 'none')).toEqual([])
  })

  test('MONITOR and RESET', async () => {
    const [watcher, other] = [await open(), await open()]
    expect(await watcher.call('MONITOR')).toBe('OK')
    await other.call('SET', 'monitored', '1')
    for (let line = ''; !line.includes('monitored'); ) {
      const frame = await watcher.next()
      line = frame.type === 'simple' ? frame.value : ''
    }
    watcher.send(['RESET'])
    for (let line = ''; line !== 'RESET'; ) {
      const frame = await watcher.next()
      line = frame.type === 'simple' ? frame.value : ''
    }
    expect(await watcher.call('GET', 'monitored')).toBe('1')
  })

  test('databases, names and other things that belong to a connection', async () => {
    const [one, two] = [await open(), await open()]
    await one.pipeline(['SELECT', '5'], ['SET', 'where', 'five'])
    expect(await two.call('GET', 'where')).toBeNull()
    expect(await one.call('GET', 'where')).toBe('five')
    expect(await one.call('SELECT', '99')).toBe('-ERR DB index is out of range')
    expect(await one.call('SELECT', 'abc')).toBe('-ERR value is not an integer or out of range')
    expect(await one.pipeline(['CLIENT', 'SETNAME', 'me'], ['CLIENT', 'GETNAME'])).toEqual(['OK', 'me'])
    expect(await one.call('CLIENT', 'SETNAME', 'a b')).toMatch(/^-ERR Client names cannot/)
    expect(await two.call('CLIENT', 'LIST')).toContain(' name=me ')
    expect(await two.call('CLIENT', 'NO-SUCH')).toMatch(/^-ERR unknown subcommand 'NO-SUCH'/)
    expect(await one.call('CLIENT', 'KILL', 'ID', String(await two.call('CLIENT', 'ID')))).toBe(1)
    await two.untilClosed()
    one.send(
      ['CLIENT', 'REPLY', 'SKIP'],
      ['SET', 'x', '1'],
      ['PING'],
      ['CLIENT', 'REPLY', 'OFF'],
      ['PING'],
      ['CLIENT', 'REPLY', 'ON'],
      ['ECHO', 'on'],
    )
    expect(
      [await one.next(), await one.next(), await one.next()].map(frame => 'value' in frame && frame.value),
    ).toEqual(['PONG', 'OK', 'on'])
    expect(await one.call('RESET')).toBe('RESET')
    expect(await one.call('GET', 'where')).toBeNull()
  })

  test('HELLO switches protocols, and refuses what it does not know', async () => {
    const client = await open()
    const hello = (await client.call('HELLO', '3')) as unknown[]
    expect(hello.slice(0, 6)).toEqual(['server', 'redis', 'version', '7.0.15', 'proto', 3])
    await client.call('DEL', 'h')
    await client.call('HSET', 'h', 'f', 'v')
    client.send(['HGETALL', 'h'])
    expect(await client.next()).toMatchObject({ type: 'map' })
    await client.call('HELLO', '2')
    client.send(['HGETALL', 'h'])
    expect(await client.next()).toMatchObject({ type: 'array' })
    expect(await client.call('HELLO', '4')).toBe('-NOPROTO unsupported protocol version')
    expect(await client.call('AUTH', 'secret')).toMatch(/^-ERR AUTH <password> called without any password/)
  })

  test('errors are those of Redis, and those of the proxy point to where to go', async () => {
    const client = await open()
    await client.call('RPUSH', 'l', 'x')
    expect(await client.call('INCR', 'l')).toMatch(/^-WRONGTYPE/)
    expect(await client.call('GET')).toBe("-ERR wrong number of arguments for 'get' command")
    expect(await client.call('FOO', 'bar')).toBe("-ERR unknown command 'FOO', with args beginning with: 'bar' ")
    expect(await client.call('REPLICAOF', 'NO', 'ONE')).toMatch(/admin API/)
    expect(await client.call('SHUTDOWN')).toMatch(/admin API/)
    expect(await client.call('EVALSHA', 'f'.repeat(40), '0')).toMatch(/^-NOSCRIPT/)
    expect(proxy.count('lagrange_command_errors_total', { code: 'WRONGTYPE' })).toBeGreaterThan(0)
    expect(await client.call('LAGRANGE', 'CONSISTENCY', 'perfect')).toMatch(/^-ERR unknown level/)
    expect(await client.call('LAGRANGE', 'CONSISTENCY')).toBe('causal')
  })

  test('INFO is the master with our section', async () => {
    const client = await open()
    const info = (await client.call('INFO')) as string
    expect(info).toMatch(/\r\nrole:master\r\n/)
    expect(info).toMatch(/# Proxy\r\nproxy_group:main\r\n/)
    // Whom CLIENT LIST has, not the connections that the master sees.
    const listed = ((await client.call('CLIENT', 'LIST')) as string).trim().split('\n').length
    expect(info).toContain(`\r\nconnected_clients:${listed}\r\n`)
    expect(info).toMatch(/\r\nproxy_master_connected_clients:\d+\r\n/)
    expect(await client.call('PROXY', 'INFO')).toMatch(/^# Proxy/)
  })

  test('WAIT counts replicas that have what this connection wrote', async () => {
    const client = await open()
    await client.call('SET', 'waited', '1')
    expect(await client.call('WAIT', '2', '5000')).toBe(2)
    expect(await client.call('WAIT', '3', '20')).toBe(2)
    expect(await client.call('WAIT', 'x', '20')).toBe('-ERR value is not an integer or out of range')
  })

  test('tokens carry what was seen to another connection', async () => {
    const [one, two] = [await open(), await open()]
    await one.call('SET', 'token', '1')
    const token = (await one.call('LAGRANGE', 'TOKEN')) as string
    expect(token).toMatch(/^[0-9a-f]{40}:\d+$/)
    expect(await two.call('LAGRANGE', 'AFTER', token)).toBe('OK')
    expect(await two.call('GET', 'token')).toBe('1')
    expect(await two.call('LAGRANGE', 'AFTER', 'nonsense')).toBe('-ERR a token is <replid>:<offset>')
    expect(await two.call('LAGRANGE', 'AFTER', `${'0'.repeat(40)}:5`)).toBe('-ERR the token belongs to another history')
  })

  test('a script of the switch before is loaded again, and SCRIPT FLUSH is respected', async () => {
    const client = await open()
    const digest = (await client.call('SCRIPT', 'LOAD', 'return 42')) as string
    await master.call('SCRIPT', 'FLUSH')
    expect(await client.call('EVALSHA', digest, '0')).toBe(42)
    await client.call('SCRIPT', 'FLUSH')
    expect(await client.call('EVALSHA', digest, '0')).toMatch(/^-NOSCRIPT/)
  })

  test('malformed bytes end that connection only, after what came before', async () => {
    const [bad, good] = [await open(), await open()]
    bad.write('*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$6\r\nrouted\r\n*1\r\n$-5\r\n')
    expect([await bad.next(), await bad.next(), await bad.next()]).toMatchObject([
      { value: 'PONG' },
      { value: 'yes' },
      { type: 'error', value: 'ERR Protocol error: invalid bulk length' },
    ])
    await bad.untilClosed()
    const web = await open()
    web.write('POST / HTTP/1.1\r\nHost: x\r\n\r\n')
    await web.untilClosed()
    expect(await good.call('GET', 'routed')).toBe('yes')
  })

  test('a client that does not read is bounded, and disturbs nobody', async () => {
    const [deaf, other] = [await open(), await open()]
    await other.call('SET', 'big', 'x'.repeat(256 * 1024))
    deaf.pause()
    for (let round = 0; round < 400; round++) deaf.send(['GET', 'big'])
    // Nobody waits for it, so it may take some rounds until what it has asked for fills its connection.
    let queued = 0
    await until('much waits for it', async () => {
      for (let round = 0; round < 50; round++) expect(await other.call('GET', 'routed')).toBe('yes')
      const list = (await other.call('CLIENT', 'LIST')) as string
      queued = Math.max(...[...list.matchAll(/ omem=(\d+)/g)].map(match => Number(match[1])))
      return queued > 256 * 1024
    })
    expect(queued).toBeLessThan(1.5 * 1024 * 1024)
    deaf.resume()
    for (let round = 0; round < 400; round++) {
      const frame = await deaf.next()
      if (!('value' in frame) || String(frame.value).length !== 256 * 1024)
        throw new Error(`reply ${round} is not the value`)
    }
  })

  test('no reply reaches another connection', async () => {
    const clients = await Promise.all(Array.from({ length: 100 }, open))
    await Promise.all(
      clients.map(async (client, who) => {
        await client.call('SET', `who:${who}`, `v${who}`)
        for (let round = 0; round < 40; round++) {
          const token = `${who}-${round}`
          expect(
            await client.pipeline(
              ['ECHO', token],
              ['GET', `who:${who}`],
              ['EVAL', 'return ARGV[1]', '0', token],
              ['SET', `who:${who}`, `v${who}`],
              ['GET', `who:${who}`],
              ...(round % 10 === who % 10 ? [['MULTI'], ['GET', `who:${who}`], ['EXEC']] : []),
            ),
          ).toEqual([
            token,
            `v${who}`,
            token,
            'OK',
            `v${who}`,
            ...(round % 10 === who % 10 ? ['OK', 'QUEUED', [`v${who}`]] : []),
          ])
        }
      }),
    )
  })

  test('ioredis runs unchanged', async () => {
    const client = new Redis(proxy.port)
    const subscriber = client.duplicate()
    onTestFinished(() => {
      client.disconnect()
      subscriber.disconnect()
    })
    await client.set('io', '1')
    expect(await client.pipeline().incr('io').get('io').exec()).toEqual([
      [null, 2],
      [null, '2'],
    ])
    expect(await client.multi().incr('io').get('io').exec()).toEqual([
      [null, 3],
      [null, '3'],
    ])
    const got = new Promise(resolve => subscriber.on('message', (channel, message) => resolve([channel, message])))
    await subscriber.subscribe('io:news')
    await client.publish('io:news', 'hello')
    expect(await got).toEqual(['io:news', 'hello'])
    const popped = client.duplicate()
    onTestFinished(() => popped.disconnect())
    const item = popped.blpop('io:queue', 5)
    await client.rpush('io:queue', 'item')
    expect(await item).toEqual(['io:queue', 'item'])
  })

  test('node-redis runs unchanged', async () => {
    const client = createClient({ url: `redis://127.0.0.1:${proxy.port}` })
    await client.connect()
    const subscriber = client.duplicate()
    await subscriber.connect()
    onTestFinished(() => {
      client.destroy()
      subscriber.destroy()
    })
    await client.hSet('nr', { a: '1', b: '2' })
    expect(await client.hGetAll('nr')).toEqual(expect.objectContaining({ a: '1', b: '2' }))
    expect(await client.multi().set('nr:x', '1').incr('nr:x').exec()).toEqual(['OK', 2])
    const got = new Promise(resolve => {
      void subscriber.subscribe('nr:news', message => resolve(message)).then(() => client.publish('nr:news', 'hello'))
    })
    expect(await got).toBe('hello')
    await subscriber.unsubscribe('nr:news')
    const item = client.duplicate()
    await item.connect()
    onTestFinished(() => item.destroy())
    const popped = item.blPop('nr:queue', 5)
    await client.rPush('nr:queue', 'item')
    expect(await popped).toEqual(expect.objectContaining({ key: 'nr:queue', element: 'item' }))
  })
})

redis.describe('a proxy that asks for a password', () => {
  let node: RedisNode
  let proxy: ProxyUnderTest

  beforeAll(async () => {
    node = (await startGroup(redis.path, 0))[0] as RedisNode
    proxy = new ProxyUnderTest({ password: 'sesam' })
    await proxy.start(node.port, [])
  })

  afterAll(async () => {
    await proxy?.stop()
    await node?.stop()
  })

  test('nothing before AUTH, and little of it', async () => {
    const client = await RawClient.open(proxy.port)
    onTestFinished(() => client.close())
    expect(await client.call('GET', 'x')).toBe('-NOAUTH Authentication required.')
    expect(await client.call('HELLO', '3')).toMatch(/^-NOAUTH HELLO must be called/)
    expect(await client.call('AUTH', 'wrong')).toMatch(/^-WRONGPASS/)
    expect(await client.call('AUTH', 'sesam')).toBe('OK')
    expect(await client.call('GET', 'x')).toBeNull()
    const other = await RawClient.open(proxy.port)
    onTestFinished(() => other.close())
    expect(((await other.call('HELLO', '3', 'AUTH', 'default', 'sesam')) as unknown[])[5]).toBe(3)
  })

  test.each([
    ['*11\r\n', 'ERR Protocol error: unauthenticated multibulk length'],
    ['*1\r\n$20000\r\n', 'ERR Protocol error: unauthenticated bulk length'],
  ])('%j is too much before AUTH', async (bytes, error) => {
    const client = await RawClient.open(proxy.port)
    client.write(bytes)
    expect(await client.next()).toMatchObject({ type: 'error', value: error })
    await client.untilClosed()
  })

  test('who does not read what it is told is closed', async () => {
    const client = await RawClient.open(proxy.port)
    client.pause()
    for (let round = 0; round < 200 && !client.closed; round++) {
      client.send(...Array.from({ length: 1000 }, () => ['GET', 'x']))
      await new Promise(resolve => setTimeout(resolve, 1))
    }
    await until(
      'it is closed',
      () => proxy.count('lagrange_client_connections_rejected_total', { reason: 'output-limit' }) > 0,
    )
    client.close()
  })
})
