/**
 * The debugger of scripts, as redis-cli --ldb speaks with it: what our node shows is what redis-server shows, and what a
 * script does in the other mode is gone with the session.
 */
import { expect, onTestFinished, test } from 'vitest'
import { ownNode } from '../support/own-node.js'
import { freePort } from '../support/ports.js'
import { RawClient } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'
import { RedisNode, until } from '../support/redis-group.js'

const redis = requireReal('redis-server')

async function start(program: string, ...directives: string[]): Promise<RedisNode> {
  const node = new RedisNode(program, await freePort())
  onTestFinished(() => node.stop())
  await node.start('--enable-debug-command', 'yes', ...directives)
  return node
}

async function open(node: RedisNode): Promise<RawClient> {
  const client = await RawClient.open(node.port)
  onTestFinished(() => client.close())
  return client
}

const script = `local a = 1
local function f(x)
  local y = x * 2
  redis.debug('in f', y, {1, 2, {a = 'b'}}, nil, true, 1.5)
  return y
end
local t, s = {10, 20}, 'str\\0\\r\\n"q'
redis.call('set', KEYS[1], ARGV[1])
local v = redis.call('get', KEYS[1])
local h = redis.call('hgetall', 'h')
local e = redis.pcall('nosuch')
redis.breakpoint()
local r = f(a)
for i = 1, 3 do
  a = a + i
end
return {r, a}
`
/** Each of them starts programs. */
const SLOW_MS = 120_000
const long = 'x'.repeat(400)

/** A script, and what is typed; words are separated by spaces. */
const sessions: readonly (readonly [string, string, readonly (string | readonly string[])[]])[] = [
  [
    'stepping through values',
    script,
    [
      ...Array(8).fill('s'),
      'p a',
      'p t',
      'p s',
      'p v',
      'p h',
      'p e',
      'p KEYS',
      'print ARGV',
      'p nope',
      'S',
      'step',
      'n',
    ],
  ],
  ['frames', script, ['b 5', 'c', 'c', 'p', 't', 'trace', 'p x', 'p a', 'n', 'c']],
  ['the source', script, ['w', 'l', 'l 3', 'list 3 1', 'list 100 2', 'l x', 'l -3', 'whole', 'c', 'l']],
  [
    'breakpoints',
    script,
    ['b', 'b 15', 'b 16 4', 'b 99', 'b x', 'b 07', 'b -4', 'b -5', 'b', 'c', 'c', 'b 0', 'b', 'c'],
  ],
  [
    'commands',
    script,
    [
      'r get k',
      'r',
      'r set k hello',
      'r hgetall h',
      'redis nosuch',
      'r set k',
      'r lpush l 1 2 3',
      'r lrange l 0 -1',
      'r incr l',
    ],
  ],
  [
    'binary',
    script,
    [
      ['r', 'set', 'b', 'a\r\nb\x00\xff'],
      ['r', 'get', 'b'],
      ['r', 'get', 'a b'],
    ],
  ],
  [
    'lengths',
    script,
    [['r', 'set', 'l', long], 'r get l', 'r get l', 'm', 'm 10', 'r get l', 'm 0', 'r get l', 'maxlen 70', 'm x'],
  ],
  [
    'code',
    script,
    ['e 1+1', 'e a=5', 'e local z = 3; return z', 'e {1,2,{3}}', 'e error(1)', 'e ((', 'e redis.call("get","no")'],
  ],
  ['nonsense', script, ['foo', 'a x']],
  ['abort', script, ['s', 'abort']],
  ['a failing command', "redis.call('set','k',1)\nlocal x = redis.call('incrby','k','y')\nreturn 1", ['s', 's']],
  ['a mistake', 'local x = nil\nreturn x.y', ['c']],
  ['no Lua', 'local x = = nil', []],
  ['a first line of its own', "#!lua flags=no-writes\nlocal x = 1\nreturn redis.call('set','a',1)", ['w', 's', 's']],
  ['empty lines at the end', 'return 1\n\n\r\n', ['w', 'b 2', 's']],
  ['no length', 'return 1', ['*1\r\n:5\r\n']],
  [
    'RESP3',
    `redis.setresp(3)\nlocal h = redis.call('hgetall','h')\nh = redis.call('smembers','set')
h = redis.call('zscore','z','m')\nh = redis.call('get','no')\nreturn redis.call('lpop','no',1)`,
    Array(7).fill('s'),
  ],
]

