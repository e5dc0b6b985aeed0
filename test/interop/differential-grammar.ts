/**
 * What the differential test sends. A row is a command and generators for its arguments; a draw is mostly valid, often at
 * an edge, sometimes wrong.
 *
 * When adding a command: a row here. Left out are replies made by chance (SPOP of a part, RANDOMKEY), commands that wait,
 * and what differs by design (MEMORY, OBJECT IDLETIME).
 */
import { type Frame, itemsOf, textOf } from '../../src/resp/protocol.js'

type Random = () => number
/** Some words of a command. */
type Draw = (random: Random) => string[]

export function commandMaker(random: Random): () => string[] {
  return () => {
    const row = pick(rows, random)
    const words = row.flatMap(part => (typeof part === 'string' ? [part] : part(random)))
    return spoilt(words, random)
  }
}

/** 0: as it comes; 1: items in any order; 2: pairs in any order; 3: a SCAN page in any order, whatever the cursor. */
export function isUnordered([name = '']: readonly string[]): number {
  const upper = name.toUpperCase()
  if (/^(SMEMBERS|SINTER|SUNION|SDIFF|KEYS|HKEYS|HVALS|SPOP|SRANDMEMBER)$/.test(upper)) return 1
  if (upper === 'HGETALL') return 2
  return upper.endsWith('SCAN') ? 3 : 0
}

/** Why a difference is no mistake; undefined when it is one. */
export function acceptedDifference(command: readonly string[], ours: Frame, theirs: Frame): string | undefined {
  const name = command[0]?.toUpperCase() ?? ''
  if (/^P?TTL$/.test(name) && ours.type === 'integer' && theirs.type === 'integer')
    if (Math.abs(Number(ours.value) - Number(theirs.value)) < 2000)
      return 'the two clocks were read at different moments'
  if (/^P?EXPIRETIME$/.test(name) && ours.type === 'integer' && theirs.type === 'integer') {
    if (Math.abs(Number(ours.value) - Number(theirs.value)) < 5000)
      return 'the two clocks were read at different moments'
    if (Number(theirs.value) > 2 ** 53) return 'instants beyond the year 287,396 are kept as doubles'
  }
  if (name === 'OBJECT' && textOf(ours) === 'int' && textOf(theirs) === 'embstr')
    return 'a whole number that INCRBYFLOAT left is an integer to us'
  if (name === 'OBJECT' && command[1]?.toUpperCase() === 'REFCOUNT' && 'value' in ours && Number(ours.value) > 1)
    return 'a whole number that INCRBYFLOAT left is an integer to us'
  if (name === 'LPOS' && command.includes('-9223372036854775808'))
    return 'the negation of the smallest integer means nothing in C'
  if (name === 'SORT' && command.includes('ALPHA') && sameItems(ours, theirs))
    return 'elements that compare equal come in the order that quicksort left'
  if (name.startsWith('SORT') && textOfError(theirs)?.includes('scores') && ours.type !== 'error')
    return 'redis-server looks at an errno that an earlier command left'
  return undefined
}

/**
 * A sketch that SETRANGE or APPEND has damaged: we look at all of it and refuse, Redis looks up to the register it is about to
 * change and may change it. From there on the two differ.
 */
export function isDamagedSketch(command: readonly string[], ours: Frame): boolean {
  return command[0]?.toUpperCase() === 'PFADD' && textOfError(ours)?.startsWith('INVALIDOBJ') === true
}

function sameItems(ours: Frame, theirs: Frame): boolean {
  const show = (frame: Frame) =>
    itemsOf(frame)
      .map(item => textOf(item) ?? '(nil)')
      .sort()
      .join(' ')
  return ours.type === 'array' && show(ours) === show(theirs)
}

function textOfError(frame: Frame): string | undefined {
  return frame.type === 'error' ? frame.value : undefined
}

// ── Drawing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function pick<T>(from: readonly T[], random: Random): T {
  return from[Math.floor(random() * from.length)] as T
}

const oneOf =
  (...words: readonly string[]): Draw =>
  random => [pick(words, random)]

/** Sometimes. */
const maybe =
  (...parts: readonly (string | Draw)[]): Draw =>
  random =>
    random() < 0.35 ? parts.flatMap(part => (typeof part === 'string' ? [part] : part(random))) : []

