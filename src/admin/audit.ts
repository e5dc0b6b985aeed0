/**
 * The audit log: who changed something or tried to, one line of JSON each, in a file that only its owner may read.
 *
 * Every line is also an `+audit` event, so that the log of the process and the event feed have it, too. At `MAX_BYTES` the
 * file is renamed to `<file>.1`, whose predecessor is gone. A file that cannot be written is told on the bus and tried
 * again with the next line: a change of master in an emergency is not refused for a full disk.
 */
import { appendFileSync, renameSync, statSync } from 'node:fs'
import type { EventFields, EventSink, LagrangeEvent } from '../base/bus.js'
import type { Clock } from '../base/clock.js'
import { Ring } from '../base/ring.js'

const MAX_BYTES = 16 * 1024 * 1024
const REMEMBERED = 1000

export class AuditLog {
  readonly #recent = new Ring<LagrangeEvent>(REMEMBERED)
  #lastId = 0

  constructor(
    private readonly clock: Clock,
    private readonly events: EventSink,
    /** undefined: there is no file. */
    private readonly file: string | undefined,
  ) {}

  write(level: 'info' | 'warn', fields: EventFields): void {
    const entry: LagrangeEvent = { id: ++this.#lastId, at: this.clock.wall(), level, name: '+audit', fields }
    this.#recent.push(entry)
    this.events.event(level, '+audit', fields)
    if (this.file !== undefined) this.#append(this.file, entry)
  }

  /** The last `limit` lines, oldest first. */
  last(limit: number): readonly LagrangeEvent[] {
    return [...this.#recent].slice(-limit)
  }

  #append(file: string, { at, fields }: LagrangeEvent): void {
    try {
      const line = `${JSON.stringify({ time: new Date(at).toISOString(), ...fields })}\n`
      if (sizeOf(file) + line.length > MAX_BYTES) renameSync(file, `${file}.1`)
      appendFileSync(file, line, { mode: 0o600 })
    } catch (error) {
      this.events.event('error', '-audit-file', { file, reason: (error as Error).message })
    }
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}
