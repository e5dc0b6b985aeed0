/**
 * The same script to our node and to redis-server: byte for byte the same replies. What must differ (ids, times, ports) is
 * blotted out on both sides.
 */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encoder.js'
import { requireReal } from '../support/real.js'
import { startNode, startRedisServer } from '../support/servers.js'

const redis = requireReal('redis-server')

/** Requests as words, or raw bytes; all of one scene on one connection. */
type Scene = readonly (string | Uint8Array)[]

const scenes: Readonly<Record<string, Scene>> = {
  'unknown commands and wrong arity': [
    'FOO',
    'foo bar "b z"',
    'GET',
    'GET a b',
    'CLIENT',
    'CLIENT FOO',
    'CLIENT SETINFO LIB-NAME x',
    'CLIENT MAINT_NOTIFICATIONS ON',
    'CONFIG',
    'CONFIG FOO',
    'ECHO',
    'PING a b',
    `LONG${'x'.repeat(300)} ${'y'.repeat(300)}`,
    'OBJECT FOO a',
    'EXEC',
    'DISCARD',
  ],
  transactions: [
    'MULTI',
    'MULTI',
    'WATCH a',
    'SET a 1',
    'GET a',
    'EXEC',
    'MULTI',
    'FOO',
    'SET a 2',
    'EXEC',
    'GET a',
    'MULTI',
    'GET',
    'EXEC',
    'MULTI',
    'SET a 3',
    'DISCARD',
    'GET a',
    'WATCH a',
    'SET a 4',
    'MULTI',
    'GET a',
    'EXEC',
    'WATCH a',
    'UNWATCH',
    'SET a 5',
    'MULTI',
    'INCR a',
    'LPUSH a x',
    'GET a',
    'EXEC',
    'MULTI',
    'BLPOP nothing 0',
    'EXEC',
    'MULTI',
    'SUBSCRIBE x',
    'EXEC',
    'UNSUBSCRIBE',
    'MULTI',
    'EXEC',
  ],
  'subscriptions in RESP2': [
    'SUBSCRIBE a b',
    'PSUBSCRIBE p*',
    'SSUBSCRIBE s',
    'GET a',
    'PING',
    'PING hello',
    'SUBSCRIBE a',
    'UNSUBSCRIBE b',
    'UNSUBSCRIBE',
    'PUNSUBSCRIBE',
    'SUNSUBSCRIBE',
    'UNSUBSCRIBE',
    'PUNSUBSCRIBE x',
    'GET a',
    'PUBLISH a x',
    'SPUBLISH s x',
    'PUBSUB CHANNELS',
    'PUBSUB NUMSUB a b',
    'PUBSUB NUMPAT',
    'PUBSUB SHARDNUMSUB a',
    'PUBSUB FOO',
    'RESET',
  ],
  'subscriptions in RESP3': [
    'HELLO 3',
    'SUBSCRIBE a',
    'PSUBSCRIBE a*',
    'PUBLISH a x',
    'PUBSUB NUMSUB a',
    'GET a',
    'PING',
    'UNSUBSCRIBE',
    'PUNSUBSCRIBE',
    'RESET',
    'PING',
  ],
  'HELLO and AUTH': [
    'HELLO 4',
    'HELLO x',
    'HELLO 3 AUTH',
    'HELLO 3 AUTH a b',
    'HELLO 2 SETNAME me',
    'CLIENT GETNAME',
    'HELLO 2 SETNAME "a b"',
    'AUTH x',
    'AUTH default x',
    'AUTH nobody x',
    'AUTH a b c',
    'HELLO 3 FOO',
  ],
  'SELECT and databases': [
    'SELECT 1',
    'SET a 1',
    'DBSIZE',
    'SELECT 0',
    'SELECT 16',
    'SELECT x',
    'SELECT -1',
    'SELECT 99999999999999999999',
  ],
  CLIENT: [
    'CLIENT SETNAME "a b"',
    'CLIENT SETNAME ok',
    'CLIENT GETNAME',
    'CLIENT KILL 1.2.3.4:5',
    'CLIENT KILL ID x',
    'CLIENT KILL ID 99999',
    'CLIENT KILL TYPE foo',
    'CLIENT KILL FOO bar',
    'CLIENT KILL ADDR',
    'CLIENT LIST TYPE foo',
    'CLIENT LIST ID x',
    'CLIENT LIST ID 999999',
    'CLIENT PAUSE x',
    'CLIENT PAUSE -1',
    'CLIENT PAUSE 1 foo',
    'CLIENT UNBLOCK x',
    'CLIENT UNBLOCK 1 foo',
    'CLIENT UNBLOCK 99999',
    'CLIENT NO-EVICT on',
    'CLIENT NO-EVICT foo',
    'CLIENT NO-EVICT off',
    'CLIENT REPLY foo',
    'CLIENT GETREDIR',
    'CLIENT TRACKINGINFO',
    'CLIENT UNPAUSE',
    'CLIENT REPLY SKIP',
    'PING a',
    'PING b',
    'CLIENT REPLY OFF',
    'PING c',
    'CLIENT REPLY ON',
    'PING d',
    'CLIENT REPLY OFF',
    'SUBSCRIBE x',
    'UNSUBSCRIBE',
    'CLIENT REPLY ON',
    'CLIENT REPLY SKIP',
    'SUBSCRIBE x',
    'UNSUBSCRIBE',
  ],
  'CONFIG GET': [
    'CONFIG GET maxmemory',
    'CONFIG GET slave-*-stale-*',
    'CONFIG GET foo',
    'CONFIG GET save',
    'CONFIG GET client-output-buffer-limit',
    'CONFIG GET MAXMEMORY-POLICY',
    'CONFIG GET notify-keyspace-events',
    'CONFIG GET',
    'CONFIG GET oom-score-adj-values',
    'CONFIG GET rdb-key-save-delay',
  ],
  'CONFIG SET': [
    'CONFIG SET foo bar',
    'CONFIG SET maxmemory',
    'CONFIG SET maxmemory x',
    'CONFIG SET maxmemory 10mb',
    'CONFIG GET maxmemory',
    'CONFIG SET maxmemory 0',
    'CONFIG SET timeout -1',
    'CONFIG SET timeout x',
    'CONFIG SET databases 3',
    'CONFIG SET dir /nowhere',
    'CONFIG SET maxmemory-policy foo',
    'CONFIG SET appendfsync foo',
    'CONFIG SET save "900 1 300"',
    'CONFIG SET save "900 1 300 10"',
    'CONFIG GET save',
    'CONFIG SET save ""',
    'CONFIG SET notify-keyspace-events KEA',
    'CONFIG GET notify-keyspace-events',
    'CONFIG SET notify-keyspace-events q',
    'CONFIG SET notify-keyspace-events ""',
    'CONFIG SET hz 20 timeout x',
    'CONFIG GET hz',
    'CONFIG SET timeout 5 timeout 6',
    'CONFIG SET slave-priority 7 timeout 0',
    'CONFIG GET replica-priority',
    'CONFIG SET client-output-buffer-limit "normal 1mb 2mb"',
    'CONFIG SET client-output-buffer-limit "foo 1 2 3"',
    'CONFIG SET client-output-buffer-limit "replica 1mb 2mb 30 pubsub 1 2 3"',
    'CONFIG GET client-output-buffer-limit',
    'CONFIG SET repl-timeout 0',
    'CONFIG SET maxmemory-clients 150%',
    'CONFIG SET maxmemory-clients 10%',
    'CONFIG GET maxmemory-clients',
    'CONFIG SET shutdown-on-sigterm "save nosave"',
    'CONFIG SET shutdown-on-sigterm "now force"',
    'CONFIG GET shutdown-on-sigterm',
    'CONFIG SET latency-tracking-info-percentiles "50 101"',
    'CONFIG SET replicaof "a 1"',
    'CONFIG SET rdbcompression maybe',
    'CONFIG SET proto-max-bulk-len 10',
    'CONFIG SET hash-max-ziplist-entries 17',
    'CONFIG GET hash-max-listpack-entries',
    'CONFIG RESETSTAT x',
    'CONFIG SET repl-backlog-size 20000',
    'CONFIG GET repl-backlog-size',
    'CONFIG SET maxclients 0',
  ],
  COMMAND: [
    'COMMAND COUNT',
    'COMMAND INFO get foo config|get',
    'COMMAND GETKEYS SET a b',
    'COMMAND GETKEYS PING',
    'COMMAND GETKEYS FOO',
    'COMMAND GETKEYS GET',
    'COMMAND GETKEYS EVAL x 2 a b',
    'COMMAND GETKEYS GEORADIUS g 13 38 10 km STORE a STORE b',
    'COMMAND GETKEYS GEORADIUS g 13 38 10 km STOREDIST a STORE b',
    'COMMAND GETKEYSANDFLAGS GEORADIUSBYMEMBER g m 10 km STORE a STOREDIST b',
    'COMMAND GETKEYSANDFLAGS SET a b',
    'COMMAND LIST FILTERBY PATTERN xreadg*',
    'COMMAND LIST FILTERBY FOO a',
    'COMMAND LIST FOO',
    'COMMAND LIST FILTERBY MODULE x',
  ],
  'replication words': [
    'ROLE',
    'REPLICAOF 127.0.0.1 99999',
    'REPLICAOF 127.0.0.1 x',
    'REPLICAOF NO ONE',
    'REPLICAOF a',
    'WAIT 0 0',
    'WAIT x 0',
    'WAIT 0 x',
    'WAIT 0 -1',
    'REPLCONF foo bar',
    'REPLCONF listening-port',
    'REPLCONF capa eof capa psync2',
    'REPLCONF rdb-only 2',
    'FAILOVER',
    'FAILOVER ABORT',
    'FAILOVER TO a',
    'FAILOVER FORCE',
    'PSYNC ? x',
  ],
  'SLOWLOG, LATENCY, MEMORY and others': [
    'SLOWLOG LEN x',
    'SLOWLOG GET x',
    'SLOWLOG GET -2',
    'SLOWLOG RESET',
    'SLOWLOG LEN',
    'LATENCY LATEST',
    'LATENCY RESET',
    'LATENCY HISTORY x',
    'MEMORY PURGE',
    'ACL WHOAMI',
    'ACL USERS',
    'ACL LIST',
    'ACL CAT foo',
    'ACL LOG',
    'ACL LOG RESET',
    'MODULE LIST',
    'LASTSAVE x',
    'SAVE x',
    'BGSAVE foo',
    'SHUTDOWN foo',
    'SHUTDOWN ABORT',
    'SHUTDOWN ABORT NOW',
    'READONLY',
    'CLUSTER INFO',
    'DEBUG FOO',
    'DEBUG SLEEP 0',
    'SWAPDB 0 99',
    'RESET',
  ],
  'blocking with a time limit': [
    'BLPOP k 0.01',
    'BLPOP k -1',
    'BLPOP k x',
    'BRPOP k1 k2 0.01',
    'BLMOVE a b LEFT RIGHT 0.01',
    'BZPOPMIN z 0.01',
    'SET k 1',
    'BLPOP k 0.01',
    'WAIT 1 10',
  ],
  'types of RESP3': [
    'HELLO 3',
    'DEBUG PROTOCOL STRING',
    'DEBUG PROTOCOL DOUBLE',
    'DEBUG PROTOCOL NULL',
    'DEBUG PROTOCOL MAP',
    'DEBUG PROTOCOL SET',
    'DEBUG PROTOCOL TRUE',
    'DEBUG PROTOCOL BIGNUM',
    'DEBUG PROTOCOL VERBATIM',
    'DEBUG PROTOCOL PUSH',
    'HSET h a 1',
    'HGETALL h',
    'SMEMBERS nothing',
    'GET nothing',
    'ZADD z 1.5 a',
    'ZSCORE z a',
    'CONFIG GET timeout',
  ],
  'empty requests and inline': [
    Buffer.from('\r\n'),
    Buffer.from('PING\r\n'),
    Buffer.from('ECHO "a\\x41\\n"\n'),
    Buffer.from('*0\r\n'),
    Buffer.from('*-1\r\n'),
    Buffer.from('SET \'a\' "b c"\r\n'),
    Buffer.from('GET a\r\n'),
  ],
  QUIT: ['PING', 'QUIT', 'PING'],
}

