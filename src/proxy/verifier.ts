/**
 * Do replicas hold what the master holds? Now and then a read that went to a replica is asked again, of the master and of
 * that replica, and the answers are compared when both were given at the same offset:
 *
 *     master   ROLE 1000 ─ read ─ ROLE 1000      nothing was written meanwhile: the answer is that of offset 1000
 *     replica  ROLE 1000 ─ read ─ ROLE 1000      the same offset: the answers must be the same bytes
 *
 * Everything else is not comparable and says nothing. A difference is tried once more before it is believed, as a key may
 * expire between two answers by two clocks. Only commands whose answer depends on the data alone are asked. It never
 * says which key or which value: only that a replica has diverged, which a full resync heals.
 */
import type { EventSink } from '../base/bus.js'
import type { Millis } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import { itemsOf, numberOf, textOf } from '../resp/protocol.js'
import type { Call } from '../routing/calls.js'
import type { GroupCounters } from './counters.js'
import type { Instance } from './instance.js'
import type { UpstreamTools } from './upstream.js'

/** What is needed of the group. */
export interface Verified {
  readonly name: string
  readonly master: Instance | undefined
  readonly counters: GroupCounters
}

export type Verdict = 'equal' | 'different' | 'incomparable'

interface Sample {
  readonly bytes: Buffer
  readonly db: number
  readonly replica: Instance
  readonly command: string
}

/** An answer, and the offset that the instance had before and after it. */
interface Taken {
  before: number | undefined
  reply: Buffer | undefined
  after: number | undefined
}

const ROLE = encodeCommand(['ROLE'])
/** Answers without order, clocks or chance. */
const TELLING = new Set(
  (
    'get mget strlen getrange getbit bitcount exists type hget hmget hlen hexists llen lrange lindex scard sismember ' +
    'smismember zcard zscore zmscore zrange zrank zcount zlexcount xlen xrange pfcount'
  ).split(' '),
)
const REPLY_BYTES_MAX = 64 * 1024
const AGAIN_MS: Millis = 20

export class Verifier {
  #left: number
  #busy = false

  constructor(
    private readonly group: Verified,
    private readonly tools: UpstreamTools,
    private readonly events: EventSink,
    private readonly again: (delay: Millis, task: () => void) => void,
    /** One of so many reads at replicas. */
    private readonly every: number,
  ) {
    this.#left = every
  }

  /** A read goes to a replica; `decoder` stands on its bytes. */
  pass(call: Call, decoder: Decoder, db: number, replica: Instance): void {
    if (--this.#left > 0 || this.#busy || !TELLING.has(call.name)) return
    this.#left = this.every
    this.#busy = true
    const bytes = Buffer.from(decoder.buffer.subarray(decoder.start, decoder.end))
    this.#compare({ bytes, db, replica, command: call.name }, verdict => {
      if (verdict !== 'different') return this.#conclude(replica, verdict)
      this.again(AGAIN_MS, () =>
        this.#compare({ bytes, db, replica, command: call.name }, second => {
          this.#conclude(replica, second)
          if (second === 'different') {
            const fields = { group: this.group.name, node: replica.id, command: call.name }
            this.events.event('error', '+diverged', fields)
          }
        }),
      )
    })
  }

  #conclude(replica: Instance, verdict: Verdict): void {
    this.#busy = false
    this.group.counters.verified(replica.id, verdict)
  }

  #compare(sample: Sample, then: (verdict: Verdict) => void): void {
    const { master } = this.group
    if (master === undefined) return then('incomparable')
    let ours: Taken | undefined
    let theirs: Taken | undefined
    const judge = (): void => {
      if (ours !== undefined && theirs !== undefined) then(verdictOf(ours, theirs))
    }
    this.#take(master, sample, taken => {
      ours = taken
      judge()
    })
    this.#take(sample.replica, sample, taken => {
      theirs = taken
      judge()
    })
  }

  /** Three questions in one write; whatever is lost makes it incomparable. */
  #take(instance: Instance, { bytes, db }: Sample, then: (taken: Taken) => void): void {
    const taken: Taken = { before: undefined, reply: undefined, after: undefined }
    const lane = instance.lane(2, this.tools.time.now)
    if (lane === undefined || !(lane.confirmed || lane.readable)) return then(taken)
    let open = 3
    const done = (): void => {
      if (--open === 0) then(taken)
    }
    const ask = (question: Buffer, keep: (decoder: Decoder) => void): void => {
      const answer = (decoder: Decoder): void => {
        keep(decoder)
        done()
      }
      lane.ask(question, answer, done)
    }
    ask(ROLE, decoder => {
      taken.before = offsetIn(decoder)
    })
    lane.select(db)
    ask(bytes, ({ buffer, start, end }) => {
      if (end - start <= REPLY_BYTES_MAX) taken.reply = Buffer.from(buffer.subarray(start, end))
    })
    ask(ROLE, decoder => {
      taken.after = offsetIn(decoder)
    })
  }
}

function verdictOf(a: Taken, b: Taken): Verdict {
  const offsets = [a.before, a.after, b.before, b.after]
  if (offsets[0] === undefined || offsets.some(offset => offset !== offsets[0])) return 'incomparable'
  if (a.reply === undefined || b.reply === undefined) return 'incomparable'
  // An error speaks of the instance, not of the data.
  if (a.reply[0] === DASH || b.reply[0] === DASH) return 'incomparable'
  return a.reply.equals(b.reply) ? 'equal' : 'different'
}

const DASH = 0x2d

/** The offset in an answer to ROLE: produced by a master, applied by a replica whose link is up. */
function offsetIn(decoder: Decoder): number | undefined {
  const items = itemsOf(decoder.value())
  const isMaster = textOf(items[0]) === 'master'
  const offset = numberOf(items[isMaster ? 1 : 4])
  return offset === undefined || offset < 0 ? undefined : offset
}
