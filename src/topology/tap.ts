/**
 * A tap: a connection that gets an instance's replication stream as a replica would, from where the instance is now, and
 * holds nothing. What has come through it has been applied there, and is told in a fraction of a millisecond.
 *
 *     resting ──tick──▶ preparing ──prepared──▶ asking ──info──▶ attaching ──+CONTINUE──▶ streaming
 *        ▲                  │                     │                  │                        │
 *        └── closed, refused, unfit, no answer in time: again after a pause ◀─────────────────┘
 *
 * What a tap must never do to the instance it looks at, all of it seen on Redis 7.0:
 *
 *   - cause a full resync: without a backlog, or for a byte that is not in it, PSYNC forks. So the instance is asked for
 *     its history one round trip before, and a connection that does not go on at once is closed (with `capa eof` a
 *     diskless snapshot begins only seconds later).
 *   - count as a replica. It acknowledges offset 0, which keeps it from being dropped at repl-timeout and satisfies no
 *     WAIT; a master with min-replicas-to-write is not tapped at all, as that counts who spoke, not what they said.
 *   - keep the instance from ending: SIGTERM waits for replicas that are behind. It is asked four times a second whether
 *     it wants to end, and after every GETACK, which is what it sends then.
 */
import { unreachable } from '../base/invariant.js'
import type { Millis, Offset } from '../base/units.js'
import type { InfoReply } from './facts.js'

/** Which role an instance must have to be tapped. */
export type TapTarget = 'replica' | 'master'

/** Why there is no tap on an instance that is up. */
export type TapRefusal =
  | 'other-role' // a replica that became master, or the reverse
  | 'link-down' // its link to its master: it would refuse PSYNC
  | 'no-backlog'
  | 'no-history' // it names no replid, or no offset
  | 'min-replicas' // a tap would be counted
  | 'shutting-down'

/** Why a tap is not streaming. */
export type TapPause =
  | 'starting'
  | TapRefusal
  | 'refused' // the instance's word: no permission, or it does not know PSYNC
  | 'not-now' // its word too: it is loading, or its link is down
  | 'full-resync' // it wanted to send a snapshot
  | 'no-answer'
  | 'lost' // the connection
  | 'stalled' // nothing comes, although the instance goes on

export type Tap =
  | { readonly status: 'resting'; readonly because: TapPause; readonly until: Millis; readonly failures: number }
  | { readonly status: 'preparing'; readonly since: Millis; readonly failures: number }
  | { readonly status: 'asking'; readonly since: Millis; readonly failures: number }
  | { readonly status: 'attaching'; readonly start: StreamStart; readonly since: Millis; readonly failures: number }
  | { readonly status: 'streaming'; readonly start: StreamStart; readonly saidAliveAt: Millis }

/** A place in a history: everything up to and including `offset` has been had. */
export interface StreamStart {
  readonly replid: string
  readonly offset: Offset
}

export type TapEvent =
  | { readonly type: 'tick' }
  /** The connection stands, and has said what it is. */
  | { readonly type: 'prepared' }
  /** What the instance says of itself, asked on another connection. */
  | { readonly type: 'info'; readonly info: InfoReply }
  /** The answer to PSYNC, one line without its ending. */
  | { readonly type: 'answer'; readonly line: string }
  /** Either connection is gone. */
  | { readonly type: 'closed' }
  /** The instance has applied more than came, for too long. */
  | { readonly type: 'stalled' }

export type TapEffect =
  /** Open a connection and introduce it: AUTH, REPLCONF. */
  | { readonly do: 'prepare' }
  /** Ask for INFO; the answer comes as `info`. */
  | { readonly do: 'ask' }
  | { readonly do: 'psync'; readonly start: StreamStart }
  /** REPLCONF ACK 0 */
  | { readonly do: 'say-alive' }
  | { readonly do: 'close'; readonly because: TapPause }

export interface TapRules {
  readonly target: TapTarget
  /** What was streamed before the connection was lost; the stream goes on behind it where it can. */
  readonly resume: StreamStart | undefined
}

export interface TapStep {
  readonly tap: Tap
  readonly effects: readonly TapEffect[]
}

/** A connection that has not gone on by then is closed, long before a diskless snapshot would begin (5 s by default). */
const ANSWER_MS: Millis = 1000
const PREPARE_MS: Millis = 3000
/** Redis drops replicas that say nothing for repl-timeout, which is 5 s in our own groups. */
const ALIVE_MS: Millis = 1000
const RETRY_MS_MIN: Millis = 50
const RETRY_MS_MAX: Millis = 5000
/** What is not fit now may be soon: it was only asked. */
const UNFIT_MS: Millis = 500
/** Who says no, or would send its whole data set, is left alone. */
const REFUSED_MS: Millis = 60_000

export function beginTap(now: Millis): Tap {
  return { status: 'resting', because: 'starting', until: now, failures: 0 }
}