/** Ends with an error and a closed connection. */
const broken: Readonly<Record<string, string>> = {
  'a bulk without $': '*1\r\nPING\r\n',
  'a count that is no number': '*x\r\n',
  'a negative bulk': '*1\r\n$-5\r\n',
  'a huge count': '*3000000000\r\n',
  'a huge bulk': '*1\r\n$600000000\r\n',
  'unbalanced quotes': 'SET "a b\r\n',
  'an inline line without end': 'x'.repeat(70_000),
}

redis.describe('node and redis-server', () => {
  test.each(Object.entries(scenes))('%s', async (_name, scene) => {
    const { ours, theirs } = await both(scene.map(request => (typeof request === 'string' ? encode(request) : request)))
    for (const [index, request] of scene.entries()) {
      expect.soft({ request, reply: blot(ours[index]) }).toEqual({ request, reply: blot(theirs[index]) })
    }
  })

  test.each(Object.entries(broken))('%s', async (_name, bytes) => {
    const { ours, theirs } = await both([encode('PING'), Buffer.from(bytes)], true)
    expect(ours).toEqual(theirs)
  })

  test('before the password, little is allowed and little may be sent', async () => {
    for (const [requests, close] of [
      [
        [
          'GET a',
          'PING',
          'HELLO',
          'HELLO 3',
          'AUTH wrong',
          'AUTH secret',
          'GET a',
          'RESET',
          'GET a',
          'HELLO 2 AUTH default secret SETNAME me',
          'GET a',
          'QUIT',
        ],
        false,
      ],
      [[`ECHO ${'x '.repeat(20)}`], true],
      [[`ECHO ${'x'.repeat(20_000)}`], true],
    ] as const) {
      const { ours, theirs } = await both(requests.map(encode), close, ['--requirepass', 'secret'])
      expect(ours.map(blot)).toEqual(theirs.map(blot))
    }
  })

  test('POST and Host: are cut off without an answer', async () => {
    for (const line of ['POST / HTTP/1.1\r\n', 'Host: localhost\r\n']) {
      const { ours, theirs } = await both([Buffer.from(line)], true)
      expect([ours, theirs]).toEqual([[''], ['']])
    }
  })
})

