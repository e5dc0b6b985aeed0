/**
 * Where the master stands, for reads that must see everything it had when they came (ReadIndex).
 *
 *     read ─┐
 *     read ─┼─▶ end of the turn: one ROLE to the master ─▶ offset ─▶ any replica that has applied it
 *     read ─┘
 *
 * All reads of one turn share a question, and it is asked after the last of them came. A read never uses the answer to a
 * question that was asked before it. That the master is the master is known as well as for any command sent to it: one that
 * was cut off from its group, and has not noticed, answers for a history that is over.
 */

import type { Offset } from '../base/units.js'
import { type Flushable, turn } from '../net/turn.js'
import { encodeCommand } from '../resp/encoder.js'
import { IN_FLIGHT } from '../routing/marks.js'
import type { Instance } from './instance.js'
import type { Request } from './request.js'
import { masterOffset, type UpstreamTools } from './upstream.js'

const ROLE = encodeCommand(['ROLE'])

/** Whom it asks, and for which history the answer holds. */
export interface IndexSource {
  readonly master: Instance | undefined
  readonly replid: string | undefined
}

export class ReadIndex implements Flushable {
  readonly early = true
  /** Reads of this turn. Bounded by what sessions may have in flight. */
  #gathered: Request[] = []

  constructor(
    private readonly source: IndexSource,
    private readonly tools: UpstreamTools,
    /** Each read with its index; IN_FLIGHT: nobody can say, the master itself must answer. */
    private readonly then: (request: Request) => void,
  ) {}

  add(request: Request): void {
    if (this.#gathered.length === 0) turn.add(this)
    this.#gathered.push(request)
  }

  flush(): void {
    const batch = this.#gathered
    this.#gathered = []
    const { master, replid } = this.source
    const lane = master?.lane(2, this.tools.time.now)
    if (lane === undefined || !lane.confirmed) return this.answer(batch, undefined)
    lane.ask(
      ROLE,
      reply => this.answer(batch, this.source.replid === replid ? masterOffset(reply) : undefined),
      () => this.answer(batch, undefined),
    )
  }

  answer(batch: readonly Request[], offset: Offset | undefined): void {
    for (const request of batch) {
      request.index = offset ?? IN_FLIGHT
      this.then(request)
    }
  }
}
