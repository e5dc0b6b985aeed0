/**
 * WATCH and MULTI, on a connection lent for as long as they last.
 *
 *     ─WATCH──▶ watching ──MULTI──▶ queueing ──EXEC, DISCARD──▶ over
 *     ─MULTI──────────────────────────▲
 *
 * What was only queued was not executed. So when the connection is lost or the master changes, the commands that were
 * queued are queued again at the new master, and the client sees nothing of it. What was watched cannot be: EXEC then
 * answers nil, as if a watched key had changed, and the client tries again as it must be ready to.
 */
import type { Bytes } from '../base/units.js'
import { type Decoder, decodeFrame } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import { type Frame, itemsOf, textOf } from '../resp/protocol.js'
import { type Acks, strictest } from '../routing/acks.js'
import type { Call } from '../routing/calls.js'
import { LOST_WRITE, UNKNOWN_RESULT } from '../routing/errors.js'
import type { PauseRequest } from '../topology/pauses.js'
import { isPrintable } from './client-command.js'
import { databaseOf, refusedText } from './local.js'
import { pauseOf } from './pause.js'
import { type Effect, type Request, reread } from './request.js'
import type { Session } from './session.js'
import { Upstream } from './upstream.js'

const MULTI = encodeCommand(['MULTI'])
/** What our connections are called as it is. */
const SETNAME = encodeCommand(['CLIENT', 'SETNAME', 'lagrange-proxy'])
const PLUS = 0x2b
const STAR = 0x2a
const DASH = 0x2d
/** Refused inside MULTI, and what is queued is executed all the same. */
const HARMLESS_IN_MULTI = new Set(['multi', 'watch'])
const NO_MULTI = 'ERR Command not allowed inside a transaction'
const ABORTED = 'EXECABORT Transaction discarded because of previous errors.'

/**
 * A command that the proxy refuses, and the instance would queue: it is refused when its turn comes, as an instance does
 * that cannot be told so (REPLICAOF with cluster mode on), and the rest is executed.
 */
function refusing(name: string): Buffer {
  return encodeCommand(['EVAL', 'return redis.error_reply(ARGV[1])', '0', refusedText(name)])
}

/** Effects of requests that belong to a transaction. */
const OURS: ReadonlySet<Effect> = new Set<Effect>(['multi', 'queued', 'watched', 'exec', 'discard', 'unwatch'])

/** Queued, these would change the connection that is lent, and not the client's. */
const NOT_QUEUED = new Set(['hello', 'auth', 'lagrange', 'proxy'])
const NOT_QUEUED_OF_CLIENT = /^(reply|tracking|caching|kill|unblock|no-evict|no-touch)$/i

export class Transaction {
  upstream: Upstream | undefined
  #multi = false
  /** WATCH was accepted by the master that may be gone by now. */
  #watching = false
  #watchLost = false
  /** A command was refused by us: EXEC will abort. */
  #refused = false
  /** Why nothing of it is sent to anybody; and whether its client has been told. */
  #vain: Bytes | undefined
  #vainTold = false
  /** A command was refused by the instance, which will abort by itself, and would not on another connection. */
  #spoiltThere = false
  /** The instance answered READONLY to a queued command, which the client was not told: it must be queued elsewhere. */
  poisoned = false
  /** Queued commands in order, for another connection; undefined when they are too many bytes. */
  #queue: Buffer[] | undefined = []
  #queuedBytes = 0
  #acknowledged = false
  /** Something that may enter the replication stream is queued: EXEC waits while writes are paused. */
  replicates = false
  /** CLIENT PAUSE and UNPAUSE that are queued: they are about us, and begin when EXEC has succeeded. */
  readonly #pauses: (PauseRequest | 'unpause')[] = []
  /** Slots of what was queued; undefined: any key. */
  #slots: number[] | undefined = []
  /** Commands that the instance has queued, and which of them are SELECT. */
  #accepted = 0
  readonly #selects: { readonly at: number; readonly db: number }[] = []
  /** CLIENT SETNAME that is queued. */
  #name: Bytes | undefined
  /** Who must have what it writes before EXEC is answered. */
  #acks: Acks | undefined

