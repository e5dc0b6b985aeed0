/**
 * What everybody writes, by the word of the master's stream: marks for writers that bypass this worker.
 *
 *     master ──stream──▶ tap ──commands──▶ keys ──▶ marks.note(slot, offset of the command's end)
 *
 * Our own writes are marked before they are sent, and the stream adds nothing to that. A write by another worker, another
 * proxy or a client of the master itself is marked a fraction of a millisecond after it was acknowledged: until then a
 * replica may be asked that does not have it. That window is measured, by how long the stream takes to bring a write
 * whose acknowledgement we have seen ourselves.
 *
 * While the stream is lost, others' writes are not seen; when it is found again it goes on behind the last byte that
 * came, or everything it missed is covered by a barrier.
 */
import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import type { Millis, Offset } from '../base/units.js'
import { StandIn } from '../observer/stand-in.js'
import { StreamTap } from '../observer/tap.js'
import { Decoder } from '../resp/decoder.js'
import { ProtocolError, requestLimits } from '../resp/protocol.js'
import type { CallTable } from '../routing/calls.js'
import type { Marks } from '../routing/marks.js'
import type { StreamStart, TapPause } from '../topology/tap.js'
import type { StreamCounters } from './counters.js'
import type { Instance } from './instance.js'
import type { KeySlots } from './key-slots.js'
import type { UpstreamOptions } from './upstream.js'

/** Whose stream it is, and which history the marks are of. */
export interface StreamSource {
  readonly name: string
  readonly master: Instance | undefined
  readonly replid: string | undefined
}

/** What masters send may be larger than what clients may. */
const STREAM_LIMITS = { ...requestLimits, count: 2 ** 31, bulk: 2 ** 31 }

export class StreamMarks {
  #stream: StreamTap | undefined
  #master: Instance | undefined
  #decoder = new Decoder(STREAM_LIMITS)
  /** Where the stream began that the decoder counts from. */
  #begin: Offset = 0
  /** Up to where keys have been noted, in which history; undefined: in none that the marks are of. */
  #noted: StreamStart | undefined
  /** An acknowledged write that the stream has not brought. */
  #awaited: Offset = -1
  #awaitedSince: Millis = 0
  readonly #standIn = new StandIn(() => ({
    master: this.#master?.view ?? { host: '', port: 0 },
    replid: this.#stream?.replid ?? '',
    offset: Math.max(0, this.#stream?.offset ?? 0),
  }))

  constructor(
    private readonly source: StreamSource,
    private readonly clock: Clock,
    private readonly events: EventSink,
    private readonly marks: Marks,
    private readonly keys: KeySlots,
    private readonly calls: () => CallTable,
    private readonly login: UpstreamOptions,
    private readonly counters: StreamCounters,
  ) {}

  /** True when keys are noted as the stream names them. */
  get inStep(): boolean {
    return this.#noted !== undefined
  }

  /** The group may have another master now. */
  follow(): void {
    const { master } = this.source
    if (master === this.#master) return
    this.#stop()
    this.#master = master
    if (master === undefined) return
    const { host, port } = master.view
    const { username, password, tls } = this.login
    const credentials = { username, password, tls }
    const announce = (localHost: string): Promise<number> => this.#standIn.announce(localHost)
    this.#stream = new StreamTap(
      this.clock,
      { host, port },
      { target: 'master', credentials, announce, resume: () => this.#noted },
      {
        onStart: start => this.#started(start),
        onBytes: chunk => this.#receive(chunk),
        onRest: because => this.#rested(because),
      },
    )
  }

  /** The marks are of another history from now on. */
  begun(): void {
    this.#noted = undefined
    const position = this.#stream?.position
    // What has come and is not noted (an unfinished command) ends beyond this offset.
    if (position !== undefined) this.#catchUp({ replid: position.replid, offset: this.#begin + this.#decoder.consumed })
  }

  /** The master has acknowledged writes up to here. */
  sampled(offset: Offset): void {
    if (this.#noted === undefined || this.#awaited >= 0) return
    if (this.#noted.offset >= offset) return this.counters.window.observe(0)
    this.#awaited = offset
    this.#awaitedSince = this.clock.now()
  }

  close(): void {
    this.#stop()
    void this.#standIn.close()
  }

  #stop(): void {
    this.#stream?.stop()
    this.#stream = undefined
    this.#rested(undefined)
    this.#noted = undefined
  }

  // ── The stream ────────────────────────────────────────────────────────────────────────────────────────────────────

  #started(start: StreamStart): void {
    this.#decoder = new Decoder(STREAM_LIMITS)
    this.#begin = start.offset
    this.events.event('info', '+stream', { group: this.source.name, node: this.#master?.id, replid: start.replid })
    this.#catchUp(start)
  }

  /** Notes from here on; what was missed, if anything, is covered by a barrier. */
  #catchUp(start: StreamStart): void {
    if (start.replid !== this.source.replid) {
      this.#noted = undefined
      return
    }
    const { replid, offset } = this.#noted ?? { replid: undefined, offset: -1 }
    if (replid === start.replid && offset === start.offset) this.marks.streamed(offset)
    else this.marks.streamBegins(start.offset)
    this.#noted = start
    this.counters.following.value = 1
  }

  /** `#noted` stays: behind it the next stream may go on. */
  #rested(because: TapPause | undefined): void {
    this.marks.streamEnds()
    this.#awaited = -1
    if (this.counters.following.value === 1 && because !== undefined) {
      this.events.event('info', '-stream', { group: this.source.name, node: this.#master?.id, because })
    }
    this.counters.following.value = 0
  }

  #receive(chunk: Buffer): void {
    const decoder = this.#decoder
    decoder.feed(chunk)
    try {
      while (decoder.nextRequest()) this.#note(decoder)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      // What it misses until it reads again is covered by a barrier.
      this.#stop()
      this.#master = undefined
      return this.follow()
    }
    decoder.release()
    if (this.#noted === undefined) return
    const offset = this.#begin + decoder.consumed
    this.#noted = { replid: this.#noted.replid, offset }
    this.marks.streamed(offset)
    if (this.#awaited < 0 || this.#awaited > offset) return
    this.counters.window.observe((this.clock.now() - this.#awaitedSince) / 1000)
    this.#awaited = -1
  }

  #note(decoder: Decoder): void {
    const { buffer, argStart, argEnd, argc } = decoder
    const calls = this.calls()
    let call = calls.find(buffer, argStart[0] as number, argEnd[0] as number)
    if (call.subcommands !== undefined && argc > 1) {
      call = call.subcommands.find(buffer, argStart[1] as number, argEnd[1] as number) ?? call
    }
    // It asks its replicas how far they are: somebody waits for them, maybe to end.
    if (call.name === 'replconf') this.#stream?.look()
    if (call.marking === 'none' || this.#noted === undefined) return
    const offset = this.#begin + decoder.consumed
    const count = this.keys.find(call, decoder)
    if (count >= 0) this.keys.note(count, offset)
    else this.marks.noteAll(offset)
    if (count >= 0) this.counters.keys.value += count
    else this.counters.barriers.value++
  }
}
