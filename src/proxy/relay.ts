/**
 * SYNC and PSYNC: the client becomes a replica of the master. From here on bytes go both ways as they are.
 *
 *     client ──REPLCONF …──▶ +OK, remembered      client ──PSYNC──▶ a connection of its own: AUTH, REPLCONF …, PSYNC
 *
 * What is said before its own bytes is answered by the master with one line each; those lines are dropped. Such a client
 * can write nothing: a master refuses commands of its replicas. Whoever reads too slowly has the other side wait.
 */
import { connect, type Peer, type PeerHandler } from '../net/peer.js'
import type { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import type { Request } from './request.js'
import type { Session } from './session.js'

/** What a client may announce of itself before it asks. */
const ANNOUNCED_MAX = 16
const ANNOUNCED_BYTES_MAX = 1024
const LF = 0x0a

/** REPLCONF is remembered and answered, the others begin the relay. The request is the first of its session. */
export function relay(session: Session, request: Request, decoder: Decoder): void {
  if (request.call?.name === 'replconf') return announce(session, request, decoder)
  const { group, hub } = session
  const { master } = group
  if (master === undefined || !master.sharedIsConfirmed) return group.keep(session, request, decoder)
  const { upstreamUsername: username, upstreamPassword: password } = hub.options
  const before = [...session.announced]
  if (password) before.unshift(encodeCommand(['AUTH', ...(username ? [username] : []), password]))
  const asked = Buffer.from(decoder.buffer.subarray(decoder.start, decoder.end))
  // It is never answered by us, so nothing else of the session is ever taken.
  session.awaitAnswers()
  group.counters.command(request.call ?? hub.calls.unknown, 'master')
  session.peer.handler = new Relay(session, master.view, before, asked)
}

function announce(session: Session, request: Request, { buffer, start, end }: Decoder): void {
  if (session.announced.length >= ANNOUNCED_MAX || end - start > ANNOUNCED_BYTES_MAX) {
    return session.fail(request, 'ERR too much is announced')
  }
  session.announced.push(Buffer.from(buffer.subarray(start, end)))
  session.begin(request).ok()
  session.finish(request)
}

class Relay implements PeerHandler {
  readonly #master: Peer
  /** Answers to what was said before the client's own bytes. */
  #linesToDrop: number

  constructor(
    private readonly session: Session,
    to: { readonly host: string; readonly port: number },
    before: readonly Buffer[],
    private readonly asked: Buffer,
  ) {
    const { peer } = session
    this.#linesToDrop = before.length
    const timeoutMs = session.hub.options.connectTimeoutMs
    this.#master = connect(
      to,
      {
        onOpen: () => this.#master.writeThrough(before.length > 0 ? Buffer.concat(before) : asked),
        onData: chunk => this.#toClient(chunk),
        onDrain: () => peer.resume(),
        onClose: () => peer.end(),
      },
      { timeoutMs, tls: session.hub.tools.tls },
    )
  }

  #toClient(chunk: Buffer): void {
    let start = 0
    while (this.#linesToDrop > 0) {
      const end = chunk.indexOf(LF, start)
      if (end < 0) return
      start = end + 1
      // Not sooner: a master refuses to begin while answers of its own are on the way.
      if (--this.#linesToDrop === 0) this.#master.writeThrough(this.asked)
    }
    this.#pass(this.session.peer, chunk, start, this.#master)
  }

  #pass(to: Peer, chunk: Buffer, start: number, from: Peer): void {
    to.out.raw(chunk, start, chunk.length)
    if (to.queuedBytes > this.session.hub.options.softQueuedBytes) {
      to.flush()
      if (to.queuedBytes > 0) from.pause()
    } else to.flushSoon()
  }

  // ── The client's side ─────────────────────────────────────────────────────────────────────────────────────────────

  onData(chunk: Buffer): void {
    this.session.lastAt = this.session.hub.tools.time.update()
    this.#pass(this.#master, chunk, 0, this.session.peer)
  }

  onDrain(): void {
    this.#master.resume()
  }

  onClose(reason: string): void {
    this.#master.destroy('client-gone')
    this.session.onClose(reason)
  }
}