  constructor(private readonly session: Session) {}

  /** The first command outside of a transaction. */
  static begin(session: Session, request: Request, call: Call, decoder: Decoder): void {
    switch (call.name) {
      case 'exec':
        return session.fail(request, 'ERR EXEC without MULTI')
      case 'discard':
        return session.fail(request, 'ERR DISCARD without MULTI')
      case 'unwatch': {
        session.begin(request).ok()
        return session.finish(request)
      }
      default: {
        const upstream = session.alone.lend(request, decoder)
        if (upstream === undefined) return
        const transaction = new Transaction(session)
        transaction.upstream = upstream
        session.transaction = transaction
        request.effect = call.name === 'multi' ? 'multi' : 'watched'
        return transaction.dispatch(request, call, decoder)
      }
    }
  }

  /** A command was refused before it came here: EXEC will abort. */
  spoil(): void {
    if (this.#multi) this.#refused = true
  }

  /** It is open, and will not be executed. */
  beginInVain(why: Bytes): void {
    this.abandon()
    this.#multi = this.#refused = true
    this.#vain = why
  }

  get queueing(): boolean {
    return this.#multi
  }

  get watching(): boolean {
    return this.#watching
  }

  owns(request: Request): boolean {
    return OURS.has(request.effect)
  }

  /** False when the command has nothing to do with it and is handled as ever. */
  take(request: Request, call: Call, decoder: Decoder): boolean {
    if (!this.#multi) {
      const local = call.handling === 'local' || call.handling === 'refused'
      if (local || call.handling === 'relay' || call.handling === 'subscribe' || call.handling === 'monitor')
        return false
      const unwatches = call.name === 'unwatch' && isComplete(call, decoder)
      request.effect = call.name === 'multi' ? 'multi' : unwatches ? 'unwatch' : 'watched'
      if (call.name === 'exec' || call.name === 'discard') request.effect = 'none'
      if (request.effect === 'none') this.session.fail(request, `ERR ${call.name.toUpperCase()} without MULTI`)
      else this.dispatch(request, call, decoder)
      return true
    }
    if (
      NOT_QUEUED.has(call.name) ||
      this.#isOfConnection(call, decoder) ||
      call.handling === 'relay' ||
      call.handling === 'subscribe' ||
      call.spec?.flags.has('no_multi') === true ||
      (call.handling === 'local' && call.name.startsWith('acl'))
    ) {
      this.#refused = true
      const isNoWhere = call.spec?.flags.has('no_multi') === true
      const shown = call.name.split('|')[0]?.toUpperCase()
      this.session.fail(request, isNoWhere ? NO_MULTI : `ERR ${shown} is not allowed in transactions`)
      return true
    }
    // One with too many words spoils the transaction, and does not end it.
    const discards = call.name === 'discard' && isComplete(call, decoder)
    request.effect = call.name === 'exec' ? 'exec' : discards ? 'discard' : 'queued'
    this.dispatch(request, call, decoder)
    return true
  }

  /** The instance would do it to the connection that is lent, or to those of others. */
  #isOfConnection(call: Call, decoder: Decoder): boolean {
    return call.name === 'client' && decoder.argc > 1 && NOT_QUEUED_OF_CLIENT.test(decoder.arg(1))
  }

  /** The client was told something else than that a command was queued: EXEC must not succeed. */
  refuse(): void {
    this.#refused = true
  }

