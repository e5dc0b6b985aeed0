/**
 * The replica's side of replication, acting: it owns the connection to the master, performs what the link decides, and
 * applies the stream.
 *
 *     lines ──▶ handshake, preamble      payload ──▶ snapshot being received      stream ──▶ commands
 *
 * The bytes of the stream go to our backlog, and so to the replicas that follow us, exactly as they came; offsets count
 * them. Inside MULTI nothing moves until EXEC: who continues from an offset must never land within a transaction.
 */
import { type Address, formatAddress } from '../base/address.js'
import { unreachable } from '../base/invariant.js'
import type { Bytes, Millis, Offset } from '../base/units.js'
import { collectYoung } from '../base/young-generation.js'
import { type CommandSpec, checkArity } from '../command/table.js'
import { connect, type Peer } from '../net/peer.js'
import type { Cursor } from '../replication/history.js'
import {
  beginLink,
  defaultLinkOptions,
  type Link,
  type LinkEffect,
  type LinkEvent,
  type LinkFailure,
  type LinkOptions,
  step,
} from '../replication/link.js'
import { PayloadReader } from '../replication/payload.js'
import { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import { ProtocolError, requestLimits } from '../resp/protocol.js'
import { Applier } from './apply.js'
import { Audience } from './effects.js'
import type { IncomingSnapshot } from './loading.js'
import type { NodeServer } from './server.js'

const NOTHING = Buffer.alloc(0)
/**
 * While CLIENT PAUSE or a busy script lasts, so much of the stream is kept here; the rest stays with the master, as with
 * any slow replica.
 */
const HELD_BYTES = 64 * 1024 * 1024
/**
 * A snapshot or the stream, between two looks at everybody else. Both are bounded: bytes that are read at once, and time for
 * what is done with them, as the first thousand commands of a kind take many times as long as those that come later.
 */
const TURN_BYTES = 64 * 1024
const TURN_MS: Millis = 2
/** All of a snapshot stays: if much of it were let pile up, moving it would take long. */
const COLLECT_BYTES = 64 * 1024
/** How often the time is looked at. */
const PIECE_BYTES = 8 * 1024
const PIECE_COMMANDS = 16

interface StreamedCommand {
  readonly spec: CommandSpec
  readonly args: readonly Bytes[]
}

export class Follower {
  link: Link
  /** Since when we are without a link that we had, to whichever master; undefined while connected, and before the first. */
  downSince: Millis | undefined
  lastIoAt: Millis
  #peer: Peer | undefined
  /** Invalidates what a former connection still calls. */
  #generation = 0
  #decoder = new Decoder({ ...requestLimits })
  #payload: PayloadReader | undefined
  #incoming: IncomingSnapshot | undefined
  /** Our master as the engine sees it. */
  readonly #caller: Applier
  #transaction: StreamedCommand[] | undefined
  /** Bytes of the stream that belong to the open transaction. */
  #held: Buffer[] = []
  /** What we hold is of no history that could be continued. */
  #cursorLost: boolean
  #handling = false
  readonly #queue: LinkEvent[] = []
  #stopped = false
  /** Since this order to follow it, the master has given us what it had. */
  #hasFollowed = false
  #turnEndsAt: Millis = 0
  #inTurn = false
  /** Bytes of the snapshot since what was made of them was last moved away. */
  #uncollected = 0
  #goingOn = false

  /** `mayContinue`: our data belongs to the present history, so a partial resync may be tried. */
  constructor(
    private readonly server: NodeServer,
    readonly master: Address,
    mayContinue: boolean,
    /** We hand over to this master: it becomes one by our asking, and only the first time. */
    private takeover = false,
    /** Whom we have followed until now. */
    before?: Follower,
  ) {
    const now = server.clock.now()
    this.link = beginLink(now)
    this.lastIoAt = now
    this.downSince = before?.connected === true ? now : before?.downSince
    this.#cursorLost = !mayContinue
    this.#caller = new Applier(server)
    if (mayContinue) this.#caller.select(server.repl.stream.selectedDb ?? 0)
  }

  get connected(): boolean {
    return this.link.status === 'connected'
  }

  /** The stream's database so far, for `repl-stream-db` of a snapshot. */
  get db(): number {
    return this.#caller.db
  }

  /** Bytes of the snapshot that is being received: -1 in all before it has begun, 0 when its length is not known before. */
  get transferred(): { readonly total: number; readonly read: number } {
    return { total: this.#payload?.length ?? -1, read: this.#payload?.received ?? 0 }
  }

  /** Of the stream, applied or not. */
  get readOffset(): Offset {
    const { offset } = this.server.repl.log.history
    if (!this.connected) return offset
    return this.#held.reduce((sum, { length }) => sum + length, offset + this.#decoder.pending)
  }

  get peer(): Peer | undefined {
    return this.#peer
  }

  /** Lets go of the master; nothing of it is applied any more. */
  stop(reason: string): void {
    this.#stopped = true
    this.#closePeer(reason)
  }

  /** Every timer, socket callback and command ends up here. */
  handle(event: LinkEvent): void {
    this.#queue.push(event)
    if (this.#handling) return
    this.#handling = true
    for (let next = this.#queue.shift(); next !== undefined && !this.#stopped; next = this.#queue.shift()) {
      const before = this.link
      const now = this.server.clock.now()
      const { link, effects } = step(before, next, this.#cursor(), this.#options(), now)
      this.link = link
      if ('lastIoAt' in link) this.lastIoAt = link.lastIoAt
      if (link.status !== before.status) this.#transition(before, link, now)
      for (const effect of effects) this.#perform(effect)
    }
    this.#handling = false
  }

  #transition(before: Link, link: Link, now: Millis): void {
    const { log } = this.server
    const master = formatAddress(this.master)
    if (link.status === 'connected') {
      this.downSince = undefined
      this.#hasFollowed = true
    } else if (before.status === 'connected') this.downSince = now
    if (link.status === 'connecting') log.notice(`Connecting to MASTER ${this.master.host}:${this.master.port}`)
    else if (link.status === 'connect' && before.status === 'connected') {
      log.warning(`Connection with master lost. (${link.because})`)
      log.notice(`Reconnecting to MASTER ${master}`)
    } else if (link.status === 'connect' && link.because === 'auth-failed') {
      log.warning('Unable to AUTH to MASTER: masterauth or masteruser is wrong')
    } else if (link.status === 'connect' && /^(connect|handshake|transfer)-timeout$/.test(link.because)) {
      log.warning(`Timeout connecting to the MASTER ${master} (${link.because})`)
    } else if (link.status === 'connect') log.event('warn', '-link', { master, because: link.because })
    else if (link.status === 'connected' && before.status === 'handshake') {
      log.notice('MASTER <-> REPLICA sync: Successful partial resynchronization: the master continues our history.')
    }
    this.server.recalm()
  }

  // ── Effects ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #perform(effect: LinkEffect): void {
    const { server } = this
    switch (effect.do) {
      case 'open':
        return this.#open()
      case 'send':
        this.#peer?.out.raw(encodeCommand(effect.command))
        return this.#peer?.flushSoon()
      case 'say-alive':
        this.#peer?.out.raw(Buffer.from('\n'))
        return this.#peer?.flushSoon()
      case 'close':
        return this.#closePeer(effect.reason)
      case 'receive-snapshot':
        this.#payload = new PayloadReader(effect.form)
        this.#incoming = server.loads.receive(effect.form, this.#continuesHistory())
        return
      case 'adopt-history':
        // Those who follow us hold bytes of another history.
        server.repl.dropAll()
        server.repl.log.restart(effect.start ?? { replid: server.newReplid(), offset: 1 })
        server.effects.refresh()
        this.#cursorLost = effect.start === undefined
        return
      case 'switch-history':
        server.log.notice(`Master replication ID changed to ${effect.replid}`)
        server.repl.dropAll()
        server.repl.log.history.switchTo(effect.replid)
        server.aof.offsetMoved()
        return
      case 'apply-stream':
        server.repl.log.keep()
        server.effects.refresh()
        this.#transaction = undefined
        this.#held = []
        return
      case 'forget-cursor':
        this.#cursorLost = true
        return
      case 'finish-failover':
        this.takeover = false
        return server.failover.targetTookOver()
      case 'abort-failover':
        server.failover.abort('Failover target rejected psync request')
        return
      default:
        unreachable(effect)
    }
  }

  #open(): void {
    const generation = ++this.#generation
    const current = (): boolean => generation === this.#generation && !this.#stopped
    this.#decoder = new Decoder({ ...requestLimits })
    this.#peer = connect(
      this.master,
      {
        onOpen: () => {
          if (current()) this.handle({ type: 'opened' })
        },
        onData: chunk => {
          if (current()) this.#receive(chunk)
        },
        onClose: () => {
          if (!current()) return
          this.#letGo()
          this.handle({ type: 'closed' })
        },
      },
      { early: true, turnBytes: TURN_BYTES, tls: this.server.doors.link, localAddress: this.#localAddress },
    )
  }

  /** `bind-source-addr` */
  get #localAddress(): string | undefined {
    const address = this.server.config.text('bind-source-addr')
    return address === '' ? undefined : address
  }

  #closePeer(reason: LinkFailure | string): void {
    const peer = this.#peer
    this.#letGo()
    peer?.destroy(reason)
  }

  #letGo(): void {
    this.#generation++
    this.#goingOn = false
    this.#peer = undefined
    this.#payload = undefined
    this.#incoming?.abandon()
    this.#incoming = undefined
    this.#transaction = undefined
    this.#held = []
  }

  // ── Bytes in ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #receive(chunk: Buffer): void {
    const decoder = this.#decoder
    this.server.stats.replicationInputBytes += chunk.length
    this.#beginTurn()
    decoder.feed(chunk)
    try {
      this.#consume(decoder)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.server.log.warning(`Protocol error from master: ${error.message}`)
      this.handle({ type: 'refused', reason: 'corrupt-stream' })
    }
    decoder.release()
  }

  #consume(decoder: Decoder): void {
    const { link } = this
    if (link.status === 'handshake' || (link.status === 'transfer' && link.phase === 'preamble')) {
      const line = decoder.nextLine()
      if (line === undefined || decoder !== this.#decoder) return
      this.handle({ type: 'line', text: line })
      return this.#consume(decoder)
    }
    if (decoder !== this.#decoder || decoder.pending === 0) return
    if (link.status === 'transfer' && link.phase === 'payload') return this.#consumePayload(decoder)
    if (link.status === 'connected') this.#consumeStream(decoder)
  }

  /** All that is read within one round of the event loop is one turn: the socket may be read many times in it. */
  #beginTurn(): void {
    if (this.#inTurn) return
    this.#inTurn = true
    this.#turnEndsAt = this.server.clock.now() + TURN_MS
    setImmediate(() => {
      this.#inTurn = false
    })
  }

  /**
   * What is left of a turn waits in the decoder; nothing more is read until it is dealt with, in the next turn or `after`
   * something. The first `setImmediate` is still of the round in which the turn began.
   */
  #goOnLater(after?: Promise<void>): void {
    if (this.#goingOn) return
    this.#goingOn = true
    this.#peer?.pause()
    const generation = this.#generation
    const goOn = (): void => {
      if (generation !== this.#generation || this.#stopped) return
      this.#goingOn = false
      this.#peer?.resume()
      this.#receive(NOTHING)
    }
    if (after === undefined) setImmediate(() => setImmediate(goOn))
    else void after.then(goOn)
  }

  get #isTurnOver(): boolean {
    return this.server.clock.now() >= this.#turnEndsAt
  }

  #consumePayload(decoder: Decoder): void {
    const payload = this.#payload
    const incoming = this.#incoming
    const bytes = decoder.take(PIECE_BYTES)
    if (payload === undefined || incoming === undefined || bytes === undefined) return
    this.handle({ type: 'bytes' })
    const part = payload.feed(bytes)
    if (!part.payload.every(piece => incoming.write(piece))) {
      return this.handle({ type: 'refused', reason: 'corrupt-snapshot' })
    }
    if (part.done) return this.#install(decoder, incoming, part.rest.length)
    this.#uncollected += bytes.length
    if (this.#uncollected >= COLLECT_BYTES) {
      this.#uncollected = 0
      collectYoung()
    }
    if (incoming.behind !== undefined) this.#goOnLater(incoming.behind)
    else if (this.#isTurnOver) this.#goOnLater()
    else this.#consume(decoder)
  }

  /** `behind`: what came with the last bytes of the snapshot is the beginning of the stream. */
  #install(decoder: Decoder, incoming: IncomingSnapshot, behind: number): void {
    decoder.giveBack(behind)
    this.handle({ type: 'received' })
    const outcome = incoming.load(this.#isReturn())
    this.#payload = undefined
    this.#incoming = undefined
    if (outcome.refused !== undefined) return this.handle({ type: 'refused', reason: outcome.refused })
    this.#caller.select(0)
    this.#caller.select(outcome.db)
    this.handle({ type: 'loaded' })
    this.#consume(decoder)
  }

  /** The copy that comes belongs to the history that our data have. */
  #continuesHistory(): boolean {
    const { link } = this
    const start = link.status === 'transfer' ? link.start : undefined
    return !this.#cursorLost && start?.replid === this.server.repl.log.history.replid
  }

  /** Our master was another one when we last heard of it: not whoever a command has just told us to follow. */
  #isReturn(): boolean {
    const { link } = this
    const start = link.status === 'transfer' ? link.start : undefined
    return this.#hasFollowed && start?.replid !== this.server.repl.log.history.replid
  }

  /** CLIENT PAUSE or a busy script is over: what has come meanwhile is applied. */
  resume(): void {
    if (!this.connected || this.#peer === undefined) return
    this.#peer.resume()
    this.#receive(NOTHING)
  }

  /** From within a busy script of a client: the master is heard, or found gone. */
  poll(): void {
    if (this.connected) this.#peer?.poll()
  }

  #consumeStream(decoder: Decoder): void {
    const { server } = this
    let applied = 0
    let from = decoder.consumed
    if (server.pause.active || server.scripting.running) return this.#hold(decoder)
    while (decoder === this.#decoder && !server.pause.active && decoder.nextRequest()) {
      const raw = decoder.buffer.subarray(decoder.start, decoder.end)
      if (decoder.consumed - from !== raw.length) throw new ProtocolError('bytes between commands')
      from = decoder.consumed
      this.#apply(decoder.args(), raw)
      if (++applied % PIECE_COMMANDS === 0 && this.#isTurnOver) {
        this.#goOnLater()
        break
      }
    }
    if (applied === 0) return
    this.handle({ type: 'bytes' })
    server.dispatcher.settle()
  }

  /** Paused, or within a script: the master is alive, but nothing of it is applied, and beyond a bound nothing is read. */
  #hold(decoder: Decoder): void {
    this.handle({ type: 'bytes' })
    if (decoder.pending > HELD_BYTES) this.#peer?.pause()
  }

  // ── The stream ────────────────────────────────────────────────────────────────────────────────────────────────────

  #apply(args: readonly Bytes[], raw: Buffer): void {
    const { server } = this
    const name = (args[0] as Bytes).toLowerCase()
    const spec = server.dispatcher.resolve(args)
    if (spec === undefined || !checkArity(spec, args.length)) return this.#refuse(args, raw)
    if (this.#transaction !== undefined && name !== 'exec') {
      // The chunk's memory is used again before EXEC may come.
      this.#held.push(Buffer.from(raw))
      if (name !== 'multi') this.#transaction.push({ spec, args })
      return
    }
    if (name === 'multi') {
      this.#transaction = []
      this.#held.push(Buffer.from(raw))
      return
    }
    if (name === 'exec') return this.#exec(raw)
    this.#run(spec, args)
    this.#endUnit()
    this.#forward(raw)
  }

  /** One command, or what stood between MULTI and EXEC. */
  #endUnit(): void {
    if (this.server.effects.any) this.server.effects.flush()
  }

  #exec(raw: Buffer): void {
    for (const { spec, args } of this.#transaction ?? []) this.#run(spec, args)
    this.#endUnit()
    this.#transaction = undefined
    const held = this.#held
    this.#held = []
    for (const bytes of held) this.#forward(bytes)
    this.#forward(raw)
  }

  #forward(raw: Buffer): void {
    this.server.repl.forward(raw)
  }

  #run(spec: CommandSpec, args: readonly Bytes[]): void {
    const { server } = this
    server.stats.totalCommands++
    server.stats.calls[spec.id] = (server.stats.calls[spec.id] as number) + 1
    switch (spec.name) {
      case 'ping':
        return
      case 'select':
        return this.#select(spec, args)
      case 'publish':
        server.pubsub.publish(args[1] as Bytes, args[2] as Bytes)
        return
      case 'spublish':
        server.pubsub.publishShard(args[1] as Bytes, args[2] as Bytes)
        return
      case 'replconf':
        if ((args[1] as Bytes | undefined)?.toLowerCase() === 'getack') this.#getackSoon()
        return
      default:
        this.#execute(spec, args)
    }
  }

  #select(spec: CommandSpec, args: readonly Bytes[]): void {
    const error = this.#caller.select(Number(args[1]))
    if (error !== undefined) return this.#complain(spec, args, error)
    this.server.repl.stream.continueIn(this.#caller.db)
  }

  /** Those who follow us get our master's own bytes; an AOF of ours is told what came of them. */
  #execute(spec: CommandSpec, args: readonly Bytes[]): void {
    const { effects } = this.server
    const { audience } = effects
    effects.audience = Audience.file
    const error = this.#caller.run(spec, args)
    effects.audience = audience
    if (error !== undefined) this.#complain(spec, args, error)
  }

  /** An error in the stream means that our data and the master's have parted, or that we do not know a command. */
  #complain(spec: CommandSpec, args: readonly Bytes[], error: Bytes): void {
    const { server } = this
    server.stats.unexpectedErrorReplies++
    server.log.warning(
      `== CRITICAL == This replica is sending an error to its master: '${error}' after processing the command '${spec.name}' (${args.length} arguments)`,
    )
  }

  #refuse(args: readonly Bytes[], raw: Buffer): void {
    this.server.stats.unexpectedErrorReplies++
    this.server.log.warning(
      `== CRITICAL == This replica is sending an error to its master: 'ERR unknown command' after processing the command '${args[0]}'`,
    )
    this.#forward(raw)
  }

  /** After its own bytes have been counted: the acknowledgement covers the request. */
  #getackSoon(): void {
    queueMicrotask(() => {
      if (!this.#stopped) this.handle({ type: 'getack' })
    })
  }

  #cursor(): Cursor | undefined {
    return this.#cursorLost ? undefined : this.server.repl.log.history.cursor
  }

  #options(): LinkOptions {
    const { config } = this.server
    const text = (value: string): string | undefined => (value === '' ? undefined : value)
    const announcePort = config.number('replica-announce-port')
    return {
      ...defaultLinkOptions,
      timeoutMs: config.number('repl-timeout') * 1000,
      user: text(config.text('masteruser')),
      password: text(config.text('masterauth')),
      announcePort: announcePort > 0 ? announcePort : this.server.doors.replicationPort,
      announceAddress: text(config.text('replica-announce-ip')),
      failover: this.takeover,
    }
  }
}