/** One of these words, or none. */
const option =
  (...words: readonly string[]): Draw =>
  random =>
    random() < 0.35 ? [pick(words, random)] : []

/** One to five times. */
const some =
  (...parts: readonly Draw[]): Draw =>
  random =>
    Array.from({ length: 1 + Math.floor(random() * random() * 5) }, () => parts.flatMap(part => part(random))).flat()

/** A count and as many keys; now and then the count is wrong. */
const counted =
  (key: Draw): Draw =>
  random => {
    const keys = some(key)(random)
    return [random() < 0.93 ? String(keys.length) : pick(INTEGERS, random), ...keys]
  }

const EDGES = ['9223372036854775807', '-9223372036854775808', '9223372036854775808', '-9223372036854775809']
const SMALL = ['0', '1', '-1', '2', '3', '-2', '5', '-5', '10', '100', '-100']
const BROKEN = ['', 'abc', '1.5', '007', '+5', ' 5', '5 ', '-', '0x10', '1e3', '-0', '99999999999999999999']
const INTEGERS = [...SMALL, ...SMALL, ...SMALL, ...SMALL, ...EDGES, '4294967296', '2147483648', ...BROKEN]
const FLOATS = [
  ...['0', '1', '-1', '2.5', '-3.25', '0.1', '0.2', '3.0e3', '1e-5', '5', '7', '10', '1.1', '100.001', '-7.125'],
  ...['inf', '-inf', '+inf', 'nan', '1e400', '-1e400', '1e-400', '1e308', '1e17', '123456789012345678', ...BROKEN],
]
const VALUES = [
  ...['', 'a', 'b', 'hello', '10', '-5', '0', '3.14', 'hello world', '__proto__', 'constructor', 'm1', 'm2', '12345'],
  ...['\x00\xff\r\n', 'x'.repeat(45), 'y'.repeat(70), ...EDGES.slice(0, 2), '1e10', 'nan', ' 7'],
]
const MEMBERS = [
  'm1',
  'm2',
  'm3',
  'a',
  'b',
  'c',
  '1',
  '2',
  '3',
  '-7',
  '__proto__',
  'constructor',
  '',
  '\xff\x00',
  'z'.repeat(65),
]
const TIMES = [
  '100',
  '1000',
  '99999',
  '-1',
  '0',
  '-100',
  ...EDGES,
  '9223372036854775',
  '9223372036854776',
  'abc',
  '1.5',
]
const KEYS = {
  any: ['fresh', '__proto__', 'constructor', 'bin\x00\xff', 'toString', ''],
  string: ['str1', 'str2', 'num1', 'num2', 'bits'],
  list: ['list1', 'list2'],
  hash: ['hash1', 'hash2'],
  set: ['set1', 'set2', 'set3'],
  zset: ['zset1', 'zset2', 'geo'],
  stream: ['stream1', 'stream2'],
  /** Sorted sets whose members all score 0, as ranges by member ask for. */
  lex: ['lex1', 'lex2'],
}

/** A key that mostly holds this type. */
const key =
  (type: keyof typeof KEYS): Draw =>
  random => {
    const chance = random()
    return [pick(chance < 0.9 ? KEYS[type] : chance < 0.95 ? KEYS.any : pick(mixed, random), random)]
  }

const mixed = Object.entries(KEYS).flatMap(([type, names]) => (type === 'lex' ? [] : [names]))
const anyKey: Draw = random => [pick(pick(mixed, random), random)]
const [str, list, hash, set, zset] = [key('string'), key('list'), key('hash'), key('set'), key('zset')]
const integer = oneOf(...INTEGERS)
const small = oneOf(...SMALL)
const float = oneOf(...FLOATS)
const value = oneOf(...VALUES)
const member = oneOf(...MEMBERS)
const field = oneOf('f1', 'f2', 'f3', ...MEMBERS)
/** Never anything but its own type: ranges by member mean nothing elsewhere. */
const lex = oneOf(...KEYS.lex)
const time = oneOf(...TIMES)
const pattern = oneOf('*', 's*', '*1', '?et1', '[a-z]*', '*[^0-9]', 'h[ae]sh?', '\\*', '*a*a*b', '[', '**', '__proto__')
const bound = oneOf('-inf', '+inf', '(1', '(2.5', '1', '5', '0', '(5', 'abc', '(', '', '(inf', '3', '10')
const lexBound = oneOf('-', '+', '[a', '(a', '[m2', '(m3', '[', '(', 'a', '[z', '')
const end = oneOf('LEFT', 'RIGHT', 'left', 'right', 'RIGHT', 'LEFT', 'up')
const setExpiry = maybe(
  oneOf('EX', 'PX', 'EXAT', 'PXAT', 'px'),
  oneOf('100000', '9999999999999', '0', '-1', 'abc', ...EDGES),
)

