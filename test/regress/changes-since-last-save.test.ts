/**
 * Save points count changes, and INFO shows them: an MSET of 150 keys is 150, where ours counted one command. The same
 * commands to redis-server and to our node, and after each of them the count must have grown by as much.
 */
import { expect } from 'vitest'
import { requireReal } from '../support/real.js'
import { infoOf, plain, startNode, startRedisServer, type TestServer } from '../support/servers.js'

const redis = requireReal('redis-server')

/** A line is a command, its words parted by spaces; `"…"` keeps them. */
const scenes: Readonly<Record<string, string>> = {
  strings: `
    SET a 1
    SET a 2 NX
    SET a 2 XX GET
    SET a 2 EX 100
    SET a 2 PX 100000 GET
    SETEX a 100 1
    PSETEX a 100000 1
    SETNX a 1
    SETNX b 1
    MSET a 1 b 2 c 3
    MSET a 1 a 2
    MSETNX a 1 z 2
    MSETNX x 1 y 2 z 3
    GETSET a 5
    GETSET new 5
    GETDEL new
    GETDEL none
    GETEX a EX 100
    GETEX a PERSIST
    GETEX a PERSIST
    GETEX a
    GETEX a EXAT 1
    INCR n
    INCRBY n 5
    DECR n
    INCRBYFLOAT n 1.5
    APPEND s abc
    APPEND s ""
    SETRANGE s 1 xx
    SETRANGE s 1 ""
    SETRANGE none 1 ""
    GET a
    SETBIT bit 7 1
    SETBIT bit 7 1
    SETBIT bit 100 0
    SETBIT bit 101 0
    BITOP AND to bit s
    BITOP NOT to none
    BITOP NOT to none
    BITFIELD bit SET u8 0 7 SET u8 0 7 INCRBY u8 8 1
    BITFIELD bit GET u8 0
    BITFIELD bit OVERFLOW FAIL INCRBY u2 0 1 INCRBY u2 0 3
    BITFIELD_RO bit GET u8 0
    LCS a s`,
  keys: `
    MSET a 1 b 2 c 3 d 4
    DEL a b none
    DEL none
    UNLINK c d none
    MSET a 1 b 2 c 3
    EXISTS a b
    TOUCH a b
    EXPIRE a 100
    EXPIRE none 100
    EXPIRE a 100 NX
    EXPIRE a -1
    PEXPIREAT b 1
    EXPIREAT c 99999999999
    PERSIST c
    PERSIST c
    SET a 1
    RENAME a b
    RENAME b b
    RENAMENX b c
    RENAMENX b d
    COPY d e
    COPY d e
    COPY d e REPLACE
    COPY none f
    COPY d e DB 3
    MOVE d 2
    MOVE none 2
    SWAPDB 0 1
    SWAPDB 0 0
    SWAPDB 0 1
    MSET a 1 b 2 c 3
    RPUSH l 3 1 2
    SORT l STORE sorted
    SORT none STORE sorted
    SORT none STORE sorted
    SORT l
    OBJECT ENCODING l
    FLUSHDB
    FLUSHDB
    MSET a 1 b 2 c 3
    FLUSHALL
    FLUSHALL
    SET a 1
    FLUSHDB ASYNC`,
  lists: `
    RPUSH l 1 2 3 4 5 6 7 8
    LPUSH l a b
    LPUSHX l x y
    RPUSHX none x y
    LPOP l
    LPOP l 3
    RPOP l 2
    LPOP l 0
    LPOP none 3
    LSET l 0 z
    LINSERT l BEFORE z y
    LINSERT l BEFORE none y
    RPUSH l q q q q
    LREM l 2 q
    LREM l 0 none
    LREM l 0 q
    LTRIM l 0 -1
    RPUSH l 1 2 3 4 5
    LTRIM l 1 -3
    LMOVE l m LEFT RIGHT
    LMOVE l l LEFT RIGHT
    RPOPLPUSH l m
    LMOVE none m LEFT LEFT
    RPUSH l 1 2 3
    LMPOP 2 none l LEFT COUNT 2
    LMPOP 2 none l RIGHT
    BLPOP l 1
    BLMOVE m l LEFT LEFT 1
    RPUSH l 1 2 3
    BLMPOP 1 1 l LEFT COUNT 3
    BRPOP l m 1
    RPUSH l 1 2 3
    LTRIM l 5 7
    LRANGE l 0 -1`,
  sets: `
    SADD s 1 2 3 4 5
    SADD s 1 2
    SADD s 1 x y
    SREM s 1 2 none
    SREM s none
    SMOVE s t x
    SMOVE s t none
    SADD t y
    SMOVE s t y
    SMOVE s s 3
    SADD s a b c d e f g h
    SPOP s
    SPOP s 2
    SPOP s 0
    SPOP none 2
    SPOP s 100
    SADD s 1 2 3
    SADD t 1 2
    SINTERSTORE u s t
    SUNIONSTORE u s t
    SDIFFSTORE u s t
    SINTERSTORE u s none
    SINTERSTORE u s none
    SMEMBERS s
    SRANDMEMBER s`,
  hashes: `
    HSET h a 1 b 2 c 3
    HSET h a 1
    HSET h a 1 d 4
    HMSET h a 1 d 4
    HSETNX h a 1
    HSETNX h e 1
    HDEL h a b none
    HDEL h none
    HINCRBY h c 1
    HINCRBYFLOAT h c 1.5
    HDEL h c d e
    HGETALL h`,
  'sorted sets': `
    ZADD z 1 a 2 b 3 c
    ZADD z 1 a
    ZADD z 1 a 5 b 6 d
    ZADD z NX 1 a 9 e
    ZADD z XX CH 2 a 2 none
    ZADD z GT 1 a
    ZADD z INCR 1 a
    ZADD z NX INCR 1 a
    ZINCRBY z 0 a
    ZINCRBY z 2 a
    ZREM z a none
    ZREM z none
    ZADD z 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i 10 j
    ZPOPMIN z
    ZPOPMIN z 2
    ZPOPMAX z 3
    ZPOPMIN z 0
    ZMPOP 2 none z MIN COUNT 2
    BZPOPMIN z 1
    BZMPOP 1 1 z MAX COUNT 5
    ZADD z 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i 10 j
    ZREMRANGEBYRANK z 0 1
    ZREMRANGEBYRANK z 50 51
    ZREMRANGEBYSCORE z 3 4
    ZREMRANGEBYLEX z [e [f
    ZRANGESTORE y z 0 -1
    ZRANGESTORE y z 50 60
    ZRANGESTORE y z 50 60
    ZUNIONSTORE y 2 z none
    ZINTERSTORE y 2 z none
    ZINTERSTORE y 2 z none
    ZDIFFSTORE y 1 z
    GEOADD g 13.36 38.11 Palermo 15.08 37.50 Catania
    GEOADD g 13.36 38.11 Palermo
    GEOADD g CH 13.37 38.11 Palermo 2 2 x
    GEOSEARCHSTORE gs g FROMLONLAT 15 37 BYRADIUS 200 km
    GEOSEARCHSTORE gs g FROMLONLAT 70 7 BYRADIUS 2 km
    GEOSEARCHSTORE gs g FROMLONLAT 70 7 BYRADIUS 2 km
    GEORADIUS g 15 37 200 km STORE gs
    ZRANGE z 0 -1`,
  hyperloglogs: `
    PFADD h
    PFADD h
    PFADD h a b c d
    PFADD h a b
    PFADD i x
    PFMERGE to h i
    PFCOUNT h
    PFCOUNT h
    PFCOUNT h i
    PFADD h1 1 2 3 4 5 6`,
  streams: `
    XADD x 1-1 a 1
    XADD x 2-1 a 1
    XADD x NOMKSTREAM MAXLEN 2 3-1 a 1
    XADD none NOMKSTREAM * a 1
    XADD x 4-1 a 1
    XADD x 5-1 a 1
    XDEL x 4-1 9-9
    XDEL x 9-9
    XTRIM x MAXLEN 2
    XTRIM x MAXLEN 2
    XSETID x 9-9
    XGROUP CREATE x g 0
    XGROUP CREATE new g 0 MKSTREAM
    XGROUP CREATE x g 0
    XGROUP SETID x g 0
    XGROUP CREATECONSUMER x g c
    XGROUP CREATECONSUMER x g c
    XREADGROUP GROUP g c COUNT 1 STREAMS x >
    XREADGROUP GROUP g d STREAMS x >
    XREADGROUP GROUP g e STREAMS x >
    XREADGROUP GROUP g e NOACK STREAMS x >
    XREADGROUP GROUP g c STREAMS x 0
    XADD x 10-1 a 1
    XADD x 11-1 a 1
    XADD x 12-1 a 1
    XREADGROUP GROUP g f NOACK STREAMS x >
    XACK x g 3-1 5-1 9-9
    XACK x g 9-9
    XADD x 13-1 a 1
    XADD x 14-1 a 1
    XADD x 15-1 a 1
    XREADGROUP GROUP g d STREAMS x >
    XCLAIM x g c 0 13-1 14-1
    XCLAIM x g c 0 13-1 JUSTID
    XCLAIM x g c 0 99-1
    XCLAIM x g new 0 99-1
    XAUTOCLAIM x g k 0 0
    XAUTOCLAIM x g k 100000 0
    XDEL x 13-1
    XAUTOCLAIM x g c 0 0
    XCLAIM x g k 0 14-1 15-1
    XGROUP DELCONSUMER x g c
    XGROUP DELCONSUMER x g none
    XGROUP DESTROY x g
    XGROUP DESTROY x g
    XRANGE x - +`,
  'scripts, transactions and others': `
    EVAL "redis.call('mset','a',1,'b',2) redis.call('rpush','l',1,2,3)" 0
    EVAL "return 1" 0
    EVAL "redis.call('get','a')" 0
    SCRIPT LOAD "return 1"
    SCRIPT FLUSH
    FUNCTION LOAD "#!lua name=x\\nredis.register_function('f', function() redis.call('mset','a',1,'b',2) end)"
    FCALL f 0
    FUNCTION LOAD REPLACE "#!lua name=x\\nredis.register_function('f', function() end)"
    FUNCTION DELETE x
    FUNCTION FLUSH
    MULTI
    MSET a 1 b 2
    SADD s 1 2 3
    EXEC
    MULTI
    GET a
    EXEC
    PUBLISH c x
    SELECT 3
    SET k v
    DUMP k
    RESTORE k 0 "\\x00\\x01v\\x0a\\x00\\x6e\\x9f\\x5c\\x6b\\xd1\\x1d\\x0b\\x0b" REPLACE
    DEBUG SET-ACTIVE-EXPIRE 0
    SET k v PX 1
    DEBUG SLEEP 0.01
    GET k
    SET k v PX 1
    DEBUG SLEEP 0.01
    DEL k
    SET k v PX 1
    DEBUG SLEEP 0.01
    SET k v
    DEBUG SET-ACTIVE-EXPIRE 1
    SET k v PX 1
    DEBUG SLEEP 0.3
    GET k`,
}

redis.describe('rdb_changes_since_last_save grows as with redis-server', () => {
  for (const [name, text] of Object.entries(scenes)) {
    redis.test(name, async () => {
      const servers = [await startRedisServer(redis.path), await startNode()]
      const counts = await Promise.all(servers.map(server => grown(server, text)))
      expect(counts[1]).toEqual(counts[0])
    })
  }
})

/** Each line with its reply's kind and how much was counted after it. */
async function grown(server: TestServer, text: string): Promise<string[]> {
  const client = server.client()
  const lines: string[] = []
  let before = 0
  for (const line of text.trim().split('\n')) {
    const reply = plain(await client.send(wordsOf(line)))
    const after = Number((await infoOf(server, 'persistence')).rdb_changes_since_last_save)
    lines.push(`${line.trim()}: ${after - before}${String(reply).startsWith('-') ? ', an error' : ''}`)
    before = after
  }
  return lines
}

function wordsOf(line: string): string[] {
  return [...line.trim().matchAll(/"([^"]*)"|(\S+)/g)].map(
    ([, quoted, plain]) => plain ?? JSON.parse(`"${quoted?.replace(/\\x(..)/g, '\\u00$1') ?? ''}"`),
  )
}