/** Everything that is answered, the end of the session included. */
async function transcript(node: RedisNode, source: string, typed: (typeof sessions)[0][2]): Promise<unknown[]> {
  const client = await open(node)
  const lines: unknown[] = await client.pipeline(
    ['FLUSHALL'],
    ['HSET', 'h', 'f', 'v'],
    ['SADD', 'set', 'b'],
    ['ZADD', 'z', '1.5', 'm'],
  )
  lines.push(await client.call('SCRIPT', 'DEBUG', 'SYNC'))
  lines.push(await client.call('EVAL', source, '1', 'k', 'vv'))
  for (const words of typed) {
    if (JSON.stringify(lines.at(-1)).includes('<endsession>')) break
    if (typeof words === 'string' && words.startsWith('*')) client.write(words)
    else client.send(typeof words === 'string' ? words.split(' ') : words)
    lines.push(await answerOf(client))
  }
  if (JSON.stringify(lines.at(-1)).includes('<endsession>')) {
    lines.push(await answerOf(client))
    await client.untilClosed()
  }
  // Until then the whole server waits.
  client.close()
  return lines
}

async function answerOf(client: RawClient): Promise<unknown> {
  const frame = await client.next()
  return 'items' in frame ? frame.items.map(item => ('value' in item ? item.value : item)) : frame
}

redis.test(
  'a session shows what redis-server shows',
  async () => {
    const [ours, theirs] = await Promise.all([start(ownNode()), start(redis.path)])
    for (const [name, source, typed] of sessions) {
      const [shown, expected] = await Promise.all([transcript(ours, source, typed), transcript(theirs, source, typed)])
      expect(shown, name).toEqual(expected)
    }
  },
  SLOW_MS,
)

test(
  'a client that leaves lets the script run to its end',
  async () => {
    const node = await start(ownNode())
    const client = await open(node)
    await client.call('SCRIPT', 'DEBUG', 'SYNC')
    expect(await client.call('EVAL', "redis.call('set','k',1)\nredis.call('set','k',2)", '0')).toHaveLength(2)
    client.close()
    expect(await (await open(node)).call('GET', 'k')).toBe('2')
  },
  SLOW_MS,
)

test(
  'others hear BUSY while a script is debugged for long, and may kill it',
  async () => {
    const node = await start(ownNode(), '--busy-reply-threshold', '50')
    const [client, other] = [await open(node), await open(node)]
    await client.call('SCRIPT', 'DEBUG', 'SYNC')
    await client.call('EVAL', 'local a = 1\nreturn a', '0')
    await until('it is busy', async () => String(await other.call('GET', 'k')).startsWith('-BUSY'))
    expect(await other.call('SCRIPT', 'KILL')).toBe('OK')
    expect(await client.call('s')).toEqual(['<endsession>'])
    expect(String(await answerOf(client))).not.toContain('Stopped')
    expect(await other.call('PING')).toBe('PONG')
  },
  SLOW_MS,
)

test(
  'what is debugged in a copy changes nothing, and nobody waits for it',
  async () => {
    const node = await start(ownNode())
    const [client, other] = [await open(node), await open(node)]
    await client.call('SELECT', '3')
    await client.call('SET', 'k', 'before')
    expect(await client.call('SCRIPT', 'DEBUG', 'YES')).toBe('OK')
    const source = "redis.call('set', KEYS[1], 'changed')\nreturn redis.call('get', KEYS[1])"
    expect(await client.call('EVAL', source, '1', 'k')).toContain("-> 1   redis.call('set', KEYS[1], 'changed')")
    expect(await client.call('s')).toContain('<redis> set k changed')
    expect(await other.pipeline(['SELECT', '3'], ['GET', 'k'], ['INCR', 'n'])).toEqual(['OK', 'before', 1])
    expect(await client.call('r', 'get', 'n')).toContain('<reply> NULL')
    expect(await client.call('c')).toEqual(['<endsession>'])
    expect(await client.next()).toMatchObject({ value: 'changed' })
    await client.untilClosed()
    expect(await other.pipeline(['GET', 'k'], ['PING'])).toEqual(['before', 'PONG'])
  },
  SLOW_MS,
)

test(
  'in a copy one may do what one may do, and no more',
  async () => {
    const node = await start(ownNode())
    const [client, other] = [await open(node), await open(node)]
    await client.call('SET', 'secret', 'x')
    await client.call(
      'ACL',
      'SETUSER',
      'dba',
      'on',
      '>pw',
      '~my:*',
      '+eval',
      '+script',
      '+get',
      '+set',
      '(~other:* +get)',
    )
    await client.call('AUTH', 'dba', 'pw')
    await client.call('SCRIPT', 'DEBUG', 'YES')
    await client.call('EVAL', 'return 1', '0')
    expect(await client.call('r', 'get', 'secret')).toContain(
      "<error> The user executing the script can't access at least one of the keys mentioned in the command arguments",
    )
    expect(await client.call('r', 'get', 'other:1')).toContain('<reply> NULL')
    // Whoever leaves takes the other process along.
    client.close()
    await until('it is gone', async () => String(await other.call('CLIENT', 'LIST')).split('\n').length === 2)
  },
  SLOW_MS,
)