/** Now and then a call is spoilt as a whole: cut short, too long, in lower case, with a strange word in it. */
function spoilt(words: string[], random: Random): string[] {
  // These are made so that chance and the size of a page do not show.
  if (/^(SPOP|.*RAND.*|.*SCAN)$/.test(words[0] as string)) return words
  if (words[0] === 'ZADD' && KEYS.lex.includes(words[1] as string)) return words
  const chance = random()
  if (chance < 0.02) return words.slice(0, 1 + Math.floor(random() * words.length))
  if (chance < 0.04) return [...words, pick(VALUES, random)]
  if (chance < 0.06) return words.map((word, at) => (at === 0 ? word.toLowerCase() : word))
  if (chance < 0.07 && words.length > 1) {
    const at = 1 + Math.floor(random() * (words.length - 1))
    return words.map((word, index) => (index === at ? pick(VALUES, random) : word))
  }
  return words
}

// ── Rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const strings: readonly (readonly (string | Draw)[])[] = [
  ['GET', str],
  ['SET', str, value],
  ['SET', str, value, option('NX', 'XX'), option('GET'), setExpiry, option('KEEPTTL')],
  ['SETNX', str, value],
  ['SETEX', str, time, value],
  ['PSETEX', str, oneOf('100000000', '0', '-1', 'x'), value],
  ['GETSET', str, value],
  ['GETDEL', str],
  ['GETEX', str, option('PERSIST'), setExpiry],
  ['MGET', some(anyKey)],
  ['MSET', some(str, value)],
  ['MSETNX', some(str, value)],
  ['INCR', str],
  ['DECR', str],
  ['INCRBY', str, integer],
  ['DECRBY', str, integer],
  ['INCRBYFLOAT', str, float],
  ['APPEND', str, value],
  ['STRLEN', str],
  ['SETRANGE', str, oneOf('0', '1', '5', '50', '-1', '536870912', 'x'), value],
  ['GETRANGE', str, integer, integer],
  ['SUBSTR', str, small, small],
]

const keys: typeof strings = [
  ['DEL', some(anyKey)],
  ['UNLINK', anyKey],
  ['EXISTS', some(anyKey)],
  ['TYPE', anyKey],
  ['TOUCH', some(anyKey)],
  ['KEYS', pattern],
  ['DBSIZE'],
  ['RENAME', anyKey, anyKey],
  ['RENAMENX', anyKey, anyKey],
  ['MOVE', anyKey, oneOf('1', '0', '99', '-1', 'x')],
  ['COPY', anyKey, anyKey, maybe('DB', oneOf('0', '1', '99', 'x')), option('REPLACE')],
  ['OBJECT', 'ENCODING', anyKey],
  ['OBJECT', 'REFCOUNT', anyKey],
  ['OBJECT', 'FREQ', anyKey],
  ['EXPIRE', anyKey, time, option('NX', 'XX', 'GT', 'LT'), option('NX', 'XX', 'GT', 'LT', 'foo')],
  ['PEXPIRE', anyKey, oneOf('100000000', '-5', '0', ...EDGES), option('NX', 'XX', 'GT', 'LT')],
  ['EXPIREAT', anyKey, oneOf('33177117420', '1', '0', '-1', ...EDGES), option('NX', 'XX', 'GT', 'LT')],
  ['PEXPIREAT', anyKey, oneOf('33177117420000', '1', '0', '-1', 'x'), option('NX', 'XX', 'GT', 'LT')],
  ['TTL', anyKey],
  ['PTTL', anyKey],
  ['EXPIRETIME', anyKey],
  ['PEXPIRETIME', anyKey],
  ['PERSIST', anyKey],
  ['SCAN', '0', 'COUNT', '1000', maybe('MATCH', pattern), maybe('TYPE', oneOf('string', 'list', 'ZSET', 'foo'))],
  [
    'SORT',
    oneOf('list1', 'list2', 'zset1', 'str1'),
    option('ALPHA'),
    option('DESC', 'ASC'),
    maybe('LIMIT', small, small),
  ],
  [
    'SORT',
    list,
    'ALPHA',
    maybe('BY', oneOf('str*', 'hash*->f1', '#')),
    some(oneOf('GET'), oneOf('#', 'str*', 'hash*->f1', 'x')),
  ],
  ['SORT', set, 'ALPHA', 'STORE', list],
  ['SORT_RO', list, maybe('STORE', list)],
  ['SWAPDB', oneOf('0', '1', '2', 'x'), oneOf('1', '3', '99', 'x')],
]

