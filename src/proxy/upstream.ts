/**
 * One connection to an instance: shared by all sessions that speak the same protocol version, or lent to one of them.
 *
 *     connecting ──▶ open ──▶ closed
 *          └───────────────────▲
 *
 * Sending: commands of many sessions gather in the log and leave in one write, behind the replies of a turn (net/turn.ts).
 * If writes were among them, ROLE follows: its offset covers every write before it on this connection (1.15 µs on the
 * master, once per flush). It is never sent while MULTI is open, where it would be queued.
 *
 * Receiving: the end of each reply is found by scanning, and the bytes are passed to the session whose request is first in
 * the queue. A reply that nobody asked for kills the connection: on a shared one it could only reach the wrong client.
 *
 * A connection to a master carries no write until the instance has said that it is the master that the view means:
 * `confirm` asks for run id, role and history; `confirmed` is set by the group that judges the answer.
 */
import type { Address } from '../base/address.js'
import type { Clock } from '../base/clock.js'
import { Fifo } from '../base/fifo.js'
import { readLatin1 } from '../base/latin1.js'
import type { Bytes, Millis, Offset } from '../base/units.js'
import { connect, type Peer, type PeerHandler } from '../net/peer.js'
import type { TlsClient } from '../net/tls.js'
import { type Flushable, turn } from '../net/turn.js'
import { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import { type Frame, ProtocolError, replyLimits, textOf } from '../resp/protocol.js'
import type { Call } from '../routing/calls.js'
import type { Flight, Marks } from '../routing/marks.js'
import type { Insight } from './insight.js'
import type { Instance } from './instance.js'
import { type BlockPool, Log } from './log.js'
import type { StreamSink } from './reply-stream.js'
import { type Answer, errorText, type Recipient, type Request, type RequestPool } from './request.js'
import type { ReplySource } from './slow-reader.js'

export type Resp = 2 | 3

/** Why a connection ended, when it was not the network's word (`eof`, `ECONNRESET`, …). */
export type CloseReason =
  | 'unsolicited-reply'
  | 'protocol-error' // malformed, nested too deep, a line or bulk beyond all bounds
  | 'reply-too-large'
  | 'out-of-step' // the answer to our own question was not one
  | 'auth-failed'
  | 'read-timeout'
  | 'not-master'
  | 'master-changed'
  | 'removed'
  | 'client-gone'
  | 'shutdown'

/** What an instance says of itself. */
export interface Introduction {
  readonly runId: string | undefined
  readonly role: string | undefined
  readonly replid: string | undefined
  readonly replid2: string | undefined
  readonly secondOffset: Offset
  readonly offset: Offset | undefined
  readonly version: string | undefined
  /** It runs a script and answers nothing else: what it is cannot be asked now. */
  readonly busy: boolean
}

export interface UpstreamOwner {
  onOpen(upstream: Upstream): void
  /** Called once. `pending` are the requests that got no answer, in order; they are the owner's now. */
  onClose(upstream: Upstream, reason: string, pending: Fifo<Request>): void
  /** An error reply to a client's request. True: the owner took the request back, nothing is delivered. */
  onError(upstream: Upstream, request: Request, text: Bytes): boolean
  /** Any other reply to a client's request. True: it must not be shown, the owner took the request back. */
  onReply(upstream: Upstream, request: Request): boolean
  /** The sample behind a flush. */
  onSample(upstream: Upstream, flight: Flight, offset: Offset): void
  /** ROLE was not answered: the flight is still open. */
  onNoSample(flight: Flight): void
  /** ROLE told that the instance is no master (any more); its flight is still open. */
  onDemoted(upstream: Upstream, flight: Flight): void
  /** A reply was taken from the queue; `sentAt` of the request is its start. */
  onAnswered(upstream: Upstream, request: Request): void
  /** It is about to be read no more, for the sake of `taker`: others need another one. False: it must be read. */
  onSetAside(upstream: Upstream, taker: Recipient): boolean
}

export interface UpstreamOptions {
  readonly username: string | undefined
  readonly password: string | undefined
  readonly connectTimeoutMs: Millis
  readonly tls: TlsClient | undefined
}

/** The instant that everything in one callback happens at: reading the clock once per chunk is enough. */
export class Instant {
  now: Millis

  constructor(private readonly clock: Clock) {
    this.now = clock.now()
  }

  update(): Millis {
    this.now = this.clock.now()
    return this.now
  }
}

export interface UpstreamTools {
  readonly time: Instant
  readonly requests: RequestPool
  readonly blocks: BlockPool
  readonly insight: Insight
  /** How connections to instances are secured. */
  readonly tls: TlsClient | undefined
}

const STUCK_MS = 50
/** A reply of which so much has come without its end is passed on as it comes. */
const STREAM_BYTES = 256 * 1024
const SCRIPT_AMONG = 64

/** A script may answer a long error; longer lines are nobody's answer. */
const REPLY_LINE_BYTES = 1024 * 1024
/** One reply larger than this is not waited for: nothing that large has an end. */
const REPLY_BYTES = 1024 * 1024 * 1024
/** As deep as a script can nest what it returns; nesting is followed without recursion. */
const REPLY_DEPTH = 10_000

const DASH = 0x2d
const PUSH = 0x3e
/** Bulk, array, set, map, verbatim. */
const DATA_TYPES = new Set([0x24, 0x2a, 0x7e, 0x25, 0x3d])
const ROLE = encodeCommand(['ROLE'])
const INFO_SERVER = encodeCommand(['INFO', 'server'])
const INFO_REPLICATION = encodeCommand(['INFO', 'replication'])
const CLIENT_ID = encodeCommand(['CLIENT', 'ID'])
const MASTER_ROLE = Buffer.from('*3\r\n$6\r\nmaster\r\n:')

/** For parts of a reply that nobody waits for. */
const DROPPED: StreamSink = { part: () => undefined, end: () => undefined, broken: () => undefined }

export class Upstream implements Flushable, PeerHandler, ReplySource {
  readonly patient = true
  /** For what must be on its way before anybody is answered. */
  readonly #soon: Flushable = { early: true, flush: () => this.flush() }
  /** The instance is master in the current epoch, said on this connection. Set by the group. */
  confirmed = false
  /** The process it leads to, once that has said so; a connection never leads to another. */
  runId: string | undefined = undefined
  introduced = false
  /** What is known of the instance is known of this very process: it may be read from as a replica. */
  readable = false
  /** MULTI was sent and neither EXEC nor DISCARD: whatever is sent now is queued. */
  inMulti = false
  /** Lent to one session: what arrives unasked is its own. */
  lentTo: Recipient | undefined = undefined
  /** The session receives everything that arrives, unmatched: SUBSCRIBE, MONITOR. */
  piped = false
  /** Its id as the instance knows it, once it said so. */
  clientId: number | undefined = undefined
  db = 0
  /** The last time bytes arrived. */
  heardAt: Millis = 0
  #state: 'connecting' | 'open' | 'closed' = 'connecting'
  readonly #peer: Peer
  readonly #decoder = new Decoder({ ...replyLimits, depth: REPLY_DEPTH, line: REPLY_LINE_BYTES })
  readonly #pending = new Fifo<Request>(64)
  readonly #log: Log
  readonly #piped: Buffer[] = []
  /** SELECT was refused as the instance is busy; whatever was sent behind it must have been refused, too. */
  #unselected = false
  #flight: Flight | undefined
  #flushDue = false
  /** Where the reply goes that is coming in parts; its request is not pending any more. */
  #streamed: StreamSink | undefined
  /** A request is being sent in parts. */
  #uploading = false
  /** The socket has taken what waited for it; for who uploads. */
  onDrained: (() => void) | undefined
  /** Nobody but those who wait for an answer has to do with it any more; called behind the last one. */
  aside: (() => void) | undefined = undefined
  /** It is not read, as the client that this reply is for does not take it. */
  #paused = false
  /** Replies are being taken: whoever resumes it meanwhile leaves the rest to that loop. */
  #taking = false

  constructor(
    readonly address: Address,
    public resp: Resp,
    /** What it leads to, also when that is no member any more. */
    readonly instance: Instance,
    private readonly owner: UpstreamOwner,
    private readonly tools: UpstreamTools,
    private readonly options: UpstreamOptions,
  ) {
    this.#log = new Log(tools.blocks)
    this.#introduce()
    this.#peer = connect(address, this, { timeoutMs: options.connectTimeoutMs, tls: options.tls })
  }

  get instanceId(): string {
    return this.instance.id
  }

  /** Nobody joins what is sent on one that is lent. */
  get early(): boolean {
    return this.lentTo !== undefined
  }

  get open(): boolean {
    return this.#state === 'open'
  }

  get closed(): boolean {
    return this.#state === 'closed'
  }

  /** Requests sent and not answered, our own included. */
  get pending(): number {
    return this.#pending.length
  }

  get oldest(): Request | undefined {
    return this.#pending.peek()
  }

  /** The request that `index` others are before. */
  pendingAt(index: number): Request | undefined {
    return this.#pending.at(index)
  }

  /** The request gets its answer from elsewhere; `ghost` takes its place. False: it is not in the queue (any more). */
  disown(request: Request, ghost: Request): boolean {
    return this.#pending.replace(request, ghost)
  }

  /** It has been waiting for a script for so long that whoever stands behind would rather hear BUSY. */
  isStuck(now: Millis): boolean {
    const oldest = this.#pending.peek()
    if (oldest === undefined || now - Math.max(oldest.sentAt, this.heardAt) <= STUCK_MS) return false
    // What came before the script in the same packet was executed, and is answered only after it.
    for (let index = 0; index < SCRIPT_AMONG; index++) {
      if (this.#pending.at(index)?.call?.spec?.group === 'scripting') return true
    }
    return false
  }

  // ── Sending ───────────────────────────────────────────────────────────────────────────────────────────────────────

  get queuedBytes(): number {
    return this.#peer.queuedBytes
  }

  /** Sends the beginning of a request; nothing else is sent, until `endUpload`, than what `append` adds to it. */
  beginUpload(request: Request, beginning: Buffer): void {
    this.#uploading = true
    request.state = 'sent'
    this.#pending.push(request)
    this.#peer.writeThrough(beginning)
  }

  /** Copied to memory that is used again as soon as the kernel has it. */
  append(buffer: Buffer, start: number, end: number): void {
    this.#peer.out.raw(buffer, start, end)
    this.#peer.flush()
  }

  endUpload(): void {
    this.#uploading = false
    this.onDrained = undefined
    this.#flushSoon()
  }

  onDrain(): void {
    this.onDrained?.()
  }

  /** Queues a request whose bytes are `source[start…end)`; they may be those it already keeps. */
  send(request: Request, source: Buffer, start: number, end: number): void {
    const previous = request.block
    const block = this.#log.blockFor(end - start)
    const at = block.put(source, start, end)
    request.block = block
    request.start = at
    request.end = at + end - start
    request.state = 'sent'
    previous?.release()
    this.#pending.push(request)
    if (!this.#flushDue) this.#flushSoon()
  }

  /** Commands sent from here on are meant for database `db`. */
  select(db: number): void {
    if (this.db === db) return
    this.db = db
    this.tell(encodeCommand(['SELECT', String(db)]))
  }

  /** Replies and messages to what is sent from here on are written in another way; what the instance remembers of it stays. */
  speak(resp: Resp): void {
    this.resp = resp
    this.tell(encodeCommand(['HELLO', String(resp)]))
  }

  /** Sends something of our own whose answer only must not be an error. */
  tell(bytes: Buffer): void {
    const request = this.tools.requests.take()
    request.kind = 'quiet'
    request.sentAt = this.tools.time.now
    this.send(request, bytes, 0, bytes.length)
  }

  /** Sends a question of our own, before clients are answered; one of the two is called. */
  ask(bytes: Buffer, answer: Answer, lost?: () => void): void {
    this.send(this.tools.requests.ask(answer, lost), bytes, 0, bytes.length)
    turn.add(this.#soon)
  }

  /** Sends bytes whose answers are not matched: the connection is `piped`. They wait for those sent before to be answered. */
  pipe(bytes: Buffer): void {
    if (this.#state === 'open' && this.#pending.length === 0) this.#peer.writeThrough(bytes)
    else this.#piped.push(bytes)
  }

  /** The flight of the writes that are gathering; the owner raises their marks on it. */
  flight(marks: Marks): Flight {
    this.#flight ??= marks.open()
    return this.#flight
  }

  /** Asks who the instance is. */
  identify(then: (introduction: Introduction) => void): void {
    let server: ReadonlyMap<string, string> = new Map()
    this.ask(INFO_SERVER, decoder => {
      server = infoFields(decoder.value())
    })
    this.ask(INFO_REPLICATION, decoder => {
      const reply = decoder.value()
      const fields = infoFields(reply)
      const offset = Number(fields.get('master_repl_offset'))
      then({
        runId: server.get('run_id'),
        version: server.get('redis_version'),
        role: fields.get('role'),
        replid: fields.get('master_replid'),
        replid2: /[^0]/.test(fields.get('master_replid2') ?? '') ? fields.get('master_replid2') : undefined,
        secondOffset: Number(fields.get('second_repl_offset') ?? -1),
        offset: Number.isFinite(offset) ? offset : undefined,
        busy: reply.type === 'error' && reply.value.startsWith('BUSY'),
      })
    })
  }

  /** Learns `clientId`: for connections that may wait and have to be woken up. */
  learnClientId(): void {
    this.ask(CLIENT_ID, decoder => {
      const frame = decoder.value()
      if (frame.type === 'integer') this.clientId = Number(frame.value)
    })
  }

  #introduce(): void {
    const { username, password } = this.options
    const login = password === undefined || password === '' ? [] : [username || 'default', password]
    if (this.resp === 3) {
      const hello = encodeCommand(['HELLO', '3', ...(login.length > 0 ? ['AUTH', ...login] : [])])
      this.ask(hello, decoder => this.#judgeLogin(decoder))
    } else if (login.length > 0) {
      // AUTH with one word is what servers before ACLs understand.
      const auth = encodeCommand(['AUTH', ...(username ? login : login.slice(1))])
      this.ask(auth, decoder => this.#judgeLogin(decoder))
    }
    const name = encodeCommand(['CLIENT', 'SETNAME', 'lagrange-proxy'])
    this.ask(name, () => undefined)
  }

  #judgeLogin(decoder: Decoder): void {
    if (decoder.buffer[decoder.start] === DASH) this.close('auth-failed')
  }

  #flushSoon(): void {
    this.#flushDue = true
    if (this.#state === 'open') turn.add(this)
  }

  /** The end of the turn: everything gathered leaves, and ROLE behind it when there were writes. */
  flush(): void {
    this.#flushDue = false
    if (this.#state !== 'open' || this.#uploading) return
    if (this.#flight !== undefined && !this.inMulti) this.#appendRole(this.#flight)
    this.#log.drain(this.#write)
  }

  readonly #write = (bytes: Buffer): void => this.#peer.writeThrough(bytes)

  #appendRole(flight: Flight): void {
    this.#flight = undefined
    const request = this.tools.requests.take()
    request.kind = 'role'
    request.flight = flight
    this.#flushDue = true
    this.send(request, ROLE, 0, ROLE.length)
    this.#flushDue = false
  }

  /** Whether the bytes of a request of this connection were handed to the socket, and may have been executed. */
  static handedOver(request: Request): boolean {
    return request.block !== undefined && request.block.handed >= request.end
  }

  // ── The peer's events ─────────────────────────────────────────────────────────────────────────────────────────────

  onOpen(): void {
    this.#state = 'open'
    this.owner.onOpen(this)
    this.flush()
  }

  onData(chunk: Buffer): void {
    this.heardAt = this.tools.time.update()
    this.#decoder.feed(chunk)
    this.#takeAll()
  }

  #takeAll(): void {
    this.#taking = true
    try {
      if (this.#streamed === undefined || this.#passParts(this.#streamed)) this.#takeReplies()
      const isLarge = this.#decoder.pending > STREAM_BYTES
      if (isLarge && !this.#paused && this.#streamed === undefined) this.#beginStream()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.close('protocol-error')
    }
    this.#taking = false
    this.#decoder.release()
    if (this.#decoder.pending > REPLY_BYTES) return this.close('reply-too-large')
    if (this.aside !== undefined && this.#pending.length === 0 && this.#streamed === undefined) this.aside()
    if (this.#piped.length > 0 && this.#pending.length === 0 && this.#state === 'open') {
      for (const bytes of this.#piped.splice(0)) this.#peer.writeThrough(bytes)
    }
  }

  onClose(reason: string): void {
    this.#state = 'closed'
    this.#streamed?.broken()
    this.#streamed = undefined
    this.confirmed = this.readable = false
    if (this.#flight !== undefined) {
      // Its ROLE was never sent: it ends with those whose ROLE was not answered.
      const request = this.tools.requests.take()
      request.kind = 'role'
      request.flight = this.#flight
      this.#flight = undefined
      this.#pending.push(request)
    }
    this.owner.onClose(this, reason, this.#pending)
  }

  close(reason: CloseReason): void {
    this.#peer.destroy(reason)
  }

  /** Not on a lent connection: what arrives there is looked at by its session. */
  #beginStream(): void {
    const request = this.#pending.peek()
    if (request?.kind === 'ghost' && this.#isData()) return this.#beginDropping(request)
    if (this.lentTo !== undefined || request?.kind !== 'client' || this.#unselected || !this.#isData()) return
    const sink = request.session?.beginStream?.(request, this)
    if (sink === undefined) return
    this.#pending.shift()
    this.owner.onAnswered(this, request)
    this.#streamed = sink
    this.#passParts(sink)
  }

  /** Too large to be kept for nobody. */
  #beginDropping(request: Request): void {
    this.#pending.shift()
    request.lost?.()
    this.tools.requests.give(request)
    this.#streamed = DROPPED
    this.#passParts(DROPPED)
  }

  /** No error, which may mean that the command was not executed, and no push. */
  #isData(): boolean {
    const first = this.#decoder.peekByte()
    return first !== undefined && DATA_TYPES.has(first)
  }

  /** Answers whether the reply has ended. */
  #passParts(sink: StreamSink): boolean {
    const decoder = this.#decoder
    for (let part = decoder.nextPart(); part !== undefined; part = decoder.nextPart()) {
      sink.part(decoder.buffer, decoder.start, decoder.end)
      if (part === 'part') continue
      this.#streamed = undefined
      sink.end()
      return true
    }
    return false
  }

  // ── A client that does not take its replies ───────────────────────────────────────────────────────────────────────

  setAside(taker: Recipient): boolean {
    if (this.#paused || this.closed) return true
    // One that is lent is nobody else's anyway.
    if (this.lentTo === undefined && !this.owner.onSetAside(this, taker)) return false
    this.#paused = true
    this.#peer.pause()
    return true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    if (this.closed) return
    this.#peer.resume()
    if (!this.#taking) this.#takeAll()
  }

  isWaitedFor(taker: Recipient): boolean {
    for (const { kind, session } of this.#pending) if (kind === 'client' && session !== taker) return true
    return false
  }

  /**
   * Takes out the requests of those who have asked nothing but reads here: they can be asked elsewhere. All others have to
   * wait for what they asked here before they ask for more, or it would overtake.
   */
  takeOutReads(taker: Recipient): Request[] {
    const all: Request[] = []
    for (let request = this.#pending.shift(); request !== undefined; request = this.#pending.shift()) all.push(request)
    const staying = new Set<Recipient | undefined>([taker])
    for (const { kind, session, call, effect } of all) {
      if (kind === 'client' && (call?.handling !== 'read' || effect !== 'none')) staying.add(session)
    }
    const taken: Request[] = []
    for (const request of all) {
      const isTaken = request.kind === 'client' && !staying.has(request.session)
      this.#pending.push(isTaken ? this.#ghostOf(request) : request)
      if (isTaken) taken.push(request)
      else if (request.kind === 'client') request.session?.awaitAnswers?.()
    }
    return taken
  }

  /** Stands in the queue in its place. */
  #ghostOf(request: Request): Request {
    const ghost = this.tools.requests.ghost(
      () => undefined,
      () => undefined,
    )
    const { block, start, end, sentAt } = request
    ghost.sentAt = sentAt
    ghost.state = 'sent'
    // The bytes may still be on their way to the kernel; the request keeps a copy.
    ghost.block = block
    ghost.start = start
    ghost.end = end
    request.block = this.tools.blocks.single(request.bytes, 0, end - start)
    request.start = 0
    request.end = end - start
    return ghost
  }

  /** There is more to come for a client that does not take what is there. */
  #holdUp(session: Recipient): void {
    for (const request of this.#pending) if (request.session === session) return session.slow?.add(this)
  }

  // ── Replies ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #takeReplies(): void {
    const decoder = this.#decoder
    const pending = this.#pending
    while (this.#state === 'open' && !this.#paused && decoder.nextFrame()) {
      const { buffer, start, end } = decoder
      const first = buffer[start] as number
      if (this.lentTo !== undefined && (first === PUSH || (this.piped && pending.length === 0))) {
        this.lentTo.push(buffer, start, end)
        continue
      }
      const request = pending.shift()
      if (request === undefined || first === PUSH) {
        // Kept in the queue: it has not been answered.
        if (request !== undefined) pending.unshift(request)
        return this.close('unsolicited-reply')
      }
      if (request.kind !== 'client') this.#takeOwn(request, first)
      else if (this.#unselected && meansDatabase(request.call) && !isBusy(buffer, start)) {
        // SELECT was refused and this was not: it was executed in a database that the client did not mean.
        pending.unshift(request)
        return this.close('out-of-step')
      } else if (first === DASH && this.owner.onError(this, request, errorText(buffer, start, end))) continue
      else if (!this.owner.onReply(this, request)) {
        this.owner.onAnswered(this, request)
        const { session } = request
        if (session !== undefined) {
          session.deliver(request, buffer, start, end)
          if (session.choked) this.#holdUp(session)
        }
      }
    }
  }

  #takeOwn(request: Request, first: number): void {
    const { kind, answer, flight } = request
    switch (kind) {
      case 'ask':
      case 'ghost':
        answer?.(this.#decoder)
        break
      case 'role':
        if (flight !== undefined) this.#takeRole(flight)
        break
      default:
        this.#takeQuiet(first)
    }
    this.tools.requests.give(request)
  }

  #takeQuiet(first: number): void {
    if (first !== DASH) this.#unselected = false
    else if (isBusy(this.#decoder.buffer, this.#decoder.start)) {
      this.#unselected = true
      this.db = -1
    } else this.close('out-of-step')
  }

  #takeRole(flight: Flight): void {
    const offset = masterOffset(this.#decoder)
    if (offset !== undefined) return this.owner.onSample(this, flight, offset)
    // Busy with a script, or loading: it says nothing of its role, and is asked again.
    if (this.#decoder.buffer[this.#decoder.start] === DASH) return this.owner.onNoSample(flight)
    this.owner.onDemoted(this, flight)
    const frame = this.#decoder.value()
    if (frame.type !== 'array' || !['slave', 'master'].includes(textOf(frame.items[0]) ?? '')) this.close('out-of-step')
  }
}

/** The offset in a master's answer to ROLE, read without decoding the rest; undefined when it is something else. */
export function masterOffset({ buffer, start, end }: Decoder): Offset | undefined {
  if (end - start < MASTER_ROLE.length) return undefined
  for (let index = 0; index < MASTER_ROLE.length; index++) {
    if (buffer[start + index] !== MASTER_ROLE[index]) return undefined
  }
  let offset = 0
  for (let at = start + MASTER_ROLE.length; ; at++) {
    const digit = (buffer[at] as number) - 48
    if (digit < 0 || digit > 9) return offset
    offset = offset * 10 + digit
  }
}

/** False for commands that mean the same in every database: SCRIPT KILL, PING. */
function meansDatabase(call: Call | undefined): boolean {
  return call === undefined || call.firstKey > 0 || call.marking !== 'none'
}

/** `-BUSY …`: a script keeps the instance from executing anything. */
function isBusy(buffer: Buffer, start: number): boolean {
  return buffer[start] === DASH && readLatin1(buffer, start + 1, start + 6) === 'BUSY '
}

/** `field:value` lines of an INFO reply. */
function infoFields(frame: Frame): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const line of (textOf(frame) ?? '').split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1))
  }
  return fields
}
