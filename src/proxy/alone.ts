/**
 * The connection that a session has for one command at a time: one that may wait (BLPOP), or that must not stand in a
 * queue with others (DEBUG, SCRIPT KILL). A transaction is lent it for as long as it lasts.
 *
 * While it is out nothing else of the session is taken. When it is lost, or the instance wakes the command up because it is
 * master no more, the command is sent again with the time that is left.
 */
import type { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import type { Call } from '../routing/calls.js'
import { UNKNOWN_RESULT } from '../routing/errors.js'
import { LastIds } from './last-ids.js'
import { errorText, keepBytes, type Request, reread } from './request.js'
import type { Session } from './session.js'
import { shorten } from './timeouts.js'
import { Upstream } from './upstream.js'

const DASH = 0x2d

export class Alone {
  /** Lent, and either in use or waiting to be confirmed. */
  upstream: Upstream | undefined = undefined
  readonly #lastIds = new LastIds()

  constructor(private readonly session: Session) {}

  /** What may wait reads keys, too, or takes them: while it is remembered what the session reads, that connection must have it. */
  #borrowFor(request: Request, call: Call, decoder: Decoder): Upstream | undefined {
    const { tracking } = this.session
    if (tracking === undefined || call.handling !== 'blocking') return this.borrowConfirmed(request, decoder)
    return tracking.lend(request, decoder)
  }

  /** Lends a connection that may carry writes; undefined: the request was kept or refused. */
  borrowConfirmed(request: Request, decoder: Decoder): Upstream | undefined {
    const { session } = this
    const { group } = session
    // One to a master of before will never be confirmed, and closes only after a while.
    if (this.upstream !== undefined && !group.lent.isOfMaster(this.upstream)) this.abandon()
    const upstream = this.upstream ?? group.lent.borrow(session)
    if (upstream?.confirmed && !(group.holding && request.call?.writes)) return upstream
    // First, as a request that cannot be kept gives it back.
    if (upstream !== undefined) this.upstream = upstream
    if (upstream === undefined && group.lent.exhausted) {
      session.turnAway(request, 'ERR max number of connections of their own reached')
    } else group.keep(session, request, decoder)
    return undefined
  }

  /** The request is the first of its session. */
  send(request: Request, call: Call, decoder: Decoder): void {
    const { session } = this
    const { group } = session
    const refusal = group.confirming.refusalOf(session, call)
    if (refusal !== undefined) return session.fail(request, refusal)
    request.effect = 'pinned'
    // SCRIPT KILL comes when the instance answers nothing else, not even who it is; elsewhere it does no harm.
    const urgent = call.handling === 'alone' && call.name.includes('|')
    const upstream = urgent ? (this.upstream ?? group.lent.borrow(session)) : this.#borrowFor(request, call, decoder)
    if (upstream === undefined) {
      if (urgent) group.keep(session, request, decoder)
      return
    }
    this.upstream = upstream
    session.awaitAnswers()
    session.lastBecause = 'blocking'
    const mayRefuse = upstream.db !== request.db && group.master?.isBusy(session.hub.tools.time.now)
    if (mayRefuse && !urgent) this.#sendAfterSelect(upstream, request, call, decoder)
    else this.#sendOn(upstream, request, call, decoder)
  }

  #sendOn(upstream: Upstream, request: Request, call: Call, decoder: Decoder): void {
    const { session } = this
    if (call.name === 'xread') {
      // A connection that remembers what is read is to remember nothing that the client did not ask for.
      const asked =
        upstream === session.tracking?.upstream ? session.group.master?.existingLane(session.resp) : upstream
      asked?.select(request.db)
      if (asked !== undefined) this.#lastIds.ask(asked, decoder.args())
    }
    session.group.sendToMaster(upstream, session, request, call, decoder)
  }

  /**
   * A busy instance refuses SELECT, and by the time it reads what is behind that it may be free again, and execute it in a
   * database that was not meant. So SELECT is answered first; what it is refused for is the command's answer. Only then: it
   * takes a round trip, in which what others ask overtakes the command.
   */
  #sendAfterSelect(upstream: Upstream, request: Request, call: Call, decoder: Decoder): void {
    const { session } = this
    const { group, hub } = session
    keepBytes(request, decoder, hub.tools.blocks)
    // In nobody's queue: it is its session's to drop.
    request.state = 'new'
    const answered = ({ buffer, start, end }: Decoder): void => {
      if (buffer[start] === DASH) {
        const text = errorText(buffer, start, end)
        this.free()
        return session.fail(request, text)
      }
      upstream.db = request.db
      this.#sendOn(upstream, request, call, reread(hub.reader, request))
    }
    upstream.ask(
      encodeCommand(['SELECT', String(request.db)]),
      decoder => {
        if (!session.closed) answered(decoder)
      },
      () => {
        if (!session.closed) group.keepAgain(session, request)
      },
    )
  }

  /** A connection for MULTI and WATCH; undefined: the request was kept. What is read on it must be remembered, too. */
  lend(request: Request, decoder: Decoder): Upstream | undefined {
    const { tracking } = this.session
    if (tracking !== undefined) return tracking.lend(request, decoder)
    const upstream = this.borrowConfirmed(request, decoder)
    if (upstream !== undefined) this.upstream = undefined
    return upstream
  }

  giveBack(upstream: Upstream): void {
    const { tracking, group } = this.session
    if (upstream !== tracking?.upstream) group.lent.giveBack(upstream)
  }

  /** Its state is not clean. */
  discard(upstream: Upstream): void {
    const { tracking, group } = this.session
    if (upstream === tracking?.upstream) tracking.restart()
    else group.lent.discard(upstream)
  }

  /** Its answer is there: the connection goes back. */
  free(): void {
    const { upstream } = this
    this.upstream = undefined
    if (upstream !== undefined) this.giveBack(upstream)
  }

  /** The instance says that it has not executed the request. */
  onRefused(upstream: Upstream, request: Request, meaning: 'not-master' | 'not-serving' | 'unblocked'): void {
    if (meaning === 'unblocked') this.#waitOn(request)
    if (this.upstream === upstream) this.free()
    this.session.group.keepAgain(this.session, request)
  }

  /** The connection is gone, and these were on it. */
  onLost(pending: readonly Request[]): void {
    const { session } = this
    for (const request of pending) {
      const handed = Upstream.handedOver(request)
      if (session.closed) session.hub.tools.requests.give(request)
      else if (handed && (request.call?.writes || request.attempts++ > 0)) session.fail(request, UNKNOWN_RESULT)
      else {
        if (request.call?.handling === 'blocking') this.#waitOn(request)
        session.group.keepAgain(session, request)
      }
    }
  }

  /** A command that waited is sent again with the time that is left, for what it waited for. */
  #waitOn(request: Request): void {
    const { tools, reader } = this.session.hub
    const args = reread(reader, request).args()
    const isShorter = shorten(args, tools.time.now - request.sentAt)
    if (!this.#lastIds.put(args) && !isShorter) return
    const bytes = encodeCommand(args)
    request.block?.release()
    request.block = tools.blocks.single(bytes, 0, bytes.length)
    request.start = 0
    request.end = bytes.length
    // The hold's time begins now: it has been waiting for data until here, not for a master.
    request.keptAt = 0
  }

  /** That which remembers what was read goes with the tracking. */
  abandon(): void {
    const { upstream, session } = this
    this.upstream = undefined
    if (upstream !== undefined && upstream !== session.tracking?.upstream) session.group.lent.discard(upstream)
  }
}