const lists: typeof strings = [
  ['LPUSH', list, some(value)],
  ['RPUSH', list, some(value)],
  ['LPUSHX', list, some(value)],
  ['RPUSHX', list, some(value)],
  ['LPOP', list, maybe(integer)],
  ['RPOP', list, maybe(integer)],
  ['LLEN', list],
  ['LINDEX', list, integer],
  ['LSET', list, integer, value],
  ['LINSERT', list, oneOf('BEFORE', 'after', 'x'), value, value],
  ['LRANGE', list, integer, integer],
  ['LRANGE', list, '0', '-1'],
  ['LTRIM', list, small, small],
  ['LREM', list, integer, value],
  ['LPOS', list, value, maybe('RANK', integer), maybe('COUNT', integer), maybe('MAXLEN', integer)],
  ['RPOPLPUSH', list, list],
  ['LMOVE', list, list, end, end],
  ['LMPOP', counted(list), end, maybe('COUNT', integer)],
]

const hashes: typeof strings = [
  ['HSET', hash, some(field, value)],
  ['HMSET', hash, some(field, value)],
  ['HSETNX', hash, field, value],
  ['HGET', hash, field],
  ['HMGET', hash, some(field)],
  ['HDEL', hash, some(field)],
  ['HEXISTS', hash, field],
  ['HLEN', hash],
  ['HSTRLEN', hash, field],
  ['HGETALL', hash],
  ['HKEYS', hash],
  ['HVALS', hash],
  ['HINCRBY', hash, field, integer],
  ['HINCRBYFLOAT', hash, field, float],
  ['HRANDFIELD', hash, oneOf('0', 'x', ...EDGES.slice(1)), option('WITHVALUES', 'foo')],
  ['HSCAN', hash, '0', 'COUNT', '1000', maybe('MATCH', pattern)],
  ['HSCAN', hash, oneOf('abc', '', '-', '5x', '+0', '-0'), 'COUNT', '1000'],
]

const sets: typeof strings = [
  ['SADD', set, some(member)],
  ['SREM', set, some(member)],
  ['SMOVE', set, set, member],
  ['SISMEMBER', set, member],
  ['SMISMEMBER', set, some(member)],
  ['SCARD', set],
  ['SMEMBERS', set],
  ['SINTER', some(set)],
  ['SUNION', some(set)],
  ['SDIFF', some(set)],
  ['SINTERSTORE', set, some(set)],
  ['SUNIONSTORE', set, some(set)],
  ['SDIFFSTORE', set, some(set)],
  ['SINTERCARD', counted(set), maybe('LIMIT', integer)],
  ['SRANDMEMBER', set, oneOf('0', '1000', 'x', ...EDGES.slice(1))],
  ['SPOP', set, oneOf('0', '1000', '-1', 'x')],
  ['SSCAN', set, '0', 'COUNT', '1000', maybe('MATCH', pattern)],
]

