/**
 * CLIENT TRACKING: what a client has read is remembered by the instance, for the connection it was read on.
 *
 *     off ──CLIENT TRACKING ON──▶ on ──OFF, RESET, gone──▶ off
 *                                 │ ▲
 *       the connection is lost,   ▼ │ the same is asked of the new master,
 *       the master changes       lost   and the client is told again to forget
 *
 * So while it is on, everything that the session reads and writes goes to the master on a connection lent for it alone:
 * whatever the modes are, the instance itself knows what to invalidate, and its pushes keep their place among the replies.
 * When the connection is lost, what was remembered is lost with it, and what changed meanwhile is unknown. Then the client
 * is told what FLUSHALL would tell it: to forget everything.
 */
import { readLatin1 } from '../base/latin1.js'
import type { Bytes } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import { Encoder, encodeCommand } from '../resp/encoder.js'
import type { Call } from '../routing/calls.js'
import type { Request } from './request.js'
import type { Session } from './session.js'
import { callAsAsked, notice } from './taking.js'
import type { Resp, Upstream } from './upstream.js'

const CHANNEL = '__redis__:invalidate'
const NO_TARGET = 'ERR The client ID you want redirect to does not exist'
const NOT_NOW = 'ERR Tracking could not be changed, as the connection to the master was lost: try again'
const OFF = encodeCommand(['CLIENT', 'TRACKING', 'OFF'])
/** Each may add prefixes. */
const MAX_COMMANDS = 256
/** How long until the connection is asked for again. */
const AGAIN_MS = 20
const DASH = 0x2d
const BROKEN = '>2\r\n$21\r\ntracking-redir-broken'
const INVALIDATE = '>2\r\n$10\r\ninvalidate'

export class Tracking {
  upstream: Upstream | undefined
  /** As the client gave them, without CLIENT TRACKING ON; what one adds to those before is the instance's to say. */
  readonly #commands: (readonly Bytes[])[] = []
  #redirect = -1
  #broken = false
  readonly #prefixes = new Set<Bytes>()
  readonly #modes = new Set<string>()
  /** CLIENT CACHING: for the next command. */
  #caching: 'YES' | 'NO' | undefined

  constructor(private readonly session: Session) {}

  /** The instance has accepted nothing yet. */
  get unused(): boolean {
    return this.#commands.length === 0
  }

  get flags(): string {
    return `t${this.#modes.has('BCAST') ? 'B' : ''}${this.#broken ? 'R' : ''}`
  }

