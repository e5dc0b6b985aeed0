/**
 * Users of the instances (`clientAuth.users: instances`): who may come in, with which password, and what he may do is what
 * the master says, read by the proxy's own user with ACL LIST.
 *
 *     client ──AUTH──▶ proxy ──ACL LIST──▶ master        each login is judged by what the master says after it came
 *     client ──GET───▶ proxy: may he? ──GET──▶ instance   on connections that all share, as the proxy's own user
 *
 * Connections to instances are shared, and none is ever any client's own user: so there is none that could be left behind for
 * another. What a user may do is decided for each command by the rules of the same machine that reads an aclfile. Changes that
 * are made through the proxy hold with the next command, others within a second.
 */
import type { EventSink } from '../base/bus.js'
import type { Bytes } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import { textOf } from '../resp/protocol.js'
import type { Group } from './group.js'
import type { Users } from './users.js'

const ACL_LIST = encodeCommand(['ACL', 'LIST'])

export class ForeignUsers {
  /** Who waits for the question that is being asked; who came since waits for the next one. */
  #asked: (() => void)[] | undefined
  #waiting: (() => void)[] = []
  #text: Bytes | undefined
  #complaint: Bytes | undefined

  constructor(
    private readonly users: Users,
    private readonly group: () => Group | undefined,
    private readonly events: EventSink,
    /** They are others now; `before` is how they were described. */
    private readonly onChanged: (before: ReadonlyMap<Bytes, Bytes>) => void,
  ) {}

  /** What the master said at least once; without it nobody comes in. */
  get known(): boolean {
    return this.#text !== undefined
  }

  /** Calls back when they are as the master has them now, or it cannot be asked: then they are as they were. */
  refresh(then: () => void = () => undefined): void {
    this.#waiting.push(then)
    if (this.#asked === undefined) this.#ask()
  }

  #ask(): void {
    const asked = this.#waiting
    this.#waiting = []
    const group = this.group()
    const lane = group?.master?.existingLane(2)
    if (!lane?.confirmed) return tellAll(asked)
    this.#asked = asked
    lane.ask(
      ACL_LIST,
      decoder => {
        this.#take(decoder)
        this.#settle()
      },
      () => this.#settle(),
    )
  }

  #settle(): void {
    const asked = this.#asked ?? []
    this.#asked = undefined
    if (this.#waiting.length > 0) this.#ask()
    tellAll(asked)
  }

  #take(decoder: Decoder): void {
    const reply = decoder.value()
    if (reply.type !== 'array') return this.#complain(textOf(reply) ?? 'no list')
    const text = reply.items.map(line => textOf(line) ?? '').join('\n')
    if (text === this.#text) return
    const before = this.users.described
    const errors = this.users.take(text)
    if (errors !== '') return this.#complain(errors)
    this.#text = text
    this.#complaint = undefined
    this.onChanged(before)
  }

  /** Once, until it is another complaint. */
  #complain(reason: Bytes): void {
    if (reason === this.#complaint) return
    this.#complaint = reason
    this.events.event('error', '-users', { reason })
  }
}

function tellAll(waiting: readonly (() => void)[]): void {
  for (const then of waiting) then()
}
