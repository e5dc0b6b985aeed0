/**
 * One client.
 *
 * Its commands are taken in order and its replies leave in order, whichever instance answered first. A reply that is the
 * next to leave is copied once, from the upstream's read buffer to what the client is sent; one that is early is kept.
 *
 *     bytes ─▶ decoder ─▶ take ─┬─▶ group.dispatch ─▶ … ─▶ deliver ─▶ out
 *                               ├─▶ local commands ──────────────────▶ out
 *                               └─▶ transaction, subscription: a connection of its own
 *
 * Nothing further is taken while the session is stopped: a command is kept by the group, waits for all before it
 * (`stalled`), must be answered before others may follow (`#awaiting`), clients are paused (`held`), too many are in
 * flight, or the client does not read. Meanwhile the client may send a bounded amount ahead; then its socket is not read.
 */
import type { Bytes, Millis } from '../base/units.js'
import type { Peer, PeerHandler } from '../net/peer.js'
import { Decoder } from '../resp/decoder.js'
import type { Encoder } from '../resp/encoder.js'
import { ProtocolError, requestLimits, unauthenticatedLimits } from '../resp/protocol.js'
import type { Call } from '../routing/calls.js'
import type { ReadRules } from '../routing/choose.js'
import { LOST_WRITE } from '../routing/errors.js'
import type { Lineage } from '../topology/view.js'
import { Alone } from './alone.js'
import type { Asker, Because } from './asker.js'
import type { Group } from './group.js'
import type { Guard } from './guard.js'
import type { Entrance, Hub } from './hub.js'
import { withProxySection } from './info.js'
import type { Instance } from './instance.js'
import { Leaving } from './leaving.js'
import { Listening } from './listening.js'
import { answerLocally, refusedText } from './local.js'
import type { MovesTo } from './maintenance.js'
import { isOwnNoise } from './monitor.js'
import { dispatchPinned, losePinned, turnAway } from './pinned.js'
import { ReplyStream, type StreamSink } from './reply-stream.js'
import { keepBytes, type Request, reread } from './request.js'
import { type ReplySource, SlowReader } from './slow-reader.js'
import { Standing, type Trail } from './standing.js'
import type { Subscription } from './subscription.js'
import { callOfOpenRequest, isAdmitted, isPlain, isWeb, mute, notice, refusedInMode } from './taking.js'
import type { Tracking } from './tracking.js'
import type { Transaction } from './transaction.js'
import { Upload } from './upload.js'
import type { Resp, Upstream } from './upstream.js'
import { DEFAULT_USER } from './users.js'

/** What may wait for a client that has not authenticated. */
const UNAUTHENTICATED_QUEUED_BYTES = 16 * 1024
/** Commands in flight allowed at first; grows as replies turn out to be small. */
const FIRST_WINDOW = 32
const LARGE_REPLY_BYTES = 16 * 1024
/** A request of which so much has come without its end is passed on as it comes. */
const UPLOAD_BYTES = 256 * 1024
/** However much it owes. */
const MAX_THROTTLE_MS = 60_000

export class Session implements Asker, PeerHandler {
  resp: Resp = 2
  db = 0
  name: Bytes = ''
  libName: Bytes = ''
  libVersion: Bytes = ''
  user: Bytes = DEFAULT_USER
  authenticated: boolean
  noEvict = false
  movesTo: MovesTo = undefined
  rules: ReadRules
  /** What it has chosen itself, whatever its listener and the rules say. */
  chosenRules: ReadRules | undefined = undefined
  /** Asked about each command; undefined: nothing needs to be asked. */
  guard: Guard | undefined = undefined
  standing: Standing
  trail: Trail | undefined = undefined
  lost = false
  ahead = false
  replyMode: 'on' | 'off' | 'skip-next' | 'skip' = 'on'
  readonly since: Millis
  lastCommand = 'NULL'
  lastAt: Millis

