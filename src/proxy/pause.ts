/**
 * CLIENT PAUSE: what clients ask waits with them, unanswered, until the pause is over.
 *
 *     free ──PAUSE──▶ write ──PAUSE ALL──▶ all
 *       ▲               └──UNPAUSE, its time is over──┘──▶ free: everybody who waits is asked for again, in order
 *
 * One client asks one worker; all workers hold (the supervisor tells them), and when what they had sent is answered the
 * master is told to hold writes too, so that keys do not expire and writers that bypass us wait as well. It is never told
 * to hold everything: it would answer nobody's PING, and be taken for dead. As in Redis a second pause makes the first one
 * longer or stricter, never shorter, and a script that says it writes nothing may run while writes wait. Unlike in Redis
 * UNPAUSE is heard during PAUSE ALL.
 *
 * The hold of a switch is another thing (gate.ts), and both may last at once: what waits here is not in flight, so a switch
 * goes on; what is let go meanwhile waits there.
 */
import type { Clock } from '../base/clock.js'
import type { Bytes, Millis } from '../base/units.js'
import { mayReplicate } from '../command/spec.js'
import { type ParsedScript, parseScript } from '../engine/scripting/shebang.js'
import type { Decoder } from '../resp/decoder.js'
import type { Call } from '../routing/calls.js'
import { combine, type PauseMode, type PauseRequest } from '../topology/pauses.js'
import type { Session } from './session.js'

/** What is known of scripts and functions. */
export interface Library {
  /** The script with this digest. */
  bodyOf(digest: Bytes): Bytes | undefined
  /** Names of functions that write nothing, by their own word. */
  readonly harmless: ReadonlySet<Bytes>
}

export class Pause {
  mode: PauseMode | undefined
  #until: Millis = 0
  readonly #waiting = new Set<Session>()
  #cancel: () => void = () => undefined

  constructor(
    private readonly clock: Clock,
    private readonly library: () => Library | undefined,
  ) {}

  /** Sessions with a command that waits. */
  get count(): number {
    return this.#waiting.size
  }

  get remainingMs(): Millis {
    return Math.max(0, this.#until - this.clock.now())
  }

  begin({ mode, timeoutMs }: PauseRequest): void {
    const now = this.clock.now()
    const before = this.mode === undefined ? undefined : { mode: this.mode, timeoutMs: this.#until - now }
    const next = combine(before, { mode, timeoutMs })
    this.mode = next.mode
    this.#until = now + next.timeoutMs
    this.#cancel()
    this.#cancel = this.clock.after(next.timeoutMs, () => this.end())
  }

  end(): void {
    this.#cancel()
    this.mode = undefined
    this.askAgain()
  }

  /** What waits is judged again: it may be held again. */
  askAgain(): void {
    const sessions = [...this.#waiting]
    this.#waiting.clear()
    for (const session of sessions) session.goOn()
  }

  /** True when the command has to wait; wrong numbers of arguments are answered at once. */
  holds(session: Session, call: Call, decoder: Decoder): boolean {
    if (this.mode === undefined || decoder.argc < call.argcMin || decoder.argc > call.argcMax) return false
    if (this.mode === 'all') return !isUnpause(call, decoder)
    if (call.name === 'exec') return session.transaction?.replicates === true
    return this.mayReplicate(call, decoder)
  }

  mayReplicate(call: Call, decoder: Decoder): boolean {
    const { name, spec } = call
    return (spec?.access === 'write' || mayReplicate.has(name)) && !this.#isHarmless(name, decoder)
  }

  wait(session: Session): void {
    this.#waiting.add(session)
  }

  forget(session: Session): void {
    this.#waiting.delete(session)
  }

  /** A script that says that it does not write is taken at its word: the master refuses what it writes all the same. */
  #isHarmless(name: string, decoder: Decoder): boolean {
    switch (name) {
      case 'eval':
        return writesNothing(decoder.arg(1))
      case 'evalsha':
        return writesNothing(this.library()?.bodyOf(decoder.arg(1)) ?? '')
      case 'fcall':
        return this.library()?.harmless.has(decoder.arg(1)) === true
      default:
        return false
    }
  }
}

function writesNothing(body: Bytes): boolean {
  return (parseScript(body) as Partial<ParsedScript>).flags?.noWrites === true
}

function isUnpause(call: Call, decoder: Decoder): boolean {
  return call.name === 'client' && decoder.argc === 2 && /^unpause$/i.test(decoder.arg(1))
}

/** CLIENT PAUSE timeout [WRITE|ALL], or the error it gets. */
export function pauseOf(args: readonly Bytes[]): PauseRequest | { readonly error: Bytes } {
  const mode = (args[3] ?? 'ALL').toLowerCase()
  if (mode !== 'write' && mode !== 'all') return { error: 'ERR CLIENT PAUSE mode must be WRITE or ALL' }
  const text = args[2] as Bytes
  if (!/^-?(0|[1-9]\d{0,17})$/.test(text)) return { error: 'ERR timeout is not an integer or out of range' }
  if (text.startsWith('-')) return { error: 'ERR timeout is negative' }
  return { mode, timeoutMs: Number(text) }
}
