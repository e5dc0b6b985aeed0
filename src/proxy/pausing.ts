/**
 * How a pause of clients comes about (pause.ts says what it is).
 *
 *     CLIENT PAUSE ─▶ held here ─▶ held at the other workers ─▶ what was sent is answered ─▶ held at the master ─▶ OK
 *     CLIENT UNPAUSE ─▶ let go at the master ─▶ let go everywhere ─▶ OK
 *
 * A write that came too late at a paused master would keep the connection, and reads of others behind it. So when what was
 * sent is not answered in time, the master is left alone: then only its expiry and other writers go on.
 */
import type { EventSink } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import type { Bytes, Millis } from '../base/units.js'
import type { Decoder } from '../resp/decoder.js'
import { encodeCommand } from '../resp/encoder.js'
import { type Frame, itemsOf, textOf } from '../resp/protocol.js'
import type { PauseRequest } from '../topology/pauses.js'
import type { ControlPlane } from '../topology/planes.js'
import type { Group } from './group.js'
import { type Library, Pause } from './pause.js'

/** How long what is in flight is waited for, and how often it is looked at. */
const QUIET_MS: Millis = 1000
const STEP_MS: Millis = 2
const FUNCTIONS = encodeCommand(['FUNCTION', 'LIST'])
const UNPAUSE = encodeCommand(['CLIENT', 'UNPAUSE'])

export class Pausing {
  readonly pause: Pause
  /** As the master told when writes were paused: none is loaded meanwhile. */
  #harmless: ReadonlySet<Bytes> = new Set()

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    private readonly control: ControlPlane,
    private readonly group: () => Group | undefined,
  ) {
    this.pause = new Pause(clock, () => this.#library())
  }

  /** A client asks. */
  async begin(request: PauseRequest): Promise<void> {
    this.events.event('warn', '+client-pause', { mode: request.mode, timeoutMs: request.timeoutMs })
    const [here, elsewhere] = await Promise.all([this.keep(request), this.control.pause?.(request) ?? true])
    const timeoutMs = Math.ceil(this.pause.remainingMs)
    if (!here || !elsewhere || this.pause.mode === undefined || timeoutMs === 0) return
    await this.#ask(encodeCommand(['CLIENT', 'PAUSE', String(timeoutMs), 'WRITE']))
  }

  async end(): Promise<void> {
    if (this.pause.mode !== undefined) this.events.event('info', '-client-pause', { waiting: this.pause.count })
    // A switch has paused the master for itself, and will end that itself.
    if (this.group()?.holding !== true) await this.#ask(UNPAUSE)
    this.release()
    this.control.unpause?.()
  }

  /** Holds back what clients of this worker ask; true when what it had sent is answered. */
  async keep(request: PauseRequest): Promise<boolean> {
    this.pause.begin(request)
    this.#learnFunctions()
    const deadline = this.clock.now() + QUIET_MS
    while (!this.#isQuiet()) {
      if (this.clock.now() > deadline) return false
      await new Promise<void>(resolve => void this.clock.after(STEP_MS, resolve))
    }
    return true
  }

  release(): void {
    this.pause.end()
  }

  #isQuiet(): boolean {
    const group = this.group()
    return group === undefined || (group.inFlight === 0 && group.keptCommands === 0)
  }

  #library(): Library {
    const scripts = this.group()?.scripts
    return { bodyOf: digest => scripts?.bodyOf(digest), harmless: this.#harmless }
  }

  #learnFunctions(): void {
    this.#harmless = new Set()
    void this.#ask(FUNCTIONS, decoder => {
      this.#harmless = new Set(itemsOf(decoder.value()).flatMap(harmlessOf))
      // FCALLs that came before the answer.
      this.pause.askAgain()
    })
  }

  /** Resolves when the master has answered, or never will. */
  #ask(bytes: Buffer, answer: (decoder: Decoder) => void = () => undefined): Promise<void> {
    const lane = this.group()?.master?.lane(2, this.clock.now())
    if (lane === undefined || !lane.confirmed) return Promise.resolve()
    return new Promise(resolve => {
      const heard = (decoder: Decoder): void => {
        answer(decoder)
        resolve()
      }
      lane.ask(bytes, heard, resolve)
    })
  }
}

/** FUNCTION LIST, a library: pairs, flat as RESP2 has them, and among them `functions`, whose items are pairs again. */
function harmlessOf(library: Frame): Bytes[] {
  return itemsOf(fieldOf(library, 'functions')).flatMap(described => {
    const flags = itemsOf(fieldOf(described, 'flags')).map(textOf)
    const name = textOf(fieldOf(described, 'name'))
    return name !== undefined && flags.includes('no-writes') ? [name] : []
  })
}

function fieldOf(pairs: Frame, name: Bytes): Frame | undefined {
  const items = itemsOf(pairs)
  const at = items.findIndex((item, index) => index % 2 === 0 && textOf(item) === name)
  return at < 0 ? undefined : items[at + 1]
}
