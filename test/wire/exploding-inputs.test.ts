/**
 * Small requests that cost much elsewhere: patterns that can be matched in very many ways, counts and offsets at the ends of
 * what 64 bits hold, numbers that no double is. Each gets redis-server's reply, and soon: the client would give up.
 *
 * Left out, as redis-server's answer follows from an overflow in C: timeouts of 1e308 seconds ("is negative"), ranges of scores
 * in hexadecimal beyond a double, offsets of BITFIELD that are multiplied, negative numbers of keys that COMMAND GETKEYS takes
 * for positive ones; and cursors of SCAN, which mean something only to who made them.
 */
import { isDeepStrictEqual } from 'node:util'
import { expect } from 'vitest'
import type { Frame } from '../../src/resp/protocol.js'
import { requireReal } from '../support/real.js'
import { plain, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

const MAX = '9223372036854775807'
const MIN = '-9223372036854775808'
const BEYOND = '9223372036854775808'
const ends = [MAX, MIN, BEYOND, '-9223372036854775809', '-9223372036854775807', '4611686018427387904', '4294967296']
/** Matches nothing, in as many ways as there are to choose 30 of 60. */
const pattern = `${'a*'.repeat(30)}b`
const long = 'a'.repeat(60)

const words = (line: string): string[] => line.split(' ')
const withEach = (values: readonly string[], ...lines: readonly string[]): string[][] =>
  values.flatMap(value => lines.map(line => words(line.replaceAll('%', value))))

const setting = [
  ['SET', long, 'x'],
  ['SET', 's', 'hello'],
  ['SET', 'n', '5'],
  ['SET', 'f', '1.5'],
  ['RPUSH', 'l', 'a', 'b', 'a'],
  ['SADD', 'set', 'm'],
  ['HSET', 'h', long, '1', 'n', '5'],
  ['ZADD', 'z', '1', 'm'],
  ['GEOADD', 'g', '1', '1', 'm'],
  ['XADD', 'x', '1-1', 'a', 'b'],
  ['XGROUP', 'CREATE', 'x', 'g', '0'],
  ['SUBSCRIBE', long],
  ['UNSUBSCRIBE', long],
]

const requests: Readonly<Record<string, readonly (readonly string[])[]>> = {
  patterns: [
    ['KEYS', pattern],
    ['SCAN', '0', 'MATCH', pattern, 'COUNT', '100'],
    ['HSCAN', 'h', '0', 'MATCH', pattern],
    ['SSCAN', 'set', '0', 'MATCH', pattern],
    ['CONFIG', 'GET', pattern],
    ['PUBSUB', 'CHANNELS', pattern],
    ['FUNCTION', 'LIST', 'LIBRARYNAME', pattern],
    ['COMMAND', 'LIST', 'FILTERBY', 'PATTERN', pattern],
    ['ACL', 'SETUSER', 'u', 'on', 'nopass', `~${pattern}`, `&${pattern}`, '+@all'],
    ['ACL', 'DRYRUN', 'u', 'GET', long],
    ['ACL', 'DRYRUN', 'u', 'PUBLISH', long, 'x'],
    ['KEYS', '['.repeat(10_000)],
    ['KEYS', `${'[a'.repeat(5000)}`],
    ['KEYS', `${'*?'.repeat(5000)}`],
    ['KEYS', '\\'.repeat(9999)],
    ['SORT', 'l', 'BY', pattern, 'GET', pattern],
  ],
  counts: [
    ...withEach(ends, 'LRANGE l % -1', 'LRANGE l 0 %', 'LINDEX l %', 'LPOP no %', 'LREM l % no', 'LSET l % x'),
    ...withEach(ends, 'LPOS l a RANK %', 'LPOS l a COUNT %', 'LPOS l a MAXLEN %').filter(
      ([, , , option, value]) => option !== 'RANK' || value !== MIN,
    ),
    ...withEach(
      [MAX, BEYOND, MIN],
      'SRANDMEMBER set %',
      'ZRANDMEMBER z %',
      'ZRANDMEMBER z % WITHSCORES',
      'HRANDFIELD no %',
    ),
    ...withEach(
      ['-4611686018427387904', '4611686018427387903'],
      'HRANDFIELD no % WITHVALUES',
      'ZRANDMEMBER no % WITHSCORES',
    ),
    ...withEach(ends, 'SPOP no %', 'ZPOPMIN no %', 'LMPOP 1 no LEFT COUNT %', 'ZMPOP 1 no MIN COUNT %'),
    ...withEach(
      ends,
      'SINTERCARD 2 set set LIMIT %',
      'ZINTERCARD 2 z z LIMIT %',
      'SINTERCARD % set',
      'ZUNION % z',
      'LMPOP % l LEFT',
    ),
    ...withEach(ends, 'XRANGE x - + COUNT %', 'XREAD COUNT % STREAMS x 0', 'XADD x NOMKSTREAM MAXLEN % 1-1 a b'),
    ...withEach(
      ends,
      'XTRIM x MAXLEN ~ 5 LIMIT %',
      'XPENDING x g - + %',
      'XAUTOCLAIM x g c 0 0 COUNT %',
      'XINFO STREAM x FULL COUNT %',
    ),
    ...withEach(
      ends,
      'ZRANGE z % -1',
      'ZRANGE z 0 %',
      'ZRANGEBYSCORE z -inf +inf LIMIT % 5',
      'ZRANGEBYSCORE z -inf +inf LIMIT 0 %',
    ),
    ...withEach(
      ends,
      'SORT l ALPHA LIMIT % 2',
      'SORT l ALPHA LIMIT 0 %',
      'GEOSEARCH g FROMMEMBER m BYRADIUS 1 m COUNT %',
    ),
    ...withEach(ends, 'SCAN 0 MATCH no COUNT %', 'HSCAN h 0 COUNT %', 'ZREMRANGEBYRANK no % %'),
    ...withEach(ends, 'EVAL return %', 'EVAL 1 %', 'FCALL f %', 'SELECT %', 'MOVE s %', 'SWAPDB 0 %'),
    ...withEach(ends, 'ACL LOG %', 'CLIENT KILL ID %', 'CLIENT LIST ID %', 'CLIENT UNBLOCK %'),
  ],
  offsets: [
    ...withEach(
      ends,
      'GETRANGE s % -1',
      'GETRANGE s 0 %',
      'SETRANGE s % x',
      'SETRANGE s % ',
      'SETBIT s % 2',
      'GETBIT s %',
    ),
    ...withEach(
      ends,
      'BITCOUNT s % -1',
      'BITCOUNT s 0 %',
      'BITCOUNT s 0 % BIT',
      'BITCOUNT s % % BIT',
      'BITPOS s 1 %',
      'BITPOS s 0 0 %',
    ),
    ...withEach(
      ends,
      'BITPOS s 0 % % BIT',
      'BITFIELD s GET u8 %',

      'BITFIELD s SET i64 0 %',
      'BITFIELD s INCRBY i64 0 %',
    ),
    ['SETRANGE', 's', '536870912', 'x'],
    ['SETRANGE', 's', '536870911', 'xy'],
    ['SETBIT', 's', '4294967296', '1'],
    ['BITFIELD', 's', 'SET', 'u8', '4294967296', '1'],
    ['GETBIT', 's', '4294967295'],
  ],
  numbers: [
    ...withEach(
      [...ends, '1e400', '-1e400', '1e308', 'nan', 'inf'],
      'INCRBY n %',
      'DECRBY n %',
      'HINCRBY h n %',
      'INCRBYFLOAT f %',
    ),
    ...withEach(
      ['1e400', '-1e400', 'nan', '1e-400'],
      'ZADD z % m',
      'ZINCRBY z % m',
      'ZRANGEBYSCORE z % +inf',
      'ZCOUNT z (% %',
    ),
    ...withEach(
      ['1e400', 'nan', '1e308'],
      'HINCRBYFLOAT h n %',
      'GEOADD g % 0 q',
      'GEOSEARCH g FROMMEMBER m BYRADIUS % m',
    ),
    ...withEach(
      ends,
      'EXPIRE no %',
      'PEXPIRE no %',
      'EXPIREAT no %',
      'PEXPIREAT no %',
      'SETEX no % x',
      'SET no x PX %',
      'GETEX no EXAT %',
    ),
    ...withEach(
      ends,
      'XADD x %-% a b',
      'XSETID x %-0',
      'XCLAIM x g c % 1-1',
      'RESTORE no % x',
      'LATENCY RESET %',
      'OBJECT FREQ %',
    ),
  ],
}

async function answers(server: TestServer, commands: readonly (readonly string[])[]): Promise<[string, unknown][]> {
  const client = server.client()
  for (const command of setting) await client.send(command)
  const said: [string, unknown][] = []
  for (const command of commands) {
    const reply: Frame = await client.send(command)
    said.push([command.join(' ').slice(0, 80), plain(reply)])
  }
  return said
}

for (const [name, commands] of Object.entries(requests)) {
  redis.test(`${name} get redis-server's replies`, async () => {
    const [ours, theirs] = await Promise.all([startNode(), startRedisServer(redis.path)])
    const [said, expected] = [await answers(ours, commands), await answers(theirs, commands)]
    const differs = (_: unknown, at: number): boolean => !isDeepStrictEqual(said[at], expected[at])
    expect(said.filter(differs)).toEqual(expected.filter(differs))
  })
}
