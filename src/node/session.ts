/**
 * One client connection: its bytes come in, its requests go to the server one after another, its replies leave at the end
 * of the turn. What the connection has said about itself (name, database, protocol, subscriptions …) is kept here.
 *
 *     ready ──a blocking command, WAIT, CLIENT PAUSE──▶ parked ──served, timed out, unblocked──▶ ready
 *       └──QUIT, protocol error, killed──▶ closing (what was written still leaves) ──▶ gone
 *
 * Bounds: an unfinished request, or requests behind a parked one, may take `client-query-buffer-limit` bytes; a client
 * that does not read its replies is not read from any more at CHOKE_BYTES, and closed at `client-output-buffer-limit`.
 */
import type { Bytes, Millis } from '../base/units.js'
import type { CommandSpec } from '../command/table.js'
import type { Blocked, Caller } from '../engine/host.js'
import type { Peer, PeerHandler } from '../net/peer.js'
import { Decoder } from '../resp/decoder.js'
import type { Encoder } from '../resp/encoder.js'
import { ProtocolError, requestLimits, unauthenticatedLimits } from '../resp/protocol.js'
import type { AttachedReplica } from './feed.js'
import type { Kind } from './pubsub.js'
import type { NodeServer } from './server.js'
import type { ClientTracking } from './tracking.js'

export interface QueuedCommand {
  readonly spec: CommandSpec
  readonly args: readonly Bytes[]
}

export interface Transaction {
  readonly commands: QueuedCommand[]
  /** A command was refused while queueing: EXEC will answer EXECABORT. */
  broken: boolean
  /** Memory of the queue. */
  bytes: number
}

/** Why a session's next request has to wait. */
export type Parked =
  | { readonly on: 'keys'; readonly blocked: Blocked; readonly command: QueuedCommand; readonly since: Millis }
  | { readonly on: 'acks'; readonly offset: number; readonly replicas: number }
  | { readonly on: 'pause'; readonly request: readonly Bytes[] }
  /** Something that we do for it, and answer when it is done. */
  | { readonly on: 'shutdown' | 'save' | 'migrate' }
  /** Its own command takes time, and answers by itself. */
  | { readonly on: 'answer' }

/**
 * More replies than this wait to be read: the client's next requests wait as well. A client that writes a long pipeline
 * before it reads anything would wait for ever for us to read the rest, so this is more than any of them asks for.
 */
const CHOKE_BYTES = 256 * 1024 * 1024
/** A request ends a write of its own when so much has been written in this turn. */
const EAGER_FLUSH_BYTES = 1024 * 1024
const UNAUTHENTICATED_OUTPUT_BYTES = 16 * 1024

export class Session implements Caller, PeerHandler {
  db = 0
  readonly origin = 'client'
  mayBlock = true

  readonly decoder = new Decoder({ ...requestLimits })
  readonly createdAt: Millis
  name: Bytes = ''
  user: Bytes = 'default'
  authenticated: boolean
  lastCommand = 'NULL'
  lastActiveAt: Millis
  noEvict = false
  /** SCRIPT DEBUG: its next EVAL is debugged, in this process or in one that has a copy of the data. */
  debugging: 'sync' | 'copy' | undefined
  monitoring = false
  replyMode: 'on' | 'off' | 'skip' | 'skip-next' = 'on'
  /** The present command has written pushes, which CLIENT REPLY does not silence. */
  pushed = false
  transaction: Transaction | undefined
  /** Memory of the names it is listed under: see ClientMemory. */
  listedBytes = 0
  readonly watched: { readonly db: number; readonly key: Bytes; expired: boolean }[] = []
  watchBroken = false
  readonly subscriptions: Readonly<Record<Kind, Set<Bytes>>> = {
    channel: new Set(),
    pattern: new Set(),
    shard: new Set(),
  }
  /** Client-side caching is on. */
  tracking: ClientTracking | undefined
  /** May be told of changed keys, its own or those of a client that redirects to it. */
  hearsInvalidations = false
  parked: Parked | undefined
  /** Ends the waiting of a parked session; set together with `parked`. */
  cancelTimeout: (() => void) | undefined
  /** Set by the first REPLCONF or SYNC: this connection is a replica's. */
  replica: AttachedReplica | undefined
  /** Where the stream stood after this session's last write: what its WAIT waits for. */
  writeOffset = 0
  /** Since when more than the soft output limit has been waiting. */
  overSoftLimitSince: Millis | undefined
  closing = false
  /** The authenticated client of an unrestricted user with nothing special about it: its commands need no second look. */
  plain = false

  #peer: Peer | undefined
  #running = false
  /** A replica has asked something: what comes of it is looked at before it leaves. */
  #asksAsReplica = false
  #choked = false

  constructor(
    readonly server: NodeServer,
    readonly id: number,
    now: Millis,
  ) {
    this.createdAt = this.lastActiveAt = now
    this.authenticated = server.acl.open
    this.limitsChanged()
  }

  attach(peer: Peer): void {
    this.#peer = peer
    this.refresh()
  }

  get peer(): Peer {
    return this.#peer as Peer
  }