  /** The session's id that invalidations go to; 0: its own connection. */
  get redirect(): number {
    return Math.max(0, this.#redirect)
  }

  get prefixes(): readonly Bytes[] {
    return [...this.#prefixes]
  }

  /** As CLIENT TRACKINGINFO names them. */
  get modes(): readonly string[] {
    const words = ['bcast', 'optin', 'optout', 'noloop'].filter(word => this.#modes.has(word.toUpperCase()))
    if (this.#caching !== undefined) words.push(`caching-${this.#caching.toLowerCase()}`)
    if (this.#broken) words.push('broken_redirect')
    return ['on', ...words]
  }

  // ── The client's wishes ───────────────────────────────────────────────────────────────────────────────────────────

  /** CLIENT TRACKING ON …; the session has nothing in flight. `options` is what follows. */
  static turnOn(session: Session, request: Request, options: readonly Bytes[], decoder: Decoder): void {
    const tracking = session.tracking ?? new Tracking(session)
    // Remembered, as its connection is what the command waits for.
    session.tracking = tracking
    const upstream = tracking.#connection()
    const target = tracking.#targetOf(options)
    if (!upstream?.confirmed || (target !== undefined && !isKnown(target))) {
      request.effect = 'tracking'
      return session.group.keep(session, request, decoder)
    }
    request.effect = 'none'
    if (tracking.#commands.length === MAX_COMMANDS) return session.fail(request, 'ERR Too many prefixes')
    const command = tracking.#translate(options)
    if (command === undefined) {
      tracking.#giveUpUnused()
      return session.fail(request, NO_TARGET)
    }
    session.awaitAnswers()
    // It comes back by the answer, also when its session is gone by then.
    request.state = 'sent'
    upstream.ask(
      command,
      answer => {
        if (session.closed) return session.hub.tools.requests.give(request)
        if (answer.buffer[answer.start] !== DASH) tracking.#accepted(options)
        else tracking.#giveUpUnused()
        session.deliver(request, answer.buffer, answer.start, answer.end)
      },
      () => {
        if (session.closed) return session.hub.tools.requests.give(request)
        tracking.#giveUpUnused()
        session.fail(request, NOT_NOW)
      },
    )
  }

  /**
   * CLIENT TRACKING OFF: said to the instance, and heard by it, before the client is answered. A connection that was merely
   * closed would be told of later writes until the instance has noticed.
   */
  static turnOff(session: Session, request: Request): void {
    const { tracking } = session
    const upstream = tracking?.upstream
    const end = (isClean: boolean): void => {
      if (session.closed) return session.hub.tools.requests.give(request)
      session.tracking = undefined
      if (isClean && tracking !== undefined) tracking.#giveBack()
      else tracking?.abandon()
      session.begin(request).ok()
      session.finish(request)
    }
    if (upstream === undefined || !upstream.confirmed) return end(false)
    session.awaitAnswers()
    request.state = 'sent'
    upstream.ask(
      OFF,
      answer => end(answer.buffer[answer.start] !== DASH),
      () => end(false),
    )
  }

  /** A transaction that has begun on the connection goes on with it, and gives it back itself. */
  #giveBack(): void {
    const { upstream, session } = this
    this.upstream = undefined
    if (upstream !== undefined && session.transaction?.upstream !== upstream) session.group.lent.giveBack(upstream)
  }

  /** CLIENT CACHING YES|NO; answers an error. It is told to the instance together with the command it is for. */
  cache(word: 'YES' | 'NO'): Bytes | undefined {
    if (word === 'YES' && !this.#modes.has('OPTIN')) {
      return 'ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.'
    }
    if (word === 'NO' && !this.#modes.has('OPTOUT')) {
      return 'ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.'
    }
    this.#caching = word
    return undefined
  }

  #accepted(options: readonly Bytes[]): void {
    this.#commands.push(options)
    this.#modes.clear()
    this.#redirect = -1
    for (let at = 0; at < options.length; at++) {
      const word = (options[at] as Bytes).toUpperCase()
      if (word === 'PREFIX') this.#prefixes.add(options[++at] as Bytes)
      else if (word === 'REDIRECT') this.#redirect = Number(options[++at])
      else this.#modes.add(word)
    }
    this.#broken = false
    if (this.#modes.has('BCAST') && this.#prefixes.size === 0) this.#prefixes.add('')
  }

  #targetOf(options: readonly Bytes[]): Session | undefined {
    const at = redirectIn(options)
    return at === undefined ? undefined : this.session.hub.sessions.get(Number(options[at]))
  }

  /** For the instance: it knows the session that is redirected to by the connection that is lent for its messages. */
  #translate(options: readonly Bytes[]): Buffer | undefined {
    const words = [...options]
    const at = redirectIn(options)
    if (at !== undefined) {
      const id = this.#targetOf(options)?.listening.upstream?.clientId
      if (id === undefined) return undefined
      words[at] = String(id)
    }
    return encodeCommand(['CLIENT', 'TRACKING', 'ON', ...words])
  }

  #giveUpUnused(): void {
    if (!this.unused) return
    this.session.tracking = undefined
    this.abandon()
  }

  // ── Commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** False when the command has nothing to do with it and is handled as ever. */
  take(request: Request, asked: Call, decoder: Decoder): boolean {
    const { session } = this
    const call = callAsAsked(asked, decoder)
    if (this.unused) {
      // There was no master to turn it on.
      this.#giveUpUnused()
      return false
    }
    // It is sent like any other that waits, on this connection; see alone.ts.
    if (call.handling === 'blocking') return false
    // Our own section is put into the answer to INFO, which reads no key.
    if ((call.handling !== 'read' && call.handling !== 'master') || call.name === 'info') {
      if (call.name !== 'client') this.#caching = undefined
      return false
    }
    notice(session, request, call, decoder)
    request.call = call
    request.effect = 'tracked'
    session.dispatchPinned(request, decoder)
    return true
  }

  /** Sends a command of the session, or keeps it until there is a master to send it to. */
  send(request: Request, call: Call, decoder: Decoder): void {
    const upstream = this.lend(request, decoder)
    if (upstream === undefined) return
    const { group } = this.session
    if (call.handling === 'read') group.counters.route('tracking')
    group.sendToMaster(upstream, this.session, request, call, decoder)
  }

  /** The connection, when it may have this command; undefined: the request is kept. */
  lend(request: Request, decoder: Decoder): Upstream | undefined {
    const { group, db } = this.session
    const upstream = this.#connection()
    if (!upstream?.confirmed || (group.holding && request.call?.writes)) {
      group.keep(this.session, request, decoder)
      return undefined
    }
    if (this.#caching !== undefined) {
      // Nothing of our own may come between this and the command.
      upstream.select(db)
      upstream.tell(encodeCommand(['CLIENT', 'CACHING', this.#caching]))
      this.#caching = undefined
    }
    return upstream
  }

  /** The connection to the present master, with tracking as the client has it. */
  #connection(): Upstream | undefined {
    const { session } = this
    const { lent } = session.group
    if (this.upstream !== undefined && !lent.isOfMaster(this.upstream)) {
      this.abandon()
      if (!this.unused) this.#flush()
    }
    if (this.upstream !== undefined) return this.upstream
    const target = this.#redirect < 0 ? undefined : session.hub.sessions.get(this.#redirect)
    if (target !== undefined && !isKnown(target)) return undefined
    const upstream = lent.borrow(session)
    if (upstream === undefined) return undefined
    this.upstream = upstream
    this.#again(upstream)
    return upstream
  }

  #again(upstream: Upstream): void {
    for (const options of this.#commands) {
      const command = this.#translate(options)
      if (command === undefined) this.#broken = true
      else upstream.ask(command, answer => this.#askedAgain(answer))
    }
  }

  #askedAgain({ buffer, start }: Decoder): void {
    if (buffer[start] === DASH) this.#broken = true
    // What changed until now nobody told it.
    else this.#flush()
  }

  // ── Invalidations ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** True when the frame was one of ours. */
  receive(buffer: Buffer, start: number, end: number): boolean {
    const head = readLatin1(buffer, start, Math.min(end, start + BROKEN.length))
    if (head === BROKEN) {
      this.#broken = true
      const out = new Encoder(3, 64)
      out.push(2)
      out.bulk('tracking-redir-broken')
      out.integer(this.redirect)
      const bytes = out.take()
      this.session.passThrough(bytes, 0, bytes.length)
      return true
    }
    if (!head.startsWith(INVALIDATE)) return false
    this.session.passThrough(buffer, start, end)
    return true
  }

  /** The client, or the one it redirects to, shall forget everything. */
  #flush(): void {
    const target = this.#redirect < 0 ? this.session : this.session.hub.sessions.get(this.#redirect)
    if (target === undefined || target.closed) return
    const out = new Encoder(target.resp, 64)
    if (target.resp === 3) {
      out.push(2)
      out.bulk('invalidate')
      out.null()
    } else if (target.subscription?.channels.has(CHANNEL)) {
      out.array(3)
      out.bulk('message')
      out.bulk(CHANNEL)
      out.nullArray()
    } else return
    const bytes = out.take()
    target.passThrough(bytes, 0, bytes.length)
  }

  // ── Failure ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The connection is gone: another one is asked for at once, as what is cached must not outlive it unnoticed. */
  onLost(): void {
    this.upstream = undefined
    if (this.session.closed || this.unused) return
    this.#flush()
    this.resume()
  }

  /** Has tracking on as soon as there is a master to do it. */
  resume(): void {
    const { session } = this
    if (session.closed || session.tracking !== this || this.#connection() !== undefined) return
    session.hub.clock.after(AGAIN_MS, () => this.resume())
  }

  /** Its session does. The connection is kept, and with it what the instance remembers: nothing has to be forgotten. */
  speak(resp: Resp): void {
    if (this.upstream?.confirmed) this.upstream.speak(resp)
    else this.restart()
  }

  /** Gives the connection up, for a new one; what is in flight on it is sent again or refused, as when it is lost. */
  restart(): void {
    this.abandon()
    if (this.unused) return
    this.#flush()
    this.resume()
  }

  abandon(): void {
    const { upstream } = this
    this.upstream = undefined
    if (upstream !== undefined) this.session.group.lent.discard(upstream)
  }
}

/** Where the id stands that messages are redirected to; undefined: they are not, or the instance will refuse the words. */
function redirectIn(words: readonly Bytes[]): number | undefined {
  for (let at = 0; at < words.length; at++) {
    const word = (words[at] as Bytes).toUpperCase()
    if (word === 'REDIRECT' && /^\d{1,15}$/.test(words[at + 1] ?? '')) return at + 1
    if (word === 'PREFIX' || word === 'REDIRECT') at++
  }
  return undefined
}

/** The instance has said by what id it knows the session's connection for messages; otherwise one is asked for. */
function isKnown(target: Session): boolean {
  const upstream = target.listening.begin()
  return upstream === undefined || upstream.clientId !== undefined
}
