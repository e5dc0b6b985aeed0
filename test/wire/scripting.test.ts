/**
 * Scripts and functions beside redis-server: the same replies, the same data on a replica of the other kind, libraries that
 * travel both ways; and a slow script, heard and killed from other connections.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { Client } from '../../src/net/client.js'
import { type Frame, textOf } from '../../src/resp/protocol.js'
import { freePort } from '../support/ports.js'
import { requireReal } from '../support/real.js'
import { until } from '../support/redis-group.js'
import { infoOf, plain, startNode, startRedisServer, type TestServer } from '../support/servers.js'
import { evals, requests } from './scripting-scenes.js'

const redis = requireReal('redis-server')
const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

const LIBRARY = `#!lua name=lib
redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)
redis.register_function{function_name='look', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}`

/** Both servers' answers to each request, one after another. */
async function answers(commands: readonly (readonly string[])[], protocol: '2' | '3' = '2') {
  const servers = await Promise.all([startNode(), startRedisServer(redis.path)])
  const [ours, theirs] = await Promise.all(
    servers.map(async server => {
      const client = server.client()
      await client.send(['HELLO', protocol])
      const frames: [string, Frame][] = []
      for (const command of commands) frames.push([command.join(' '), await client.send(command)])
      return frames
    }),
  )
  return { ours, theirs }
}

const evalOf = (script: string): string[] => ['EVAL', script.replace(/^=/, 'return '), '0']

for (const [name, scripts] of Object.entries(evals)) {
  redis.test(`EVAL, ${name}`, async () => {
    const { ours, theirs } = await answers(scripts.map(evalOf))
    expect(ours).toEqual(theirs)
  })
}

for (const [name, commands] of Object.entries(requests)) {
  redis.test(name, async () => {
    const { ours, theirs } = await answers(commands)
    expect(ours).toEqual(theirs)
  })
}

redis.test('RESP3 for the client and within the script, in all four ways', async () => {
  const scripts = [2, 3].flatMap(resp =>
    [
      "redis.call('hset','h','f','v') return redis.call('hgetall','h')",
      "redis.call('zadd','z','1.5','m') return redis.call('zscore','z','m')",
      "redis.call('sadd','s','m') return redis.call('smembers','s')",
      "return redis.call('get','nothing')",
      "return redis.call('lpop','nothing')",
      'return {true,false,{double=1.5},{map={a=1}},{set={a=true}}}',
      "return type(redis.call('get','nothing'))",
      "local r = redis.call('zscore','z','m') return type(r)",
      "return {verbatim_string={format='txt',string='abc'}}",
    ].map(script => evalOf(`redis.setresp(${resp}) ${script}`)),
  )
  for (const protocol of ['2', '3'] as const) {
    const { ours, theirs } = await answers(scripts, protocol)
    expect(ours).toEqual(theirs)
  }
})

// ── Replication ─────────────────────────────────────────────────────────────────────────────────────────────────────

async function attach(replica: TestServer, master: TestServer): Promise<void> {
  await replica.call('REPLICAOF', '127.0.0.1', String(master.port))
  await until('the link is up', async () => (await infoOf(replica))['master_link_status'] === 'up')
}

async function caughtUp(replica: TestServer, master: TestServer): Promise<void> {
  await until('the replica has caught up', async () => {
    const [theirs, ours] = await Promise.all([infoOf(replica), infoOf(master)])
    return theirs['slave_repl_offset'] === ours['master_repl_offset']
  })
}

redis.test('all a script does reaches a real replica as one transaction; what it hides does not', async () => {
  const master = await startNode()
  const replica = await startRedisServer(redis.path)
  await attach(replica, master)
  await master.call(
    'EVAL',
    `redis.call('SET', 'a', 1) redis.call('INCR', 'a') redis.call('SELECT', 3) redis.call('SET', 'c', redis.call('TIME')[1])
     redis.set_repl(redis.REPL_NONE) redis.call('SET', 'hidden', 1)`,
    '0',
  )
  await caughtUp(replica, master)
  expect(plain(await replica.call('GET', 'a'))).toBe('2')
  const stats = await infoOf(replica, 'commandstats')
  expect(stats['cmdstat_exec']).toMatch(/^calls=1,/)
  expect(stats['cmdstat_eval']).toBeUndefined()
  await replica.call('SELECT', '3')
  expect(plain(await replica.call('EXISTS', 'c', 'hidden'))).toBe(1)
  // The connection of the caller still has its own database.
  expect(plain(await master.call('GET', 'a'))).toBe('2')
})

for (const direction of ['ours to theirs', 'theirs to ours'] as const) {
  redis.test(`libraries go ${direction}: by full resync, by the stream, and by DUMP`, async () => {
    const node = await startNode()
    const real = await startRedisServer(redis.path)
    const [master, replica] = direction === 'ours to theirs' ? [node, real] : [real, node]
    expect(plain(await master.call('FUNCTION', 'LOAD', LIBRARY))).toBe('lib')
    await attach(replica, master)
    await master.call('FUNCTION', 'LOAD', "#!lua name=second\nredis.register_function('two', function() return 2 end)")
    await master.call('FCALL', 'put', '1', 'k', 'v')
    await caughtUp(replica, master)
    expect(plain(await replica.call('FCALL_RO', 'look', '1', 'k'))).toBe('v')
    expect(plain(await replica.call('FCALL', 'put', '1', 'k', 'v'))).toMatch(/^-READONLY/)
    expect(plain(await replica.call('FUNCTION', 'STATS'))).toEqual(plain(await master.call('FUNCTION', 'STATS')))

    const payload = textOf(await master.call('FUNCTION', 'DUMP')) as string
    await master.call('FUNCTION', 'FLUSH')
    await caughtUp(replica, master)
    expect(plain(await replica.call('FUNCTION', 'LIST'))).toEqual([])
    await replica.call('REPLICAOF', 'NO', 'ONE')
    expect(plain(await replica.call('FUNCTION', 'RESTORE', payload))).toBe('OK')
    expect(plain(await replica.call('FCALL', 'two', '0'))).toBe(2)
  })
}

