/**
 * A replica's link to its master.
 *
 *     connect ──tick──▶ connecting ──opened──▶ handshake ──┬─+CONTINUE──────────────────────────▶ connected
 *        ▲                   │                    │        └─+FULLRESYNC─▶ transfer ──loaded──▶ connected
 *        └──────closed, refused, corrupt or timeout, from any state ◀────────────┘                   │
 *        ▲                                                                                           │
 *        └───────────────────────────────────────────────────────────────────────────────────────────┘
 *
 *     handshake   PING, then in one write AUTH, REPLCONF listening-port, ip-address, capa; then PSYNC (or SYNC)
 *     transfer    preamble ($length or $EOF:mark) → payload → loading
 *
 * The link knows neither socket nor data. It gets events, says what to do, and names every reason for going back to
 * `connect`. Until a snapshot is loaded and verified, nothing of the old data is given up because of it.
 *
 * What has been applied is not kept here: the driver passes its `Cursor` with each event, undefined when a
 * partial resync must not be tried.
 */
import { unreachable } from '../base/invariant.js'
import type { Millis, Offset } from '../base/units.js'
import { type Cursor, isReplid } from './history.js'
import { parsePreamble, type SnapshotForm } from './payload.js'

export type Link =
  | { readonly status: 'connect'; readonly retryAt: Millis; readonly failures: number; readonly because: LinkFailure }
  | { readonly status: 'connecting'; readonly since: Millis; readonly failures: number }
  | {
      readonly status: 'handshake'
      readonly awaiting: Awaiting
      /** Answers that come after this one: they were asked for in the same write. */
      readonly rest: readonly Awaiting[]
      readonly lastIoAt: Millis
      readonly failures: number
    }
  | {
      readonly status: 'transfer'
      /** `orphaned`: the snapshot is here whole, the connection is not; what is loaded is still worth having. */
      readonly phase: 'preamble' | 'payload' | 'loading' | 'orphaned'
      /** undefined: an old master that was asked with SYNC and tells no history. */
      readonly start: Cursor | undefined
      readonly lastIoAt: Millis
      /** When the master last heard of us: it must not take a loading replica for a dead one. */
      readonly saidAliveAt: Millis
      readonly failures: number
    }
  | {
      readonly status: 'connected'
      /** Masters asked with SYNC do not expect acknowledgements. */
      readonly protocol: 'psync' | 'sync'
      readonly since: Millis
      readonly lastIoAt: Millis
      readonly ackedAt: Millis
    }

export type Awaiting = 'pong' | 'auth' | 'port' | 'address' | 'capa' | 'psync'

/** Why a link is not connected. The first is the state before anything was tried; the others are failures. */
export type LinkFailure =
  | 'configured'
  | 'connect-failed'
  | 'connect-timeout'
  | 'handshake-timeout'
  | 'transfer-timeout'
  | 'master-silent' // nothing for repl-timeout, not even a PING
  | 'closed' // by the master or the network
  | 'ping-refused'
  | 'auth-failed'
  | 'auth-required'
  | 'master-loading'
  | 'master-link-down' // the master is itself a replica whose link is down
  | 'malformed-reply'
  | 'sync-refused' // neither PSYNC nor SYNC
  | 'malformed-preamble'
  | 'corrupt-snapshot' // refused after a look at its bytes; the old data is kept
  | 'snapshot-refused' // whole and correct, but a policy says no: an empty master must not wipe us
  | 'corrupt-stream'

export type LinkEvent =
  /** Time goes on. What the peer had sent by `heardUntil` has been read: its silence is judged as of then; undefined: now. */
  | { readonly type: 'tick'; readonly heardUntil?: Millis }
  | { readonly type: 'opened' }
  /** The connection is gone (or could not be made); the driver has let go of it. */
  | { readonly type: 'closed' }
  /** One line without its ending, while in handshake or awaiting the preamble. */
  | { readonly type: 'line'; readonly text: string }
  /** Bytes of the payload or of the stream arrived. */
  | { readonly type: 'bytes' }
  /** The payload ended where its form says; what remains is to load it. */
  | { readonly type: 'received' }
  /** The new data set is in place. */
  | { readonly type: 'loaded' }
  | { readonly type: 'refused'; readonly reason: 'corrupt-snapshot' | 'snapshot-refused' | 'corrupt-stream' }
  /** The stream asked for an acknowledgement. */
  | { readonly type: 'getack' }