const rangeOptions = [option('REV'), maybe('LIMIT', small, small), option('WITHSCORES')]
const algebra = [maybe('WEIGHTS', some(float)), maybe('AGGREGATE', oneOf('SUM', 'min', 'MAX', 'avg'))]
const sortedSets: typeof strings = [
  ['ZADD', zset, some(float, member)],
  ['ZADD', zset, option('NX', 'XX'), option('GT', 'LT'), option('CH'), option('INCR'), some(float, member)],
  ['ZINCRBY', zset, float, member],
  ['ZREM', zset, some(member)],
  ['ZCARD', zset],
  ['ZSCORE', zset, member],
  ['ZMSCORE', zset, some(member)],
  ['ZRANK', zset, member],
  ['ZREVRANK', zset, member],
  ['ZCOUNT', zset, bound, bound],
  ['ZLEXCOUNT', lex, lexBound, lexBound],
  ['ZRANGE', zset, integer, integer, ...rangeOptions],
  ['ZRANGE', zset, '0', '-1', 'WITHSCORES'],
  ['ZRANGE', zset, bound, bound, 'BYSCORE', ...rangeOptions],
  ['ZADD', lex, some(oneOf('0'), member)],
  ['ZRANGE', lex, lexBound, lexBound, 'BYLEX', ...rangeOptions],
  ['ZRANGESTORE', lex, lex, lexBound, lexBound, 'BYLEX', maybe('LIMIT', small, small)],
  ['ZRANGESTORE', zset, zset, bound, bound, oneOf('BYSCORE', 'REV'), maybe('LIMIT', small, small)],
  ['ZREVRANGE', zset, small, small, option('WITHSCORES')],
  ['ZRANGEBYSCORE', zset, bound, bound, option('WITHSCORES'), maybe('LIMIT', integer, integer)],
  ['ZREVRANGEBYSCORE', zset, bound, bound, option('WITHSCORES'), maybe('LIMIT', integer, integer)],
  ['ZRANGEBYLEX', lex, lexBound, lexBound, maybe('LIMIT', small, small)],
  ['ZREVRANGEBYLEX', lex, lexBound, lexBound, maybe('LIMIT', small, small)],
  ['ZREMRANGEBYRANK', zset, integer, integer],
  ['ZREMRANGEBYSCORE', zset, bound, bound],
  ['ZREMRANGEBYLEX', lex, lexBound, lexBound],
  ['ZPOPMIN', zset, maybe(integer)],
  ['ZPOPMAX', zset, maybe(integer)],
  ['ZMPOP', counted(zset), oneOf('MIN', 'max', 'x'), maybe('COUNT', integer)],
  ['ZUNION', counted(zset), ...algebra, option('WITHSCORES')],
  ['ZINTER', counted(zset), ...algebra, option('WITHSCORES')],
  ['ZDIFF', counted(zset), option('WITHSCORES')],
  ['ZUNIONSTORE', zset, counted(zset), ...algebra],
  ['ZINTERSTORE', zset, counted(oneOf('zset1', 'set1', 'zset2')), ...algebra],
  ['ZDIFFSTORE', zset, counted(zset)],
  ['ZINTERCARD', counted(zset), maybe('LIMIT', integer)],
  ['ZRANDMEMBER', zset, oneOf('0', 'x', ...EDGES.slice(1)), option('WITHSCORES', 'foo')],
  ['ZSCAN', zset, '0', 'COUNT', '1000', maybe('MATCH', pattern)],
]

