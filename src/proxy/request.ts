/**
 * One command on its way: what it is, whose it is, where its bytes are, and what came back.
 *
 * Requests stand in two queues (twemproxy's two FIFOs): that of their session, in the order of asking, and that of the
 * connection they were sent on, in the order of sending. A reply belongs to the first of the latter and leaves for the
 * client when it is the first of the former.
 *
 *     session A   GET x ─ SET y ─ GET z          replica 1   A:GET x ─ B:GET q
 *     session B   GET q                          master      A:SET y ─ A:GET z
 *
 * Requests are used again, and their bytes stay where they were written for sending (see log.ts) until the answer is
 * there: so a command that turns out not to have been executed is sent again without having been copied for it.
 */
import { readLatin1 } from '../base/latin1.js'
import type { Bytes, Millis, Offset } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import type { Call } from '../routing/calls.js'
import type { ReadRules } from '../routing/choose.js'
import { type Flight, IN_FLIGHT } from '../routing/marks.js'
import type { Confirmation } from './confirming.js'
import type { Block, BlockPool } from './log.js'
import type { StreamSink } from './reply-stream.js'
import type { ReplySource, SlowReader } from './slow-reader.js'
import type { Standing } from './standing.js'

/** Where a reply goes. */
export interface Recipient {
  /** The reply to one of its requests: `buffer[start…end)`, valid during the call. */
  deliver(request: Request, buffer: Buffer, start: number, end: number): void
  /** A frame that nobody asked for on a connection of its own: messages, monitor lines. */
  push(buffer: Buffer, start: number, end: number): void
  /** A reply to one of its requests is large: where its parts go; undefined: it waits for the whole. */
  beginStream?(request: Request, source: ReplySource): StreamSink | undefined
  /** It does not take what it was sent. */
  readonly choked?: boolean
  /** While it is choked: more comes from there. */
  readonly slow?: SlowReader
  /** Nothing more of it is sent until everything it asked is answered. */
  awaitAnswers?(): void
}

/**
 * `client`   of a session
 * `role`     the sample behind a flush that carried writes; settles its flight
 * `ask`      of our own, with `answer` to call
 * `quiet`    of our own, whatever comes back (an error closes the connection)
 * `ghost`    of a client that may have its answer, or has it, from elsewhere (hedger.ts)
 */
export type RequestKind = 'client' | 'role' | 'ask' | 'quiet' | 'ghost'

/**
 * `new`      read from the client
 * `kept`     waits for its turn, a writable master or a fresh replica, with its bytes
 * `sent`     in the queue of a connection
 * `confirming` its reply is kept until others than the master have what it wrote
 * `answered` its reply is kept until the ones before it are there
 */
export type RequestState = 'new' | 'kept' | 'sent' | 'confirming' | 'answered'

/** What the session does with the reply besides passing it on. */
export type Effect =
  | 'none'
  | 'info' // adds our section
  | 'multi'
  | 'queued' // a command inside MULTI
  | 'watched' // a command between WATCH and MULTI, or WATCH itself
  | 'exec'
  | 'discard'
  | 'unwatch'
  | 'pinned' // the connection of its own is free again
  | 'tracked' // on the connection that remembers what was read
  | 'tracking' // CLIENT TRACKING, while it waits for that connection

/** What is done with the answer to a question of our own; the decoder stands on the frame. */
export type Answer = (decoder: Decoder) => void

const NO_BYTES = Buffer.alloc(0)

export class Request {
  kind: RequestKind = 'client'
  state: RequestState = 'new'
  call: Call | undefined = undefined
  session: Recipient | undefined = undefined
  /** The database it is meant for: its session may have selected another one before it is sent. */
  db = 0
  /** The one behind it in the session's queue. */
  next: Request | undefined = undefined
  effect: Effect = 'none'
  /** CLIENT REPLY OFF: the answer is dropped. */
  muted = false
  /** It goes on when everything that its session asked before is answered. */
  stalled = false

  /** The bytes, while they are kept. */
  block: Block | undefined = undefined
  start = 0
  end = 0

  /** When it was sent, for its duration; when it was first kept, for the hold's bound (0: never). */
  sentAt: Millis = 0
  keptAt: Millis = 0
  /** Of a read that waits for a fresh replica; of a strong one, the master's offset after it came. */
  waitsUntil: Millis = 0
  index: Offset = IN_FLIGHT
  /** Counts as in flight on the master. */
  counted = false
  /** Sent to a replica: the session's reads in flight. */
  toReplica = false
  /** Counts among its session's reads at the master. */
  readsMaster = false
  /** The standing that it is read for, at level `session`. */
  standing: Standing | undefined = undefined
  /** How often it has been refused by an instance that did not execute it. */
  attempts = 0
  /** How often its connection died before the answer. */
  losses = 0
  /** Its bytes are a script call whose script we have loaded once. */
  healed = false
  /** It has been asked of another replica as well. */
  hedge: object | undefined = undefined

  reply: Buffer | undefined = undefined
  /** Of a write that others must have before it is answered. */
  confirmation: Confirmation | undefined = undefined
  /** What it is promised, where that differs from command to command. */
  rules: ReadRules | undefined = undefined
  flight: Flight | undefined = undefined
  answer: Answer | undefined = undefined
  /** Of a question: its connection died before the answer. */
  lost: (() => void) | undefined = undefined

  /** Its bytes, while they are kept. */
  get bytes(): Buffer {
    return this.block === undefined ? NO_BYTES : this.block.bytes.subarray(this.start, this.end)
  }
}

/** More spare requests than this are left to the collector. */
const SPARE_REQUESTS = 16_384

export class RequestPool {
  readonly #spare: Request[] = []

  take(): Request {
    return this.#spare.pop() ?? new Request()
  }

  /** The request is in no queue any more. */
  give(request: Request): void {
    request.kind = 'client'
    request.state = 'new'
    request.call = undefined
    request.session = undefined
    request.next = undefined
    request.effect = 'none'
    request.muted = false
    request.stalled = false
    request.block?.release()
    request.block = undefined
    request.sentAt = 0
    request.keptAt = 0
    request.index = IN_FLIGHT
    request.counted = false
    request.toReplica = false
    request.readsMaster = false
    request.standing = undefined
    request.attempts = 0
    request.losses = 0
    request.healed = false
    request.hedge = undefined
    request.reply = undefined
    request.confirmation?.abandon()
    request.rules = undefined
    request.flight = undefined
    request.answer = undefined
    request.lost = undefined
    if (this.#spare.length < SPARE_REQUESTS) this.#spare.push(request)
  }

  /** A question of our own. */
  ask(answer: Answer, lost?: () => void): Request {
    const request = this.take()
    request.kind = 'ask'
    request.answer = answer
    request.lost = lost
    return request
  }

  ghost(answer: Answer, lost: () => void): Request {
    const request = this.ask(answer, lost)
    request.kind = 'ghost'
    return request
  }
}

/** The text of an error reply, without dash and line end. */
export function errorText(buffer: Buffer, start: number, end: number): Bytes {
  return readLatin1(buffer, start + 1, end - 2)
}

/** Keeps the bytes of the request that the decoder stands on, unless they are kept already. */
export function keepBytes(request: Request, { buffer, start, end }: Decoder, blocks: BlockPool): void {
  if (request.block !== undefined) return
  request.block = blocks.single(buffer, start, end)
  request.start = 0
  request.end = end - start
}

/** Has the decoder stand on the bytes of a request that was kept. */
export function reread(reader: Decoder, request: Request): Decoder {
  reader.feed(request.bytes)
  reader.nextRequest()
  return reader
}
