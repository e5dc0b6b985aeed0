/**
 * The control socket: a unix socket on which a supervisor and its workers talk in RESP, three bulks a message:
 *
 *     <kind> <id> <JSON body>         id 0: a notice; otherwise a question, answered by `reply <id> <body>`
 *
 * One reader, one writer and one set of limits serve clients, upstreams and this.
 */
import type { Bytes, Millis } from '../../base/units.js'
import { connect, listen, type Peer, type PeerHandler } from '../../net/peer.js'
import { Decoder } from '../../resp/decoder.js'
import { ProtocolError, requestLimits } from '../../resp/protocol.js'

/** What the other end may say; answers to questions are returned (or promised) by the handler. */
export interface ChannelHandler {
  /** A notice, or a question whose answer is what this returns. An exception or rejection closes the channel. */
  onMessage(kind: Bytes, body: unknown): unknown
  onClose(reason: string): void
}

interface Question {
  readonly settle: (body: unknown) => void
  readonly fail: (error: Error) => void
  readonly deadline: NodeJS.Timeout
}

/** A view of a hundred instances is some 30 KiB; what waits beyond this belongs to an end that has stopped reading. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024

export class Channel implements PeerHandler {
  readonly #decoder = new Decoder({ ...requestLimits })
  readonly #questions = new Map<number, Question>()
  #peer: Peer | undefined
  #lastId = 0
  #closed = false

  constructor(private readonly handler: ChannelHandler) {}

  get closed(): boolean {
    return this.#closed
  }

  /** The peer that carries this channel; given once, right after both exist. */
  attach(peer: Peer): void {
    this.#peer = peer
  }

  tell(kind: Bytes, body: unknown): void {
    this.#send(kind, 0, body)
  }

  /** Asks and waits; rejects when the channel closes or `timeoutMs` passes. */
  ask(kind: Bytes, body: unknown, timeoutMs: Millis): Promise<unknown> {
    return new Promise((settle, fail) => {
      if (this.#closed) return fail(new Error('channel closed'))
      const id = ++this.#lastId
      const deadline = setTimeout(() => {
        this.#questions.delete(id)
        fail(new Error(`no answer to ${kind}`))
      }, timeoutMs)
      this.#questions.set(id, { settle, fail, deadline })
      this.#send(kind, id, body)
    })
  }

  close(reason: string): void {
    this.#peer?.destroy(reason)
  }

  onData(chunk: Buffer): void {
    this.#decoder.feed(chunk)
    try {
      while (this.#decoder.nextRequest()) this.#receive()
    } catch (error) {
      if (!(error instanceof ProtocolError) && !(error instanceof SyntaxError)) throw error
      this.close(`bad message: ${error.message}`)
    }
    this.#decoder.release()
  }

  onClose(reason: string): void {
    this.#closed = true
    for (const question of this.#questions.values()) {
      clearTimeout(question.deadline)
      question.fail(new Error(`channel closed: ${reason}`))
    }
    this.#questions.clear()
    this.handler.onClose(reason)
  }

  #receive(): void {
    const decoder = this.#decoder
    if (decoder.argc !== 3) throw new ProtocolError('a message has three parts')
    const kind = decoder.arg(0)
    const id = Number(decoder.arg(1))
    const text = decoder.buffer.toString('utf8', decoder.argStart[2], decoder.argEnd[2])
    const body: unknown = text === '' ? undefined : JSON.parse(text)
    if (kind === 'reply') return this.#settle(id, body)

    const answer = this.handler.onMessage(kind, body)
    if (id === 0) return
    Promise.resolve(answer).then(
      result => this.#send('reply', id, result),
      (error: unknown) => this.close(`failed to answer ${kind}: ${String(error)}`),
    )
  }

  #settle(id: number, body: unknown): void {
    const question = this.#questions.get(id)
    if (question === undefined) return
    this.#questions.delete(id)
    clearTimeout(question.deadline)
    question.settle(body)
  }

  #send(kind: Bytes, id: number, body: unknown): void {
    if (this.#closed || this.#peer === undefined) return
    const text = body === undefined ? '' : JSON.stringify(body)
    this.#peer.out.command([kind, String(id), Buffer.from(text, 'utf8')])
    this.#peer.flushSoon()
  }
}

/** Waits for workers on a unix socket; `accept` answers the handler for each one that connects. */
export async function listenForWorkers(
  path: string,
  accept: (channel: () => Channel) => ChannelHandler,
): Promise<{ close(): Promise<void> }> {
  // The mode of the socket follows the umask, and there must be no moment in which others could connect.
  const umask = process.umask(0o177)
  try {
    return await listen({ path }, adopt => {
      let channel: Channel | undefined
      channel = new Channel(accept(() => channel as Channel))
      channel.attach(adopt(channel, { early: true, maxQueuedBytes: MAX_QUEUED_BYTES }))
    })
  } finally {
    process.umask(umask)
  }
}

/** Connects to a supervisor; `onOpen` when it stands, the handler's `onClose` when it fails or ends. */
export function connectToSupervisor(path: string, handler: ChannelHandler & { onOpen(): void }): Channel {
  const channel = new Channel(handler)
  const peer = connect(
    { path },
    {
      onOpen: () => handler.onOpen(),
      onData: chunk => channel.onData(chunk),
      onClose: reason => channel.onClose(reason),
    },
    { early: true, maxQueuedBytes: MAX_QUEUED_BYTES },
  )
  channel.attach(peer)
  return channel
}
