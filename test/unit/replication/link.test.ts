import { describe, expect, test } from 'vitest'
import type { Cursor } from '../../../src/replication/history.js'
import {
  beginLink,
  defaultLinkOptions,
  type Link,
  type LinkEvent,
  type LinkOptions,
  retryDelay,
  step,
} from '../../../src/replication/link.js'
import { seeded } from '../../support/random.js'

const A = 'a'.repeat(40)
const B = 'b'.repeat(40)

describe('whatever a master sends', () => {
  const lines = [
    '',
    '+PONG',
    '+OK',
    '-ERR what',
    '-NOAUTH please',
    '-LOADING',
    '-NOMASTERLINK',
    '+CONTINUE',
    `+CONTINUE ${B}`,
    '+CONTINUE x',
    `+FULLRESYNC ${B} 5`,
    '+FULLRESYNC',
    `+FULLRESYNC ${B} -5`,
    `+FULLRESYNC ${B} 99999999999999999999`,
    '$5',
    '$-5',
    '$EOF:x',
    `$EOF:${'m'.repeat(40)}`,
    '\x00\xff',
  ]
  const events: LinkEvent[] = [
    { type: 'tick' },
    { type: 'tick' },
    { type: 'opened' },
    { type: 'closed' },
    { type: 'bytes' },
    { type: 'received' },
    { type: 'loaded' },
    { type: 'getack' },
    { type: 'refused', reason: 'corrupt-snapshot' },
    { type: 'refused', reason: 'corrupt-stream' },
  ]

  test('the link keeps its order: open before send, a close ends it, the stream only when connected', () => {
    for (let seed = 0; seed < 200; seed++) {
      const random = seeded(seed)
      const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T
      const options: LinkOptions = {
        ...defaultLinkOptions,
        timeoutMs: 5000,
        password: pick([undefined, 'p']),
        failover: random() < 0.2,
      }
      let link: Link = beginLink(0)
      let now = 0
      let open = false
      for (let round = 0; round < 400; round++) {
        now += Math.floor(random() * 300)
        // Half of the time what an honest master would do next, so that every state is reached.
        const event =
          random() < 0.5
            ? honest(link, random)
            : random() < 0.6
              ? pick(events)
              : { type: 'line' as const, text: pick(lines) }
        const cursor: Cursor | undefined = random() < 0.7 ? { replid: A, offset: 100 } : undefined
        if (event.type === 'closed') open = false
        const before = link
        const after = step(link, event, cursor, options, now)
        link = after.link
        for (const effect of after.effects) {
          if (effect.do === 'open') {
            expect([before.status, link.status, open]).toEqual(['connect', 'connecting', false])
            open = true
          }
          if (effect.do === 'send' && (before.status === 'connect' || link.status === 'connect'))
            expect(effect).toBe('not sent')
          if (effect.do === 'close') {
            expect(link.status).toBe('connect')
            open = false
          }
          if (effect.do === 'apply-stream' && link.status !== 'connected') expect(link.status).toBe('connected')
          if (effect.do === 'receive-snapshot' && link.status !== 'transfer') expect(link.status).toBe('transfer')
        }
        if (link.status === 'connect' && before.status !== 'connect') expect(link.retryAt >= now).toBe(true)
        if (link.status === 'connect') open = false
      }
    }
  })

  function honest(link: Link, random: () => number): LinkEvent {
    switch (link.status) {
      case 'connect':
        return { type: 'tick' }
      case 'connecting':
        return { type: 'opened' }
      case 'handshake':
        if (link.awaiting === 'pong') return { type: 'line', text: '+PONG' }
        if (link.awaiting !== 'psync') return { type: 'line', text: '+OK' }
        return { type: 'line', text: random() < 0.5 ? '+CONTINUE' : `+FULLRESYNC ${B} 7` }
      case 'transfer':
        if (link.phase === 'preamble') return { type: 'line', text: '$10' }
        return { type: link.phase === 'payload' ? 'received' : 'loaded' }
      default:
        return { type: 'bytes' }
    }
  }
})

describe('a silent master', () => {
  const links: readonly Link[] = [
    { status: 'connecting', since: 0, failures: 0 },
    { status: 'handshake', awaiting: 'pong', rest: [], lastIoAt: 0, failures: 0 },
    { status: 'transfer', phase: 'payload', start: undefined, lastIoAt: 0, saidAliveAt: 0, failures: 0 },
    { status: 'connected', protocol: 'psync', since: 0, lastIoAt: 0, ackedAt: 0 },
  ]
  for (const link of links) {
    test(`${link.status}: is judged as of when it was last listened to`, () => {
      const statusAfter = (heardUntil?: number): string =>
        step(
          link,
          { type: 'tick', ...(heardUntil === undefined ? {} : { heardUntil }) },
          undefined,
          defaultLinkOptions,
          99_000,
        ).link.status
      expect(statusAfter(60_000)).toBe(link.status)
      expect(statusAfter(60_001)).toBe('connect')
      expect(statusAfter()).toBe('connect')
    })
  }
})

describe('how long to wait after a failure', () => {
  for (const [because, failures, expected] of [
    ['connect-failed', 0, 100],
    ['connect-failed', 2, 400],
    ['connect-failed', 50, 1000],
    ['corrupt-snapshot', 0, 1000],
    ['corrupt-snapshot', 3, 8000],
    ['snapshot-refused', 50, 30_000],
  ] as const) {
    test(`${because}, ${failures} before it`, () =>
      expect(retryDelay(because, failures, defaultLinkOptions)).toBe(expected))
  }
})