const stream = key('stream')
const ids = [
  '1-1',
  '1-2',
  '2-0',
  '3',
  '5-5',
  '7-1',
  '0-0',
  '0',
  '18446744073709551615-18446744073709551615',
  '9-*',
  '1-x',
  '-',
  '',
]
const id = oneOf(...ids)
const newId = oneOf(
  '1-1',
  '2-*',
  '3-*',
  '5-1',
  '9-9',
  '10-*',
  '11-0',
  '12',
  '13-*',
  '0-*',
  '0-0',
  'x-1',
  '14-*',
  '15-*',
  '16-*',
)
const rangeId = oneOf(
  '-',
  '+',
  '-',
  '+',
  '(1-1',
  '2',
  '(3',
  '5-5',
  '(',
  '(-',
  '(0-0',
  '(18446744073709551615-18446744073709551615',
  'x',
)
const group = oneOf('g1', 'g2', 'g1', 'g2', '__proto__')
const consumer = oneOf('alice', 'bob', '__proto__')
const trim = maybe(oneOf('MAXLEN', 'MINID', 'maxlen'), option('='), oneOf('3', '5', '0', '-1', '5-0', 'x'))
const streams: typeof strings = [
  ['XADD', stream, newId, some(field, value)],
  ['XADD', stream, newId, some(field, value)],
  ['XADD', stream, newId, some(field, value)],
  ['XADD', stream, option('NOMKSTREAM'), trim, newId, some(field, value)],
  ['XLEN', stream],
  ['XRANGE', stream, rangeId, rangeId, maybe('COUNT', integer)],
  ['XRANGE', stream, '-', '+'],
  ['XREVRANGE', stream, rangeId, rangeId, maybe('COUNT', integer)],
  ['XDEL', stream, some(id)],
  [
    'XTRIM',
    stream,
    oneOf('MAXLEN', 'MINID'),
    option('='),
    oneOf('3', '5', '0', '-1', '5-0', 'x'),
    maybe('LIMIT', small),
  ],
  ['XSETID', stream, id, maybe('ENTRIESADDED', small), maybe('MAXDELETEDID', id)],
  ['XGROUP', 'CREATE', stream, group, oneOf('0', '$', '2-0', 'x'), option('MKSTREAM'), maybe('ENTRIESREAD', small)],
  ['XGROUP', 'CREATE', stream, group, oneOf('0', '$'), 'MKSTREAM'],
  ['XGROUP', 'SETID', stream, group, oneOf('0', '$', '3-0', 'x'), maybe('ENTRIESREAD', small)],
  ['XGROUP', 'DESTROY', stream, group],
  ['XGROUP', 'CREATECONSUMER', stream, group, consumer],
  ['XGROUP', 'DELCONSUMER', stream, group, consumer],
  ['XREAD', maybe('COUNT', small), 'STREAMS', stream, id],
  ['XREAD', 'STREAMS', 'stream1', 'stream2', oneOf('0', '$', '2-0', '>'), oneOf('0', '$', '5-5')],
  [
    'XREADGROUP',
    'GROUP',
    group,
    consumer,
    maybe('COUNT', small),
    option('NOACK'),
    'STREAMS',
    stream,
    oneOf('>', '>', '0', '2-0', '$'),
  ],
  ['XREADGROUP', 'GROUP', group, consumer, 'STREAMS', 'stream1', 'stream2', oneOf('>', '0'), oneOf('>', '0')],
  ['XACK', stream, group, some(id)],
  ['XPENDING', stream, group],
  [
    'XCLAIM',
    stream,
    group,
    consumer,
    oneOf('0', '1000000', '-1', 'x'),
    some(id),
    maybe('RETRYCOUNT', integer),
    option('FORCE'),
    option('JUSTID'),
    maybe('LASTID', id),
  ],
  ['XCLAIM', stream, group, consumer, '0', some(id), option('FORCE'), maybe('IDLE', integer), option('JUSTID', 'foo')],
  [
    'XAUTOCLAIM',
    stream,
    group,
    consumer,
    oneOf('0', '1000000', 'x'),
    rangeId,
    maybe('COUNT', integer),
    option('JUSTID'),
  ],
  ['XINFO', 'GROUPS', stream],
]