  // For the group.
  closed = false
  choked = false
  readonly slow = new SlowReader(this)
  lastReplica: Instance | undefined = undefined
  lastTo = ''
  lastBecause: Because = 'local'
  kept = 0
  replicaReads = 0
  readFilter = 0
  spread = false
  masterReads = 0
  masterFilter = 0

  transaction: Transaction | undefined = undefined
  subscription: Subscription | undefined = undefined
  tracking: Tracking | undefined = undefined
  /** What others redirect to it. */
  readonly listening = new Listening(this)
  monitor: Upstream | undefined = undefined
  /** What CLIENT PAUSE holds back. */
  held: Request | undefined = undefined
  /** What it said of itself as a replica. */
  readonly announced: Buffer[] = []
  /** For commands that may wait, or that must not stand in a queue. */
  readonly alone = new Alone(this)

  /** Called off when the client goes: a WAIT. */
  onClosed: (() => void) | undefined = undefined

  peer!: Peer
  readonly #decoder: Decoder
  #head: Request | undefined
  #tail: Request | undefined
  outstanding = 0
  #window = FIRST_WINDOW
  stalled = 0
  /** What CLIENT PAUSE held back, and does no longer: it is the next to be taken. */
  #released: Request | undefined
  #awaiting = false
  #stopped = false
  #running = false
  #paused = false
  /** Was too fast, and is not read until a timer says so. */
  #throttled = false
  /** The request that it is sending, where that is passed on in parts. */
  #upload: Upload | undefined
  /** Where in its bytes a request began that could not be. */
  #gaveUpAt = -1
  /** The reply it is being sent, where that comes in parts. */
  #stream: ReplyStream | undefined
  #leaving: Leaving | undefined
  /** What was announced wrong; said and closed when everything before it is answered. */
  #ending = false

  constructor(
    readonly id: number,
    readonly hub: Hub,
    readonly entrance: Entrance,
  ) {
    const { policy, tools } = hub
    this.authenticated = policy.open
    this.rules = entrance.rules
    this.standing = new Standing(() => hub.group)
    this.standing.members++
    this.#decoder = new Decoder({ ...(this.authenticated ? requestLimits : unauthenticatedLimits) })
    this.since = this.lastAt = tools.time.now
    this.regard()
    this.ahead = false
  }

  /** Who it is, what it calls itself or what is asked of it has changed. */
  regard(): void {
    const { guard, rules } = this.hub.policy.regard(this)
    this.guard = guard
    this.rules = rules
    this.#joinOthers()
  }

  /** LAGRANGE CONSISTENCY and AFTER. */
  choose(rules: ReadRules): void {
    this.chosenRules = rules
    this.regard()
  }

  /** RESET: as if it had just connected. */
  forget(): void {
    this.#abandonOwn()
    this.transaction = this.subscription = this.tracking = undefined
    this.resp = 2
    this.db = 0
    this.name = ''
    this.noEvict = false
    this.movesTo = undefined
    this.standing.members--
    this.standing = new Standing(() => this.hub.group)
    this.standing.members++
    this.trail = undefined
    this.lost = false
    this.ahead = true
    this.replyMode = 'on'
    this.announced.length = 0
    this.chosenRules = undefined
    this.user = DEFAULT_USER
    this.regard()
    const { open } = this.hub.policy
    if (this.authenticated && !open) this.#estrange()
  }

  get group(): Group {
    return this.hub.group as Group
  }

