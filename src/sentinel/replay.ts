/**
 * Writes of one history, executed in another: by a client, because the instance cannot be given the stream itself.
 *
 * They are new writes there. What the stream says about databases and transactions is kept; signs of life, talk between
 * master and replica and messages (PUBLISH: who listened has had them) are left out, see topology/written.ts. Others may
 * write between two of them, and nothing tells the second attempt of a write from the first: there is one attempt.
 */
import type { Clock } from '../base/clock.js'
import type { Bytes, Millis, Offset } from '../base/units.js'
import { ConnectionError } from '../net/client.js'
import type { Line } from '../observer/line.js'
import { infoOf } from '../observer/probe.js'
import { type Frame, itemsOf, ProtocolError } from '../resp/protocol.js'
import type { Lineage } from '../topology/view.js'
import { type Write, WriteReader } from '../topology/written.js'
import { explain, type Orders } from './orders.js'
import type { Witness } from './witness.js'

/** Of writes, a transaction is one. */
export interface Replayed {
  readonly applied: number
  readonly failed: number
  readonly firstError: string | undefined
}

type Send = (command: readonly Bytes[]) => Promise<Frame>

/** So many are on their way. */
const AT_ONCE = 500

/** On one connection, which is in database 0 when it begins. */
export class Replayer {
  #db = 0
  #applied = 0
  #failed = 0
  #firstError: string | undefined

  constructor(private readonly send: Send) {}

  get replayed(): Replayed {
    return { applied: this.#applied, failed: this.#failed, firstError: this.#firstError }
  }

  /** In order. Throws ConnectionError when the connection is lost: what was on its way may have been executed, then. */
  async replay(writes: readonly Write[]): Promise<void> {
    for (let from = 0; from < writes.length; from += AT_ONCE) {
      const replies = writes.slice(from, from + AT_ONCE).map(write => this.#sendWhole(write))
      for (const frames of await Promise.all(replies)) {
        const error = frames.map(errorIn).find(text => text !== undefined)
        if (error === undefined) this.#applied++
        else this.#failed++
        this.#firstError ??= error
      }
    }
  }

  #sendWhole(write: Write): Promise<readonly Frame[]> {
    const commands = whole(write)
    if (write.db !== this.#db) commands.unshift(['SELECT', String(write.db)])
    this.#db = write.db
    return Promise.all(commands.map(command => this.send(command)))
  }
}

function whole({ commands }: Write): (readonly Bytes[])[] {
  return commands.length === 1 ? [...commands] : [['MULTI'], ...commands, ['EXEC']]
}

/** EXEC's reply has those of its commands. */
function errorIn(frame: Frame): string | undefined {
  if (frame.type === 'error') return frame.value
  return 'items' in frame
    ? itemsOf(frame)
        .map(errorIn)
        .find(text => text !== undefined)
    : undefined
}

/** `because`: why it was not all, or nothing. */
export interface ReplayOutcome extends Omit<Replayed, 'firstError'> {
  readonly because: string | undefined
}

/**
 * Gives the new master `id` what the witness has of the history it was promoted from and it has not. It begins at the first
 * byte that it did not share, where a command begins. Never throws.
 */
export async function replayFromWitness(
  clock: Clock,
  orders: Orders,
  witness: Witness | undefined,
  id: string,
  { replid2 = '', secondOffset }: Lineage,
  timeoutMs: Millis,
): Promise<ReplayOutcome> {
  const until = clock.now() + timeoutMs
  const bytes = secondOffset === undefined ? undefined : witness?.read(replid2, secondOffset)
  let line: Line | undefined
  // Never thrown: those that are on their way already would have nobody who hears what becomes of them.
  const send = async (command: readonly Bytes[]): Promise<Frame> => {
    const leftMs = until - clock.now()
    if (line === undefined || leftMs <= 0) throw new ConnectionError('timeout')
    return line.send(command, leftMs)
  }
  const replayer = new Replayer(send)
  const outcome = (because?: string): ReplayOutcome => {
    const { applied, failed, firstError } = replayer.replayed
    return { applied, failed, because: because ?? firstError }
  }
  if (bytes === undefined) return outcome('the witness does not have these bytes')
  try {
    line = orders.connect(id, 'lagrange-replay')
    const db = witness?.databaseAt(secondOffset as Offset) ?? onlyDatabase(await send(['INFO']))
    if (db === undefined) return outcome('nobody can tell the database they were written to')
    const reader = new WriteReader(db)
    for (const piece of bytes) await replayer.replay(reader.feed(piece))
  } catch (error) {
    return outcome(error instanceof ProtocolError ? error.message : explain(error).reason)
  } finally {
    line?.close('replayed')
  }
  return outcome()
}

/** The stream names a database only when it changes. Where one is in use, it is that one. */
function onlyDatabase(info: Frame): number | undefined {
  const [only = 0, another] = infoOf(info)?.databases ?? []
  return another === undefined ? only : undefined
}