/** What the world should do, as data. Performed in order. */
export type LinkEffect =
  | { readonly do: 'open' }
  | { readonly do: 'send'; readonly command: readonly string[] }
  /** One LF to the master: we are alive, and busy. */
  | { readonly do: 'say-alive' }
  /** Close the connection if there is one, and drop a half-received snapshot. */
  | { readonly do: 'close'; readonly reason: LinkFailure }
  /** The bytes that follow are a snapshot. */
  | { readonly do: 'receive-snapshot'; readonly form: SnapshotForm }
  /** The loaded snapshot's history replaces ours; undefined: begin one of our own at offset 0. */
  | { readonly do: 'adopt-history'; readonly start: Cursor | undefined }
  /** The master goes on under this id. */
  | { readonly do: 'switch-history'; readonly replid: string }
  /** From here on the bytes are the stream. */
  | { readonly do: 'apply-stream' }
  /** What we have applied cannot be trusted to continue from: ask for everything next time. */
  | { readonly do: 'forget-cursor' }
  /** How our FAILOVER ended: the target took over, or said no. */
  | { readonly do: 'finish-failover' }
  | { readonly do: 'abort-failover' }

export interface LinkOptions {
  /** `repl-timeout`. */
  readonly timeoutMs: Millis
  /** How often what was applied is acknowledged: a second, as with Redis. */
  readonly ackPeriodMs: Millis
  /** The pause after the first failure; it doubles with each further one. */
  readonly retryDelayMs: Millis
  readonly retryDelayMsMax: Millis
  /** The bound after a refused snapshot: a full copy is dear, and the next one is probably refused as well. */
  readonly refusedDelayMsMax: Millis
  /** `masteruser` and `masterauth`. */
  readonly user: string | undefined
  readonly password: string | undefined
  /** What the master shall tell others about us; `address` only with `replica-announce-ip`. */
  readonly announcePort: number
  readonly announceAddress: string | undefined
  /** We are the old master of a FAILOVER: the target takes over with our PSYNC. */
  readonly failover: boolean
}

export const defaultLinkOptions: LinkOptions = {
  timeoutMs: 60_000,
  ackPeriodMs: 1000,
  retryDelayMs: 100,
  retryDelayMsMax: 1000,
  refusedDelayMsMax: 30_000,
  user: undefined,
  password: undefined,
  announcePort: 6379,
  announceAddress: undefined,
  failover: false,
}

export interface LinkStep {
  readonly link: Link
  readonly effects: readonly LinkEffect[]
}

/** A link to a new master. The next tick opens it. */
export function beginLink(now: Millis): Link {
  return { status: 'connect', retryAt: now, failures: 0, because: 'configured' }
}

/** The only function that makes a new link. Time arrives as the event `tick`. */
export function step(
  link: Link,
  event: LinkEvent,
  cursor: Cursor | undefined,
  options: LinkOptions,
  now: Millis,
): LinkStep {
  switch (link.status) {
    case 'connect':
      return stepConnect(link, event, now)
    case 'connecting':
      return stepConnecting(link, event, options, now)
    case 'handshake':
      return stepHandshake(link, event, cursor, options, now)
    case 'transfer':
      return stepTransfer(link, event, options, now)
    case 'connected':
      return stepConnected(link, event, cursor, options, now)
    default:
      return unreachable(link)
  }
}

/** The four words that INFO and ROLE have for a link. */
export function roleWord(link: Link): 'connect' | 'connecting' | 'sync' | 'connected' {
  switch (link.status) {
    case 'handshake':
      return 'connecting'
    case 'transfer':
      return 'sync'
    default:
      return link.status
  }
}

// connect => (connect | connecting)
function stepConnect(link: Link & { status: 'connect' }, event: LinkEvent, now: Millis): LinkStep {
  if (event.type !== 'tick' || now < link.retryAt) return stay(link)
  return {
    link: { status: 'connecting', since: now, failures: link.failures },
    effects: [{ do: 'open' }],
  }
}

