/**
 * An engine with a host that only writes down what it is told: for tests that look at replies and effects.
 */
import type { UnixMillis } from '../../src/base/units.js'
import { arityError, checkArity, resolveCommand, unknownCommandError } from '../../src/command/table.js'
import { Engine } from '../../src/engine/engine.js'
import type { Blocked, Caller, EngineHost } from '../../src/engine/host.js'
import { Decoder } from '../../src/resp/decoder.js'
import { Encoder } from '../../src/resp/encoder.js'
import type { Frame } from '../../src/resp/protocol.js'

/** Chance that is the same in every run: a xorshift generator. */
export function seededRandom(seed: number): () => number {
  let state = seed | 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

export class EngineDouble implements EngineHost {
  readonly engine: Engine
  readonly propagated: string[][] = []
  readonly events: string[] = []
  readonly readyKeys: string[] = []
  readonly caller: Caller = { db: 0, origin: 'client', mayBlock: true }
  now: UnixMillis = 1_700_000_000_000
  resp: 2 | 3 = 2

  constructor(seed = 1) {
    this.engine = new Engine(this, { random: seededRandom(seed) })
  }

  /** The reply to one call; `Blocked` when it has to wait. */
  run(...args: string[]): Frame | Blocked {
    const encoder = new Encoder(this.resp)
    const spec = resolveCommand(args)
    if (spec === undefined) encoder.error(unknownCommandError(args))
    else if (!checkArity(spec, args.length)) encoder.error(arityError(spec))
    else {
      const blocked = this.engine.execute(spec, args, this.caller, encoder, this.now)
      if (blocked !== undefined) return blocked
    }
    return decodeOne(encoder)
  }

  /** The effects since the last time it was asked, each as one line. */
  effects(): string[] {
    return this.propagated.splice(0).map(args => args.join(' '))
  }

  propagate(_db: number, args: readonly (string | Buffer)[]): void {
    this.propagated.push(args.map(String))
  }

  wrote(): void {}

  changed(): void {}

  replaced(): void {}

  ready(_db: number, key: string | undefined): void {
    this.readyKeys.push(key ?? '*')
  }

  notify(_type: string, event: string, _db: number, key: string): void {
    if (event !== 'new') this.events.push(`${event} ${key}`)
  }

  beforeChange(): void {}
}

/** The one frame that was written; anything else is a mistake. */
export function decodeOne(encoder: Encoder): Frame {
  const decoder = new Decoder()
  decoder.feed(encoder.take())
  const frame = decoder.next()
  if (frame === undefined || decoder.pending > 0) throw new Error('not exactly one reply')
  return frame
}
