/**
 * The witness: it reads the master's stream beside the replicas and keeps the newest bytes of it. When the master dies
 * before its replicas have everything, they are given the rest as by a master:
 *
 *     candidate ◀─ REPLICAOF witness ─ agent
 *     candidate ── PSYNC <replid> <first missing byte> ─▶ witness ── +CONTINUE, the bytes ─▶ candidate
 *     candidate ◀─ REPLICAOF NO ONE ── agent               (siblings likewise, before they are pointed to it)
 *
 * So offsets and histories stay what they were, nothing is executed twice, and nobody needs a full resync. What reached
 * neither the replicas nor the witness is lost; the stream comes a fraction of a millisecond after the acknowledgement.
 *
 * Bound: `bytes` of the stream, and a megabyte at most besides; a slow reader is sent no more than it takes.
 */
import { type Address, formatAddress } from '../base/address.js'
import type { EventSink } from '../base/bus.js'
import { type Clock, every } from '../base/clock.js'
import type { Millis, Offset } from '../base/units.js'
import type { MetricStore } from '../metrics/store.js'
import type { Credentials } from '../net/client.js'
import { type Listener, listen, type Peer } from '../net/peer.js'
import { type Flushable, turn } from '../net/turn.js'
import type { Observer } from '../observer/observer.js'
import { StandIn } from '../observer/stand-in.js'
import { StreamTap } from '../observer/tap.js'
import { Backlog } from '../replication/backlog.js'
import { Decoder } from '../resp/decoder.js'
import { ProtocolError, unauthenticatedLimits } from '../resp/protocol.js'
import { SelectedDatabases } from '../topology/selected.js'
import type { StreamStart } from '../topology/tap.js'
import type { FreshnessUpdate } from '../topology/view.js'

/** What it has of a history: the bytes from `firstOffset` up to, not including, `nextOffset`. */
export interface Testimony {
  readonly replid: string
  readonly firstOffset: Offset
  readonly nextOffset: Offset
}

export interface WitnessOptions {
  /** How much of the stream is kept. */
  readonly bytes: number
  readonly credentials: Credentials
}

/** So much waits for one reader. */
const QUEUED_BYTES_MAX = 4 * 1024 * 1024
/** More readers than this are refused: the replicas of one group. */
const READERS_MAX = 64
/** Between two looks whether a reader has room again. */
const PUMP_MS: Millis = 1

/** Listeners may have come later, or be others by now. */
const REMIND_MS: Millis = 100

export type Position = NonNullable<FreshnessUpdate['witness']>