// connecting => (handshake | connect)
function stepConnecting(
  link: Link & { status: 'connecting' },
  event: LinkEvent,
  options: LinkOptions,
  now: Millis,
): LinkStep {
  if (event.type === 'closed') return fail('connect-failed', link.failures, options, now)
  if (event.type === 'tick' && (event.heardUntil ?? now) - link.since > options.timeoutMs) {
    return fail('connect-timeout', link.failures, options, now)
  }
  if (event.type !== 'opened') return stay(link)
  return {
    link: { status: 'handshake', awaiting: 'pong', rest: [], lastIoAt: now, failures: link.failures },
    effects: [{ do: 'send', command: ['PING'] }],
  }
}

// handshake => (handshake | transfer | connected | connect)
function stepHandshake(
  link: Link & { status: 'handshake' },
  event: LinkEvent,
  cursor: Cursor | undefined,
  options: LinkOptions,
  now: Millis,
): LinkStep {
  if (event.type === 'closed') return fail('closed', link.failures, options, now)
  if (event.type === 'tick' && (event.heardUntil ?? now) - link.lastIoAt > options.timeoutMs) {
    return fail('handshake-timeout', link.failures, options, now)
  }
  if (event.type !== 'line') return stay(link)
  // An empty line keeps the connection alive while the master prepares its answer.
  if (event.text === '') return stay({ ...link, lastIoAt: now })

  const reply = event.text
  switch (link.awaiting) {
    case 'pong':
      if (!isPong(reply)) return fail('ping-refused', link.failures, options, now)
      return introduce(link, options, now)
    case 'auth':
      if (reply.startsWith('-')) return fail('auth-failed', link.failures, options, now)
      return nextAnswer(link, cursor, options, now)
    case 'port':
    case 'address':
    case 'capa':
      // Any reply will do: a master that does not know REPLCONF can still sync.
      return nextAnswer(link, cursor, options, now)
    case 'psync':
      return stepPsync(link, reply, cursor, options, now)
    default:
      return unreachable(link.awaiting)
  }
}

/** A master that wants a password, or allows us less than PING, is alive: AUTH comes next. */
function isPong(reply: string): boolean {
  return (
    reply.startsWith('+') ||
    reply.startsWith('-NOAUTH') ||
    reply.startsWith('-NOPERM') ||
    reply.startsWith('-ERR operation not permitted')
  )
}

/** Who we are, in one write; the answers are awaited in the same order. */
function introduce(link: Link & { status: 'handshake' }, options: LinkOptions, now: Millis): LinkStep {
  const awaited: Awaiting[] = []
  const effects: LinkEffect[] = []
  const ask = (awaiting: Awaiting, command: readonly string[]): void => {
    awaited.push(awaiting)
    effects.push({ do: 'send', command })
  }
  const { user, password, announceAddress } = options
  if (password !== undefined) ask('auth', user === undefined ? ['AUTH', password] : ['AUTH', user, password])
  ask('port', ['REPLCONF', 'listening-port', String(options.announcePort)])
  if (announceAddress !== undefined) ask('address', ['REPLCONF', 'ip-address', announceAddress])
  ask('capa', ['REPLCONF', 'capa', 'eof', 'capa', 'psync2'])
  const [awaiting, ...rest] = awaited as [Awaiting, ...Awaiting[]]
  return { link: { ...link, awaiting, rest, lastIoAt: now }, effects }
}

function nextAnswer(
  link: Link & { status: 'handshake' },
  cursor: Cursor | undefined,
  options: LinkOptions,
  now: Millis,
): LinkStep {
  const [awaiting, ...rest] = link.rest
  if (awaiting !== undefined) return stay({ ...link, awaiting, rest, lastIoAt: now })
  const request = cursor === undefined ? ['PSYNC', '?', '-1'] : ['PSYNC', cursor.replid, String(cursor.offset)]
  if (options.failover) request.push('FAILOVER')
  return {
    link: { ...link, awaiting: 'psync', rest: [], lastIoAt: now },
    effects: [{ do: 'send', command: request }],
  }
}

