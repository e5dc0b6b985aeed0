/**
 * Cursors of SCAN, HSCAN, SSCAN and ZSCAN mean something to the process that made them only: another one walks its tables in
 * another order, and would leave keys out without a word. All scans are the master's; so when that is another one, a scan that
 * is under way begins again there. What it has shown before may be shown twice, as a scan may; nothing is left out.
 *
 *     SCAN 0 ─▶ A ─▶ cursor 17       A dies, B is master       SCAN 17 ─▶ SCAN 0 ─▶ B
 *
 * Where a connection goes on with a cursor that another one was given (a pool), the time of the change decides.
 */
import type { Bytes, Millis } from '../base/units.js'
import { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import { requestLimits } from '../resp/protocol.js'
import type { Call } from '../routing/calls.js'

/** The process that scans are made at, and since when; undefined: there was none before. */
export interface ScannedAt {
  readonly process: string
  readonly since: Millis | undefined
}

/** Scans of one connection that are remembered; of more, the oldest is judged as one of another connection. */
const SCANS_MAX = 64
/** Nobody pauses for so long between two steps. */
const PAUSE_MS: Millis = 60_000

export class Scans {
  readonly #begun = new WeakMap<object, Map<Bytes, string>>()
  readonly #rewriter = new Decoder({ ...requestLimits, count: 2 ** 31 })

  /** The request as it is to be sent: the same, or from the beginning. */
  bind(session: object, { name }: Call, decoder: Decoder, at: ScannedAt, now: Millis): Decoder {
    const place = name === 'scan' ? 1 : 2
    if (decoder.argc <= place) return decoder
    const cursor = decoder.arg(place)
    const scans = this.#scansOf(session)
    const what = place === 1 ? name : `${name} ${decoder.arg(1)}`
    const begunAt = scans.get(what)
    scans.delete(what)
    scans.set(what, at.process)
    if (scans.size > SCANS_MAX) scans.delete(scans.keys().next().value as Bytes)
    if (cursor === '0' || begunAt === at.process) return decoder
    const isOfAnother = begunAt !== undefined || (at.since !== undefined && now - at.since < PAUSE_MS)
    return isOfAnother ? this.#fromTheBeginning(decoder, place) : decoder
  }

  #scansOf(session: object): Map<Bytes, string> {
    let scans = this.#begun.get(session)
    if (scans === undefined) {
      scans = new Map()
      this.#begun.set(session, scans)
    }
    return scans
  }

  #fromTheBeginning(decoder: Decoder, place: number): Decoder {
    const args = decoder.args()
    args[place] = '0'
    this.#rewriter.feed(encodeCommand(args))
    this.#rewriter.nextRequest()
    return this.#rewriter
  }
}