test('libraries survive a restart, and a snapshot with one that does not load is refused', async () => {
  const node = await startNode()
  await node.call('FUNCTION', 'LOAD', LIBRARY)
  await node.call('SAVE')
  await node.stop()
  const again = await startNode({ dir: node.dir })
  await again.call('FCALL', 'put', '1', 'k', 'v')
  expect(plain(await again.call('FCALL_RO', 'look', '1', 'k'))).toBe('v')
})

// ── Slow scripts, in a process of their own: one that is busy cannot be asked by its own thread ─────────────────────

async function startProcess(): Promise<{ connect(): Client; child: ChildProcess }> {
  expect(existsSync(main), 'npm run build').toBe(true)
  const port = await freePort()
  const child = spawn(
    process.execPath,
    [
      main,
      'node',
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--dbfilename',
      '',
      '--busy-reply-threshold',
      '20',
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  onTestFinished(() => void child.kill('SIGKILL'))
  await new Promise<void>(ready => {
    child.stdout.on('data', text => String(text).includes('Ready to accept') && ready())
  })
  return { connect: () => connectTo(port), child }
}

function connectTo(port: number): Client {
  const client = new Client({ host: '127.0.0.1', port }, { connectTimeoutMs: 2000, replyTimeoutMs: 20_000 })
  onTestFinished(() => client.close())
  return client
}

/** Connections that are there before the script is. */
async function bothConnected(connect: () => Client): Promise<readonly [Client, Client]> {
  const clients = [connect(), connect()] as const
  await Promise.all(clients.map(client => client.send(['PING'])))
  return clients
}

const busy = async (client: Client): Promise<boolean> => String(plain(await client.send(['PING']))).startsWith('-BUSY')

test('a slow script is announced, killed, and catches nothing; then all is as before', async () => {
  const { connect } = await startProcess()
  const [runner, other] = await bothConnected(connect)
  for (const loop of ['while true do end', 'while true do pcall(function() while true do end end) end']) {
    const outcome = runner.send(['EVAL', loop, '0'])
    await until('the node says BUSY', () => busy(other))
    expect(plain(await other.send(['FUNCTION', 'KILL']))).toMatch(/^-BUSY/)
    expect(plain(await other.send(['SCRIPT', 'KILL']))).toBe('OK')
    expect(plain(await outcome)).toMatch(/^-ERR .*Script killed by user with SCRIPT KILL/)
    expect(plain(await other.send(['PING']))).toBe('PONG')
  }
  expect(plain(await runner.send(['EVAL', 'local n=0 for i=1,1000 do n=n+i end return n', '0']))).toBe(500500)
})

test('a busy node lets newcomers in: they hear BUSY, and kill the script', async () => {
  const { connect } = await startProcess()
  const [runner, other] = await bothConnected(connect)
  // The second time with a port that was opened since.
  const port = await freePort()
  for (const round of ['first', 'moved']) {
    if (round === 'moved') expect(plain(await other.send(['CONFIG', 'SET', 'port', String(port)]))).toBe('OK')
    const outcome = runner.send(['EVAL', 'while true do end', '0'])
    await until('the node says BUSY', () => busy(other))
    const newcomers = [1, 2, 3].map(() => (round === 'moved' ? connectTo(port) : connect()))
    for (const newcomer of newcomers) expect(plain(await newcomer.send(['PING']))).toMatch(/^-BUSY/)
    expect(plain(await (newcomers[0] as Client).send(['SCRIPT', 'KILL']))).toBe('OK')
    expect(plain(await outcome)).toMatch(/^-ERR .*Script killed by user with SCRIPT KILL/)
    // They are connections like all others.
    for (const newcomer of newcomers) {
      expect(plain(await newcomer.send(['SET', 'k', round]))).toBe('OK')
      expect(plain(await newcomer.send(['GET', 'k']))).toBe(round)
      expect(String(plain(await newcomer.send(['CLIENT', 'INFO'])))).toMatch(/addr=127\.0\.0\.1:[1-9]/)
      newcomer.close()
    }
    await until('they are gone', async () => {
      const info = String(plain(await other.send(['INFO', 'clients'])))
      return info.includes('connected_clients:2')
    })
  }
  // Whoever comes afterwards comes as before.
  expect(plain(await connectTo(port).send(['PING']))).toBe('PONG')
})

test('a script that has written is not killed, but SHUTDOWN NOSAVE ends it', async () => {
  const { connect, child } = await startProcess()
  const [runner, other] = await bothConnected(connect)
  void runner.send(['EVAL', "redis.call('SET','a',1) while true do end", '0']).catch(() => undefined)
  await until('the node says BUSY', () => busy(other))
  expect(plain(await other.send(['SCRIPT', 'KILL']))).toMatch(/^-UNKILLABLE/)
  expect(plain(await other.send(['SHUTDOWN']))).toMatch(/^-BUSY/)
  const exited = once(child, 'exit')
  void other.send(['SHUTDOWN', 'NOSAVE']).catch(() => undefined)
  expect((await exited)[0]).toBe(0)
})