function stepPsync(
  link: Link & { status: 'handshake' },
  reply: string,
  cursor: Cursor | undefined,
  options: LinkOptions,
  now: Millis,
): LinkStep {
  const [word, replid, offset] = reply.split(' ')
  const accepted: LinkEffect[] = options.failover ? [{ do: 'finish-failover' }] : []

  if (word === '+CONTINUE') {
    // Only an answer to what we asked: with nothing to continue from, it would be a gap.
    if (cursor === undefined || (replid !== undefined && replid !== '' && !isReplid(replid))) {
      return fail('malformed-reply', link.failures, options, now)
    }
    const switched: LinkEffect[] =
      replid === undefined || replid === '' || replid === cursor.replid ? [] : [{ do: 'switch-history', replid }]
    return {
      link: { status: 'connected', protocol: 'psync', since: now, lastIoAt: now, ackedAt: now },
      effects: [...accepted, ...switched, { do: 'apply-stream' }, acknowledge(cursor)],
    }
  }

  if (word === '+FULLRESYNC') {
    if (!isReplid(replid ?? '') || !/^\d{1,16}$/.test(offset ?? '')) {
      return fail('malformed-reply', link.failures, options, now)
    }
    return {
      link: beginTransfer({ replid: replid as string, offset: Number(offset) + 1 }, link.failures, now),
      effects: accepted,
    }
  }

  const refused: LinkEffect[] = options.failover ? [{ do: 'abort-failover' }] : []
  if (reply.startsWith('-NOMASTERLINK')) return fail('master-link-down', link.failures, options, now, refused)
  if (reply.startsWith('-LOADING')) return fail('master-loading', link.failures, options, now, refused)
  if (reply.startsWith('-NOAUTH')) return fail('auth-required', link.failures, options, now, refused)
  if (options.failover) return fail('sync-refused', link.failures, options, now, refused)
  if (!reply.startsWith('-')) return fail('malformed-reply', link.failures, options, now)
  // A master from before PSYNC: it sends its snapshot, then its stream, and tells no offsets.
  return {
    link: beginTransfer(undefined, link.failures, now),
    effects: [{ do: 'send', command: ['SYNC'] }],
  }
}

function beginTransfer(start: Cursor | undefined, failures: number, now: Millis): Link {
  return { status: 'transfer', phase: 'preamble', start, lastIoAt: now, saidAliveAt: now, failures }
}

// transfer => (transfer | connected | connect)
function stepTransfer(
  link: Link & { status: 'transfer' },
  event: LinkEvent,
  options: LinkOptions,
  now: Millis,
): LinkStep {
  switch (event.type) {
    case 'closed':
      if (link.phase === 'loading' && link.start !== undefined) return stay({ ...link, phase: 'orphaned' })
      return fail('closed', link.failures, options, now)
    case 'refused':
      return fail(event.reason, link.failures, options, now)
    case 'tick':
      return tickTransfer(link, event.heardUntil ?? now, options, now)
    case 'bytes':
      return stay({ ...link, lastIoAt: now })
    case 'line':
      return link.phase === 'preamble' ? stepPreamble(link, event.text, options, now) : stay(link)
    case 'received':
      return stay({ ...link, phase: 'loading', lastIoAt: now })
    case 'loaded':
      return finishTransfer(link, now)
    default:
      return stay(link)
  }
}

function stepPreamble(link: Link & { status: 'transfer' }, text: string, options: LinkOptions, now: Millis): LinkStep {
  if (text === '') return stay({ ...link, lastIoAt: now })
  if (text.startsWith('-')) return fail(refusalOfSync(text), link.failures, options, now)
  const form = parsePreamble(text)
  if (form === undefined) return fail('malformed-preamble', link.failures, options, now)
  return { link: { ...link, phase: 'payload', lastIoAt: now }, effects: [{ do: 'receive-snapshot', form }] }
}

function refusalOfSync(error: string): LinkFailure {
  if (error.startsWith('-NOAUTH')) return 'auth-required'
  if (error.startsWith('-LOADING')) return 'master-loading'
  if (error.startsWith('-NOMASTERLINK')) return 'master-link-down'
  return 'sync-refused'
}