  /** It is known by another name now, and stands where others of that name stand. What it has seen itself is the master's to show. */
  #joinOthers(): void {
    const standing = this.hub.standingFor(this)
    if (standing === undefined || standing === this.standing) return
    this.standing.members--
    standing.members++
    this.standing = standing
    this.ahead = true
  }

  /** The master's history is another one now. Answers whether what this connection was acknowledged may be lost. */
  judge(lineage: Lineage): boolean {
    const { standing, trail } = this
    return !standing.survives(lineage) || trail?.survives(lineage) === false
  }

  tellLost(request: Request): void {
    this.lost = false
    if (this.hub.options.lostWrites !== 'close') return this.turnAway(request, LOST_WRITE)
    this.fail(request, LOST_WRITE)
    this.endWhenAnswered()
  }

  get address(): string {
    return `${this.peer.remoteHost}:${this.peer.remotePort}`
  }

  get poisoned(): boolean {
    return this.transaction?.poisoned === true
  }

  get oldest(): Request | undefined {
    return this.#head
  }

  get takenBytes(): number {
    return this.#decoder.consumed
  }

  /** True when it could be closed without anybody missing anything. */
  get idle(): boolean {
    return this.#head === undefined && this.transaction === undefined && this.#decoder.pending === 0
  }

  /** Bytes that were read from it and not answered or sent on, the command at hand included. */
  get aheadBytes(): number {
    return this.#decoder.pending + (this.#running ? this.#decoder.end - this.#decoder.start : 0)
  }

  authenticate(user: Bytes): void {
    this.user = user
    if (!this.authenticated) this.hub.admission.changed(true)
    this.authenticated = true
    this.#decoder.limits = { ...requestLimits }
    this.regard()
  }

  #estrange(): void {
    this.authenticated = false
    this.hub.admission.changed(false)
    this.#decoder.limits = { ...unauthenticatedLimits }
  }

  /** Waits for something: an answer, a message, a key. */
  get waiting(): boolean {
    return this.#head !== undefined || this.subscription !== undefined || this.monitor !== undefined
  }

  /** It was too fast: it is not read for a while. */
  throttle(waitMs: Millis): void {
    if (this.#throttled) return
    this.#throttled = this.#stopped = true
    this.entrance.throttled.value++
    this.hub.clock.after(Math.min(waitMs, MAX_THROTTLE_MS), () => {
      this.#throttled = false
      this.hub.tools.time.update()
      this.proceed()
    })
  }

  // ── Taking commands ───────────────────────────────────────────────────────────────────────────────────────────────

  onData(chunk: Buffer): void {
    this.lastAt = this.hub.tools.time.update()
    this.entrance.receivedBytes.value += chunk.length
    if (this.guard !== undefined) {
      const waitMs = this.guard.received(chunk.length, this.lastAt)
      if (waitMs > 0) this.throttle(waitMs)
    }
    this.#decoder.feed(chunk)
    if (this.#upload === undefined) this.#run()
    else this.#uploadMore(this.#upload)
  }

  proceed(): void {
    if (!this.closed && this.#stopped) this.#run()
  }

  #run(): void {
    if (this.#running || this.#upload !== undefined) return
    this.#running = true
    const decoder = this.#decoder
    try {
      do {
        if (this.#head?.stalled === true && this.kept === 0) this.#unstall(this.#head)
        while (this.#mayTake() && this.#takeNext(decoder));
      } while (this.#head?.stalled === true && this.kept === 0)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#breakOff(error.message)
    }
    this.#running = false
    if (this.closed) return
    decoder.release()
    this.#stopped = this.stalled > 0 || !this.#mayTake()
    if (this.#leaving !== undefined && !this.#stopped) return this.endWhenAnswered()
    this.#regulate()
    if (decoder.pending > UPLOAD_BYTES && !this.#stopped) this.#beginUpload()
  }

  /** A request of which much has come, and not its end, is passed on as it comes, where its keys are known. */
  #beginUpload(): void {
    const decoder = this.#decoder
    if (this.#head !== undefined || !isPlain(this) || this.#gaveUpAt === decoder.consumed) return
    const call = callOfOpenRequest(this.hub.calls, decoder)
    if (call === undefined) return
    this.#upload = new Upload(this, decoder, call, done => {
      this.#upload = undefined
      if (done) return this.#run()
      this.#gaveUpAt = decoder.consumed
    })
    this.#upload.begin()
  }

  /** For an upload: its place among the requests. Nothing else is taken until it is answered. */
  beginUpload(call: Call): Request {
    const request = this.#enqueue(call)
    this.lastCommand = call.name
    this.awaitAnswers()
    return request
  }

  #uploadMore(upload: Upload): void {
    try {
      upload.more()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.peer.destroy('protocol-error')
    }
    if (!this.closed) this.#decoder.release()
  }

  #mayTake(): boolean {
    return (
      this.kept === 0 &&
      this.stalled === 0 &&
      this.held === undefined &&
      (!this.#awaiting || this.subscription?.mayFollow(this.#decoder) === true) &&
      this.outstanding < this.#window &&
      !this.choked &&
      !this.#throttled &&
      !this.#ending &&
      !this.closed &&
      this.hub.group !== undefined &&
      (this.peer.out.length < this.hub.options.softQueuedBytes || this.#relieve())
    )
  }

  /** Much has been answered in this turn: it leaves now. False when the client does not take it. */
  #relieve(): boolean {
    this.peer.flush()
    if (this.closed) return false
    if (this.peer.queuedBytes > this.hub.options.softQueuedBytes) this.choked = true
    return !this.choked
  }

  /** Does not read the socket while more has come than may wait. */
  #regulate(): void {
    if (this.#upload !== undefined) return
    const pause = this.#stopped && this.#decoder.pending > this.hub.options.maxAheadBytes
    if (pause === this.#paused) return
    this.#paused = pause
    if (pause) this.peer.pause()
    else this.peer.resume()
  }

  /** False when there is nothing to take. */
  #takeNext(decoder: Decoder): boolean {
    const released = this.#released
    this.#released = undefined
    if (released !== undefined) this.#takeAgain(released)
    else if (decoder.nextRequest()) this.#take(decoder)
    else return false
    return true
  }

  /** A pause has held it back: it was admitted when it came. */
  #takeAgain(request: Request): void {
    const call = request.call as Call
    if (request.rules !== undefined) this.rules = request.rules
    const decoder = reread(this.hub.reader, request)
    if (this.#isHeld(request, call, decoder) || this.#takeByState(request, call, decoder)) return
    this.#carryOut(request, call, decoder)
  }

  #take(decoder: Decoder): void {
    const { calls } = this.hub
    const { buffer, argStart, argEnd } = decoder
    let call = calls.find(buffer, argStart[0] as number, argEnd[0] as number)
    if (call.subcommands !== undefined && decoder.argc > 1) {
      call = call.subcommands.find(buffer, argStart[1] as number, argEnd[1] as number) ?? call
    }
    if (call === calls.unknown && isWeb(decoder)) return this.peer.destroy('web')
    const request = this.#enqueue(call)
    this.lastCommand = call.name === 'client' && decoder.argc > 1 ? `client|${decoder.arg(1).toLowerCase()}` : call.name
    if (this.replyMode !== 'on') mute(this, request)
    if (
      !this.authenticated ||
      this.guard !== undefined ||
      this.transaction !== undefined ||
      this.monitor !== undefined ||
      this.tracking !== undefined ||
      this.hub.pause.mode !== undefined ||
      (this.subscription !== undefined && this.resp === 2)
    ) {
      if (this.#takeInMode(request, call, decoder)) return
    }
    this.#carryOut(request, call, decoder)
  }

  #carryOut(request: Request, call: Call, decoder: Decoder): void {
    switch (call.handling) {
      case 'read':
        return this.group.dispatch(this, request, call, decoder)
      case 'master':
        notice(this, request, call, decoder)
        return this.group.dispatch(this, request, call, decoder)
      case 'local':
        this.group.counters.command(call, 'local')
        if (call.name !== 'lagrange') {
          this.lastTo = 'proxy'
          this.lastBecause = 'local'
        }
        return answerLocally(this, request, call, decoder)
      case 'refused':
        return this.fail(request, refusedText(call.name))
      default:
        return this.dispatchPinned(request, decoder)
    }
  }

  #enqueue(call: Call | undefined): Request {
    const request = this.hub.tools.requests.take()
    request.call = call
    request.session = this
    request.db = this.db
    if (this.#tail === undefined) this.#head = request
    else this.#tail.next = request
    this.#tail = request
    this.outstanding++
    return request
  }

  /** True when the command has been dealt with as the session's mode asks. */
  #takeInMode(request: Request, call: Call, decoder: Decoder): boolean {
    const { name } = call
    if (!this.authenticated) {
      if (name === 'auth' || name === 'hello' || name === 'quit' || name === 'reset') return false
      this.fail(request, 'NOAUTH Authentication required.')
      return true
    }
    if (this.guard !== undefined && !isAdmitted(this, this.guard, request, call, decoder)) return true
    if (name === 'quit' || name === 'reset') return false
    const refusal = refusedInMode(this, call)
    if (refusal === 'goes on') return false
    if (refusal !== undefined) {
      this.fail(request, refusal.error)
      return true
    }
    return this.#isHeld(request, call, decoder) || this.#takeByState(request, call, decoder)
  }

  /** CLIENT PAUSE: it waits, and everything behind it. */
  #isHeld(request: Request, call: Call, decoder: Decoder): boolean {
    const { pause, tools } = this.hub
    if (!pause.holds(this, call, decoder)) return false
    keepBytes(request, decoder, tools.blocks)
    this.held = request
    this.#stopped = true
    pause.wait(this)
    return true
  }

  /** The pause is over, or another one. */
  goOn(): void {
    this.#released = this.held
    this.held = undefined
    this.proceed()
  }

  #takeByState(request: Request, call: Call, decoder: Decoder): boolean {
    if (this.lost && this.transaction !== undefined) {
      this.transaction.refuse()
      this.tellLost(request)
      return true
    }
    if (this.transaction?.take(request, call, decoder)) return true
    return this.tracking?.take(request, call, decoder) ?? false
  }

  /** Malformed input: what came before is answered, then the error, then the end. */
  #breakOff(message: string): void {
    const request = this.#enqueue(undefined)
    this.#ending = true
    this.hub.events.event('debug', '-client', { id: this.id, reason: 'protocol-error', message })
    this.fail(request, `ERR Protocol error: ${message}`)
  }

  /** Takes no more; closes when everything is answered. */
  endWhenAnswered(): void {
    this.#ending = true
    if (this.#head === undefined) this.peer.end()
  }

  // ── Connections of its own ────────────────────────────────────────────────────────────────────────────────────────

  /** It waits for all before it. One that is taken is the last; of those that are sent again there may be several. */
  stall(request: Request, decoder: Decoder): void {
    keepBytes(request, decoder, this.hub.tools.blocks)
    if (!request.stalled) this.stalled++
    request.stalled = true
    request.state = 'new'
    this.#stopped = true
  }

  /** Everything before it is answered: now it may go. */
  #unstall(request: Request): void {
    request.stalled = false
    this.stalled--
    const call = request.call as Call
    if (request.rules !== undefined) this.rules = request.rules
    const decoder = reread(this.hub.reader, request)
    if (call.handling === 'local') answerLocally(this, request, call, decoder)
    else this.group.dispatch(this, request, call, decoder)
  }

  /** True when nothing was asked before this request that is not answered. */
  isFirst(request: Request): boolean {
    return this.#head === request
  }

  /** Nothing more is taken until everything asked so far is answered. */
  awaitAnswers(): void {
    this.#awaiting = true
    this.#stopped = true
  }

  dispatchPinned(request: Request, decoder: Decoder): void {
    dispatchPinned(this, request, decoder)
  }

  sendAlone(request: Request, call: Call, decoder: Decoder): void {
    if (!this.isFirst(request)) return this.stall(request, decoder)
    this.alone.send(request, call, decoder)
  }

  /** Replies and messages are written in another way from here on. */
  speak(resp: Resp): void {
    if (resp === this.resp) return
    this.resp = resp
    this.tracking?.speak(resp)
    this.subscription?.speak(resp)
    this.listening.speak(resp)
  }

  onPinnedRefused(upstream: Upstream, request: Request, meaning: 'not-master' | 'not-serving' | 'unblocked'): boolean {
    if (request.effect === 'tracked') {
      this.group.keepAgain(this, request)
      return true
    }
    if (this.transaction?.upstream === upstream) return this.transaction.onRefused(request)
    this.alone.onRefused(upstream, request, meaning)
    return true
  }

  #abandonOwn(): void {
    this.transaction?.abandon()
    this.subscription?.abandon()
    this.alone.abandon()
    this.tracking?.abandon()
    this.listening.abandon()
    if (this.monitor !== undefined) this.group.lent.discard(this.monitor)
    this.monitor = undefined
  }

  #endUpload(): void {
    this.alone.abandon()
    this.#upload?.drop()
  }

  onPinnedClosed(upstream: Upstream, _reason: string, pending: readonly Request[]): void {
    if (this.alone.upstream === upstream) this.#upload?.drop()
    losePinned(this, upstream, pending)
  }

  // ── Answering ─────────────────────────────────────────────────────────────────────────────────────────────────────

  deliver(request: Request, buffer: Buffer, start: number, end: number): void {
    if (this.closed) return this.hub.tools.requests.give(request)
    if (request.effect === 'none') return this.#pass(request, buffer, start, end)
    switch (request.effect) {
      case 'info': {
        const bytes = withProxySection(this, buffer, start, end)
        return this.#pass(request, bytes, 0, bytes.length)
      }
      case 'pinned':
        // An answer to what has not been asked yet: the rest of the question must reach nobody.
        if (this.#upload?.owns(request)) this.#endUpload()
        else this.alone.free()
        return this.#pass(request, buffer, start, end)
      case 'tracked':
        return this.#pass(request, buffer, start, end)
      default:
        this.transaction?.onReply(request, buffer, start, end)
        return this.#pass(request, buffer, start, end)
    }
  }

  push(buffer: Buffer, start: number, end: number): void {
    if (this.closed) return
    // Whoever hears of a write must not miss it.
    this.ahead = true
    if (this.tracking?.receive(buffer, start, end)) return
    if (this.subscription?.receive(buffer, start, end)) return
    if (this.monitor !== undefined && isOwnNoise(buffer, start, end)) return
    this.passThrough(buffer, start, end)
  }

  /** Only the next reply to leave may leave in parts, and only one that nothing else is done with. */
  beginStream(request: Request, source: ReplySource): StreamSink | undefined {
    const isNext = request === this.#head && this.#stream === undefined && !this.closed
    if (!isNext || request.muted || request.effect !== 'none' || request.confirmation || this.kept > 0) return undefined
    this.#stream = new ReplyStream(this, request, source)
    return this.#stream
  }

  /** All of it has been passed on, or as much as will ever come. */
  streamed(request: Request): void {
    this.#stream = undefined
    this.#window = 1
    if (this.closed) return this.hub.tools.requests.give(request)
    this.#shift(request)
    this.#passReady()
    this.peer.flushSoon()
    this.#afterReply()
  }

  /** Bytes that are no reply to a request. */
  passThrough(buffer: Buffer, start: number, end: number): void {
    if (this.#stream !== undefined) return this.#stream.hold(buffer, start, end)
    this.peer.out.raw(buffer, start, end)
    if (this.peer.out.length > LARGE_REPLY_BYTES && this.peer.queuedBytes > this.hub.options.pushQueuedBytes) {
      return this.peer.destroy('output-limit')
    }
    this.peer.flushSoon()
  }

  fail(request: Request, text: Bytes): void {
    this.transaction?.onFailed(request)
    const out = this.begin(request)
    out.error(text)
    this.group?.counters.error(text, 'local')
    this.finish(request)
  }

  turnAway(request: Request, text: Bytes): void {
    turnAway(this, request, text)
  }

  /** Where the answer of the proxy itself is written; `finish` must follow in the same turn. */
  begin(request: Request): Encoder {
    const direct = request === this.#head && !request.muted
    const out = direct ? this.peer.out : this.hub.scratch
    if (!direct) out.reset()
    out.resp = this.resp
    return out
  }

  finish(request: Request): void {
    if (request === this.#head && !request.muted) return this.complete(request)
    const { scratch } = this.hub
    this.#pass(request, scratch.view(), 0, scratch.length)
  }

  /** The first request is answered, and its answer is in `out`. */
  complete(request: Request): void {
    this.#shift(request)
    this.#passReady()
    this.peer.flushSoon()
    this.#afterReply()
  }

  #pass(request: Request, buffer: Buffer, start: number, end: number): void {
    if (request.confirmation !== undefined && this.group.confirming.keepsBack(request, buffer, start, end)) return
    const size = end - start
    if (size > LARGE_REPLY_BYTES) {
      this.#window = Math.max(1, Math.floor(this.hub.options.softQueuedBytes / size))
      this.hub.tools.insight.large(request, size)
    } else if (this.#window < this.hub.options.maxInFlight) this.#window++
    if (request !== this.#head) {
      request.reply = Buffer.from(buffer.subarray(start, end))
      request.state = 'answered'
      return
    }
    if (!request.muted) this.peer.out.raw(buffer, start, end)
    if (this.peer.out.length > this.hub.options.softQueuedBytes / 4) this.#relieve() // one read may bring 2 MiB
    this.#shift(request)
    if (this.#head !== undefined && this.#head.state === 'answered') this.#passReady()
    this.peer.flushSoon()
    this.#afterReply()
  }

  confirmed(request: Request): void {
    const reply = request.reply as Buffer
    this.#pass(request, reply, 0, reply.length)
  }

  /** Replies that came early and are next now. */
  #passReady(): void {
    for (let next = this.#head; next !== undefined && next.state === 'answered'; next = this.#head) {
      if (!next.muted && next.reply !== undefined) this.peer.out.raw(next.reply)
      this.#shift(next)
    }
  }

  #shift(request: Request): void {
    this.#head = request.next
    if (this.#head === undefined) {
      this.#tail = undefined
      this.#awaiting = false
    }
    this.outstanding--
    this.hub.tools.requests.give(request)
  }

  #afterReply(): void {
    if (this.#ending && this.#head === undefined) return this.peer.end()
    if (!this.authenticated && this.peer.queuedBytes > UNAUTHENTICATED_QUEUED_BYTES) {
      return this.peer.destroy('output-limit')
    }
    if (this.#stopped) this.#run()
  }

  // ── The peer's events ─────────────────────────────────────────────────────────────────────────────────────────────

  onFlush(): void {
    const { out, queuedBytes } = this.peer
    this.entrance.sentBytes.value += out.length
    const waiting = queuedBytes - out.length
    // Only onDrain takes it back, as it also goes on with what had to wait.
    if (waiting > this.hub.options.softQueuedBytes) this.choked = true
    if (waiting > this.hub.options.hardQueuedBytes) this.peer.destroy('output-limit')
  }

  onDrain(): void {
    this.choked = false
    this.slow.goOn()
    this.proceed()
  }

  /** Nothing more will come. What has is taken to its end; half a request has none. */
  onEnd(reason: string): void {
    if (this.#upload !== undefined) return this.peer.destroy(reason)
    this.#leaving = new Leaving(this, reason)
    if (!this.#running && !this.#stopped) this.endWhenAnswered()
    this.#leaving.begin()
  }

  onClose(reason: string): void {
    this.closed = true
    this.#leaving?.over()
    this.slow.goOn()
    this.onClosed?.()
    this.standing.members--
    this.hub.pause.forget(this)
    // First, as connections of its own that are given up now return their requests themselves.
    this.#dropQueue()
    this.#abandonOwn()
    this.hub.onSessionClosed(this, reason)
  }

  /** Requests that a connection or the group still holds come back by themselves; the others are ours. */
  #dropQueue(): void {
    for (let request = this.#head; request !== undefined; ) {
      const { next } = request
      request.next = undefined
      if (request.state === 'answered' || request.state === 'new') {
        this.hub.tools.requests.give(request)
      }
      request = next
    }
    this.#head = this.#tail = this.#released = this.held = undefined
    this.stalled = 0
  }
}