export class Witness implements Flushable {
  readonly early = true
  readonly #listeners = new Set<(position: Position) => void>()
  #tellsSoon = false
  #tap: StreamTap | undefined
  #tapped: string | undefined
  #backlog: Backlog | undefined
  #replid = ''
  #selected = new SelectedDatabases(0)
  #localHost = '127.0.0.1'
  #listener: Promise<Listener> | undefined
  /** Where it has fed, as `host:port`; undefined before it ever did. */
  feeder: string | undefined
  readonly #readers = new Set<Peer>()
  readonly #standIn: StandIn
  readonly #cancel: () => void

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    private readonly metrics: MetricStore,
    private readonly observer: Observer,
    private readonly options: WitnessOptions,
  ) {
    this.#standIn = new StandIn(() => ({
      master: observer.instance(observer.group.declared ?? '')?.address ?? { host: '', port: 0 },
      replid: this.#replid,
      offset: Math.max(0, (this.#backlog?.nextOffset ?? 1) - 1),
    }))
    const { name: group } = observer
    metrics.beforeSnapshot(() => {
      metrics.gauge('lagrange_witness_bytes', { group }).value = this.#backlog?.length ?? 0
      metrics.gauge('lagrange_witness_memory_bytes', { group }).value = this.#backlog?.heldBytes ?? 0
      metrics.gauge('lagrange_witness_streaming', { group }).value = this.#tap?.streaming === true ? 1 : 0
    })
    metrics.counter('lagrange_witness_fed_bytes_total', { group })
    metrics.counter('lagrange_witness_replayed_writes_total', { group })
    this.#cancel = observer.onView(() => this.#follow())
    this.#follow()
  }

  /** Hears how far it is: at most once a turn while it reads, and now and then while it does not. */
  onAdvance(listener: (position: Position) => void): () => void {
    this.#listeners.add(listener)
    const cancel = every(this.clock, REMIND_MS, () => this.flush())
    return () => {
      cancel()
      this.#listeners.delete(listener)
    }
  }

  /** The end of a turn in which something was read. */
  flush(): void {
    this.#tellsSoon = false
    const { testimony } = this
    if (testimony === undefined) return
    const reading = this.#tap?.streaming === true
    const position = { replid: testimony.replid, offset: testimony.nextOffset - 1, reading }
    for (const listener of this.#listeners) listener(position)
  }

  /** undefined while nothing was read. */
  get testimony(): Testimony | undefined {
    const backlog = this.#backlog
    if (backlog === undefined) return undefined
    return { replid: this.#replid, firstOffset: backlog.firstOffset, nextOffset: backlog.nextOffset }
  }

  /** Whether everything up to here has been read, of this history. */
  has(replid: string, offset: Offset): boolean {
    return this.#replid === replid && (this.#backlog?.nextOffset ?? 0) > offset
  }

  /** Where replicas may be pointed to: it listens on the address from which we reach the instances. */
  async address(): Promise<Address> {
    this.#listener ??= listen({ host: this.#localHost, port: 0 }, adopt => {
      if (this.#readers.size < READERS_MAX) this.#serve(adopt)
    })
    const address = { host: this.#localHost, port: (await this.#listener).port }
    this.feeder = formatAddress(address)
    return address
  }

  /** The bytes from `from` on; undefined when they are not all here. */
  read(replid: string, from: Offset): readonly Buffer[] | undefined {
    const backlog = this.#backlog
    if (backlog === undefined || replid !== this.#replid) return undefined
    return from >= backlog.firstOffset && from <= backlog.nextOffset ? backlog.read(from) : undefined
  }

  /** The database of the command that begins at this offset; undefined when the stream has not said so here. */
  databaseAt(offset: Offset): number | undefined {
    return this.#selected.at(offset)
  }

  /** What was executed of it, where it could not be fed. */
  countReplayed(writes: number): void {
    this.metrics.counter('lagrange_witness_replayed_writes_total', { group: this.observer.name }).value += writes
  }

  /** Replicas that have come to be fed, and are still here. */
  get readers(): number {
    return this.#readers.size
  }

  /** Nobody is fed any more. */
  dismiss(): void {
    for (const peer of this.#readers) peer.destroy('dismissed')
  }

  async stop(): Promise<void> {
    this.#cancel()
    this.#tap?.stop()
    this.dismiss()
    await this.#standIn.close()
    await (await this.#listener)?.close()
  }

  // ── Reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The tap stays on the declared master, also while it is down: what was read is what counts then. */
  #follow(): void {
    const { declared } = this.observer.group
    const master = declared === undefined ? undefined : this.observer.instance(declared)
    if (master === undefined || declared === this.#tapped) return
    this.#tap?.stop()
    this.#tapped = declared
    const options = {
      target: 'master',
      credentials: this.options.credentials,
      announce: (localHost: string) => {
        this.#localHost = localHost
        return this.#standIn.announce(localHost)
      },
      resume: () => this.#position(),
    } as const
    this.#tap = new StreamTap(this.clock, master.address, options, {
      onStart: start => this.#start(start),
      onBytes: chunk => {
        this.#backlog?.append(chunk)
        this.#selected.feed(chunk)
        if (this.#listeners.size === 0 || this.#tellsSoon) return
        this.#tellsSoon = true
        turn.add(this)
      },
      onRest: because => this.events.event('info', '-witness', { group: this.observer.name, node: declared, because }),
    })
  }

  #position(): StreamStart | undefined {
    return this.#backlog && { replid: this.#replid, offset: this.#backlog.nextOffset - 1 }
  }

  #start({ replid, offset }: StreamStart): void {
    const goesOn = this.#replid === replid && this.#backlog?.nextOffset === offset + 1
    if (!goesOn) {
      this.#backlog = new Backlog(this.options.bytes, offset + 1)
      this.#selected = new SelectedDatabases(offset + 1)
    }
    this.#replid = replid
    const fields = { group: this.observer.name, node: this.#tapped, replid, offset, goesOn }
    this.events.event('info', '+witness', fields)
  }

  // ── Feeding ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Speaks to a replica as its master does, until it has asked for the stream. */
  #serve(adopt: Parameters<Parameters<typeof listen>[1]>[0]): void {
    const decoder = new Decoder({ ...unauthenticatedLimits })
    let isFed = false
    const peer: Peer = adopt({
      onData: chunk => {
        // What a fed replica says are acknowledgements; how far it is, it is asked itself.
        if (isFed) return
        decoder.feed(chunk)
        try {
          while (!isFed && decoder.nextRequest()) isFed = this.#answer(peer, decoder.args())
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          return peer.destroy('protocol-error')
        }
        decoder.release()
        peer.flushSoon()
      },
      onClose: () => void this.#readers.delete(peer),
    })
    this.#readers.add(peer)
  }

  /** Answers whether the stream goes to this peer from now on. */
  #answer(peer: Peer, args: readonly string[]): boolean {
    const [name, replid = '', from = ''] = args
    switch (name?.toLowerCase()) {
      case 'ping':
        peer.out.simple('PONG')
        return false
      case 'auth':
      case 'replconf':
        if (args[1]?.toLowerCase() !== 'ack') peer.out.ok()
        return false
      case 'psync': {
        const bytes = /^\d{1,16}$/.test(from) ? this.read(replid, Number(from)) : undefined
        if (bytes === undefined) {
          // A replica that hears this asks again later, and keeps its data.
          peer.out.error("NOMASTERLINK Can't SYNC: the witness does not have these bytes")
          return false
        }
        peer.out.simple(`CONTINUE ${replid}`)
        this.#pump(peer, bytes.slice())
        return true
      }
      default:
        peer.out.error('ERR this is a witness, it only feeds replicas')
        return false
    }
  }

  #pump(peer: Peer, left: Buffer[]): void {
    const { name: group } = this.observer
    const fed = this.metrics.counter('lagrange_witness_fed_bytes_total', { group })
    while (!peer.closed && left.length > 0 && peer.queuedBytes < QUEUED_BYTES_MAX) {
      const bytes = left.shift() as Buffer
      fed.value += bytes.length
      peer.writeThrough(bytes)
    }
    if (!peer.closed && left.length > 0) this.clock.after(PUMP_MS, () => this.#pump(peer, left))
  }
}