function encode(request: string): Buffer {
  const words = request.match(/"[^"]*"|\S+/g) ?? []
  return encodeCommand(words.map(word => (word.startsWith('"') ? word.slice(1, -1) : word)))
}

/** Sends one request after another; each waits for the replies to the former. */
async function both(
  requests: readonly Uint8Array[],
  closes = false,
  args: readonly string[] = [],
): Promise<{ ours: readonly string[]; theirs: readonly string[] }> {
  const servers = [await startNode({ args }), await startRedisServer(redis.path, { args })]
  const [ours, theirs] = await Promise.all(servers.map(({ port }) => converse(port, requests, closes)))
  return { ours: ours ?? [], theirs: theirs ?? [] }
}

async function converse(port: number, requests: readonly Uint8Array[], closes: boolean): Promise<string[]> {
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  let heard = ''
  let wake: () => void = () => undefined
  let closed = false
  socket.on('data', chunk => {
    heard += chunk.toString('latin1')
    wake()
  })
  socket.on('error', () => undefined)
  socket.on('close', () => {
    closed = true
    wake()
  })
  const replies: string[] = []
  for (const request of requests) {
    heard = ''
    if (!closed) socket.write(request)
    await settled()
    replies.push(heard)
  }
  while (closes && !closed) await new Promise<void>(resume => (wake = resume))
  return replies

  /** Until a reply has come and nothing follows it; some requests have none. */
  async function settled(): Promise<void> {
    for (let waited = 0; heard === '' && !closed && waited < 120; waited += 5) await sleep(5)
    for (let before = -1; before !== heard.length && !closed; ) {
      before = heard.length
      await sleep(8)
    }
  }
}

/** Without what is each server's own. */
function blot(text = ''): string {
  return text.replace(/(\$2\r\nid\r\n):\d+/g, '$1:ID').replace(/\$\d+\r\n(\/tmp\/[^\r]*)/g, '$$N\r\nDIR')
}