  /** Sends a command of the transaction, or keeps it until there is a master to send it to. */
  dispatch(request: Request, call: Call, decoder: Decoder): void {
    const { session } = this
    if (this.#vain !== undefined) return this.#answerInVain(request, this.#vain)
    const refusal = session.group.confirming.refusalOf(session, call)
    if (refusal !== undefined) {
      this.spoil()
      return session.fail(request, refusal)
    }
    if (request.effect === 'exec' && (this.#refused || this.#watchLost)) return this.#answerExec(request, decoder)
    if (this.poisoned && request.effect === 'exec') {
      if (!session.isFirst(request)) return session.stall(request, decoder)
      this.#moveAway()
    }
    const upstream = this.#ready(request, decoder)
    if (upstream === undefined) return
    switch (request.effect) {
      case 'multi':
        session.group.sendAside(upstream, session, request, call, decoder)
        upstream.inMulti = true
        this.#multi = true
        return
      case 'queued':
        this.#noteQueued(call, decoder)
        return session.group.sendAside(upstream, session, request, call, this.#forInstance(call, decoder))
      case 'exec':
        return this.#exec(upstream, request, call, decoder)
      case 'discard':
      case 'unwatch':
        session.group.sendAside(upstream, session, request, call, decoder)
        upstream.inMulti = false
        return session.awaitAnswers()
      default:
        return this.#beforeMulti(upstream, request, call, decoder)
    }
  }

  #beforeMulti(upstream: Upstream, request: Request, call: Call, decoder: Decoder): void {
    const { session } = this
    const { group } = session
    if (call.name === 'watch') return group.sendAside(upstream, session, request, call, decoder)
    if (call.handling === 'read') {
      group.counters.route('transaction')
      return group.sendAside(upstream, session, request, call, decoder)
    }
    group.sendToMaster(upstream, session, request, call, decoder)
    if (call.handling === 'blocking') session.awaitAnswers()
  }

  #exec(upstream: Upstream, request: Request, call: Call, decoder: Decoder): void {
    const { group } = this.session
    if (this.#slots === undefined || this.#slots.length > 0) group.raiseSlots(upstream, this.#slots)
    if (this.#acks !== undefined) group.confirming.expect(upstream.flight(group.marks), request, this.#acks)
    group.sendToMaster(upstream, this.session, request, call, decoder)
    upstream.inMulti = false
    this.session.awaitAnswers()
  }

  /** What is queued is told why it is not; where nothing was, EXEC is. */
  #answerInVain(request: Request, why: Bytes): void {
    const { session } = this
    const untold = !this.#vainTold
    const text = request.effect === 'exec' && !untold ? ABORTED : why
    this.#vainTold = true
    if (request.effect !== 'discard') return session.fail(request, text)
    // What follows is told of it.
    if (untold && why === LOST_WRITE) session.lost = true
    this.#end()
    session.begin(request).ok()
    session.finish(request)
  }

  /** EXEC that cannot succeed: its connection is given up, whatever is queued on it. */
  #answerExec(request: Request, decoder: Decoder): void {
    const { session } = this
    if (!session.isFirst(request)) return session.stall(request, decoder)
    this.#end()
    if (this.#refused) return session.fail(request, ABORTED)
    session.begin(request).nullArray()
    session.finish(request)
  }

  /** The connection, with everything on it that had been queued on the last one; undefined: the request is kept. */
  #ready(request: Request, decoder: Decoder): Upstream | undefined {
    const { session } = this
    const current = this.upstream
    // Queueing changes nothing, so it goes on while writes are held.
    const harmless = request.effect !== 'exec' && (this.#multi || !request.call?.writes)
    if (current !== undefined) {
      if (current.confirmed && (harmless || !session.group.holding)) return current
      session.group.keep(session, request, decoder)
      return undefined
    }
    const upstream = session.alone.lend(request, decoder)
    if (upstream === undefined) return undefined
    this.upstream = upstream
    if (this.#acknowledged) this.#replay(upstream)
    return upstream
  }

  #replay(upstream: Upstream): void {
    upstream.select(this.session.db)
    upstream.tell(MULTI)
    upstream.inMulti = true
    for (const bytes of this.#queue ?? []) upstream.tell(bytes)
    this.session.group.counters.healed('MULTI')
  }

  /** What is queued at the instance in the place of a command that it must not have. */
  #forInstance(call: Call, decoder: Decoder): Decoder {
    if (call.handling === 'refused') return this.#instead(refusing(call.name))
    if (this.#notesPause(call, decoder) || this.#notesName(call, decoder)) return this.#instead(SETNAME)
    const known = this.#knownHere(call, decoder)
    return known === undefined ? decoder : this.#instead(known)
  }

  /** What a connection says about itself is said of the client's, not of the one that is lent. */
  #notesName(call: Call, decoder: Decoder): boolean {
    if (call.name !== 'client' || decoder.argc !== 3 || decoder.arg(1).toUpperCase() !== 'SETNAME') return false
    const name = decoder.arg(2)
    // The instance will say what is wrong.
    if (!isPrintable(name)) return false
    this.#name = name
    return true
  }

  #knownHere(call: Call, decoder: Decoder): Buffer | undefined {
    if (call.name !== 'client' || decoder.argc !== 2) return undefined
    const { session } = this
    switch (decoder.arg(1).toUpperCase()) {
      case 'ID':
        return encodeCommand(['EVAL', 'return tonumber(ARGV[1])', '0', String(session.id)])
      case 'GETNAME':
        return encodeCommand(['EVAL', "return ARGV[1] ~= '' and ARGV[1]", '0', this.#name ?? session.name])
      default:
        return undefined
    }
  }

  #instead(bytes: Buffer): Decoder {
    const { reader } = this.session.hub
    reader.feed(bytes)
    reader.nextRequest()
    return reader
  }

  /**
   * CLIENT PAUSE is about all clients of the proxy. Done to the instance alone it would freeze connections that many of
   * them share.
   */
  #notesPause(call: Call, decoder: Decoder): boolean {
    if (call.name !== 'client' || decoder.argc < 2 || decoder.argc > 4) return false
    const args = decoder.args()
    const word = (args[1] as Bytes).toUpperCase()
    const isPause = word === 'PAUSE' && args.length > 2
    if (!isPause && (word !== 'UNPAUSE' || args.length > 2)) return false
    const order = isPause ? pauseOf(args) : 'unpause'
    // The instance will say what is wrong.
    if (order !== 'unpause' && 'error' in order) return false
    this.#pauses.push(order)
    return true
  }

  #beginPauses(): void {
    const { hub } = this.session
    for (const order of this.#pauses) {
      if (order === 'unpause') hub.unpauseClients(() => undefined)
      else hub.pauseClients(order, () => undefined)
    }
  }

  #noteQueued(call: Call, decoder: Decoder): void {
    this.replicates ||= this.session.hub.pause.mayReplicate(call, decoder)
    if (!call.writes) return
    if (call.marking !== 'none') this.#acks = strictest(this.#acks, this.session.rules.acks)
    if (this.#slots === undefined) return
    const slots = this.session.group.writtenSlots(call, decoder)
    if (slots === undefined) this.#slots = undefined
    else this.#slots.push(...slots)
  }

  // ── Answers ───────────────────────────────────────────────────────────────────────────────────────────────────────

  onReply(request: Request, buffer: Buffer, start: number, end: number): void {
    const first = buffer[start]
    switch (request.effect) {
      case 'multi':
        this.#acknowledged = first === PLUS
        if (!this.#acknowledged) this.#notBegun()
        return
      case 'queued':
        if (first === PLUS) this.#noteAccepted(request)
        else if (this.poisoned) this.#refused = true
        else if (!HARMLESS_IN_MULTI.has(request.call?.name ?? '')) this.#spoiltThere = true
        return
      case 'watched':
        if (request.call?.name === 'watch' && first === PLUS) this.#watching = true
        return
      case 'exec':
        if (first === STAR && buffer[start + 1] !== DASH) {
          if (this.#selects.length > 0) this.#follow(itemsOf(decodeFrame(buffer, start, end)))
          if (this.#name !== undefined) this.#rename(this.#name)
          this.#beginPauses()
        }
        return this.#over()
      default:
        // What is queued or watched there is queued or watched still.
        if (first === DASH) return this.#end()
        return this.#over()
    }
  }

  #noteAccepted(request: Request): void {
    this.#keepBytes(request.bytes)
    const at = this.#accepted++
    if (request.call?.name !== 'select') return
    const db = databaseOf(reread(this.session.hub.reader, request).arg(1))
    if (db !== undefined) this.#selects.push({ at, db })
  }

  /** SELECT was part of it: each has an answer of its own, and the last that succeeded counts. */
  #follow(answers: readonly Frame[]): void {
    for (const { at, db } of this.#selects) {
      if (textOf(answers[at]) !== 'OK') continue
      this.session.db = db
      if (this.upstream !== undefined) this.upstream.db = db
    }
  }

  #rename(name: Bytes): void {
    this.session.name = name
    this.session.regard()
  }

  #keepBytes(bytes: Buffer): void {
    this.#queuedBytes += bytes.length
    if (this.#queuedBytes > this.session.hub.options.maxReplayBytes) this.#queue = undefined
    this.#queue?.push(Buffer.from(bytes))
  }

  #over(): void {
    this.session.transaction = undefined
    if (this.upstream !== undefined) this.session.alone.giveBack(this.upstream)
    this.upstream = undefined
  }