/** The only function that makes a new tap. */
export function stepTap(tap: Tap, event: TapEvent, rules: TapRules, now: Millis): TapStep {
  if (event.type === 'closed' && tap.status !== 'resting') return rest(tap, 'lost', now)
  switch (tap.status) {
    case 'resting':
      if (event.type !== 'tick' || now < tap.until) return stay(tap)
      return { tap: { status: 'preparing', since: now, failures: tap.failures }, effects: [{ do: 'prepare' }] }
    case 'preparing':
      if (event.type === 'tick' && now - tap.since > PREPARE_MS) return rest(tap, 'no-answer', now)
      if (event.type !== 'prepared') return stay(tap)
      return { tap: { status: 'asking', since: now, failures: tap.failures }, effects: [{ do: 'ask' }] }
    case 'asking':
      if (event.type === 'tick' && now - tap.since > ANSWER_MS) return rest(tap, 'no-answer', now)
      return event.type === 'info' ? attach(tap, event.info, rules, now) : stay(tap)
    case 'attaching':
      // A slow machine, or a snapshot that is about to begin: either way it is left in time.
      if (event.type === 'tick' && now - tap.since > ANSWER_MS) return rest(tap, 'no-answer', now)
      return event.type === 'answer' ? judgeAnswer(tap, event.line, now) : stay(tap)
    case 'streaming':
      return stepStreaming(tap, event, rules, now)
    default:
      return unreachable(tap)
  }
}

/** Whether this instance may be tapped, and from where; or why not. */
export function decideTap(info: InfoReply, { target, resume }: TapRules): StreamStart | TapRefusal {
  if (info.role !== target) return 'other-role'
  if (info.shuttingDown) return 'shutting-down'
  if (info.master !== undefined && (!info.master.up || info.master.syncing)) return 'link-down'
  if (info.role === 'master' && info.countsReplicas) return 'min-replicas'
  const { replid, offset } = info
  if (replid === undefined || offset === undefined) return 'no-history'
  if (!info.backlog.active) return 'no-backlog'
  const oldest = offset - info.backlog.historyBytes
  const continues =
    resume !== undefined && resume.replid === replid && resume.offset >= oldest && resume.offset <= offset
  return continues ? resume : { replid, offset }
}

function attach(tap: Tap & { status: 'asking' }, info: InfoReply, rules: TapRules, now: Millis): TapStep {
  const start = decideTap(info, rules)
  if (typeof start === 'string') return rest(tap, start, now)
  return {
    tap: { status: 'attaching', start, since: now, failures: tap.failures },
    effects: [{ do: 'psync', start }],
  }
}

function judgeAnswer(tap: Tap & { status: 'attaching' }, line: string, now: Millis): TapStep {
  // A line feed keeps the connection alive while an answer is prepared.
  if (line === '') return stay(tap)
  const [word, replid] = line.split(' ')
  if (word === '+CONTINUE') {
    const start = { replid: replid || tap.start.replid, offset: tap.start.offset }
    return { tap: { status: 'streaming', start, saidAliveAt: now }, effects: [{ do: 'say-alive' }] }
  }
  if (word === '+FULLRESYNC') return rest(tap, 'full-resync', now)
  return rest(tap, word === '-NOMASTERLINK' || word === '-LOADING' ? 'not-now' : 'refused', now)
}

function stepStreaming(tap: Tap & { status: 'streaming' }, event: TapEvent, rules: TapRules, now: Millis): TapStep {
  switch (event.type) {
    case 'tick': {
      const effects: TapEffect[] = [{ do: 'ask' }]
      if (now - tap.saidAliveAt < ALIVE_MS) return { tap, effects }
      return { tap: { ...tap, saidAliveAt: now }, effects: [...effects, { do: 'say-alive' }] }
    }
    case 'info': {
      const fit = decideTap(event.info, { ...rules, resume: undefined })
      // A replica goes on telling what it has applied while its own link is down.
      return typeof fit === 'string' && fit !== 'link-down' ? rest(tap, fit, now) : stay(tap)
    }
    case 'stalled':
      return rest(tap, 'stalled', now)
    default:
      return stay(tap)
  }
}

function rest(tap: Tap, because: TapPause, now: Millis): TapStep {
  const failures = 'failures' in tap ? tap.failures + 1 : 0
  const until = now + pauseAfter(because, failures)
  return { tap: { status: 'resting', because, until, failures }, effects: [{ do: 'close', because }] }
}

function pauseAfter(because: TapPause, failures: number): Millis {
  switch (because) {
    case 'refused':
    case 'full-resync':
      return REFUSED_MS
    case 'lost':
    case 'no-answer':
    case 'not-now':
    case 'stalled':
      return Math.min(RETRY_MS_MIN * 2 ** failures, RETRY_MS_MAX)
    default:
      return UNFIT_MS
  }
}

function stay(tap: Tap): TapStep {
  return { tap, effects: [] }
}