  get out(): Encoder {
    return (this.#peer as Peer).out
  }

  get address(): string {
    const { remoteHost, remotePort } = this.peer
    return remotePort === 0 ? '/unix:0' : addressOf(remoteHost, remotePort)
  }

  get localAddress(): string {
    return addressOf(this.peer.localHost, this.peer.localPort)
  }

  /** The class of `client-output-buffer-limit`, CLIENT LIST TYPE and CLIENT KILL TYPE. */
  get type(): 'normal' | 'replica' | 'pubsub' {
    if (this.replica?.streaming === true || this.replica?.syncing === true) return 'replica'
    return this.subscriptionCount > 0 && !this.monitoring ? 'pubsub' : 'normal'
  }

  /** The request that runs right now. */
  get executingBytes(): number {
    return this.#running ? this.decoder.end - this.decoder.start : 0
  }

  get subscriptionCount(): number {
    const { channel, pattern, shard } = this.subscriptions
    return channel.size + pattern.size + shard.size
  }

  /** Reads again which checks the next command needs. To be called when one of the fields below changed. */
  refresh(): void {
    this.plain =
      this.authenticated &&
      this.server.acl.unrestricted(this.user) &&
      this.transaction === undefined &&
      this.replyMode === 'on' &&
      this.replica === undefined &&
      !this.monitoring &&
      this.tracking === undefined &&
      !this.hearsInvalidations &&
      this.subscriptionCount === 0
  }

  limitsChanged(): void {
    const { limits } = this.decoder
    const source = this.authenticated ? requestLimits : unauthenticatedLimits
    limits.count = source.count
    limits.bulk = this.authenticated ? this.server.config.number('proto-max-bulk-len') : source.bulk
    limits.line = source.line
  }

  // ── Bytes in ──────────────────────────────────────────────────────────────────────────────────────────────────────

  onData(chunk: Buffer): void {
    const { server } = this
    server.stats.inputBytes += chunk.length
    const now = server.clock.now()
    this.lastActiveAt = now
    if (this.closing) return
    this.decoder.feed(chunk)
    if (server.clients.memory.limited && !server.clients.memory.admits(this)) return
    this.proceed(now)
  }

  /** Serves what has arrived, until nothing is left or the session has to wait. */
  proceed(now: Millis = this.server.clock.now()): void {
    if (this.#running || this.closing) return
    this.#running = true
    const { decoder, server } = this
    server.stopwatch.start(now)
    try {
      while (this.parked === undefined && !this.closing && !this.#choked && decoder.nextRequest()) {
        if (this.replica === undefined) server.dispatcher.process(this, decoder.args())
        else this.#processAsReplica(decoder.args())
        if (this.out.length > EAGER_FLUSH_BYTES) this.#flushEagerly()
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#breakOff(error)
    }
    this.#running = false
    decoder.release()
    if (this.closing) return
    if (decoder.pending > server.config.number('client-query-buffer-limit')) {
      server.stats.querybufLimitDisconnections++
      server.log.warning(`Closing client that reached max query buffer length: ${server.clients.describe(this)}`)
      this.peer.destroy('query-buffer-limit')
      return
    }
    if (server.clients.memory.limited && !server.clients.memory.admits(this)) return
    if (this.out.length > 0) this.peer.flushSoon()
  }

  #processAsReplica(args: readonly Bytes[]): void {
    const before = this.out.length
    this.#asksAsReplica = true
    this.server.dispatcher.process(this, args)
    this.#asksAsReplica = false
    if (this.out.length > before || this.parked !== undefined) this.server.repl.misused(this, args, before)
    else if (this.closing) this.peer.end()
  }

  onDrain(): void {
    if (this.replica !== undefined) this.server.repl.pump(this)
    if (!this.#choked) return
    this.#choked = false
    this.peer.resume()
    this.proceed()
    this.server.dispatcher.settle()
  }

  onFlush(): void {
    // What these replies acknowledge is written first, whoever asks for the flush.
    if (this.server.aof.due) this.server.aof.flush()
    if (this.server.clients.memory.limited) this.server.clients.memory.account(this)
    if (!this.authenticated && this.out.length > UNAUTHENTICATED_OUTPUT_BYTES) this.peer.destroy('output-limit')
  }

  onClose(reason: string): void {
    this.closing = true
    this.server.gone(this, reason)
  }

  /** What has been written still leaves; nothing more is read. */
  close(): void {
    if (this.closing) return
    this.closing = true
    // What it was answered must not leave before it is taken back.
    if (!this.#asksAsReplica) this.peer.end()
  }

  /** Ends the waiting; requests that came meanwhile are served in their turn. */
  unpark(): void {
    this.cancelTimeout?.()
    this.cancelTimeout = undefined
    this.parked = undefined
    this.server.dispatcher.resumeSoon(this)
  }

  #flushEagerly(): void {
    this.peer.flush()
    if (this.peer.closed || this.peer.queuedBytes < CHOKE_BYTES) return
    this.#choked = true
    this.peer.pause()
  }

  #breakOff(error: ProtocolError): void {
    this.server.stats.error('ERR')
    this.server.log.verbose(`Protocol error (${error.message}) from client: ${this.server.clients.describe(this)}`)
    this.out.error(`ERR Protocol error: ${error.message}`)
    this.close()
  }
}

export function addressOf(host: string, port: number): string {
  const plain = host.startsWith('::ffff:') ? host.slice(7) : host
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`
}