  // ── Failure ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The instance says that it did not execute the request, as it is no master or does not serve. */
  onRefused(request: Request): boolean {
    const { session } = this
    if (request.effect === 'queued') {
      this.poisoned = true
      this.#noteAccepted(request)
      session.begin(request).simple('QUEUED' as Bytes)
      session.finish(request)
      return true
    }
    session.group.keepAgain(session, request)
    this.#moveAway()
    return true
  }

  /** One of its commands got an error from us: it will not be executed, or nobody knows. */
  onFailed(request: Request): void {
    switch (request.effect) {
      case 'queued':
        this.#refused = true
        return
      case 'multi':
        return this.#notBegun()
      case 'exec':
      case 'discard':
      case 'unwatch':
        return this.#end()
      default:
    }
  }

  /** MULTI was refused: what follows is no transaction. */
  #notBegun(): void {
    this.#multi = false
    if (this.upstream !== undefined) this.upstream.inMulti = false
    if (!this.#watching) this.#over()
  }

  /** Whatever is queued on its connection is given up with it. */
  #end(): void {
    this.abandon()
    if (this.session.transaction === this) this.session.transaction = undefined
  }

  /** Gives the connection up; what is in flight on it comes back by `onLost`. */
  #moveAway(): void {
    this.poisoned = false
    this.upstream?.close('not-master')
  }

  onLost(pending: readonly Request[]): void {
    const { session } = this
    this.upstream = undefined
    if (this.#watching) this.#watchLost = true
    // Queued again it would be another transaction.
    if (this.#queue === undefined || this.#spoiltThere) this.#refused = true
    // What may have been executed as a whole is not begun again for the sake of its parts.
    const inDoubt = pending.some(
      request => request.effect === 'exec' && Upstream.handedOver(request) && this.#mayHaveChanged(request),
    )
    for (const request of pending) {
      const handed = Upstream.handedOver(request)
      if (session.closed) session.hub.tools.requests.give(request)
      else if (inDoubt && (request.effect === 'multi' || request.effect === 'queued')) this.#answerPart(request)
      else if (handed && this.#mayHaveChanged(request)) {
        if (request.effect === 'exec') session.transaction = undefined
        session.fail(request, UNKNOWN_RESULT)
      } else session.group.keepAgain(session, request)
    }
  }

  #answerPart(request: Request): void {
    this.session.begin(request).simple(request.effect === 'multi' ? 'OK' : 'QUEUED')
    this.session.finish(request)
  }

  #mayHaveChanged(request: Request): boolean {
    if (request.effect === 'exec') return this.#slots === undefined || this.#slots.length > 0 || !this.#watchLost
    return request.effect === 'watched' && request.call?.name !== 'watch' && request.call?.writes === true
  }

  /** The client is gone, or wants nothing of it any more. */
  abandon(): void {
    const { upstream } = this
    this.upstream = undefined
    if (upstream !== undefined) this.session.alone.discard(upstream)
  }
}

/** Not refused for the number of its words. */
function isComplete({ argcMin, argcMax }: Call, { argc }: Decoder): boolean {
  return argc >= argcMin && argc <= argcMax
}