function tickTransfer(
  link: Link & { status: 'transfer' },
  heardUntil: Millis,
  options: LinkOptions,
  now: Millis,
): LinkStep {
  if (link.phase === 'orphaned') return stay(link)
  // While we load, it is we who keep the other side waiting.
  if (link.phase !== 'loading' && heardUntil - link.lastIoAt > options.timeoutMs) {
    return fail('transfer-timeout', link.failures, options, now)
  }
  if (now - link.saidAliveAt < options.ackPeriodMs) return stay(link)
  return { link: { ...link, saidAliveAt: now }, effects: [{ do: 'say-alive' }] }
}

function finishTransfer(link: Link & { status: 'transfer' }, now: Millis): LinkStep {
  const { start } = link
  if (link.phase === 'orphaned') {
    const next: Link = { status: 'connect', retryAt: now, failures: 0, because: 'closed' }
    return { link: next, effects: [{ do: 'adopt-history', start }] }
  }
  const protocol = start === undefined ? 'sync' : 'psync'
  const effects: LinkEffect[] = [{ do: 'adopt-history', start }, { do: 'apply-stream' }]
  // The first acknowledgement is what a diskless master waits for before it sends the stream.
  if (start !== undefined) effects.push(acknowledge(start))
  return { link: { status: 'connected', protocol, since: now, lastIoAt: now, ackedAt: now }, effects }
}

// connected => (connected | connect)
function stepConnected(
  link: Link & { status: 'connected' },
  event: LinkEvent,
  cursor: Cursor | undefined,
  options: LinkOptions,
  now: Millis,
): LinkStep {
  switch (event.type) {
    case 'bytes':
      // A new object per chunk would be waste: within one instant nothing has changed.
      return stay(link.lastIoAt === now ? link : { ...link, lastIoAt: now })
    case 'closed':
      return reconnect(link, options, now)
    case 'refused':
      return fail(event.reason, 0, options, now, [{ do: 'forget-cursor' }])
    case 'tick':
      if ((event.heardUntil ?? now) - link.lastIoAt > options.timeoutMs) return fail('master-silent', 0, options, now)
      if (now - link.ackedAt < options.ackPeriodMs) return stay(link)
      return ackNow(link, cursor, now)
    case 'getack':
      return ackNow(link, cursor, now)
    default:
      return stay(link)
  }
}

/** At once: every moment of waiting is backlog that the master may overwrite. But not again and again within moments. */
function reconnect(link: Link & { status: 'connected' }, options: LinkOptions, now: Millis): LinkStep {
  const retryAt = Math.max(now, link.since + options.retryDelayMs)
  return { link: { status: 'connect', retryAt, failures: 0, because: 'closed' }, effects: [] }
}

function ackNow(link: Link & { status: 'connected' }, cursor: Cursor | undefined, now: Millis): LinkStep {
  if (link.protocol === 'sync' || cursor === undefined) return stay(link)
  return { link: { ...link, ackedAt: now }, effects: [acknowledge(cursor)] }
}

/** The last byte applied, which is the one before the first that is missing. */
function acknowledge(cursor: Cursor): LinkEffect {
  return { do: 'send', command: ['REPLCONF', 'ACK', String(cursor.offset - 1)] }
}

function fail(
  because: LinkFailure,
  failures: number,
  options: LinkOptions,
  now: Millis,
  effects: readonly LinkEffect[] = [],
): LinkStep {
  const retryAt = now + retryDelay(because, failures, options)
  return {
    link: { status: 'connect', retryAt, failures: failures + 1, because },
    effects: [...effects, { do: 'close', reason: because }],
  }
}

/** Doubles up to its bound, which depends on how much a further attempt costs the master. */
export function retryDelay(because: LinkFailure, failures: number, options: LinkOptions): Millis {
  const dear = because === 'corrupt-snapshot' || because === 'snapshot-refused'
  const first = dear ? options.retryDelayMsMax : options.retryDelayMs
  const bound = dear ? options.refusedDelayMsMax : options.retryDelayMsMax
  return Math.min(bound, first * 2 ** Math.min(failures, 30))
}

function stay(link: Link): LinkStep {
  return { link, effects: NO_EFFECTS }
}

const NO_EFFECTS: readonly LinkEffect[] = []

/** For INFO: the offset a full resync began at. */
export function transferOffset(link: Link): Offset | undefined {
  return link.status === 'transfer' && link.start !== undefined ? link.start.offset - 1 : undefined
}