const bitOffset = oneOf('0', '1', '7', '8', '9', '33', '100', '-1', '4294967296', 'x')
const fieldType = oneOf('u8', 'i8', 'u4', 'i5', 'u63', 'i64', 'u64', 'i1', 'u1', 'i65', 'x8', 'i16')
const fieldAt = oneOf('0', '1', '#1', '#2', '7', '#0', '-1', '#x', '63')
const unit = option('BIT', 'BYTE', 'bit', 'x')
const overflow = maybe('OVERFLOW', oneOf('WRAP', 'SAT', 'FAIL', 'x'))
const bitmaps: typeof strings = [
  ['SETBIT', str, bitOffset, oneOf('0', '1', '1', '2')],
  ['GETBIT', str, bitOffset],
  ['BITCOUNT', str],
  ['BITCOUNT', str, integer, integer, unit],
  ['BITPOS', str, oneOf('0', '1', '0', '1', '2', 'x'), maybe(integer), maybe(integer), unit],
  ['BITPOS', str, oneOf('0', '1'), integer, integer, unit],
  ['BITOP', oneOf('AND', 'or', 'XOR', 'NOT', 'x'), str, some(str)],
  ['BITOP', 'NOT', str, str],
  ['BITFIELD', str, 'GET', fieldType, fieldAt, overflow, 'SET', fieldType, fieldAt, integer],
  ['BITFIELD', str, overflow, 'INCRBY', fieldType, fieldAt, integer, maybe('GET', fieldType, fieldAt)],
  ['BITFIELD', str, overflow, 'INCRBY', oneOf('u8', 'i8', 'i64', 'u63'), fieldAt, integer],
  ['BITFIELD_RO', str, 'GET', fieldType, fieldAt, maybe('SET', 'u8', '0', '1')],
  ['LCS', str, str, option('LEN', 'IDX'), option('WITHMATCHLEN'), maybe('MINMATCHLEN', small)],
]

// Only where nothing but places is put: sums and products of scores are none.
const geo = oneOf('geo2', 'geo3', 'geo2', 'str1')
const longitude = oneOf('13.361389', '15.087269', '2.35', '-0.1276', '179.99', '-179.99', '0', '-77.03', '181', 'x')
const latitude = oneOf('38.115556', '37.502669', '48.85', '51.5072', '0', '-33.8', '85', '-85', '86', 'inf')
const town = oneOf('Palermo', 'Catania', 'Paris', 'London', 'Nowhere', '__proto__')
const geoUnit = oneOf('km', 'm', 'mi', 'FT', 'km', 'km', 'x')
const radius = oneOf('100', '200', '500', '2000', '20000', '0', '-1', '1.5', 'x')
const geoOptions = [option('WITHCOORD'), option('WITHDIST'), option('WITHHASH'), maybe('COUNT', small, option('ANY'))]
const centre: Draw = random =>
  random() < 0.5 ? ['FROMMEMBER', ...town(random)] : ['FROMLONLAT', ...longitude(random), ...latitude(random)]
const shape: Draw = random =>
  random() < 0.5
    ? ['BYRADIUS', ...radius(random), ...geoUnit(random)]
    : ['BYBOX', ...radius(random), ...radius(random), ...geoUnit(random)]
const geos: typeof strings = [
  ['GEOADD', geo, option('NX', 'XX'), option('CH'), some(longitude, latitude, town)],
  ['GEOADD', geo, some(longitude, latitude, town)],
  ['GEODIST', geo, town, town, option('km', 'm', 'x')],
  ['GEOHASH', geo, some(town)],
  ['GEOPOS', geo, some(town)],
  ['GEORADIUS', geo, longitude, latitude, radius, geoUnit, ...geoOptions, 'ASC'],
  ['GEORADIUS_RO', geo, longitude, latitude, radius, geoUnit, ...geoOptions],
  ['GEORADIUSBYMEMBER', geo, town, radius, geoUnit, ...geoOptions],
  ['GEORADIUSBYMEMBER', geo, town, radius, geoUnit, oneOf('STORE', 'STOREDIST'), geo],
  ['GEOSEARCH', geo, centre, shape, ...geoOptions],
  ['GEOSEARCH', geo, centre, shape, oneOf('ASC', 'DESC'), ...geoOptions],
  ['GEOSEARCHSTORE', geo, geo, centre, shape, option('STOREDIST')],
]
// Not where SETRANGE and BITFIELD write: what is left of a damaged sketch Redis goes on using, and we refuse it.
const hll = oneOf('hll1', 'hll2', 'hll3', 'list1')
const hlls: typeof strings = [
  ['PFADD', hll, some(value)],
  ['PFADD', hll, some(member)],
  ['PFADD', hll],
  ['PFCOUNT', hll],
  ['PFCOUNT', some(hll)],
  ['PFMERGE', hll, some(hll)],
  ['GET', hll],
]

const rows: typeof strings = [
  ...geos,
  ...hlls,
  ...bitmaps,
  ...strings,
  ...keys,
  ...lists,
  ...hashes,
  ...sets,
  ...sortedSets,
  ...streams,
]
