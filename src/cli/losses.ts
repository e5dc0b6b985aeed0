/**
 * What a change of master has lost, put together from both ends:
 *
 *     the workers     which connections were acknowledged, or shown, what the new master's history does not have
 *     the rescue      which keys the old master had written alone, once it has come back
 *
 * A worker names the history that began; the report of a failover names it as well. Both are bounded: so many histories,
 * so many connections each; beyond that they are only counted.
 */
import type { HistoryEntry } from '../admin/model.js'
import type { RescueEntry } from '../admin/rescue-model.js'
import type { EventBus } from '../base/bus.js'
import type { SwitchReport } from '../topology/operation.js'

const HISTORIES_MAX = 100
export const CLIENTS_MAX = 100

interface Told {
  sessions: number
  readonly clients: string[]
}

export class Losses {
  /** By the name of the history that began; the oldest first. */
  readonly #told = new Map<string, Told>()

  constructor(bus: Pick<EventBus, 'listen'>) {
    bus.listen(({ name, fields }) => {
      const { replid, sessions, clients } = fields
      if (name !== '+lost-writes' || typeof replid !== 'string' || typeof sessions !== 'number') return
      this.#note(replid, sessions, typeof clients === 'string' && clients !== '' ? clients.split(' ') : [])
    })
  }

  #note(replid: string, sessions: number, clients: readonly string[]): void {
    const told = this.#told.get(replid) ?? { sessions: 0, clients: [] }
    told.sessions += sessions
    told.clients.push(...clients.slice(0, CLIENTS_MAX - told.clients.length))
    this.#told.set(replid, told)
    const [oldest] = this.#told.keys()
    if (this.#told.size > HISTORIES_MAX && oldest !== undefined) this.#told.delete(oldest)
  }

  /** null: nothing that anybody knows of. `rescues`: what this old master brought back before it was replaced again. */
  of(report: SwitchReport, rescues: readonly RescueEntry[]): HistoryEntry['lost'] {
    const told = report.replid === undefined ? undefined : this.#told.get(report.replid)
    if (told === undefined && rescues.length === 0) return null
    return {
      sessions: told?.sessions ?? 0,
      clients: [...(told?.clients ?? [])],
      writes: rescues.length === 0 ? null : rescues.reduce((sum, { writes }) => sum + writes, 0),
      keys: rescues.length === 0 ? null : rescues.reduce((sum, { keyCount }) => sum + keyCount, 0),
      rescues: rescues.map(({ id }) => id),
    }
  }
}

/** Each belongs to the last change before it that replaced its node. `changes`: the newest first. */
export function rescuesOf(
  report: SwitchReport,
  changes: readonly SwitchReport[],
  rescues: readonly RescueEntry[],
): readonly RescueEntry[] {
  return rescues.filter(({ node, at }) => {
    const cause = changes.find(({ result, from, startedAt }) => result === 'ok' && from === node && startedAt <= at)
    return cause === report
  })
}
