/**
 * A transaction gave its connection back in a state that nobody knew of: with another database selected, subscribed, still
 * queueing or still watching. Whoever borrowed it next wrote into another database, was told QUEUED and never executed, or was
 * refused.
 */
import { expect } from 'vitest'
import { inFrontOfLinks, openClient } from '../support/in-front.js'
import type { Plain } from '../support/raw-client.js'
import { requireReal } from '../support/real.js'

const redis = requireReal('redis-server')

/** What one client does, and what it is answered, by redis-server as well where that is not said otherwise. */
const scenes: readonly { readonly does: readonly string[]; readonly hears: readonly Plain[]; readonly db: number }[] = [
  {
    does: ['MULTI', 'SELECT 3', 'SELECT 99', 'EXEC'],
    hears: ['OK', 'QUEUED', 'QUEUED', ['OK', '-ERR DB index is out of range']],
    db: 3,
  },
  {
    does: ['MULTI', 'SELECT 03', 'SELECT abc', 'EXEC'],
    hears: [
      'OK',
      'QUEUED',
      'QUEUED',
      ['-ERR value is not an integer or out of range', '-ERR value is not an integer or out of range'],
    ],
    db: 0,
  },
  {
    does: ['MULTI', 'SELECT 2', 'MULTI', 'SELECT 5', 'ECHO x', 'EXEC'],
    hears: ['OK', 'QUEUED', '-ERR MULTI calls can not be nested', 'QUEUED', 'QUEUED', ['OK', 'OK', 'x']],
    db: 5,
  },
  {
    does: ['MULTI', 'SET x 1', 'DISCARD foo', 'EXEC'],
    hears: [
      'OK',
      'QUEUED',
      "-ERR wrong number of arguments for 'discard' command",
      '-EXECABORT Transaction discarded because of previous errors.',
    ],
    db: 0,
  },
  {
    does: ['WATCH o', 'UNWATCH foo', 'MULTI', 'SELECT 4', 'EXEC'],
    hears: ['OK', "-ERR wrong number of arguments for 'unwatch' command", 'OK', 'QUEUED', ['OK']],
    db: 4,
  },
  // Refused by us, where redis-server subscribes.
  {
    does: ['MULTI', 'PSUBSCRIBE *', 'EXEC'],
    hears: [
      'OK',
      '-ERR PSUBSCRIBE is not allowed in transactions',
      '-EXECABORT Transaction discarded because of previous errors.',
    ],
    db: 0,
  },
  {
    does: ['MULTI', 'CLIENT KILL TYPE normal', 'EXEC'],
    hears: [
      'OK',
      '-ERR CLIENT is not allowed in transactions',
      '-EXECABORT Transaction discarded because of previous errors.',
    ],
    db: 0,
  },
]

const words = (line: string): string[] => line.split(' ')

for (const { does, hears, db } of scenes) {
  redis.test(`${does.join('; ')}: the next one to borrow the connection finds it clean`, async () => {
    const { proxy } = await inFrontOfLinks(redis.path, {})
    const [one, other] = [await openClient(proxy), await openClient(proxy)]
    expect(await one.pipeline(...does.map(words))).toEqual(hears)
    await one.call('SET', 'mine', 'x')
    expect(await other.pipeline(['MULTI'], ['SET', 'other', 'y'], ['EXEC'])).toEqual(['OK', 'QUEUED', ['OK']])
    expect(await other.pipeline(['GET', 'other'], ['SELECT', String(db)], ['GET', 'mine'])).toEqual(['y', 'OK', 'x'])
    other.send(['BLPOP', 'list', '0'])
    expect(await one.pipeline(['SELECT', String(db)], ['RPUSH', 'list', 'z'])).toEqual(['OK', 1])
    expect(await other.next()).toMatchObject({ items: [{ value: 'list' }, { value: 'z' }] })
  })
}

redis.test('a client that watched and asked UNWATCH with too many words still watches', async () => {
  const { proxy } = await inFrontOfLinks(redis.path, {})
  const [one, other] = [await openClient(proxy), await openClient(proxy)]
  await one.call('WATCH', 'o')
  await one.call('UNWATCH', 'foo')
  await other.call('SET', 'o', '1')
  expect(await other.pipeline(['MULTI'], ['SET', 'z', '1'], ['EXEC'])).toEqual(['OK', 'QUEUED', ['OK']])
  expect(await one.pipeline(['MULTI'], ['SET', 'z', '2'], ['EXEC'])).toEqual(['OK', 'QUEUED', null])
})

redis.test('CLIENT in a transaction is about the client', async () => {
  const { proxy } = await inFrontOfLinks(redis.path, {})
  const client = await openClient(proxy)
  const id = await client.call('CLIENT', 'ID')
  const asked = [['MULTI'], ['CLIENT', 'GETNAME'], ['CLIENT', 'SETNAME', 'me'], ['CLIENT', 'GETNAME'], ['CLIENT', 'ID']]
  const replies = await client.pipeline(...asked, ['EXEC'])
  expect(replies.at(-1)).toEqual([null, 'OK', 'me', id])
  expect(await client.call('CLIENT', 'GETNAME')).toBe('me')
})

redis.test('a reader that waits for its group stands in nobody’s way, in whatever order it says so', async () => {
  const { proxy } = await inFrontOfLinks(redis.path, {})
  const [one, other] = [await openClient(proxy), await openClient(proxy)]
  await one.call('XGROUP', 'CREATE', 's', 'g', '$', 'MKSTREAM')
  one.send(['XREADGROUP', 'BLOCK', '0', 'GROUP', 'g', 'c', 'STREAMS', 's', '>'])
  expect(await other.call('SET', 'k', '1')).toBe('OK')
  await other.call('XADD', 's', '1-1', 'a', 'b')
  expect(await one.next()).toMatchObject({ items: [{ items: [{ value: 's' }, {}] }] })
})

redis.test('what a script answers is its answer, whatever the word it begins with', async () => {
  const { proxy } = await inFrontOfLinks(redis.path, {})
  const client = await openClient(proxy)
  for (const error of ['LOADING foo', 'MASTERDOWN foo', 'NOSCRIPT foo', 'READONLY foo']) {
    await client.call('DEL', 'n')
    const script = "redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])"
    expect(await client.call('EVAL', script, '1', 'n', error)).toBe(`-${error}`)
    expect(await client.call('GET', 'n')).toBe('1')
  }
})
